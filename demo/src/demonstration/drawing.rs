//! The timeline as a picture (SVG): tasks, agents and volumes of one run or of several, by the scheduler's own drawing.

use std::collections::BTreeMap;

use scheduler::timeline::{AttemptTimes, Mark, Outcome, Place, TaskTimes, Timeline};

use super::service::{JobAttempt, JobReport, JobTask};

/// The picture of these runs, in which `marks` happened.
pub fn draw(title: &str, runs: &[JobReport], marks: Vec<Mark>) -> String {
    let begin = runs.iter().map(|run| run.started_ms).min().unwrap_or(0);
    let ended = runs.iter().filter_map(|run| run.ended_ms).max();
    let tasks: Vec<TaskTimes> = runs.iter().flat_map(|run| &run.tasks).map(task_times).collect();
    Timeline::new(title, begin, ended.unwrap_or(begin), &tasks, marks).to_svg()
}

fn task_times(task: &JobTask) -> TaskTimes {
    let names: BTreeMap<&str, &str> = task
        .volumes
        .iter()
        .map(|volume| (volume.id.as_str(), volume.name.as_str()))
        .collect();
    TaskTimes {
        task: task.name.clone(),
        ready_ms: task.ready_ms,
        waits: false,
        attempts: task
            .attempts
            .iter()
            .map(|attempt| attempt_times(attempt, &names))
            .collect(),
    }
}

fn attempt_times(attempt: &JobAttempt, names: &BTreeMap<&str, &str>) -> AttemptTimes {
    let running = attempt.changes.iter().find(|change| change.state == "TASK_RUNNING");
    let last = attempt
        .changes
        .last()
        .map_or(attempt.intended_ms, |change| change.at_ms);
    let called = |id: &String| names.get(id.as_str()).map_or(id.clone(), |name| (*name).to_owned());
    AttemptTimes {
        name: attempt.task_id.clone(),
        agent: Place {
            name: attempt.agent.hostname.clone(),
            zone: attempt.agent.zone.clone(),
        },
        launched_ms: attempt.intended_ms,
        running_ms: running.map(|change| change.at_ms),
        ended_ms: attempt.verdict.as_ref().map(|_| last),
        outcome: match attempt.verdict.as_deref() {
            None => Outcome::Active,
            Some("finished") => Outcome::Finished,
            Some(_) => Outcome::Failed,
        },
        volumes: attempt.claims.iter().map(called).collect(),
    }
}
