use label_mapper::{Channel, Framework};

use crate::{Case, catalogue, has_note, only};

#[test]
fn metadata_and_constraint_are_written_and_nothing_promised() {
    let catalogue = catalogue();
    let text = include_str!("definitions/aurora.json");
    let converted = Case::new(Framework::Aurora, text, &catalogue).converts(&[
        (r#""value": "orders""#, r#""value": "vol-0000000000000001a""#),
        (
            r#"{ "host": "limit:1" }"#,
            r#"{ "host": "limit:1", "zone": "us-east-1a" }"#,
        ),
    ]);
    has_note(only(&converted, Channel::Nothing), "Thermos");
    assert!(!converted.all_mounted());
}

#[test]
fn a_docker_job_gets_parameters() {
    let catalogue = catalogue();
    let text = include_str!("definitions/aurora-docker.json");
    let converted = Case::new(Framework::Aurora, text, &catalogue).converts(&[
        (
            r#""image": "wiki:3" }"#,
            "\"image\": \"wiki:3\", \"parameters\": [{\"name\": \"volume-driver\", \"value\": \"rexray\"}, {\"name\": \"volume\", \
             \"value\": \"orders:/mnt/mesos/sandbox/pages:rw\"}] }",
        ),
        (
            "\"value\": \"rexray\" } ]\n",
            "\"value\": \"rexray\" }, { \"key\": \"volume.pages.claim\", \"value\": \"vol-0000000000000001a\" } ],\n  \
             \"constraints\": {\n    \"zone\": \"us-east-1a\"\n  }\n",
        ),
    ]);
    let task = only(&converted, Channel::DockerEngine);
    has_note(task, "-allow_docker_parameters");
    has_note(task, "/mnt/mesos/sandbox/pages");
}

#[test]
fn a_python_program_is_refused_with_what_to_write_into_it() {
    let catalogue = catalogue();
    let text = "jobs = [Service(cluster = 'west', role = 'etl', environment = 'prod', task = t)]\n";
    let error = Case::new(Framework::Aurora, text, &catalogue).refuses();
    assert!(
        error.starts_with("aurora: an .aurora file is a Python program"),
        "{error}"
    );
    assert!(error.contains("metadata = [Metadata(key = 'volume.data'"), "{error}");
}
