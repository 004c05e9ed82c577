//! What a service keeps in its folder, and what is left of it after a crash.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use mesos_http::types::TaskState;
use scheduler::ledger::{ClaimRequest, ClaimState, Holder, Ledger, Mode, Rules, file};
use scheduler::service::storage::{Folder, Storage};
use scheduler::service::{JobRecord, Service, ServiceRecord, Settings};

const RULES: Rules = Rules {
    storage: true,
    let_go: 500,
};

fn holder(task: &str) -> Holder {
    Holder {
        framework: "F".to_owned(),
        task: task.to_owned(),
    }
}

fn claim(ledger: &mut Ledger, volume: &str) {
    let request = ClaimRequest {
        holder: holder(volume),
        agent: "a1",
        instances: &[],
        volumes: &[(volume, Mode::Write)],
        multi_attach: &[],
        without_item: &[],
    };
    ledger.intend(&request, RULES, 1).expect("it is free");
}

/// A ledger that was saved twice: first whole, then by its log.
fn saved(path: &Path) -> Ledger {
    let mut folder = Folder::open(path).expect("the folder is ours");
    let mut ledger = folder.load().expect("there is nothing yet").ledger;
    claim(&mut ledger, "vol-1");
    folder
        .save_claims(&ledger, &ledger.clone().take_changed())
        .expect("there is room");
    ledger.take_changed();
    claim(&mut ledger, "vol-2");
    ledger.task(&holder("vol-1"), &TaskState::Running, 2);
    let changed = ledger.take_changed();
    assert_eq!(changed, BTreeSet::from(["vol-1".to_owned(), "vol-2".to_owned()]));
    folder.save_claims(&ledger, &changed).expect("there is room");
    ledger
}

fn log(path: &Path) -> std::path::PathBuf {
    let entries = fs::read_dir(path)
        .expect("the folder is ours")
        .map(|entry| entry.expect("it is there").path());
    let mut logs = entries.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
    let log = logs.next().expect("there is a log");
    assert_eq!(logs.next(), None, "there is one log");
    log
}

#[test]
fn claims_are_read_from_the_ledger_and_its_log_also_while_another_has_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = saved(folder.path());
    assert_eq!(file::load(folder.path()).unwrap().unwrap().volumes, ledger.volumes);
    // The next scheduler begins a log of its own, and the old one is gone.
    let mut next = Folder::open(folder.path()).unwrap();
    let mut ledger = next.load().unwrap().ledger;
    ledger.task(&holder("vol-2"), &TaskState::Running, 3);
    let changed = ledger.take_changed();
    next.save_claims(&ledger, &changed).unwrap();
    assert_eq!(file::load(folder.path()).unwrap().unwrap().volumes, ledger.volumes);
    log(folder.path());
}

#[test]
fn a_log_line_that_a_crash_cut_off_counts_for_nothing_and_a_broken_one_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = saved(folder.path());
    let log = log(folder.path());
    let whole = fs::read_to_string(&log).unwrap();
    for cut in 0..whole.len() {
        fs::write(&log, &whole[..cut]).unwrap();
        let read = file::load(folder.path()).unwrap().unwrap();
        let lines = whole[..cut].matches('\n').count();
        let expected = match lines {
            0 => ClaimState::Intent,
            _ => ClaimState::InUse,
        };
        assert_eq!(read.volumes["vol-1"].claims[0].state, expected, "cut at {cut}");
    }
    fs::write(&log, format!("{whole}?\n")).unwrap();
    let error = file::load(folder.path()).unwrap_err().to_string();
    assert!(error.contains(".log: line 3: "), "{error}");
    fs::remove_file(&log).unwrap();
    assert!(
        file::load(folder.path())
            .unwrap_err()
            .to_string()
            .contains("claims.1.log")
    );
    assert_eq!(ledger.volumes.len(), 2);
}

