//! A volume at a path where Mesos itself mounts something for the container: a folder of a sandbox (SANDBOX_PATH), or a persistent
//! volume of Mesos. Which of the two the container would see is an accident, so it is refused on every launch path, with both named.

use std::time::Duration;

use mesos_http::operator::Master;
use mesos_http::types::{ContainerInfo, TaskState, Volume};
use serde_json::json;
use testbed::{AgentSpec, Image, Job, LaunchedTask, Pod, custom_executor};
use tests::{Site, Tasks, end, finished, module};

use crate::attacks::volume_of;
use crate::inside::{IMAGE, Place, contained};

/// The role for which the disk of the persistent volume is reserved.
const ROLE: &str = "tests";

/// A folder `shown` of the container's own sandbox (`SELF`) or of the sandbox around it (`PARENT`).
fn sandbox_path(path: &str, whose: &str) -> Volume {
    let source = json!({"type": "SANDBOX_PATH", "sandbox_path": {"type": whose, "path": "shown"}});
    volume_of(path, &source)
}

fn with_container(job: Job, container: ContainerInfo) -> Job {
    job.with(|task| task.container = Some(container))
}

/// The task fails with these words in its status.
fn is_refused(what: &str, task: &LaunchedTask, words: &[&str]) {
    let status = end(task);
    let message = status.message.unwrap_or_default();
    println!("{what}: {:?}: {message}", status.state);
    assert_eq!(status.state, TaskState::Failed, "{what}: {message}");
    for words in words {
        assert!(message.contains(words), "{what}: '{words}' is not in: {message}");
    }
}

/// Both are named, and why they cannot be had together.
fn both<'a>(path: &'a str, other: &'a str) -> [&'a str; 4] {
    ["label 'volume.data'", other, path, "are the same"]
}

/// Of Mesos itself only nested containers may have such a mount at a relative path.
const MESOS_REFUSES: &[&str] = &["'container_path' is relative for SANDBOX_PATH volume SELF type"];

#[test]
fn a_volume_at_the_path_of_a_sandbox_path_is_refused_on_every_launch_path() {
    let place = Place::start();
    let agent = place.site.agent(0);
    let volume = place.site.volume("v");
    let host = place.host_folder("seen").display().to_string();
    let named = |path| both(path, "ContainerInfo.volumes[0]");
    let in_sandbox = "/mnt/mesos/sandbox/data";
    for (image, label, mesos, words) in [
        (false, "data", "data", MESOS_REFUSES),
        (true, "data", "data", MESOS_REFUSES),
        (false, host.as_str(), host.as_str(), &named(&host)),
        (true, "/srv/app", "/srv/app", &named("/srv/app")),
        (true, "data", in_sandbox, &named(in_sandbox)),
    ] {
        let container = contained(image).with_volume(sandbox_path(mesos, "SELF"));
        let job = Job::shell("true").label("volume.data", &volume);
        let job = with_container(job.label("volume.data.path", label), container);
        let what = format!("a task, image={image}, at {label} and {mesos}");
        is_refused(&what, &place.tasks.launch(agent, job), words);
    }

    let with_folder = || Some(contained(false).with_volume(sandbox_path(&host, "SELF")));
    let mut executor = custom_executor(&agent.launcher_dir().join("mesos-default-executor"));
    executor.container = with_folder();
    executor.labels.push("volume.data", &volume);
    executor.labels.push("volume.data.path", &host);
    let task = place.tasks.launch(agent, Job::shell("true").executor(executor));
    is_refused("a custom executor", &task, &named(&host));

    let pod = |member: Job| Pod::of([member]).label("volume.data", &volume);
    let at_host = pod(Job::shell("true"))
        .label("volume.data.path", &host)
        .with(|executor| executor.container = with_folder());
    let members = place.tasks.launch_pod(agent, at_host);
    is_refused("the executor of a pod", &members[0], &named(&host));
    for image in [false, true] {
        let container = contained(image).with_volume(sandbox_path("data", "PARENT"));
        let members = place
            .tasks
            .launch_pod(agent, pod(with_container(Job::shell("true"), container)));
        is_refused(&format!("a member, image={image}"), &members[0], &named("data"));
    }
    place.site.wait_until_nothing_is_left();
}

