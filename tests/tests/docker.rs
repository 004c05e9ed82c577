//! Docker containers with labels: what they get, and when it is let go.

use std::fs;

use mesos_http::types::{TaskState, Volume, VolumeMode};
use testbed::{Agent, Cluster, Dockerd, Job, LaunchedTask, Namespace, custom_executor};
use tests::{DOCKER_IMAGE, HOOK, Site, Tasks, docker_agent, end, finished, module, running};

fn site() -> (Site, Dockerd) {
    Site::with_docker(None, &docker_agent("docker,mesos"), Namespace::Shared)
}

fn docker(command: &str) -> Job {
    Job::shell(command).docker(DOCKER_IMAGE)
}

/// A Docker task that runs until the file `stop` appears in its volume.
fn patient(volume: &str) -> Job {
    docker("while [ ! -e $MESOS_SANDBOX/data/stop ]; do sleep 0.1; done").label("volume.data", volume)
}

/// Lets patient tasks end, through the driver's own mount.
fn stop(site: &Site) {
    let mount = site.mounts().pop().expect("the volume is mounted");
    fs::write(mount.target.join("data/stop"), "").expect("the test's own file system works");
}

fn mount_and_unmount(site: &Site, volume: &str) {
    let steps = ["host-0: attach", "host-0: mount", "host-0: unmount", "host-0: detach"];
    assert_eq!(site.steps(volume), steps);
}

fn sandbox(agent: &Agent, tasks: &Tasks, task: &LaunchedTask) -> std::path::PathBuf {
    agent
        .sandbox(tasks.framework(), &task.id().0)
        .expect("the agent answers")
}

#[test]
fn a_docker_task_reads_and_writes_its_volume_which_is_let_go_when_the_container_has_ended() {
    let (site, _dockerd) = site();
    let id = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let write = "grep -q ' /mnt/mesos/sandbox/data ' /proc/self/mountinfo && echo kept > $MESOS_SANDBOX/data/file";
    tasks.finish(site.agent(0), docker(write).label("volume.data", &id));
    site.wait_until_nothing_is_left();
    mount_and_unmount(&site, &id);
    let read = "test $(cat $MESOS_SANDBOX/data/file) = kept";
    tasks.finish(site.agent(0), docker(read).label("volume.data", &id));
    site.wait_until_nothing_is_left();
}

#[test]
fn a_read_only_volume_of_a_docker_task_cannot_be_written() {
    let (site, _dockerd) = site();
    let id = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let job = docker(
        "! touch $MESOS_SANDBOX/data/file 2>/dev/null && grep -q ' /mnt/mesos/sandbox/data ' /proc/self/mountinfo",
    )
    .label("volume.data", &id)
    .label("volume.data.mode", "ro");
    tasks.finish(site.agent(0), job);
    site.wait_until_nothing_is_left();
}

