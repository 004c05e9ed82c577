//! Every way in which an agent goes and comes back. Mesos' own part (which update the framework gets) is Mesos'; ours is
//! what is left of the volumes: nothing, and nothing is taken from a task that lives.

use std::fs;
use std::path::PathBuf;

use mesos_http::types::TaskState;
use testbed::{Agent, Job, Signal};
use tests::{Site, Tasks, end, eventually, finished, module, running};

fn restart(agent: &Agent) {
    agent.restart().unwrap_or_else(|error| panic!("{error}"));
}

/// A task that runs until a file `stop` appears in its volume, and says that it kept it.
fn patient(volume: &str) -> Job {
    Job::shell("while [ ! -e data/stop ]; do sleep 0.05; done; mountpoint -q data").label("volume.data", volume)
}

/// Lets patient tasks of a volume end, through the driver's own mount.
fn stop(site: &Site) {
    let mount = site.mounts().pop().expect("the volume is mounted");
    fs::write(mount.target.join("data/stop"), "").expect("the test's own file system works");
}

fn kill_processes(agent: &Agent) {
    for pid in agent.container_processes() {
        let pid = i32::try_from(pid)
            .ok()
            .and_then(rustix::process::Pid::from_raw)
            .expect("a process id");
        // One that ended meanwhile is as good.
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
    eventually("the containers' processes are gone", || {
        match agent.container_processes() {
            left if left.is_empty() => Ok(()),
            left => Err(format!("{left:?}")),
        }
    });
}

fn record_files(agent: &Agent) -> Vec<PathBuf> {
    fs::read_dir(agent.state_dir().join("containers"))
        .expect("the test's own file system works")
        .map(|entry| entry.expect("the test's own file system works").path())
        .collect()
}

#[test]
fn an_executor_killed_while_the_agent_is_away_leaves_no_mount() {
    let site = Site::start(1);
    let id = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let task = tasks.launch(site.agent(0), patient(&id));
    running(&task);
    site.agent(0).kill().unwrap();
    kill_processes(site.agent(0));
    restart(site.agent(0));
    assert_eq!(end(&task).state, TaskState::Failed);
    site.wait_until_nothing_is_left();
}

#[test]
fn without_checkpointing_an_agent_that_comes_back_late_leaves_no_mount() {
    let site = Site::start(1);
    let id = site.volume("v");
    let tasks = Tasks::connect_without_checkpoint(site.cluster());
    let task = tasks.launch(site.agent(0), patient(&id));
    running(&task);
    site.agent(0).kill().unwrap();
    assert!(end(&task).state != TaskState::Finished);
    eventually("the task's processes end by themselves", || {
        match site.agent(0).container_processes() {
            left if left.is_empty() => Ok(()),
            left => Err(format!("{left:?}")),
        }
    });
    assert_eq!(site.mounts().len(), 1, "nobody is there to unmount it");
    restart(site.agent(0));
    site.wait_until_nothing_is_left();
}

#[test]
fn with_its_runtime_folder_and_processes_gone_the_volume_is_let_go() {
    let site = Site::start(1);
    let id = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let task = tasks.launch(site.agent(0), patient(&id));
    running(&task);
    site.agent(0).kill().unwrap();
    kill_processes(site.agent(0));
    fs::remove_dir_all(site.agent(0).runtime_dir()).unwrap();
    restart(site.agent(0));
    assert_eq!(end(&task).state, TaskState::Failed);
    site.wait_until_nothing_is_left();
}

#[test]
fn with_its_runtime_folder_gone_a_living_task_keeps_its_volume() {
    let site = Site::start(1);
    let id = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let task = tasks.launch(site.agent(0), patient(&id));
    running(&task);
    site.agent(0).kill().unwrap();
    fs::remove_dir_all(site.agent(0).runtime_dir()).unwrap();
    restart(site.agent(0));
    assert_eq!(site.steps(&id), ["host-0: attach", "host-0: mount"]);
    stop(&site);
    finished(&task);
    site.wait_until_nothing_is_left();
}

#[test]
fn after_a_reboot_the_attachment_is_let_go_though_nothing_is_mounted() {
    let site = Site::start(1);
    let id = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let task = tasks.launch(site.agent(0), patient(&id));
    running(&task);
    site.agent(0).kill().unwrap();
    // What a reboot leaves: no process, no mount, no runtime folder, another boot id; the attachment stays.
    kill_processes(site.agent(0));
    for mount in site.mounts() {
        rustix::mount::unmount(&mount.target, rustix::mount::UnmountFlags::empty()).unwrap();
    }
    fs::remove_dir_all(site.agent(0).runtime_dir()).unwrap();
    let old = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let other = "00000000-0000-4000-8000-000000000000";
    for record in record_files(site.agent(0)) {
        let text = fs::read_to_string(&record).unwrap();
        assert!(text.contains(old.trim()));
        fs::write(&record, text.replace(old.trim(), other)).unwrap();
    }
    fs::write(site.agent(0).work_dir().join("meta/boot_id"), other).unwrap();
    restart(site.agent(0));
    assert_eq!(end(&task).state, TaskState::Failed);
    site.wait_until_nothing_is_left();
    assert!(
        site.steps(&id).ends_with(&["host-0: detach".to_owned()]),
        "{:?}",
        site.steps(&id)
    );
}

#[test]
fn a_mount_somebody_undid_by_hand_is_detached_after_the_task() {
    let site = Site::start(1);
    let id = site.volume("v");
    // The monitor would end the task for this; here it is the restart that finds out.
    site.agent(0)
        .respecify(|spec| spec.module = Some(module().parameter("health_interval", "0secs")));
    restart(site.agent(0));
    let tasks = Tasks::connect(site.cluster());
    let task = tasks.launch(site.agent(0), patient(&id));
    running(&task);
    site.agent(0).kill().unwrap();
    for mount in site.mounts() {
        fs::write(mount.target.join("data/stop"), "").unwrap();
        rustix::mount::unmount(&mount.target, rustix::mount::UnmountFlags::DETACH).unwrap();
    }
    restart(site.agent(0));
    end(&task);
    site.wait_until_nothing_is_left();
}

#[test]
fn an_agent_told_to_terminate_leaves_its_tasks_and_their_volumes_alone() {
    let site = Site::start(1);
    let id = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let task = tasks.launch(site.agent(0), patient(&id));
    running(&task);
    site.agent(0).terminate().unwrap();
    restart(site.agent(0));
    assert_eq!(site.steps(&id), ["host-0: attach", "host-0: mount"]);
    stop(&site);
    finished(&task);
    site.wait_until_nothing_is_left();
}

#[test]
fn an_agent_that_unregisters_lets_go_of_everything_before_it_ends() {
    let site = Site::start(1);
    let id = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let task = tasks.launch(site.agent(0), Job::shell("sleep 1000").label("volume.data", &id));
    running(&task);
    site.agent(0).signal(Signal::USR1).unwrap();
    site.agent(0).wait_for_exit(std::time::Duration::from_secs(60)).unwrap();
    site.wait_until_nothing_is_left();
}

#[test]
fn an_agent_started_to_clean_up_lets_go_of_everything() {
    let site = Site::start(1);
    let id = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let task = tasks.launch(site.agent(0), Job::shell("sleep 1000").label("volume.data", &id));
    running(&task);
    site.agent(0).kill().unwrap();
    site.agent(0).set_flag("recover", "cleanup");
    site.agent(0).start().unwrap();
    site.agent(0).wait_for_exit(std::time::Duration::from_secs(60)).unwrap();
    site.wait_until_nothing_is_left();
}

#[test]
fn damaged_records_stop_neither_the_agent_nor_the_recovery_of_the_others() {
    let site = Site::start(1);
    let id = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let task = tasks.launch(site.agent(0), patient(&id));
    running(&task);
    site.agent(0).kill().unwrap();
    let containers = site.agent(0).state_dir().join("containers");
    for (name, text) in [
        ("torn.json", "{\"version\":1,\"boot"),
        ("empty.json", ""),
        ("future.json", "{\"version\":9}"),
        ("stray", "x"),
    ] {
        fs::write(containers.join(name), text).unwrap();
    }
    restart(site.agent(0));
    let log = site.agent(0).log_since_start();
    for name in ["torn.json", "empty.json", "future.json", "stray"] {
        assert!(
            log.lines()
                .any(|line| line.contains("quarantined") && line.contains(name)),
            "{name} is not in the log"
        );
    }
    assert_eq!(record_files(site.agent(0)).len(), 1);
    stop(&site);
    finished(&task);
    site.wait_until_nothing_is_left();
}

#[test]
fn a_record_of_a_driver_that_is_gone_keeps_nobody_waiting() {
    let site = Site::start(1);
    let id = site.volume("v");
    let other = site.second_driver(site.agent(0), "other");
    other.client().create("w", 1, "zone-a").unwrap();
    let tasks = Tasks::connect(site.cluster());
    let job = Job::shell("sleep 1000")
        .label("volume.data", "w")
        .label("volume.data.driver", "other");
    let task = tasks.launch(site.agent(0), job);
    running(&task);
    site.agent(0).kill().unwrap();
    kill_processes(site.agent(0));
    drop(other);
    fs::remove_file(site.agent(0).drivers().join("other.sock")).unwrap_or_default();
    restart(site.agent(0));
    assert_eq!(end(&task).state, TaskState::Failed);
    tasks.finish(site.agent(0), Job::shell("touch data/file").label("volume.data", &id));
    eventually("the agent's log says what it cannot do", || {
        let log = site.agent(0).log_since_start();
        log.contains("could not be sent").then_some(()).ok_or(log)
    });
}
