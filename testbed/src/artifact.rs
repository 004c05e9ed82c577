//! What cargo built, found from a program that cargo built.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::ClusterError;

/// The file `name` (a program, or a library as `libx.so`) of the workspace package `package` in the target folder and
/// profile of the running program: a test, an example or a binary.
///
/// `cargo run` builds one program only, not those it starts: a file that is missing under cargo is built now. One that
/// is there is taken as it is; `cargo build` beforehand makes sure that it is up to date.
///
/// # Errors
/// It is not there, and could not be built. The message has the command that builds it.
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
    let release = folder.ends_with("release");
    if !path.is_file() {
        build(package, release)?;
    }
    if path.is_file() {
        Ok(path)
    } else {
        Err(ClusterError::NotBuilt { path, package, release })
    }
}

/// Does nothing when this program was not started by cargo.
fn build(package: &str, release: bool) -> Result<(), ClusterError> {
    let Some(cargo) = env::var_os("CARGO") else {
        return Ok(());
    };
    eprintln!("building the package {package}");
    Command::new(&cargo)
        .args(["build", "--quiet", "--package", package])
        .args(release.then_some("--release"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .map(|_| ())
        .map_err(ClusterError::io("run", Path::new(&cargo)))
}
