//! The one loop: events of the agent, the end of the task, results of checks and time go into the
//! [`CommandTask`], and what it says is done.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, never, select, unbounded};
use mesos_http::executor::{Connection, Environment, Event, Notice};
use mesos_http::types::{CapabilityKind, CheckStatus, Reason, TaskInfo, TaskState, TaskStatus};

use crate::checks::{CheckResult, Checks, RunningChecks};
use crate::child::TaskProcess;
use crate::launch;
use crate::options::Options;
use crate::process_tree;
use crate::task::{CommandTask, Effect, Input};

/// How long the acknowledgement of the last update is waited for while the agent is there.
const LAST_ACKNOWLEDGEMENT: Duration = Duration::from_secs(60);

/// Runs the executor to its end.
pub(crate) fn run(options: Options, environment: Environment) -> ExitCode {
    let (results, check_results) = unbounded();
    let task = CommandTask::new(environment.shutdown_grace_period);
    let connection = Connection::open(environment);
    let supervisor = Supervisor {
        options,
        connection,
        task,
        process: None,
        results,
        check_results,
        checks: None,
        check_status: None,
        healthy: None,
        is_subscribed: false,
        acknowledgement_due: None,
        exit: None,
    };
    supervisor.run()
}

struct Supervisor {
    options: Options,
    connection: Connection,
    task: CommandTask,
    process: Option<TaskProcess>,
    results: Sender<CheckResult>,
    check_results: Receiver<CheckResult>,
    checks: Option<RunningChecks>,
    /// The latest result of the check, which every update has to carry.
    check_status: Option<CheckStatus>,
    healthy: Option<bool>,
    is_subscribed: bool,
    /// When waiting for the last acknowledgement ends.
    acknowledgement_due: Option<Instant>,
    exit: Option<ExitCode>,
}

impl Supervisor {
    fn run(mut self) -> ExitCode {
        loop {
            if let Some(code) = self.exit {
                return code;
            }
            let deadline = self.task.deadline().into_iter().chain(self.acknowledgement_due).min();
            let timer = deadline.map_or_else(never, crossbeam_channel::at);
            let ended = self
                .process
                .as_ref()
                .map_or_else(never, |process| process.ended().clone());
            let notices = self.connection.notices().clone();
            let check_results = self.check_results.clone();
            select! {
                recv(notices) -> notice => match notice {
                    Ok(notice) => self.noticed(notice),
                    Err(_) => self.agent_lost(),
                },
                recv(ended) -> _ => self.reap(),
                recv(check_results) -> result => if let Ok(result) = result {
                    self.checked(result);
                },
                recv(timer) -> _ => self.time_passed(),
            }
        }
    }

    fn noticed(&mut self, notice: Notice) {
        match notice {
            Notice::Subscribed(subscribed) => {
                tracing::info!(agent = subscribed.agent_info.hostname, "subscribed");
                self.is_subscribed = true;
                let wants_killing = subscribed.framework_info.has(&CapabilityKind::TaskKillingState);
                self.input(Input::Subscribed { wants_killing });
                self.watch_last_acknowledgement();
            }
            Notice::Event(event) => self.event(event),
            Notice::Disconnected { error, .. } => {
                if self.is_subscribed {
                    tracing::warn!(%error, "the agent is away, waiting for it");
                }
                self.is_subscribed = false;
                self.acknowledgement_due = None;
            }
            Notice::UpdateRefused { status, error } => {
                tracing::error!(state = %status.state, %error, "the agent refuses a status update");
                if self.task.has_ended() && self.connection.is_all_acknowledged() {
                    self.exit = Some(ExitCode::FAILURE);
                }
            }
            Notice::Ended { ending, error } => {
                tracing::error!(?ending, %error, "no agent any more, ending");
                self.agent_lost();
            }
            _ => {}
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Launch(task) => self.input(Input::Launch(task)),
            Event::Kill { task_id, kill_policy } => {
                self.input(Input::Kill {
                    task_id,
                    policy: kill_policy,
                });
            }
            Event::Shutdown => {
                tracing::info!("the agent wants this executor to end");
                self.input(Input::Shutdown);
            }
            Event::LaunchGroup(_) => {
                tracing::error!("a task group was sent to the executor of a single command, ending");
                self.input(Input::Shutdown);
            }
            Event::Acknowledged { .. } if self.task.has_ended() && self.connection.is_all_acknowledged() => {
                self.exit = Some(ExitCode::SUCCESS);
            }
            Event::Error(message) => tracing::error!(message, "the agent complains"),
            Event::Other {
                kind,
                unreadable: Some(reason),
                ..
            } => {
                tracing::error!(kind, reason, "an event cannot be read");
            }
            _ => {}
        }
    }

