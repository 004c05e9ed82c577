//! `scheduler run` without its I/O: a service with one job on streams of events, with a clock of
//! its own. The world around it is a master in a few lines: it keeps what the service may rely on
//! (what is saved before a call is made) and nothing else.

mod own_volumes;
mod retries;
mod world;

use mesos_http::scheduler::Call;
use mesos_http::types::TaskState::{self, *};
use scheduler::progress::Progress;
use scheduler::state::Standing;
use world::{World, agent, update};

const ONE: &str = "version: 1\nname: j\ntasks:\n  a: {command: 'true'}\n";
const CHAIN: &str = "version: 1\nname: j\ntasks:\n  a: {command: 'true'}\n  b: {command: 'true', after: a}\n  c: {command: 'true', after: b}\n";
const SHARED: &str = "version: 1\nname: j\ntasks:\n  a: {command: 'true', volumes: {v: vol-1}}\n  b: {command: 'true', volumes: {v: vol-1}}\n";

#[test]
fn a_task_is_launched_with_its_command_labels_and_claim() {
    let mut world = World::new(
        "version: 1\nname: j\ntasks:\n  a:\n    command: [touch, data/x]\n    user: etl\n    cpus: 0.5\n    mem: 64\n    environment: {A: b}\n    volumes: {data: {volume: vol-1, mode: ro}}\n",
    );
    world.connect();
    world.offer(&[agent("s1").volumes(&["vol-1", "vol-2"])]);
    let launch = world.launches().remove(0);
    assert_eq!(launch.task_id.as_str(), "j.a.1");
    assert_eq!(launch.name, "j.a");
    assert_eq!(launch.agent_id.as_str(), "s1");
    let labels: Vec<_> = launch.labels.iter().collect();
    assert_eq!(labels, [("volume.data", "vol-1"), ("volume.data.mode", "ro")]);
    assert_eq!(
        launch.resources.items("ebsvolumes").into_iter().collect::<Vec<_>>(),
        ["vol-1"]
    );
    assert_eq!(launch.resources.scalar("cpus"), 0.5.into());
    assert_eq!(launch.resources.scalar("mem"), 64.0.into());
    let command = launch.command.expect("a command");
    assert_eq!(
        (command.shell, command.arguments.len(), command.user.as_deref()),
        (false, 2, Some("etl"))
    );
    let variables: Vec<_> = command
        .environment
        .variables
        .iter()
        .map(|v| (v.name.as_str(), v.value.as_deref().unwrap_or("")))
        .collect();
    assert!(
        variables.contains(&("A", "b")) && variables.contains(&("SCHEDULER_TASK_ID", "j.a.1")),
        "{variables:?}"
    );
}

#[test]
fn the_intent_is_saved_before_the_accept_and_the_update_before_its_acknowledgement() {
    let mut world = World::new(ONE);
    world.connect();
    let effects = world.offer(&[agent("s1")]);
    assert!(effects.save && matches!(effects.calls[0], Call::Accept(_)));
    assert_eq!(world.state().tasks["a"].attempts[0].state, None);
    let effects = world.update(update("j.a.1", Running).acknowledged());
    assert!(effects.save && matches!(effects.calls[0], Call::Acknowledge { .. }));
    // Sent again because the acknowledgement was lost: nothing new, and acknowledged again.
    let effects = world.update(update("j.a.1", Running).acknowledged());
    assert!(!effects.save && matches!(effects.calls[..], [Call::Acknowledge { .. }]));
    // The master's own are not acknowledged.
    let effects = world.update(update("j.a.1", Unreachable));
    assert!(
        !effects
            .calls
            .iter()
            .any(|call| matches!(call, Call::Acknowledge { .. }))
    );
}

