//! What ends a task and frees its volumes, and what does not.

use mesos_http::types::{Reason, TaskState, TaskStatus};
use scheduler::ledger::ClaimState;
use scheduler::service::Settings;
use scheduler::state::Standing;
use serde_json::json;

use crate::world::{World, job, settings, text_attribute, volume, with_attributes};

const WRITER: &str = ", volumes: {v: vol-1}";
const READER: &str = ", volumes: {v: {volume: vol-1, mode: ro}}";

fn with_storage() -> World {
    World::with(Settings {
        storage: true,
        ..settings()
    })
}

fn claims(world: &World) -> Vec<ClaimState> {
    world.service.ledger().claims().map(|(_, claim)| claim.state).collect()
}

fn on_host(world: &mut World, agent: &str, volumes: &[&str]) -> Vec<String> {
    let attributes = json!([text_attribute("instance_id", &format!("i-{agent}"))]);
    with_attributes(world, agent, volumes, &attributes)
}

#[test]
fn a_task_that_was_unreachable_when_its_run_was_cancelled_is_killed_when_it_is_back() {
    let mut world = World::new();
    world.begin(&job("j", ""));
    world.offer("s1", 4.0, &[]);
    world.update("j.1.a.1", TaskState::Running);
    world.update("j.1.a.1", TaskState::Unreachable);
    world.cancel("j.1");
    // The master drops the KILL: it does not reach the agent.
    world.killed.clear();
    world.update("j.1.a.1", TaskState::Running);
    assert_eq!(world.killed, ["j.1.a.1"]);
    world.update("j.1.a.1", TaskState::Killed);
    assert!(world.service.runs()["j.1"].state().end.is_some());
}

#[test]
fn a_launch_of_a_bad_offer_frees_its_claim_although_an_old_master_calls_the_task_lost() {
    let mut world = World::new();
    world.begin(&job("j", WRITER));
    world.offer("s1", 4.0, &["vol-1"]);
    let mut status = TaskStatus::new("j.1.a.1".into(), TaskState::Lost);
    status.reason = Some(Reason::InvalidOffers);
    world.update_with(status);
    assert_eq!(claims(&world), []);
    world.pass(1_000);
    assert_eq!(world.offer("s1", 4.0, &["vol-1"]), ["j.1.a.2"]);
}

#[test]
fn a_task_of_which_gone_is_the_first_word_keeps_its_claim_until_the_storage_has_detached_its_volume() {
    let mut world = with_storage();
    world.list(&json!([volume("vol-1", false, &[])]));
    world.begin(&job("j", WRITER));
    on_host(&mut world, "s1", &["vol-1"]);
    world.update("j.1.a.1", TaskState::Gone);
    assert_eq!(
        claims(&world),
        [ClaimState::Releasing],
        "it may have attached the volume"
    );
    world.list(&json!([volume("vol-1", false, &[])]));
    assert_eq!(claims(&world), []);
}

#[test]
fn readers_of_another_run_join_readers_on_two_agents_where_several_hosts_may_attach_the_volume() {
    let mut world = with_storage();
    world.list(&json!([volume("vol-1", true, &[])]));
    for (name, agent) in [("one", "s1"), ("two", "s2")] {
        world.begin(&job(name, READER));
        assert_eq!(on_host(&mut world, agent, &["vol-1"]).len(), 1);
    }
    world.list(&json!([volume("vol-1", true, &["i-s1", "i-s2"])]));
    world.begin(&job("three", READER));
    // The first reader holds the item of the agent.
    assert_eq!(
        on_host(&mut world, "s1", &[]),
        ["three.1.a.1"],
        "{}",
        world.why("three.1")
    );
}

#[test]
fn nobody_writes_or_reads_beside_a_host_that_no_claim_explains() {
    for kind in [WRITER, READER] {
        let mut world = with_storage();
        world.list(&json!([volume("vol-1", true, &["i-foreign"])]));
        world.begin(&job("j", kind));
        assert!(on_host(&mut world, "s1", &["vol-1"]).is_empty());
        let why = world.why("j.1");
        assert!(why.contains("volume vol-1 is attached to i-foreign"), "{why}");
    }
}

#[test]
fn a_volume_that_was_deleted_after_its_task_leaves_no_claim_and_no_attachment() {
    let mut world = with_storage();
    let other = volume("vol-2", false, &[]);
    world.list(&json!([volume("vol-1", false, &[]), other]));
    world.begin(&job("j", WRITER));
    on_host(&mut world, "s1", &["vol-1"]);
    world.update("j.1.a.1", TaskState::Running);
    world.list(&json!([volume("vol-1", false, &["i-s1"]), other]));
    world.update("j.1.a.1", TaskState::Finished);
    world.list(&json!([]));
    assert_eq!(
        claims(&world),
        [ClaimState::Releasing],
        "an empty listing proves nothing"
    );
    world.list(&json!([other]));
    assert_eq!(claims(&world), []);
    let on_host = world.service.ledger().on_host("s9", &["i-s1"]);
    assert!(on_host.is_empty(), "{on_host:?}");
}

