//! The service without its I/O, with a clock of its own.

mod clocks;
mod ends;
mod hours;
mod numbers;
mod proofs;
mod schedules;
mod world;

use mesos_http::operator::ClusterEvent;
use mesos_http::scheduler::{Call, Event as MasterEvent};
use mesos_http::types::TaskState;
use scheduler::progress::Progress;
use scheduler::service::Event;
use scheduler::service::{Cause, Settings};
use world::{World, job, settings, text_attribute, with_attributes};

#[test]
fn a_job_with_a_schedule_begins_when_it_is_due_and_not_twice_at_once() {
    let mut world = World::new();
    world.give(&format!("schedule: '*/10 * * * * Europe/Zurich'\n{}", job("tenly", "")));
    world.pass(599_000);
    assert!(world.service.runs().is_empty());
    world.pass(1_000);
    assert_eq!(world.offer("s1", 4.0, &[]), ["tenly.1.a.1"]);
    world.update("tenly.1.a.1", TaskState::Running);
    world.pass(600_000);
    assert_eq!(world.service.runs().len(), 1);
    assert!(
        world
            .reports
            .iter()
            .any(|report| matches!(report, Progress::Skipped { .. }))
    );
    world.update("tenly.1.a.1", TaskState::Finished);
    // A service that was down when it was due begins it when it is back, once.
    world.now += 3_600_000;
    world.restart();
    world.pass(1_000);
    assert!(world.service.active_run("tenly").is_some());
    assert_eq!(world.service.runs().len(), 2);
    assert!(world.service.jobs()["tenly"].next_ms.unwrap() > world.now);
}

#[test]
fn several_jobs_share_one_offer_by_priority() {
    let mut world = World::new();
    for (name, extra) in [("low", ""), ("high", ", priority: 3"), ("mid", ", priority: 1")] {
        world.begin(&job(name, extra));
    }
    assert_eq!(world.offer("s1", 2.0, &[]), ["high.1.a.1", "mid.1.a.1"]);
    assert_eq!(world.offer("s1", 2.0, &[]), ["low.1.a.1"]);
}

#[test]
fn a_volume_has_one_writer_over_all_jobs_and_none_beside_a_lost_one() {
    let mut world = World::new();
    world.begin(&job("one", ", volumes: {v: vol-1}"));
    let two = world.begin(&job("two", ", volumes: {v: vol-1}"));
    assert_eq!(world.offer("s1", 4.0, &["vol-1"]), ["one.1.a.1"]);
    world.update("one.1.a.1", TaskState::Running);
    world.update("one.1.a.1", TaskState::Unreachable);
    world.pass(3_600_000);
    assert!(world.offer("s2", 4.0, &["vol-1"]).is_empty());
    let why = world.service.explain(&two, world.now).unwrap();
    assert!(why[0].why[0].contains("SUSPECT by task one.1.a.1"), "{why:?}");
    assert!(
        why[0].why[0].ends_with("scheduler declare-dead --state DIR one.1.a.1"),
        "{why:?}"
    );
    world.restart();
    assert!(world.offer("s2", 4.0, &["vol-1"]).is_empty(), "nor after a crash");
    world.update("one.1.a.1", TaskState::GoneByOperator);
    world.pass(1_000);
    assert_eq!(world.offer("s2", 4.0, &["vol-1"]), ["two.1.a.1"]);
}

#[test]
fn a_cancelled_run_is_killed_and_begins_nothing_more() {
    let mut world = World::new();
    let text =
        "version: 1\nname: j\ntasks:\n  a: {command: x, retries: 5}\n  b: {command: x}\n  c: {command: x, after: a}\n";
    let id = world.begin(text);
    assert_eq!(world.offer("s1", 0.1, &[]), ["j.1.a.1"]);
    let effects = world.service.cancel(&id, world.now).unwrap();
    assert!(
        effects
            .calls
            .iter()
            .any(|call| matches!(call, Call::Kill(kill) if kill.task_id.as_str() == "j.1.a.1"))
    );
    world.take(effects);
    assert!(world.offer("s1", 4.0, &[]).is_empty());
    world.update("j.1.a.1", TaskState::Killed);
    let end = world.service.runs()[&id].state().end.clone().unwrap();
    assert_eq!(end.blocked, ["b", "c"]);
    assert!(end.failures.iter().any(|what| what == "the run was cancelled"));
}

#[test]
fn the_master_is_asked_for_tasks_of_no_run_which_are_killed() {
    let mut world = World::new();
    world.pass(59_000);
    assert_eq!(world.all_asked, 0, "agents need a while to come back to a new master");
    world.pass(2_000);
    assert_eq!(world.all_asked, 1);
    world.update("forgotten.7.a.1", TaskState::Running);
    assert_eq!(world.killed, ["forgotten.7.a.1"]);
    world.pass(14 * 60_000);
    assert_eq!(world.all_asked, 1);
    world.pass(60_000);
    assert_eq!(world.all_asked, 2);
    world.event(Event::Disconnected {
        reason: "the master is away".to_owned(),
    });
    world.pass(3_600_000);
    assert_eq!(world.all_asked, 2);
}

