use crate::error::Refusal;
use crate::types::DockerVolume;

use super::*;

fn labels(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn holding(items: &[&str]) -> Vec<(String, std::collections::BTreeSet<String>)> {
    vec![(
        "ebsvolumes".to_owned(),
        items.iter().map(|item| (*item).to_owned()).collect(),
    )]
}

fn names_of(id: &ContainerId, launch: &ContainerLaunch) -> Vec<String> {
    parse_request(id, launch, &Config::default())
        .unwrap()
        .into_iter()
        .map(|requested| requested.labels.name)
        .collect()
}

fn member() -> ContainerId {
    ContainerId::from_path(vec!["pod".into(), "member".into()]).unwrap()
}

#[test]
fn labels_of_task_and_executor_add_up_and_what_both_say_counts_once() {
    let launch = |task: &[(&str, &str)], executor: &[(&str, &str)]| ContainerLaunch {
        task_labels: labels(task),
        executor_labels: labels(executor),
        ..ContainerLaunch::default()
    };
    let root = ContainerId::root("c");
    let copied = [("volume.a", "one"), ("volume.a.mode", "ro")];
    assert_eq!(names_of(&root, &launch(&copied, &copied)), ["one"]);
    assert_eq!(
        names_of(&root, &launch(&copied, &[("volume.b", "two")])),
        ["one", "two"]
    );
    let refused = |task: &[(&str, &str)], executor: &[(&str, &str)]| {
        parse_request(&root, &launch(task, executor), &Config::default())
            .unwrap_err()
            .to_string()
    };
    let problem = refused(&[("volume.a", "one")], &[("volume.a", "two")]);
    assert!(
        problem.contains(
            "label 'volume.a': the task's labels of this slot ('one') and those of its executor ('two') differ"
        ),
        "{problem}"
    );
    let problem = refused(&[("volume.a", "one")], &[("volume.a", "one"), ("volume.a.mode", "ro")]);
    assert!(
        problem.contains("'volume.a'") && problem.contains("differ"),
        "{problem}"
    );
    let problem = refused(
        &[("volume.a", "one"), ("volume.a.path", "data")],
        &[("volume.b", "two"), ("volume.b.path", "data")],
    );
    assert!(
        problem.contains("label 'volume.b' = 'two': label 'volume.a' = 'one' mounts at 'data' as well"),
        "{problem}"
    );
}

#[test]
fn a_member_of_a_pod_gets_the_pods_volumes_or_just_those_it_holds() {
    let pod = |items: &[&str]| ContainerLaunch {
        executor_labels: labels(&[("volume.a", "vol-1"), ("volume.b", "vol-2")]),
        set_resources: holding(items),
        ..ContainerLaunch::default()
    };
    assert_eq!(names_of(&member(), &pod(&[])), ["vol-1", "vol-2"]);
    assert_eq!(names_of(&member(), &pod(&["vol-2"])), ["vol-2"]);
    assert_eq!(
        names_of(&ContainerId::root("pod"), &pod(&["vol-2"])),
        ["vol-1", "vol-2"],
        "the executor itself sees all"
    );
}

#[test]
fn a_debug_container_gets_nothing() {
    let launch = ContainerLaunch {
        class: ContainerClass::Debug,
        executor_labels: labels(&[("volume.a", "v"), ("volume.a.bad", "x")]),
        ..ContainerLaunch::default()
    };
    assert!(names_of(&member(), &launch).is_empty());
}

fn resolve_labels(pairs: &[(&str, &str)], held: &[&str], config: &Config) -> Result<ResolvedRequest, Refusal> {
    let launch = ContainerLaunch {
        task_labels: labels(pairs),
        set_resources: holding(held),
        ..ContainerLaunch::default()
    };
    let volumes = parse_request(&ContainerId::root("c"), &launch, config)?;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("names.json");
    std::fs::write(&path, r#"{"vol-1": "flights"}"#).unwrap();
    let names = NameMap::read(Some(&path)).unwrap();
    Ok(resolve(&ContainerId::root("c"), volumes, &launch, config, &names, "host")?.remove(0))
}

fn strict() -> Config {
    Config {
        default_driver: Some("ebs".into()),
        require_claim: true,
        ..Config::default()
    }
}

#[test]
fn a_label_with_the_id_gets_the_drivers_name() {
    let request = resolve_labels(&[("volume.a", "vol-1")], &["vol-1"], &strict()).unwrap();
    assert_eq!(request.volume, VolumeKey::new("ebs", "flights"));
}

#[test]
fn a_claim_is_good_for_the_volume_the_operator_ties_it_to_and_no_other() {
    let flights = [("volume.a", "flights"), ("volume.a.claim", "vol-1")];
    assert!(resolve_labels(&flights, &["vol-1"], &strict()).is_ok());
    let others = [("volume.a", "payroll"), ("volume.a.claim", "vol-1")];
    let problem = resolve_labels(&others, &["vol-1"], &strict()).unwrap_err().to_string();
    assert!(
        problem.contains(
            "the label claims 'vol-1' but names volume 'payroll', and no name_map entry connects them. Name the volume 'vol-1', or \
             have the operator add the pair to name_map"
        ),
        "{problem}"
    );
    let problem = resolve_labels(&flights, &["vol-2"], &strict()).unwrap_err().to_string();
    assert!(problem.contains("add 'vol-1' to the task's resource"), "{problem}");
}

#[test]
fn without_a_driver_the_message_says_where_to_name_one() {
    let problem = resolve_labels(&[("volume.a", "v")], &[], &Config::default())
        .unwrap_err()
        .to_string();
    assert!(
        problem.contains("'volume.a.driver'") && problem.contains("default_driver"),
        "{problem}"
    );
}

#[test]
fn two_slots_of_one_volume_must_agree() {
    let pairs = [("volume.a", "v"), ("volume.b", "v"), ("volume.b.owner", "1:1")];
    let config = Config {
        require_claim: false,
        ..strict()
    };
    let problem = resolve_labels(&pairs, &[], &config).unwrap_err().to_string();
    assert!(
        problem.contains("label 'volume.b': [invalid] label 'volume.a' names the same volume"),
        "{problem}"
    );
}

fn docker_volume(name: &str) -> DockerVolume {
    DockerVolume {
        driver: Some("ebs".to_owned()),
        name: name.to_owned(),
        path: "data".to_owned(),
        ..DockerVolume::default()
    }
}

/// With something to say in every source.
fn everywhere() -> ContainerLaunch {
    ContainerLaunch {
        task_labels: labels(&[("volume.a", "by-label")]),
        docker_volumes: vec![docker_volume("by-docker-volume")],
        dvdi_variables: labels(&[("DVDI_VOLUME_NAME", "by-dvdi")]),
        ..ContainerLaunch::default()
    }
}

fn with_sources(docker_volume_source: bool, dvdi_source: bool) -> Config {
    Config {
        docker_volume_source,
        dvdi_source,
        ..Config::default()
    }
}

fn asked_by(launch: &ContainerLaunch, config: &Config) -> Vec<String> {
    let requested = parse_request(&ContainerId::root("c"), launch, config).unwrap();
    requested.into_iter().map(|requested| requested.labels.name).collect()
}

#[test]
fn sources_add_up() {
    let all = with_sources(true, true);
    let mut launch = everywhere();
    assert_eq!(asked_by(&launch, &all), ["by-label", "by-docker-volume", "by-dvdi"]);
    launch.executor_labels = std::mem::take(&mut launch.task_labels);
    assert_eq!(asked_by(&launch, &all), ["by-label", "by-docker-volume", "by-dvdi"]);
    launch.executor_labels = labels(&[("team", "etl")]);
    assert_eq!(asked_by(&launch, &all), ["by-docker-volume", "by-dvdi"]);
    launch.docker_volumes.clear();
    assert_eq!(asked_by(&launch, &all), ["by-dvdi"]);
    launch.dvdi_variables = labels(&[("DVDI_VOLUME_DRIVER", "ebs")]);
    assert!(asked_by(&launch, &all).is_empty());
}

/// A label at `data`, and a Docker volume at `data`.
fn at_one_path(pairs: &[(&str, &str)], docker: DockerVolume) -> Result<Vec<RequestedVolume>, String> {
    let mut labels = labels(&[("volume.a.path", "data")]);
    labels.extend(
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned())),
    );
    let launch = ContainerLaunch {
        task_labels: labels,
        docker_volumes: vec![docker],
        ..ContainerLaunch::default()
    };
    let config = Config {
        default_driver: Some("ebs".to_owned()),
        ..with_sources(true, true)
    };
    parse_request(&ContainerId::root("c"), &launch, &config).map_err(|error| error.to_string())
}

