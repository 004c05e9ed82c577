//! Agents, executors and Docker daemons that die: no Unmount under a running container, and nothing
//! left after it.

use std::fs;
use std::time::Duration;

use mesos_http::types::TaskState;
use testbed::{Agent, Dockerd, Job, Namespace, Signal};
use tests::{DOCKER_IMAGE, Site, Tasks, docker_agent, end, eventually, finished, module, running};

fn site() -> (Site, Dockerd) {
    Site::with_docker(None, &docker_agent("docker,mesos"), Namespace::Shared)
}

/// A Docker task that runs until the file `stop` appears in its volume.
fn patient(volume: &str) -> Job {
    let command = "while [ ! -e $MESOS_SANDBOX/data/stop ]; do sleep 0.1; done";
    Job::shell(command).docker(DOCKER_IMAGE).label("volume.data", volume)
}

/// Lets patient tasks end, through the driver's own mount.
fn stop(site: &Site) {
    let mount = site.mounts().pop().expect("the volume is mounted");
    fs::write(mount.target.join("data/stop"), "").expect("the test's own file system works");
}

fn restart(agent: &Agent) {
    agent.restart().unwrap_or_else(|error| panic!("{error}"));
}

/// Kills the processes of the host whose command line has both words.
fn kill_processes(words: [&str; 2]) {
    for entry in fs::read_dir("/proc")
        .expect("the kernel shows processes")
        .filter_map(Result::ok)
    {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
        if let (true, Some(pid)) = (words.iter().all(|word| line.contains(word)), pid) {
            let pid = rustix::process::Pid::from_raw(pid).expect("a process id");
            // One that ended meanwhile is as good.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }
}

fn is_mounted_only(site: &Site, volume: &str) {
    assert_eq!(site.steps(volume), ["host-0: attach", "host-0: mount"]);
}

#[test]
fn an_agent_that_is_killed_under_a_running_docker_task_calls_no_driver_when_it_is_back() {
    let (site, _dockerd) = site();
    let id = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let task = tasks.launch(site.agent(0), patient(&id));
    running(&task);
    restart(site.agent(0));
    is_mounted_only(&site, &id);
    stop(&site);
    finished(&task);
    site.wait_until_nothing_is_left();
}

#[test]
fn a_docker_task_that_ended_while_the_agent_was_away_is_let_go_when_it_is_back() {
    let (site, dockerd) = site();
    let id = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let task = tasks.launch(site.agent(0), patient(&id));
    running(&task);
    site.agent(0).kill().unwrap();
    stop(&site);
    eventually("the container has ended", || match dockerd.running() {
        Ok(names) if names.is_empty() => Ok(()),
        other => Err(format!("{other:?}")),
    });
    is_mounted_only(&site, &id);
    restart(site.agent(0));
    finished(&task);
    site.wait_until_nothing_is_left();
}

#[test]
fn a_container_that_outlives_its_executor_keeps_its_volume_until_it_is_stopped() {
    let module = module()
        .parameter("docker_socket", "{docker}/docker.sock")
        .parameter("docker_orphan_grace", "5secs")
        .hook(tests::HOOK);
    let spec = docker_agent("docker,mesos").module(module);
    let (site, dockerd) = Site::with_docker(None, &spec, Namespace::Shared);
    let id = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let task = tasks.launch(site.agent(0), patient(&id));
    running(&task);
    let name = dockerd.running().unwrap().pop().expect("the container runs");
    kill_processes(["mesos-docker-executor", &name]);
    kill_processes(["run", &name]);
    assert_eq!(end(&task).state, TaskState::Failed);
    assert_eq!(dockerd.running().unwrap(), [name], "Docker knows that it runs");
    is_mounted_only(&site, &id);
    eventually("the container is stopped", || match dockerd.running() {
        Ok(names) if names.is_empty() => Ok(()),
        other => Err(format!("{other:?}")),
    });
    site.wait_until_nothing_is_left();
}

#[test]
fn while_the_docker_daemon_is_away_nothing_is_unmounted() {
    let (site, dockerd) = site();
    let id = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let task = tasks.launch(site.agent(0), patient(&id));
    running(&task);
    dockerd.kill().unwrap();
    // The client of the executor loses its daemon, so that Mesos takes the task for ended.
    end(&task);
    site.agent(0)
        .wait_for_log("cannot see which Docker containers run", Duration::from_secs(60))
        .unwrap_or_else(|error| panic!("{error}"));
    is_mounted_only(&site, &id);
    dockerd.start_again().unwrap();
    assert_eq!(dockerd.running().unwrap().len(), 1);
    is_mounted_only(&site, &id);
    stop(&site);
    site.wait_until_nothing_is_left();
}

#[test]
fn a_docker_container_that_loses_its_volume_is_stopped() {
    let module = module()
        .parameter("docker_socket", "{docker}/docker.sock")
        .parameter("health_interval", "200ms")
        .hook(tests::HOOK);
    let spec = docker_agent("docker,mesos").module(module);
    let (site, _dockerd) = Site::with_docker(None, &spec, Namespace::Shared);
    let id = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let command = "trap 'exit 3' TERM; while :; do sleep 0.1; done";
    let job = Job::shell(command).docker(DOCKER_IMAGE).label("volume.data", &id);
    let task = tasks.launch(site.agent(0), job);
    running(&task);
    for mount in site.mounts() {
        rustix::mount::unmount(&mount.target, rustix::mount::UnmountFlags::DETACH).unwrap();
    }
    let status = end(&task);
    assert_eq!(status.state, TaskState::Failed, "{:?}", status.message);
    let log = site.agent(0).log();
    assert!(log.contains("the Docker container is stopped"), "{log}");
    site.wait_until_nothing_is_left();
}

/// Runs a task on an agent that is killed at this point, and looks at what is left when the agent
/// is back.
fn killed_at(point: &str, job: impl Fn(&str) -> Job) {
    let (site, dockerd) = site();
    let id = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    site.agent(0).respecify(|spec| {
        let variable = "MESOS_EXTERNAL_VOLUMES_CRASH_AT".to_owned();
        spec.environment.insert(variable, point.to_owned());
    });
    restart(site.agent(0));
    let task = tasks.launch(site.agent(0), job(&id));
    site.agent(0)
        .wait_for_exit(Duration::from_secs(60))
        .unwrap_or_else(|error| panic!("{point}: {error}"));
    site.agent(0).respecify(|spec| spec.environment.clear());
    restart(site.agent(0));
    end(&task);
    assert_eq!(
        dockerd.running().expect("the Docker daemon answers"),
        Vec::<String>::new()
    );
    site.wait_until_nothing_is_left();
}

macro_rules! kills {
    ($($name:ident: $point:literal, $job:expr;)*) => {$(
        #[test]
        fn $name() {
            killed_at($point, $job);
        }
    )*};
}

fn short(volume: &str) -> Job {
    Job::shell("true").docker(DOCKER_IMAGE).label("volume.data", volume)
}

kills! {
    killed_before_the_intent_is_on_disk_a_docker_launch_leaves_nothing: "record-begin", patient;
    killed_before_mount_a_docker_launch_leaves_nothing: "mount-begin", patient;
    killed_after_mount_a_docker_launch_leaves_nothing: "mount-end", patient;
    killed_before_the_bind_a_docker_launch_leaves_nothing: "bind-begin", patient;
    killed_after_the_bind_a_docker_launch_leaves_nothing: "bind-end", patient;
    killed_before_unmount_a_docker_task_leaves_nothing: "unmount-begin", short;
    killed_after_unmount_a_docker_task_leaves_nothing: "unmount-end", short;
}
