//! The commands that a person types.

use std::process::{Command, Output};

use serde_json::Value;

use crate::rig::Rig;

/// Runs a command of the program against the rig's emulator.
fn run(rig: &Rig, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ebs-emulator"));
    command.args(arguments).env("EBS_EMULATOR_STATE", rig.emulator.state());
    command.output().unwrap()
}

/// What a command that must succeed prints.
fn said(rig: &Rig, arguments: &[&str]) -> String {
    let output = run(rig, arguments);
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn create_prints_the_id_and_describe_finds_it() {
    let rig = Rig::new();
    let id = said(&rig, &["create", "--name", "typed", "--size", "5", "--zone", "z1"]);
    let described: Value = serde_json::from_str(&said(&rig, &["describe"])).unwrap();
    assert_eq!(described["Volumes"][0]["VolumeId"], id.trim());
    assert_eq!(described["Volumes"][0]["Size"], 5);
    said(&rig, &["delete", "typed"]);
    let again = run(&rig, &["delete", "typed"]);
    assert_eq!(again.status.code(), Some(1));
    let words = String::from_utf8(again.stderr).unwrap();
    assert_eq!(
        words,
        "ebs-emulator: InvalidVolume.NotFound: The volume 'typed' does not exist.\n"
    );
}

#[test]
fn the_log_shows_steps_for_people_and_events_for_programs() {
    let rig = Rig::new();
    said(&rig, &["create", "--name", "logged", "--zone", "z1"]);
    rig.driver("a").mount("logged", "x").unwrap();
    rig.driver("a").unmount("logged", "x").unwrap();
    let steps = said(&rig, &["log", "--steps"]);
    let words: Vec<&str> = steps
        .lines()
        .map(|line| line.split_whitespace().nth(2).unwrap())
        .collect();
    assert_eq!(
        words,
        ["start", "create", "attach", "format", "mount", "unmount", "detach"]
    );
    for line in said(&rig, &["log", "--json"]).lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        assert!(
            event["seq"].is_u64() && event["time"].is_string() && event["event"].is_string(),
            "{line}"
        );
    }
}

#[test]
fn faults_are_set_listed_and_cleared() {
    let rig = Rig::new();
    said(&rig, &["create", "--name", "faulty", "--zone", "z1"]);
    let words = ["--volume", "faulty", "--message", "not today"];
    let id = said(&rig, &[&["fault", "set", "mount", "fail"], &words[..]].concat());
    assert_eq!(rig.driver("a").mount("faulty", "x").unwrap_err(), "not today");
    let listed: Value = serde_json::from_str(&said(&rig, &["fault", "list"])).unwrap();
    assert_eq!(
        (&listed[0]["operation"], &listed[0]["struck"]),
        (&"mount".into(), &1.into())
    );
    said(&rig, &["fault", "clear", id.trim()]);
    rig.driver("a").mount("faulty", "x").unwrap();
    assert_eq!(run(&rig, &["fault", "clear", "99"]).status.code(), Some(1));
}

#[test]
fn without_an_emulator_a_command_says_so() {
    let mut rig = Rig::new();
    rig.emulator.stop().unwrap();
    let output = run(&rig, &["describe"]);
    assert_eq!(output.status.code(), Some(1));
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(
        words.contains("control.sock") && words.contains("is 'ebs-emulator serve' running?"),
        "{words}"
    );
}
