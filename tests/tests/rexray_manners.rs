//! A driver that behaves as REX-Ray with EBS does, under a real agent: what it refuses, leaves behind or does not find is told
//! with its code, and nothing stays attached.

use std::fs;
use std::time::Duration;

use ebs_emulator::{Action, EventKind, FaultRule, Manners, Operation};
use testbed::{AgentSpec, Job};
use tests::{Site, Tasks, eventually, finished, module, running};

fn on_rexray() -> Site {
    with(&Manners::rexray(), AgentSpec::default().module(module()))
}

fn with(manners: &Manners, spec: AgentSpec) -> Site {
    Site::with_manners(manners, &spec)
}

fn on_volume(name: &str) -> Job {
    Job::shell("touch data/file").label("volume.data", name)
}

/// Runs a task that must fail with this code and these words in its message.
fn refused(site: &Site, job: Job, code: &str, words: &[&str]) {
    let message = Tasks::connect(site.cluster()).fail(site.agent(0), job);
    let code = format!(": [{code}] ");
    for words in words.iter().chain(&["label 'volume.data'", code.as_str()]) {
        assert!(message.contains(words), "'{words}' is not in: {message}");
    }
}

#[test]
fn an_attach_that_outlasts_the_drivers_own_limit_is_uncertain_and_leaves_nothing_attached() {
    let manners = Manners::rexray().time_limit(Duration::from_millis(200));
    let mut site = with(&manners, AgentSpec::default().module(module()));
    site.volume("slow");
    let slow = FaultRule::new(Operation::Attach, Action::Delay { ms: 2_000 }).times(1);
    site.emulator().client().fault(&slow).unwrap();
    refused(&site, on_volume("slow"), "uncertain", &["failed:"]);
    site.wait_until_nothing_is_left();
    Tasks::connect(site.cluster()).finish(site.agent(0), on_volume("slow"));
    site.wait_until_nothing_is_left();
}

#[test]
fn a_mount_that_is_refused_after_its_attach_leaves_nothing_attached() {
    let mut site = on_rexray();
    site.volume("broken");
    let broken = Action::Fail {
        message: "error mounting directory".into(),
    };
    let rule = FaultRule::new(Operation::Format, broken).times(1);
    site.emulator().client().fault(&rule).unwrap();
    refused(&site, on_volume("broken"), "denied", &["error mounting directory"]);
    site.wait_until_nothing_is_left();
}

