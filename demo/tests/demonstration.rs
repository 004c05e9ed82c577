//! The demonstration itself, on a real Mesos. Needs root, and the programs of the workspace built.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// Runs `etl-demo` on a job file and returns its output and its report.
fn etl_demo(job: &Path) -> (Output, Value) {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let path = folder.path().join("report.json");
    let output = Command::new(env!("CARGO_BIN_EXE_etl-demo"))
        .arg("--job")
        .arg(job)
        .arg("--report")
        .arg(&path)
        .output()
        .expect("the program was built with this test");
    let report = fs::read(&path).expect("it writes a report whatever happens");
    (output, serde_json::from_slice(&report).expect("the report is JSON"))
}

/// A job of one task on the volume `flights-src`.
fn job(volume: &str, command: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let text = format!(
        "version: 1\nname: short\ntasks:\n  only:\n    command: |\n      {command}\n    volumes:\n      src: {volume}\n"
    );
    fs::write(file.path(), text).expect("the file was just made");
    file
}

#[test]
fn the_job_passes_with_all_flights_and_leaves_nothing() {
    let (output, report) = etl_demo(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/flights.yaml")));
    let words = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{words}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(report["status"], "PASS");
    assert_eq!(report["rows_extracted"], 336_776);
    assert_eq!(report["rows_loaded"], 328_521);
    assert_eq!(report["rejected"], 8_255);
    assert!(report["moves"].as_u64() >= Some(3), "{report}");
    assert_eq!(
        (&report["mounts_left"], &report["attachments_left"]),
        (&0.into(), &0.into())
    );
    let tasks: Vec<&str> = report["tasks"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|task| task["name"].as_str())
        .collect();
    let batches =
        ["", "-2", "-3"].map(|batch| ["extract", "transform", "load", "verify"].map(|step| step.to_owned() + batch));
    let expected: Vec<String> = ["seed".to_owned()]
        .into_iter()
        .chain(batches.into_iter().flatten())
        .chain(["audit".to_owned()])
        .collect();
    assert_eq!(tasks, expected);
    assert!(words.contains("\nPASS in "), "{words}");
}

#[test]
fn a_task_that_fails_is_named_and_its_volume_let_go() {
    let job = job("flights-src", "echo 'flights-etl: no luck' >&2; exit 3");
    let (output, report) = etl_demo(job.path());
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(report["status"], "FAIL");
    let problems = report["problems"].to_string();
    assert!(
        problems.contains("only: ") && problems.contains("no luck"),
        "{problems}"
    );
    assert_eq!(
        (&report["mounts_left"], &report["attachments_left"]),
        (&0.into(), &0.into())
    );
}

#[test]
fn a_job_with_an_unknown_volume_is_not_begun() {
    let job = job("flights-sauce", "true");
    let (output, report) = etl_demo(job.path());
    assert_eq!(output.status.code(), Some(1));
    let problems = report["problems"].to_string();
    assert!(
        problems.contains("the scheduler did not begin") && problems.contains("flights-sauce"),
        "{problems}"
    );
}
