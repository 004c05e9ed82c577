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
    wanted(id, launch, &Config::default())
        .unwrap()
        .into_iter()
        .map(|asked| asked.labels.name)
        .collect()
}

fn member() -> ContainerId {
    ContainerId::from_path(vec!["pod".into(), "member".into()]).unwrap()
}

#[test]
fn the_tasks_labels_win_over_the_executors() {
    let launch = ContainerLaunch {
        task_labels: labels(&[("volume.a", "task")]),
        executor_labels: labels(&[("volume.a", "executor")]),
        ..ContainerLaunch::default()
    };
    assert_eq!(names_of(&ContainerId::root("c"), &launch), ["task"]);
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

fn wish_of(pairs: &[(&str, &str)], held: &[&str], config: &Config) -> Result<Wish, String> {
    let launch = ContainerLaunch {
        task_labels: labels(pairs),
        set_resources: holding(held),
        ..ContainerLaunch::default()
    };
    let volumes = wanted(&ContainerId::root("c"), &launch, config)?;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("names.json");
    std::fs::write(&path, r#"{"vol-1": "flights"}"#).unwrap();
    let names = NameMap::read(Some(&path)).unwrap();
    Ok(wishes(volumes, &launch, config, &names, "host")?.remove(0))
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
    let wish = wish_of(&[("volume.a", "vol-1")], &["vol-1"], &strict()).unwrap();
    assert_eq!(wish.volume, VolumeKey::new("ebs", "flights"));
}

#[test]
fn a_claim_is_good_for_the_volume_the_operator_ties_it_to_and_no_other() {
    let flights = [("volume.a", "flights"), ("volume.a.claim", "vol-1")];
    assert!(wish_of(&flights, &["vol-1"], &strict()).is_ok());
    let others = [("volume.a", "payroll"), ("volume.a.claim", "vol-1")];
    let problem = wish_of(&others, &["vol-1"], &strict()).unwrap_err();
    assert!(problem.contains("'vol-1'") && problem.contains("name_map"), "{problem}");
    let problem = wish_of(&flights, &["vol-2"], &strict()).unwrap_err();
    assert!(problem.contains("does not hold 'vol-1'"), "{problem}");
}

#[test]
fn without_a_driver_the_message_says_where_to_name_one() {
    let problem = wish_of(&[("volume.a", "v")], &[], &Config::default()).unwrap_err();
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
    let problem = wish_of(&pairs, &[], &config).unwrap_err();
    assert!(problem.contains("label 'volume.a' and label 'volume.b'"), "{problem}");
}
