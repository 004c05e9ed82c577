//! What the tests of the testbed share: standalone containers, which need no scheduler and no executor.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;
use testbed::{Agent, Cluster, ClusterBuilder};

/// How long a state may take on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// The executor that cargo has built for these tests.
pub(crate) const EXECUTOR: &str = env!("CARGO_BIN_EXE_mesos-executor");

/// A cluster builder with [`EXECUTOR`].
pub(crate) fn cluster() -> ClusterBuilder {
    Cluster::builder().executor(EXECUTOR)
}

/// Has `agent` run `script` in a container of its own, and waits until it says so in the file `started` of its sandbox.
/// By then the shell has no child but those of `script`.
pub(crate) fn run_container(agent: &Agent, id: &str, script: &str) {
    let resources = [("cpus", 0.1), ("mem", 32.0)]
        .map(|(name, value)| json!({"name": name, "type": "SCALAR", "scalar": {"value": value}}));
    let command = json!({"value": format!(": > started; {script}")});
    let launch = json!({"container_id": {"value": id}, "command": command, "resources": resources});
    agent
        .call(&json!({"type": "LAUNCH_CONTAINER", "launch_container": launch}))
        .unwrap();
    let started = agent.work_dir().join("containers").join(id).join("started");
    wait_until(&format!("container {id} runs"), || started.exists());
}

/// Whether `agent` knows the container `id`.
pub(crate) fn knows(agent: &Agent, id: &str) -> bool {
    agent.containers().unwrap().iter().any(|container| container.id == id)
}

/// Waits until `holds` does; `what` says what is waited for.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < deadline, "waited {LIMIT:?} until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a process with this id exists and is no zombie.
pub(crate) fn alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        stat.rsplit(')')
            .next()
            .is_some_and(|rest| !rest.trim_start().starts_with('Z'))
    })
}

/// Fails unless nothing of a cluster with this folder is left on the machine; its files may be.
#[track_caller]
pub(crate) fn assert_nothing_left(folder: &Path) {
    assert_eq!(testbed::mounts_below(folder).unwrap(), [], "mounts");
    assert_eq!(testbed::loops_below(folder), [] as [PathBuf; 0], "loop devices");
    let name = folder.file_name().unwrap().to_str().unwrap();
    for hierarchy in fs::read_dir("/sys/fs/cgroup").unwrap() {
        for group in fs::read_dir(hierarchy.unwrap().path()).into_iter().flatten() {
            let group = group.unwrap();
            assert!(
                !group.file_name().to_str().unwrap().starts_with(name),
                "cgroup {}",
                group.path().display()
            );
        }
    }
    for process in fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        // Processes that end while they are looked at have nothing to show.
        let command = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        assert!(
            !command.contains(folder.to_str().unwrap()),
            "process {:?}: {command}",
            process.file_name()
        );
    }
}
