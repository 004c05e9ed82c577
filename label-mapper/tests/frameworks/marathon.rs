use label_mapper::{Channel, Framework, Options, Spelling};

use crate::{Case, catalogue, has_note, one_line, only};

const APP: &str = include_str!("definitions/marathon-app.json");
const EXTERNAL: &str = include_str!("definitions/marathon-external.json");
const DOCKER: &str = include_str!("definitions/marathon-docker.json");
const POD: &str = include_str!("definitions/marathon-pod.json");
const GROUP: &str = include_str!("definitions/marathon-group.json");

#[test]
fn an_app_gets_id_and_zone() {
    let catalogue = catalogue();
    let converted = Case::new(Framework::Marathon, APP, &catalogue).converts(&[
        (
            r#""volume.data": "orders","#,
            r#""volume.data": "vol-0000000000000001a","#,
        ),
        (
            r#"[["rack", "UNIQUE"]]"#,
            r#"[["rack", "UNIQUE"], ["zone", "CLUSTER", "us-east-1a"]]"#,
        ),
    ]);
    let task = only(&converted, Channel::Labels);
    assert_eq!(task.task, "/shop/orders-db");
    assert_eq!(task.claims, ["vol-0000000000000001a"]);
    assert_eq!(task.zone.as_deref(), Some("us-east-1a"));
    has_note(task, "lets no task hold items of 'ebsvolumes' (vol-0000000000000001a)");
    assert!(
        !task.notes.iter().any(|note| note.contains("maximumOverCapacity")),
        "{:?}",
        task.notes
    );
}

#[test]
fn a_driver_that_knows_names_gets_the_name_and_the_claim() {
    let catalogue = catalogue();
    let mut case = Case::new(Framework::Marathon, APP, &catalogue);
    case.options.spelling = Spelling::Name;
    case.options.zone_attribute = "@zone";
    case.converts(&[
        (
            "\"volume.data.owner\": \"postgres\"\n",
            "\"volume.data.owner\": \"postgres\",\n        \"volume.data.claim\": \"vol-0000000000000001a\"\n",
        ),
        (
            r#"[["rack", "UNIQUE"]]"#,
            r#"[["rack", "UNIQUE"], ["@zone", "IS", "us-east-1a"]]"#,
        ),
    ]);
}

#[test]
fn a_volume_from_the_command_line_is_added() {
    let catalogue = catalogue();
    let given = [
        ("volume.wal".to_owned(), "plan".to_owned()),
        ("volume.wal.path".to_owned(), "data/wal".to_owned()),
    ];
    let text = "{\n  \"id\": \"/a\",\n  \"cmd\": \"x\",\n  \"labels\": null\n}\n";
    let mut case = Case::new(Framework::Marathon, text, &catalogue);
    case.options.given = &given;
    case.converts(&[(
        "  \"labels\": null\n",
        "  \"labels\": {\n    \"volume.wal\": \"vol-7bca078f\",\n    \"volume.wal.path\": \"data/wal\"\n  },\n  \
         \"constraints\": [[\"zone\", \"CLUSTER\", \"us-east-1a\"]]\n",
    )]);
}

#[test]
fn external_volumes_become_labels() {
    let catalogue = catalogue();
    let migrated = Case::new(Framework::Marathon, EXTERNAL, &catalogue).migrates(&[
        (
            r#"
      {
        "containerPath": "journal",
        "mode": "RW",
        "external": {
          "name": "orders",
          "provider": "dvdi",
          "size": 100,
          "options": { "dvdi/driver": "rexray", "dvdi/volumetype": "gp2" }
        }
      },
"#,
            "\n",
        ),
        (
            r#",
      {
        "containerPath": "conf",
        "mode": "RO",
        "external": { "name": "not-yet", "provider": "dvdi", "options": { "dvdi/driver": "rexray", "dvdi/size": "5" } }
      }"#,
            "",
        ),
        (
            "\"maximumOverCapacity\": 0 }\n",
            r#""maximumOverCapacity": 0 },
  "labels": {
    "volume.conf": "not-yet",
    "volume.conf.driver": "rexray",
    "volume.conf.mode": "ro",
    "volume.conf.create": "if-missing",
    "volume.conf.options.size": "5",
    "volume.journal": "vol-0000000000000001a",
    "volume.journal.driver": "rexray"
  },
  "constraints": [["zone", "CLUSTER", "us-east-1a"]]
"#,
        ),
    ]);
    let task = only(&migrated, Channel::Labels);
    has_note(
        task,
        "the volume exists, and its options for creation (size, volumetype) are left out",
    );
    has_note(task, "no volume 'not-yet' yet");
}

