//! Acts on a real Mesos: those that take little time. `scripts/demo --acts` plays all. Needs root, and the programs of the
//! workspace built.

use std::fs;
use std::process::Command;

use serde_json::Value;

/// Plays one act, which must pass, and returns what was seen of it.
fn play(name: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let path = folder.path().join("acts.json");
    let output = Command::new(env!("CARGO_BIN_EXE_etl-demo"))
        .args(["--acts", "--only", name, "--report"])
        .arg(&path)
        .output()
        .expect("the program was built with this test");
    let words = [output.stdout, output.stderr].concat();
    let words = String::from_utf8_lossy(&words);
    let report = fs::read(&path).expect("it writes a report whatever happens");
    let report: Value = serde_json::from_slice(&report).expect("the report is JSON");
    assert!(output.status.success(), "{words}");
    assert_eq!(report["status"], "PASS");
    let acts = report["acts"].as_array().expect("the acts are a list");
    assert_eq!(acts.len(), 1);
    assert_eq!((&acts[0]["name"], &acts[0]["passed"]), (&name.into(), &true.into()));
    assert!(acts[0]["what"].is_string());
    acts[0]["seen"].to_string()
}

#[test]
fn a_second_job_waits_for_the_volume_and_says_for_whom() {
    assert!(play("second-job").contains("IN_USE by task first.1.sign-first.1"));
}

#[test]
fn a_task_with_offers_of_the_wrong_zone_only_waits_and_says_so() {
    let seen = play("wrong-zone");
    assert!(
        seen.contains("it is in zone us-east-1b, and the volumes are in us-east-1a"),
        "{seen}"
    );
}

#[test]
fn a_volume_that_a_stranger_has_is_waited_for() {
    assert!(play("foreign-attachment").contains("is attached to i-0f0f0f0f0f0f0f0f0"));
}

#[test]
fn a_bad_label_is_refused_by_name() {
    assert!(play("bad-label").contains("volume.data.mode"));
}

#[test]
fn a_launch_cut_short_before_the_master_heard_of_it_is_made_once() {
    assert!(play("scheduler-killed-before-accept").contains("the master has launched extract once"));
}

#[test]
fn a_launch_that_the_master_has_is_not_made_again() {
    assert!(play("scheduler-killed-after-accept").contains("the master has launched extract once"));
}

#[test]
fn an_act_that_is_none_is_told_with_those_there_are() {
    let output = Command::new(env!("CARGO_BIN_EXE_etl-demo"))
        .args(["--acts", "--only", "rain"])
        .output()
        .expect("the program was built with this test");
    assert_eq!(output.status.code(), Some(1));
    let words = String::from_utf8_lossy(&output.stdout);
    assert!(
        words.contains("there is no act 'rain'") && words.contains("second-job"),
        "{words}"
    );
}
