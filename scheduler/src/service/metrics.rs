//! What is counted, and its text for Prometheus.

use mesos_http::scheduler::{Call, Operation};
use mesos_http::types::{TaskState, TaskStatus};
use prometheus::core::Collector;
use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry, TextEncoder,
};

use super::{Cause, RunRecord, Service};
use crate::state::{JobState, Millis};

/// Upper bounds of the buckets of histograms, in seconds.
const BUCKETS: [f64; 10] = [0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0];

/// What has happened since the service was started.
#[derive(Clone, Debug)]
pub struct Counters {
    registry: Registry,
    runs_begun: IntCounter,
    runs_finished: IntCounter,
    runs_failed: IntCounter,
    /// Runs by schedule that were not begun, because the one before was not over.
    pub skipped: IntCounter,
    launches: IntCounter,
    /// By state.
    updates: IntCounterVec,
    skew: Histogram,
    duration: Histogram,
    placement: Histogram,
    attach: Histogram,
}

impl Default for Counters {
    fn default() -> Self {
        let registry = Registry::new();
        let count = |name, help| registered(&registry, IntCounter::with_opts(named(name, help)));
        let time = |name, help| {
            let options = HistogramOpts::from(named(name, help)).buckets(BUCKETS.into());
            registered(&registry, Histogram::with_opts(options))
        };
        Self {
            runs_begun: count("runs_begun_total", "Runs begun."),
            runs_finished: count("runs_finished_total", "Runs with every task finished."),
            runs_failed: count("runs_failed_total", "Runs with a task that failed."),
            skipped: count("runs_skipped_total", "Runs by schedule that were not begun."),
            launches: count("launches_total", "Tasks launched."),
            updates: registered(
                &registry,
                IntCounterVec::new(named("updates_total", "Status updates by state."), &["state"]),
            ),
            skew: time("start_skew_seconds", "From when a run was due to when it was begun."),
            duration: time("run_duration_seconds", "From begin to end of a run."),
            placement: time("placement_seconds", "From when a task could run to its first launch."),
            attach: time(
                "attach_wait_seconds",
                "From the launch of a task with volumes to when it ran.",
            ),
            registry,
        }
    }
}

impl Counters {
    pub(super) fn begun(&mut self, cause: Cause, now: Millis) {
        self.runs_begun.inc();
        if let Cause::Schedule { due_ms } = cause {
            self.skew.observe(seconds(now.saturating_sub(due_ms)));
        }
    }

    pub(super) fn launched(&mut self, calls: &[Call]) {
        for call in calls {
            let Call::Accept(accept) = call else { continue };
            for operation in &accept.operations {
                if let Operation::Launch(tasks) = operation {
                    self.launches.inc_by(tasks.len() as u64);
                }
            }
        }
    }

    pub(super) fn update(&mut self, status: &TaskStatus) {
        self.updates.with_label_values(&[status.state.as_str()]).inc();
    }

    pub(super) fn ended(&mut self, run: &RunRecord, state: &JobState) {
        let Some(end) = &state.end else { return };
        match end.failures.is_empty() {
            true => self.runs_finished.inc(),
            false => self.runs_failed.inc(),
        }
        self.duration
            .observe(seconds(end.at_ms.saturating_sub(run.state.started_ms)));
        for record in state.tasks.values() {
            let first = record.attempts.first();
            if let (Some(ready), Some(first)) = (record.ready_ms, first) {
                self.placement.observe(seconds(first.intended_ms.saturating_sub(ready)));
            }
            for attempt in record.attempts.iter().filter(|attempt| !attempt.claims.is_empty()) {
                let running = attempt.changes.iter().find(|change| change.state == TaskState::Running);
                if let Some(running) = running {
                    self.attach
                        .observe(seconds(running.at_ms.saturating_sub(attempt.intended_ms)));
                }
            }
        }
    }
}

fn seconds(millis: Millis) -> f64 {
    millis as f64 / 1000.0
}

fn named(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace("scheduler")
}

fn registered<C: Collector + Clone + 'static>(registry: &Registry, metric: prometheus::Result<C>) -> C {
    let metric = metric.expect("its name and labels are valid, as a test shows");
    let done = registry.register(Box::new(metric.clone()));
    done.expect("no two have one name, as a test shows");
    metric
}

/// The metrics in Prometheus' text format.
pub fn text(service: &Service, now: Millis) -> String {
    // Two readers at the same time must not see each other's numbers, so what holds now has a
    // registry of its own.
    let current = current(service, now);
    let mut text = Vec::new();
    for registry in [&current, &service.counters().registry] {
        TextEncoder::new()
            .encode(&registry.gather(), &mut text)
            .expect("a vector takes any bytes, and what is gathered is well-formed");
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// What holds now.
fn current(service: &Service, now: Millis) -> Registry {
    let registry = Registry::new();
    let set = |name, help, value: f64| registered(&registry, Gauge::with_opts(named(name, help))).set(value);
    let active = service.runs().values().filter(|run| !run.is_over()).count();
    let overdue = service.ledger().overdue(service.settings().release_alarm, now).count();
    set(
        "connected",
        "Whether the master has the scheduler subscribed.",
        f64::from(u8::from(service.is_connected())),
    );
    set(
        "operator_stream_open",
        "Whether the operator stream is open, by which tasks of other frameworks are seen.",
        f64::from(u8::from(service.operator_stream().is_open)),
    );
    set("jobs", "Jobs.", service.jobs().len() as f64);
    set("runs_active", "Runs that are not over.", active as f64);
    set(
        "claims_overdue",
        "Claims that are RELEASING, SUSPECT or FENCED for longer than --release-alarm.",
        overdue as f64,
    );
    let by_state = |name, help| registered(&registry, GaugeVec::new(named(name, help), &["state"]));
    let claims = by_state("claims", "Claims on volumes by state.");
    let ages = by_state(
        "claim_age_seconds",
        "For how long the oldest claim in each state has been in it.",
    );
    for (_, claim) in service.ledger().claims() {
        let state = claim.state.to_string();
        claims.with_label_values(&[&state]).inc();
        let oldest = ages.with_label_values(&[&state]);
        oldest.set(oldest.get().max(seconds(now.saturating_sub(claim.since_ms))));
    }
    registry
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name or label that the library refuses would end the scheduler at its start.
    #[test]
    fn every_counter_is_shown_before_it_counts_and_by_state_afterwards() {
        let counters = Counters::default();
        counters.updates.with_label_values(&["TASK_LOST"]).inc();
        counters.skew.observe(0.2);
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&counters.registry.gather(), &mut text)
            .unwrap();
        let text = String::from_utf8(text).unwrap();
        for line in [
            "# TYPE scheduler_runs_begun_total counter",
            "scheduler_runs_begun_total 0",
            "scheduler_runs_skipped_total 0",
            "scheduler_updates_total{state=\"TASK_LOST\"} 1",
            "scheduler_start_skew_seconds_bucket{le=\"0.1\"} 0",
            "scheduler_start_skew_seconds_bucket{le=\"0.5\"} 1",
            "scheduler_start_skew_seconds_sum 0.2",
            "scheduler_run_duration_seconds_count 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