#[test]
fn tasks_run_after_what_they_depend_on_and_the_framework_ends_with_the_job() {
    let mut world = World::new(CHAIN);
    world.connect();
    for name in ["a", "b", "c"] {
        world.offer(&[agent("s1")]);
        let launched: Vec<_> = world.launches().iter().map(|task| task.task_id.0.clone()).collect();
        assert_eq!(launched, [format!("j.{name}.1")]);
        assert!(world.suppressed, "while {name} runs nothing else is to be launched");
        world.update(update(&format!("j.{name}.1"), Running).acknowledged());
        let effects = world.update(update(&format!("j.{name}.1"), Finished).acknowledged());
        assert_eq!(effects.end, name == "c");
        assert_eq!(world.suppressed, name == "c");
    }
    assert!(matches!(world.calls.last(), Some(Call::Teardown)));
    let end = world.state().end.as_ref().expect("the job is over");
    assert!(end.failures.is_empty() && end.blocked.is_empty());
}

#[test]
fn a_failed_task_blocks_what_runs_after_it_and_nothing_else() {
    let mut world = World::new(
        "version: 1\nname: j\ntasks:\n  a: {command: 'true'}\n  b: {command: 'true', after: a}\n  c: {command: 'true', after: b}\n  d: {command: 'true'}\n",
    );
    world.connect();
    world.offer(&[agent("s1")]);
    assert_eq!(world.launches().len(), 2);
    let effects = world.update(
        update("j.a.1", Failed)
            .reason("REASON_COMMAND_EXECUTOR_FAILED")
            .message("exit\nstatus 3")
            .acknowledged(),
    );
    assert!(!effects.end, "d still runs");
    let effects = world.update(update("j.d.1", Finished).acknowledged());
    assert!(effects.end);
    let end = world.state().end.clone().expect("the job is over");
    assert_eq!(
        end.failures,
        ["task 'a' (j.a.1) on agent host-s1 (s1): TASK_FAILED, REASON_COMMAND_EXECUTOR_FAILED: exit status 3"]
    );
    assert_eq!(end.blocked, ["b", "c"]);
}

#[test]
fn a_volume_has_one_task_at_a_time() {
    let mut world = World::new(SHARED);
    world.connect();
    world.offer(&[agent("s1").volumes(&["vol-1"]), agent("s2").volumes(&["vol-1"])]);
    assert_eq!(world.launches().len(), 1, "the same volume is offered by both agents");
    world.update(update("j.a.1", Running).acknowledged());
    world.update(update("j.a.1", Unreachable));
    world.offer(&[agent("s2").volumes(&["vol-1"])]);
    assert_eq!(world.launches().len(), 0, "an unreachable task may still write");
    world.update(update("j.a.1", GoneByOperator));
    assert!(!world.suppressed);
    world.offer(&[agent("s1").volumes(&["vol-1"])]);
    assert_eq!(
        world.launches().len(),
        0,
        "the agent that had it is given time to let go"
    );
    assert!(world.suppressed);
    world.pass(499);
    assert!(world.suppressed);
    world.pass(1);
    assert!(!world.suppressed);
    world.offer(&[agent("s1").volumes(&["vol-1"])]);
    assert_eq!(world.launches()[0].task_id.as_str(), "j.b.1");
}

#[test]
fn a_task_goes_where_its_volume_was_last() {
    let mut world = World::new(&SHARED.replace("b: {", "b: {after: a, "));
    world.connect();
    world.offer(&[agent("s2").volumes(&["vol-1"])]);
    world.launches();
    world.update(update("j.a.1", Finished).acknowledged());
    world.offer(&[
        agent("s1").volumes(&["vol-1"]),
        agent("s2").volumes(&["vol-1"]).cpus(1.0),
        agent("s3").volumes(&["vol-1"]),
    ]);
    assert_eq!(world.launches()[0].agent_id.as_str(), "s2");
}

#[test]
fn offers_of_one_agent_are_taken_together() {
    let mut world = World::new(SHARED);
    world.connect();
    world.offer(&[agent("s1"), agent("s1").volumes(&["vol-1"]).cpus(0.0)]);
    let accepted = world.calls.iter().find_map(|call| match call {
        Call::Accept(accept) => Some(accept.offer_ids.len()),
        _ => None,
    });
    assert_eq!(accepted, Some(2));
}

