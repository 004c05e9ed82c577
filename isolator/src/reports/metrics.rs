//! What is counted and timed.

use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder, core::Collector,
};
use volume_driver_client::Code;

/// Seconds. A mount of a device that is attached takes some milliseconds, an attachment up to
/// minutes.
const BUCKETS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
];

/// The metrics of one isolator. Labels are drivers that are installed, words of ours, and names of
/// the operator's rules: nothing that a task can make up.
pub(super) struct Metrics {
    registry: Registry,
    /// By driver, operation and outcome.
    pub(super) driver_calls: HistogramVec,
    /// By driver, operation and error code.
    pub(super) driver_errors: IntCounterVec,
    /// By driver.
    pub(super) retries: IntCounterVec,
    /// By the rule, or the part of the policy.
    pub(super) denied: IntCounterVec,
    /// By result.
    pub(super) prepares: IntCounterVec,
    /// By error code.
    pub(super) refusals: IntCounterVec,
    pub(super) prepare_seconds: Histogram,
    /// By driver and cause.
    pub(super) limitations: IntCounterVec,
    /// By driver and cause.
    pub(super) warnings: IntGaugeVec,
    pub(super) audit_lost: IntCounter,
    /// By driver and state.
    pub(super) volumes: IntGaugeVec,
    pub(super) containers: IntGauge,
    pub(super) quarantined: IntGauge,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let registry = Registry::new();
        let metrics = Self {
            driver_calls: known(
                &registry,
                HistogramVec::new(
                    HistogramOpts::from(named(
                        "driver_call_seconds",
                        "Seconds that calls take: Mounts (with the Get and Create before them) and Unmounts, and the Creates and Removes of ephemeral volumes, by driver, operation and outcome.",
                    ))
                    .buckets(BUCKETS.into()),
                    &["driver", "operation", "outcome"],
                ),
            ),
            driver_errors: known(
                &registry,
                IntCounterVec::new(
                    named(
                        "driver_errors_total",
                        "Calls of driver_call_seconds that failed, by driver, operation and error code.",
                    ),
                    &["driver", "operation", "code"],
                ),
            ),
            retries: known(
                &registry,
                IntCounterVec::new(
                    named(
                        "retries_total",
                        "Mounts, Unmounts and Removes that were retried after a delay, by driver.",
                    ),
                    &["driver"],
                ),
            ),
            denied: known(
                &registry,
                IntCounterVec::new(
                    named(
                        "denied_total",
                        "Volumes refused by the policy, by the rule that decided.",
                    ),
                    &["by"],
                ),
            ),
            prepares: known(
                &registry,
                IntCounterVec::new(
                    named(
                        "prepares_total",
                        "Containers that requested volumes: granted, refused, timed_out, or abandoned (the container ended before the answer).",
                    ),
                    &["result"],
                ),
            ),
            refusals: known(
                &registry,
                IntCounterVec::new(
                    named(
                        "refusals_total",
                        "Containers that did not get their volumes, by error code.",
                    ),
                    &["code"],
                ),
            ),
            prepare_seconds: known(
                &registry,
                Histogram::with_opts(
                    HistogramOpts::from(named(
                        "prepare_seconds",
                        "Seconds from a container's request for volumes to the answer, whatever it is.",
                    ))
                    .buckets(BUCKETS.into()),
                ),
            ),
            limitations: known(
                &registry,
                IntCounterVec::new(
                    named(
                        "limitations_total",
                        "Containers ended because a volume failed, by driver, cause and error code.",
                    ),
                    &["driver", "cause", "code"],
                ),
            ),
            warnings: known(
                &registry,
                IntGaugeVec::new(
                    named(
                        "volume_warnings",
                        "Volumes in use that are full, do not answer, or cannot be probed, by driver and cause.",
                    ),
                    &["driver", "cause"],
                ),
            ),
            audit_lost: known(
                &registry,
                IntCounter::with_opts(named(
                    "audit_lost_total",
                    "Lines that could not be given to the audit log.",
                )),
            ),
            volumes: known(
                &registry,
                IntGaugeVec::new(
                    named("volumes", "Volumes that are mounted, may be mounted, or are requested, by driver and state."),
                    &["driver", "state"],
                ),
            ),
            containers: known(
                &registry,
                IntGauge::with_opts(named("containers", "Containers that have volumes.")),
            ),
            quarantined: known(
                &registry,
                IntGauge::with_opts(named("quarantined_records", "Files in the state folder's quarantine.")),
            ),
            registry,
        };
        // These counters are there from the start, so that a rate can be computed for the first
        // event.
        for result in ["granted", "refused", "timed_out", "abandoned"] {
            metrics.prepares.with_label_values(&[result]);
        }
        for code in Code::ALL {
            metrics.refusals.with_label_values(&[code.as_str()]);
        }
        metrics
    }

    /// In Prometheus' text format.
    pub(super) fn text(&self) -> String {
        let mut text = Vec::new();
        // The gathered metrics are well-formed, and a vector takes any bytes. At worst a metric is
        // missing.
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::warn!(%error, "cannot write the metrics as text");
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}

fn named(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace("mesos_external_volumes")
}

fn known<C: Collector + Clone + 'static>(registry: &Registry, metric: prometheus::Result<C>) -> C {
    let metric = metric.expect("its name and labels are valid, as a test shows");
    let registered = registry.register(Box::new(metric.clone()));
    registered.expect("no two have one name, as a test shows");
    metric
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_shows_with_its_labels_escaped() {
        let metrics = Metrics::new();
        metrics
            .driver_calls
            .with_label_values(&["rexray/ebs", "mount", "ok"])
            .observe(0.02);
        metrics.denied.with_label_values(&["rule 1 'say \"no\"'"]).inc();
        let text = metrics.text();
        for line in [
            "# TYPE mesos_external_volumes_driver_call_seconds histogram",
            "mesos_external_volumes_driver_call_seconds_bucket{driver=\"rexray/ebs\",operation=\"mount\",outcome=\"ok\",le=\"0.025\"} 1",
            "mesos_external_volumes_driver_call_seconds_bucket{driver=\"rexray/ebs\",operation=\"mount\",outcome=\"ok\",le=\"0.01\"} 0",
            "mesos_external_volumes_denied_total{by=\"rule 1 'say \\\"no\\\"'\"} 1",
            "mesos_external_volumes_prepares_total{result=\"timed_out\"} 0",
            "mesos_external_volumes_quarantined_records 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
