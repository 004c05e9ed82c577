//! What the built module shows to the agent. It cannot be loaded here: the symbols it wants are
//! there in an agent only.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The module that cargo built along with this test, beside this program.
fn module() -> PathBuf {
    let program = env::current_exe().expect("a running program has a path");
    program.with_file_name("libmesos_external_volumes.so")
}

#[test]
fn the_descriptors_are_the_only_symbols_and_mesos_is_not_linked() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/check-symbols");
    let output = Command::new(&script)
        .arg(module())
        .output()
        .expect("scripts/check-symbols can be run");
    assert!(
        output.status.success(),
        "{}:\n{}{}",
        script.display(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
