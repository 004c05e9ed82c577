//! What becomes of a task whose volume is not well: ended with a status that names label, volume and cause, or, where that would
//! help nobody, left alone with a word to the operator.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use mesos_http::types::{Reason, TaskState};
use rustix::mount::{MountFlags, UnmountFlags, mount_remount, unmount};
use testbed::{Agent, AgentSpec, Job, LaunchedTask, Mount};
use tests::{Rclone, Site, Tasks, end, eventually, finished, module, running};

/// An agent that looks this often.
fn watchful(interval: &str) -> AgentSpec {
    let module = module()
        .parameter("health_interval", interval)
        .parameter("metrics_file", "{agent}/volumes.prom")
        .parameter("audit_log", "{agent}/audit.log");
    AgentSpec::default()
        .resources("cpus:16;mem:8192;disk:4096")
        .module(module)
}

fn site() -> Site {
    Site::with_agents(1, &watchful("200ms"))
}

/// A task that runs until a file `stop` appears in its volume.
fn patient(volume: &str) -> Job {
    Job::shell("while [ ! -e data/stop ]; do sleep 0.05; done").label("volume.data", volume)
}

/// The only volume that is mounted.
fn the_mount(site: &Site) -> Mount {
    let mut mounts = site.mounts();
    assert_eq!(mounts.len(), 1, "{mounts:?}");
    mounts.remove(0)
}

/// The task must be ended for its volume, with all of these words.
fn ended_for(task: &LaunchedTask, words: &[&str]) -> String {
    let status = end(task);
    assert_eq!(status.state, TaskState::Failed, "{status:?}");
    assert_eq!(status.reason, Some(Reason::ContainerLimitation), "{status:?}");
    let message = status.message.unwrap_or_default();
    assert!(!message.contains('\n'), "{message}");
    for word in ["label 'volume.data': [unreachable] volume '", "driver '"]
        .iter()
        .chain(words)
    {
        assert!(message.contains(word), "'{word}' is not in: {message}");
    }
    message
}

/// Waits until the metrics file has this line.
fn metric(agent: &Agent, line: &str) {
    let line = format!("mesos_external_volumes_{line}");
    eventually(&format!("the metric {line}"), || {
        let text = fs::read_to_string(agent.folder().join("volumes.prom")).map_err(|error| error.to_string())?;
        text.lines().any(|found| found == line).then_some(()).ok_or(text)
    });
}

fn logged(agent: &Agent, words: &[&str]) {
    eventually(&format!("a line with {words:?}"), || {
        let log = agent.log();
        let line = log.lines().find(|line| words.iter().all(|word| line.contains(word)));
        line.map(drop)
            .ok_or_else(|| log.lines().rev().take(20).collect::<Vec<_>>().join("\n"))
    });
}

/// Waits until the audit log and the state folder's status name the code and the cause for which a
/// container was ended.
fn told_with_its_code(agent: &Agent, words: &str) {
    let holds_both = |of: &serde_json::Value, code: &str, problem: &str| {
        of[code] == "unreachable" && of[problem].as_str().is_some_and(|problem| problem.contains(words))
    };
    eventually("the code in the audit log", || {
        let text = fs::read_to_string(agent.folder().join("audit.log")).map_err(|error| error.to_string())?;
        let mut lines = text
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let found = lines.any(|line| line["event"] == "limited" && holds_both(&line, "code", "problem"));
        found.then_some(()).ok_or(text)
    });
    eventually("the code in the status", || {
        let text = fs::read_to_string(agent.state_dir().join("status.json")).map_err(|error| error.to_string())?;
        let status: serde_json::Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let volumes = status["volumes"].as_array().cloned().unwrap_or_default();
        let found = volumes
            .iter()
            .any(|volume| holds_both(volume, "last_error_code", "last_error"));
        found.then_some(()).ok_or(text)
    });
}

