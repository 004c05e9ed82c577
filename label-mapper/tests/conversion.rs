//! Conversion and explanation on the command line, run as people run them.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

const APP: &str = r#"{"id": "/a", "labels": {"volume.data": "sales"}}"#;
const CATALOGUE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/frameworks/definitions/catalogue.yaml"
);

fn label_mapper(arguments: &[&str], input: &str) -> Output {
    // A checkout may belong to another user, whose catalogue is not trusted.
    let folder = tempfile::tempdir().expect("a folder can be made");
    let copy = file(
        &folder,
        "catalogue.yaml",
        include_str!("frameworks/definitions/catalogue.yaml"),
    );
    let copy = copy.to_str().expect("the path is text");
    let mut child = Command::new(env!("CARGO_BIN_EXE_label-mapper"))
        .args(
            arguments
                .iter()
                .map(|argument| if *argument == CATALOGUE { copy } else { argument }),
        )
        .env_remove("LABEL_MAPPER_CATALOGUE")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("label-mapper starts");
    // A run that does not read its input may close it first.
    let _ = child.stdin.take().expect("stdin is piped").write_all(input.as_bytes());
    child.wait_with_output().expect("label-mapper ends")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("output is text")
}

/// A file that lasts as long as the folder.
fn file(folder: &tempfile::TempDir, name: &str, content: &str) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, content).expect("the folder is writable");
    path
}

#[test]
fn convert_prints_the_definition_and_tells_notes_apart() {
    let output = label_mapper(&["convert", "--from", "marathon", "--catalogue", CATALOGUE], APP);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(
        text(&output.stdout),
        r#"{"id": "/a", "labels": {"volume.data": "vol-0000000000000001a"}, "constraints": [["zone", "CLUSTER", "us-east-1a"]]}"#
    );
    assert!(
        text(&output.stderr)
            .lines()
            .all(|line| line.starts_with("label-mapper: task '/a': "))
    );
}

#[test]
fn convert_as_json_has_the_definition_and_the_tasks() {
    let arguments = [
        "convert",
        "--from",
        "marathon",
        "--json",
        "--catalogue",
        CATALOGUE,
        "--volume",
        "wal=plan",
        "--label",
        "volume.wal.mode=ro",
    ];
    let output = label_mapper(&arguments, APP);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["tasks"][0]["task"], "/a");
    assert_eq!(json["tasks"][0]["channel"], "labels");
    assert_eq!(
        json["tasks"][0]["claims"],
        serde_json::json!(["vol-0000000000000001a", "vol-7bca078f"])
    );
    let definition: serde_json::Value = serde_json::from_str(json["definition"].as_str().unwrap()).unwrap();
    assert_eq!(definition["labels"]["volume.wal.mode"], "ro");
}

#[test]
fn a_task_that_gets_no_volume_ends_with_exit_code_3() {
    let app = r#"{"id": "/a", "executor": "/x", "labels": {"volume.data": "sales"}}"#;
    for command in ["convert", "explain"] {
        let mut arguments = vec![command, "--from", "marathon", "--catalogue", CATALOGUE];
        arguments.push("-");
        let output = label_mapper(&arguments, app);
        assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
        assert!(!output.stdout.is_empty());
    }
}

#[test]
fn a_definition_that_is_wrong_ends_with_one_line_and_nothing_printed() {
    let output = label_mapper(&["convert", "--from", "chronos", "--catalogue", CATALOGUE], APP);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    assert_eq!(
        text(&output.stderr),
        "label-mapper: chronos: the definition has no 'name', so it is no Chronos job\n"
    );
}

