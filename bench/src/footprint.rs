//! What the module weighs: its file, and what it adds to a real agent in threads and memory, idle and with 1,000 mounts.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testbed::{Agent, AgentSpec, Cluster, Framework, Job, built};

use crate::plugin::Plugin;
use crate::report::Section;
use crate::scratch::Scratch;

const DRIVER: &str = "instant";
/// 1,000 volumes: a container may ask for 64.
const TASKS: usize = 20;
const VOLUMES: usize = 50;
const LIMIT: Duration = Duration::from_secs(120);

/// Threads and memory of a process.
#[derive(Clone, Copy, Debug)]
struct Weight {
    threads: u64,
    resident: u64,
    anonymous: u64,
}

pub(crate) fn run() -> Result<Section> {
    let scratch = Scratch::new()?;
    for number in 0..TASKS * VOLUMES {
        scratch.mount_volume(&format!("volume-{number}"))?;
    }
    let _plugin = Plugin::start(&scratch.sockets(), DRIVER, scratch.volumes())?;
    let spec = AgentSpec::default()
        .resources("cpus:64;mem:16384;disk:65536")
        .drivers(scratch.sockets());
    // Two without the module: how they differ from each other is the noise.
    let cluster = Cluster::builder()
        .agents(2, &spec)
        .agent(spec.clone().module(tests::module()))
        .start()?;
    let framework = Framework::subscribe(&cluster.master().address())?;
    // All agents have launched something before they are looked at.
    for agent in cluster.agents() {
        let task = framework.launch(Job::shell("true").on(agent.id()?));
        task.wait_for_end(LIMIT)?;
    }
    let idle = weigh(&cluster)?;
    let mut running = Vec::new();
    for agent in cluster.agents() {
        let id = agent.id()?;
        running.extend(framework.launch_all((0..TASKS).map(|task| job(task).on(id.as_str()))));
    }
    for task in &running {
        task.wait_for_running(LIMIT)?;
    }
    let records = fs::read_dir(cluster.agent(2).state_dir().join("containers"))?.count();
    ensure!(records == TASKS, "{records} containers have volumes, not {TASKS}");
    let busy = weigh(&cluster)?;
    drop(framework);

    let mut section = Section::new(
        "footprint",
        "a real agent with the module beside two without it, all with the same tasks and labels: 20 tasks with 50 volumes \
         each, every volume a mount of its own, a driver that answers at once; noise is how the two without differ",
    );
    let library = fs::metadata(built("libmesos_external_volumes.so", "mesos-module")?)?.len();
    let code = loaded_size(&built("libmesos_external_volumes.so", "mesos-module")?)?;
    section.value("the module's file", "KiB", kib(library));
    section.value("of it code and data (without names and lines)", "KiB", kib(code));
    let mut figures = json!({"library_bytes": library, "library_loaded_bytes": code});
    for (key, what, weights) in [("mounts_0", "no mount", &idle), ("mounts_1000", "1,000 mounts", &busy)] {
        let added = added(weights);
        section.value(&format!("{what}: threads added"), "", number(&added["threads"]));
        section.value(
            &format!("{what}: resident memory added"),
            "KiB",
            number(&added["resident_bytes"]) / 1024.0,
        );
        section.value(
            &format!("{what}: of it the module's own (anonymous)"),
            "KiB",
            number(&added["anonymous_bytes"]) / 1024.0,
        );
        section.value(&format!("{what}: noise"), "KiB", number(&added["noise_bytes"]) / 1024.0);
        figures[key] = added;
    }
    #[allow(clippy::cast_precision_loss, reason = "a small number")]
    let pairs = (TASKS * VOLUMES) as f64;
    let grown = number(&figures["mounts_1000"]["anonymous_bytes"]) - number(&figures["mounts_0"]["anonymous_bytes"]);
    let per_pair = grown / pairs;
    section.value("per container-volume pair", "B", per_pair);
    section.target("bytes per container-volume pair", Some(per_pair), 4096.0);
    figures["bytes_per_pair"] = json!(per_pair);
    section.figures = figures;
    Ok(section)
}

fn job(task: usize) -> Job {
    (0..VOLUMES).fold(Job::shell("sleep 600"), |job, volume| {
        job.label(
            format!("volume.v{volume}"),
            format!("volume-{}", task * VOLUMES + volume),
        )
        .label(format!("volume.v{volume}.driver"), DRIVER)
    })
}

fn weigh(cluster: &Cluster) -> Result<Vec<Weight>> {
    cluster.agents().iter().map(weight).collect()
}

fn weight(agent: &Agent) -> Result<Weight> {
    let pid = agent.pid().context("an agent has ended")?.to_string();
    Ok(Weight {
        threads: status_of(&pid, "Threads:")?,
        resident: memory_of(&pid, "VmRSS:")?,
        anonymous: memory_of(&pid, "RssAnon:")?,
    })
}

/// What the third agent has beyond the mean of the first two.
fn added(weights: &[Weight]) -> Value {
    let beyond = |of: fn(&Weight) -> u64| {
        #[allow(clippy::cast_precision_loss, reason = "bytes of one process")]
        let [a, b, ours] = [0, 1, 2].map(|agent: usize| of(&weights[agent]) as f64);
        (ours - (a + b) / 2.0, (a - b).abs())
    };
    let (threads, _) = beyond(|weight| weight.threads);
    let (resident, _) = beyond(|weight| weight.resident);
    let (anonymous, noise) = beyond(|weight| weight.anonymous);
    json!({
        "threads": threads, "resident_bytes": resident, "anonymous_bytes": anonymous, "noise_bytes": noise,
    })
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

fn kib(bytes: u64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "a file's size")]
    let bytes = bytes as f64;
    bytes / 1024.0
}

/// Text and data of a library, as binutils' `size` adds them up.
fn loaded_size(library: &std::path::Path) -> Result<u64> {
    let output = std::process::Command::new("size").arg(library).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let sum = text.lines().nth(1).and_then(|line| line.split_whitespace().nth(3));
    sum.and_then(|sum| sum.parse().ok())
        .context("what 'size' prints is not understood")
}

/// A line of a process' status in bytes.
pub(crate) fn memory_of(pid: &str, line: &str) -> Result<u64> {
    status_of(pid, line).map(|kib| kib * 1024)
}

/// The number in a line of a process' status.
fn status_of(pid: &str, line: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let number = status
        .lines()
        .find_map(|it| it.strip_prefix(line))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    number.with_context(|| format!("process {pid} has no {line}"))
}
