use label_mapper::{Channel, Framework};

use crate::{Case, catalogue, has_note, only};

const TASK: &str = include_str!("definitions/task-info.json");
const VOLUMES: &str = include_str!("definitions/task-info-docker-volume.json");

#[test]
fn a_task_gets_labels_and_the_items_it_must_hold() {
    let catalogue = catalogue();
    let mut case = Case::new(Framework::TaskInfo, TASK, &catalogue);
    case.options.claim_role = Some("etl");
    let converted = case.converts(&[
        (r#""value": "orders""#, r#""value": "vol-0000000000000001a""#),
        (r#""value": "stage" }"#, r#""value": "vol-0000000000000002a" }"#),
        (
            "\"value\": 256 }, \"allocation_info\": { \"role\": \"etl\" } }\n",
            "\"value\": 256 }, \"allocation_info\": { \"role\": \"etl\" } },\n    { \"allocation_info\": { \"role\": \"etl\" }, \
             \"name\": \"ebsvolumes\", \"reservations\": [{ \"role\": \"etl\", \"type\": \"STATIC\" }], \"set\": { \"item\": \
             [\"vol-0000000000000001a\", \"vol-0000000000000002a\"] }, \"type\": \"SET\" }\n",
        ),
    ]);
    has_note(
        only(&converted, Channel::Labels),
        "launch it on an offer of an agent in that zone",
    );
}

#[test]
fn items_held_already_are_kept() {
    let catalogue = catalogue();
    let text = r#"{"task_id": {"value": "t"}, "labels": {"labels": [{"key": "volume.a", "value": "vol-7bca078f"}, {"key": "volume.b", "value": "orders"}]},
 "resources": [{"name": "ebsvolumes", "type": "SET", "set": {"item": ["vol-7bca078f"]}}]}"#;
    Case::new(Framework::TaskInfo, text, &catalogue).converts(&[
        (r#""value": "orders""#, r#""value": "vol-0000000000000001a""#),
        (r#"["vol-7bca078f"]"#, r#"["vol-7bca078f", "vol-0000000000000001a"]"#),
    ]);
}

#[test]
fn a_task_with_an_executor_gets_the_executors_labels() {
    let catalogue = catalogue();
    let given = [("volume.d".to_owned(), "orders".to_owned())];
    let text = r#"{"task_id": {"value": "t"}, "executor": {"executor_id": {"value": "e"}}, "resources": []}"#;
    let mut case = Case::new(Framework::TaskInfo, text, &catalogue);
    case.options.given = &given;
    let converted = case.converts(&[
        (
            r#"{"value": "e"}"#,
            r#"{"value": "e"}, "labels": {"labels": [{"key": "volume.d", "value": "vol-0000000000000001a"}]}"#,
        ),
        (
            r#""resources": []"#,
            r#""resources": [{"name": "ebsvolumes", "set": {"item": ["vol-0000000000000001a"]}, "type": "SET"}]"#,
        ),
    ]);
    has_note(
        only(&converted, Channel::Labels),
        "it has an executor, whose labels the isolator sees",
    );
}

#[test]
fn docker_volumes_become_labels_but_not_under_the_docker_containerizer() {
    let catalogue = catalogue();
    let migrated = Case::new(Framework::TaskInfo, VOLUMES, &catalogue).migrates(&[
        (
            r#"
        {"mode": "RW", "container_path": "pg", "source": {"type": "DOCKER_VOLUME", "docker_volume": {"driver": "rexray", "name": "orders",
          "driver_options": {"parameter": [{"key": "size", "value": "16"}]}}}}
      "#,
            "",
        ),
        (
            r#""resources": [{"name": "cpus", "type": "SCALAR", "scalar": {"value": 1}}],
    "command": {"value": "pg"},"#,
            r#""resources": [{"name": "cpus", "type": "SCALAR", "scalar": {"value": 1}}, {"name": "ebsvolumes", "set": {"item": ["vol-0000000000000001a"]}, "type": "SET"}],
    "command": {"value": "pg"},"#,
        ),
        (
            "\"volumes\": []\n    }\n",
            "\"volumes\": []\n    },\n    \"labels\": {\n      \"labels\": [\n        {\"key\": \"volume.pg\", \"value\": \"vol-0000000000000001a\"},\n        \
             {\"key\": \"volume.pg.driver\", \"value\": \"rexray\"}\n      ]\n    }\n",
        ),
    ]);
    let channels: Vec<Channel> = migrated.tasks.iter().map(|task| task.channel).collect();
    assert_eq!(channels, [Channel::Labels, Channel::DockerEngine]);
    has_note(&migrated.tasks[1], "left in the framework's own fields");
}