#[test]
fn only_the_latest_ended_runs_are_kept() {
    let mut world = World::new();
    world.begin(&job("j", ""));
    for number in 1..=4 {
        world.offer("s1", 1.0, &[]);
        world.update(&format!("j.{number}.a.1"), TaskState::Finished);
        let (_, effects) = world.service.begin("j", Cause::Request, world.now).unwrap();
        world.take(effects);
    }
    let kept: Vec<&String> = world.service.runs().keys().collect();
    assert_eq!(kept, ["j.3", "j.4", "j.5"]);
    assert_eq!(world.disk.2.len(), 3);
}

#[test]
fn an_agent_whose_host_has_no_attachment_left_gets_no_further_volume() {
    let mut world = World::new();
    for (name, volume) in [("j1", "v1"), ("j2", "v2"), ("j3", "v3"), ("j4", "v1")] {
        world.begin(&job(name, &format!(", volumes: {{v: {volume}}}")));
    }
    let limit = serde_json::json!([{"name": "attach_limit", "type": "SCALAR", "scalar": {"value": 2}}]);
    let all = ["v1", "v2", "v3"];
    // Several jobs in one offer, up to the limit.
    assert_eq!(
        with_attributes(&mut world, "a1", &all, &limit),
        ["j1.1.a.1", "j2.1.a.1"]
    );
    let why = world.service.explain("j3.1", world.now).unwrap()[0].why.join("; ");
    assert!(
        why.contains("2 volumes attached to its host or claimed there, 1 more wanted, and its limit is 2"),
        "{why}"
    );
    // A volume that it has takes no further attachment, and one that was let go makes room.
    world.update("j1.1.a.1", TaskState::Running);
    world.update("j1.1.a.1", TaskState::Finished);
    assert_eq!(with_attributes(&mut world, "a1", &all, &limit), ["j4.1.a.1"]);
    world.update("j2.1.a.1", TaskState::Finished);
    world.pass(1_000);
    assert_eq!(with_attributes(&mut world, "a1", &all, &limit), ["j3.1.a.1"]);
}

#[test]
fn the_storages_own_attachments_count_and_draw_tasks_to_their_host() {
    let listing = r#"{"Volumes": [
        {"VolumeId": "v1", "AvailabilityZone": "za", "State": "in-use", "Attachments": [{"InstanceId": "i-2", "State": "attached"}]},
        {"VolumeId": "v2", "AvailabilityZone": "za", "State": "available"}]}"#;
    let mut world = World::with(Settings {
        storage: true,
        ..settings()
    });
    let catalogue = label_mapper::Catalogue::from_describe_volumes(listing).unwrap();
    let effects = world.service.listed(catalogue, world.now, world.now);
    world.take(effects);
    world.begin(&job("one", ", volumes: {v: v2}"));
    let of_host = |limit: &str| {
        serde_json::json!([
            text_attribute("attach_limit", limit),
            text_attribute("instance_id", "i-2")
        ])
    };
    let launched = with_attributes(&mut world, "a2", &["v1", "v2"], &of_host("1"));
    assert!(launched.is_empty(), "v1 is attached there");
    // Its own volume is there already.
    world.begin(&job("two", ", volumes: {v: v1}"));
    let launched = with_attributes(&mut world, "a2", &["v1", "v2"], &of_host("1"));
    assert_eq!(launched, ["two.1.a.1"]);
}

#[test]
fn a_run_goes_to_the_agent_that_had_its_volume_in_the_run_before() {
    let mut world = World::new();
    world.begin(&job("j", ", volumes: {v: v1}"));
    assert_eq!(world.offer("a1", 2.0, &["v1"]), ["j.1.a.1"]);
    world.update("j.1.a.1", TaskState::Running);
    world.update("j.1.a.1", TaskState::Finished);
    world.pass(2_000);
    let (_, effects) = world.service.begin("j", Cause::Request, world.now).unwrap();
    world.take(effects);
    // The other agent has more to give.
    let offers = [("a2", 8.0), ("a1", 2.0)].map(|(agent, cpus)| world.made_offer(agent, cpus, &["v1"]));
    world.event(Event::Master(Box::new(MasterEvent::Offers(offers.to_vec()))));
    let task = &world.service.runs()["j.2"].state().tasks["a"];
    assert_eq!(task.attempts[0].agent.id, "a1");
}