#[test]
fn what_does_not_fit_is_given_back_and_told() {
    let job = "version: 1\nname: j\ntasks:\n  a: {command: 'true', cpus: 2, volumes: {v: orders}, agent: {attributes: {rack: r1}}}\n";
    let mut world = World::with_catalogue(job, "orders", "vol-1", "zone-a");
    world.connect();
    let effects = world.offer(&[
        agent("s1").volumes(&["vol-1"]).zone("zone-b"),
        agent("s2").volumes(&["vol-1"]).attribute("zone", "zone-b"),
        agent("s3").volumes(&["vol-2"]).attribute("rack", "r1"),
        agent("s4").volumes(&["vol-1"]).attribute("rack", "r1").cpus(1.0),
        agent("s5").volumes(&["vol-1"]).zone("zone-a"),
    ]);
    assert!(!effects.save && world.launches().is_empty());
    let declined = effects.calls.iter().find_map(|call| match call {
        Call::Decline { offer_ids, filters } => Some((offer_ids.len(), filters.map(|f| f.refuse_seconds))),
        _ => None,
    });
    assert_eq!(declined, Some((5, Some(5.0))));
    assert!(!world.suppressed);

    let report = world.wait_until_reported();
    let Some(Progress::Waiting { task, reasons, .. }) = report else {
        panic!("{report:?}")
    };
    assert_eq!(task, "a");
    let said: Vec<String> = reasons
        .iter()
        .map(|(reason, agents)| format!("{}: {reason}", agents.join(", ")))
        .collect();
    assert_eq!(
        said,
        [
            "host-s1 (s1), host-s2 (s2): it is in zone zone-b, and the volumes are in zone-a",
            "host-s5 (s5): its attribute 'rack' is not set, and 'agent.attributes' wants 'r1'",
            "host-s3 (s3): it does not offer volume 'orders' (vol-1 in ebsvolumes): add vol-1 to the agent's --resources, or wait when a task of another framework has it there",
            "host-s4 (s4): the task needs 2 cpus, and it offers 1",
        ]
    );

    world.offer(&[agent("s6")
        .volumes(&["vol-1"])
        .attribute("rack", "r1")
        .attribute("az", "zone-a")]);
    let launch = world.launches().remove(0);
    assert_eq!(launch.labels.get("volume.v"), Some("vol-1"));
    assert_eq!(
        world.state().tasks["a"].attempts[0].agent.zone.as_deref(),
        Some("zone-a")
    );
}

#[test]
fn a_job_asks_for_the_same_or_another_agent() {
    let job = "version: 1\nname: j\ntasks:\n  a: {command: 'true'}\n  b: {command: 'true', after: a, agent: {not-same-as: a}}\n  c: {command: 'true', after: b, agent: {same-as: b}}\n  d: {command: 'true', after: c, agent: {hostname: host-s3}}\n";
    let mut world = World::new(job);
    world.connect();
    let all = || [agent("s1"), agent("s2"), agent("s3").cpus(1.0)];
    for (name, expected) in [("a", "s2"), ("b", "s1"), ("c", "s1"), ("d", "s3")] {
        world.offer(&all());
        let launch = world.launches().remove(0);
        assert_eq!(
            (launch.name.as_str(), launch.agent_id.as_str()),
            (format!("j.{name}").as_str(), expected)
        );
        world.update(update(&format!("j.{name}.1"), Finished).acknowledged());
    }
}

#[test]
fn a_task_that_comes_to_be_wanted_asks_for_offers_anew() {
    let job = "version: 1\nname: j\ntasks:\n  a: {command: 'true', cpus: 9}\n  b: {command: 'true'}\n  c: {command: 'true', after: b}\n";
    let mut world = World::new(job);
    world.connect();
    world.offer(&[agent("s1")]);
    assert_eq!(world.launches()[0].task_id.as_str(), "j.b.1");
    let revives = |world: &World| {
        world
            .calls
            .iter()
            .filter(|call| matches!(call, Call::Revive { .. }))
            .count()
    };
    world.update(update("j.b.1", Running).acknowledged());
    assert_eq!(revives(&world), 0, "a waits on, and its filter is only of seconds");
    world.update(update("j.b.1", Finished).acknowledged());
    assert_eq!(revives(&world), 1, "what was declined for a may do for c");
}

