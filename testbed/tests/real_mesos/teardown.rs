//! Nothing of a cluster is left on the machine, however it ends.

use std::fs;
use std::io::{BufRead, BufReader};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{EXECUTOR, LIMIT, alive, assert_nothing_left, cluster, run_container, wait_until};
use testbed::{AgentSpec, Cluster, ClusterBuilder};

#[test]
fn a_torn_down_cluster_leaves_nothing() {
    let cluster = busy(cluster());
    let folder = cluster.folder().to_owned();
    let processes = cluster.agent(0).container_processes();
    assert!(processes.len() >= 2, "{processes:?}");

    cluster.tear_down().unwrap();

    assert_nothing_left(&folder);
    assert!(!folder.exists());
    assert!(!processes.into_iter().any(alive));
}

#[test]
fn a_panic_leaves_only_the_folder() {
    let mut folder = PathBuf::new();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let cluster = busy(cluster());
        folder = cluster.folder().to_owned();
        panic!("as a failing test does");
    }));
    assert!(panicked.is_err());
    assert_nothing_left(&folder);
    assert!(
        fs::read_to_string(folder.join("agent-0/log"))
            .unwrap()
            .contains("Registered with master")
    );
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_cluster_whose_process_was_killed_is_swept_away() {
    let testbed = env!("CARGO_BIN_EXE_testbed");
    let mut up = Command::new(testbed)
        .args(["up", "--json", "--executor", EXECUTOR])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(up.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let endpoints: serde_json::Value = serde_json::from_str(&line).unwrap();
    let folder = PathBuf::from(endpoints["folder"].as_str().unwrap());
    let agent = u32::try_from(endpoints["agents"][0]["pid"].as_u64().unwrap()).unwrap();
    make_busy(&folder);
    assert!(!testbed::mounts_below(&folder).unwrap().is_empty());

    up.kill().unwrap();
    up.wait().unwrap();
    wait_until("the agent died with its cluster", || !alive(agent));

    // Another test's cluster that starts at this moment may be quicker, and still be at it.
    let sweep = Command::new(testbed).arg("sweep").output().unwrap();
    assert!(sweep.status.success(), "{sweep:?}");
    wait_until("the cluster is swept away", || !folder.join("agent-0/work").exists());
    assert_nothing_left(&folder);
    assert!(folder.join("agent-0/log").exists());
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_program_beside_the_cluster_ends_with_it() {
    let cluster = cluster().create().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "echo ready; exec sleep 600"]);
    let beside = cluster.run_beside("driver", command).unwrap();
    beside.wait_for_log("ready", LIMIT).unwrap();
    let pid = beside.pid().unwrap();
    cluster.tear_down().unwrap();
    assert!(!alive(pid));
}

#[test]
fn a_report_shows_commands_folders_mounts_and_logs() {
    let cluster = busy(cluster());
    let report = cluster.report();
    for part in [
        "mesos-agent --",
        " --cgroups_root=",
        "agent-0/",
        "agent-0/volume ext4 /dev/loop",
        "Registered with master",
    ] {
        assert!(report.contains(part), "'{part}' is missing in\n{report}");
    }
    cluster.tear_down().unwrap();
}

/// A cluster of one agent with everything a cluster may have: a container whose command has a child of its own, and a
/// mounted loop device.
fn busy(builder: ClusterBuilder) -> Cluster {
    let cluster = builder.agent(AgentSpec::default()).start().unwrap();
    run_container(cluster.agent(0), "busy", "sleep 600 & (setsid sleep 600 &) ; sleep 600");
    make_busy(cluster.folder());
    cluster
}

/// Mounts an ext4 image at `agent-0/volume`.
fn make_busy(folder: &Path) {
    let image = folder.join("agent-0/image");
    fs::File::create(&image).unwrap().set_len(8 << 20).unwrap();
    let volume = folder.join("agent-0/volume");
    fs::create_dir(&volume).unwrap();
    run(Command::new("mkfs.ext4").arg("-q").arg(&image));
    run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&volume));
    assert_eq!(testbed::loops_below(folder).len(), 1);
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