#[test]
fn readers_of_several_jobs_share_an_agent_unless_it_wants_a_claim_of_each() {
    let reader = ", volumes: {v: {volume: v1, mode: ro}}";
    let mut world = World::new();
    world.begin(&job("one", reader));
    world.begin(&job("two", reader));
    assert_eq!(world.offer("a1", 8.0, &["v1"]), ["one.1.a.1", "two.1.a.1"]);

    let mut world = World::new();
    world.begin(&job("one", reader));
    world.begin(&job("two", reader));
    let strict = serde_json::json!([text_attribute("require_claim", "true")]);
    assert_eq!(with_attributes(&mut world, "a1", &["v1"], &strict), ["one.1.a.1"]);
    let why = world.service.explain("two.1", world.now).unwrap()[0].why.join("; ");
    assert!(why.contains("it does not offer volume 'v1'"), "{why}");
    world.update("one.1.a.1", TaskState::Running);
    assert!(with_attributes(&mut world, "a1", &[], &strict).is_empty());
    world.update("one.1.a.1", TaskState::Finished);
    assert_eq!(with_attributes(&mut world, "a1", &["v1"], &strict), ["two.1.a.1"]);
}

#[test]
fn a_claim_that_nobody_ends_is_told_again_and_again_and_counted() {
    let mut world = World::with(Settings {
        storage: true,
        release_alarm: 60_000,
        ..settings()
    });
    world.begin(&job("j", ", volumes: {v: v1}"));
    world.offer("a1", 8.0, &["v1"]);
    world.update("j.1.a.1", TaskState::Running);
    world.pass(100_000);
    let overdue = |world: &World| {
        let report = world
            .reports
            .iter()
            .filter(|report| matches!(report, Progress::Overdue { .. }));
        report.map(ToString::to_string).collect::<Vec<_>>()
    };
    assert!(overdue(&world).is_empty(), "a task may run as long as it likes");
    world.update("j.1.a.1", TaskState::Finished);
    world.pass(59_000);
    assert!(overdue(&world).is_empty());
    world.pass(62_000);
    let report = overdue(&world);
    assert_eq!(report.len(), 2, "{report:?}");
    assert!(
        report[0].starts_with("volume v1 has been RELEASING for 60 s by task j.1.a.1 of framework F on agent a1: "),
        "{report:?}"
    );
    let metrics = scheduler::service::metrics::text(&world.service, world.now);
    for line in [
        "scheduler_claims_overdue 1",
        "scheduler_claim_age_seconds{state=\"RELEASING\"} 121",
    ] {
        assert!(metrics.lines().any(|own| own == line), "{line} is not in\n{metrics}");
    }
}

#[test]
fn aliases_are_found_in_job_files_and_survive_a_crash() {
    let texts = [
        r#"{"Volumes": [{"VolumeId": "vol-1", "AvailabilityZone": "za", "State": "available"}]}"#,
        "aliases: {plan: vol-1}",
    ];
    let mut world = World::new();
    let listed = |world: &mut World| {
        let catalogue = label_mapper::Catalogue::from_texts(texts).unwrap();
        let effects = world.service.listed(catalogue, world.now, world.now);
        world.take(effects);
    };
    listed(&mut world);
    world.begin(&job("j", ", volumes: {v: plan}"));
    world.restart();
    assert_eq!(world.offer("a1", 8.0, &["vol-1"]), ["j.1.a.1"]);
}

#[test]
fn a_task_that_waits_for_a_volume_of_another_job_says_which_task_has_it() {
    let mut world = World::new();
    world.begin(&job("one", ", volumes: {v: vol-1}"));
    world.begin(&job("two", ", volumes: {v: vol-1}"));
    assert_eq!(world.offer("s1", 4.0, &["vol-1"]), ["one.1.a.1"]);
    world.update("one.1.a.1", TaskState::Running);
    world.pass(10_000);
    let reports = world.reports.iter().map(ToString::to_string);
    let waiting: Vec<String> = reports.filter(|report| report.contains("waiting")).collect();
    assert_eq!(
        waiting,
        ["a: waiting for 5.00 s: volume vol-1 is IN_USE by task one.1.a.1 of framework F on agent s1"]
    );
}

#[test]
fn a_closed_operator_stream_is_reported_once_and_not_while_the_master_is_away() {
    let mut world = World::new();
    let close = |world: &mut World| {
        let url = "http://m:5050/api/v1".to_owned();
        let event = ClusterEvent::Disconnected(mesos_http::Error::Closed { url });
        let effects = world.service.cluster(event, world.now);
        world.take(effects);
        world.now += 1_000;
    };
    world.event(Event::Disconnected {
        reason: "the master is away".to_owned(),
    });
    (0..5).for_each(|_| close(&mut world));
    world.connect();
    (0..31).for_each(|_| close(&mut world));
    let reports = world.reports.iter().map(ToString::to_string);
    let closed: Vec<String> = reports.filter(|report| report.contains("operator stream")).collect();
    let why = "the tasks of other frameworks are not seen, because the operator stream is closed";
    let cause = "the scheduler tries again: http://m:5050/api/v1 closed the event stream";
    assert_eq!(closed, [format!("{why}; {cause}"), format!("{why} for 30 s; {cause}")]);
}
