//! What an operator sees of a real agent: metrics in a file and on a socket, and who had which volume in the audit log.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::Value;
use testbed::{Agent, AgentSpec, Job};
use tests::{Site, Tasks, eventually, module, running};

fn watched() -> AgentSpec {
    let module = module()
        .parameter("metrics_file", "{agent}/volumes.prom")
        .parameter("metrics_socket", "{agent}/metrics.sock")
        .parameter("audit_log", "{agent}/audit.jsonl");
    AgentSpec::default().module(module)
}

/// What the socket says.
fn scraped(agent: &Agent) -> Result<String, String> {
    let ask = || -> std::io::Result<String> {
        let mut socket = UnixStream::connect(agent.folder().join("metrics.sock"))?;
        socket.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().map_err(|error| error.to_string())
}

/// Whether each of these lines is among the metrics.
fn has(metrics: &str, lines: &[&str]) -> Result<(), String> {
    let missing = lines.iter().find(|line| {
        let line = format!("mesos_external_volumes_{line}");
        !metrics.lines().any(|found| found == line)
    });
    missing.map_or(Ok(()), |missing| Err(format!("no '{missing}' in\n{metrics}")))
}

/// The lines of an audit log.
fn audited(log: &Path) -> Vec<Value> {
    let text = fs::read_to_string(log).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str(line).expect("each line is JSON"))
        .collect()
}

/// The only line of this kind about a volume.
fn audited_once(log: &Path, event: &str, volume: &str) -> Value {
    eventually(&format!("one '{event}' of {volume}"), || {
        let lines = audited(log);
        // A storage that could not detach at once was asked again: the attempt that counts is the one that worked.
        let mut found = lines
            .iter()
            .filter(|line| line["event"] == event && line["volume"] == volume && line["outcome"] != "failed");
        match (found.next(), found.next()) {
            (Some(line), None) => Ok(line.clone()),
            _ => Err(format!("{lines:?}")),
        }
    })
}

#[test]
fn a_mount_shows_in_metrics_and_audit_log_also_of_a_restarted_agent() {
    let mut site = Site::with_agents(1, &watched());
    let id = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let task = tasks.launch(site.agent(0), Job::shell("sleep 1000").label("volume.data", &id));
    running(&task);
    let agent = site.agent(0);
    let mounted = [
        "driver_call_seconds_count{driver=\"ebs\",operation=\"mount\",outcome=\"ok\"} 1",
        "prepares_total{result=\"granted\"} 1",
        "prepare_seconds_count 1",
        "volumes{driver=\"ebs\",state=\"mounted\"} 1",
        "containers 1",
    ];
    eventually("the socket shows the mount", || has(&scraped(agent)?, &mounted));
    eventually("the file shows the mount", || {
        let file = fs::read_to_string(agent.folder().join("volumes.prom")).map_err(|error| error.to_string())?;
        has(&file, &mounted)
    });

    let log = agent.folder().join("audit.jsonl");
    let granted = audited_once(&log, "granted", &id);
    let container = granted["containers"][0].clone();
    assert_eq!(granted["driver"], "ebs");
    assert_eq!(granted["slot"], "data");
    assert_eq!(granted["mode"], "rw");
    assert_eq!(granted["role"], "*");
    assert!(
        granted["framework"].as_str().is_some_and(|id| !id.is_empty()),
        "{granted}"
    );
    assert_eq!(
        granted["task"], granted["executor"],
        "a command task is its own executor: {granted}"
    );
    assert!(
        granted["target"].as_str().is_some_and(|path| path.ends_with("/data")),
        "{granted}"
    );
    let mount = audited_once(&log, "mount", &id);
    assert_eq!(mount["containers"][0], container);
    assert_eq!(mount["outcome"], "ok");
    assert_eq!(mount["mountpoint"], granted["mountpoint"]);

    // As logrotate does it, while the agent goes away and comes back.
    let rotated = agent.folder().join("audit.jsonl.1");
    agent.kill().unwrap();
    fs::rename(&log, &rotated).unwrap();
    agent.start().unwrap();
    eventually("the new agent serves metrics in place of the killed one", || {
        has(&scraped(agent)?, &["containers 1"])
    });
    task.kill().unwrap();
    tests::end(&task);
    let released = audited_once(&log, "released", &id);
    assert_eq!(released["containers"][0], container);
    assert_eq!(released["seconds"], Value::Null, "nobody knows since when: {released}");
    let unmount = audited_once(&log, "unmount", &id);
    assert_eq!(
        (&unmount["outcome"], &unmount["containers"][0]),
        (&"ok".into(), &container)
    );
    site.wait_until_nothing_is_left();
    eventually("nothing is mounted any more", || {
        has(&scraped(site.agent(0))?, &["containers 0"])
    });

    site.emulator().kill().unwrap();
    tasks.fail(site.agent(0), Job::shell("true").label("volume.data", &id));
    let refused = [
        "prepares_total{result=\"refused\"} 1",
        "refusals_total{code=\"unreachable\"} 1",
        "refusals_total{code=\"denied\"} 0",
        "driver_errors_total{code=\"unreachable\",driver=\"ebs\",operation=\"mount\"} 1",
    ];
    eventually("the refusal is counted", || has(&scraped(site.agent(0))?, &refused));
    let lines = audited(&log);
    let refusal = lines.iter().find(|line| line["event"] == "refused");
    assert!(
        refusal.is_some_and(|line| line["code"] == "unreachable"
            && line["problem"]
                .as_str()
                .is_some_and(|words| words.contains("'volume.data': [unreachable] "))),
        "{lines:?}"
    );
    site.emulator().restart().unwrap();
}

#[test]
fn an_audit_log_that_cannot_be_written_fails_no_task() {
    let module = module().parameter("audit_log", "/proc/nosuch/audit.jsonl");
    let site = Site::with_agents(1, &AgentSpec::default().module(module));
    let id = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    tasks.finish(site.agent(0), Job::shell("touch data/file").label("volume.data", &id));
    tasks.finish(site.agent(0), Job::shell("touch data/file").label("volume.data", &id));
    site.wait_until_nothing_is_left();
    let log = site.agent(0).log();
    assert_eq!(log.matches("the audit log cannot be written").count(), 1, "{log}");
}
