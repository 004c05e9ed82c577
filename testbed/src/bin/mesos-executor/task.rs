//! The life of the one task, without any I/O: what comes in, what has to be done, and when.
//!
//! ```text
//!            Launch             Started               Exited
//!  Waiting ─────────► Starting ─────────► Running ──────────────► Ended
//!     │                   │ StartFailed      │ Kill, Shutdown,      ▲
//!     │ Shutdown          └──────────────────│─ AgentLost: SIGTERM, │
//!     ▼                                      │  SIGKILL after grace │
//!   Exit(0)                                  └──────────────────────┘
//! ```

use std::process::ExitStatus;
use std::time::{Duration, Instant};

use mesos_http::types::{KillPolicy, Reason, TaskId, TaskInfo, TaskState, TaskStatus};

use crate::exit;

/// Between SIGTERM and SIGKILL when neither the task nor the kill says otherwise.
const DEFAULT_KILL_GRACE: Duration = Duration::from_secs(3);

/// At a shutdown the agent counts too and destroys the container when its time is over: so much
/// earlier the task has to be dead for its last update to get through.
const SHUTDOWN_RESERVE: Duration = Duration::from_secs(2);

/// Something that happened.
#[derive(Debug)]
pub(crate) enum Input {
    /// Subscribed; whether the framework wants to hear TASK_KILLING.
    Subscribed {
        wants_killing: bool,
    },
    Launch(Box<TaskInfo>),
    Started {
        pid: i32,
    },
    StartFailed(String),
    Kill {
        task_id: TaskId,
        policy: Option<KillPolicy>,
    },
    /// The health check says the task is sick and has to be killed.
    Sick,
    Shutdown,
    /// The connection to the agent is gone for good.
    AgentLost,
    Exited(ExitStatus),
}

/// Something to do, in order.
#[derive(Debug, PartialEq)]
pub(crate) enum Effect {
    Report(Box<TaskStatus>),
    Start(Box<TaskInfo>),
    StopChecks,
    Terminate {
        pid: i32,
    },
    Kill {
        pid: i32,
    },
    /// There is nothing more to do and nothing to wait for.
    Exit,
}

/// The task and what is to become of it.
#[derive(Debug)]
pub(crate) struct CommandTask {
    phase: Phase,
    shutdown_grace: Duration,
    wants_killing: bool,
    agent_lost: bool,
}

#[derive(Debug)]
enum Phase {
    Waiting,
    Starting { task: Box<TaskInfo> },
    Running(Running),
    Ended,
}

#[derive(Debug)]
struct Running {
    task: Box<TaskInfo>,
    pid: i32,
    /// When it has run for long enough.
    completion: Option<Instant>,
    kill: Option<Killing>,
    sick: bool,
    ran_too_long: bool,
}

#[derive(Debug, Clone, Copy)]
struct Killing {
    since: Instant,
    /// When SIGKILL follows; `None` once it has.
    escalation: Option<Instant>,
}

impl CommandTask {
    /// No task yet. `shutdown_grace` is what the agent gives at a shutdown.
    pub(crate) fn new(shutdown_grace: Duration) -> CommandTask {
        CommandTask {
            phase: Phase::Waiting,
            shutdown_grace,
            wants_killing: false,
            agent_lost: false,
        }
    }

