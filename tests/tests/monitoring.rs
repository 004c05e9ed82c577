//! The files in `docs/monitoring`: alert rules, their unit tests, a scrape configuration and a dashboard. Programs of Debian's
//! package prometheus check them, and a real Prometheus lets an alert of a real agent fire.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use testbed::AgentSpec;
use tests::{Site, eventually, module};

fn workspace() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the crate is in the workspace").to_owned()
}

/// The files for operators.
fn folder() -> PathBuf {
    workspace().join("docs/monitoring")
}

/// A program of the package, which `scripts/test` unpacks.
fn program(name: &str) -> PathBuf {
    let path = workspace().join("target/packages/prometheus/usr/bin").join(name);
    assert!(
        path.exists(),
        "{} is missing: scripts/test unpacks Debian's package prometheus there",
        path.display()
    );
    path
}

fn promtool(arguments: &[&str], within: &Path) -> Output {
    let output = Command::new(program("promtool"))
        .args(arguments)
        .current_dir(within)
        .output();
    output.expect("promtool runs")
}

fn passed(output: &Output) {
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{complaint}");
}

fn text(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The names of the alerts in the rules.
fn alerts() -> BTreeSet<String> {
    let rules = text("alerts.yml");
    let names = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    names.map(str::to_owned).collect()
}

/// The names of our metrics in a text, without the endings of histograms.
fn metrics(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
    let ours = words.filter(|word| {
        let is_scheduler = word.strip_prefix("scheduler_").is_some_and(|rest| !rest.is_empty());
        is_scheduler || word.starts_with("mesos_external_volumes_")
    });
    let names = ours.map(|word| {
        let histogram = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| word.strip_suffix(end));
        histogram.unwrap_or(word).to_owned()
    });
    names.collect()
}

/// Labels, values of labels and prefixes, which stand in the sources beside the names of metrics.
const LABELS: &[&str] = &[
    "abandoned",
    "by",
    "cause",
    "code",
    "driver",
    "granted",
    "mesos_external_volumes",
    "operation",
    "outcome",
    "refused",
    "result",
    "scheduler",
    "state",
    "timed_out",
];

/// The metrics that module and scheduler have, by their sources.
fn in_the_sources() -> BTreeSet<String> {
    let module = include_str!("../../isolator/src/reports/metrics.rs");
    let scheduler = include_str!("../../scheduler/src/service/metrics.rs");
    let names = |source: &'static str, prefix: &'static str| {
        let code = source.split("#[cfg(test)]").next().unwrap_or_default();
        let quoted = code.split('"').skip(1).step_by(2);
        let is_name =
            |word: &&str| !word.is_empty() && word.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_');
        let is_no_label = |word: &&str| !LABELS.contains(word);
        quoted
            .filter(is_name)
            .filter(is_no_label)
            .map(move |name| format!("{prefix}_{name}"))
    };
    names(module, "mesos_external_volumes")
        .chain(names(scheduler, "scheduler"))
        .collect()
}

#[test]
fn the_rules_and_the_scrape_configuration_are_accepted_by_promtool() {
    passed(&promtool(&["check", "rules", "alerts.yml"], &folder()));
    passed(&promtool(&["check", "config", "prometheus.yml"], &folder()));
}

#[test]
fn each_alert_fires_in_its_situation_and_in_no_other() {
    passed(&promtool(&["test", "rules", "alerts.test.yml"], &folder()));
    // Each has both kinds of check.
    let tests = text("alerts.test.yml");
    for alert in alerts() {
        let silent = format!("alertname: {alert}, exp_alerts: []");
        assert!(tests.contains(&silent), "{alert} is nowhere expected to be silent");
        let fires = format!("alertname: {alert}\n        exp_alerts:\n          - exp_labels");
        assert!(tests.contains(&fires), "{alert} is nowhere expected to fire");
    }
}

#[test]
fn a_rule_that_never_fires_does_not_pass_its_unit_tests() {
    let broken = tempfile::tempdir().expect("a temporary folder");
    fs::write(broken.path().join("alerts.test.yml"), text("alerts.test.yml")).expect("the folder is ours");
    let rules = text("alerts.yml").replace("mesos_external_volumes_quarantined_records > 0", "vector(0) > 1");
    assert_ne!(rules, text("alerts.yml"));
    fs::write(broken.path().join("alerts.yml"), rules).expect("the folder is ours");
    let output = promtool(&["test", "rules", "alerts.test.yml"], broken.path());
    assert!(!output.status.success());
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("VolumeRecordsQuarantined"),
        "{output:?}"
    );
}

#[test]
fn the_page_on_monitoring_has_a_section_for_each_alert_to_which_the_alert_leads() {
    let page = fs::read_to_string(workspace().join("docs/monitoring.md")).expect("the page is there");
    let sections: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .filter(|heading| heading.starts_with("Volume") || heading.starts_with("Scheduler"))
        .map(str::to_owned)
        .collect();
    assert_eq!(sections, alerts());
    let rules = text("alerts.yml");
    for alert in alerts() {
        let runbook = format!("runbook: docs/monitoring.md#{}", alert.to_lowercase());
        assert!(rules.contains(&runbook), "{alert} does not lead to its section");
    }
}

