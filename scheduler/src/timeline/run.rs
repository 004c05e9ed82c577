//! The timeline of a run, from what is known of it.

use std::collections::{BTreeMap, BTreeSet};

use mesos_http::types::TaskState;

use super::{AttemptTimes, Outcome, Place, TaskTimes, Timeline};
use crate::plan::{Plan, PlannedTask};
use crate::state::{Agent, Attempt, JobState, Millis, Standing, TaskRecord, Verdict};

/// The timeline of a run as it stands at `now`, or as it ended.
pub fn of_run(title: &str, plan: &Plan, state: &JobState, now: Millis) -> Timeline {
    let end = state.end.as_ref().map_or(now, |end| end.at_ms);
    let names = Names {
        volumes: volume_names(plan),
        shared_hosts: shared_hosts(state),
    };
    let tasks: Vec<TaskTimes> = plan
        .tasks
        .iter()
        .map(|task| task_times(task, &state.tasks[task.name()], state.end.is_some(), &names))
        .collect();
    Timeline::new(title, state.started_ms, end, &tasks, Vec::new())
}

/// What people call things.
struct Names<'a> {
    volumes: BTreeMap<&'a str, &'a str>,
    /// Hosts with more than one agent, which differ by their port.
    shared_hosts: BTreeSet<&'a str>,
}

fn shared_hosts(state: &JobState) -> BTreeSet<&str> {
    let agents = state.tasks.values().flat_map(|record| &record.attempts);
    let mut addresses: BTreeMap<&str, BTreeSet<Option<&str>>> = BTreeMap::new();
    for agent in agents.map(|attempt| &attempt.agent) {
        let of_host = addresses.entry(&agent.hostname).or_default();
        of_host.insert(agent.address.as_deref());
    }
    let shared = addresses.into_iter().filter(|(_, addresses)| addresses.len() > 1);
    shared.map(|(host, _)| host).collect()
}

/// What people call the volumes: a job may spell one volume in several ways, and its lane has one of them.
fn volume_names(plan: &Plan) -> BTreeMap<&str, &str> {
    let mut names = BTreeMap::new();
    for volume in plan.tasks.iter().flat_map(|task| &task.volumes) {
        if let Some(claim) = &volume.claim {
            names.entry(claim.as_str()).or_insert(volume.name.as_str());
        }
    }
    names
}

fn task_times(task: &PlannedTask, record: &TaskRecord, over: bool, names: &Names<'_>) -> TaskTimes {
    TaskTimes {
        task: task.name().to_owned(),
        ready_ms: record.ready_ms,
        waits: !over && record.standing() == Standing::Ready,
        attempts: record
            .attempts
            .iter()
            .map(|attempt| attempt_times(attempt, names))
            .collect(),
    }
}

fn attempt_times(attempt: &Attempt, names: &Names<'_>) -> AttemptTimes {
    let running = attempt.changes.iter().find(|change| change.state == TaskState::Running);
    // Its last word is its end.
    let last = attempt
        .changes
        .last()
        .map_or(attempt.intended_ms, |change| change.at_ms);
    let called = |claim: &String| {
        names
            .volumes
            .get(claim.as_str())
            .map_or(claim.clone(), |name| (*name).to_owned())
    };
    AttemptTimes {
        name: attempt.task_id.clone(),
        agent: names.place(&attempt.agent),
        launched_ms: attempt.intended_ms,
        running_ms: running.map(|change| change.at_ms),
        ended_ms: attempt.verdict.map(|_| last),
        outcome: match attempt.verdict {
            None => Outcome::Active,
            Some(Verdict::Finished) => Outcome::Finished,
            Some(_) => Outcome::Failed,
        },
        volumes: attempt.claims.iter().map(called).collect(),
    }
}

impl Names<'_> {
    fn place(&self, agent: &Agent) -> Place {
        let port = agent.address.as_ref().and_then(|address| address.rsplit(':').next());
        let name = match port.filter(|_| self.shared_hosts.contains(agent.hostname.as_str())) {
            Some(port) => format!("{}:{port}", agent.hostname),
            None => agent.hostname.clone(),
        };
        let zone = agent.zone.clone();
        Place { name, zone }
    }
}