#[test]
fn a_conversion_that_looks_nothing_up_is_refused() {
    let output = label_mapper(&["convert", "--from", "marathon"], APP);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    assert!(
        text(&output.stderr).contains("names are looked up in a catalogue: give --catalogue FILE"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn wrong_usage_ends_with_exit_code_2() {
    for arguments in [
        &["convert", "--from", "kubernetes"][..],
        &["convert", "--from", "marathon", "--volume", "data"],
        &["convert", "--from", "marathon", "--volume", "Data=orders"],
        &["convert", "--from", "marathon", "--label", "team=x"],
    ] {
        assert_eq!(label_mapper(arguments, "").status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn migrate_goes_there_and_back() {
    let app = r#"{"id": "/a", "container": {"type": "MESOS", "volumes": [{"containerPath": "d", "external": {"name": "x", "options": {"dvdi/driver": "r"}, "provider": "dvdi"}, "mode": "RW"}]}, "labels": {}}"#;
    let there = label_mapper(&["migrate", "--from", "marathon"], app);
    assert_eq!(there.status.code(), Some(0), "{}", text(&there.stderr));
    assert!(
        text(&there.stdout).contains(r#""volume.d.driver": "r""#),
        "{}",
        text(&there.stdout)
    );
    let back = label_mapper(&["migrate", "--from", "marathon", "--back"], text(&there.stdout));
    assert_eq!(text(&back.stdout), app);
}

#[test]
fn a_catalogue_comes_from_a_command_and_is_merged_with_files() {
    let command = format!("cat '{CATALOGUE}'");
    let folder = tempfile::tempdir().unwrap();
    let aliases = file(&folder, "aliases.yaml", "aliases: {mine: orders}\n");
    let output = label_mapper(
        &[
            "resolve",
            "mine",
            "--catalogue",
            aliases.to_str().unwrap(),
            "--catalogue-command",
            &command,
        ],
        "",
    );
    assert!(
        text(&output.stdout).contains("volume.data=vol-0000000000000001a"),
        "{}",
        text(&output.stderr)
    );

    let output = label_mapper(&["list", "--catalogue-command", "echo no credentials >&2; exit 7"], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).starts_with("no credentials\n"),
        "{}",
        text(&output.stderr)
    );
    assert!(
        text(&output.stderr).contains("failed: exit status: 7"),
        "{}",
        text(&output.stderr)
    );

    let output = label_mapper(&["list"], "");
    assert!(text(&output.stderr).contains("no catalogue: give --catalogue FILE or --catalogue-command"));

    let output = label_mapper(&["convert", "--from", "marathon", "--catalogue", "-"], APP);
    assert!(
        text(&output.stderr).contains("cannot both come from standard input"),
        "{}",
        text(&output.stderr)
    );
}

const SLAVES: &str = r#"{"slaves": [
    {"hostname": "a1", "port": 5051, "attributes": {"zone": "us-east-1a", "instance_id": "i-1"}, "resources": {"ebsvolumes": "{vol-0000000000000001a}"}},
    {"hostname": "a2", "attributes": {"zone": "us-east-1b"}, "resources": {"ebsvolumes": "{vol-0000000000000001a}"}}
]}"#;

#[test]
fn explain_of_a_definition_says_what_goes_where_and_who_can_run_it() {
    let folder = tempfile::tempdir().unwrap();
    let agents = file(&folder, "slaves.json", SLAVES);
    let agents = agents.to_str().unwrap();
    let arguments = [
        "explain",
        "-",
        "--from",
        "marathon",
        "--catalogue",
        CATALOGUE,
        "--agents",
        agents,
    ];
    let output = label_mapper(&arguments, APP);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    for line in [
        "task '/a'\n",
        "  channel    labels\n  labels in  TaskInfo.labels\n",
        "'sales' is vol-0000000000000001a in us-east-1a; it comes by label as 'vol-0000000000000001a' to data (rw), through the \
         agent's default driver\n",
        "  label      volume.data=vol-0000000000000001a\n",
        "  resource   ebsvolumes:{vol-0000000000000001a}\n",
        "  agent      a1:5051  yes\n",
        "  agent      a2  no: it is in zone us-east-1b, the volumes are in us-east-1a\n",
        "  agents     1 of 2 can run it\n",
    ] {
        assert!(shown.contains(line), "'{line}' in {shown}");
    }
    let arguments = [
        "explain",
        "-",
        "--from",
        "marathon",
        "--catalogue",
        CATALOGUE,
        "--agents",
        agents,
        "--json",
    ];
    let json: serde_json::Value = serde_json::from_slice(&label_mapper(&arguments, APP).stdout).unwrap();
    assert_eq!(json[0]["agents"][1]["fits"], false);
    assert_eq!(json[0]["zone"], "us-east-1a");
}

#[test]
fn explain_of_a_name_says_why_no_agent_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let agents = file(&folder, "slaves.json", SLAVES);
    let output = label_mapper(
        &[
            "explain",
            "stage",
            "--catalogue",
            CATALOGUE,
            "--agents",
            agents.to_str().unwrap(),
        ],
        "",
    );
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    for words in [
        "note       vol-0000000000000002a is held by i-0a11b22c33d44e55f (attached)",
        "agent      a1:5051  no: its resource 'ebsvolumes' does not list vol-0000000000000002a; vol-0000000000000002a is held by",
        "agents     0 of 2 can run it",
    ] {
        assert!(shown.contains(words), "'{words}' in {shown}");
    }
}

#[test]
fn explain_of_a_file_without_its_framework_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let app = file(&folder, "app.json", APP);
    let output = label_mapper(&["explain", app.to_str().unwrap(), "--catalogue", CATALOGUE], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("the file of that name is read when --from names its framework"),
        "{}",
        text(&output.stderr)
    );
}