#[test]
fn without_a_catalogue_names_and_options_stay_and_there_is_no_zone() {
    let case = Case {
        framework: Framework::Marathon,
        text: EXTERNAL,
        options: Options::default(),
    };
    let migrated = label_mapper::migrate(case.framework, case.text, &case.options).unwrap();
    for line in [
        r#""volume.journal": "orders","#,
        r#""volume.journal.create": "if-missing","#,
        r#""volume.journal.options.size": "100","#,
        r#""volume.journal.options.volumetype": "gp2""#,
    ] {
        assert!(migrated.definition.contains(line), "{line} in {}", migrated.definition);
    }
    assert!(!migrated.definition.contains("constraints"));
}

#[test]
fn labels_become_external_volumes_again() {
    let catalogue = catalogue();
    let text = "{\n  \"id\": \"/a\",\n  \"labels\": {\n    \"volume.d\": \"sales\",\n    \"team\": \"x\"\n  }\n}\n";
    let mut case = Case::new(Framework::Marathon, text, &catalogue);
    case.options.default_driver = Some("rexray");
    let back = case.migrates_back(&[(
        "    \"volume.d\": \"sales\",\n    \"team\": \"x\"\n  }\n",
        r#"    "team": "x"
  },
  "container": {
    "volumes": [
      {
        "containerPath": "d",
        "external": {
          "name": "orders",
          "options": {
            "dvdi/driver": "rexray"
          },
          "provider": "dvdi"
        },
        "mode": "RW"
      }
    ],
    "type": "MESOS"
  }
"#,
    )]);
    has_note(only(&back, Channel::Labels), "is created");
    let owned = Case::new(Framework::Marathon, APP, &catalogue);
    let options = Options {
        default_driver: Some("rexray"),
        ..owned.options
    };
    let error = label_mapper::migrate_back(owned.framework, owned.text, &options).unwrap_err();
    assert!(
        one_line(&error.to_string()).contains("'volume.data.owner' has no equivalent"),
        "{error}"
    );
}

#[test]
fn a_docker_app_gets_its_volumes_from_the_engine() {
    let catalogue = catalogue();
    let converted = Case::new(Framework::Marathon, DOCKER, &catalogue).converts(&[
        (
            "\"portMappings\": [{\"containerPort\": 80, \"hostPort\": 0}]\n\t\t}\n\t},",
            "\"portMappings\": [{\"containerPort\": 80, \"hostPort\": 0}]\n\t\t},\n\t\t\"volumes\": [\n\t\t\t{\n\t\t\t\t\
             \"containerPath\": \"/srv/pages\",\n\t\t\t\t\"external\": {\n\t\t\t\t\t\"name\": \"orders\",\n\t\t\t\t\t\"options\": {\n\
             \t\t\t\t\t\t\"dvdi/driver\": \"rexray\"\n\t\t\t\t\t},\n\t\t\t\t\t\"provider\": \"dvdi\"\n\t\t\t\t},\n\t\t\t\t\"mode\": \"RW\"\n\
             \t\t\t}\n\t\t]\n\t},",
        ),
        (
            "\"volume.pages.driver\": \"rexray\"\n\t}\n",
            "\"volume.pages.driver\": \"rexray\",\n\t\t\"volume.pages.claim\": \"vol-0000000000000001a\"\n\t},\n\t\"constraints\": \
             [[\"zone\", \"CLUSTER\", \"us-east-1a\"]]\n",
        ),
    ]);
    let task = only(&converted, Channel::DockerEngine);
    has_note(
        task,
        "the Docker engine mounts the volume and counts its users by itself",
    );
    has_note(task, "maximumOverCapacity");
    assert!(converted.all_mounted());
}

#[test]
fn a_docker_app_keeps_its_external_volumes_and_gets_their_zone() {
    let catalogue = catalogue();
    let text = EXTERNAL.replace("\"MESOS\"", "\"DOCKER\"");
    let case = Case::new(Framework::Marathon, &text, &catalogue);
    has_note(
        only(&case.migrates(&[]), Channel::DockerEngine),
        "left in the framework's own fields",
    );
    case.converts(&[(
        "\"maximumOverCapacity\": 0 }\n",
        "\"maximumOverCapacity\": 0 },\n  \"constraints\": [[\"zone\", \"CLUSTER\", \"us-east-1a\"]]\n",
    )]);
}

