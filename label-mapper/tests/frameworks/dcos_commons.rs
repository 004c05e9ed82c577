use label_mapper::{Channel, Framework};

use crate::{Case, catalogue, has_note};

const SERVICE: &str = include_str!("definitions/dcos-commons.yml");

#[test]
fn pods_get_external_volumes_and_placement() {
    let catalogue = catalogue();
    let converted = Case::new(Framework::DcosCommons, SERVICE, &catalogue).converts(&[
        (
            "    # what runs\n",
            "    external-volumes:\n      data:\n        type: DOCKER\n        driver-name: rexray\n        volume-name: hello\n        \
             volume-mode: RW\n        container-path: data\n    # what runs\n",
        ),
        (
            r#"'[["hostname", "UNIQUE"]]'"#,
            r#"'[["hostname","UNIQUE"],["zone","CLUSTER","us-east-1a"]]'"#,
        ),
    ]);
    let [hello, world] = converted.tasks.as_slice() else {
        panic!("{:?}", converted.tasks)
    };
    assert_eq!(
        (hello.channel, world.channel),
        (Channel::DockerVolume, Channel::DockerVolume)
    );
    assert_eq!(hello.claims, ["vol-0000000000000006a", "vol-0000000000000007a"]);
    has_note(
        hello,
        "DOCKER_VOLUME, which the module mounts only where the operator turned that source on",
    );
    assert_eq!(world.claims, ["vol-0000000000000008b"]);
    has_note(
        world,
        "its placement is a template: add [\"zone\",\"CLUSTER\",\"us-east-1b\"] to it",
    );
    has_note(world, "the labels of its task 'server' are a template");
}

#[test]
fn a_second_volume_joins_the_first() {
    let catalogue = catalogue();
    let given = [
        ("volume.more".to_owned(), "world".to_owned()),
        ("volume.more.mode".to_owned(), "ro".to_owned()),
    ];
    let text = SERVICE
        .replace("    {{#WORLD_VOLUME}}\n", "")
        .replace("    {{/WORLD_VOLUME}}\n", "");
    let mut case = Case::new(Framework::DcosCommons, &text, &catalogue);
    case.options.given = &given;
    case.options.task = Some("world");
    case.options.default_driver = Some("rexray");
    case.converts(&[(
        "      world-volume:\n",
        "      more:\n        type: DOCKER\n        driver-name: rexray\n        volume-name: world\n        volume-mode: RO\n        \
         container-path: more\n      world-volume:\n",
    )]);

    let mut conditional = Case::new(Framework::DcosCommons, SERVICE, &catalogue);
    conditional.options = case.options;
    assert!(
        conditional.refuses().contains("would come and go with it"),
        "{}",
        conditional.refuses()
    );
}

#[test]
fn a_pod_that_is_conditional_as_a_whole_is_converted() {
    let catalogue = catalogue();
    let text = "name: s\npods:\n  {{#ON}}\n  hello:\n    count: 1\n    tasks:\n      t: {cmd: x, labels: 'volume.d:hello,volume.d.driver:r'}\n  {{/ON}}\n  other:\n    tasks: {}\n";
    Case::new(Framework::DcosCommons, text, &catalogue).converts(&[(
        "    count: 1\n",
        "    count: 1\n    external-volumes:\n      d:\n        type: DOCKER\n        driver-name: r\n        volume-name: hello\n        \
         volume-mode: RW\n        container-path: d\n    placement: '[[\"zone\",\"CLUSTER\",\"us-east-1a\"]]'\n",
    )]);
}

#[test]
fn a_volume_whose_name_does_not_come_out_is_refused() {
    let catalogue = catalogue();
    let case = |name: &str| {
        let text = SERVICE.replace("volume.data:hello", &format!("volume.data:{name}"));
        Case::new(Framework::DcosCommons, &text, &catalogue).refuses()
    };
    assert!(
        case("world").contains("no volume has the id or the Name tag 'world_1'"),
        "{}",
        case("world")
    );
    assert!(case("orders").contains("'orders_0'"), "{}", case("orders"));
}

#[test]
fn text_of_no_yaml_is_refused() {
    let catalogue = catalogue();
    for (text, words) in [
        ("pods: [", "dcos-commons: not YAML: "),
        ("name: x\n", "the service has no 'pods'"),
    ] {
        let error = Case::new(Framework::DcosCommons, text, &catalogue).refuses();
        assert!(error.contains(words), "{error}");
    }
}
