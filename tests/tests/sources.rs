//! Volumes that are named otherwise than by labels: as Mesos' own isolator docker/volume takes them, and as
//! mesos-module-dvdi did. Only where the operator has turned the source on, and under every rule that labels are under.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use ebs_emulator::EventKind;
use ebs_emulator::faults::Operation;
use mesos_http::types::TaskState;
use serde_json::json;
use testbed::{AgentSpec, Container, Image, Job, built};
use tests::{
    DRIVER, Site, Tasks, docker_volume, docker_volume_with, end, eventually, finished, module, read_only, running,
    with_docker_volume_isolator, with_volumes,
};

/// An agent whose module reads both sources.
fn both_sources() -> AgentSpec {
    let module = module()
        .parameter("docker_volume_source", "true")
        .parameter("dvdi_source", "true");
    AgentSpec::default().module(module)
}

fn requests(site: &Site, operation: Operation) -> usize {
    let requests = site.events().into_iter();
    requests
        .filter(|event| event.kind == EventKind::Request && event.operation == Some(operation))
        .count()
}

fn created(site: &Site) -> usize {
    let events = site.events().into_iter();
    events.filter(|event| event.kind == EventKind::Create).count()
}

#[test]
fn what_a_task_wrote_under_docker_volume_it_reads_unchanged_under_the_module() {
    let programs = tempfile::tempdir().unwrap();
    let built_in = with_docker_volume_isolator(AgentSpec::default(), programs.path());
    let site = Site::with_agents(1, &built_in);
    let tasks = Tasks::connect(site.cluster());
    let task = |command: &str| {
        let flights = docker_volume_with("data/flights", DRIVER, "flights", &[("size", "1")]);
        with_volumes(Job::shell(command), [flights, docker_volume("stage", DRIVER, "stage")])
    };
    tasks.finish(
        site.agent(0),
        task("echo built-in > data/flights/file && echo too > stage/file"),
    );
    site.wait_until_nothing_is_left();
    assert_eq!(created(&site), 2, "docker/volume creates what is missing");

    site.wait_until_no_container_is_left(site.agent(0));
    let id = site.agent(0).id().unwrap();
    switch_to_the_module(&site);
    assert_eq!(site.agent(0).id().unwrap(), id, "the same agent");
    tasks.finish(
        site.agent(0),
        task("grep built-in data/flights/file && grep too stage/file && echo module >> data/flights/file"),
    );
    let reader = read_only(docker_volume("ro", DRIVER, "flights"));
    tasks.finish(
        site.agent(0),
        with_volumes(Job::shell("grep module ro/file && ! touch ro/new"), [reader]),
    );
    site.wait_until_nothing_is_left();
    assert_eq!(created(&site), 2, "both were there");
}

/// As the page on migrating says.
fn switch_to_the_module(site: &Site) {
    site.agent(0).respecify(|spec| {
        spec.isolation.retain(|name| name != "docker/volume");
        spec.flags.remove("docker_volume_checkpoint_dir");
        spec.module = both_sources().module;
    });
    site.agent(0).restart().expect("the agent takes its new flags");
}