#[test]
fn two_sources_that_want_one_path_must_say_the_same_and_otherwise_both_are_named() {
    let same = [("volume.a", "v"), ("volume.a.owner", "1:1")];
    let requested = at_one_path(&same, docker_volume("v")).unwrap();
    assert_eq!(requested.len(), 1);
    assert!(requested[0].labels.owner.is_some(), "labels can say more");
    let by_default_driver = DockerVolume {
        driver: None,
        ..docker_volume("v")
    };
    assert_eq!(at_one_path(&same, by_default_driver).unwrap().len(), 1);
    for (docker, pairs) in [
        (docker_volume("w"), &same[..]),
        (
            DockerVolume {
                read_only: true,
                ..docker_volume("v")
            },
            &same,
        ),
        (
            DockerVolume {
                driver: Some("other".to_owned()),
                ..docker_volume("v")
            },
            &same,
        ),
        (
            DockerVolume {
                options: labels(&[("size", "2")]),
                ..docker_volume("v")
            },
            &[("volume.a", "v"), ("volume.a.options.size", "1")],
        ),
    ] {
        let problem = at_one_path(pairs, docker).unwrap_err();
        assert!(
            problem.starts_with("ContainerInfo.volumes[0] = '")
                && problem.contains("': label 'volume.a' = 'v' mounts at 'data' as well"),
            "{problem}"
        );
    }
    let variable = ContainerLaunch {
        docker_volumes: vec![DockerVolume {
            path: "dvdi".to_owned(),
            ..docker_volume("v")
        }],
        dvdi_variables: labels(&[("DVDI_VOLUME_NAME", "w")]),
        ..ContainerLaunch::default()
    };
    let problem = parse_request(&ContainerId::root("c"), &variable, &with_sources(true, true))
        .unwrap_err()
        .to_string();
    assert!(
        problem.contains("DVDI_VOLUME_NAME = 'w': ContainerInfo.volumes[0] = 'v' mounts at 'dvdi' as well"),
        "{problem}"
    );
}