/// The name of a mount's device, as in `loop7`.
fn device(mount: &Mount) -> String {
    let name = mount.source.file_name().expect("a device has a name");
    name.to_str().expect("it is text").to_owned()
}

#[test]
fn a_volume_pulled_away_under_a_task_ends_it_within_the_interval_and_what_mesos_takes() {
    for interval in [None, Some("200ms")] {
        let module = match interval {
            Some(interval) => module().parameter("health_interval", interval),
            None => module(),
        };
        let site = Site::with_agents(1, &AgentSpec::default().module(module));
        let id = site.volume("v");
        let tasks = Tasks::connect(site.cluster());
        let task = tasks.launch(site.agent(0), Job::shell("sleep 1000").label("volume.data", &id));
        running(&task);
        let mount = the_mount(&site);
        let pulled = Instant::now();
        unmount(&mount.target, UnmountFlags::DETACH).unwrap();
        let message = ended_for(&task, &[&id, "disappeared"]);
        let interval = interval.unwrap_or("the default");
        println!(
            "health_interval {interval}: failed {:.1?} after it was pulled away: {message}",
            pulled.elapsed()
        );
        site.wait_until_nothing_is_left();
    }
}

#[test]
fn a_volume_lost_while_the_agent_was_away_ends_its_task_when_the_agent_is_back() {
    let site = site();
    let id = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let task = tasks.launch(site.agent(0), Job::shell("sleep 1000").label("volume.data", &id));
    running(&task);
    site.agent(0).kill().unwrap();
    unmount(&the_mount(&site).target, UnmountFlags::DETACH).unwrap();
    site.agent(0).restart().unwrap_or_else(|error| panic!("{error}"));
    ended_for(&task, &[&id, "disappeared"]);
    site.wait_until_nothing_is_left();
}

#[test]
fn a_volume_that_turns_read_only_ends_who_writes_and_leaves_who_reads() {
    let site = site();
    let id = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let reader = tasks.launch(site.agent(0), patient(&id).label("volume.data.mode", "ro"));
    let writer = tasks.launch(site.agent(0), patient(&id));
    running(&reader);
    running(&writer);
    let mount = the_mount(&site);
    mount_remount(&mount.target, MountFlags::RDONLY, "").unwrap();
    ended_for(&writer, &[&id, "turned read-only"]);
    told_with_its_code(site.agent(0), "turned read-only");
    // Both were judged by the same finding.
    mount_remount(&mount.target, MountFlags::empty(), "").unwrap();
    fs::write(mount.target.join("data/stop"), "").unwrap();
    finished(&reader);
    metric(
        site.agent(0),
        "limitations_total{cause=\"read_only\",code=\"unreachable\",driver=\"ebs\"} 1",
    );
    site.wait_until_nothing_is_left();
}

#[test]
fn ext4_that_turns_read_only_after_an_error_ends_its_task() {
    let site = site();
    let id = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let task = tasks.launch(site.agent(0), patient(&id));
    running(&task);
    let mount = the_mount(&site);
    mount_remount(&mount.target, MountFlags::empty(), c"errors=remount-ro").unwrap();
    // The kernel's own switch: goes through the code that a damaged block would.
    fs::write(
        Path::new("/sys/fs/ext4").join(device(&mount)).join("trigger_fs_error"),
        "1",
    )
    .unwrap();
    ended_for(&task, &[&id, "turned read-only"]);
    site.wait_until_nothing_is_left();
}

#[test]
fn a_device_that_gives_errors_ends_its_task() {
    let site = site();
    let id = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let task = tasks.launch(site.agent(0), patient(&id));
    running(&task);
    let mount = the_mount(&site);
    let image = fs::read_to_string(Path::new("/sys/block").join(device(&mount)).join("loop/backing_file")).unwrap();
    let image = fs::File::options()
        .write(true)
        .open(PathBuf::from(image.trim()))
        .unwrap();
    let length = image.metadata().unwrap().len();
    image.set_len(length / 2).unwrap();
    ended_for(&task, &[&id, "fails: Input/output error"]);
    image.set_len(length).unwrap();
    metric(
        site.agent(0),
        "limitations_total{cause=\"io_error\",code=\"unreachable\",driver=\"ebs\"} 1",
    );
    site.wait_until_nothing_is_left();
}

