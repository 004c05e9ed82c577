//! A task of a group: a container nested in the executor's.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::thread;
use std::time::Duration;

use mesos_http::error::Error;
use mesos_http::operator::{Agent, ContainerEnd, ContainerLaunch};
use mesos_http::types::{ContainerId, TaskId, TaskInfo, TaskStatus};

use crate::health;
use crate::running::{Happened, Told, ended, not_started};

/// The pause before an agent that is away is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// A container for a task, nested in the executor's.
pub(crate) fn container_in(executor: &ContainerId) -> ContainerId {
    ContainerId {
        value: uuid::Uuid::new_v4().to_string(),
        parent: Some(Box::new(executor.clone())),
    }
}

/// Starts the task's container. Gives how to kill it.
pub(crate) fn start(task: TaskInfo, container: ContainerId, agent: Agent, told: Told) -> Box<dyn Fn() + Send> {
    let (of_kill, asked) = (container.clone(), agent.clone());
    thread::spawn(move || run(task, container, &agent, &told));
    Box::new(move || {
        if let Err(error) = asked.kill_nested_container(&of_kill) {
            tracing::warn!(container = %of_kill, %error, "not killed");
        }
    })
}

fn run(task: TaskInfo, container: ContainerId, agent: &Agent, told: &Told) {
    let tell = |happened| {
        // The executor listens as long as it lives.
        let _ = told.send(happened);
    };
    let check = task.health_check.clone();
    if let Some(problem) = check.as_ref().and_then(health::unsupported) {
        return tell(Happened::Ended(Box::new(not_started(task.task_id, problem))));
    }
    tracing::info!(task = %task.task_id, %container, "starting");
    if let Err(error) = launch(&task, &container, agent) {
        return tell(Happened::Ended(Box::new(not_started(task.task_id, error.to_string()))));
    }
    tell(Happened::Started(task.task_id.clone()));
    if let Some(check) = check {
        let (id, container, agent, told) = (task.task_id.clone(), container.clone(), agent.clone(), told.clone());
        thread::spawn(move || health::watch(&id, &check, &container, &agent, &told));
    }
    let update = wait(task.task_id, &container, agent);
    tell(Happened::Ended(Box::new(update)));
}

/// With the task's own resources where the agent knows such a call: they are how an isolator tells members apart.
fn launch(task: &TaskInfo, container: &ContainerId, agent: &Agent) -> Result<(), Error> {
    let launch = ContainerLaunch {
        container_id: container.clone(),
        command: task.command.clone(),
        container: task.container.clone(),
        resources: task.resources.clone(),
    };
    let version = agent.version()?.version;
    let mut numbers = version.split('.').filter_map(|number| number.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(1), Some(minor)) if minor < 10 => agent.launch_nested_container(&launch),
        _ => agent.launch_container(&launch),
    }
}

/// Waits for the container's end, also while the agent is away.
fn wait(task_id: TaskId, container: &ContainerId, agent: &Agent) -> TaskStatus {
    loop {
        match agent.wait_nested_container(container) {
            Ok(end) => return described(task_id, end),
            Err(Error::NotReady {
                status: 404, message, ..
            }) if !message.is_empty() => {
                return not_started(
                    task_id,
                    format!("the agent does not know its container any more: {message}"),
                );
            }
            Err(Error::Invalid { message, .. }) => return not_started(task_id, message),
            Err(error) => {
                tracing::debug!(%container, %error, "waiting again");
                thread::sleep(ASK_AGAIN);
            }
        }
    }
}

fn described(task_id: TaskId, end: ContainerEnd) -> TaskStatus {
    let Some(status) = end.exit_status else {
        return not_started(task_id, end.message.unwrap_or_else(|| "Command did not run".to_owned()));
    };
    let mut update = ended(task_id, ExitStatus::from_raw(status));
    if let Some(state) = end.state {
        update.state = state;
    }
    update.reason = end.reason;
    if let Some(why) = end.message {
        let how = update.message.unwrap_or_default();
        update.message = Some(format!("{how}: {why}"));
    }
    update
}