#[test]
fn all_sources_together_have_no_more_volumes_than_one() {
    let docker_volumes = (0..40).map(|index| DockerVolume {
        index,
        path: format!("d{index}"),
        ..docker_volume("v")
    });
    let keys: Vec<(String, String)> = (0..40)
        .map(|index| (format!("volume.s{index}"), "v".to_owned()))
        .collect();
    let launch = ContainerLaunch {
        task_labels: keys,
        docker_volumes: docker_volumes.collect(),
        ..ContainerLaunch::default()
    };
    let problem = parse_request(&ContainerId::root("c"), &launch, &with_sources(true, true))
        .unwrap_err()
        .to_string();
    assert!(
        problem.contains("80 volumes in all")
            && problem.contains("label 'volume.s0'")
            && problem.contains("volumes[39]"),
        "{problem}"
    );
}

fn resolved_of(launch: &ContainerLaunch, config: &Config) -> Vec<ResolvedRequest> {
    let id = ContainerId::root("c");
    let requested = parse_request(&id, launch, config).unwrap();
    resolve(&id, requested, launch, config, &NameMap::default(), "host").unwrap()
}

#[test]
fn a_volume_that_labels_name_too_is_made_as_the_labels_say() {
    let launch = ContainerLaunch {
        task_labels: labels(&[
            ("volume.a", "v"),
            ("volume.a.owner", "7:7"),
            ("volume.a.path", "elsewhere"),
        ]),
        docker_volumes: vec![docker_volume("v")],
        ..ContainerLaunch::default()
    };
    let config = Config {
        default_driver: Some("ebs".to_owned()),
        ..with_sources(true, false)
    };
    let resolved = resolved_of(&launch, &config);
    assert_eq!(resolved.len(), 2);
    assert_eq!(resolved[0].spec, resolved[1].spec);
    assert_eq!(resolved[1].spec.create, None);
}

