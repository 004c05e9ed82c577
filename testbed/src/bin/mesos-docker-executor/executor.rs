//! The life of the one task, and of the connection to the agent.

use std::process::ExitStatus;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use prost::Message;

use crate::docker;
use crate::driver::Driver;
use crate::libprocess::{Libprocess, Received};
use crate::messages::{Acknowledgement, KillTask, RunTask, TaskInfo, TaskState};
use crate::options::Options;

/// Between two looks at whether the container was started.
const LOOK: Duration = Duration::from_millis(100);
/// For how long the acknowledgement of the last update is waited for.
const ACKNOWLEDGEMENT: Duration = Duration::from_secs(60);

/// Something that happened.
#[derive(Debug)]
pub(crate) enum Input {
    Message(Received),
    /// The connection to the agent with this pid ended.
    AgentGone(String),
    /// The container was seen to have started.
    Started,
    /// `docker run` has ended.
    Exited(std::io::Result<ExitStatus>),
}

struct Executor {
    options: Options,
    driver: Driver,
    inputs: Sender<Input>,
    task: Option<TaskInfo>,
    is_running: bool,
    is_killed: bool,
    /// How `docker run` ended, which is told only after the update that the task runs.
    exit: Option<std::io::Result<ExitStatus>>,
    /// When this process ends, whatever is still open.
    deadline: Option<Instant>,
    /// When the agent that went away is waited for no longer.
    agent_lost: Option<Instant>,
    is_over: bool,
}

/// Runs until the task has ended and the agent knows, or until there is no agent any more.
///
/// # Errors
/// The agent cannot be reached at the start.
pub(crate) fn run(options: Options) -> Result<(), String> {
    let (inputs, received) = channel();
    let libprocess = Libprocess::listen(inputs.clone()).map_err(|error| format!("cannot listen: {error}"))?;
    let mut driver = Driver::new(options.clone(), libprocess);
    driver
        .register()
        .map_err(|error| format!("cannot register with the agent: {error}"))?;
    let mut executor = Executor {
        options,
        driver,
        inputs,
        task: None,
        is_running: false,
        is_killed: false,
        exit: None,
        deadline: None,
        agent_lost: None,
        is_over: false,
    };
    executor.serve(&received);
    Ok(())
}

