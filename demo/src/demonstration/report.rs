//! What came of it: PASS or FAIL, the figures, the tasks, the volumes' ways.

use ebs_emulator::faults::Operation;
use ebs_emulator::{Event, EventKind};
use serde::Serialize;

use super::follow::Follower;
use super::service::{JobReport, JobTask};
use super::site::{HOSTS, Left, Volume, ZONE};
use crate::etl::Outcome;

/// How often volumes change their agents at least: with every batch.
const MOVES: u64 = 3;

/// The report, as `--report` writes it.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// `PASS` or `FAIL`.
    pub status: &'static str,
    /// What is wrong; empty for `PASS`.
    pub problems: Vec<String>,
    /// Flights extracted from the source.
    pub rows_extracted: u64,
    /// Flights in the target.
    pub rows_loaded: u64,
    /// Flights rejected: they never departed.
    pub rejected: u64,
    /// Rows of the aggregate per carrier, day and airport.
    pub aggregates: u64,
    /// Figures computed again from the original files and found equal, when all batches were loaded.
    pub figures_compared: u64,
    /// How often a volume changed its agent.
    pub moves: u64,
    /// The tasks, in the order of the job file.
    pub tasks: Vec<TaskReport>,
    /// The volumes.
    pub volumes: Vec<VolumeReport>,
    /// Volumes still mounted after the job.
    pub mounts_left: usize,
    /// Volumes still attached after the job.
    pub attachments_left: usize,
    /// From the first line to the last, in seconds.
    pub seconds: f64,
    /// The timeline as SVG; a file of its own.
    #[serde(skip)]
    pub drawing: Option<String>,
}

/// A task.
#[derive(Debug, Clone, Serialize)]
pub struct TaskReport {
    /// Its name.
    pub name: String,
    /// The host of the agent it ran on.
    pub agent: Option<String>,
    /// Its last state.
    pub state: Option<String>,
    /// How often it was launched.
    pub attempts: usize,
    /// When it was launched, in seconds after the job began.
    pub launched: Option<f64>,
    /// When it was running, in seconds after the job began.
    pub running: Option<f64>,
    /// When it ended, in seconds after the job began.
    pub ended: Option<f64>,
    /// Its volumes.
    pub volumes: Vec<TaskVolume>,
    /// Its figures.
    pub outcome: Option<Outcome>,
}

/// A volume of a task.
#[derive(Debug, Clone, Serialize)]
pub struct TaskVolume {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// How long the driver took to attach and mount it for this task, in milliseconds; absent when it was still mounted
    /// from the task before.
    pub mount_ms: Option<f64>,
}

/// A volume's way.
#[derive(Debug, Clone, Serialize)]
pub struct VolumeReport {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// The hosts it was on, one after the other.
    pub hosts: Vec<String>,
    /// How often it was attached.
    pub attached: usize,
}

impl Report {
    /// Puts together what the scheduler, the tasks and the storage say.
    pub fn new(job: &JobReport, tasks: &Follower, events: Vec<Event>, volumes: &[Volume], left: Left) -> Report {
        // Each batch has its own.
        let figure =
            |step: &str, of: fn(&Outcome) -> Option<u64>| tasks.outcomes(step).into_iter().filter_map(of).sum();
        let ways: Vec<VolumeReport> = volumes.iter().map(|volume| way(volume, &events)).collect();
        let mut report = Report {
            status: "PASS",
            problems: Vec::new(),
            rows_extracted: figure("extract", |outcome| outcome.rows_extracted),
            rows_loaded: figure("load", |outcome| outcome.rows_loaded),
            rejected: figure("transform", |outcome| outcome.rejected),
            aggregates: figure("load", |outcome| outcome.aggregates),
            figures_compared: tasks
                .outcomes("verify")
                .pop()
                .and_then(|last| last.figures_compared)
                .unwrap_or(0),
            moves: ways.iter().map(|way| way.hosts.len().saturating_sub(1) as u64).sum(),
            tasks: job
                .tasks
                .iter()
                .map(|task| task_report(task, job, tasks, &events))
                .collect(),
            volumes: ways,
            mounts_left: left.mounts.len(),
            attachments_left: left.attachments.len(),
            seconds: 0.0,
            drawing: None,
        };
        report.judge(job, tasks, &left);
        report
    }

    /// A report of a demonstration that could not be run.
    pub fn failed(problem: String) -> Report {
        Report {
            status: "FAIL",
            problems: vec![problem],
            rows_extracted: 0,
            rows_loaded: 0,
            rejected: 0,
            aggregates: 0,
            figures_compared: 0,
            moves: 0,
            tasks: Vec::new(),
            volumes: Vec::new(),
            mounts_left: 0,
            attachments_left: 0,
            seconds: 0.0,
            drawing: None,
        }
    }

    /// True when nothing is wrong.
    pub fn passed(&self) -> bool {
        self.problems.is_empty()
    }