#[test]
fn a_volume_still_held_elsewhere_is_tried_again_for_a_while() {
    let mut world = World::new(SHARED);
    world.connect();
    let message = "Failed to launch container: label 'volume.v': [attached-elsewhere] volume 'vol-1' of driver 'ebs': no words that a program knows";
    let mut pauses = Vec::new();
    for attempt in 1..=16 {
        world.offer(&[agent("s1").volumes(&["vol-1"])]);
        let launched: Vec<_> = world.launches().iter().map(|task| task.task_id.0.clone()).collect();
        assert_eq!(launched, [format!("j.a.{attempt}")]);
        let id = format!("j.a.{attempt}");
        let effects = world.update(
            update(&id, Failed)
                .reason("REASON_CONTAINER_LAUNCH_FAILED")
                .message(message)
                .acknowledged(),
        );
        if let Some(Progress::Retry {
            pause_ms, retry, of, ..
        }) = effects.progress.iter().find(|p| matches!(p, Progress::Retry { .. }))
        {
            assert_eq!((*retry, *of), (attempt, 15));
            pauses.push(*pause_ms);
            // The volume is free for the job's other task meanwhile; keep that one out of the way.
            world.pass(*pause_ms);
        }
    }
    let expected = [250, 500, 1000, 2000, 4000, 8000, 16000].into_iter().chain([30000; 8]);
    assert_eq!(pauses, expected.collect::<Vec<_>>());
    assert_eq!(world.state().tasks["a"].standing(), Standing::Failed);
}

#[test]
fn other_launch_failures_are_failures() {
    for (reason, message) in [
        (
            "REASON_CONTAINER_LAUNCH_FAILED",
            "Failed to launch container: label 'volume.v': [denied] volume 'vol-1' of driver 'ebs': InvalidVolume.ZoneMismatch",
        ),
        (
            "REASON_CONTAINER_LAUNCH_FAILED",
            "Failed to launch container: label 'volume.v': the volume is busy, it is attached to another host",
        ),
        (
            "REASON_CONTAINER_LAUNCH_FAILED",
            "Failed to launch container: label 'volume.v' = 'x': [denied] no rule allows it (volume ': [busy] ')",
        ),
        (
            "REASON_CONTAINER_LAUNCH_FAILED",
            "Failed to launch container: label 'volume.v': [not-found] no such volume",
        ),
        ("REASON_COMMAND_EXECUTOR_FAILED", "label 'volume.v': [busy] device busy"),
    ] {
        let mut world = World::new("version: 1\nname: j\ntasks:\n  a: {command: 'true', volumes: {v: vol-1}}\n");
        world.connect();
        world.offer(&[agent("s1").volumes(&["vol-1"])]);
        let effects = world.update(update("j.a.1", Failed).reason(reason).message(message).acknowledged());
        assert!(effects.end, "{reason}: {message}");
    }
}

#[test]
fn a_launch_that_never_happened_is_made_again_under_another_id() {
    for (state, reason) in [
        (Dropped, "REASON_INVALID_OFFERS"),
        (Gone, "REASON_RECONCILIATION"),
        (Lost, "REASON_INVALID_OFFERS"),
    ] {
        let mut world = World::new(ONE);
        world.connect();
        world.offer(&[agent("s1")]);
        world.launches();
        world.update(update("j.a.1", state.clone()).reason(reason));
        world.offer(&[agent("s1")]);
        assert!(world.launches().is_empty(), "there is a pause");
        world.pass(1000);
        assert!(!world.suppressed);
        world.offer(&[agent("s1")]);
        assert_eq!(world.launches()[0].task_id.as_str(), "j.a.2", "{state}");
    }
}

#[test]
fn a_task_that_is_gone_and_never_began_is_launched_again_whatever_was_said_of_it_before() {
    for before in [&[Staging][..], &[Unreachable], &[Staging, Unreachable], &[Unknown]] {
        let mut world = World::new(ONE);
        world.connect();
        world.offer(&[agent("s1")]);
        world.launches();
        for state in before {
            world.update(update("j.a.1", state.clone()));
        }
        world.update(update("j.a.1", Gone).reason("REASON_RECONCILIATION"));
        world.pass(1000);
        world.offer(&[agent("s1")]);
        let launched = world.launches();
        assert_eq!(launched.len(), 1, "{before:?}");
        assert_eq!(launched[0].task_id.as_str(), "j.a.2");
    }
}

