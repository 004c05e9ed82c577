use label_mapper::{Channel, Framework};

use crate::{Case, catalogue, has_note, only};

const BOTH: &str = include_str!("definitions/singularity.json");

#[test]
fn labels_go_to_the_deploy_and_the_zone_to_the_request() {
    let catalogue = catalogue();
    let converted = Case::new(Framework::Singularity, BOTH, &catalogue).converts(&[
        (
            r#""key": "volume.data", "value": "orders""#,
            r#""key": "volume.data", "value": "vol-0000000000000001a""#,
        ),
        (
            "\"instances\": 1\n  }",
            "\"instances\": 1,\n    \"requiredSlaveAttributes\": {\n      \"zone\": \"us-east-1a\"\n    }\n  }",
        ),
    ]);
    only(&converted, Channel::Labels);
}

#[test]
fn docker_volumes_become_labels() {
    let catalogue = catalogue();
    let migrated = Case::new(Framework::Singularity, BOTH, &catalogue).migrates(&[
        (
            r#"
        {
          "containerPath": "stage",
          "mode": "RW",
          "source": { "type": "DOCKER_VOLUME", "dockerVolume": { "driver": "rexray", "name": "stage", "driverOptions": { "size": "8" } } }
        }
      "#,
            "",
        ),
        (
            "\"value\": \"orders\" }\n",
            "\"value\": \"vol-0000000000000001a\" },\n      { \"key\": \"volume.stage\", \"value\": \"vol-0000000000000002a\" },\n      \
             { \"key\": \"volume.stage.driver\", \"value\": \"rexray\" }\n",
        ),
        (
            "\"instances\": 1\n  }",
            "\"instances\": 1,\n    \"requiredSlaveAttributes\": {\n      \"zone\": \"us-east-1a\"\n    }\n  }",
        ),
    ]);
    has_note(
        only(&migrated, Channel::Labels),
        "options for creation (size) are left out",
    );
}

#[test]
fn a_deploy_alone_says_where_its_zone_belongs() {
    let catalogue = catalogue();
    let text = r#"{"requestId": "r", "id": "1", "command": "x", "labels": {"volume.d": "orders"}}"#;
    let converted = Case::new(Framework::Singularity, text, &catalogue)
        .converts(&[(r#""volume.d": "orders""#, r#""volume.d": "vol-0000000000000001a""#)]);
    has_note(only(&converted, Channel::Labels), "placement belongs to the request");
}

#[test]
fn the_custom_executor_carries_no_label() {
    let catalogue = catalogue();
    let text = BOTH.replace(
        "\"command\": \"./work data\"",
        "\"customExecutorCmd\": \"/usr/local/bin/singularity-executor\"",
    );
    let converted = label_mapper::convert(
        Framework::Singularity,
        &text,
        &Case::new(Framework::Singularity, &text, &catalogue).options,
    );
    has_note(only(&converted.unwrap(), Channel::Nothing), "singularity-executor");
}

#[test]
fn a_docker_deploy_gets_docker_volumes() {
    let catalogue = catalogue();
    let text = r#"{"requestId": "r", "id": "1", "containerInfo": {"type": "DOCKER", "docker": {"image": "i"}}, "mesosLabels": [{"key": "volume.d", "value": "orders"}, {"key": "volume.d.driver", "value": "rexray"}]}"#;
    let converted = Case::new(Framework::Singularity, text, &catalogue).converts(&[
        (
            r#""docker": {"image": "i"}"#,
            r#""docker": {"image": "i"}, "volumes": [{"containerPath": "d", "mode": "RW", "source": {"dockerVolume": {"driver": "rexray", "name": "orders"}, "type": "DOCKER_VOLUME"}}]"#,
        ),
        (
            r#""value": "rexray"}]"#,
            r#""value": "rexray"}, {"key": "volume.d.claim", "value": "vol-0000000000000001a"}]"#,
        ),
    ]);
    only(&converted, Channel::DockerEngine);
}
