//! `agents`, as far as it needs no master. With one it is in `tests/tests/agents.rs`.

use std::net::TcpListener;
use std::process::Command;

#[test]
fn a_master_that_is_not_there_has_an_exit_code_of_its_own_and_a_remedy() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_mesos-volumes"))
        .args(["agents", "--json", "--master", &free.to_string()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        format!("mesos-volumes: nothing listens on {free}; start a master there, or correct --master\n")
    );
    let json = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(json.contains("\"code\": \"unreachable\""), "{json}");
}
