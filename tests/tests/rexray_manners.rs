//! A driver that behaves as REX-Ray with EBS does, under a real agent: what it refuses, leaves behind or does not find is told
//! with its code, and nothing stays attached.

use std::fs;
use std::time::Duration;

use ebs_emulator::{Action, FaultRule, Manners, Operation};
use testbed::{AgentSpec, Job};
use tests::{Site, Tasks, module};

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
    launched.iter().for_each(tests::finished);
    site.wait_until_nothing_is_left();
}
