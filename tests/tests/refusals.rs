//! Whatever cannot be had is said in the task's status, in a message that names the label and the cause; the next good
//! task runs, and nothing stays mounted.

use std::fs;

use ebs_emulator::{Action, FaultRule, Operation};
use testbed::{AgentSpec, Job};
use tests::{Site, Tasks, eventually, finished, module};

/// Runs a task that must fail, then one that must not.
fn refused(site: &Site, task: Job, named: &[&str]) {
    let tasks = Tasks::connect(site.cluster());
    let message = tasks.fail(site.agent(0), task);
    for words in named {
        assert!(message.contains(words), "'{words}' is not in: {message}");
    }
    assert!(!message.contains('\n'), "one line: {message}");
    let good = site.volume("good");
    tasks.finish(site.agent(0), Job::shell("touch data/file").label("volume.data", good));
    site.wait_until_nothing_is_left();
}

#[test]
fn an_unknown_volume_is_refused_by_name() {
    let site = Site::start(1);
    let task = Job::shell("true").label("volume.data", "vol-00000000000000000");
    refused(
        &site,
        task,
        &[
            "'volume.data'",
            "'vol-00000000000000000'",
            "driver 'ebs'",
            "does not exist",
            "'volume.data': [not-found] ",
        ],
    );
}

/// Old versions of convoy have no Get, without which nobody knows whether a volume is to be
/// created.
#[test]
fn a_volume_that_may_be_created_is_refused_where_the_driver_cannot_be_asked_for_it() {
    let mut site = Site::start(1);
    let words = Action::Fail {
        message: "Handler not found: POST /VolumeDriver.Get".into(),
    };
    let rule = FaultRule::new(Operation::Get, words);
    site.emulator().client().fault(&rule).unwrap();
    let task = Job::shell("true")
        .label("volume.data", "new")
        .label("volume.data.create", "if-missing")
        .label("volume.data.options.size", "1");
    let message = Tasks::connect(site.cluster()).fail(site.agent(0), task);
    assert!(
        message.contains("label 'volume.data': [unsupported] ") && message.contains("'new' of driver 'ebs'"),
        "{message}"
    );
    assert_eq!(site.volumes(), [""; 0], "nothing is created");
    site.emulator().client().clear_faults(None).unwrap();
    let task = Job::shell("touch data/file").label("volume.data", site.volume("good"));
    Tasks::connect(site.cluster()).finish(site.agent(0), task);
    site.wait_until_nothing_is_left();
}

#[test]
fn a_bad_label_is_refused_with_the_label_it_was_likely_meant_to_be() {
    let site = Site::start(1);
    let task = Job::shell("true")
        .label("volume.data", "v")
        .label("volume.data.mod", "ro");
    refused(
        &site,
        task,
        &["'volume.data.mod': [invalid] ", "did you mean 'volume.data.mode'"],
    );
}

#[test]
fn an_unknown_driver_is_refused_with_the_drivers_that_are_there() {
    let site = Site::start(1);
    let task = Job::shell("true")
        .label("volume.data", "v")
        .label("volume.data.driver", "nosuch");
    refused(
        &site,
        task,
        &[
            "'volume.data'",
            "[unreachable] ",
            "driver 'nosuch' is not installed on this host; found here: ebs",
        ],
    );
}

#[test]
fn a_path_that_leads_out_of_the_sandbox_is_refused() {
    let site = Site::start(1);
    let id = site.volume("v");
    let task = Job::shell("true")
        .label("volume.data", id)
        .label("volume.data.path", "../../outside");
    refused(&site, task, &["volume.data.path=../../outside", "'..'"]);
}

#[test]
fn a_path_of_the_host_is_refused_unless_the_operator_allows_it() {
    let site = Site::start(1);
    let id = site.volume("v");
    let task = Job::shell("true")
        .label("volume.data", id)
        .label("volume.data.path", "/etc");
    refused(&site, task, &["'volume.data'", "'/etc'", "allowed_host_paths"]);
}

#[test]
fn a_refusing_driver_is_quoted() {
    let mut site = Site::start(1);
    let id = site.volume("v");
    let words = Action::Fail {
        message: "InternalError: the storage is on fire".into(),
    };
    let rule = FaultRule::new(Operation::Attach, words).on(&id);
    site.emulator().client().fault(&rule).unwrap();
    let task = Job::shell("true").label("volume.data", &id);
    refused(
        &site,
        task,
        &[
            "'volume.data'",
            &format!("'{id}'"),
            "the storage is on fire",
            "[denied] ",
        ],
    );
}

#[test]
fn a_driver_that_is_restarted_meanwhile_fails_no_task() {
    let mut site = Site::start(1);
    let id = site.volume("v");
    site.emulator().kill().unwrap();
    let tasks = Tasks::connect(site.cluster());
    let task = tasks.launch(site.agent(0), Job::shell("touch data/file").label("volume.data", &id));
    let records = site.agent(0).state_dir().join("containers");
    eventually("the agent has begun to mount", || {
        match fs::read_dir(&records).map(Iterator::count) {
            Ok(0) | Err(_) => Err("there is no record".to_owned()),
            Ok(_) => Ok(()),
        }
    });
    site.emulator().restart().unwrap();
    finished(&task);
    site.wait_until_nothing_is_left();
}

#[test]
fn a_driver_that_stays_away_fails_the_task_and_works_again_when_it_is_back() {
    let mut site = Site::start(1);
    let id = site.volume("v");
    site.emulator().kill().unwrap();
    let tasks = Tasks::connect(site.cluster());
    let message = tasks.fail(site.agent(0), Job::shell("true").label("volume.data", &id));
    for words in ["'volume.data'", "driver 'ebs'", "ebs.sock", "[unreachable] "] {
        assert!(message.contains(words), "'{words}' is not in: {message}");
    }
    site.emulator().restart().unwrap();
    tasks.finish(site.agent(0), Job::shell("touch data/file").label("volume.data", &id));
    site.wait_until_nothing_is_left();
}

#[test]
fn when_one_of_two_volumes_cannot_be_had_the_other_is_let_go() {
    let site = Site::start(1);
    let id = site.volume("v");
    let task = Job::shell("true").label("volume.a", &id).label("volume.b", "nosuch");
    refused(&site, task, &["'volume.b'", "'nosuch'"]);
}

#[test]
fn a_volume_that_another_host_does_not_let_go_is_refused_with_who_holds_it() {
    let impatient = module().parameter("prepare_timeout", "3secs");
    let mut site = Site::with_agents(1, &AgentSpec::default().module(impatient));
    let id = site.volume("v");
    site.emulator()
        .client()
        .attach_foreign(&id, "i-0123456789abcdef0")
        .unwrap();
    let tasks = Tasks::connect(site.cluster());
    let message = tasks.fail(site.agent(0), Job::shell("true").label("volume.data", &id));
    assert!(
        message.contains("'volume.data': [attached-elsewhere] ") && message.contains("i-0123456789abcdef0"),
        "{message}"
    );
    site.emulator().client().detach(&id).unwrap();
    tasks.finish(site.agent(0), Job::shell("touch data/file").label("volume.data", &id));
    site.wait_until_nothing_is_left();
}