#[test]
fn a_pod_has_its_labels_at_the_pod() {
    let catalogue = catalogue();
    let converted = Case::new(Framework::Marathon, POD, &catalogue).converts(&[
        (r#""volume.in": "stage","#, r#""volume.in": "vol-0000000000000002a","#),
        (r#""volume.out": "orders""#, r#""volume.out": "vol-0000000000000001a""#),
        (
            "\"maximumOverCapacity\": 0 }\n",
            "\"maximumOverCapacity\": 0 },\n    \"placement\": {\n      \"constraints\": [\n        {\"fieldName\": \"zone\", \
             \"operator\": \"CLUSTER\", \"value\": \"us-east-1a\"}\n      ]\n    }\n",
        ),
    ]);
    let task = only(&converted, Channel::Labels);
    has_note(
        task,
        "the container 'writer' has volume labels of its own, which no isolator sees",
    );
    has_note(task, "vol-0000000000000002a is held by i-0a11b22c33d44e55f (attached)");
}

#[test]
fn a_group_is_converted_app_by_app() {
    let catalogue = catalogue();
    let converted = Case::new(Framework::Marathon, GROUP, &catalogue).converts(&[
        (
            r#""labels": {"volume.data": "orders"}"#,
            r#""labels": {"volume.data": "vol-0000000000000001a"}, "constraints": [["zone", "CLUSTER", "us-east-1a"]]"#,
        ),
        (
            r#""labels": {"volume.r": "reports"}"#,
            r#""labels": {"volume.r": "vol-0000000000000003b"}, "constraints": [["zone", "CLUSTER", "us-east-1b"]]"#,
        ),
    ]);
    let names: Vec<&str> = converted.tasks.iter().map(|task| task.task.as_str()).collect();
    assert_eq!(names, ["/product/database/postgres", "/product/service/reports"]);

    let mut one = Case::new(Framework::Marathon, GROUP, &catalogue);
    one.options.task = Some("/product/service/reports");
    one.converts(&[(
        r#""labels": {"volume.r": "reports"}"#,
        r#""labels": {"volume.r": "vol-0000000000000003b"}, "constraints": [["zone", "CLUSTER", "us-east-1b"]]"#,
    )]);
}

#[test]
fn an_app_with_its_own_executor_is_written_and_told_that_nothing_is_mounted() {
    let catalogue = catalogue();
    let text = r#"{"id": "/a", "executor": "/opt/run", "instances": 3, "labels": {"volume.d": "orders"}}"#;
    let converted = Case::new(Framework::Marathon, text, &catalogue).converts(&[(
        r#"{"volume.d": "orders"}"#,
        r#"{"volume.d": "vol-0000000000000001a"}, "constraints": [["zone", "CLUSTER", "us-east-1a"]]"#,
    )]);
    let task = only(&converted, Channel::Nothing);
    has_note(task, "its executor '/opt/run'");
    has_note(task, "several copies ask for vol-0000000000000001a");
    assert!(!converted.all_mounted());
}

/// Marathon, `ProviderValidationHelpers.validateUniqueVolumes` for its whole group: one volume
/// name, one task.
#[test]
fn apps_of_one_group_that_name_the_same_volume_are_told_of_each_other_unless_all_read() {
    let catalogue = catalogue();
    let group = |first: &str, second: &str| {
        format!(
            r#"{{"id": "/g", "apps": [{{"id": "/g/a", "labels": {{"volume.d": "orders"{first}}}}}], "groups": [{{"id": "/g/h", "apps": [
              {{"id": "/g/h/b", "labels": {{"volume.x": "sales"{second}}}}}, {{"id": "/g/h/c", "labels": {{"volume.x": "stage"}}}}]}}]}}"#
        )
    };
    let note = "is named by '/g/a' and by '/g/h/b', and not all of them only read it";
    let tell = |text: &str| {
        let options = Case::new(Framework::Marathon, text, &catalogue).options;
        let tasks = label_mapper::convert(Framework::Marathon, text, &options)
            .unwrap()
            .tasks;
        tasks
            .iter()
            .map(|task| task.notes.iter().filter(|line| line.contains(note)).count())
            .collect::<Vec<_>>()
    };
    assert_eq!(tell(&group("", "")), [1, 1, 0]);
    assert_eq!(tell(&group(r#", "volume.d.mode": "ro""#, "")), [1, 1, 0]);
    assert_eq!(
        tell(&group(r#", "volume.d.mode": "ro""#, r#", "volume.x.mode": "ro""#)),
        [0, 0, 0]
    );
    assert_eq!(tell(&group(r#", "volume.d.lifetime": "container""#, "")), [0, 0, 0]);
    // Without a catalogue the names are compared, and an external volume counts as one by label
    // does.
    let external = r#"[{"id": "/g/a", "labels": {"volume.d": "x", "volume.d.driver": "r"}}, {"id": "/g/h/b", "container": {"volumes": [{"containerPath": "d", "mode": "RW",
        "external": {"name": "x", "provider": "dvdi", "options": {"dvdi/driver": "r"}}}]}}]"#;
    let tasks = label_mapper::convert(Framework::Marathon, external, &Options::default())
        .unwrap()
        .tasks;
    has_note(&tasks[1], note);
}
