//! What the test suites of Mesos, Nomad and the kubelet ask of an agent's volumes when the agent itself, or another part of it, has its
//! own plans: the agent is drained or comes back under a new id, it enforces quotas and removes sandboxes, and another isolator
//! refuses a container that has its volume already.
#![allow(clippy::unwrap_used, reason = "a fixture that cannot be set up fails its test")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ebs_emulator::{Action, EventKind, FaultRule, Operation};
use mesos_http::operator::{Agent as AgentApi, ContainerLaunch, Master};
use mesos_http::types::{CommandInfo, ContainerId, ContainerInfo, Reason, TaskState};
use rustix::mount::mount_bind;
use serde_json::{Value, json};
use testbed::{Agent, AgentSpec, Job, LaunchedTask, Pod, built, mounts_below};
use tests::{Site, Tasks, end, eventually, finished, module, running};

const LIMIT: Duration = Duration::from_secs(60);

/// Runs until a file `stop` appears in the volume.
const UNTIL_STOPPED: &str = "until [ -e data/stop ]; do sleep 0.05; done";

const EVERY_STEP: [&str; 4] = ["host-0: attach", "host-0: mount", "host-0: unmount", "host-0: detach"];

fn spacious() -> AgentSpec {
    AgentSpec::default()
        .resources("cpus:16;mem:8192;disk:4096")
        .module(module())
}

/// A pod with the volume at `data`.
fn pod(volume: &str, member: Job) -> Pod {
    Pod::of([member]).label("volume.data", volume)
}

/// Waits until a task, which may be running before its command is, has written a file to the volume of this name.
fn is_written(site: &Site, volume: &str, file: &str) {
    eventually("the task writes to its volume", || {
        let mounts = site.mounts();
        let mount = mounts.iter().find(|mount| mount.target.ends_with(volume));
        let path = mount.ok_or("it is not mounted")?.target.join("data").join(file);
        match fs::read_to_string(&path) {
            Ok(text) if text.ends_with('\n') => Ok(()),
            other => Err(format!("{}: {other:?}", path.display())),
        }
    });
}

/// How many calls of this kind the driver has got.
fn calls(site: &Site, operation: Operation) -> usize {
    let events = site.events();
    let is_one = |event: &&ebs_emulator::Event| event.kind == EventKind::Request && event.operation == Some(operation);
    events.iter().filter(is_one).count()
}

/// Each volume was mounted and unmounted once, by one call each.
fn each_was_mounted_and_unmounted_once(site: &Site, volumes: &[String]) {
    for volume in volumes {
        assert_eq!(site.steps(volume), EVERY_STEP);
    }
    assert_eq!(calls(site, Operation::Mount), volumes.len());
    assert_eq!(calls(site, Operation::Unmount), volumes.len());
}

/// Starts a container inside that of a command task, by the agent's API.
fn nest(agent: &Agent, task: &LaunchedTask) {
    let containers = agent.containers().unwrap();
    let around = containers
        .iter()
        .find(|container| container.executor.as_deref() == Some(task.id().as_str()))
        .expect("the task has a container");
    let id = ContainerId {
        value: "nested".to_owned(),
        parent: Some(Box::new(ContainerId {
            value: around.id.clone(),
            parent: None,
        })),
    };
    AgentApi::new(agent.address().parse().unwrap(), LIMIT)
        .launch_nested_container(&ContainerLaunch::new(id, CommandInfo::shell("sleep 1000")))
        .unwrap_or_else(|error| panic!("{error}"));
}

/// An operator removes the link to what the agent recovers from when it refuses to start with changed resources.
#[test]
fn an_agent_that_comes_back_under_a_new_id_lets_go_of_all_volumes_of_its_earlier_life_once() {
    let site = Site::with_agents(1, &spacious());
    let agent = site.agent(0);
    let names = ["task", "pod"];
    let volumes = names.map(|name| site.volume(name));
    let tasks = Tasks::connect(site.cluster());
    let command = format!("echo kept > data/file; {UNTIL_STOPPED}");
    let task = tasks.launch(agent, Job::shell(&command).label("volume.data", &volumes[0]));
    running(&task);
    let members = tasks.launch_pod(agent, pod(&volumes[1], Job::shell(&command)));
    members.iter().for_each(running);
    for name in names {
        is_written(&site, name, "file");
    }
    nest(agent, &task);
    assert_eq!(
        agent.containers().unwrap().len(),
        4,
        "a task, one in it, a pod, its member"
    );

    let earlier = agent.id().unwrap();
    agent.kill().unwrap();
    fs::remove_file(agent.work_dir().join("meta/slaves/latest")).unwrap();
    agent.restart().unwrap_or_else(|error| panic!("{error}"));
    assert_ne!(agent.id().unwrap(), earlier);
    site.wait_until_nothing_is_left();
    site.wait_until_no_container_is_left(agent);
    each_was_mounted_and_unmounted_once(&site, &volumes);

    for volume in &volumes {
        tasks.finish(agent, Job::shell("grep kept data/file").label("volume.data", volume));
    }
    site.wait_until_nothing_is_left();
}