    fn agent_lost(&mut self) {
        self.is_subscribed = false;
        self.acknowledgement_due = None;
        self.input(Input::AgentLost);
    }

    fn reap(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        match process.reap() {
            Ok(status) => self.input(Input::Exited(status)),
            Err(error) => {
                // It cannot happen while nobody else reaps this program's children.
                tracing::error!(%error, "the task's exit status is lost, ending");
                self.exit = Some(ExitCode::FAILURE);
            }
        }
        self.watch_last_acknowledgement();
    }

    fn checked(&mut self, result: CheckResult) {
        // A result that was on its way when the task was killed is no news any more.
        let Some(task_id) = self.checks.as_ref().and(self.task.task_id()).cloned() else {
            return;
        };
        let mut status = TaskStatus::new(task_id, TaskState::Running);
        let mut is_sick = false;
        match result {
            CheckResult::Health(verdict) => {
                self.healthy = Some(verdict.healthy);
                is_sick = verdict.kill;
                status.reason = Some(Reason::TaskHealthCheckStatusUpdated);
            }
            CheckResult::Check(check_status) => {
                self.check_status = Some(check_status);
                status.reason = Some(Reason::TaskCheckStatusUpdated);
            }
        }
        status.healthy = self.healthy;
        self.report(status);
        if is_sick {
            tracing::warn!("the health check failed too often in a row, killing the task");
            self.input(Input::Sick);
        }
    }

    fn time_passed(&mut self) {
        let now = Instant::now();
        if self.acknowledgement_due.is_some_and(|due| due <= now) {
            tracing::error!("the agent did not acknowledge the last status update, ending");
            self.exit = Some(ExitCode::FAILURE);
            return;
        }
        let effects = self.task.tick(now);
        self.perform(effects);
    }

    /// Time counts only while the agent is there: one that is being restarted gets its
    /// acknowledgement out later, within the recovery timeout.
    fn watch_last_acknowledgement(&mut self) {
        if self.task.has_ended() && self.is_subscribed && self.acknowledgement_due.is_none() {
            self.acknowledgement_due = Some(Instant::now() + LAST_ACKNOWLEDGEMENT);
        }
    }

    fn input(&mut self, input: Input) {
        let effects = self.task.handle(input, Instant::now());
        self.perform(effects);
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Report(status) => self.report(*status),
                Effect::Start(task) => self.start(&task),
                Effect::StopChecks => self.checks = None,
                Effect::Terminate { pid } => process_tree::terminate(pid),
                Effect::Kill { pid } => process_tree::kill(pid),
                // Whether everything was delivered decides how this program ends.
                Effect::Exit => {
                    let delivered = self.connection.is_all_acknowledged();
                    self.exit = Some(if delivered {
                        ExitCode::SUCCESS
                    } else {
                        ExitCode::FAILURE
                    });
                }
            }
        }
    }

    fn start(&mut self, task: &TaskInfo) {
        self.check_status = Checks::first_status(task);
        // What is not supported is found out before anything runs.
        if let Err(reason) = Checks::of(task, None) {
            return self.input(Input::StartFailed(reason));
        }
        let process = match launch::launch(&self.options, task) {
            Ok(child) => TaskProcess::new(child),
            Err(error) => return self.input(Input::StartFailed(error.to_string())),
        };
        let pid = process.pid();
        tracing::info!(task = %task.task_id, pid, "started");
        self.process = Some(process);
        self.input(Input::Started { pid });
        let namespace_of = self.options.rootfs.is_some().then_some(pid);
        if let Ok(checks) = Checks::of(task, namespace_of) {
            self.checks = Some(checks.start(self.results.clone()));
        }
    }

    fn report(&mut self, mut status: TaskStatus) {
        let message = status.message.as_deref().unwrap_or_default();
        tracing::info!("{} {message}", status.state);
        status.check_status = self.check_status.clone();
        self.connection.update(status);
    }
}
