//! What the module weighs: its file, and what it adds to a real agent in threads and memory, idle and with 1,000 mounts.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testbed::{Agent, AgentSpec, Cluster, Framework, Job, built};

use crate::peer::{link_dvdcli, with_dvdcli, with_volumes};
use crate::plugin::Plugin;
use crate::recover;
use crate::report::Section;
use crate::scratch::Scratch;

const DRIVER: &str = "instant";
/// 1,000 volumes: a container may ask for 64.
const TASKS: usize = 20;
const VOLUMES: usize = 50;
/// Which agent has what; the two before have neither.
const MODULE: usize = 2;
const PEER: usize = 3;
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
    let _plugin = Plugin::start(&scratch.sockets(), DRIVER, scratch.volumes(), 32)?;
    link_dvdcli(scratch.path())?;
    let spec = AgentSpec::default()
        .resources("cpus:64;mem:16384;disk:65536")
        .drivers(scratch.sockets());
    let spec = with_dvdcli(spec, scratch.path());
    // Two without the module: how they differ from each other is the noise.
    let cluster = Cluster::builder()
        .agents(2, &spec)
        .agent(spec.clone().module(tests::module()))
        .agent(spec.isolator("docker/volume"))
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
        let job = |task| {
            if agent.index() == PEER {
                peers_job(task)
            } else {
                job(task)
            }
        };
        // One agent after the other: 2,000 calls of one driver at once would take their time from each other.
        let launched = framework.launch_all((0..TASKS).map(|task| job(task).on(id.as_str())));
        for task in &launched {
            task.wait_for_running(LIMIT)?;
        }
        running.extend(launched);
    }
    let records = fs::read_dir(cluster.agent(MODULE).state_dir().join("containers"))?.count();
    ensure!(records == TASKS, "{records} containers have volumes, not {TASKS}");
    let busy = weigh(&cluster)?;
    drop(framework);

    let mut section = Section::new(
        "footprint",
        "a real agent with the module beside two without it, all with the same tasks and labels: 20 tasks with 50 volumes \
         each, every volume a mount of its own, a driver that answers at once; noise is how the two without differ. What Mesos \
         itself keeps of a container's mounts is in it: a fourth agent has docker/volume. A pair's own bytes are those of the \
         isolator crate with 10,000 containers, from 'recover'",
    );
    let library = fs::metadata(built("libmesos_external_volumes.so", "mesos-module")?)?.len();
    let code = loaded_size(&built("libmesos_external_volumes.so", "mesos-module")?)?;
    section.value("the module's file", "KiB", kib(library));
    section.value("of it code and data (without names and lines)", "KiB", kib(code));
    let mut figures = json!({"library_bytes": library, "library_loaded_bytes": code});
    for (key, what, weights) in [("mounts_0", "no mount", &idle), ("mounts_1000", "1,000 mounts", &busy)] {
        let module = added(weights, MODULE);
        section.value(&format!("{what}: threads added"), "", number(&module["threads"]));
        for (part, words) in [
            ("resident_bytes", "resident memory added"),
            ("anonymous_bytes", "of it written to (anonymous)"),
            ("noise_bytes", "noise"),
        ] {
            section.value(&format!("{what}: {words}"), "KiB", number(&module[part]) / 1024.0);
        }
        figures[key] = module;
    }
    #[allow(clippy::cast_precision_loss, reason = "a small number")]
    let pairs = (TASKS * VOLUMES) as f64;
    let per_pair = |agent: usize| {
        let anonymous = |weights: &[Weight]| number(&added(weights, agent)["anonymous_bytes"]);
        (anonymous(&busy) - anonymous(&idle)) / pairs
    };
    let (module, peer) = (per_pair(MODULE), per_pair(PEER));
    section.value("agent's memory per pair, this module", "B", module);
    section.value("agent's memory per pair, docker/volume", "B", peer);
    let own = recover::bytes_per_record(10_000)?;
    section.value("isolator crate alone, per pair", "B", own);
    section.target("bytes per container-volume pair", Some(own), 4096.0);
    figures["agent_bytes_per_pair"] = json!({"module": module, "docker_volume": peer});
    figures["bytes_per_pair"] = json!(own);
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

/// The same volumes as docker/volume wants them.
fn peers_job(task: usize) -> Job {
    let volumes = (0..VOLUMES).map(|volume| (format!("v{volume}"), format!("volume-{}", task * VOLUMES + volume)));
    with_volumes(Job::shell("sleep 600"), DRIVER, volumes)
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

/// What an agent has beyond the mean of the first two.
fn added(weights: &[Weight], agent: usize) -> Value {
    let beyond = |of: fn(&Weight) -> u64| {
        #[allow(clippy::cast_precision_loss, reason = "bytes of one process")]
        let [a, b, its] = [0, 1, agent].map(|agent: usize| of(&weights[agent]) as f64);
        (its - (a + b) / 2.0, (a - b).abs())
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
