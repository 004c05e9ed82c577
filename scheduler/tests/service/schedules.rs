//! Runs by schedule: overlap, lateness, pauses, and a clock that is set back.

use mesos_http::types::TaskState;
use scheduler::progress::Progress;
use scheduler::service::Settings;
use scheduler::state::Standing;

use crate::world::{World, job, settings};

const HOUR: u64 = 3_600_000;

/// At each full hour.
fn hourly(extra: &str) -> String {
    format!("schedule: '0 * * * *'\n{extra}{}", job("j", ""))
}

fn runs(world: &World) -> Vec<String> {
    world.service.runs().keys().cloned().collect()
}

fn ends(world: &mut World, run: &str, state: TaskState) {
    world.update(&format!("{run}.a.1"), state);
}

fn skipped(world: &World) -> usize {
    world
        .reports
        .iter()
        .filter(|report| matches!(report, Progress::Skipped { .. }))
        .count()
}

#[test]
fn a_run_that_is_due_while_another_goes_on_is_skipped_queued_or_replaces_it() {
    for (overlap, expected) in [
        ("", 0),
        ("overlap: skip\n", 0),
        ("overlap: queue\n", 1),
        ("overlap: replace\n", 1),
    ] {
        let mut world = World::new();
        world.give(&hourly(overlap));
        world.now += HOUR - 1_000;
        world.pass(1_000);
        world.offer("s1", 4.0, &[]);
        ends(&mut world, "j.1", TaskState::Running);
        // Two are due: one waits at most.
        for _ in 0..2 {
            world.now += HOUR - 1_000;
            world.pass(1_000);
        }
        assert_eq!(runs(&world), ["j.1"], "{overlap}");
        assert_eq!(
            world.killed.contains(&"j.1.a.1".to_owned()),
            overlap.contains("replace"),
            "{overlap}"
        );
        let ended = if overlap.contains("replace") {
            TaskState::Killed
        } else {
            TaskState::Finished
        };
        ends(&mut world, "j.1", ended);
        world.restart();
        world.pass(10_000);
        assert_eq!(runs(&world).len(), 1 + expected, "{overlap}");
        world.pass(60_000);
        assert_eq!(runs(&world).len(), 1 + expected, "{overlap}: none waits any more");
        assert_eq!(skipped(&world), if expected == 0 { 2 } else { 0 }, "{overlap}");
    }
}

#[test]
fn a_run_that_waits_survives_a_restart() {
    let mut world = World::new();
    world.give(&hourly("overlap: queue\n"));
    world.pass(HOUR);
    world.offer("s1", 4.0, &[]);
    ends(&mut world, "j.1", TaskState::Running);
    world.pass(HOUR);
    world.restart();
    world.pass(60_000);
    assert_eq!(runs(&world), ["j.1"]);
    ends(&mut world, "j.1", TaskState::Finished);
    world.pass(1_000);
    assert_eq!(runs(&world), ["j.1", "j.2"]);
}

#[test]
fn a_run_that_would_begin_too_late_is_not_begun() {
    for (within, begun) in [("", 1), ("start-within: 15m\n", 0), ("start-within: 2h\n", 1)] {
        let mut world = World::new();
        world.give(&hourly(within));
        // The service is down from before the hour until 20 minutes past it.
        world.now += HOUR + 20 * 60_000;
        world.restart();
        world.pass(1_000);
        assert_eq!(runs(&world).len(), begun, "{within}");
        assert_eq!(skipped(&world), 1 - begun, "{within}");
        world.pass(40 * 60_000);
        assert_eq!(
            world.service.jobs()["j"].last_due_ms,
            Some(1_767_225_600_000 + 2 * HOUR),
            "the next hour comes"
        );
    }
}

#[test]
fn a_paused_job_begins_nothing_by_itself_until_it_is_resumed() {
    let mut world = World::new();
    world.give(&hourly(""));
    let effects = world.service.pause("j").unwrap();
    world.take(effects);
    world.restart();
    let (_, effects) = world.service.put(hourly("overlap: queue\n"), true, world.now).unwrap();
    world.take(effects);
    world.pass(3 * HOUR);
    assert_eq!(runs(&world), [""; 0]);
    assert_eq!(world.service.jobs()["j"].next_ms, None);
    assert_eq!(world.begin_again("j"), "j.1", "a request is not the schedule's");
    world.cancel("j.1");
    let effects = world.service.resume("j", world.now).unwrap();
    world.take(effects);
    world.restart();
    world.pass(1_000);
    assert_eq!(runs(&world), ["j.1"], "what was due meanwhile is not made up for");
    world.pass(HOUR);
    assert_eq!(runs(&world), ["j.1", "j.2"]);
    world.give(&job("k", ""));
    assert!(
        world
            .service
            .pause("k")
            .unwrap_err()
            .to_string()
            .contains("has no schedule")
    );
    assert!(world.service.resume("x", world.now).is_err());
}

