//! What the machine is and how busy it is, so that figures can be judged later.

use std::fs;
use std::thread;

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// Processors, kernel, memory, load, and what is under the folder for temporary files, where everything is measured.
pub(crate) fn state() -> Result<Value> {
    let read = |path: &str| fs::read_to_string(path).with_context(|| format!("read {path}"));
    let load = read("/proc/loadavg")?;
    let memory = read("/proc/meminfo")?;
    let kib: Option<u64> = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    Ok(json!({
        "processors": thread::available_parallelism()?.get(),
        "kernel": read("/proc/sys/kernel/osrelease")?.trim(),
        "memory_mib": kib.map(|kib| kib / 1024),
        "file_system": file_system(),
        "load_1min": load.split_whitespace().next().and_then(|load| load.parse::<f64>().ok()),
    }))
}

pub(crate) fn line(state: &Value) -> String {
    format!(
        "machine: {} processors, {} MiB, Linux {}, {}, load {}",
        state["processors"], state["memory_mib"], state["kernel"], state["file_system"], state["load_1min"]
    )
}

/// The type of the file system that temporary files are on.
fn file_system() -> Option<String> {
    let folder = std::env::temp_dir().canonicalize().ok()?;
    let mounts = testbed::mounts().ok()?;
    let nearest = mounts
        .into_iter()
        .filter(|mount| folder.starts_with(&mount.target))
        .max_by_key(|mount| mount.target.components().count())?;
    Some(nearest.kind)
}