#[test]
fn the_default_owner_is_that_of_the_task_or_a_fixed_one_and_labels_win() {
    let owners = |default: &str, user: Option<&str>, pairs: &[(&str, &str)]| -> Vec<String> {
        let launch = ContainerLaunch {
            task_labels: labels(pairs),
            user: user.map(str::to_owned),
            ..ContainerLaunch::default()
        };
        let parameters = [
            ("default_driver".to_owned(), "ebs".to_owned()),
            ("default_owner".to_owned(), default.to_owned()),
        ];
        let config = Config::from_parameters(&parameters).unwrap();
        let owner = |request: ResolvedRequest| request.spec.owner.map(|owner| owner.to_string()).unwrap_or_default();
        resolved_of(&launch, &config).into_iter().map(owner).collect()
    };
    let plain = [("volume.a", "v")];
    assert_eq!(owners("unchanged", Some("daemon"), &plain), [""]);
    assert_eq!(owners("task-user", Some("daemon"), &plain), ["1:1"]);
    assert_eq!(owners("task-user", Some("root"), &plain), [""]);
    assert_eq!(
        owners("task-user", None, &plain),
        [""],
        "with --switch_user=false there is no user"
    );
    assert_eq!(owners("1000:100", Some("daemon"), &plain), ["1000:100"]);
    assert_eq!(
        owners(
            "task-user",
            Some("daemon"),
            &[("volume.a", "v"), ("volume.a.owner", "7:7")]
        ),
        ["7:7"]
    );
    assert_eq!(
        owners(
            "task-user",
            Some("daemon"),
            &[("volume.a", "v"), ("volume.a.mode", "ro")]
        ),
        [""]
    );
    let twice = [("volume.a", "v"), ("volume.a.mode", "ro"), ("volume.b", "v")];
    assert_eq!(owners("task-user", Some("daemon"), &twice), ["1:1", "1:1"]);
    assert!(Config::from_parameters(&[("default_owner".to_owned(), "no user".to_owned())]).is_err());
}

#[test]
fn what_the_operator_did_not_turn_on_is_not_read() {
    let launch = ContainerLaunch {
        task_labels: Vec::new(),
        ..everywhere()
    };
    assert_eq!(asked_by(&launch, &with_sources(true, false)), ["by-docker-volume"]);
    assert_eq!(asked_by(&launch, &with_sources(false, true)), ["by-dvdi"]);
    assert!(asked_by(&launch, &with_sources(false, false)).is_empty());
    let hostile = ContainerLaunch {
        docker_volumes: vec![docker_volume("")],
        dvdi_variables: labels(&[("DVDI_VOLUME_NMAE", "x")]),
        ..ContainerLaunch::default()
    };
    assert!(asked_by(&hostile, &Config::default()).is_empty());
    assert!(parse_request(&ContainerId::root("c"), &hostile, &with_sources(true, true)).is_err());
}

#[test]
fn a_member_of_a_pod_has_its_own_docker_volumes_whatever_it_holds() {
    let launch = ContainerLaunch {
        docker_volumes: vec![docker_volume("v")],
        set_resources: holding(&["vol-2"]),
        ..ContainerLaunch::default()
    };
    let requested = parse_request(&member(), &launch, &with_sources(true, false)).unwrap();
    assert_eq!(requested.len(), 1);
}

fn resolve_dvdi(config: &Config, driver: Option<&str>) -> Result<ResolvedRequest, Refusal> {
    let mut variables = labels(&[("DVDI_VOLUME_NAME1", "vol-1")]);
    variables.extend(driver.map(|driver| ("DVDI_VOLUME_DRIVER1".to_owned(), driver.to_owned())));
    let launch = ContainerLaunch {
        dvdi_variables: variables,
        ..ContainerLaunch::default()
    };
    let config = Config {
        dvdi_source: true,
        ..config.clone()
    };
    let requested = parse_request(&ContainerId::root("c"), &launch, &config)?;
    Ok(resolve(
        &ContainerId::root("c"),
        requested,
        &launch,
        &config,
        &NameMap::default(),
        "host",
    )?
    .remove(0))
}

