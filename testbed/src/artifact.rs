//! What cargo built, found from a program that cargo built.

use std::env;
use std::path::PathBuf;

use crate::error::ClusterError;

/// The file `name` (a program, or a library as `libx.so`) of the workspace package `package` in the target folder and
/// profile of the running program: a test, an example or a binary.
///
/// # Errors
/// It is not there. The message has the command that builds it.
pub fn built(name: &str, package: &'static str) -> Result<PathBuf, ClusterError> {
    let mut folder = env::current_exe()
        .map_err(ClusterError::io("find", "the running program".as_ref()))?
        .parent()
        .expect("a program is in a folder")
        .to_owned();
    // Tests are in target/debug/deps, examples in target/debug/examples.
    if folder.ends_with("deps") || folder.ends_with("examples") {
        folder.pop();
    }
    let path = folder.join(name);
    if path.is_file() {
        Ok(path)
    } else {
        Err(ClusterError::NotBuilt {
            path,
            package,
            release: folder.ends_with("release"),
        })
    }
}
