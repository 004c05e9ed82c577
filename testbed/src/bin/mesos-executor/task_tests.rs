use std::os::unix::process::ExitStatusExt;

use mesos_http::types::{CommandInfo, DurationInfo};

use super::*;

const PID: i32 = 77;

struct Life {
    task: CommandTask,
    now: Instant,
}

impl Life {
    fn new() -> Life {
        Life {
            task: CommandTask::new(Duration::from_secs(5)),
            now: Instant::now(),
        }
    }

    /// A task that runs, with `change` made to its description.
    fn running(change: impl FnOnce(&mut TaskInfo)) -> Life {
        let mut life = Life::new();
        let mut task = TaskInfo::command("t", "S".into(), CommandInfo::shell("true"), Default::default());
        change(&mut task);
        let effects = life.handle(Input::Launch(Box::new(task)));
        assert_eq!(states(&effects), [TaskState::Starting]);
        assert!(matches!(effects[1], Effect::Start(_)));
        assert_eq!(states(&life.handle(Input::Started { pid: PID })), [TaskState::Running]);
        life
    }

    fn handle(&mut self, input: Input) -> Vec<Effect> {
        self.task.handle(input, self.now)
    }

    fn kill(&mut self, grace: Option<u64>) -> Vec<Effect> {
        let policy = grace.map(|s| KillPolicy {
            grace_period: Some(Duration::from_secs(s).into()),
        });
        self.handle(Input::Kill {
            task_id: "t".into(),
            policy,
        })
    }

    fn pass(&mut self, seconds: u64) -> Vec<Effect> {
        self.now += Duration::from_secs(seconds);
        self.task.tick(self.now)
    }

    fn end(&mut self, wait_status: i32) -> (TaskStatus, Vec<Effect>) {
        let mut effects = self.handle(Input::Exited(ExitStatus::from_raw(wait_status)));
        assert_eq!(effects.remove(0), Effect::StopChecks);
        let Effect::Report(status) = effects.remove(0) else {
            panic!("{effects:?}")
        };
        (*status, effects)
    }
}

fn states(effects: &[Effect]) -> Vec<TaskState> {
    let states = effects.iter().filter_map(|effect| match effect {
        Effect::Report(status) => Some(status.state.clone()),
        _ => None,
    });
    states.collect()
}

#[test]
fn the_exit_status_decides_between_finished_and_failed() {
    let (finished, rest) = Life::running(|_| {}).end(0);
    assert_eq!((finished.state, rest), (TaskState::Finished, vec![]));
    assert_eq!(finished.message.as_deref(), Some("Command exited with status 0"));
    let (failed, _) = Life::running(|_| {}).end(3 << 8);
    assert_eq!(failed.state, TaskState::Failed);
    let (by_signal, _) = Life::running(|_| {}).end(9);
    assert_eq!(by_signal.state, TaskState::Failed);
    assert_eq!(
        by_signal.message.as_deref(),
        Some("Command terminated with signal Killed")
    );
}

#[test]
fn a_kill_is_sigterm_then_sigkill_after_three_seconds() {
    let mut life = Life::running(|_| {});
    assert_eq!(life.kill(None), [Effect::StopChecks, Effect::Terminate { pid: PID }]);
    assert_eq!(life.pass(2), []);
    assert_eq!(life.pass(1), [Effect::Kill { pid: PID }]);
    assert_eq!(life.task.deadline(), None);
    assert_eq!(life.end(9).0.state, TaskState::Killed);
}

#[test]
fn a_task_that_obeys_sigterm_with_success_was_still_killed() {
    let mut life = Life::running(|_| {});
    life.kill(None);
    assert_eq!(life.end(0).0.state, TaskState::Killed);
}

#[test]
fn the_kills_policy_wins_over_the_tasks() {
    let mut life = Life::running(|task| *task = task.clone().with_kill_grace(Duration::from_secs(60)));
    life.kill(None);
    assert_eq!(life.task.deadline(), Some(life.now + Duration::from_secs(60)));
    let mut life = Life::running(|task| *task = task.clone().with_kill_grace(Duration::from_secs(60)));
    life.kill(Some(1));
    assert_eq!(life.pass(1), [Effect::Kill { pid: PID }]);
}

