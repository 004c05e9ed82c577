//! Several sources that name volumes for one container: labels, `ContainerInfo.volumes`, variables. All of what they name is
//! mounted, or the container is refused with a message that names both.

use std::time::{Duration, Instant};

use ebs_emulator::{Action, FaultRule, Operation};
use serde_json::json;
use testbed::{AgentSpec, Job, Module, Pod};
use tests::{DRIVER, Site, Tasks, docker_volume, finished, module, module_without_policy, read_only, with_volumes};

fn with_sources(module: Module) -> AgentSpec {
    let module = module
        .parameter("docker_volume_source", "true")
        .parameter("dvdi_source", "true");
    AgentSpec::default().module(module)
}

#[test]
fn labels_docker_volumes_and_variables_of_one_task_are_all_mounted() {
    let site = Site::with_agents(1, &with_sources(module()));
    let (label, volume, variable) = (site.volume("label"), site.volume("volume"), site.volume("variable"));
    let tasks = Tasks::connect(site.cluster());
    let job = Job::shell("touch data/by-label && touch volume/by-volume && touch dvdi/by-variable");
    let job = with_volumes(job, [docker_volume("volume", DRIVER, &volume)]);
    tasks.finish(
        site.agent(0),
        job.env("DVDI_VOLUME_NAME", &variable).label("volume.data", &label),
    );
    for (name, file) in [(&label, "by-label"), (&volume, "by-volume"), (&variable, "by-variable")] {
        let reads = Job::shell(format!("[ \"$(ls data | grep by-)\" = {file} ]")).label("volume.data", name);
        tasks.finish(site.agent(0), reads);
    }
    site.wait_until_nothing_is_left();
}

#[test]
fn two_sources_that_contradict_each_other_refuse_the_task_and_are_both_named() {
    let site = Site::with_agents(1, &with_sources(module()));
    let (one, two) = (site.volume("one"), site.volume("two"));
    let tasks = Tasks::connect(site.cluster());
    let agent = site.agent(0);
    let labelled = || Job::shell("touch data/file").label("volume.data", &one);
    let message = tasks.fail(agent, with_volumes(labelled(), [docker_volume("data", DRIVER, &two)]));
    for words in [
        format!("label 'volume.data' = '{one}'"),
        format!("ContainerInfo.volumes[0] = '{two}'"),
        "mounts at 'data' as well".to_owned(),
    ] {
        assert!(message.contains(&words), "'{words}' is not in: {message}");
    }
    let other_mode = with_volumes(labelled(), [read_only(docker_volume("data", DRIVER, &one))]);
    let message = tasks.fail(agent, other_mode);
    assert!(
        message.contains("'volume.data'") && message.contains("volumes[0]"),
        "{message}"
    );
    let by_variable = labelled().env("DVDI_VOLUME_NAME", &two);
    let message = tasks.fail(agent, by_variable.env("DVDI_VOLUME_CONTAINERPATH", "data"));
    assert!(
        message.contains("'volume.data'") && message.contains("DVDI_VOLUME_NAME"),
        "{message}"
    );
    // The same in other words.
    tasks.finish(agent, with_volumes(labelled(), [docker_volume("data", DRIVER, &one)]));
    site.wait_until_nothing_is_left();
}

#[test]
fn a_labelled_task_has_the_volume_of_the_agents_default_container_info_as_well() {
    let source = json!({"type": "DOCKER_VOLUME", "docker_volume": {"driver": DRIVER, "name": "usual"}});
    let volumes = json!([{"container_path": "usual", "mode": "RW", "source": source}]);
    let default = json!({"type": "MESOS", "volumes": volumes}).to_string();
    let site = Site::with_agents(1, &with_sources(module()).flag("default_container_info", default));
    let (own, usual) = (site.volume("own"), site.volume("usual"));
    let tasks = Tasks::connect(site.cluster());
    let job = Job::shell("touch data/own && touch usual/usual").label("volume.data", &own);
    tasks.finish(site.agent(0), job);
    let own_of_a_task = with_volumes(
        Job::shell("ls data/own && [ ! -e usual ]"),
        [docker_volume("data", DRIVER, &own)],
    );
    tasks.finish(site.agent(0), own_of_a_task);
    let reads = Job::shell("ls data/usual").label("volume.data", &usual);
    tasks.finish(site.agent(0), reads);
    site.wait_until_nothing_is_left();
}

