//! Where a volume goes: in the sandbox or in the image, never on the host. Containers with an image, and those that Mesos
//! starts inside another one to look at it.

use std::fs;
use std::path::Path;

use serde_json::json;
use testbed::{AgentSpec, Image, Job};
use tests::{Site, Tasks, finished, module, running};

fn with_image(image: &Image, test: impl FnOnce(&Site, &Tasks, &str)) {
    let registry = tempfile::tempdir().expect("the test's own file system works");
    image
        .save(registry.path(), "tiny")
        .expect("the test's own file system works");
    let site = Site::with_agents(1, &AgentSpec::default().images(registry.path()).module(module()));
    let id = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    test(&site, &tasks, &id);
    site.wait_until_nothing_is_left();
}

fn in_image(command: &str, volume: &str, path: &str) -> Job {
    let job = Job::shell(command).image("tiny").label("volume.data", volume);
    job.label("volume.data.path", path)
}

#[test]
fn in_an_image_a_relative_path_is_in_the_sandbox() {
    with_image(&Image::shell(), |site, tasks, id| {
        tasks.finish(
            site.agent(0),
            in_image("cd deep/data && echo one > file", id, "deep/data"),
        );
        tasks.finish(site.agent(0), Job::shell("grep one data/file").label("volume.data", id));
    });
}

#[test]
fn in_an_image_an_absolute_path_is_in_the_image() {
    with_image(&Image::shell(), |site, tasks, id| {
        tasks.finish(
            site.agent(0),
            in_image("echo one > /var/lib/app/file", id, "/var/lib/app"),
        );
        tasks.finish(site.agent(0), in_image("cat /elsewhere/file", id, "/elsewhere"));
        tasks.finish(site.agent(0), Job::shell("grep one data/file").label("volume.data", id));
        assert!(
            !Path::new("/var/lib/app").exists() && !Path::new("/elsewhere").exists(),
            "not on the host"
        );
    });
}

#[test]
fn in_an_image_a_read_only_volume_cannot_be_written() {
    with_image(&Image::shell(), |site, tasks, id| {
        let command = "if touch /app/file; then exit 1; fi";
        tasks.finish(
            site.agent(0),
            in_image(command, id, "/app").label("volume.data.mode", "ro"),
        );
    });
}

#[test]
fn an_images_symlink_to_the_host_leads_into_the_image() {
    let host = tempfile::tempdir().unwrap();
    let image = Image::shell()
        .folder("/real")
        .link("/inner", "/real")
        .link("/evil", host.path())
        .link("/up", "../../../..");
    with_image(&image, |site, tasks, id| {
        tasks.finish(site.agent(0), in_image("echo one > /real/data/file", id, "/inner/data"));
        tasks.finish(site.agent(0), in_image("cat /top/file", id, "/up/top"));
        // What the link names does not exist in the image, so it is refused; on the host it does.
        let message = tasks.fail(site.agent(0), in_image("true", id, "/evil/data"));
        assert!(message.contains("evil/data"), "{message}");
        assert_eq!(
            fs::read_dir(host.path()).unwrap().count(),
            0,
            "nothing is made on the host"
        );
    });
}

#[test]
fn the_same_volume_goes_to_two_paths() {
    with_image(&Image::shell(), |site, tasks, id| {
        let job = in_image("echo one > /first/file && cat second/file", id, "/first");
        tasks.finish(
            site.agent(0),
            job.label("volume.again", id).label("volume.again.path", "second"),
        );
    });
}

#[test]
fn a_host_path_the_operator_allows_is_seen_by_the_container_alone() {
    let host = tempfile::tempdir().unwrap();
    let allowed = host.path().join("allowed");
    fs::create_dir(&allowed).unwrap();
    let spec = AgentSpec::default().module(module().parameter("allowed_host_paths", host.path().display().to_string()));
    let site = Site::with_agents(1, &spec);
    let id = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let path = allowed.display().to_string();
    let job = Job::shell(format!("echo one > {path}/file")).label("volume.data", &id);
    tasks.finish(site.agent(0), job.label("volume.data.path", &path));
    assert_eq!(
        fs::read_dir(&allowed).unwrap().count(),
        0,
        "the volume was mounted in the container only"
    );
    tasks.finish(
        site.agent(0),
        Job::shell("grep one data/file").label("volume.data", &id),
    );
    site.wait_until_nothing_is_left();
}

#[test]
fn a_session_in_a_task_sees_the_tasks_volume_and_mounts_nothing_of_its_own() {
    let site = Site::start(1);
    let id = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let command = "touch data/seen; until [ -e data/stop ]; do sleep 0.05; done";
    let task = tasks.launch(site.agent(0), Job::shell(command).label("volume.data", &id));
    running(&task);
    let containers = site.agent(0).containers().unwrap();
    let parent = containers
        .iter()
        .find(|container| container.parent.is_none())
        .expect("the task's container");
    let sandbox = site
        .agent(0)
        .sandbox(parent.framework.as_deref().unwrap(), &task.id().0)
        .unwrap();
    let data = sandbox.canonicalize().unwrap().join("data");
    let session = json!({
        "container_id": {"value": "session", "parent": {"value": parent.id}},
        "command": {"value": format!("ls {0} && touch {0}/stop", data.display())},
    });
    let call = json!({"type": "LAUNCH_NESTED_CONTAINER_SESSION", "launch_nested_container_session": session});
    let mut answer = ureq::post(format!("{}/api/v1", site.agent(0).url()))
        .header("Content-Type", "application/json")
        .header("Accept", "application/recordio")
        .header("Message-Accept", "application/json")
        .send(call.to_string())
        .unwrap();
    answer.body_mut().read_to_string().unwrap();
    // The session's file ended the task: it saw the volume, not a folder of its own.
    finished(&task);
    site.wait_until_nothing_is_left();
    assert_eq!(site.steps(&id).len(), 4, "{:?}", site.steps(&id));
}