#[test]
fn a_task_that_the_operator_stream_saw_run_is_not_run_again_when_it_is_gone() {
    let mut world = World::new();
    world.begin(&job("j", ""));
    world.offer("s1", 4.0, &[]);
    world.seen_on_the_operator_stream("j.1.a.1", TaskState::Running);
    world.restart();
    world.update("j.1.a.1", TaskState::Gone);
    assert_eq!(world.standing("j.1", "a"), Standing::Failed);
}

/// A task that runs with the volume on an agent that the master then forgets.
fn forgotten(extra: &str) -> World {
    let mut world = with_storage();
    world.list(&json!([volume("vol-1", false, &[])]));
    world.begin(&job("j", &format!("{WRITER}{extra}")));
    on_host(&mut world, "s1", &["vol-1"]);
    world.update("j.1.a.1", TaskState::Running);
    world.list(&json!([volume("vol-1", false, &["i-s1"])]));
    world.update("j.1.a.1", TaskState::Lost);
    world.update("j.1.a.1", TaskState::Unknown);
    world
}

#[test]
fn a_task_that_the_master_has_forgotten_ends_with_the_listing_in_which_its_volume_is_detached() {
    for restarts in [false, true] {
        let mut world = forgotten("");
        world.list(&json!([volume("vol-1", false, &["i-s1"])]));
        assert_eq!(world.standing("j.1", "a"), Standing::Active, "the volume is attached");
        assert!(
            world
                .why("j.1")
                .contains("it ends by itself when the storage lists vol-1 as detached")
        );
        if restarts {
            world.restart();
        }
        world.list(&json!([volume("vol-1", false, &[])]));
        assert_eq!(world.standing("j.1", "a"), Standing::Failed);
        assert_eq!(claims(&world), []);
        assert_eq!(world.begin_again("j"), "j.2");
        assert_eq!(on_host(&mut world, "s2", &["vol-1"]), ["j.2.a.1"]);
    }
    let mut world = forgotten(", retries: 1");
    world.list(&json!([volume("vol-1", false, &[])]));
    assert_eq!(world.standing("j.1", "a"), Standing::Ready, "it uses its retry");
    world.pass(1_000);
    assert_eq!(on_host(&mut world, "s2", &["vol-1"]), ["j.1.a.2"]);
    world.killed.clear();
    world.update("j.1.a.1", TaskState::Running);
    assert_eq!(world.killed, ["j.1.a.1"], "it turns up after all");
}

#[test]
fn a_task_whose_agent_cannot_be_reached_does_not_end_with_its_attachment() {
    let mut world = forgotten("");
    world.update("j.1.a.1", TaskState::Unreachable);
    world.list(&json!([volume("vol-1", false, &[])]));
    // The agent may have unmounted after the task's end, and may come back and say how it ended.
    assert_eq!(world.standing("j.1", "a"), Standing::Active);
    world.update("j.1.a.1", TaskState::Finished);
    assert_eq!(world.standing("j.1", "a"), Standing::Finished);
}

#[test]
fn a_task_is_declared_dead_only_when_nobody_can_say_whether_it_runs() {
    let mut world = World::new();
    world.begin(&job("j", WRITER));
    world.offer("s1", 4.0, &["vol-1"]);
    world.update("j.1.a.1", TaskState::Running);
    let declare = |world: &mut World, task: &str| {
        let done = world.service.declare_dead(task, world.now);
        done.map(|effects| world.take(effects))
            .map_err(|error| error.to_string())
    };
    let refused = declare(&mut world, "j.1.a.1").unwrap_err();
    assert!(refused.contains("'j.1.a.1' is TASK_RUNNING on s1"), "{refused}");
    assert!(declare(&mut world, "j.1.a.9").is_err());
    world.update("j.1.a.1", TaskState::Unknown);
    assert!(world.why("j.1").contains("scheduler declare-dead --state DIR j.1.a.1"));
    declare(&mut world, "j.1.a.1").unwrap();
    assert_eq!(claims(&world), [ClaimState::Fenced]);
    assert_eq!(world.standing("j.1", "a"), Standing::Failed);
    world.restart();
    assert_eq!(world.standing("j.1", "a"), Standing::Failed);
    assert_eq!(claims(&world), [ClaimState::Fenced]);
    assert!(declare(&mut world, "j.1.a.1").is_err(), "it has ended");
    world.pass(1_000);
    assert_eq!(world.begin_again("j"), "j.2");
    assert_eq!(world.offer("s2", 4.0, &["vol-1"]), ["j.2.a.1"]);
}

#[test]
fn a_reader_of_another_run_waits_for_the_item_when_the_reader_that_held_it_has_ended() {
    let mut world = World::new();
    world.begin(&job("one", READER));
    world.begin(&job("two", READER));
    assert_eq!(world.offer("s1", 4.0, &["vol-1"]), ["one.1.a.1", "two.1.a.1"]);
    for run in ["one.1", "two.1"] {
        world.update(&format!("{run}.a.1"), TaskState::Running);
    }
    world.begin(&job("three", READER));
    world.update("one.1.a.1", TaskState::Finished);
    world.restart();
    // Another framework has the item, and may write.
    assert!(world.offer("s1", 4.0, &[]).is_empty());
    assert_eq!(world.offer("s1", 4.0, &["vol-1"]), ["three.1.a.1"]);
}
