//! The health check of a task in a nested container: by command, which the agent runs in a DEBUG container of its own.

use std::thread;
use std::time::{Duration, Instant};

use mesos_http::operator::Agent;
use mesos_http::types::{CheckKind, ContainerId, HealthCheck, TaskId};

use crate::running::{Happened, Told};

/// Why a check cannot be made, if so.
pub(crate) fn unsupported(check: &HealthCheck) -> Option<String> {
    let by_command = check.kind == Some(CheckKind::Command) && check.command.is_some();
    (!by_command).then(|| "the testbed's mesos-default-executor checks health by command only".to_owned())
}

/// Checks again and again, until the container is gone or the check failed too often.
pub(crate) fn watch(task_id: &TaskId, check: &HealthCheck, container: &ContainerId, agent: &Agent, told: &Told) {
    let Some(command) = &check.command else { return };
    let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or_default();
    let started = Instant::now();
    let (mut failures, mut was_healthy) = (0, false);
    thread::sleep(seconds(check.delay_seconds));
    loop {
        let session = ContainerId {
            value: format!("check-{}", uuid::Uuid::new_v4()),
            parent: Some(Box::new(container.clone())),
        };
        let end = agent
            .run_session(&session, command)
            .and_then(|()| agent.wait_nested_container(&session));
        let Ok(end) = end else {
            // The container has ended, and the check with it.
            return;
        };
        let healthy = end.exit_status == Some(0);
        was_healthy |= healthy;
        let in_grace = !was_healthy && started.elapsed() < seconds(check.grace_period_seconds);
        failures = if healthy || in_grace { 0 } else { failures + 1 };
        let sick = failures >= check.consecutive_failures;
        let happened = if sick {
            Happened::Sick(task_id.clone())
        } else {
            Happened::Checked(task_id.clone(), healthy)
        };
        if told.send(happened).is_err() || sick {
            return;
        }
        thread::sleep(seconds(check.interval_seconds));
    }
}
