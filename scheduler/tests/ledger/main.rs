//! The claim ledger in random histories: agents that vanish, machines that are switched off, volumes that are detached by
//! force, lost launches, late listings, crashes. After every step what is granted is compared with what is true.

mod action;
mod mutant;
mod real;
mod world;

use action::Action;
use mutant::Mutant;
use scheduler::ledger::{ClaimRequest, ClaimState, Holder, Ledger, Mode, Refusal, Rules};
use world::{Figures, World};

/// Each seed is run with and without a storage that is asked.
const HISTORIES: u64 = 1_000;

fn run(actions: &[Action], storage: bool, mutant: Mutant) -> Result<Figures, (usize, String)> {
    let mut world = World::new(storage, mutant);
    for (effects, action) in actions.iter().enumerate() {
        world.act(*action).map_err(|what| (effects, what))?;
    }
    world.wind_down().map_err(|what| (actions.len(), what))?;
    Ok(world.figures)
}

/// Leaves out whatever can be left out while the history still breaks a promise.
fn shrunk(mut actions: Vec<Action>, storage: bool) -> Vec<Action> {
    let mut chunk = actions.len().div_ceil(2);
    while chunk > 0 {
        let mut start = 0;
        while start < actions.len() {
            let mut shorter = actions.clone();
            shorter.drain(start..(start + chunk).min(shorter.len()));
            match run(&shorter, storage, Mutant::None) {
                Err(_) => actions = shorter,
                Ok(_) => start += chunk,
            }
        }
        chunk /= 2;
    }
    actions
}

#[test]
fn no_history_gives_a_volume_to_two_or_forgets_one() {
    let (mut granted, mut refused, mut suspects) = (0, 0, 0);
    for seed in 0..HISTORIES {
        for storage in [false, true] {
            let actions = Action::history(seed);
            match run(&actions, storage, Mutant::None) {
                Ok(figures) => {
                    granted += figures.granted;
                    refused += figures.refused;
                    suspects += figures.suspects.min(1);
                }
                Err((effects, what)) => {
                    let actions = shrunk(actions, storage);
                    let what = run(&actions, storage, Mutant::None)
                        .err()
                        .map_or(what, |(_, what)| what);
                    panic!("seed {seed}, storage {storage}, effects {effects}: {what}\n{actions:#?}");
                }
            }
        }
    }
    println!(
        "{HISTORIES} histories twice: {granted} wishes granted, {refused} refused, {suspects} histories with suspects"
    );
    // Histories in which nothing is granted, refused or doubtful would prove nothing.
    assert!(granted > 4_000 && refused > 4_000 && suspects > 500);
}

#[test]
fn every_planted_fault_is_noticed() {
    let mut unnoticed = Vec::new();
    for mutant in Mutant::PLANTED {
        let harmful = |seed: &u64| {
            let actions = Action::history(*seed);
            [false, true]
                .iter()
                .any(|storage| run(&actions, *storage, mutant).is_err())
        };
        match (0..HISTORIES).find(harmful) {
            Some(seed) => println!("{mutant:?}: history {seed}"),
            None => unnoticed.push(mutant),
        }
    }
    assert_eq!(unnoticed, []);
}

#[test]
fn a_refusal_names_the_holder_and_the_state() {
    let mut ledger = Ledger::default();
    let rules = Rules {
        storage: false,
        let_go: 500,
    };
    let holder = |task: &str| Holder {
        framework: "F".into(),
        task: task.into(),
    };
    let request = |task: &str| ClaimRequest {
        holder: holder(task),
        agent: "a1",
        instances: &[],
        volumes: &[("vol-1", Mode::Write)],
        multi_attach: &[],
        without_item: &[],
    };
    ledger.intend(&request("one"), rules, 0).unwrap();
    ledger.task(&holder("one"), &mesos_http::types::TaskState::Unreachable, 5);
    let refusal = ledger.intend(&request("two"), rules, 1_000_000).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "volume vol-1 is SUSPECT by task one of framework F on agent a1"
    );
    assert!(matches!(refusal, Refusal::Held { .. }));
    let states: Vec<_> = ledger.volumes["vol-1"]
        .history
        .iter()
        .map(|change| change.state)
        .collect();
    assert_eq!(states, [Some(ClaimState::Intent), Some(ClaimState::Suspect)]);
}