#[test]
fn a_volume_and_a_sandbox_path_at_paths_apart_are_both_there() {
    let place = Place::start();
    let agent = place.site.agent(0);
    let volume = place.site.volume("v");
    let container = contained(true).with_volume(sandbox_path("/srv/seen", "SELF"));
    let command = "touch data/file /srv/seen/file && [ -e shown/file ] && [ ! -e shown/data ]";
    let task = with_container(Job::shell(command).image(IMAGE), container).label("volume.data", &volume);
    place.tasks.finish(agent, task);
    let container = contained(false).with_volume(sandbox_path("seen", "PARENT"));
    let member = with_container(Job::shell("[ -e data/file ] && touch seen/file"), container);
    let pod = Pod::of([member]).label("volume.data", &volume);
    let executor = pod.executor_id().to_owned();
    place.tasks.launch_pod(agent, pod).iter().for_each(finished);
    assert!(place.sandbox(&executor).join("shown/file").exists());
    place.site.wait_until_nothing_is_left();
}

/// An agent with a persistent volume `kept`, which Mesos mounts at `kept` in the sandbox of whoever holds it.
fn with_persistent_volume(test: impl FnOnce(&Site, &Tasks, &str)) {
    let registry = tempfile::tempdir().unwrap();
    Image::shell().save(registry.path(), IMAGE).unwrap();
    let spec = AgentSpec::default()
        .resources(format!("cpus:8;mem:4096;disk:1024;disk({ROLE}):64"))
        .images(registry.path())
        .module(module());
    let site = Site::with_agents(1, &spec);
    let volume = json!({
        "name": "disk",
        "type": "SCALAR",
        "scalar": {"value": 64.0},
        "reservations": [{"type": "STATIC", "role": ROLE}],
        "disk": {
            "persistence": {"id": "kept"},
            "volume": {"container_path": "kept", "mode": "RW"},
        },
    });
    let agent = site.agent(0).id().unwrap();
    let content = json!({"agent_id": {"value": agent}, "volumes": [volume]});
    Master::new(
        site.cluster().master().address().parse().unwrap(),
        Duration::from_secs(30),
    )
    .call("CREATE_VOLUMES", Some(content))
    .unwrap();
    let id = site.volume("v");
    test(&site, &Tasks::connect_in_role(site.cluster(), ROLE), &id);
    site.wait_until_nothing_is_left();
}

#[test]
fn a_volume_at_the_path_of_a_persistent_volume_is_refused_on_every_launch_path() {
    with_persistent_volume(|site, tasks, id| {
        let agent = site.agent(0);
        let holding = || Job::shell("true").persistent_volume("kept");
        let at = |job: Job| job.label("volume.data", id).label("volume.data.path", "kept");
        let named = both("kept", "a persistent volume");
        is_refused("a task", &tasks.launch(agent, at(holding())), &named);
        is_refused(
            "a task in an image",
            &tasks.launch(agent, at(holding()).image(IMAGE)),
            &named,
        );
        let pod = Pod::of([holding()])
            .label("volume.data", id)
            .label("volume.data.path", "kept");
        is_refused("a pod", &tasks.launch_pod(agent, pod)[0], &named);
    });
}

#[test]
fn a_volume_and_a_persistent_volume_at_paths_apart_are_both_there() {
    with_persistent_volume(|site, tasks, id| {
        let agent = site.agent(0);
        let job = |command: &str| Job::shell(command).persistent_volume("kept").label("volume.data", id);
        tasks.finish(agent, job("echo one > data/file && echo two > kept/file"));
        tasks.finish(
            agent,
            job("read one < data/file && read two < kept/file && [ $one$two = onetwo ]").image(IMAGE),
        );
    });
}
