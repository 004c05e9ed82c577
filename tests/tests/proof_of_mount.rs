//! A task gets its volume or is refused, and never a folder of the host: with drivers whose folder lies on a file system of
//! its own, as a tmpfs on `/run` or a separate `/var` is.

use std::fs;

use rustix::mount::{UnmountFlags, unmount};
use testbed::{AgentSpec, Cluster, Job};
use tests::{Rclone, Site, Tasks, end, eventually, finished, module, running, separate_file_system};

/// Everything below a folder, as this process sees it.
fn below(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).map(|entries| entries.filter_map(Result::ok).map(|entry| entry.path()));
    let entries: Vec<_> = entries.map(Iterator::collect).unwrap_or_default();
    entries
        .into_iter()
        .flat_map(|entry| [below(&entry), vec![entry]].concat())
        .collect()
}

#[test]
fn a_task_of_a_driver_that_mounts_out_of_sight_is_refused_and_nothing_lies_in_the_hosts_folder() {
    let spec = AgentSpec::default().module(module());
    let cluster = Cluster::builder()
        .agent(spec)
        .create()
        .unwrap_or_else(|error| panic!("{error}"));
    let around = separate_file_system(cluster.folder());
    let rclone = Rclone::start_out_of_sight(&around.join("rclone"), cluster.agent(0).drivers());
    cluster
        .start()
        .unwrap_or_else(|error| panic!("{error}\n{}", cluster.report()));
    let tasks = Tasks::connect(&cluster);
    let data = rclone.data("one");
    let task = Job::shell("touch data/file")
        .label("volume.data", "one")
        .label("volume.data.driver", "rclone")
        .label("volume.data.create", "if-missing")
        .label("volume.data.options.type", "local")
        .label("volume.data.options.path", data.display().to_string());
    let message = tasks.fail(cluster.agent(0), task);
    assert!(
        message.contains("'volume.data'") && message.contains("this agent sees no mount but separate (tmpfs)"),
        "{message}"
    );
    let base = around.join("rclone/base");
    let files: Vec<_> = below(&base).into_iter().filter(|path| !path.is_dir()).collect();
    assert!(files.is_empty(), "{files:?}");
    assert!(below(&data).is_empty(), "and the volume is empty");
    let records = cluster.agent(0).state_dir().join("containers");
    eventually("what the driver did is undone", || {
        let left = below(&records);
        left.is_empty().then_some(()).ok_or(format!("{left:?}"))
    });
}

#[test]
fn a_volume_unmounted_by_hand_while_the_agent_is_down_is_noticed_and_the_next_task_gets_the_volume() {
    let spec = AgentSpec::default().module(module().parameter("health_interval", "500ms"));
    let site = Site::on_a_separate_file_system(&spec);
    let id = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let task = tasks.launch(site.agent(0), Job::shell("sleep 1000").label("volume.data", &id));
    running(&task);
    let mount = site.mounts().pop().expect("the volume is mounted");
    site.agent(0).kill().unwrap();
    unmount(&mount.target, UnmountFlags::DETACH).unwrap();
    site.agent(0).restart().unwrap_or_else(|error| panic!("{error}"));
    // Before its container is gone or after, the next task gets the volume.
    let next = tasks.launch(
        site.agent(0),
        Job::shell("mountpoint data && touch data/written").label("volume.data", &id),
    );
    let message = end(&task).message.unwrap_or_default();
    assert!(
        message.contains("[unreachable]") && message.contains(&id) && message.contains("disappeared"),
        "{message}"
    );
    finished(&next);
    site.wait_until_nothing_is_left();
    let written: Vec<_> = below(&mount.target).into_iter().filter(|path| !path.is_dir()).collect();
    assert!(written.is_empty(), "the host's folder has {written:?}");
    tasks.finish(
        site.agent(0),
        Job::shell("test -e data/written").label("volume.data", &id),
    );
    site.wait_until_nothing_is_left();
}

#[test]
fn tasks_that_share_and_follow_each_other_on_a_separate_file_system_all_get_their_volumes() {
    let site = Site::on_a_separate_file_system(&AgentSpec::default().module(module()));
    let ids = ["a", "b", "c"].map(|name| site.volume(name));
    let tasks = Tasks::connect(site.cluster());
    let jobs = (0..12).map(|number| Job::shell("mountpoint data && sleep 0.5").label("volume.data", &ids[number % 3]));
    tasks.launch_all(site.agent(0), jobs).iter().for_each(finished);
    site.wait_until_nothing_is_left();
    let log = site.agent(0).log();
    assert!(!log.contains("the mount table does not"), "no Unmount was in doubt");
}