#[test]
fn a_task_that_ran_and_is_gone_is_not_run_again() {
    let mut world = World::new(ONE);
    world.connect();
    world.offer(&[agent("s1")]);
    world.update(update("j.a.1", Running).acknowledged());
    assert!(world.update(update("j.a.1", Gone)).end);
    assert!(world.state().end.as_ref().unwrap().failures[0].contains("TASK_GONE"));
}

#[test]
fn a_scheduler_that_comes_back_asks_before_it_launches() {
    let mut world = World::new(CHAIN);
    world.connect();
    world.offer(&[agent("s1")]);
    world.launches();
    world.restart();
    let effects = world.connect();
    assert!(!effects.save, "the framework id is known");
    assert_eq!(world.reconciled(), ["j.a.1"]);
    world.offer(&[agent("s1")]);
    assert!(world.launches().is_empty(), "the task may run");
    // The master has never heard of it.
    world.update(update("j.a.1", Gone).reason("REASON_RECONCILIATION"));
    world.pass(1000);
    world.offer(&[agent("s1")]);
    assert_eq!(world.launches()[0].task_id.as_str(), "j.a.2");

    world.restart();
    world.connect();
    world.update(update("j.a.2", Running).reason("REASON_RECONCILIATION"));
    world.update(update("j.a.2", Finished).acknowledged());
    world.offer(&[agent("s1")]);
    assert_eq!(world.launches()[0].task_id.as_str(), "j.b.1");
}

#[test]
fn the_master_is_asked_again_until_it_answers() {
    let mut world = World::new(ONE);
    world.connect();
    world.offer(&[agent("s1")]);
    world.restart();
    world.connect();
    let mut asked = Vec::new();
    let start = world.now;
    while world.now < start + 100_000 {
        if !world.reconciled().is_empty() {
            asked.push((world.now - start) / 1000);
        }
        world.tick_at_deadline();
    }
    assert_eq!(asked, [0, 1, 3, 7, 15, 31, 63]);
    world.reconciled();
    world.update(update("j.a.1", Running).reason("REASON_RECONCILIATION"));
    let start = world.now;
    let mut asked = 0;
    while world.now < start + 1_800_000 {
        world.tick_at_deadline();
        if !world.reconciled().is_empty() {
            asked += 1;
            world.update(update("j.a.1", Running).reason("REASON_RECONCILIATION"));
        }
    }
    assert_eq!(asked, 3, "every ten minutes");
}

#[test]
fn an_unconfirmed_launch_is_asked_about_after_a_minute() {
    let mut world = World::new(ONE);
    world.connect();
    world.offer(&[agent("s1")]);
    let launched = world.now;
    world.calls.clear();
    while world.reconciled().is_empty() {
        world.tick_at_deadline();
        assert!(world.now < launched + 200_000);
    }
    assert!(world.now >= launched + 60_000);
}

#[test]
fn a_task_that_was_given_up_is_killed_when_it_turns_up() {
    let mut world = World::new(ONE);
    world.connect();
    world.offer(&[agent("s1")]);
    world.update(update("j.a.1", Gone).reason("REASON_RECONCILIATION"));
    let effects = world.update(update("j.a.1", Running).acknowledged());
    assert!(
        matches!(&effects.calls[..2], [Call::Kill(kill), Call::Acknowledge { .. }] if kill.task_id.as_str() == "j.a.1"),
        "{:?}",
        effects.calls
    );
    let effects = world.update(update("j.x.9", Running).acknowledged());
    assert!(matches!(&effects.calls[0], Call::Kill(kill) if kill.task_id.as_str() == "j.x.9"));
}

#[test]
fn offers_of_an_earlier_subscription_are_not_used() {
    let mut world = World::new(ONE);
    let effects = world.offer_while_apart(&[agent("s1")]);
    assert!(effects.calls.is_empty());
    world.connect();
    assert!(world.launches().is_empty());
    assert!(!world.suppressed);
}