#[test]
fn a_folder_of_version_1_is_read_and_goes_on_as_version_2() {
    let folder = tempfile::tempdir().unwrap();
    let job = r#"{"text": "version: 1", "created_ms": 1, "next_ms": null, "runs": 7}"#;
    let service = format!(r#"{{"version": 1, "framework_id": "F", "jobs": {{"old": {job}}}}}"#);
    fs::write(folder.path().join("service.json"), service).unwrap();
    let claim = r#"{"holder": {"framework": "F", "task": "t"}, "agent": "a", "mode": "write", "state": "SUSPECT", "since_ms": 1,
        "used": true}"#;
    let claims =
        format!(r#"{{"version": 1, "volumes": {{"vol-1": {{"claims": [{claim}], "stored": null, "history": []}}}}}}"#);
    fs::write(folder.path().join("claims.json"), claims).unwrap();
    for _ in 0..2 {
        let mut opened = Folder::open(folder.path()).unwrap();
        let saved = opened.load().unwrap();
        assert_eq!(saved.service.framework_id.as_deref(), Some("F"));
        assert_eq!(saved.service.jobs["old"].runs, 7);
        assert_eq!(saved.ledger.volumes["vol-1"].claims[0].state, ClaimState::Suspect);
    }
    let written = fs::read_to_string(folder.path().join("service.json")).unwrap();
    assert!(
        written.contains("\"version\":2") && !written.contains("old"),
        "{written}"
    );
}

#[test]
fn a_later_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("claims.json"), r#"{"version": 3, "volumes": {}}"#).unwrap();
    let error = Folder::open(folder.path()).unwrap().load().unwrap_err().to_string();
    assert!(error.contains("its version is 3, and this program knows 2"), "{error}");
}

#[test]
fn jobs_are_kept_each_by_itself_and_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let job = JobRecord {
        text: "version: 1".to_owned(),
        created_ms: 1,
        next_ms: Some(5),
        runs: 2,
        paused: false,
        queued_ms: None,
        last_due_ms: None,
    };
    let mut opened = Folder::open(folder.path()).unwrap();
    opened.save_service(&ServiceRecord::default()).unwrap();
    for name in ["one", "two"] {
        opened.save_job(name, Some(&job)).unwrap();
    }
    opened.save_job("one", None).unwrap();
    opened.save_job("never", None).unwrap();
    let jobs = opened.load().unwrap().service.jobs;
    assert_eq!(jobs.into_iter().collect::<Vec<_>>(), [("two".to_owned(), job)]);
}

/// What the version before run numbers were kept over DELETE, readers without items and pauses has written.
#[test]
fn a_folder_of_an_older_version_is_taken_up_with_its_running_task() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, value: serde_json::Value| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, value.to_string()).unwrap();
    };
    let text = "version: 1\nname: j\nschedule: '0 0 30 2 *'\ntasks:\n  a: {command: x, volumes: {v: vol-1}}\n";
    write("service.json", serde_json::json!({"version": 2, "framework_id": "F"}));
    write(
        "jobs/j.json",
        serde_json::json!({"text": text, "created_ms": 1, "next_ms": null, "runs": 1}),
    );
    write(
        "claims.json",
        serde_json::json!({"version": 2, "volumes": {"vol-1": {"claims": [{"holder": {"framework": "F", "task": "j.1.a.1"},
            "agent": "a1", "mode": "write", "state": "IN_USE", "since_ms": 1, "used": true}],
            "stored": {"asked_ms": 1, "instances": ["i-1"], "multi_attach": false, "name": null, "zone": "za"},
            "history": []}}}),
    );
    let attempt = serde_json::json!({"task_id": "j.1.a.1", "agent": {"id": "a1", "hostname": "h", "address": null, "zone": null},
        "claims": ["vol-1"], "intended_ms": 1, "state": "TASK_RUNNING", "reason": null, "message": null,
        "changes": [{"state": "TASK_RUNNING", "at_ms": 2}], "verdict": null});
    write(
        "runs/j.1.json",
        serde_json::json!({"job": "j", "number": 1, "text": text, "volumes": null, "cause": {"by": "request"},
            "state": {"version": 1, "job": "j", "plan": "", "framework_id": "F", "started_ms": 1, "end": null,
                "tasks": {"a": {"ready_ms": 1, "attempts": [attempt]}}}}),
    );
    let saved = Folder::open(folder.path()).unwrap().load().unwrap();
    let settings = Settings {
        rules: scheduler::run::Rules::default(),
        storage: true,
        source: String::new(),
        spelling: label_mapper::Spelling::Id,
        keep: 2,
        release_alarm: 300_000,
        commands: false,
    };
    let service = Service::new(settings, saved.service, saved.ledger, saved.runs, 10).expect("the folder is taken up");
    assert!(service.active_run("j").is_some());
    assert_eq!(
        service.ledger().claims().next().map(|(_, claim)| claim.state),
        Some(ClaimState::InUse)
    );
}
