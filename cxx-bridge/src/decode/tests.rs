//! The bytes here are written by hand, field by field, so that the tests do not lean on the
//! generated types.

use super::*;

/// A length-delimited field: its key, its length, its bytes.
fn field(number: u32, bytes: &[u8]) -> Vec<u8> {
    let mut out = varint(u64::from(number << 3 | 2));
    out.extend(varint(bytes.len() as u64));
    out.extend_from_slice(bytes);
    out
}

fn number(number: u32, value: u64) -> Vec<u8> {
    let mut out = varint(u64::from(number << 3));
    out.extend(varint(value));
    out
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

fn id(value: &str, parent: Option<Vec<u8>>) -> Vec<u8> {
    let mut out = field(1, value.as_bytes());
    if let Some(parent) = parent {
        out.extend(field(2, &parent));
    }
    out
}

fn label(key: &[u8], value: &[u8]) -> Vec<u8> {
    field(1, &[field(1, key), field(2, value)].concat())
}

fn set_resource(name: &str, items: &[&str]) -> Vec<u8> {
    let set: Vec<u8> = items.iter().flat_map(|item| field(1, item.as_bytes())).collect();
    // type 2 is SET, role 6 is there in old releases and ignored.
    [
        field(1, name.as_bytes()),
        number(2, 2),
        field(5, &set),
        field(6, b"etl"),
    ]
    .concat()
}

fn scalar_resource(name: &str) -> Vec<u8> {
    let scalar = [vec![0x09], 2.0_f64.to_le_bytes().to_vec()].concat();
    [field(1, name.as_bytes()), number(2, 0), field(3, &scalar)].concat()
}

fn items(items: &[&str]) -> BTreeSet<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

#[test]
fn a_nested_container_id_is_read_outermost_first() {
    let bytes = id("check", Some(id("task", Some(id("pod", None)))));
    let id = container_id(&bytes).unwrap();
    assert_eq!(id.path(), ["pod", "task", "check"]);
}

#[test]
fn a_container_id_with_an_empty_part_is_refused() {
    for bytes in [id("", None), id("task", Some(id("", None))), Vec::new()] {
        assert!(matches!(
            container_id(&bytes),
            Err(DecodeError::NoContainerId { message: "ContainerID" })
        ));
    }
}

#[test]
fn bytes_that_are_no_message_are_refused_by_the_message_s_name() {
    let error = container_id(b"\x0a\x7fshort").unwrap_err();
    let line = crate::guard::one_line(&error);
    assert!(line.starts_with("cannot read Mesos' ContainerID message: "), "{line}");
}

#[test]
fn a_fault_deep_in_nested_containers_is_told_in_a_short_line() {
    let broken = b"\x0a\x7fshort".to_vec();
    let nested = (0..40).fold(broken, |parent, _| field(2, &parent));
    let line = crate::guard::one_line(&container_id(&nested).unwrap_err());
    assert!(line.starts_with("cannot read Mesos' ContainerID message: …"), "{line}");
    assert!(line.ends_with("buffer underflow") && line.len() < 300, "{line}");
}

#[test]
fn a_command_task_gives_labels_sets_user_and_folders() {
    let task_labels = [
        label(b"volume.data", b"vol-1"),
        label(b"team", b"etl"),
        label(b"team", b"bi"),
    ]
    .concat();
    let task = [
        field(1, b"extract"),
        field(4, &set_resource("ebsvolumes", &["vol-1"])),
        field(10, &task_labels),
    ]
    .concat();
    let executor = field(14, &label(b"volume.data", b"vol-1"));
    let config = [
        field(3, b"/var/lib/mesos/sandbox"),
        field(4, b"etl"),
        field(8, &executor),
        field(9, &task),
        field(11, &field(3, b"exec sleep 1")),
        field(13, &set_resource("ebsvolumes", &["vol-1", "vol-2"])),
        field(13, &scalar_resource("cpus")),
    ]
    .concat();

    let launch = launch(&config, None).unwrap();

    assert_eq!(launch.class, ContainerClass::Default);
    assert_eq!(launch.directory, PathBuf::from("/var/lib/mesos/sandbox"));
    assert_eq!(launch.rootfs, None);
    assert_eq!(launch.user.as_deref(), Some("etl"));
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(
        launch.task_labels,
        [pair("volume.data", "vol-1"), pair("team", "etl"), pair("team", "bi")]
    );
    assert_eq!(launch.executor_labels, [pair("volume.data", "vol-1")]);
    assert_eq!(
        launch.set_resources,
        [("ebsvolumes".to_owned(), items(&["vol-1", "vol-2"]))]
    );
}

#[test]
fn docker_volumes_are_told_by_their_place_among_all_volumes() {
    let host_path = [
        field(1, b"etc"),
        field(2, b"/etc"),
        number(3, 2),
        field(5, &[number(1, 4), field(4, &field(1, b"/etc"))].concat()),
    ]
    .concat();
    let options = [label(b"size", b"10"), label(b"size", b"a=b"), label(b"path", b"\xff")].concat();
    let docker = [field(1, b"rexray"), field(2, b"flights"), field(3, &options)].concat();
    let writable = [
        field(1, b"data"),
        number(3, 1),
        field(5, &[number(1, 1), field(2, &docker)].concat()),
    ]
    .concat();
    let bare = [
        field(1, b"/ro"),
        number(3, 2),
        field(5, &[number(1, 1), field(2, &field(2, b"v"))].concat()),
    ]
    .concat();
    let empty = [field(1, b"x"), number(3, 1), field(5, &number(1, 1))].concat();
    let container = [host_path, writable, bare, empty]
        .map(|volume| field(2, &volume))
        .concat();
    let config = field(12, &[number(1, 2), container].concat());

    let launch = launch(&config, None).unwrap();

    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let expected = [
        DockerVolume {
            index: 1,
            driver: Some("rexray".to_owned()),
            name: "flights".to_owned(),
            options: vec![pair("size", "10"), pair("size", "a=b"), pair("path", "\u{fffd}")],
            path: "data".to_owned(),
            read_only: false,
        },
        DockerVolume {
            index: 2,
            name: "v".to_owned(),
            path: "/ro".to_owned(),
            read_only: true,
            ..DockerVolume::default()
        },
        DockerVolume {
            index: 3,
            path: "x".to_owned(),
            ..DockerVolume::default()
        },
    ];
    assert_eq!(launch.docker_volumes, expected);
}

#[test]
fn what_mesos_itself_mounts_is_told_with_the_folder_that_it_shows() {
    let volume = |path: &[u8], more: Vec<u8>| field(2, &[field(1, path), number(3, 1), more].concat());
    let sandbox_path = |kind: u64, path: &[u8]| [number(1, kind), field(2, path)].concat();
    let source = |kind: u64, at: u32, inner: &[u8]| field(5, &[number(1, kind), field(at, inner)].concat());
    let container = [
        volume(b"/a", field(2, b"of-the-sandbox")),
        volume(b"/b", source(4, 5, &field(1, b"/of/the/host"))),
        volume(b"/c", source(2, 3, &sandbox_path(1, b"own"))),
        volume(b"/d", source(2, 3, &sandbox_path(2, b"parents"))),
        volume(b"e", source(1, 2, &field(2, b"docker"))),
    ]
    .concat();
    let persistent = field(7, &[field(1, b"id"), field(2, &field(1, b"kept"))].concat());
    let config = [
        field(3, b"/work/parent/containers/inner"),
        field(12, &container),
        field(13, &[field(1, b"disk"), persistent].concat()),
        field(13, &scalar_resource("cpus")),
    ]
    .concat();
    let mounts = launch(&config, None).unwrap().mesos_mounts;
    let told: Vec<(&str, &str, Option<&str>, bool)> = mounts
        .iter()
        .map(|mount| {
            let source = mount.source.as_ref().map(|source| source.to_str().unwrap());
            (
                mount.requested_by.as_str(),
                mount.path.to_str().unwrap(),
                source,
                mount.docker,
            )
        })
        .collect();
    let sandbox = "/work/parent/containers/inner";
    assert_eq!(
        told,
        [
            (
                "ContainerInfo.volumes[0]",
                "/a",
                Some(&*format!("{sandbox}/of-the-sandbox")),
                false
            ),
            ("ContainerInfo.volumes[1]", "/b", Some("/of/the/host"), false),
            (
                "ContainerInfo.volumes[2]",
                "/c",
                Some(&*format!("{sandbox}/own")),
                false
            ),
            ("ContainerInfo.volumes[3]", "/d", Some("/work/parent/parents"), false),
            ("ContainerInfo.volumes[4]", "e", None, true),
            ("a persistent volume", "kept", None, false),
        ]
    );
}

#[test]
fn of_an_environment_only_the_variables_that_may_name_volumes_are_kept() {
    let variable = |name: &[u8], value: &[u8]| field(1, &[field(1, name), field(2, value)].concat());
    let secret = field(
        1,
        &[field(1, b"DVDI_VOLUME_OPTS"), number(3, 2), field(4, b"")].concat(),
    );
    let environment = [
        variable(b"PASSWORD", b"hunter2"),
        variable(b"DVDI_VOLUME_NAME", b"flights"),
        variable(b"DVDI_VOLUME_NAME", b"\xfe"),
        secret,
    ]
    .concat();
    let command = [field(2, &environment), field(3, b"true"), number(6, 1)].concat();
    let config = [
        field(11, &command),
        field(8, &field(7, &field(2, &variable(b"DVDI_VOLUME_NAME1", b"x")))),
    ]
    .concat();

    let launch = launch(&config, None).unwrap();

    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let expected = [
        pair("DVDI_VOLUME_NAME", "flights"),
        pair("DVDI_VOLUME_NAME", "\u{fffd}"),
        pair("DVDI_VOLUME_OPTS", ""),
    ];
    assert_eq!(
        launch.dvdi_variables, expected,
        "and the executor's own command is not the container's"
    );
}

#[test]
fn a_pod_member_holds_its_own_set_and_not_its_executor_s() {
    let executor = [
        field(5, &set_resource("ebsvolumes", &["vol-9"])),
        field(14, &label(b"volume.data", b"vol-1")),
    ]
    .concat();
    let config = [
        field(3, b"/sandbox"),
        field(5, b"/image"),
        field(8, &executor),
        field(13, &set_resource("ebsvolumes", &["vol-1"])),
        number(14, 1),
    ]
    .concat();

    let launch = launch(&config, None).unwrap();

    assert_eq!(launch.rootfs, Some(PathBuf::from("/image")));
    assert!(launch.task_labels.is_empty());
    assert_eq!(launch.executor_labels.len(), 1);
    assert_eq!(launch.set_resources, [("ebsvolumes".to_owned(), items(&["vol-1"]))]);
}

/// A resource that the master allocated to a role.
fn allocated(resource: &[u8], role: &str) -> Vec<u8> {
    [resource, &field(11, &field(1, role.as_bytes()))].concat()
}

#[test]
fn whose_container_it_is_comes_from_executor_and_task() {
    let executor = [
        field(1, &field(1, b"exec-1")),
        field(5, &allocated(&scalar_resource("cpus"), "etl")),
        field(8, &field(1, b"framework-1")),
    ]
    .concat();
    let task = field(2, &field(1, b"task-1"));
    let config = [field(8, &executor), field(9, &task)].concat();
    let expected = Workload {
        framework: Some("framework-1".to_owned()),
        executor: Some("exec-1".to_owned()),
        task: Some("task-1".to_owned()),
        role: Some("etl".to_owned()),
        framework_info: None,
    };
    assert_eq!(launch(&config, None).unwrap().workload, expected);
    assert_eq!(launch(&[], None).unwrap().workload, Workload::default());
}

#[test]
fn an_executors_role_wins_over_what_a_nested_container_says_of_itself() {
    let executor = field(5, &allocated(&scalar_resource("cpus"), "web"));
    let claimed = field(13, &allocated(&scalar_resource("cpus"), "admin"));
    let with = [field(8, &executor), claimed.clone()].concat();
    assert_eq!(launch(&with, None).unwrap().workload.role.as_deref(), Some("web"));
    assert_eq!(launch(&claimed, None).unwrap().workload.role.as_deref(), Some("admin"));
    let both = [claimed, field(13, &allocated(&scalar_resource("mem"), "web"))].concat();
    assert_eq!(launch(&both, None).unwrap().workload.role, None, "two roles are none");
}

#[test]
fn a_health_check_is_told_by_its_class() {
    let config = [field(3, b"/sandbox"), number(14, 2)].concat();
    assert_eq!(launch(&config, None).unwrap().class, ContainerClass::Debug);
}

#[test]
fn one_resource_in_several_reservations_is_one_set() {
    let resources = [
        set_resource("ebsvolumes", &["vol-1"]),
        set_resource("ebsvolumes", &["vol-2", "vol-1"]),
    ];
    let sets = set_resources(resources.iter().map(Vec::as_slice)).unwrap();
    assert_eq!(sets, [("ebsvolumes".to_owned(), items(&["vol-1", "vol-2"]))]);
}

#[test]
fn scalars_are_no_claims() {
    let resources = [scalar_resource("cpus"), scalar_resource("mem")];
    assert_eq!(set_resources(resources.iter().map(Vec::as_slice)).unwrap(), []);
}

#[test]
fn a_recovered_container_keeps_its_executor_labels() {
    let state = [
        field(1, &field(14, &label(b"volume.data", b"vol-1"))),
        field(2, &id("c1", None)),
        number(3, 4711),
        field(4, b"/sandbox"),
    ]
    .concat();
    let (container, _) = recovered(&state).unwrap();
    assert_eq!(container.id, ContainerId::root("c1"));
    assert_eq!(
        container.executor_labels,
        [("volume.data".to_owned(), "vol-1".to_owned())]
    );
}

#[test]
fn a_label_that_is_not_utf8_does_not_make_a_container_unreadable() {
    let state = [
        field(1, &field(14, &label(b"volume.\xff", b"\xfe"))),
        field(2, &id("c1", None)),
        number(3, 1),
        field(4, b"/"),
    ]
    .concat();
    let (container, _) = recovered(&state).unwrap();
    assert_eq!(
        container.executor_labels,
        [("volume.\u{fffd}".to_owned(), "\u{fffd}".to_owned())]
    );
}

#[test]
fn parameters_keep_their_order_and_repetitions() {
    let one = |key: &str, value: &str| field(1, &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat());
    let bytes = [
        one("default_driver", "ebs"),
        one("state_dir", "/s"),
        one("default_driver", ""),
    ]
    .concat();
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(
        parameters(&bytes).unwrap(),
        [
            pair("default_driver", "ebs"),
            pair("state_dir", "/s"),
            pair("default_driver", "")
        ]
    );
    assert_eq!(parameters(b"").unwrap(), []);
}
