//! What a person reads who has no registry.

use std::process::Command;

#[test]
fn an_unreachable_registry_is_named_in_one_line_with_what_to_do() {
    let cache = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_testbed"))
        .arg("fetch")
        .env("MESOS_TESTBED_CACHE", cache.path())
        // Nothing listens there.
        .env("PIP_INDEX_URL", "http://127.0.0.1:9/simple/")
        .env("PIP_RETRIES", "0")
        .env_remove("PIP_FIND_LINKS")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = said.lines().last().unwrap();
    assert!(
        line.starts_with("testbed: cannot install the Python package pypi-simple"),
        "{said}"
    );
    assert!(
        line.contains("PIP_INDEX_URL") && line.contains("testbed fetch"),
        "{said}"
    );
}

#[test]
fn an_unknown_release_is_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_testbed"))
        .args(["fetch", "--mesos", "0.1.0"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.starts_with("testbed: Mesos 0.1.0 is not known to the testbed (known: "),
        "{said}"
    );
}