#[test]
fn an_absolute_path_is_where_container_info_shows_a_folder_of_the_sandbox_and_refused_elsewhere() {
    let (site, _dockerd) = site();
    let id = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let job = docker("grep -q ' /srv/data ' /proc/self/mountinfo && touch /srv/data/file")
        .label("volume.data", &id)
        .label("volume.data.path", "/srv/data");
    let shown = job.clone().id("shown").with(|task| {
        let container = task.container.as_mut().expect("a Docker task has a container");
        let mut volume = Volume::host_path("/srv/data", "", VolumeMode::ReadWrite);
        volume.source = None;
        volume.host_path = Some("data".to_owned());
        container.volumes.push(volume);
    });
    tasks.finish(site.agent(0), shown);
    let message = tasks.fail(site.agent(0), job);
    assert!(
        message.contains("label 'volume.data' = ")
            && message.contains(r#"add {"container_path": "/srv/data", "host_path": "data", "mode": "RW"}"#),
        "{message}"
    );
    site.wait_until_nothing_is_left();
}

#[test]
fn a_volume_in_a_docker_and_a_mesos_container_at_once_has_one_mount_and_one_unmount() {
    let (site, _dockerd) = site();
    let id = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let in_docker = tasks.launch(site.agent(0), patient(&id));
    running(&in_docker);
    let in_mesos = "touch data/from-mesos; while [ ! -e data/stop ]; do sleep 0.1; done";
    let in_mesos = tasks.launch(site.agent(0), Job::shell(in_mesos).label("volume.data", &id));
    running(&in_mesos);
    assert_eq!(site.mounts().len(), 1);
    stop(&site);
    finished(&in_docker);
    finished(&in_mesos);
    site.wait_until_nothing_is_left();
    mount_and_unmount(&site, &id);
}

#[test]
fn the_hook_works_alone_on_an_agent_with_docker_containers_only_also_after_a_restart() {
    let module = module()
        .parameter("docker_socket", "{docker}/docker.sock")
        .hook(HOOK)
        .without_isolator();
    let spec = docker_agent("docker").module(module);
    let (site, _dockerd) = Site::with_docker(None, &spec, Namespace::Shared);
    let id = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let task = tasks.launch(site.agent(0), patient(&id));
    running(&task);
    site.agent(0).restart().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(site.steps(&id), ["host-0: attach", "host-0: mount"]);
    stop(&site);
    finished(&task);
    site.wait_until_nothing_is_left();
    mount_and_unmount(&site, &id);
}

#[test]
fn what_cannot_be_had_is_said_with_the_label_and_leaves_nothing() {
    let (site, _dockerd) = site();
    let tasks = Tasks::connect(site.cluster());
    let message = tasks.fail(site.agent(0), docker("true").label("volume.data", "no-such-volume"));
    assert!(
        message.contains("label 'volume.data' = 'no-such-volume': [not-found]")
            || message.contains("label 'volume.data': [not-found]"),
        "{message}"
    );
    let id = site.volume("v");
    let job = docker("true").label("volume.data", &id).with(|task| {
        let docker = task.container.as_mut().and_then(|container| container.docker.as_mut());
        let docker = docker.expect("a Docker task has an image");
        let parameters = serde_json::json!([{"key": "restart", "value": "always"}]);
        docker.other.insert("parameters".to_owned(), parameters);
    });
    let message = tasks.fail(site.agent(0), job);
    let expected = "the Docker parameter 'restart' = 'always' is not accepted";
    assert!(message.contains(expected), "{message}");
    site.wait_until_nothing_is_left();
    assert_eq!(site.steps(&id), Vec::<String>::new());
}

#[test]
fn a_daemon_that_does_not_see_the_volume_fails_the_task_with_the_remedy() {
    let (site, _dockerd) = Site::with_docker(None, &docker_agent("docker,mesos"), Namespace::Private);
    let id = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let message = tasks.fail(site.agent(0), docker("true").label("volume.data", &id));
    assert!(message.contains("does not see the volume at"), "{message}");
    site.wait_until_nothing_is_left();
}

#[test]
fn a_failing_image_leaves_nothing_mounted() {
    let (site, _dockerd) = site();
    let id = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let task = tasks.launch(
        site.agent(0),
        Job::shell("true").docker("no/such-image").label("volume.data", &id),
    );
    assert_eq!(end(&task).state, TaskState::Failed);
    site.wait_until_nothing_is_left();
    assert!(
        !sandbox(site.agent(0), &tasks, &task)
            .join("data")
            .join("lost+found")
            .exists()
    );
}

#[test]
fn twenty_docker_tasks_at_once_share_one_mount() {
    let spec = docker_agent("docker,mesos").resources("cpus:8;mem:4096;disk:4096");
    let (site, _dockerd) = Site::with_docker(None, &spec, Namespace::Shared);
    let id = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let jobs = (0..20).map(|number| {
        let command = format!("grep -q ' /mnt/mesos/sandbox/data ' /proc/self/mountinfo && touch $MESOS_SANDBOX/data/file-{number} && sleep 1");
        docker(&command).label("volume.data", &id)
    });
    for task in tasks.launch_all(site.agent(0), jobs) {
        finished(&task);
    }
    site.wait_until_nothing_is_left();
}

#[test]
fn the_labels_of_a_custom_executors_first_task_count_and_those_of_a_later_one_are_reported() {
    let (site, _dockerd) = site();
    let (first, second) = (site.volume("first"), site.volume("second"));
    let tasks = Tasks::connect(site.cluster());
    let executor = custom_executor(&site.agent(0).launcher_dir().join("mesos-default-executor"));
    let job = |command: &str, volume: &str| {
        Job::shell(command)
            .executor(executor.clone())
            .label("volume.data", volume)
    };
    let waits = "touch data/file; while [ ! -e data/stop ]; do sleep 0.1; done; mountpoint -q data";
    let one = tasks.launch(site.agent(0), job(waits, &first));
    running(&one);
    assert_eq!(site.steps(&first), ["host-0: attach", "host-0: mount"]);
    let two = tasks.launch(site.agent(0), job("true", &second));
    site.agent(0)
        .wait_for_log(
            "the task's volume labels bring no volumes",
            std::time::Duration::from_secs(60),
        )
        .unwrap_or_else(|error| panic!("{error}"));
    stop(&site);
    finished(&one);
    end(&two);
    assert_eq!(site.steps(&second), Vec::<String>::new());
    drop(tasks);
    site.wait_until_nothing_is_left();
}

#[test]
fn different_parameters_of_isolator_and_hook_keep_the_agent_from_starting() {
    let mut module = module().parameter("docker_socket", "{docker}/docker.sock").hook(HOOK);
    let mut own = module.parameters.clone();
    own.push(("cleanup_wait".to_owned(), "1secs".to_owned()));
    module.hook_parameters = Some(own);
    let cluster = Cluster::builder()
        .agent(docker_agent("docker,mesos").module(module))
        .create()
        .unwrap_or_else(|error| panic!("{error}"));
    let dockerd = Dockerd::start(&cluster, Namespace::Shared).unwrap_or_else(|error| panic!("{error}"));
    assert!(cluster.start().is_err());
    let log = cluster.agent(0).log();
    assert!(log.contains("only one has 'cleanup_wait' = '1secs'"), "{log}");
    drop(dockerd);
}

/// The whole way of a Docker task on another release of Mesos than the others of these tests.
fn works_on(version: &str) {
    let (site, _dockerd) = Site::with_docker(Some(version), &docker_agent("docker,mesos"), Namespace::Shared);
    let id = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let task = tasks.launch(site.agent(0), patient(&id));
    running(&task);
    site.agent(0).restart().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(site.steps(&id), ["host-0: attach", "host-0: mount"]);
    stop(&site);
    finished(&task);
    let message = tasks.fail(site.agent(0), docker("true").label("volume.data", "no-such-volume"));
    assert!(
        message.contains("label 'volume.data'") && message.contains("[not-found]"),
        "{message}"
    );
    site.wait_until_nothing_is_left();
    mount_and_unmount(&site, &id);
}

#[test]
fn docker_tasks_have_their_volumes_on_mesos_1_4_3_too() {
    works_on("1.4.3");
}

#[test]
fn docker_tasks_have_their_volumes_on_mesos_1_8_1_too() {
    works_on("1.8.1");
}
