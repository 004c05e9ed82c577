//! The command line, run as people run it.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

const LISTING: &str = include_str!("volumes.json");

fn label_mapper(arguments: &[&str]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_label-mapper"))
        .args(arguments)
        .env_remove("LABEL_MAPPER_CATALOGUE")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("label-mapper starts");
    // A run that does not read its input may close it first.
    let _ = child
        .stdin
        .take()
        .expect("stdin is piped")
        .write_all(LISTING.as_bytes());
    child.wait_with_output().expect("label-mapper ends")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("output is text")
}

#[test]
fn resolve_prints_labels_claim_and_zone() {
    let output = label_mapper(&["resolve", "orders", "--catalogue", "-", "--slot", "src"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(
        text(&output.stdout),
        "volume     vol-0aaaaaaaaaaaaaaa1  orders  us-east-1a  16 GiB  in-use  held by i-0a11b22c33d44e55f (attached)\n\
         label      volume.src=vol-0aaaaaaaaaaaaaaa1\n\
         resource   ebsvolumes:{vol-0aaaaaaaaaaaaaaa1}\n\
         zone       us-east-1a\n"
    );
}

#[test]
fn resolve_as_json_is_one_object() {
    let output = label_mapper(&["resolve", "reports", "--catalogue", "-", "--json", "--spelling", "name"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["labels"]["volume.data"], "reports");
    assert_eq!(json["labels"]["volume.data.claim"], "vol-0aaaaaaaaaaaaaaa2");
    assert_eq!(
        json["claim"],
        serde_json::json!({"resource": "ebsvolumes", "items": ["vol-0aaaaaaaaaaaaaaa2"]})
    );
    assert_eq!(json["volume"]["state"], "available");
    assert_eq!(json["volume"]["multi_attach"], true);
}

#[test]
fn a_wrong_name_ends_with_one_line_and_exit_code_1() {
    let output = label_mapper(&["resolve", "ordres", "--catalogue", "-"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let error = text(&output.stderr);
    assert_eq!(
        error,
        "label-mapper: no volume has the id or the Name tag 'ordres', did you mean 'orders'?\n"
    );
}

#[test]
fn a_missing_catalogue_is_named() {
    let output = label_mapper(&["list", "--catalogue", "/nonexistent/volumes.json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("cannot read the catalogue /nonexistent/volumes.json: No such file"));
}

#[test]
fn a_bad_slot_is_wrong_usage() {
    let output = label_mapper(&["resolve", "orders", "--catalogue", "-", "--slot", "Data"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("bad slot 'Data'"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn name_map_leaves_doubtful_names_out_and_tells_them() {
    let output = label_mapper(&["name-map", "--catalogue", "-"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        text(&output.stderr).lines().count(),
        1,
        "a line for each doubtful name: {}",
        text(&output.stderr)
    );
    assert!(
        text(&output.stderr).contains("vol-0aaaaaaaaaaaaaaa3, vol-0aaaaaaaaaaaaaaa4"),
        "{}",
        text(&output.stderr)
    );
    let names: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(names["vol-0aaaaaaaaaaaaaaa1"], "orders");
    assert!(names.get("vol-0aaaaaaaaaaaaaaa3").is_none(), "{names}");
}

#[test]
fn name_map_and_job_file_print_one_json_object_with_their_notes_inside() {
    let output = label_mapper(&["name-map", "--catalogue", "-", "--json"]);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["names"]["vol-0aaaaaaaaaaaaaaa1"], "orders");
    assert_eq!(
        (json["doubtful"].as_array().map(Vec::len), &json["file"]),
        (Some(1), &serde_json::Value::Null)
    );

    let app = br#"{"id": "/a", "cmd": "x", "container": {"volumes": [{"containerPath": "d", "external": {"provider": "csi", "name": "v"}}]}}"#;
    let mut file = tempfile::NamedTempFile::new().expect("there is room for a file");
    file.write_all(app).expect("there is room for a file");
    let path = file.path().to_str().expect("the path is text");
    let output = label_mapper(&["job-file", "--from", "marathon", "--json", path]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["leaves_volumes_out"], true);
    assert!(
        json["job_file"].as_str().is_some_and(|text| text.contains("tasks:")),
        "{json:#}"
    );
    assert_eq!(
        json["notes"].as_array().map(|notes| !notes.is_empty()),
        Some(true),
        "{json:#}"
    );
}

/// Runs with a catalogue of its own in a file.
fn with_catalogue(catalogue: &[u8], arguments: &[&str]) -> Output {
    let mut file = tempfile::NamedTempFile::new().expect("there is room for a file");
    file.write_all(catalogue).expect("there is room for a file");
    let path = file.path().to_str().expect("the path is text");
    label_mapper(&[arguments, &["--catalogue", path]].concat())
}

#[test]
fn names_that_differ_in_case_alone_are_refused_by_resolve_too() {
    let twins = b"volumes: [{id: vol-1, zone: z, name: RC1}, {id: vol-2, zone: z, name: rc1}]";
    let output = with_catalogue(twins, &["resolve", "rc1", "--spelling", "name"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    assert_eq!(
        text(&output.stderr),
        "label-mapper: the driver is given the name 'rc1', which vol-1, vol-2 have but for upper and lower case: rename all but one\n"
    );
    assert!(
        with_catalogue(twins, &["resolve", "rc1"]).status.success(),
        "their ids distinguish them"
    );
}

#[test]
fn what_is_wrong_with_a_catalogue_is_said_once() {
    let output = with_catalogue(br#"{"Volumes": [{"VolumeId": 1}]}"#, &["list"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stderr).matches("invalid type").count(),
        1,
        "{}",
        text(&output.stderr)
    );
    assert_eq!(text(&output.stderr).lines().count(), 1);
}

#[test]
fn a_catalogue_that_powershell_wrote_is_read() {
    let listing = "\u{feff}".to_owned() + LISTING;
    let wide: Vec<u8> = listing.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let output = with_catalogue(&wide, &["list"]);
    assert_eq!(text(&output.stdout).lines().count(), 7, "{}", text(&output.stderr));
}

#[test]
fn a_job_without_one_of_its_volumes_is_printed_with_exit_code_3() {
    let app = br#"{"id": "/a", "cmd": "x", "container": {"volumes": [{"containerPath": "d", "external": {"provider": "csi", "name": "v"}}]}}"#;
    let mut file = tempfile::NamedTempFile::new().expect("there is room for a file");
    file.write_all(app).expect("there is room for a file");
    let path = file.path().to_str().expect("the path is text");
    let output = label_mapper(&["job-file", "--from", "marathon", path]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert!(
        text(&output.stderr).contains("it runs without a volume: the one at 'd' is left out"),
        "{}",
        text(&output.stderr)
    );
    let explained = label_mapper(&["explain", "--from", "marathon", path]);
    assert!(
        text(&explained.stdout).contains("its provider is 'csi'"),
        "{}",
        text(&explained.stdout)
    );
    assert!(explained.status.success());
}

#[test]
fn that_no_task_has_volumes_is_said_of_the_volumes_that_were_asked_for() {
    let mut file = tempfile::NamedTempFile::new().expect("there is room for a file");
    file.write_all(br#"[{"id": "/a", "labels": {"volume.d": "orders"}}, {"id": "/b"}]"#)
        .expect("there is room for a file");
    let path = file.path().to_str().expect("the path is text");
    let explain = ["explain", "--from", "marathon", path];
    assert!(text(&label_mapper(&explain).stdout).starts_with("task '/a'"));
    assert_eq!(
        text(&label_mapper(&[&explain[..], &["--task", "/b"]].concat()).stdout),
        "task '/b' has no volumes\n"
    );
    let migrated = label_mapper(&["migrate", "--from", "marathon", path]);
    assert_eq!(
        text(&migrated.stderr),
        "label-mapper: no task here has volumes in the framework's own fields, nothing is changed\n"
    );
    let back = label_mapper(&["migrate", "--back", "--from", "marathon", "--task", "/b", path]);
    assert_eq!(
        text(&back.stderr),
        "label-mapper: task '/b' has no volumes by label, nothing is changed\n"
    );
}

#[test]
fn list_shows_every_volume() {
    let output = label_mapper(&["list", "--catalogue", "-", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json.as_array().map(Vec::len), Some(7));
    let output = label_mapper(&["list", "--catalogue", "-"]);
    assert_eq!(text(&output.stdout).lines().count(), 7);
}

#[test]
fn attack_what_stands_in_the_place_of_a_catalogue_is_refused_in_a_line_and_does_not_block() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("volumes.json");
    let listed = || {
        let output = label_mapper(&["list", "--catalogue", path.to_str().unwrap()]);
        (output.status.code(), text(&output.stderr).to_owned())
    };
    std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
    let (code, said) = listed();
    assert_eq!(code, Some(1));
    assert!(
        said.contains("volumes.json: it is a device, not a regular file"),
        "{said}"
    );
    fs::remove_file(&path).unwrap();
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let (_, said) = listed();
    assert!(
        said.contains("it is a FIFO") && said.contains("'--catalogue -'"),
        "{said}"
    );
    fs::remove_file(&path).unwrap();
    fs::write(&path, LISTING).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let (_, said) = listed();
    assert!(said.contains("its mode 666 lets others than its owner write"), "{said}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(listed().0, Some(0));
}

#[test]
fn attack_an_alias_that_is_given_twice_is_refused() {
    for text in [
        "aliases: {sales: vol-1, sales: vol-2}\nvolumes: []",
        r#"{"aliases": {"sales": "vol-1", "sales": "vol-2"}, "volumes": []}"#,
        r#"{"Volumes": [], "Volumes": []}"#,
    ] {
        let problem = label_mapper::Catalogue::from_texts([text]).expect_err(text).to_string();
        let words = ["uplicate", "given twice"];
        assert!(words.iter().any(|words| problem.contains(words)), "{problem}");
    }
}