#[test]
fn a_second_kill_can_only_shorten_the_grace() {
    let mut life = Life::running(|_| {});
    let start = life.now;
    life.kill(Some(20));
    assert_eq!(life.kill(Some(30)), []);
    assert_eq!(life.task.deadline(), Some(start + Duration::from_secs(20)));
    life.pass(3);
    life.kill(Some(5));
    assert_eq!(life.task.deadline(), Some(start + Duration::from_secs(5)));
    life.kill(Some(1));
    assert_eq!(life.pass(0), [Effect::Kill { pid: PID }]);
    assert_eq!(life.kill(Some(1)), []);
    assert_eq!(life.task.deadline(), None);
}

#[test]
fn killing_is_reported_only_to_those_who_want_it() {
    let mut life = Life::running(|_| {});
    life.handle(Input::Subscribed { wants_killing: true });
    assert_eq!(states(&life.kill(None)), [TaskState::Killing]);
    assert_eq!(states(&life.kill(None)), []);
}

#[test]
fn a_shutdown_leaves_time_for_the_last_update() {
    let mut life = Life::running(|_| {});
    life.kill(Some(60));
    life.handle(Input::Shutdown);
    assert_eq!(life.pass(3), [Effect::Kill { pid: PID }]);
    assert_eq!(life.end(9).1, []);
}

#[test]
fn a_shutdown_without_a_task_ends_at_once() {
    assert_eq!(Life::new().handle(Input::Shutdown), [Effect::Exit]);
}

#[test]
fn without_an_agent_nothing_is_waited_for_after_the_end() {
    let mut life = Life::running(|_| {});
    life.handle(Input::AgentLost);
    assert_eq!(life.end(15).1, [Effect::Exit]);
    let mut life = Life::running(|_| {});
    life.end(0);
    assert_eq!(life.handle(Input::AgentLost), [Effect::Exit]);
}

#[test]
fn a_task_that_runs_too_long_fails_for_that_reason() {
    let mut life = Life::running(|task| {
        task.max_completion_time = Some(DurationInfo::from(Duration::from_secs(10)));
    });
    life.handle(Input::Subscribed { wants_killing: true });
    assert_eq!(life.task.deadline(), Some(life.now + Duration::from_secs(10)));
    let effects = life.pass(10);
    let expected = [
        Effect::StopChecks,
        Effect::Terminate { pid: PID },
        Effect::Kill { pid: PID },
    ];
    assert_eq!(effects, expected);
    let (status, _) = life.end(9);
    assert_eq!(status.state, TaskState::Failed);
    assert_eq!(status.reason, Some(Reason::MaxCompletionTimeReached));
}

#[test]
fn a_sick_task_is_killed_and_reported_unhealthy() {
    let mut life = Life::running(|_| {});
    assert_eq!(
        life.handle(Input::Sick),
        [Effect::StopChecks, Effect::Terminate { pid: PID }]
    );
    let (status, _) = life.end(15);
    assert_eq!((status.state, status.healthy), (TaskState::Killed, Some(false)));
}

#[test]
fn what_cannot_be_started_fails_with_the_reason() {
    let mut life = Life::new();
    let task = TaskInfo::command("t", "S".into(), CommandInfo::shell("true"), Default::default());
    life.handle(Input::Launch(Box::new(task)));
    let effects = life.handle(Input::StartFailed("no such program".into()));
    let [Effect::Report(status)] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(status.message.as_deref(), Some("no such program"));
    assert!(life.task.has_ended());
}

#[test]
fn a_second_task_is_refused_and_the_first_goes_on() {
    let mut life = Life::running(|_| {});
    let second = TaskInfo::command("t2", "S".into(), CommandInfo::shell("true"), Default::default());
    let effects = life.handle(Input::Launch(Box::new(second)));
    let [Effect::Report(status)] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!((&status.task_id, &status.state), (&"t2".into(), &TaskState::Failed));
    assert_eq!(life.end(0).0.state, TaskState::Finished);
}

#[test]
fn a_kill_for_another_task_does_nothing() {
    let mut life = Life::running(|_| {});
    assert_eq!(
        life.handle(Input::Kill {
            task_id: "t2".into(),
            policy: None
        }),
        []
    );
}