#[test]
fn a_job_that_is_over_is_only_taken_down() {
    let mut world = World::new(ONE);
    world.connect();
    world.offer(&[agent("s1")]);
    world.update(update("j.a.1", Finished).acknowledged());
    world.restart();
    let effects = world.connect();
    assert!(effects.end && matches!(effects.calls[..], [Call::Teardown]));
}

#[test]
fn every_state_has_its_consequence() {
    // Not over, over, or launched again.
    let cases: &[(TaskState, &str)] = &[
        (Staging, "live"),
        (Starting, "live"),
        (Running, "live"),
        (Killing, "live"),
        (Unreachable, "live"),
        (Lost, "live"),
        (Unknown, "live"),
        (TaskState::Other("TASK_NEW".into()), "live"),
        (Finished, "over"),
        (Failed, "over"),
        (Killed, "over"),
        (Error, "over"),
        (GoneByOperator, "over"),
        (Dropped, "again"),
        (Gone, "again"),
    ];
    for (state, expected) in cases {
        let mut world = World::new(ONE);
        world.connect();
        world.offer(&[agent("s1")]);
        world.update(update("j.a.1", state.clone()));
        let got = match world.state().tasks["a"].standing() {
            Standing::Active => "live",
            Standing::Finished | Standing::Failed => "over",
            Standing::Ready => "again",
            Standing::Waiting => "waiting",
        };
        assert_eq!(got, *expected, "{state}");
    }
}

#[test]
fn a_master_that_is_away_is_reported_once_and_then_every_half_minute() {
    let mut world = World::new(ONE);
    world.connect();
    for _ in 0..240 {
        world.disconnect("nothing listens on m:5050");
        world.now += 250;
    }
    let lines: Vec<String> = world.reports.iter().map(ToString::to_string).collect();
    let lines: Vec<&String> = lines.iter().filter(|line| line.contains("not subscribed")).collect();
    assert_eq!(
        lines,
        [
            "not subscribed; the scheduler tries again: nothing listens on m:5050",
            "still not subscribed after 30 s; the scheduler tries again: nothing listens on m:5050",
        ]
    );
    // The next outage is another one.
    world.connect();
    world.disconnect("closed");
    let last = world.reports.last().expect("it is reported").to_string();
    assert_eq!(last, "not subscribed; the scheduler tries again: closed");
}

#[test]
fn the_cause_of_a_failure_is_printed_once_with_the_place_of_the_output() {
    let job = "version: 1\nname: j\ntasks:\n  a: {command: x, retries: 1}\n  b: {command: x, after: a}\n";
    let mut world = World::new(job);
    world.connect();
    for attempt in ["j.a.1", "j.a.2"] {
        world.offer(&[agent("s1")]);
        world.update(update(attempt, Running).acknowledged());
        world.update(update(attempt, Failed).message("exited with status 3").acknowledged());
        world.pass(2_000);
    }
    let with_cause = |warnings: bool| -> Vec<String> {
        let reports = world.reports.iter().filter(|report| report.is_warning() == warnings);
        let lines = reports.map(ToString::to_string);
        lines.filter(|line| line.contains("exited with status 3")).collect()
    };
    let output = |attempt: u32| {
        format!("stdout and stderr of WORK_DIR/slaves/s1/frameworks/F/executors/j.a.{attempt}/runs/latest on host-s1")
    };
    assert_eq!(
        with_cause(false),
        [format!(
            "a: TASK_FAILED after 0.00 s: exited with status 3; its output is in {}",
            output(1)
        )],
        "it is launched again"
    );
    let last = format!("exited with status 3; its output is in {}", output(2));
    let [failed] = with_cause(true).try_into().expect("it is printed once");
    assert!(
        failed.starts_with("a: TASK_FAILED after ") && failed.contains(" on host-s1 (s1)"),
        "{failed}"
    );
    assert!(failed.ends_with(&last), "{failed}");
    let ended = world.reports.last().expect("the job is over").to_string();
    assert_eq!(ended, "the job has failed: a; not started because of that: b");
}