    /// Whether the task has ended, so that only its last update is waited for.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended)
    }

    /// The id of the task that runs.
    pub(crate) fn task_id(&self) -> Option<&TaskId> {
        match &self.phase {
            Phase::Running(running) => Some(&running.task.task_id),
            _ => None,
        }
    }

    /// When [`tick`](CommandTask::tick) has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let Phase::Running(running) = &self.phase else {
            return None;
        };
        let escalation = running.kill.and_then(|kill| kill.escalation);
        escalation.into_iter().chain(running.completion).min()
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        let Phase::Running(running) = &mut self.phase else {
            return effects;
        };
        if running.completion.is_some_and(|at| at <= now) {
            running.completion = None;
            running.ran_too_long = true;
            effects.extend(self.kill(Duration::ZERO, now));
        }
        let Phase::Running(running) = &mut self.phase else {
            return effects;
        };
        if let Some(kill) = &mut running.kill
            && kill.escalation.is_some_and(|at| at <= now)
        {
            kill.escalation = None;
            effects.push(Effect::Kill { pid: running.pid });
        }
        effects
    }

    /// Takes what happened and says what has to be done.
    pub(crate) fn handle(&mut self, input: Input, now: Instant) -> Vec<Effect> {
        match input {
            Input::Subscribed { wants_killing } => {
                self.wants_killing = wants_killing;
                Vec::new()
            }
            Input::Launch(task) => self.launch(task),
            Input::Started { pid } => self.started(pid, now),
            Input::StartFailed(reason) => self.start_failed(reason),
            Input::Kill { task_id, policy } => self.kill_task(&task_id, policy, now),
            Input::Sick => {
                if let Phase::Running(running) = &mut self.phase {
                    running.sick = running.kill.is_none();
                }
                let grace = self.grace(None);
                self.kill(grace, now)
            }
            Input::Shutdown => self.shutdown(now),
            Input::AgentLost => {
                self.agent_lost = true;
                self.shutdown(now)
            }
            Input::Exited(status) => self.exited(status),
        }
    }

    fn launch(&mut self, task: Box<TaskInfo>) -> Vec<Effect> {
        if !matches!(self.phase, Phase::Waiting) {
            let mut failed = TaskStatus::new(task.task_id.clone(), TaskState::Failed);
            failed.message = Some("This executor runs one task, and it has had it".to_string());
            return vec![report(failed)];
        }
        let starting = TaskStatus::new(task.task_id.clone(), TaskState::Starting);
        self.phase = Phase::Starting { task: task.clone() };
        vec![report(starting), Effect::Start(task)]
    }

    fn started(&mut self, pid: i32, now: Instant) -> Vec<Effect> {
        let Phase::Starting { task } = std::mem::replace(&mut self.phase, Phase::Ended) else {
            return Vec::new();
        };
        let running = TaskStatus::new(task.task_id.clone(), TaskState::Running);
        let limit = task.max_completion_time.map(|limit| limit.to_duration());
        let completion = limit.filter(|limit| !limit.is_zero()).map(|limit| now + limit);
        self.phase = Phase::Running(Running {
            task,
            pid,
            completion,
            kill: None,
            sick: false,
            ran_too_long: false,
        });
        vec![report(running)]
    }

    fn start_failed(&mut self, reason: String) -> Vec<Effect> {
        let Phase::Starting { task } = std::mem::replace(&mut self.phase, Phase::Ended) else {
            return Vec::new();
        };
        let mut failed = TaskStatus::new(task.task_id, TaskState::Failed);
        failed.message = Some(reason);
        let mut effects = vec![report(failed)];
        effects.extend(self.nothing_left());
        effects
    }

    fn kill_task(&mut self, task_id: &TaskId, policy: Option<KillPolicy>, now: Instant) -> Vec<Effect> {
        match &mut self.phase {
            Phase::Running(running) if running.task.task_id == *task_id => {
                running.completion = None;
                let grace = self.grace(policy);
                self.kill(grace, now)
            }
            _ => {
                tracing::warn!(%task_id, "asked to kill a task that does not run here");
                Vec::new()
            }
        }
    }

    /// The kill's own policy wins over the task's.
    fn grace(&self, policy: Option<KillPolicy>) -> Duration {
        let own = match &self.phase {
            Phase::Running(running) => running.task.kill_policy,
            _ => None,
        };
        let of = |policy: Option<KillPolicy>| policy.and_then(|policy| policy.grace_period);
        of(policy)
            .or(of(own))
            .map_or(DEFAULT_KILL_GRACE, |grace| grace.to_duration())
    }

    fn shutdown(&mut self, now: Instant) -> Vec<Effect> {
        match self.phase {
            Phase::Running(_) => {
                let grace = self.shutdown_grace.saturating_sub(SHUTDOWN_RESERVE);
                self.kill(grace, now)
            }
            // The exit of what is being started comes through, as soon as it is.
            Phase::Starting { .. } => Vec::new(),
            Phase::Waiting => vec![Effect::Exit],
            Phase::Ended => self.nothing_left(),
        }
    }

    /// SIGTERM, and SIGKILL after `grace`. A task that is already being killed can only get less
    /// time: a scheduler that repeats its kill does not prolong the task's life.
    fn kill(&mut self, grace: Duration, now: Instant) -> Vec<Effect> {
        let Phase::Running(running) = &mut self.phase else {
            return Vec::new();
        };
        if let Some(kill) = &mut running.kill {
            let sooner = kill.since + grace;
            kill.escalation = kill.escalation.map(|at| at.min(sooner.max(now)));
            return Vec::new();
        }
        running.kill = Some(Killing {
            since: now,
            escalation: Some(now + grace),
        });
        let mut effects = vec![Effect::StopChecks];
        if self.wants_killing && !running.ran_too_long {
            effects.push(report(TaskStatus::new(
                running.task.task_id.clone(),
                TaskState::Killing,
            )));
        }
        effects.push(Effect::Terminate { pid: running.pid });
        effects
    }

    fn exited(&mut self, status: ExitStatus) -> Vec<Effect> {
        let Phase::Running(running) = std::mem::replace(&mut self.phase, Phase::Ended) else {
            return Vec::new();
        };
        let state = match () {
            () if running.ran_too_long => TaskState::Failed,
            () if running.kill.is_some() => TaskState::Killed,
            () if status.success() => TaskState::Finished,
            () => TaskState::Failed,
        };
        let mut last = TaskStatus::new(running.task.task_id, state);
        last.message = Some(format!("Command {}", exit::describe(status)));
        last.reason = running.ran_too_long.then_some(Reason::MaxCompletionTimeReached);
        last.healthy = running.sick.then_some(false);
        let mut effects = vec![Effect::StopChecks, report(last)];
        effects.extend(self.nothing_left());
        effects
    }

    /// Without an agent nobody acknowledges the last update.
    fn nothing_left(&self) -> Vec<Effect> {
        if self.agent_lost {
            vec![Effect::Exit]
        } else {
            Vec::new()
        }
    }
}

fn report(status: TaskStatus) -> Effect {
    Effect::Report(Box::new(status))
}

#[cfg(test)]
#[path = "task_tests.rs"]
mod tests;