/// How far the draining of the only agent is.
fn draining(master: &Master) -> Value {
    let answer = master
        .call("GET_AGENTS", None)
        .unwrap_or_else(|error| panic!("{error}"));
    answer["get_agents"]["agents"][0]["drain_info"]["state"].clone()
}

/// What `mesos-volumes ls` lists on the agent's host.
fn listed(agent: &Agent) -> usize {
    let program = built("mesos-volumes", "mesos-volumes").unwrap_or_else(|error| panic!("{error}"));
    let output = Command::new(program)
        .args(["ls", "--json", "--state-dir"])
        .arg(agent.state_dir())
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let volumes = report["volumes"].as_array();
    volumes.unwrap_or_else(|| panic!("no volumes in {report}")).len()
}

/// The master calls an agent drained when the last update of a task is acknowledged, and does not wait for containers to be gone.
#[test]
fn a_drained_agent_lets_go_of_all_volumes_and_the_command_line_says_when_that_is_done() {
    let mut site = Site::with_agents(1, &spacious());
    let volumes = ["task", "pod"].map(|name| site.volume(name));
    let slow = FaultRule::new(Operation::Unmount, Action::Hang);
    site.emulator().client().fault(&slow).unwrap();
    let agent = site.agent(0);
    let tasks = Tasks::connect(site.cluster());
    let task = tasks.launch(agent, Job::shell(UNTIL_STOPPED).label("volume.data", &volumes[0]));
    running(&task);
    let members = tasks.launch_pod(agent, pod(&volumes[1], Job::shell(UNTIL_STOPPED)));
    members.iter().for_each(running);

    let master = Master::new(site.cluster().master().address().parse().unwrap(), LIMIT);
    let content = json!({"agent_id": {"value": agent.id().unwrap()}});
    master.call("DRAIN_AGENT", Some(content)).unwrap();
    eventually("the agent is drained", || match draining(&master) {
        state if state == "DRAINED" => Ok(()),
        state => Err(format!("{state}")),
    });
    for task in [&task].into_iter().chain(&members) {
        let status = end(task);
        assert_eq!(status.state, TaskState::Killed, "{status:?}");
    }
    for volume in &volumes {
        assert_eq!(site.steps(volume), EVERY_STEP[..2], "it is still mounted");
    }
    assert_eq!(listed(agent), volumes.len());

    site.emulator().client().clear_faults(None).unwrap();
    site.wait_until_nothing_is_left();
    each_was_mounted_and_unmounted_once(&site, &volumes);
    eventually("nothing is listed", || match listed(site.agent(0)) {
        0 => Ok(()),
        more => Err(format!("{more} volumes")),
    });
}