#[test]
fn each_member_of_a_pod_has_the_volumes_of_its_own_and_those_of_the_pods_labels() {
    let site = Site::with_agents(1, &with_sources(module()));
    let (own, named, shared) = (site.volume("own"), site.volume("named"), site.volume("shared"));
    let tasks = Tasks::connect(site.cluster());
    let agent = site.agent(0);
    let with_volume = |command: &str| with_volumes(Job::shell(command), [docker_volume("data", DRIVER, &own)]);
    let with_variable = |command: &str| Job::shell(command).env("DVDI_VOLUME_NAME", &named);
    let members = [
        with_volume("touch data/volume && touch labelled/a && [ ! -e dvdi ]"),
        with_variable("touch dvdi/variable && touch labelled/b && [ ! -e data ]"),
        Job::shell("touch labelled/c && [ ! -e data ] && [ ! -e dvdi ]"),
    ];
    let pod = Pod::of(members).label("volume.labelled", &shared);
    tasks.launch_pod(agent, pod).iter().for_each(finished);
    for (volume, files) in [(&own, "volume"), (&named, "variable"), (&shared, "a b c")] {
        let reads = Job::shell(format!("cd data && ls {files}")).label("volume.data", volume);
        tasks.finish(agent, reads);
    }
    site.wait_until_nothing_is_left();
}

#[test]
fn without_a_policy_docker_volumes_that_exist_are_mounted_and_a_missing_one_is_refused_by_its_rule() {
    let site = Site::with_agents(1, &with_sources(module_without_policy()));
    let volume = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let agent = site.agent(0);
    let job = || Job::shell("touch data/file");
    tasks.finish(agent, with_volumes(job(), [docker_volume("data", DRIVER, &volume)]));
    tasks.finish(agent, Job::shell("ls dvdi/file").env("DVDI_VOLUME_NAME", &volume));
    let message = tasks.fail(agent, with_volumes(job(), [docker_volume("data", DRIVER, "missing")]));
    for words in [
        "ContainerInfo.volumes[0]",
        "does not exist",
        "rule 1 'nothing is created' of this agent's built-in policy",
        "denies that it is created",
    ] {
        assert!(message.contains(words), "'{words}' is not in: {message}");
    }
    assert_eq!(site.volumes(), ["v"], "nothing was created");
    site.wait_until_nothing_is_left();
}

#[test]
fn a_task_that_is_not_root_writes_to_a_fresh_docker_volume_when_the_operator_says_whose_it_is() {
    let site = Site::with_agents(1, &with_sources(module()).flag("switch_user", "true"));
    let (fresh, owned) = (site.volume("fresh"), site.volume("owned"));
    let tasks = Tasks::connect(site.cluster());
    let job = |volume: &str| {
        let job = Job::shell("id -un && touch data/file && stat -c %U data").user("nobody");
        with_volumes(job, [docker_volume("data", DRIVER, volume)])
    };
    tasks.fail(site.agent(0), job(&fresh));
    site.wait_until_nothing_is_left();
    site.agent(0).respecify(|spec| {
        let module = spec.module.take().expect("it has one");
        spec.module = Some(module.parameter("default_owner", "task-user"));
    });
    site.agent(0).restart().unwrap();
    tasks.finish(site.agent(0), job(&fresh));
    let labelled = Job::shell("[ $(stat -c %u:%g data) = 1234:1234 ]")
        .label("volume.data", &owned)
        .label("volume.data.owner", "1234:1234");
    tasks.finish(site.agent(0), labelled.user("nobody"));
    site.wait_until_nothing_is_left();
}

#[test]
fn an_absolute_path_that_is_missing_and_not_allowed_names_the_parameter_at_once() {
    let site = Site::start(1);
    let volume = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let job = Job::shell("true").label("volume.data", &volume);
    let message = tasks.fail(site.agent(0), job.label("volume.data.path", "/nonexistent/folder"));
    assert!(
        message.contains("'/nonexistent/folder'") && message.contains("allowed_host_paths"),
        "{message}"
    );
    site.wait_until_nothing_is_left();
}

#[test]
fn under_the_defaults_a_framework_hears_why_its_task_waited_and_a_misfit_is_in_the_log() {
    let mut site = Site::with_agents(1, &AgentSpec::default().module(module()));
    let id = site.volume("v");
    for operation in [Operation::Mount, Operation::Unmount] {
        let rule = FaultRule::new(operation, Action::Hang);
        site.emulator().client().fault(&rule).unwrap();
    }
    let tasks = Tasks::connect(site.cluster());
    let begun = Instant::now();
    let message = tasks.fail(site.agent(0), Job::shell("true").label("volume.data", &id));
    for words in ["'volume.data'", "has not answered Mount", "prepare_timeout"] {
        assert!(message.contains(words), "'{words}' is not in: {message}");
    }
    assert!(begun.elapsed() >= Duration::from_secs(40), "it waited for the driver");
    let misfit = "the time limits do not fit those of the agent";
    assert!(!site.agent(0).log().contains(misfit));
    site.emulator().client().clear_faults(None).unwrap();
    site.wait_until_nothing_is_left();

    site.agent(0).respecify(|spec| {
        let module = spec.module.take().expect("it has one");
        let module = module.parameter("prepare_timeout", "50secs");
        spec.module = Some(module.parameter("cleanup_wait", "10secs"));
    });
    site.agent(0).restart().unwrap();
    let log = site.agent(0).log();
    let line = log.lines().find(|line| line.contains(misfit)).unwrap_or_default();
    assert!(
        line.contains("--executor_registration_timeout is 60secs") && line.contains("prepare_timeout (50secs)"),
        "{line}"
    );
}