#[test]
fn a_task_that_runs_keeps_its_claim_although_an_ended_one_of_its_framework_had_the_same_id() {
    let task = |state: &str| -> mesos_http::types::Task {
        let mut task: mesos_http::types::Task = serde_json::from_value(serde_json::json!({
            "name": "t", "task_id": {"value": "t"}, "framework_id": {"value": "G"}, "agent_id": {"value": "a1"},
            "state": state,
        }))
        .unwrap();
        task.resources = vec![mesos_http::types::Resource::set("ebsvolumes", ["vol-1"])];
        task
    };
    let mut tasks = mesos_http::operator::Tasks::default();
    tasks.tasks.push(task("TASK_RUNNING"));
    tasks.completed_tasks.push(task("TASK_FINISHED"));
    let mut ledger = Ledger::default();
    for _ in 0..2 {
        ledger.snapshot(&tasks, None, 5);
        let states: Vec<_> = ledger.claims().map(|(_, claim)| claim.state).collect();
        assert_eq!(states, [ClaimState::InUse]);
    }
}

#[test]
fn a_volume_that_a_stranger_has_is_refused_by_his_name() {
    let listing = r#"{"Volumes": [{"VolumeId": "vol-1", "AvailabilityZone": "za", "State": "in-use",
        "Attachments": [{"InstanceId": "i-1", "State": "attached"}]}]}"#;
    let mut ledger = Ledger::default();
    let catalogue = label_mapper::Catalogue::from_describe_volumes(listing).unwrap();
    ledger.stored(&catalogue, 1, 2);
    let rules = Rules {
        storage: true,
        let_go: 500,
    };
    const THEIRS: [&str; 1] = ["i-1"];
    const OURS: [&str; 1] = ["i-2"];
    let request = |instances: &'static [&'static str]| ClaimRequest {
        holder: Holder {
            framework: "F".into(),
            task: "t".into(),
        },
        agent: "a1",
        instances,
        volumes: &[("vol-1", Mode::Write)],
        multi_attach: &[],
        without_item: &[],
    };
    let refusal = ledger.refusal(&request(&OURS), rules, 10).unwrap();
    assert_eq!(
        refusal.to_string(),
        "volume vol-1 is attached to i-1, and no known task uses it there"
    );
    assert_eq!(ledger.refusal(&request(&THEIRS), rules, 10), None);
}

/// EC2 lists a volume as `busy` while it waits for the host to let go of the device.
#[test]
fn a_volume_that_is_being_detached_from_the_agents_own_host_is_waited_for() {
    const OURS: [&str; 1] = ["i-1"];
    let catalogue = |state: &str| {
        let listing = format!(
            r#"{{"Volumes": [{{"VolumeId": "vol-1", "AvailabilityZone": "za", "State": "in-use",
                "Attachments": [{{"InstanceId": "i-1", "State": "{state}"}}]}}]}}"#
        );
        label_mapper::Catalogue::from_describe_volumes(&listing).expect("the listing is a catalogue")
    };
    let rules = Rules {
        storage: true,
        let_go: 500,
    };
    let holder = |task: &str| Holder {
        framework: "F".into(),
        task: task.into(),
    };
    let request = |task: &str| ClaimRequest {
        holder: holder(task),
        agent: "a1",
        instances: &OURS,
        volumes: &[("vol-1", Mode::Write)],
        multi_attach: &[],
        without_item: &[],
    };
    for state in ["busy", "detaching"] {
        let mut ledger = Ledger::default();
        ledger.stored(&catalogue(state), 10, 11);
        let refusal = ledger.intend(&request("one"), rules, 12).expect_err("it is leaving");
        assert!(matches!(refusal, Refusal::Leaving { .. }));
        assert_eq!(
            refusal.to_string(),
            "volume vol-1 is being detached from i-1, and can be attached again when the storage lists it as detached"
        );
        // The next listing has it attached again, or detached.
        ledger.stored(&catalogue("attached"), 20, 21);
        ledger.intend(&request("one"), rules, 22).expect("it is attached here");
        // A task that ends after the storage was asked has had the volume since.
        let mut ledger = Ledger::default();
        ledger.intend(&request("one"), rules, 5).expect("no task has it");
        ledger.task(&holder("one"), &mesos_http::types::TaskState::Running, 6);
        ledger.stored(&catalogue(state), 10, 11);
        ledger.task(&holder("one"), &mesos_http::types::TaskState::Finished, 12);
        ledger
            .intend(&request("two"), rules, 13)
            .expect("the listing is older than the task's end");
    }
}
