//! Docker containers of a real agent, run by the testbed's own executor.

use std::time::Duration;

use mesos_http::types::TaskState;
use testbed::{AgentSpec, Cluster, Dockerd, Framework, Job, Namespace, Signal, mounts_below};

use crate::support::{LIMIT, cluster};

const IMAGE: &str = "busybox";

fn start() -> (Cluster, Dockerd, Framework) {
    let spec = AgentSpec::default().docker("docker,mesos");
    let cluster = cluster().agent(spec).create().unwrap();
    let dockerd = Dockerd::start(&cluster, Namespace::Shared).unwrap();
    dockerd.make_image(IMAGE).unwrap();
    cluster.start().unwrap();
    let framework = Framework::subscribe(&cluster.master().address()).unwrap();
    (cluster, dockerd, framework)
}

#[test]
fn docker_tasks_end_as_their_commands_do_and_are_killed_in_time() {
    let (cluster, dockerd, framework) = start();
    let script = "echo hello > $MESOS_SANDBOX/file && exit $CODE";
    let job = |code: &str| Job::shell(script).env("CODE", code).docker(IMAGE);
    let good = framework.launch(job("0"));
    let bad = framework.launch(job("7"));
    let missing = framework.launch(Job::shell("true").docker("no/such-image"));
    let long = framework.launch(Job::shell("trap 'exit 0' TERM; sleep 1000 & wait").docker(IMAGE));
    assert_eq!(good.wait_for_end(LIMIT).unwrap().state, TaskState::Finished);
    let states = [TaskState::Starting, TaskState::Running, TaskState::Finished];
    assert_eq!(good.states(), states);
    let sandbox = cluster.agent(0).sandbox(framework.id().as_str(), &good.id().0).unwrap();
    assert_eq!(std::fs::read_to_string(sandbox.join("file")).unwrap(), "hello\n");

    let status = bad.wait_for_end(LIMIT).unwrap();
    assert_eq!(status.state, TaskState::Failed);
    assert!(status.message.clone().unwrap().contains("exit status: 7"), "{status:?}");
    assert_eq!(missing.wait_for_end(LIMIT).unwrap().state, TaskState::Failed);

    long.wait_for_running(LIMIT).unwrap();
    assert_eq!(dockerd.running().unwrap().len(), 1);
    long.kill_within(Duration::from_secs(20)).unwrap();
    assert_eq!(long.wait_for_end(LIMIT).unwrap().state, TaskState::Killed);
    assert!(dockerd.running().unwrap().is_empty());
    drop(framework);
    cluster.tear_down().unwrap();
}

#[test]
fn a_docker_task_outlives_its_agent_and_the_daemon() {
    let (cluster, dockerd, framework) = start();
    let task = framework.launch(Job::shell("while [ ! -e $MESOS_SANDBOX/stop ]; do sleep 0.1; done").docker(IMAGE));
    task.wait_for_running(LIMIT).unwrap();
    dockerd.kill().unwrap();
    dockerd.start_again().unwrap();
    cluster.agent(0).restart().unwrap();
    assert_eq!(dockerd.running().unwrap().len(), 1);
    let sandbox = cluster.agent(0).sandbox(framework.id().as_str(), &task.id().0).unwrap();
    std::fs::write(sandbox.join("stop"), "").unwrap();
    // The client that the executor waits for lost its connection with the daemon.
    task.wait_for_end(LIMIT).unwrap();
    drop(framework);
    cluster.tear_down().unwrap();
}

#[test]
fn a_cluster_takes_its_docker_daemon_and_containers_away() {
    let (cluster, dockerd, framework) = start();
    let task = framework.launch(Job::shell("sleep 1000").docker(IMAGE));
    task.wait_for_running(LIMIT).unwrap();
    dockerd.process().signal(Signal::STOP).unwrap();
    let folder = cluster.folder().to_owned();
    cluster.tear_down().unwrap();
    drop(framework);
    assert!(!folder.exists());
    assert_eq!(mounts_below(&folder).unwrap(), []);
    let cgroup = format!("{}-docker", folder.file_name().unwrap().to_string_lossy());
    for hierarchy in std::fs::read_dir("/sys/fs/cgroup").unwrap() {
        assert!(!hierarchy.unwrap().path().join(&cgroup).exists());
    }
}
