//! The module's metrics of one agent, in Prometheus' text format.

use std::collections::BTreeMap;
use std::time::Duration;

use http_transport::{Client, Limits, Method, Request, Reuse, Route};
use volume_labels::counted;

/// Beginning of the names of the module's metrics.
const PREFIX: &str = "mesos_external_volumes_";

/// Longest answer that is read. node_exporter's own metrics are in it as well.
const MAX_BYTES: usize = 16 << 20;

/// States of volumes that nobody has to look after.
const SOUND: [&str; 7] = [
    "absent",
    "creating",
    "elsewhere",
    "mounting",
    "mounted",
    "unmounting",
    "removing",
];

/// What the metrics say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Metrics {
    /// The number of volumes by driver and state. A driver that was called and has no volume now is
    /// among them.
    pub(super) drivers: BTreeMap<String, BTreeMap<String, u64>>,
    /// Containers with volumes.
    pub(super) containers: u64,
    /// What an operator should look at, one line each.
    pub(super) problems: Vec<String>,
}

/// Metrics that cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum MetricsError {
    #[error("no metrics from {url}: {reason}")]
    Call { url: String, reason: String },
    #[error(
        "no metrics of the module at {url}: set the module's parameter metrics_file to a file that is served there"
    )]
    None { url: String },
}

/// Reads what is served at the address.
///
/// # Errors
/// Nothing is served there, or no metrics of the module.
pub(super) fn read(url: &str, patience: Duration) -> Result<Metrics, MetricsError> {
    let failed = |reason: String| MetricsError::Call {
        url: url.to_owned(),
        reason,
    };
    let request = Request {
        method: Method::Get,
        url,
        headers: &[],
        body: &[],
    };
    let response = Client::new(Route::default(), "mesos-volumes")
        .call(&request, &Limits::within(patience), MAX_BYTES, Reuse::Never)
        .map_err(|failure| failed(failure.to_string()))?;
    if !response.is_success() {
        return Err(failed(format!("the answer has status {}", response.status)));
    }
    Metrics::parse(&String::from_utf8_lossy(&response.body)).ok_or_else(|| MetricsError::None { url: url.to_owned() })
}

impl Metrics {
    /// `None` when no metric of the module is in the text.
    fn parse(text: &str) -> Option<Self> {
        let mut metrics = Self::default();
        let mut found = false;
        for (name, labels, value) in text.lines().filter_map(sample) {
            found = true;
            let label = |key: &str| labels.get(key).cloned().unwrap_or_default();
            match name {
                "volumes" => {
                    let state = label("state");
                    if value > 0 && !SOUND.contains(&state.as_str()) {
                        metrics.problems.push(format!(
                            "{} of driver '{}' {state} -> 'mesos-volumes ls' on the host names the cause",
                            counted(usize::try_from(value).unwrap_or(usize::MAX), "volume"),
                            label("driver"),
                        ));
                    }
                    metrics.drivers.entry(label("driver")).or_default().insert(state, value);
                }
                "driver_call_seconds_count" => drop(metrics.drivers.entry(label("driver")).or_default()),
                "containers" => metrics.containers = value,
                "quarantined_records" if value > 0 => metrics.problems.push(format!(
                    "{} in quarantine -> 'mesos-volumes quarantine ls' on the host",
                    counted(usize::try_from(value).unwrap_or(usize::MAX), "record")
                )),
                "volume_warnings" if value > 0 => metrics.problems.push(format!(
                    "{} of driver '{}' in use: {} -> see the agent's log",
                    counted(usize::try_from(value).unwrap_or(usize::MAX), "volume"),
                    label("driver"),
                    label("cause").replace('_', " "),
                )),
                _ => {}
            }
        }
        found.then_some(metrics)
    }

    /// All volumes of all drivers.
    pub(super) fn volumes(&self) -> u64 {
        self.drivers.values().flat_map(BTreeMap::values).sum()
    }
}

/// One sample of the module: its name without the prefix, its labels, and its value in whole
/// numbers.
fn sample(line: &str) -> Option<(&str, BTreeMap<&str, String>, u64)> {
    let line = line.strip_prefix(PREFIX)?;
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        while let Some((key, after)) = rest.split_once("=\"") {
            if rest.starts_with('}') {
                break;
            }
            let (value, after) = quoted(after)?;
            labels.insert(key.trim_start_matches(','), value);
            rest = after;
        }
        rest = rest.strip_prefix('}')?;
    }
    let value: f64 = rest.split_whitespace().next()?.parse().ok()?;
    // Counts: they are whole, and a negative one is none.
    let value = if value.is_finite() && value > 0.0 {
        value as u64
    } else {
        0
    };
    Some((name, labels, value))
}

/// A label's value up to its quote, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            character => value.push(character),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_counted_by_driver_and_state_and_the_unsound_ones_are_problems() {
        let text = r#"# TYPE node_load1 gauge
node_load1 0.5
mesos_external_volumes_volumes{driver="ebs",state="mounted"} 3
mesos_external_volumes_volumes{driver="e\"}=\\x",state="stuck"} 1
mesos_external_volumes_driver_call_seconds_count{driver="nfs",operation="mount",outcome="ok"} 2
mesos_external_volumes_containers 3
mesos_external_volumes_quarantined_records 2
mesos_external_volumes_volume_warnings{cause="not_answering",driver="ebs"} 1
"#;
        let metrics = Metrics::parse(text).unwrap();
        assert_eq!((metrics.volumes(), metrics.containers), (4, 3));
        assert_eq!(metrics.drivers.keys().collect::<Vec<_>>(), ["e\"}=\\x", "ebs", "nfs"]);
        assert_eq!(
            metrics.problems,
            [
                "1 volume of driver 'e\"}=\\x' stuck -> 'mesos-volumes ls' on the host names the cause",
                "2 records in quarantine -> 'mesos-volumes quarantine ls' on the host",
                "1 volume of driver 'ebs' in use: not answering -> see the agent's log",
            ]
        );
        assert_eq!(Metrics::parse("node_load1 0.5\n"), None);
    }
}
