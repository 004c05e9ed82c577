use label_mapper::{Channel, Framework};

use crate::{Case, catalogue, has_note, only};

const JOBS: &str = include_str!("definitions/chronos.json");
const DOCKER: &str = include_str!("definitions/chronos-docker.json");

#[test]
fn a_job_says_its_volumes_by_variables() {
    let catalogue = catalogue();
    let converted = Case::new(Framework::Chronos, JOBS, &catalogue).converts(&[
        (r#""value": "sales""#, r#""value": "orders""#),
        (
            "\"/tmp/orders\" }\n    ]\n",
            "\"/tmp/orders\" }\n    ],\n    \"constraints\": [[\"zone\", \"EQUALS\", \"us-east-1a\"]]\n",
        ),
    ]);
    let task = only(&converted, Channel::Environment);
    assert_eq!(task.task, "nightly export");
    assert_eq!(task.volumes[0].name, "sales");
    has_note(
        task,
        "DVDI_VOLUME_* variables, which the module mounts only where the operator turned that source on",
    );
}

#[test]
fn a_second_volume_takes_the_next_digit() {
    let catalogue = catalogue();
    let given = [
        ("volume.s".to_owned(), "stage".to_owned()),
        ("volume.s.path".to_owned(), "/tmp/stage".to_owned()),
        ("volume.s.create".to_owned(), "never".to_owned()),
    ];
    let mut case = Case::new(Framework::Chronos, JOBS, &catalogue);
    case.options.given = &given;
    case.options.task = Some("nightly export");
    case.converts(&[
        (r#""value": "sales""#, r#""value": "orders""#),
        (
            "\"/tmp/orders\" }\n    ]\n",
            "\"/tmp/orders\" },\n      { \"name\": \"DVDI_VOLUME_NAME1\", \"value\": \"stage\" },\n      \
             { \"name\": \"DVDI_VOLUME_CONTAINERPATH1\", \"value\": \"/tmp/stage\" },\n      \
             { \"name\": \"DVDI_VOLUME_EXPLICITCREATE1\", \"value\": \"true\" }\n    ],\n    \
             \"constraints\": [[\"zone\", \"EQUALS\", \"us-east-1a\"]]\n",
        ),
    ]);
}

#[test]
fn what_variables_cannot_say_is_refused() {
    let catalogue = catalogue();
    for (key, value, words) in [
        (
            "volume.s.mode",
            "ro",
            "'volume.s.mode' cannot be written as DVDI_VOLUME_* variables",
        ),
        ("volume.s.owner", "etl", "'volume.s.owner' cannot be written"),
        ("volume.s.flags", "noexec", "'volume.s.flags' cannot be written"),
        ("volume.s.subpath", "db", "'volume.s.subpath' cannot be written"),
        ("volume.s.path", "rel", "DVDI_VOLUME_CONTAINERPATH must be absolute"),
        ("volume.s.options.a", "x,y", "DVDI_VOLUME_OPTS cannot hold a comma"),
    ] {
        let mut given = vec![
            ("volume.s".to_owned(), "stage".to_owned()),
            (key.to_owned(), value.to_owned()),
        ];
        if key != "volume.s.path" {
            given.push(("volume.s.path".to_owned(), "/tmp/s".to_owned()));
        }
        let mut case = Case::new(Framework::Chronos, JOBS, &catalogue);
        case.options.given = &given;
        case.options.task = Some("after the export");
        let error = case.refuses();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_docker_job_gets_parameters() {
    let catalogue = catalogue();
    let given = [
        ("volume.d".to_owned(), "orders".to_owned()),
        ("volume.d.path".to_owned(), "/d".to_owned()),
    ];
    let mut case = Case::new(Framework::Chronos, DOCKER, &catalogue);
    case.options.given = &given;
    case.options.default_driver = Some("rexray");
    let converted = label_mapper::convert(case.framework, case.text, &case.options).unwrap();
    let value: serde_json::Value = serde_json::from_str(&converted.definition).unwrap();
    assert_eq!(
        value["container"]["parameters"],
        serde_json::json!([{"key": "volume-driver", "value": "rexray"}, {"key": "volume", "value": "orders:/d:rw"}])
    );
    only(&converted, Channel::DockerEngine);
}
