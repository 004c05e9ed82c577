//! Retries, timeouts, priorities and readers.

use mesos_http::types::TaskState::*;
use scheduler::state::Standing;

use crate::world::{World, agent, update};

#[test]
fn a_task_with_retries_is_run_again_until_they_are_used_up() {
    let mut world = World::new(
        "version: 1\nname: j\ntasks:\n  a: {command: x, retries: 2, retry-pause: 2s}\n  b: {command: x, after: a}\n",
    );
    world.connect();
    for (attempt, pause) in [(1, 2_000), (2, 4_000)] {
        world.offer(&[agent("s1")]);
        assert_eq!(world.launches().len(), 1);
        world.update(update(&format!("j.a.{attempt}"), Running).acknowledged());
        world.update(update(&format!("j.a.{attempt}"), Failed).acknowledged());
        assert_eq!(world.state().tasks["a"].standing(), Standing::Ready);
        world.pass(pause - 1);
        world.offer(&[agent("s1")]);
        assert!(world.launches().is_empty(), "the pause is not over");
        world.pass(1);
    }
    world.offer(&[agent("s1")]);
    assert_eq!(world.launches()[0].task_id.as_str(), "j.a.3");
    let effects = world.update(update("j.a.3", Failed).acknowledged());
    assert!(effects.end);
    assert_eq!(world.state().tasks["a"].standing(), Standing::Failed);
    assert_eq!(world.state().end.as_ref().unwrap().blocked, ["b"]);
}

#[test]
fn a_timeout_is_the_agents_to_keep() {
    let mut world = World::new("version: 1\nname: j\ntasks:\n  a: {command: x, timeout: 90s}\n");
    world.connect();
    world.offer(&[agent("s1")]);
    let launch = world.launches().remove(0);
    assert_eq!(launch.max_completion_time.unwrap().to_duration().as_secs(), 90);
}

#[test]
fn the_task_with_the_higher_priority_gets_what_is_left() {
    let mut world = World::new(
        "version: 1\nname: j\ntasks:\n  a: {command: x, cpus: 4}\n  b: {command: x, cpus: 4, priority: 1}\n  c: {command: x, cpus: 4, priority: 1}\n",
    );
    world.connect();
    for name in ["b", "c", "a"] {
        world.offer(&[agent("s1")]);
        assert_eq!(world.launches()[0].name, format!("j.{name}"));
    }
}

#[test]
fn a_task_whose_agent_is_drained_is_launched_again_a_bounded_number_of_times_and_uses_no_retry() {
    let mut world = World::new("version: 1\nname: j\ntasks:\n  a: {command: x, retries: 1}\n");
    world.connect();
    let drained = |attempt: u32| {
        update(&format!("j.a.{attempt}"), Killed)
            .reason("REASON_AGENT_DRAINING")
            .acknowledged()
    };
    for attempt in 1..=20 {
        world.offer(&[agent("s1")]);
        world.update(update(&format!("j.a.{attempt}"), Running).acknowledged());
        world.update(drained(attempt));
        assert_eq!(world.state().tasks["a"].standing(), Standing::Ready, "drain {attempt}");
        world.pass(30_000);
    }
    world.offer(&[agent("s1")]);
    world.update(update("j.a.21", Running).acknowledged());
    world.update(update("j.a.21", Failed).acknowledged());
    assert_eq!(
        world.state().tasks["a"].standing(),
        Standing::Ready,
        "its own retry is left"
    );
    for attempt in 22..=42 {
        world.pass(30_000);
        world.offer(&[agent("s1")]);
        world.update(update(&format!("j.a.{attempt}"), Running).acknowledged());
        world.update(drained(attempt));
    }
    assert_eq!(
        world.state().tasks["a"].standing(),
        Standing::Failed,
        "an agent that is drained for ever"
    );
    assert!(world.state().end.is_some());
}

const READERS: &str = "version: 1
name: j
tasks:
  r1: {command: x, volumes: {v: {volume: data, mode: ro}}}
  r2: {command: x, volumes: {v: {volume: data, mode: ro}}}
  w: {command: x, volumes: {v: data}}
";

#[test]
fn readers_share_a_volume_on_one_agent_and_the_writer_waits_for_both() {
    let mut world = World::with_catalogue(READERS, "data", "vol-1", "za");
    world.connect();
    world.offer(&[agent("s1").volumes(&["vol-1"]), agent("s2").volumes(&["vol-1"])]);
    let launched = world.launches();
    assert_eq!(launched.len(), 2, "both read");
    assert_eq!(
        launched[0].agent_id, launched[1].agent_id,
        "the volume is attached to one host"
    );
    let held: usize = launched
        .iter()
        .map(|task| task.resources.items("ebsvolumes").len())
        .sum();
    assert_eq!(held, 1, "an agent has one item to give");
    world.update(update("j.r1.1", Finished).acknowledged());
    world.pass(1_000);
    world.offer(&[agent("s1").volumes(&["vol-1"]), agent("s2").volumes(&["vol-1"])]);
    assert!(world.launches().is_empty(), "r2 still reads");
    world.update(update("j.r2.1", Unreachable));
    world.offer(&[agent("s1").volumes(&["vol-1"]), agent("s2").volumes(&["vol-1"])]);
    assert!(world.launches().is_empty(), "r2 may still read");
    world.update(update("j.r2.1", Finished).acknowledged());
    world.pass(1_000);
    world.offer(&[agent("s2").volumes(&["vol-1"])]);
    assert_eq!(world.launches()[0].name, "j.w");
}

#[test]
fn one_that_writes_lets_nobody_read() {
    let mut world = World::new(&READERS.replace("tasks:\n", "tasks:\n  w0: {command: x, volumes: {v: data}}\n"));
    world.connect();
    world.offer(&[agent("s1").volumes(&["data"])]);
    assert_eq!(world.launches().len(), 1);
}

#[test]
fn a_reader_waits_for_the_item_when_the_reader_that_held_it_has_ended() {
    let mut world = World::new(
        "version: 1\nname: j\ntasks:\n  r1: {command: x, volumes: {v: {volume: data, mode: ro}}}\n  r2: {command: x, volumes: {v: {volume: data, mode: ro}}}\n  r3: {command: x, cpus: 9, volumes: {v: {volume: data, mode: ro}}}\n",
    );
    world.connect();
    world.offer(&[agent("s1").volumes(&["data"])]);
    let held: Vec<usize> = world
        .launches()
        .iter()
        .map(|task| task.resources.items("ebsvolumes").len())
        .collect();
    assert_eq!(held, [1, 0], "the first reader holds the item");
    world.update(update("j.r1.1", Running).acknowledged());
    world.update(update("j.r2.1", Running).acknowledged());
    world.update(update("j.r1.1", Finished).acknowledged());
    // Another framework has taken the item meanwhile, and may write.
    world.offer(&[agent("s1").cpus(16.0)]);
    assert!(world.launches().is_empty(), "no task of this job holds the item");
    world.offer(&[agent("s1").cpus(16.0).volumes(&["data"])]);
    let launched = world.launches();
    assert_eq!(launched[0].name, "j.r3");
    assert_eq!(launched[0].resources.items("ebsvolumes").len(), 1);
}