impl Executor {
    fn serve(&mut self, received: &Receiver<Input>) {
        while !self.is_over {
            let due = self.deadline.into_iter().chain(self.agent_lost).min();
            let wait = due.map_or(Duration::from_secs(3600), |due| {
                due.saturating_duration_since(Instant::now())
            });
            match received.recv_timeout(wait) {
                Ok(input) => self.take(input),
                Err(RecvTimeoutError::Timeout) => self.time_passed(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Message(message) => self.message(message),
            Input::AgentGone(pid) => {
                if self.driver.has_lost(&pid) {
                    let patience = if self.options.checkpoint {
                        self.options.recovery_timeout
                    } else {
                        Duration::ZERO
                    };
                    self.agent_lost = Some(Instant::now() + patience);
                }
            }
            Input::Started => {
                if let (Some(task), false, false) = (&self.task, self.is_running, self.is_killed) {
                    let id = task.task_id.value.clone();
                    self.driver.update(&id, TaskState::Running, None);
                }
                self.is_running = true;
                self.finish();
            }
            Input::Exited(status) => {
                // Docker knows for certain by now whether the container was ever started.
                let started = docker::was_started(&self.options);
                self.exit = Some(status);
                if started && !self.is_running {
                    self.take(Input::Started);
                } else {
                    self.is_running = true;
                    self.finish();
                }
            }
        }
    }

    fn message(&mut self, message: Received) {
        let Received { from, name, body } = message;
        let understood = match name.as_str() {
            "RunTaskMessage" => RunTask::decode(body.as_slice()).map(|run| self.launch(run.task)),
            "KillTaskMessage" => KillTask::decode(body.as_slice()).map(|kill| {
                let policy = kill
                    .kill_policy
                    .or_else(|| self.task.as_ref().and_then(|task| task.kill_policy));
                let grace = policy.and_then(|policy| policy.grace_period);
                let nanoseconds = grace.and_then(|grace| u64::try_from(grace.nanoseconds).ok());
                self.kill(nanoseconds.map_or(self.options.shutdown_grace, Duration::from_nanos));
            }),
            "StatusUpdateAcknowledgementMessage" => Acknowledgement::decode(body.as_slice()).map(|acknowledgement| {
                let state = self.driver.acknowledged(&acknowledgement.uuid);
                self.is_over |= state.is_some_and(TaskState::is_terminal);
            }),
            "ReconnectExecutorMessage" => {
                self.agent_lost = None;
                if let Err(error) = self.driver.reregister(&from) {
                    tracing::warn!(%error, "the agent that asked for a reconnection is gone");
                }
                Ok(())
            }
            "ShutdownExecutorMessage" => {
                self.shut_down();
                Ok(())
            }
            _ => Ok(()),
        };
        if let Err(error) = understood {
            tracing::error!(%error, name, "cannot read a message of the agent");
        }
    }

    fn launch(&mut self, bytes: Vec<u8>) {
        let task = match TaskInfo::decode(bytes.as_slice()) {
            Ok(task) => task,
            Err(error) => return tracing::error!(%error, "cannot read the task"),
        };
        let id = task.task_id.value.clone();
        self.driver.took_task(bytes);
        self.driver.update(&id, TaskState::Starting, None);
        match docker::run(&self.options, &task) {
            Ok(mut client) => {
                self.task = Some(task);
                let exited = self.inputs.clone();
                thread::spawn(move || {
                    let _ = exited.send(Input::Exited(client.wait()));
                });
                let (options, started) = (self.options.clone(), self.inputs.clone());
                thread::spawn(move || {
                    while !docker::was_started(&options) {
                        thread::sleep(LOOK);
                    }
                    let _ = started.send(Input::Started);
                });
            }
            Err(error) => {
                let message = format!("Failed to create docker run options: {error}");
                self.driver.update(&id, TaskState::Failed, Some(message));
                self.deadline = Some(Instant::now() + ACKNOWLEDGEMENT);
            }
        }
    }

    fn kill(&mut self, grace: Duration) {
        if self.task.is_none() || self.exit.is_some() || self.is_killed {
            return;
        }
        self.is_killed = true;
        let options = self.options.clone();
        thread::spawn(move || docker::stop(&options, grace));
    }

    fn shut_down(&mut self) {
        if self.task.is_none() {
            self.is_over = true;
        }
        let grace = self.options.shutdown_grace;
        self.kill(grace);
        // The agent destroys what is left of it after the same time.
        self.deadline.get_or_insert(Instant::now() + grace * 2);
    }

    /// Reports the end of `docker run`, once it has ended and the update before was sent.
    fn finish(&mut self) {
        let (Some(task), Some(exit), true) = (&self.task, &self.exit, self.is_running) else {
            return;
        };
        let id = task.task_id.value.clone();
        let (state, message) = match exit {
            Err(error) => (TaskState::Failed, format!("Failed to run docker container: {error}")),
            Ok(status) if self.is_killed => (TaskState::Killed, format!("Container {status}")),
            Ok(status) if status.success() => (TaskState::Finished, format!("Container {status}")),
            Ok(status) => (TaskState::Failed, format!("Container {status}")),
        };
        self.driver.update(&id, state, Some(message));
        self.exit = None;
        self.task = None;
        self.deadline = Some(Instant::now() + ACKNOWLEDGEMENT);
    }

    fn time_passed(&mut self) {
        let now = Instant::now();
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.is_over = true;
        }
        if self.agent_lost.is_some_and(|lost| lost <= now) {
            self.agent_lost = None;
            self.shut_down();
        }
    }
}