#[test]
fn a_full_volume_is_said_and_its_task_goes_on() {
    let site = site();
    let id = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let task = tasks.launch(site.agent(0), patient(&id));
    running(&task);
    let mount = the_mount(&site);
    let room = rustix::fs::statvfs(&mount.target).unwrap();
    let filling = fs::File::create(mount.target.join("data/filling")).unwrap();
    // All but a little, which the file system needs to tell where the rest is.
    let blocks = room.f_bavail - room.f_blocks / 4000;
    rustix::fs::fallocate(&filling, rustix::fs::FallocateFlags::empty(), 0, blocks * room.f_frsize).unwrap();
    logged(
        site.agent(0),
        &["a volume in use needs attention", &id, "out of space", "containers="],
    );
    metric(site.agent(0), "volume_warnings{cause=\"full\",driver=\"ebs\"} 1");
    filling.set_len(0).unwrap();
    drop(filling);
    logged(site.agent(0), &["a volume in use is healthy again", &id]);
    metric(site.agent(0), "volume_warnings{cause=\"full\",driver=\"ebs\"} 0");
    fs::write(mount.target.join("data/stop"), "").unwrap();
    finished(&task);
    site.wait_until_nothing_is_left();
}

#[test]
fn a_driver_that_hangs_hides_no_other_volumes_loss_and_its_own_tasks_and_a_restarted_agent_live_on() {
    let site = site();
    let id = site.volume("v");
    let agent = site.agent(0);
    let rclone = Rclone::start(&site.cluster().folder().join("rclone"), agent.drivers());
    let tasks = Tasks::connect(site.cluster());
    let remote = patient("remote")
        .label("volume.data.driver", "rclone")
        .label("volume.data.create", "if-missing")
        .label("volume.data.options.type", "local")
        .label("volume.data.options.path", rclone.data("remote").display().to_string());
    let remote = tasks.launch(agent, remote);
    let local = tasks.launch(agent, patient(&id));
    running(&remote);
    running(&local);
    rclone.pause();
    logged(agent, &["a volume in use needs attention", "remote", "does not answer"]);
    unmount(&the_mount(&site).target, UnmountFlags::DETACH).unwrap();
    ended_for(&local, &[&id, "disappeared"]);
    // A look that hangs does not keep the agent's process from ending.
    agent.kill().unwrap();
    agent.restart().unwrap_or_else(|error| panic!("{error}"));
    rclone.resume();
    // Through the mount: what is put below it rclone sees only after minutes.
    let mounts = rclone.mounts();
    fs::write(mounts[0].target.join("stop"), "").unwrap();
    finished(&remote);
    rclone.wait_until_nothing_is_mounted();
    site.wait_until_nothing_is_left();
}

#[test]
fn volumes_that_are_mounted_and_unmounted_all_the_time_raise_no_alarm() {
    const ROUNDS: usize = 3;
    let site = Site::with_agents(1, &watchful("5ms"));
    let volumes: Vec<String> = ["a", "b", "c"].iter().map(|name| site.volume(name)).collect();
    let tasks = Tasks::connect(site.cluster());
    for _ in 0..ROUNDS {
        let short = (0..18).map(|number| Job::shell("touch data/file").label("volume.data", &volumes[number % 3]));
        tasks.launch_all(site.agent(0), short).iter().for_each(finished);
        site.wait_until_nothing_is_left();
    }
    let log = site.agent(0).log();
    for words in ["because its volume has failed", "needs attention"] {
        assert!(!log.contains(words), "'{words}' is in the log");
    }
}