/// What Mesos says about a container's disk: used bytes, once it has looked.
fn disk_used(agent: &Agent, task: &LaunchedTask) -> Result<u64, String> {
    let answer = agent
        .call(&json!({"type": "GET_CONTAINERS"}))
        .map_err(|error| error.to_string())?;
    let containers = answer["get_containers"]["containers"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let container = containers
        .iter()
        .find(|container| container["executor_id"]["value"] == task.id().as_str())
        .ok_or("the task has no container")?;
    let used = &container["resource_statistics"]["disk_used_bytes"];
    used.as_u64()
        .ok_or_else(|| format!("no disk_used_bytes in {container}"))
}

#[test]
fn the_quota_of_a_sandbox_does_not_count_what_is_in_a_volume() {
    let spec = spacious()
        .isolator("disk/du")
        .flag("enforce_container_disk_quota", "true")
        .flag("container_disk_watch_interval", "200ms");
    let site = Site::with_agents(1, &spec);
    let agent = site.agent(0);
    let id = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let write = |file: &str, mib: u64| format!("head -c {mib}M /dev/zero > {file} && sync {file}");
    // Who sees the second file in the sandbox's usage has measured after the first was written.
    let (quota, in_volume, in_sandbox) = (32, 64, 4);
    let command = format!(
        "{} && {} && {UNTIL_STOPPED}",
        write("data/file", in_volume),
        write("seen", in_sandbox)
    );
    let task = tasks.launch(agent, Job::shell(command).disk(quota as f64).label("volume.data", &id));
    running(&task);
    let used = eventually("Mesos has measured the sandbox", || match disk_used(agent, &task)? {
        used if used >= in_sandbox << 20 => Ok(used),
        used => Err(format!("{used} bytes")),
    });
    assert!(used < 2 * (in_sandbox << 20), "{used} bytes are in the sandbox");

    let control = format!("{}; sleep 1000", write("file", in_volume));
    let status = end(&tasks.launch(agent, Job::shell(control).disk(quota as f64)));
    assert_eq!(status.state, TaskState::Failed, "{status:?}");
    assert_eq!(
        status.reason.as_ref().map(Reason::as_str),
        Some("REASON_CONTAINER_LIMITATION_DISK"),
        "{status:?}"
    );
    tasks.finish(agent, Job::shell("touch data/stop").label("volume.data", &id));
    finished(&task);
    site.wait_until_nothing_is_left();
}

/// Where the sandbox of an executor really is.
fn sandbox(agent: &Agent, tasks: &Tasks, executor: &str) -> PathBuf {
    let sandbox = agent.sandbox(tasks.framework(), executor).unwrap();
    sandbox.canonicalize().unwrap()
}

fn is_collected(sandbox: &Path) {
    eventually("the sandbox is removed", || match sandbox.try_exists() {
        Ok(false) => Ok(()),
        other => Err(format!("{}: {other:?}", sandbox.display())),
    });
}

/// What the host has mounted in a sandbox. Before it removes a sandbox, Mesos unmounts whatever it
/// finds there (MESOS-8830), so the files of a volume survive a mount that is left behind, and only
/// the mount table tells of it.
fn nothing_is_mounted_in(sandbox: &Path) -> Result<(), String> {
    let mounts = mounts_below(sandbox).map_err(|error| error.to_string())?;
    match mounts.is_empty() {
        true => Ok(()),
        false => Err(format!("mounted in a sandbox of the host: {mounts:?}")),
    }
}

#[test]
fn the_removal_of_old_sandboxes_spares_volumes_in_use_and_those_that_could_not_be_unmounted() {
    remove_sandboxes(|_, _| {}).unwrap_or_else(|problem| panic!("{problem}"));
}

/// The fault that the test above is to find is planted by hand: a bind of the volume in the
/// sandbox, where the host sees it.
#[test]
fn a_bind_that_is_left_in_a_sandbox_would_be_noticed() {
    let problem = remove_sandboxes(|volume, sandbox| {
        let left = sandbox.join("left");
        fs::create_dir(&left).unwrap();
        mount_bind(volume, &left).unwrap();
    })
    .expect_err("the bind is noticed");
    assert!(problem.contains("/left"), "{problem}");
}

/// Runs tasks and a pod with one volume until Mesos has removed their sandboxes. `plant` gets the
/// volume's folder and the sandbox of the task that runs the longest, and may leave something
/// behind there.
fn remove_sandboxes(plant: impl FnOnce(&Path, &Path)) -> Result<(), String> {
    let spec = spacious()
        .flag("gc_delay", "1secs")
        .flag("gc_disk_headroom", "0")
        .flag("disk_watch_interval", "500ms");
    let mut site = Site::with_agents(1, &spec);
    let id = site.volume("v");
    let refused = Action::Fail {
        message: "not now".to_owned(),
    };
    site.emulator()
        .client()
        .fault(&FaultRule::new(Operation::Unmount, refused))
        .unwrap();
    let agent = site.agent(0);
    let tasks = Tasks::connect(site.cluster());
    let task = tasks.launch(
        agent,
        Job::shell(format!("echo kept > data/file; {UNTIL_STOPPED}")).label("volume.data", &id),
    );
    running(&task);
    is_written(&site, "v", "file");
    let group = pod(&id, Job::shell(UNTIL_STOPPED));
    let executor = group.executor_id().to_owned();
    let members = tasks.launch_pod(agent, group);
    members.iter().for_each(running);
    let mut volume = site.mounts();
    assert_eq!(volume.len(), 1, "{volume:?}");
    let volume = volume.remove(0).target.join("data");
    let is_kept = || {
        let text = fs::read_to_string(volume.join("file"));
        assert_eq!(text.ok().as_deref(), Some("kept\n"));
    };

    let short = tasks.launch(agent, Job::shell("true").label("volume.data", &id));
    finished(&short);
    is_collected(&agent.sandbox(tasks.framework(), short.id().as_str()).unwrap());
    is_kept();

    let sandboxes = [task.id().as_str(), &executor].map(|executor| sandbox(agent, &tasks, executor));
    plant(&volume, &sandboxes[0]);
    let mounted = sandboxes.iter().try_for_each(|sandbox| nothing_is_mounted_in(sandbox));
    fs::write(volume.join("stop"), "").unwrap();
    finished(&task);
    members.iter().for_each(finished);
    sandboxes.iter().for_each(|sandbox| is_collected(sandbox));
    assert!(calls(&site, Operation::Unmount) > 0, "an Unmount was refused");
    assert_eq!(site.steps(&id), EVERY_STEP[..2], "it is still mounted");
    is_kept();

    site.emulator().client().clear_faults(None).unwrap();
    site.wait_until_nothing_is_left();
    tasks.finish(
        site.agent(0),
        Job::shell("grep kept data/file").label("volume.data", &id),
    );
    site.wait_until_nothing_is_left();
    mounted
}

/// A network of CNI whose plugin writes down what is mounted and then refuses. Since Mesos 1.6 modules prepare a container after all
/// isolators of Mesos; these join its network when that is done.
fn network_that_refuses(folder: &Path) -> AgentSpec {
    let (plugins, networks) = (folder.join("plugins"), folder.join("networks"));
    for made in [&plugins, &networks] {
        fs::create_dir(made).unwrap();
    }
    let network = json!({"cniVersion": "0.2.0", "name": "full", "type": "refusing"});
    fs::write(networks.join("full.conf"), network.to_string()).unwrap();
    let answer = json!({"cniVersion": "0.2.0", "code": 100, "msg": "no address is free"});
    let plugin = format!(
        "#!/bin/sh\n[ \"$CNI_COMMAND\" = ADD ] || exit 0\ncat /proc/self/mountinfo >> {}/mounted\necho '{answer}'\nexit 1\n",
        folder.display()
    );
    let program = plugins.join("refusing");
    fs::write(&program, plugin).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    spacious()
        .isolator("network/cni")
        .flag("network_cni_plugins_dir", plugins.display().to_string())
        .flag("network_cni_config_dir", networks.display().to_string())
}

fn in_network() -> ContainerInfo {
    let mut container = ContainerInfo::mesos();
    container
        .other
        .insert("network_infos".to_owned(), json!([{"name": "full"}]));
    container
}

#[test]
fn a_volume_is_unmounted_once_when_an_isolator_of_mesos_fails_after_it_was_mounted() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::with_agents(1, &network_that_refuses(folder.path()));
    let agent = site.agent(0);
    let names = ["task", "pod"];
    let volumes = names.map(|name| site.volume(name));
    let tasks = Tasks::connect(site.cluster());
    let job = Job::shell("true").label("volume.data", &volumes[0]);
    let message = tasks.fail(agent, job.with(|task| task.container = Some(in_network())));
    assert!(message.contains("no address is free"), "{message}");
    let group = pod(&volumes[1], Job::shell("true")).with(|executor| executor.container = Some(in_network()));
    let message = end(&tasks.launch_pod(agent, group)[0]).message.unwrap_or_default();
    assert!(message.contains("no address is free"), "{message}");
    site.wait_until_nothing_is_left();
    site.wait_until_no_container_is_left(agent);
    each_was_mounted_and_unmounted_once(&site, &volumes);
    let mounted = fs::read_to_string(folder.path().join("mounted")).unwrap();
    for name in names {
        let mountpoint = format!("/volumes/{name} ");
        assert!(
            mounted.contains(&mountpoint),
            "{name} was not mounted before: {mounted}"
        );
    }
    for volume in &volumes {
        tasks.finish(agent, Job::shell("touch data/file").label("volume.data", volume));
    }
    site.wait_until_nothing_is_left();
}

/// Before 1.6 isolators prepare a container in the order of `--isolation`.
#[test]
fn a_volume_is_unmounted_once_when_the_isolator_behind_the_module_refuses_the_container() {
    let order = format!("filesystem/linux,{},volume/sandbox_path", tests::MODULE);
    let site = Site::on_mesos("1.5.3", &spacious().flag("isolation", order));
    let agent = site.agent(0);
    let id = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    // Only a nested container has a sandbox around its own.
    let source = json!({"type": "SANDBOX_PATH", "sandbox_path": {"type": "PARENT", "path": "shown"}});
    let volume = json!({"container_path": "seen", "mode": "RW", "source": source});
    let container = ContainerInfo::mesos().with_volume(serde_json::from_value(volume).unwrap());
    let job = Job::shell("true").label("volume.data", &id);
    let message = tasks.fail(agent, job.with(|task| task.container = Some(container)));
    assert!(message.contains("PARENT"), "{message}");
    site.wait_until_nothing_is_left();
    each_was_mounted_and_unmounted_once(&site, &[id]);
}
