//! How long an agent's start takes with many records, and what they weigh in memory. Each number of records has a process
//! and a mount namespace of its own.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use isolator::ledger::{MountSpec, Record, RecordedState, RecordedVolume, VolumeRequest};
use isolator::records::{Change, Store};
use isolator::{Config, ContainerId, Containerizer, Isolator, RecoveredContainer, VolumeKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use volume_driver_client::MountId;
use volume_labels::Access;

use crate::Effort;
use crate::facade::{elapsed, tell};
use crate::figures::{Rounds, exponent};
use crate::report::Section;
use crate::scratch::Scratch;

const DRIVER: &str = "instant";
/// The kernel gives a mount namespace 100,000 mounts at most, and an agent's host has others; with more records than
/// this, containers share volumes.
const MOST_VOLUMES: usize = 10_000;
const LIMIT: Duration = Duration::from_secs(300);
/// The exponent is taken from here on: with fewer records, what is the same for any number counts most.
const FROM: usize = 1_000;

/// What a process of its own found out.
#[derive(Debug, Serialize, Deserialize)]
struct Found {
    ms: Vec<f64>,
    peak_bytes: u64,
    resident_bytes: u64,
}

pub(crate) fn run(effort: Effort) -> Result<Section> {
    let repeats = effort.choose(3, 7);
    let mut section = Section::new(
        "recover",
        "agent start with so many running containers: recover() of the isolator crate until its answer, one volume a \
         container, each of the first 10,000 volumes a mount of its own in the kernel's table, records on disk and in the \
         page cache; memory beyond what the process had before",
    );
    let mut points = Vec::new();
    let mut figures = Vec::new();
    let mut ten_thousand = None;
    for records in [100, 1_000, 10_000, 100_000] {
        let repeats = if records == 100_000 { repeats.min(3) } else { repeats };
        let found = in_own_process(records, repeats)?;
        let mut rounds = Rounds::default();
        found.ms.iter().for_each(|ms| rounds.push(vec![*ms]));
        section.samples(&format!("{records} records"), "ms", &rounds);
        let summary = rounds.summary().context("no samples")?;
        #[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
        let (count, peak, resident) = (records as f64, found.peak_bytes as f64, found.resident_bytes as f64);
        section.value(&format!("{records} records: peak memory"), "MiB", peak / 1048576.0);
        points.push((count, summary.median));
        if records == 10_000 {
            ten_thousand = Some(summary.median / 1e3);
        }
        figures.push(json!({
            "records": records, "ms": summary, "peak_bytes": found.peak_bytes, "resident_bytes": found.resident_bytes,
            "resident_bytes_per_record": resident / count,
        }));
    }
    points.retain(|(count, _)| {
        #[allow(clippy::cast_precision_loss, reason = "a small number")]
        let from = FROM as f64;
        *count >= from
    });
    let exponent = exponent(&points);
    section.value("exponent, 1,000 to 100,000", "", exponent);
    section.target("seconds for 10,000 records", ten_thousand, 1.0);
    section.target("exponent", Some(exponent), 1.1);
    section.figures = json!({"records": figures, "exponent": exponent});
    Ok(section)
}

/// What the isolator keeps in memory per record with so many, beyond what it had before.
pub(crate) fn bytes_per_record(records: usize) -> Result<f64> {
    let found = in_own_process(records, 1)?;
    #[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    let (bytes, records) = (found.resident_bytes as f64, records as f64);
    Ok(bytes / records)
}

fn in_own_process(records: usize, repeats: usize) -> Result<Found> {
    let program = std::env::current_exe()?;
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "--"])
        .arg(program)
        .args(["recover", &records.to_string(), &repeats.to_string()])
        .output()?;
    if !output.status.success() {
        bail!("{records} records: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// In the process of its own.
pub(crate) fn part(records: usize, repeats: usize) -> Result<()> {
    let scratch = Scratch::new()?;
    let state = scratch.path().join("state");
    make_records(&scratch, &state, records)?;
    let mut found = Found {
        ms: Vec::new(),
        peak_bytes: 0,
        resident_bytes: 0,
    };
    for repeat in 0..repeats {
        let running: Vec<RecoveredContainer> = (0..records)
            .map(|number| RecoveredContainer {
                id: ContainerId::root(container(number)),
                executor_labels: Vec::new(),
            })
            .collect();
        let config = Config {
            state_dir: state.clone(),
            health_interval: None,
            ..Config::default()
        };
        let isolator = Isolator::start(config)?;
        // Makes the kernel's high-water mark begin anew.
        fs::write("/proc/self/clear_refs", "5")?;
        let before = memory("VmRSS:")?;
        let (answer, answered) = channel();
        let begin = Instant::now();
        isolator.recover(running, Vec::new(), tell(answer));
        answered.recv_timeout(LIMIT).context("no answer to recover")?;
        found.ms.push(elapsed(begin));
        // Later repeats reuse what the allocator kept.
        if repeat == 0 {
            found.peak_bytes = memory("VmHWM:")?.saturating_sub(before);
            found.resident_bytes = memory("VmRSS:")?.saturating_sub(before);
        }
    }
    let left = fs::read_dir(state.join("containers"))?.count();
    ensure!(
        left == records,
        "of {records} records {left} are left: they were not taken for running containers'"
    );
    let lost = fs::read_dir(state.join("quarantine"))?.count();
    ensure!(lost == 0, "{lost} records were not understood");
    println!("{}", serde_json::to_string(&found)?);
    Ok(())
}

/// Writes one record as the module does, and the others like it, without waiting for the disk.
fn make_records(scratch: &Scratch, state: &Path, records: usize) -> Result<()> {
    let volumes = records.min(MOST_VOLUMES);
    for number in 0..volumes {
        scratch.mount_volume(&volume(number))?;
    }
    let store = Store::open(state)?;
    let mountpoint = |number: usize| scratch.volumes().join(volume(number % volumes));
    let request = VolumeRequest {
        origin: "data".into(),
        volume: VolumeKey::new(DRIVER, volume(0)),
        mount_id: MountId::derive(store.host_id(), DRIVER, &volume(0)),
        target: scratch.sandbox().join(container(0)).join("data"),
        read_only: false,
        access: Access::Shared,
        spec: MountSpec::default(),
    };
    let first = Record {
        container: ContainerId::root(container(0)),
        containerizer: Containerizer::Mesos,
        released: false,
        volumes: vec![RecordedVolume {
            request,
            state: RecordedState::Mounted(mountpoint(0).into()),
        }],
    };
    for result in store.commit(&[Change::Write(first)]) {
        result.map_err(anyhow::Error::msg)?;
    }
    let folder = state.join("containers");
    let path = |number: usize| folder.join(format!("{}.json", container(number)));
    let mut record: Value = serde_json::from_slice(&fs::read(path(0))?)?;
    for number in 1..records {
        let name = volume(number % volumes);
        record["container"] = json!([container(number)]);
        let volume = &mut record["volumes"][0];
        volume["mount_id"] = json!(MountId::derive(store.host_id(), DRIVER, &name).as_str());
        volume["name"] = json!(name);
        volume["target"] = json!(scratch.sandbox().join(container(number)).join("data"));
        volume["mountpoint"] = json!(mountpoint(number));
        fs::write(path(number), serde_json::to_vec(&record)?)?;
    }
    Ok(())
}

/// As long as Mesos' ids.
fn container(number: usize) -> String {
    format!("00000000-0000-0000-0000-{number:012}")
}

fn volume(number: usize) -> String {
    format!("volume-{number}")
}

/// A line of this process' status, in bytes.
fn memory(line: &str) -> Result<u64> {
    crate::footprint::memory_of("self", line)
}