    /// Adds something that is wrong.
    pub fn problem(&mut self, problem: String) {
        self.problems.push(problem);
        self.status = "FAIL";
    }

    fn judge(&mut self, job: &JobReport, tasks: &Follower, left: &Left) {
        if job.status != "finished" {
            let why = job.message.as_deref().unwrap_or("no reason given");
            self.problem(format!("the job is {}: {why}", job.status));
        }
        for task in &job.tasks {
            if task.status.as_deref().is_some_and(|status| status != "TASK_FINISHED") {
                let said = [task.message.clone(), tasks.last_words(&task.name)]
                    .into_iter()
                    .flatten();
                self.problem(format!("{}: {}", task.name, said.collect::<Vec<_>>().join("; ")));
            }
        }
        // The rest follows from a job that did not finish.
        if self.passed() {
            self.judge_figures(tasks);
        }
        if !left.mounts.is_empty() {
            self.problem(format!("still mounted: {}", left.mounts.join(", ")));
        }
        if !left.attachments.is_empty() {
            self.problem(format!("still attached: {}", left.attachments.join(", ")));
        }
    }

    fn judge_figures(&mut self, tasks: &Follower) {
        // The last one has seen all batches.
        let Some(verified) = tasks.outcomes("verify").pop() else {
            return self.problem("verify gave no figures".into());
        };
        // Verify counted them in the original files.
        let expected = (verified.rows_extracted, verified.rows_loaded, verified.rejected);
        let found = (Some(self.rows_extracted), Some(self.rows_loaded), Some(self.rejected));
        if expected != found {
            self.problem(format!(
                "extracted, loaded and rejected are {found:?}, the original files say {expected:?}"
            ));
        }
        if self.rows_extracted != self.rows_loaded + self.rejected {
            self.problem("what was extracted is not what was loaded and rejected together".into());
        }
        if verified.mismatches != Some(0) {
            self.problem(format!("verify found mismatches: {:?}", verified.mismatches));
        }
        if self.moves < MOVES {
            self.problem(format!(
                "volumes changed their agents {} times, not {MOVES}",
                self.moves
            ));
        }
        let elsewhere = |task: &&TaskReport| task.agent.as_deref().is_some_and(|agent| !is_in_zone(agent));
        let strays: Vec<&str> = self
            .tasks
            .iter()
            .filter(elsewhere)
            .map(|task| task.name.as_str())
            .collect();
        if !strays.is_empty() {
            let problem = format!("not in the zone of their volumes: {}", strays.join(", "));
            self.problem(problem);
        }
    }
}

fn is_in_zone(agent: &str) -> bool {
    HOSTS.contains(&(agent, ZONE))
}

fn way(volume: &Volume, events: &[Event]) -> VolumeReport {
    let of_volume = |event: &&Event| event.kind == EventKind::Attach && event.volume.as_deref() == Some(&volume.id);
    let attached: Vec<String> = events
        .iter()
        .filter(of_volume)
        .filter_map(|event| event.host.clone())
        .collect();
    let mut hosts = attached.clone();
    hosts.dedup();
    VolumeReport {
        name: volume.name.clone(),
        id: volume.id.clone(),
        hosts,
        attached: attached.len(),
    }
}

fn task_report(task: &JobTask, job: &JobReport, tasks: &Follower, events: &[Event]) -> TaskReport {
    let since_start = |at_ms: u64| at_ms.saturating_sub(job.started_ms) as f64 / 1e3;
    let came = |state: &str| {
        task.times
            .iter()
            .find(|time| time.state == state)
            .map(|time| time.at_ms)
    };
    let ended_ms = task
        .times
        .last()
        .filter(|_| task.status.as_deref() != Some("TASK_RUNNING"))
        .map(|time| time.at_ms);
    let host = task.agent.as_ref().map(|agent| agent.hostname.clone());
    let mount_ms = |id: &str| {
        let span = task.launched_ms? as i64..=ended_ms? as i64;
        let mounted = events.iter().find(|event| {
            event.kind == EventKind::Answer
                && event.operation == Some(Operation::Mount)
                && event.volume.as_deref() == Some(id)
                && event.host == host
                && event.error.is_none()
                && span.contains(&event.time.as_millisecond())
        });
        mounted?.took_ms
    };
    let volumes = task.volumes.iter().map(|volume| TaskVolume {
        name: volume.name.clone(),
        id: volume.id.clone(),
        mount_ms: mount_ms(&volume.id),
    });
    TaskReport {
        name: task.name.clone(),
        volumes: volumes.collect(),
        state: task.status.clone(),
        attempts: task.attempts.len(),
        launched: task.launched_ms.map(since_start),
        running: came("TASK_RUNNING").map(since_start),
        ended: ended_ms.map(since_start),
        outcome: tasks.outcome(&task.name).cloned(),
        agent: host,
    }
}
