//! The command line, run as people run it.

use std::io::Write;
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
fn name_map_refuses_twins_and_lists_them() {
    let output = label_mapper(&["name-map", "--catalogue", "-"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("vol-0aaaaaaaaaaaaaaa3, vol-0aaaaaaaaaaaaaaa4"),
        "{}",
        text(&output.stderr)
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
