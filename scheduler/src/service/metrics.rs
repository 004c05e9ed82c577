//! What is counted, and its text for Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write;

use mesos_http::scheduler::{Call, Operation};
use mesos_http::types::{TaskState, TaskStatus};

use super::{Cause, RunRecord, Service};
use crate::state::{JobState, Millis};

/// Upper bounds of histograms, in seconds.
const BOUNDS: [f64; 10] = [0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0];

/// How long things took.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    buckets: [u64; BOUNDS.len()],
    count: u64,
    sum: f64,
}

impl Histogram {
    fn observe(&mut self, millis: Millis) {
        let seconds = millis as f64 / 1000.0;
        for (bucket, bound) in self.buckets.iter_mut().zip(BOUNDS) {
            *bucket += u64::from(seconds <= bound);
        }
        self.count += 1;
        self.sum += seconds;
    }

    fn write(&self, text: &mut String, name: &str, help: &str) {
        head(text, name, help, "histogram");
        for (count, bound) in self.buckets.iter().zip(BOUNDS) {
            line(text, &format!("{name}_bucket{{le=\"{bound}\"}}"), count);
        }
        line(text, &format!("{name}_bucket{{le=\"+Inf\"}}"), self.count);
        line(text, &format!("{name}_sum"), self.sum);
        line(text, &format!("{name}_count"), self.count);
    }
}

/// Since the service was started.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    runs_begun: u64,
    runs_finished: u64,
    runs_failed: u64,
    /// Runs by schedule that were not begun, because the one before was not over.
    pub skipped: u64,
    launches: u64,
    updates: BTreeMap<String, u64>,
    skew: Histogram,
    duration: Histogram,
    placement: Histogram,
    attach: Histogram,
}

impl Counters {
    pub(super) fn begun(&mut self, cause: Cause, now: Millis) {
        self.runs_begun += 1;
        if let Cause::Schedule { due_ms } = cause {
            self.skew.observe(now.saturating_sub(due_ms));
        }
    }

    pub(super) fn launched(&mut self, calls: &[Call]) {
        for call in calls {
            let Call::Accept(accept) = call else { continue };
            for operation in &accept.operations {
                if let Operation::Launch(tasks) = operation {
                    self.launches += tasks.len() as u64;
                }
            }
        }
    }

    pub(super) fn update(&mut self, status: &TaskStatus) {
        *self.updates.entry(status.state.as_str().to_owned()).or_default() += 1;
    }

    pub(super) fn ended(&mut self, run: &RunRecord, state: &JobState) {
        let Some(end) = &state.end else { return };
        match end.failures.is_empty() {
            true => self.runs_finished += 1,
            false => self.runs_failed += 1,
        }
        self.duration.observe(end.at_ms.saturating_sub(run.state.started_ms));
        for record in state.tasks.values() {
            let first = record.attempts.first();
            if let (Some(ready), Some(first)) = (record.ready_ms, first) {
                self.placement.observe(first.intended_ms.saturating_sub(ready));
            }
            for attempt in record.attempts.iter().filter(|attempt| !attempt.claims.is_empty()) {
                let running = attempt.changes.iter().find(|change| change.state == TaskState::Running);
                if let Some(running) = running {
                    self.attach.observe(running.at_ms.saturating_sub(attempt.intended_ms));
                }
            }
        }
    }
}

fn head(text: &mut String, name: &str, help: &str, kind: &str) {
    // Writing to a String does not fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(text: &mut String, name: &str, value: impl std::fmt::Display) {
    let _ = writeln!(text, "{name} {value}");
}

/// The metrics in Prometheus' text format.
pub fn text(service: &Service, now: Millis) -> String {
    let counters = service.counters();
    let mut text = String::new();
    let mut one = |name: &str, kind: &str, help: &str, value: u64| {
        head(&mut text, name, help, kind);
        line(&mut text, name, value);
    };
    let active = service.runs().values().filter(|run| !run.is_over()).count() as u64;
    one(
        "scheduler_connected",
        "gauge",
        "Whether the master has the scheduler subscribed.",
        u64::from(service.is_connected()),
    );
    one(
        "scheduler_operator_stream_open",
        "gauge",
        "Whether the operator stream is open, by which tasks of other frameworks are seen.",
        u64::from(service.operator_stream().is_open),
    );
    one("scheduler_jobs", "gauge", "Jobs.", service.jobs().len() as u64);
    one("scheduler_runs_active", "gauge", "Runs that are not over.", active);
    one(
        "scheduler_runs_begun_total",
        "counter",
        "Runs begun.",
        counters.runs_begun,
    );
    one(
        "scheduler_runs_finished_total",
        "counter",
        "Runs with every task finished.",
        counters.runs_finished,
    );
    one(
        "scheduler_runs_failed_total",
        "counter",
        "Runs with a task that failed.",
        counters.runs_failed,
    );
    one(
        "scheduler_runs_skipped_total",
        "counter",
        "Runs by schedule that were not begun.",
        counters.skipped,
    );
    one(
        "scheduler_launches_total",
        "counter",
        "Tasks launched.",
        counters.launches,
    );
    head(
        &mut text,
        "scheduler_updates_total",
        "Status updates by state.",
        "counter",
    );
    for (state, count) in &counters.updates {
        line(
            &mut text,
            &format!("scheduler_updates_total{{state=\"{state}\"}}"),
            count,
        );
    }
    head(&mut text, "scheduler_claims", "Claims on volumes by state.", "gauge");
    let mut states: BTreeMap<String, u64> = BTreeMap::new();
    for (_, claim) in service.ledger().claims() {
        *states.entry(claim.state.to_string()).or_default() += 1;
    }
    for (state, count) in states {
        line(&mut text, &format!("scheduler_claims{{state=\"{state}\"}}"), count);
    }
    head(
        &mut text,
        "scheduler_claim_age_seconds",
        "For how long the oldest claim in each state has been in it.",
        "gauge",
    );
    let mut oldest: BTreeMap<String, Millis> = BTreeMap::new();
    for (_, claim) in service.ledger().claims() {
        let age = oldest.entry(claim.state.to_string()).or_default();
        *age = (*age).max(now.saturating_sub(claim.since_ms));
    }
    for (state, age) in oldest {
        let seconds = age as f64 / 1000.0;
        line(
            &mut text,
            &format!("scheduler_claim_age_seconds{{state=\"{state}\"}}"),
            seconds,
        );
    }
    let overdue = service.ledger().overdue(service.settings().release_alarm, now).count();
    head(
        &mut text,
        "scheduler_claims_overdue",
        "Claims that are RELEASING, SUSPECT or FENCED for longer than --release-alarm.",
        "gauge",
    );
    line(&mut text, "scheduler_claims_overdue", overdue);
    let histograms = [
        (
            &counters.skew,
            "scheduler_start_skew_seconds",
            "From when a run was due to when it was begun.",
        ),
        (
            &counters.duration,
            "scheduler_run_duration_seconds",
            "From begin to end of a run.",
        ),
        (
            &counters.placement,
            "scheduler_placement_seconds",
            "From when a task could run to its first launch.",
        ),
        (
            &counters.attach,
            "scheduler_attach_wait_seconds",
            "From the launch of a task with volumes to when it ran.",
        ),
    ];
    for (histogram, name, help) in histograms {
        histogram.write(&mut text, name, help);
    }
    text
}