#[test]
fn rules_dashboard_and_page_name_only_metrics_that_there_are() {
    let known = in_the_sources();
    assert!(
        known.contains("mesos_external_volumes_volumes") && known.contains("scheduler_claims"),
        "{known:?}"
    );
    for file in ["alerts.yml", "alerts.test.yml", "dashboard.json"] {
        let unknown: Vec<String> = metrics(&text(file)).difference(&known).cloned().collect();
        assert!(unknown.is_empty(), "{file}: there are no metrics {unknown:?}");
    }
    // The page leaves the prefix out in its table.
    let page = fs::read_to_string(workspace().join("docs/monitoring.md")).expect("the page is there");
    for metric in &known {
        let name = metric.trim_start_matches("mesos_external_volumes_");
        assert!(
            page.contains(&format!("`{name}`")),
            "docs/monitoring.md does not describe {metric}"
        );
    }
}

#[test]
fn every_query_of_the_dashboard_is_understood_by_prometheus() {
    let dashboard: Value = serde_json::from_str(&text("dashboard.json")).expect("the dashboard is JSON");
    let panels = dashboard["panels"].as_array().expect("it has panels");
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let queries: Vec<&str> = targets.filter_map(|target| target["expr"].as_str()).collect();
    assert!(queries.len() > 20, "{queries:?}");
    // As recording rules, with Grafana's variables replaced as Grafana does it.
    let rules = queries.iter().enumerate().map(|(number, query)| {
        let query = query.replace("$__rate_interval", "5m").replace("$instance", ".*");
        assert!(!query.contains('$'), "an unknown variable: {query}");
        serde_json::json!({"record": format!("query_{number}"), "expr": query})
    });
    let group = serde_json::json!({"groups": [{"name": "dashboard", "rules": rules.collect::<Vec<_>>()}]});
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("queries.yml"), group.to_string()).expect("the folder is ours");
    passed(&promtool(&["check", "rules", "queries.yml"], folder.path()));
}

/// A program that ends with the test.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        drop((self.0.kill(), self.0.wait()));
    }
}

fn start(command: &mut Command) -> Started {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Started(command.spawn().expect("the program is installed"))
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("the kernel has a free port");
    listener.local_addr().expect("it is bound").port()
}

/// What Prometheus answers.
fn ask(port: u16, path: &str) -> Result<Value, String> {
    let mut answer = ureq::get(format!("http://127.0.0.1:{port}/api/v1/{path}"))
        .call()
        .map_err(|error| error.to_string())?;
    let text = answer.body_mut().read_to_string().map_err(|error| error.to_string())?;
    serde_json::from_str(&text).map_err(|error| error.to_string())
}

/// The names of the alerts that fire.
fn firing(port: u16) -> Result<Vec<String>, String> {
    let answer = ask(port, "alerts")?;
    let alerts = answer["data"]["alerts"].as_array().cloned().unwrap_or_default();
    let firing = alerts.iter().filter(|alert| alert["state"] == "firing");
    let names = firing.filter_map(|alert| alert["labels"]["alertname"].as_str());
    Ok(names.map(str::to_owned).collect())
}

#[test]
fn a_record_that_cannot_be_read_lets_an_alert_fire_in_a_prometheus_that_scrapes_the_agent() {
    let site = Site::with_agents(
        1,
        &AgentSpec::default().module(module().parameter("metrics_socket", "{agent}/metrics.sock")),
    );
    let agent = site.agent(0);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (relay, port) = (free_port(), free_port());
    let socket = agent.folder().join("metrics.sock");
    let _relay = start(
        Command::new("socat")
            .arg(format!("TCP-LISTEN:{relay},bind=127.0.0.1,reuseaddr,fork"))
            .arg(format!("UNIX-CONNECT:{}", socket.display())),
    );
    // The operators' file, with this agent as its only target and a faster clock.
    fs::write(folder.path().join("alerts.yml"), text("alerts.yml")).expect("the folder is ours");
    let targets = "['agent-1.example:9151', 'agent-2.example:9151']";
    let configuration = text("prometheus.yml")
        .replace(targets, &format!("['127.0.0.1:{relay}']"))
        .replace("['scheduler.example:8180']", "[]")
        .replace("interval: 15s", "interval: 1s");
    fs::write(folder.path().join("prometheus.yml"), configuration).expect("the folder is ours");
    let _prometheus = start(
        Command::new(program("prometheus"))
            .arg("--config.file=prometheus.yml")
            .arg("--storage.tsdb.path=data")
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .current_dir(folder.path()),
    );
    let scraped = |query: &str, value: &str| {
        eventually(&format!("{query} is {value}"), || {
            let answer = ask(port, &format!("query?query={query}"))?;
            let found = answer["data"]["result"][0]["value"][1].as_str().map(str::to_owned);
            if found.as_deref() == Some(value) {
                Ok(())
            } else {
                Err(answer.to_string())
            }
        });
    };
    scraped("mesos_external_volumes_quarantined_records", "0");
    assert_eq!(firing(port), Ok(Vec::new()), "no alert fires for a healthy agent");

    agent.kill().expect("the agent runs");
    let record = agent.state_dir().join("containers/torn.json");
    fs::write(record, "{\"version\": 1, \"boot").expect("the folder is ours");
    agent.restart().unwrap_or_else(|error| panic!("{error}"));
    scraped("mesos_external_volumes_quarantined_records", "1");
    eventually("the alert fires", || match firing(port)?.as_slice() {
        [only] if only == "VolumeRecordsQuarantined" => Ok(()),
        others => Err(format!("{others:?}")),
    });
}
