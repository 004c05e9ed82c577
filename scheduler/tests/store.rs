//! The state folder: whole after a crash, one scheduler's at a time, one job's.

use std::fs;

use scheduler::job::Job;
use scheduler::plan::Plan;
use scheduler::state::{JobState, TaskRecord};
use scheduler::store::{Store, StoreError};

fn plan(command: &str) -> Plan {
    let text = format!("version: 1\nname: j\ntasks:\n  a: {{command: '{command}', volumes: {{v: vol-1}}}}\n");
    Plan::new(Job::parse(&text).expect("the job is good"), None).expect("the plan is good")
}

#[test]
fn what_was_saved_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let state_folder = folder.path().join("made/when/missing");
    let store = Store::open(&state_folder).unwrap();
    let mut state = store.load(&plan("true"), 7).unwrap();
    assert_eq!(state, JobState::new(&plan("true"), 7));
    assert!(!state_folder.join("job.json").exists());

    state.framework_id = Some("F".into());
    state.tasks.insert(
        "a".into(),
        TaskRecord {
            ready_ms: Some(8),
            ..TaskRecord::default()
        },
    );
    store.save(&state).unwrap();
    state.started_ms = 9;
    store.save(&state).unwrap();
    drop(store);
    assert_eq!(
        Store::open(&state_folder).unwrap().load(&plan("true"), 100).unwrap(),
        state
    );
    let mut files: Vec<_> = state_folder
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    files.sort();
    assert_eq!(files, ["job.json", "lock"], "no temporary file is left");
}

#[test]
fn a_second_scheduler_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = Store::open(folder.path()).unwrap();
    let error = Store::open(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    drop(first);
    Store::open(folder.path()).unwrap();
}

#[test]
fn another_job_is_refused_and_a_comment_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    store.save(&JobState::new(&plan("true"), 1)).unwrap();
    let error = store.load(&plan("false"), 1).unwrap_err().to_string();
    assert!(
        error.contains("holds the job 'j', begun with another job file or catalogue; give another --state"),
        "{error}"
    );

    let commented = "# A line more, and the same job.\nversion: 1\nname: j\ntasks:\n\n  a: {command: 'true', volumes: {v: vol-1}}\n";
    let commented = Plan::new(Job::parse(commented).unwrap(), None).unwrap();
    store.load(&commented, 1).unwrap();
}

#[test]
fn a_state_that_cannot_be_read_is_not_taken_for_none() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    for (text, reason) in [
        ("", "EOF"),
        ("{}", "missing field `version`"),
        (r#"{"version": 2}"#, "its version is 2, and this program knows 1"),
        (r#"{"version": 1}"#, "missing field"),
    ] {
        fs::write(folder.path().join("job.json"), text).unwrap();
        let error = store.load(&plan("true"), 1).unwrap_err();
        assert!(matches!(error, StoreError::Unreadable { .. }));
        let message = error.to_string();
        assert!(message.contains(reason) && message.contains("job.json"), "{message}");
    }
}
