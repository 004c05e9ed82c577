//! The one loop: events of the agent and what happens to tasks go in, status updates go out.

use std::process::ExitCode;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, select, unbounded};
use mesos_http::Endpoint;
use mesos_http::executor::{Connection, Environment, Event, Notice};
use mesos_http::operator::Agent;
use mesos_http::types::{ContainerId, ContainerStatus, Reason, TaskGroupInfo, TaskId, TaskInfo, TaskState, TaskStatus};

use crate::running::{Happened, Running};
use crate::{child, member};

/// The deadline of calls to the agent: one of them waits for the end of a task.
const A_YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Runs the executor to its end.
pub(crate) fn run(environment: Environment, agent: Endpoint) -> ExitCode {
    let (told, happened) = unbounded();
    let executor = Executor {
        connection: Connection::open(environment),
        agent: Agent::new(agent, A_YEAR),
        container: None,
        running: Vec::new(),
        groups: 0,
        has_launched: false,
        told,
        happened,
    };
    executor.run()
}

struct Executor {
    connection: Connection,
    agent: Agent,
    /// This program's own container.
    container: Option<ContainerId>,
    running: Vec<Running>,
    groups: usize,
    has_launched: bool,
    told: Sender<Happened>,
    happened: Receiver<Happened>,
}

impl Executor {
    fn run(mut self) -> ExitCode {
        let notices = self.connection.notices().clone();
        let happened = self.happened.clone();
        loop {
            select! {
                recv(notices) -> notice => match notice {
                    Ok(Notice::Subscribed(subscribed)) => {
                        self.container = subscribed.container_id;
                        tracing::info!(container = ?self.container, "subscribed");
                    }
                    Ok(Notice::Event(Event::Shutdown)) => self.kill_where(|_| true),
                    Ok(Notice::Event(event)) => self.event(event),
                    Ok(Notice::UpdateRefused { status, error }) => {
                        tracing::error!(state = %status.state, %error, "the agent refuses a status update");
                    }
                    Ok(Notice::Ended { ending, error }) => {
                        tracing::error!(?ending, %error, "no agent any more, ending");
                        self.kill_where(|_| true);
                        return ExitCode::FAILURE;
                    }
                    Ok(_) => {}
                    Err(_) => return ExitCode::FAILURE,
                },
                recv(happened) -> happened => if let Ok(happened) = happened {
                    self.told(happened);
                },
            }
            if self.has_launched && self.running.is_empty() && self.connection.is_all_acknowledged() {
                return ExitCode::SUCCESS;
            }
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::LaunchGroup(TaskGroupInfo { tasks }) => {
                self.groups += 1;
                tasks.into_iter().for_each(|task| self.launch(task, Some(self.groups)));
            }
            Event::Launch(task) => self.launch(*task, None),
            Event::Kill { task_id, .. } => self.kill_where(|running| running.task_id == task_id),
            Event::Error(message) => tracing::error!(message, "the agent complains"),
            Event::Other {
                kind,
                unreadable: Some(reason),
                ..
            } => tracing::error!(kind, reason, "an event cannot be read"),
            _ => {}
        }
    }

    fn launch(&mut self, task: TaskInfo, group: Option<usize>) {
        self.has_launched = true;
        let task_id = task.task_id.clone();
        let container = match (group, &self.container) {
            (Some(_), Some(own)) => Some(member::container_in(own)),
            (Some(_), None) => {
                let mut update = TaskStatus::new(task_id, TaskState::Failed);
                update.message = Some("the agent did not tell the executor its container".to_owned());
                return self.report(update, None);
            }
            (None, _) => None,
        };
        self.report(TaskStatus::new(task_id.clone(), TaskState::Starting), container.clone());
        let kill = match &container {
            Some(container) => member::start(task, container.clone(), self.agent.clone(), self.told.clone()),
            None => child::start(task, self.told.clone()),
        };
        self.running.push(Running {
            task_id,
            container,
            group,
            killed: false,
            healthy: None,
            kill,
        });
    }

    fn told(&mut self, happened: Happened) {
        match happened {
            Happened::Started(task_id) => {
                let container = self.container_of(&task_id);
                self.report(TaskStatus::new(task_id, TaskState::Running), container);
            }
            Happened::Checked(task_id, healthy) => {
                let known = self.running.iter_mut().find(|running| running.task_id == task_id);
                let Some(running) = known.filter(|running| running.healthy != Some(healthy)) else {
                    return;
                };
                running.healthy = Some(healthy);
                let container = running.container.clone();
                let mut update = TaskStatus::new(task_id, TaskState::Running);
                update.healthy = Some(healthy);
                update.reason = Some(Reason::TaskHealthCheckStatusUpdated);
                self.report(update, container);
            }
            Happened::Sick(task_id) => {
                tracing::warn!(task = %task_id, "the health check failed too often in a row, killing the task");
                self.kill_where(|running| running.task_id == task_id);
            }
            Happened::Ended(update) => self.ended(*update),
        }
    }

    fn ended(&mut self, mut update: TaskStatus) {
        let Some(place) = self
            .running
            .iter()
            .position(|running| running.task_id == update.task_id)
        else {
            return;
        };
        let running = self.running.remove(place);
        if running.killed {
            update.state = TaskState::Killed;
        }
        let failed = update.state != TaskState::Finished;
        self.report(update, running.container);
        if failed && running.group.is_some() {
            self.kill_where(|other| other.group == running.group);
        }
    }

    fn kill_where(&mut self, wanted: impl Fn(&Running) -> bool) {
        for running in self
            .running
            .iter_mut()
            .filter(|running| wanted(running) && !running.killed)
        {
            running.killed = true;
            (running.kill)();
        }
    }

    fn container_of(&self, task_id: &TaskId) -> Option<ContainerId> {
        let running = self.running.iter().find(|running| running.task_id == *task_id)?;
        running.container.clone()
    }

    /// Without a container the agent fills in the executor's.
    fn report(&self, mut update: TaskStatus, container: Option<ContainerId>) {
        tracing::info!(task = %update.task_id, "{} {}", update.state, update.message.as_deref().unwrap_or_default());
        update.container_status = container.map(|container| ContainerStatus {
            container_id: Some(container),
            executor_pid: None,
            other: serde_json::Map::new(),
        });
        self.connection.update(update);
    }
}