#[test]
fn variables_without_a_driver_take_the_agents_default_and_else_the_one_of_mesos_module_dvdi() {
    let driver = |config: &Config, named: Option<&str>| resolve_dvdi(config, named).unwrap().volume.driver;
    let with_default = Config {
        default_driver: Some("ebs".to_owned()),
        ..Config::default()
    };
    assert_eq!(driver(&Config::default(), None), "rexray");
    assert_eq!(driver(&with_default, None), "ebs");
    assert_eq!(driver(&with_default, Some("pxd")), "pxd");
}

#[test]
fn a_required_claim_is_required_whoever_asks() {
    let problem = resolve_dvdi(&strict(), None).unwrap_err().to_string();
    assert!(
        problem.starts_with(
            "DVDI_VOLUME_NAME1 = 'vol-1': [denied] this agent requires tasks to reserve their volumes: add 'vol-1'"
        ),
        "{problem}"
    );
}

#[test]
fn a_record_names_each_volume_as_its_author_wrote_it() {
    let slots = |launch: &ContainerLaunch| -> Vec<String> {
        let requested = parse_request(&ContainerId::root("c"), launch, &with_sources(true, true)).unwrap();
        requested.iter().map(|requested| requested.origin.recorded()).collect()
    };
    let mut launch = everywhere();
    assert_eq!(slots(&launch), ["a", "ContainerInfo.volumes[0]", "DVDI_VOLUME_NAME"]);
    launch.task_labels.clear();
    assert_eq!(slots(&launch), ["ContainerInfo.volumes[0]", "DVDI_VOLUME_NAME"]);
}

fn lenient() -> Config {
    Config {
        require_claim: false,
        ..strict()
    }
}

#[test]
fn a_volume_that_is_made_for_a_container_has_a_name_of_its_own_and_is_created() {
    let pairs = [
        ("volume.a", "vol-1"),
        ("volume.a.lifetime", "container"),
        ("volume.a.options.size", "1"),
    ];
    let request = resolve_labels(&pairs, &[], &lenient()).unwrap();
    assert_eq!(ephemeral::spelled(&request.volume.name), Some("flights"));
    assert_eq!(request.spec.create, Some([("size".to_owned(), "1".to_owned())].into()));
    assert_eq!(request.spec.lifetime, Lifetime::Container);
}

#[test]
fn nobody_can_name_a_volume_that_was_made_for_a_container() {
    for lifetime in ["persistent", "container"] {
        let pairs = [
            ("volume.a", "scratch-mev-0123456789abcdef"),
            ("volume.a.lifetime", lifetime),
        ];
        let problem = resolve_labels(&pairs, &[], &lenient()).unwrap_err().to_string();
        assert!(
            problem.contains("'volume.a'") && problem.contains("name another"),
            "{problem}"
        );
    }
}

#[test]
fn a_volume_whose_id_is_known_is_never_created() {
    let created = |pairs: &[(&str, &str)]| {
        let pairs = [pairs, &[("volume.a.create", "if-missing")]].concat();
        resolve_labels(&pairs, &[], &lenient()).unwrap().spec.create.is_some()
    };
    assert!(created(&[("volume.a", "new-volume")]));
    assert!(created(&[("volume.a", "new-volume"), ("volume.a.claim", "new-volume")]));
    assert!(created(&[("volume.a", "vol-new")]), "that is no id");
    assert!(!created(&[("volume.a", "flights")]), "the name map has its name");
    assert!(!created(&[("volume.a", "vol-1")]), "the name map has its id");
    assert!(!created(&[("volume.a", "orders"), ("volume.a.claim", "vol-9")]));
    assert!(
        !created(&[("volume.a", "vol-0123456789abcdef0")]),
        "a name that is an id"
    );
    assert!(!created(&[("volume.a", "vol-7bca078f")]));
}