#[test]
fn a_volume_of_another_zone_whose_id_is_known_is_not_made_a_second_time() {
    let folder = tempfile::tempdir().unwrap();
    let names = folder.path().join("names.json");
    fs::write(&names, "{}").unwrap();
    let module = module().parameter("name_map", names.display().to_string());
    let mut site = with(&Manners::rexray(), AgentSpec::default().module(module));
    let elsewhere = site.emulator().client().create("elsewhere", 1, "zone-b").unwrap();
    let id = elsewhere.volume_id.to_string();
    fs::write(&names, format!(r#"{{"{id}": "elsewhere"}}"#)).unwrap();
    for name in [id.as_str(), "elsewhere"] {
        let job = on_volume(name).label("volume.data.create", "if-missing");
        refused(&site, job, "not-found", &["'elsewhere'"]);
    }
    assert_eq!(site.volumes(), ["elsewhere"]);
    // One that nobody knows is made.
    let tasks = Tasks::connect(site.cluster());
    tasks.finish(
        site.agent(0),
        on_volume("new").label("volume.data.create", "if-missing"),
    );
    assert_eq!(site.volumes(), ["elsewhere", "new"]);
    site.wait_until_nothing_is_left();
}

#[test]
fn a_name_that_the_driver_could_not_unmount_is_refused_before_it_is_mounted() {
    let site = on_rexray();
    site.volume("my data");
    refused(
        &site,
        on_volume("my data"),
        "invalid",
        &["'my data'", "a space", "rename the volume"],
    );
    let asked = site.events().into_iter().filter(|event| event.operation.is_some());
    assert_eq!(asked.count(), 0, "nothing was sent to the driver");
}

#[test]
fn a_create_that_is_turned_off_is_told_at_once() {
    let mut site = on_rexray();
    let rule = FaultRule::new(Operation::Create, Action::Pretend);
    site.emulator().client().fault(&rule).unwrap();
    for label in [
        ("volume.data.create", "if-missing"),
        ("volume.data.lifetime", "container"),
    ] {
        let job = on_volume("new").label(label.0, label.1);
        refused(&site, job, "denied", &["create.disable"]);
    }
    assert_eq!(site.volumes(), Vec::<String>::new());
    site.wait_until_nothing_is_left();
}

#[test]
fn tasks_at_once_on_volumes_of_their_own_do_not_collide() {
    let site = on_rexray();
    let names: Vec<String> = (0..8).map(|number| format!("volume-{number}")).collect();
    for name in &names {
        site.volume(name);
    }
    let tasks = Tasks::connect(site.cluster());
    let launched = tasks.launch_all(site.agent(0), names.iter().map(|name| on_volume(name)));
    launched.iter().for_each(finished);
    site.wait_until_nothing_is_left();
}

/// How many calls of a kind the driver did what it was asked for in.
fn done(site: &Site, operation: Operation) -> usize {
    let answers = site
        .events()
        .into_iter()
        .filter(|event| event.kind == EventKind::Answer);
    answers
        .filter(|event| event.operation == Some(operation) && event.error.is_none())
        .count()
}

/// All that REX-Ray does, by a driver that finds volumes by their id as well and answers with the name that it was asked for.
fn rexray_with_ids() -> Manners {
    let traits: Vec<String> = Manners::rexray()
        .to_string()
        .split('+')
        .filter(|part| !["names-only", "ignores-case"].contains(part))
        .map(str::to_owned)
        .collect();
    traits
        .join("+")
        .parse()
        .expect("the names are those that it writes itself")
}

fn until_told(volume: &str) -> Job {
    Job::shell("until [ -e data/stop ]; do sleep 0.1; done").label("volume.data", volume)
}

/// Only the mount shows that the id and the name are one volume.
#[test]
fn an_id_that_turns_out_to_be_an_exclusive_volume_is_refused_with_both_spellings_and_every_mount_is_undone() {
    let site = with(&rexray_with_ids(), AgentSpec::default().module(module()));
    let id = site.volume("ledgers");
    let tasks = Tasks::connect(site.cluster());
    let alone = until_told("ledgers").label("volume.data.access", "exclusive");
    let holder = tasks.launch(site.agent(0), alone);
    running(&holder);
    let words = ["the same volume as", "'ledgers'", id.as_str()];
    refused(
        &site,
        Job::shell("touch data/second").label("volume.data", &id),
        "busy",
        &words,
    );
    let mounts = site.mounts();
    assert_eq!(mounts.len(), 1, "nothing is unmounted under the first: {mounts:?}");
    let data = mounts[0].target.join("data");
    assert!(!data.join("second").exists(), "the second did not start");
    fs::write(data.join("stop"), "").unwrap();
    finished(&holder);
    site.wait_until_nothing_is_left();
    assert_eq!(done(&site, Operation::Mount), done(&site, Operation::Unmount));
}

/// A driver that counts keeps the volume mounted after the first of two Unmounts, and that is no fault.
#[test]
fn the_first_unmount_of_a_volume_that_is_mounted_by_two_spellings_is_not_told_as_still_mounted() {
    let site = with(&rexray_with_ids(), AgentSpec::default().module(module()));
    let id = site.volume("ledgers");
    let tasks = Tasks::connect(site.cluster());
    let both = tasks.launch_all(site.agent(0), [until_told("ledgers"), until_told(&id)]);
    both.iter().for_each(running);
    let mounts = site.mounts();
    assert_eq!(mounts.len(), 1, "{mounts:?}");
    fs::write(mounts[0].target.join("data/stop"), "").unwrap();
    both.iter().for_each(finished);
    site.wait_until_nothing_is_left();
    assert_eq!(done(&site, Operation::Mount), 2);
    assert_eq!(done(&site, Operation::Unmount), 2);
    assert!(!site.agent(0).log().contains("still mounted"));
}

#[test]
fn an_unmount_that_reports_success_and_does_nothing_is_told_tried_again_and_never_lost_from_the_records() {
    let mut site = on_rexray();
    site.volume("kept");
    let pretend = FaultRule::new(Operation::Unmount, Action::Pretend);
    let rule = site.emulator().client().fault(&pretend).unwrap();
    Tasks::connect(site.cluster()).finish(site.agent(0), on_volume("kept"));
    let told_as_stuck = |site: &Site| {
        let file = site.agent(0).state_dir().join("status.json");
        eventually("the volume is told as stuck", || {
            let status = fs::read_to_string(&file).map_err(|error| error.to_string())?;
            let is_told = status.contains("\"stuck\"") && status.contains("is still mounted");
            is_told.then_some(()).ok_or(status)
        });
        let records = fs::read_dir(site.agent(0).state_dir().join("containers")).unwrap();
        assert_eq!((site.mounts().len(), records.count()), (1, 1));
    };
    told_as_stuck(&site);
    eventually("it is tried again", || match done(&site, Operation::Unmount) {
        tried @ 0..3 => Err(tried.to_string()),
        _ => Ok(()),
    });
    site.agent(0).kill().unwrap();
    site.agent(0).restart().unwrap_or_else(|error| panic!("{error}"));
    told_as_stuck(&site);
    site.emulator().client().clear_faults(Some(rule)).unwrap();
    site.wait_until_nothing_is_left();
    Tasks::connect(site.cluster()).finish(site.agent(0), on_volume("kept"));
    site.wait_until_nothing_is_left();
}