#[test]
fn a_clock_that_is_set_back_a_little_lets_no_time_come_twice_and_one_that_was_wrong_none_be_missed() {
    for (back, again) in [(2_000, false), (HOUR, false), (48 * HOUR, true)] {
        let mut world = World::with(Settings { keep: 50, ..settings() });
        world.now += 72 * HOUR;
        world.give("version: 1\nname: j\nschedule: '0 12 * * *'\ntasks:\n  a: {command: x}\n");
        world.pass(12 * HOUR);
        assert_eq!(runs(&world), ["j.1"]);
        world.offer("s1", 4.0, &[]);
        ends(&mut world, "j.1", TaskState::Finished);
        for restarts in [false, true] {
            let right = world.now - back;
            if restarts {
                world.now = right;
                world.restart();
            } else {
                world.service.set_lead(back, world.now);
            }
            let file = scheduler::job::Schedule::parse("0 12 * * *").unwrap();
            let next = world.service.jobs()["j"].next_ms.unwrap();
            if again {
                assert_eq!(Some(next), file.next(right), "back {back}, restarts {restarts}");
            } else {
                assert!(next > right + 20 * HOUR, "back {back}, restarts {restarts}");
            }
        }
    }
}

/// A clock that was ahead is set right, and the process is down when the next time comes.
#[test]
fn times_that_count_again_after_a_clock_was_wrong_count_in_the_next_process_too() {
    let mut world = World::with(Settings { keep: 50, ..settings() });
    world.give(&hourly(""));
    world.pass(12 * HOUR);
    world.offer("s1", 4.0, &[]);
    ends(&mut world, "j.1", TaskState::Finished);
    let right = world.now - 4 * HOUR + HOUR / 2;
    world.service.set_lead(4 * HOUR - HOUR / 2, world.now);
    world.pass(1_000);
    // The time that came last is less than three hours ahead for the next process.
    world.now = right + HOUR / 2 + 60_000;
    world.restart();
    assert_eq!(world.service.jobs()["j"].next_ms, Some(right + HOUR / 2));
}

#[test]
fn a_job_that_is_replaced_while_its_run_is_due_begins_it_once() {
    for replaced_first in [true, false] {
        let mut world = World::new();
        world.give(&hourly(""));
        world.now += HOUR - 1;
        let replace = |world: &mut World| {
            let (_, effects) = world.service.put(hourly("overlap: skip\n"), true, world.now).unwrap();
            world.take(effects);
        };
        world.now += 1;
        if replaced_first {
            replace(&mut world);
        }
        world.pass(1_000);
        replace(&mut world);
        world.pass(60_000);
        assert_eq!(runs(&world), ["j.1"], "replaced first: {replaced_first}");
        assert_eq!(skipped(&world), 0);
    }
}

#[test]
fn a_schedule_that_an_older_version_took_is_told_and_keeps_no_run_from_going_on() {
    let mut world = World::new();
    world.begin(&hourly(""));
    world.offer("s1", 4.0, &[]);
    let never = hourly("").replace("0 * * * *", "0 0 30 2 *");
    world.disk.0.jobs.get_mut("j").expect("the job is on disk").text = never.clone();
    world.disk.2[0].text = never;
    world.restart();
    world.pass(HOUR);
    let report: Vec<String> = world.reports.iter().map(ToString::to_string).collect();
    assert!(report.iter().any(|line| line.contains("never occurs")), "{report:?}");
    ends(&mut world, "j.1", TaskState::Finished);
    assert_eq!(world.standing("j.1", "a"), Standing::Finished);
}

#[test]
fn a_month_end_that_an_older_version_never_found_is_found_after_a_restart() {
    let mut world = World::new();
    world.give(&hourly("").replace("0 * * * *", "0 0 L 12 *"));
    world.disk.0.jobs.get_mut("j").expect("the job is on disk").next_ms = None;
    world.restart();
    world.pass(1_000);
    // 2026-12-31.
    assert_eq!(world.service.jobs()["j"].next_ms, Some(1_798_675_200_000));
}
