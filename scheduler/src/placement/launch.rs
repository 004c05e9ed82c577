//! Builds the `TaskInfo` of a launch from a planned task and its share of an offer.

use std::collections::BTreeSet;
use std::time::Duration;

use mesos_http::resources::{Demand, Resources};
use mesos_http::types::{CommandInfo, ContainerInfo, Labels, TaskInfo};

use crate::job::Command;
use crate::plan::{Plan, PlannedTask};
use crate::state::Attempt;

/// What the task needs of an offer. The items of `held_by_readers` are not among it, since other
/// readers on the agent hold them.
pub(super) fn demand(task: &PlannedTask, held_by_readers: &BTreeSet<&str>) -> Demand {
    let demand = Demand::new()
        .scalar("cpus", task.task.cpus)
        .scalar("mem", task.task.mem);
    match &task.items() - held_by_readers {
        claims if claims.is_empty() => demand,
        claims => demand.items(label_mapper::EBS_VOLUMES, claims),
    }
}

/// The task for `attempt`, which is already on record.
pub(super) fn task_info(
    plan: &Plan,
    task: &PlannedTask,
    attempt: &Attempt,
    number: usize,
    share: Resources,
) -> TaskInfo {
    let mut command = match &task.task.command {
        Command::Shell(line) => CommandInfo::shell(line),
        Command::Argv(argv) => CommandInfo::program(argv),
    };
    command.user = task.task.user.clone();
    // Mesos does not tell a command which task it is. Variables of the job file take precedence.
    let number = number.to_string();
    let known = [
        ("SCHEDULER_JOB", plan.job.as_str()),
        ("SCHEDULER_TASK", task.name()),
        ("SCHEDULER_TASK_ID", &attempt.task_id),
        ("SCHEDULER_ATTEMPT", &number),
    ];
    let instance = task.task.instance.map(|instance| instance.to_string());
    let instance = instance.as_deref().map(|number| ("SCHEDULER_INSTANCE", number));
    for (name, value) in known.into_iter().chain(instance) {
        if !task.task.environment.contains_key(name) {
            command = command.env(name, value);
        }
    }
    for (name, value) in &task.task.environment {
        command = command.env(name, value);
    }
    let agent = attempt.agent.id.clone().into();
    let mut info = TaskInfo::command(attempt.task_id.clone(), agent, command, share)
        // Isolators, and so volumes by label, are the Mesos containerizer's.
        .with_container(ContainerInfo::mesos());
    info.name = format!("{}.{}", plan.job, task.name());
    info.max_completion_time = task.task.timeout_ms.map(|millis| Duration::from_millis(millis).into());
    info.labels = task.labels().collect::<Labels>();
    info
}