#[test]
fn a_task_of_docker_volume_outlives_the_switch_and_its_volume_is_left_to_the_operator() {
    let programs = tempfile::tempdir().unwrap();
    let site = Site::with_agents(1, &with_docker_volume_isolator(AgentSpec::default(), programs.path()));
    let volume = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let command = "touch data/begun; until [ -e stop ]; do sleep 0.05; done; touch data/ended";
    let user = with_volumes(Job::shell(command), [docker_volume("data", DRIVER, &volume)]);
    let user = tasks.launch(site.agent(0), user);
    running(&user);
    switch_to_the_module(&site);
    let containers = site.agent(0).containers().unwrap();
    let framework = containers[0].framework.clone().expect("a task's container has one");
    let sandbox = site.agent(0).sandbox(&framework, &user.id().0).unwrap();
    fs::write(sandbox.join("stop"), "").unwrap();
    finished(&user);
    site.wait_until_no_container_is_left(site.agent(0));
    assert_eq!(site.mounts().len(), 1, "nobody unmounts it");

    let program = built("mesos-volumes", "mesos-volumes").unwrap_or_else(|error| panic!("{error}"));
    let output = Command::new(program)
        .args(["driver", "unmount", DRIVER, &volume])
        .env("MESOS_VOLUMES_DRIVER_SOCKETS", site.agent(0).drivers())
        .env("MESOS_VOLUMES_RUN_DIR", site.agent(0).folder().join("dvdcli"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    tasks.finish(
        site.agent(0),
        with_volumes(
            Job::shell("ls data/begun data/ended"),
            [docker_volume("data", DRIVER, &volume)],
        ),
    );
    site.wait_until_nothing_is_left();
}

#[test]
fn a_docker_volume_that_is_missing_is_created_with_exactly_its_options() {
    let mut site = Site::with_agents(1, &both_sources());
    let tasks = Tasks::connect(site.cluster());
    let odd = "io2; touch /tmp/external-volumes-pwned $(id) `id` a=b,c=\"d\" 'e' \\ é %s";
    let volume = docker_volume_with("data", DRIVER, "odd", &[("type", odd), ("size", "2")]);
    tasks.finish(site.agent(0), with_volumes(Job::shell("touch data/file"), [volume]));
    site.wait_until_nothing_is_left();
    let variable = "io2=$(touch /tmp/external-volumes-pwned);x=y|z";
    let job = Job::shell("touch dvdi/file").env("DVDI_VOLUME_NAME", "variable");
    tasks.finish(
        site.agent(0),
        job.env("DVDI_VOLUME_OPTS", format!("size=3,type={variable}")),
    );
    site.wait_until_nothing_is_left();

    let described = site.emulator().client().describe().unwrap();
    for (name, kind, size) in [("odd", odd, 2), ("variable", variable, 3)] {
        let volume = described.volumes.iter().find(|volume| volume.name() == Some(name));
        let volume = volume.unwrap_or_else(|| panic!("no volume '{name}': {described:?}"));
        assert_eq!((volume.volume_type.as_str(), volume.size), (kind, size));
    }
    assert!(!Path::new("/tmp/external-volumes-pwned").exists());
}

#[test]
fn a_tasks_variables_mount_two_volumes_where_they_say() {
    let host = tempfile::tempdir().unwrap();
    let inside = host.path().join("inside");
    fs::create_dir(&inside).unwrap();
    let allowed = both_sources().module.map(|module| {
        let host = host.path().display().to_string();
        module.parameter("allowed_host_paths", host)
    });
    let spec = AgentSpec {
        module: allowed,
        ..AgentSpec::default()
    };
    let site = Site::with_agents(1, &spec);
    let (first, second) = (site.volume("first"), site.volume("second"));
    let tasks = Tasks::connect(site.cluster());
    let path = inside.display().to_string();
    let job = |command: String| {
        Job::shell(command)
            .env("DVDI_VOLUME_NAME", &first)
            .env("DVDI_VOLUME_DRIVER", DRIVER)
            .env("DVDI_VOLUME_NAME1", &second)
            .env("DVDI_VOLUME_CONTAINERPATH1", &path)
            .env("DVDI_VOLUME_EXPLICITCREATE1", "true")
    };
    tasks.finish(
        site.agent(0),
        job(format!("echo one > dvdi/file && echo two > {path}/file")),
    );
    assert_eq!(fs::read_dir(&inside).unwrap().count(), 0, "the host does not see it");
    for (volume, word) in [(&first, "one"), (&second, "two")] {
        let reads = Job::shell(format!("grep {word} data/file")).label("volume.data", volume);
        tasks.finish(site.agent(0), reads);
    }
    site.wait_until_nothing_is_left();
    assert_eq!(requests(&site, Operation::Create), 0, "both were there");
}

#[test]
fn in_an_image_absolute_paths_are_in_the_image_and_relative_ones_in_the_sandbox() {
    let registry = tempfile::tempdir().unwrap();
    let host = tempfile::tempdir().unwrap();
    let image = Image::shell().link("/evil", host.path());
    image.save(registry.path(), "tiny").unwrap();
    let site = Site::with_agents(1, &both_sources().images(registry.path()));
    let (first, second) = (site.volume("first"), site.volume("second"));
    let tasks = Tasks::connect(site.cluster());
    let agent = site.agent(0);
    let volumes = [
        docker_volume("/var/lib/source", DRIVER, &first),
        docker_volume("deep/data", DRIVER, &second),
    ];
    let job = Job::shell("echo one > /var/lib/source/file && echo two > deep/data/file").image("tiny");
    tasks.finish(agent, with_volumes(job, volumes));
    let variables = Job::shell("cat /srv/source/file && cat dvdi1/file").image("tiny");
    let variables = variables
        .env("DVDI_VOLUME_NAME", &first)
        .env("DVDI_VOLUME_CONTAINERPATH", "/srv/source")
        .env("DVDI_VOLUME_NAME1", &second);
    tasks.finish(agent, variables);
    assert!(!Path::new("/var/lib/source").exists() && !Path::new("/srv/source").exists());

    let evil = with_volumes(
        Job::shell("true").image("tiny"),
        [docker_volume("/evil/data", DRIVER, &first)],
    );
    let message = tasks.fail(agent, evil);
    assert!(
        message.contains("ContainerInfo.volumes[0]") && message.contains("evil/data"),
        "{message}"
    );
    let evil = Job::shell("true").image("tiny").env("DVDI_VOLUME_NAME", &first);
    let message = tasks.fail(agent, evil.env("DVDI_VOLUME_CONTAINERPATH", "/evil/data"));
    assert!(
        message.contains("DVDI_VOLUME_NAME") && message.contains("evil/data"),
        "{message}"
    );
    assert_eq!(
        fs::read_dir(host.path()).unwrap().count(),
        0,
        "nothing is made on the host"
    );
    site.wait_until_nothing_is_left();
}

#[test]
fn sources_that_are_not_turned_on_are_left_alone_and_the_log_says_so_once() {
    let site = Site::start(1);
    let volume = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let job = || {
        let job = Job::shell("[ ! -e dvdi ] && ! touch data/file");
        with_volumes(job, [docker_volume("data", DRIVER, &volume)]).env("DVDI_VOLUME_NAME", &volume)
    };
    tasks.finish(site.agent(0), job());
    tasks.finish(site.agent(0), job());
    assert_eq!(
        requests(&site, Operation::Mount) + requests(&site, Operation::Get),
        0,
        "no driver is asked"
    );
    let log = site.agent(0).log();
    for parameter in ["docker_volume_source", "dvdi_source"] {
        let told = log.lines().filter(|line| line.contains(&format!("{parameter} is off")));
        assert_eq!(told.count(), 1, "{parameter}");
    }
}

#[test]
fn a_docker_volume_outlives_the_agent_that_mounted_it() {
    let site = Site::with_agents(1, &both_sources());
    let volume = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let command = "until [ -e data/stop ]; do sleep 0.05; done";
    let data = || [docker_volume("data", DRIVER, &volume)];
    let user = tasks.launch(site.agent(0), with_volumes(Job::shell(command), data()));
    running(&user);
    site.agent(0).kill().unwrap();
    site.agent(0).restart().unwrap();
    tasks.finish(site.agent(0), with_volumes(Job::shell("touch data/stop"), data()));
    finished(&user);
    site.wait_until_nothing_is_left();
    assert_eq!(requests(&site, Operation::Mount), 1);
}

#[test]
fn a_standalone_container_has_the_docker_volumes_of_its_own() {
    let site = Site::with_agents(1, &both_sources());
    let volume = site.volume("v");
    let source = json!({"type": "DOCKER_VOLUME", "docker_volume": {"driver": DRIVER, "name": volume}});
    let container = json!({
        "container_id": {"value": "standalone"},
        "command": {"value": "touch data/standalone"},
        "container": {"type": "MESOS", "volumes": [{"container_path": "data", "mode": "RW", "source": source}]},
    });
    let agent = site.agent(0);
    agent
        .call(&json!({"type": "LAUNCH_CONTAINER", "launch_container": container}))
        .unwrap();
    site.wait_until_no_container_is_left(agent);
    let tasks = Tasks::connect(site.cluster());
    tasks.finish(agent, Job::shell("ls data/standalone").label("volume.data", &volume));
    site.wait_until_nothing_is_left();
}

#[test]
fn a_nested_container_has_docker_volumes_of_its_own_and_its_parents_stay_there() {
    let site = Site::with_agents(1, &both_sources());
    let (outer, inner) = (site.volume("outer"), site.volume("inner"));
    let tasks = Tasks::connect(site.cluster());
    let agent = site.agent(0);
    let waits = Job::shell("until [ -e stop ]; do sleep 0.05; done; [ -e data/outer ] && [ ! -e data/inner ]");
    let waits = with_volumes(waits, [docker_volume("data", DRIVER, &outer)]);
    let task = tasks.launch(agent, waits.env("DVDI_VOLUME_NAME", "not-even-there"));
    running(&task);
    tasks.finish(
        agent,
        with_volumes(Job::shell("touch data/outer"), [docker_volume("data", DRIVER, &outer)]),
    );
    let containers = agent.containers().unwrap();
    let is_of_task = |container: &&Container| container.executor.as_deref() == Some(task.id().0.as_str());
    let parent = containers.iter().find(is_of_task).expect("the task's container");
    let framework = parent.framework.clone().expect("a task's container has one");
    let sandbox = agent.sandbox(&framework, &task.id().0).unwrap();
    let source = json!({"type": "DOCKER_VOLUME", "docker_volume": {"driver": DRIVER, "name": inner}});
    let volumes = json!([{"container_path": "data", "mode": "RW", "source": source}]);
    let container_id = json!({"value": "nested", "parent": {"value": parent.id}});
    let launch = json!({
        "container_id": container_id,
        "command": {"value": "[ ! -e data/outer ] && [ ! -e dvdi ] && touch data/inner"},
        "container": {"type": "MESOS", "volumes": volumes},
    });
    agent
        .call(&json!({"type": "LAUNCH_NESTED_CONTAINER", "launch_nested_container": launch}))
        .unwrap();
    let wait = json!({"type": "WAIT_NESTED_CONTAINER", "wait_nested_container": {"container_id": container_id}});
    let ended = agent.call(&wait).unwrap();
    assert_eq!(ended["wait_nested_container"]["exit_status"], 0, "{ended}");
    fs::write(sandbox.join("stop"), "").unwrap();
    finished(&task);
    tasks.finish(agent, Job::shell("ls data/inner").label("volume.data", &inner));
    site.wait_until_nothing_is_left();
}

#[test]
fn the_policy_and_a_required_claim_hold_whoever_asks() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.json");
    let rule = r#"{"name": "nothing new", "effect": "deny", "create": true, "volumes": ["new-*"]}"#;
    let policy = format!(r#"{{"version": 1, "default": "allow", "rules": [{rule}]}}"#);
    fs::write(&file, policy).unwrap();
    let mut spec = both_sources().volumes(["known"]);
    spec.module = spec.module.map(|mut module| {
        module.parameters.retain(|(key, _)| key != "policy");
        let module = module.parameter("policy", file.display().to_string());
        module.parameter("require_claim", "true")
    });
    let site = Site::with_agents(1, &spec);
    site.volume("known");
    let tasks = Tasks::connect(site.cluster());
    let named = |name: &str| with_volumes(Job::shell("touch data/file"), [docker_volume("data", DRIVER, name)]);
    tasks.finish(site.agent(0), named("known").items("ebsvolumes", ["known"]));
    let message = tasks.fail(site.agent(0), named("known"));
    assert!(
        message.contains("ContainerInfo.volumes[0] = 'known': [denied] this agent requires tasks to reserve their volumes: add 'known'"),
        "{message}"
    );
    let message = tasks.fail(site.agent(0), Job::shell("true").env("DVDI_VOLUME_NAME3", "known"));
    assert!(
        message.contains("DVDI_VOLUME_NAME3 = 'known': [denied] this agent requires tasks to reserve their volumes"),
        "{message}"
    );
    site.wait_until_nothing_is_left();

    site.agent(0).respecify(|spec| {
        let module = spec.module.as_mut().expect("it has one");
        module.parameters.retain(|(key, _)| key != "require_claim");
    });
    site.agent(0).restart().unwrap();
    let message = tasks.fail(site.agent(0), named("new-volume"));
    assert!(
        message.contains("ContainerInfo.volumes[0]")
            && message.contains("does not exist")
            && message.contains("rule 1 'nothing new' of this agent's policy denies that it is created"),
        "{message}"
    );
    let explicit = Job::shell("true")
        .env("DVDI_VOLUME_NAME", "new-volume")
        .env("DVDI_VOLUME_EXPLICITCREATE", "true");
    let message = tasks.fail(site.agent(0), explicit);
    assert!(
        message.contains("DVDI_VOLUME_NAME") && message.contains("does not exist"),
        "the rule is about creation only: {message}"
    );
    assert_eq!(created(&site), 1, "by the test alone");
    site.wait_until_nothing_is_left();
}

/// A job that must be refused, and words of the refusal.
type Case = (Job, &'static str);

fn touches() -> Job {
    Job::shell("touch /tmp/external-volumes-source-ran")
}

fn hostile_variables(volume: &str) -> Vec<Case> {
    let long = "x".repeat(5000);
    let with = |name: &str, value: &str| touches().env("DVDI_VOLUME_NAME1", volume).env(name, value);
    let named = |name: &str| {
        let job = touches().env("DVDI_VOLUME_NAME1", name);
        job.env("DVDI_VOLUME_EXPLICITCREATE1", "true")
    };
    vec![
        (
            with("DVDI_VOLUME_OPTS1", "; touch /tmp/external-volumes-source-pwned"),
            "DVDI_VOLUME_OPTS1",
        ),
        (with("DVDI_VOLUME_OPTS1", "$(reboot)"), "no KEY=VALUE"),
        (with("DVDI_VOLUME_OPTS1", "size=1\n2"), "control characters"),
        (with("DVDI_VOLUME_OPTS1", &format!("k={long}")), "too long"),
        (with("DVDI_VOLUME_OPTS1", &format!("{long}=k")), "longer than 255 bytes"),
        (
            with(
                "DVDI_VOLUME_OPTS1",
                &(0..65).map(|n| format!("k{n}=v,")).collect::<String>(),
            ),
            "more than 64 driver options",
        ),
        (
            with(
                "DVDI_VOLUME_CONTAINERPATH1",
                "/tmp/x;touch /tmp/external-volumes-source-pwned",
            ),
            "allowed_host_paths",
        ),
        (with("DVDI_VOLUME_CONTAINERPATH1", "/tmp"), "allowed_host_paths"),
        (with("DVDI_VOLUME_CONTAINERPATH1", "/tmp/../etc"), "'..'"),
        (with("DVDI_VOLUME_CONTAINERPATH1", "../outside"), "'..'"),
        (with("DVDI_VOLUME_CONTAINERPATH1", "/proc/1/root"), "DVDI_VOLUME_NAME1"),
        (with("DVDI_VOLUME_CONTAINERPATH1", "a\nb"), "control characters"),
        (with("DVDI_VOLUME_CONTAINERPATH1", &long), "longer than 1024 bytes"),
        (with("DVDI_VOLUME_DRIVER1", "../ebs"), "DVDI_VOLUME_NAME1"),
        (with("DVDI_VOLUME_DRIVER1", "/bin/sh -c reboot"), "DVDI_VOLUME_NAME1"),
        (with("DVDI_VOLUME_DRIVER1", &long), "longer than 255 bytes"),
        (
            with("DVDI_VOLUME_EXPLICITCREATE1", "true;id"),
            "DVDI_VOLUME_EXPLICITCREATE1",
        ),
        (with("DVDI_VOLUME_SHELL1", "/bin/sh"), "'DVDI_VOLUME_SHELL1' is none of"),
        (with("DVDI_VOLUME_NAME11", "v"), "'DVDI_VOLUME_NAME11' is none of"),
        (named("../../etc/passwd"), "the name has '/'"),
        (
            named("v`touch /tmp/external-volumes-source-pwned`"),
            "the name has a space",
        ),
        (named("v`touch${IFS}external-volumes-source-pwned`"), "does not exist"),
        (named("v\r\nX-Header: 1"), "control characters"),
        (named(&long), "longer than 255 bytes"),
    ]
}

fn hostile_volumes(volume: &str) -> Vec<Case> {
    let long = "x".repeat(5000);
    let at = |path: &str| with_volumes(touches(), [docker_volume(path, DRIVER, volume)]);
    let with = |key: &str, value: &str| {
        let volume = docker_volume_with("data", DRIVER, "hostile", &[(key, value)]);
        with_volumes(touches(), [volume])
    };
    let by = |driver: &str, name: &str| with_volumes(touches(), [docker_volume("data", driver, name)]);
    vec![
        (at("../outside"), "'..'"),
        (at("/../../outside"), "'..'"),
        (at("a/../../../outside"), "'..'"),
        (at("/etc"), "allowed_host_paths"),
        (at("/nonexistent/host/path"), "allowed_host_paths"),
        (at("a\u{1b}[31mb"), "control characters"),
        (at("."), "ContainerInfo.volumes[0].container_path"),
        (with("size", "1\n2"), "control characters"),
        (with("size", &long), "too long"),
        (with("", "v"), "the key is empty"),
        (by("../ebs", "v"), "ContainerInfo.volumes[0]"),
        (by("", "v"), "source.docker_volume.driver"),
        (by(DRIVER, "v\r\nX-Header: 1"), "control characters"),
        (by(DRIVER, &long), "longer than 255 bytes"),
        (
            with_volumes(
                touches(),
                [
                    docker_volume("data", DRIVER, volume),
                    docker_volume("./data/", DRIVER, volume),
                ],
            ),
            "ContainerInfo.volumes[0] and ContainerInfo.volumes[1] both mount at 'data'",
        ),
    ]
}

#[test]
fn every_hostile_volume_and_variable_is_refused_in_one_line_and_nothing_is_made() {
    let site = Site::with_agents(1, &both_sources().resources("cpus:32;mem:16384;disk:4096"));
    let volume = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let cases = [hostile_variables(&volume), hostile_volumes(&volume)].concat();
    let launched = tasks.launch_all(site.agent(0), cases.iter().map(|(job, _)| job.clone()));
    for (task, (_, words)) in launched.iter().zip(&cases) {
        let status = end(task);
        let message = status.message.unwrap_or_default();
        assert_eq!(status.state, TaskState::Failed, "{words}: {message}");
        assert!(message.contains(words), "'{words}' is not in: {message}");
        assert!(!message.chars().any(char::is_control), "{words}: {message:?}");
        assert!(message.len() < 2000, "{words}: {} bytes", message.len());
    }
    for made in [
        "/tmp/external-volumes-source-ran",
        "/tmp/external-volumes-source-pwned",
        "/nonexistent",
    ] {
        assert!(!Path::new(made).exists(), "{made}");
    }
    site.wait_until_nothing_is_left();
    assert_eq!(created(&site), 1, "nothing is created on the way");
}

#[test]
fn a_program_that_a_variable_names_is_not_run() {
    let site = Site::with_agents(1, &both_sources());
    let volume = site.volume("v");
    let folder = tempfile::tempdir().unwrap();
    let (program, proof) = (folder.path().join("dvdcli"), folder.path().join("ran"));
    fs::write(&program, format!("#!/bin/sh\ntouch {}\necho /tmp\n", proof.display())).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let tasks = Tasks::connect(site.cluster());
    let job = Job::shell("touch dvdi/file").env("DVDI_VOLUME_NAME", &volume);
    tasks.finish(
        site.agent(0),
        job.env("DVDI_VOLUME_DVDCLI", program.display().to_string()),
    );
    site.wait_until_nothing_is_left();
    assert!(!proof.exists());
    eventually("the volume is mounted by its driver", || {
        (requests(&site, Operation::Mount) == 1)
            .then_some(())
            .ok_or_else(|| format!("{:?}", site.steps(&volume)))
    });
}
