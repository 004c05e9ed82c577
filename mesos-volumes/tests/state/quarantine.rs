//! What the agent found to be no records.

use std::fs;

use serde_json::json;

use crate::site::{Site, mounted, record, write};

/// A folder in whose quarantine there is a record that was damaged, and one that somebody had
/// renamed.
fn damaged() -> Site {
    let site = Site::new();
    let store = site.store();
    write(&store, record("whole", [("vol-1", mounted("/volumes/vol-1"))]));
    write(&store, record("torn", [("vol-2", mounted("/volumes/vol-2"))]));
    let containers = site.state().join("containers");
    fs::rename(containers.join("whole.json"), containers.join("renamed.json")).unwrap();
    let text = fs::read_to_string(containers.join("torn.json")).unwrap();
    fs::write(containers.join("torn.json"), &text[..40]).unwrap();
    assert_eq!(store.load().unwrap(), []);
    site
}

#[test]
fn quarantine_tells_of_each_file_what_it_is() {
    let site = damaged();
    let said = site.run(&["quarantine", "ls", "--json"]).json();
    let files = said["files"].as_array().unwrap();
    assert_eq!(
        (&files[0]["file"], &files[0]["container"]),
        (&json!("renamed.json"), &json!("whole"))
    );
    assert_eq!(
        (&files[1]["file"], &files[1]["container"]),
        (&json!("torn.json"), &json!(null))
    );
    assert!(files[1]["reason"].as_str().unwrap().contains("EOF"), "{said:#}");
    let table = site.run(&["quarantine", "ls"]).ok();
    assert!(
        table.contains("a record of container whole: it can be restored"),
        "{table}"
    );
    assert!(
        site.run(&["ls"])
            .ok()
            .contains("2 in quarantine: see 'mesos-volumes quarantine ls'")
    );
    let shown = site.run(&["quarantine", "show", "torn.json"]).ok();
    assert!(shown.starts_with("{\"version\":1,"), "{shown}");
}

#[test]
fn a_record_that_is_whole_after_all_can_be_restored() {
    let site = damaged();
    let said = site.run(&["quarantine", "restore", "renamed.json"]).ok();
    assert!(said.contains("the record of container whole is back"), "{said}");
    let found = site.store().load().unwrap();
    assert_eq!(found[0].record.container.to_string(), "whole");
    let torn = site.run(&["quarantine", "restore", "torn.json"]);
    assert_eq!(torn.code, 1, "{torn:?}");
    assert!(torn.stderr.contains("EOF"), "{torn:?}");
    fs::copy(
        site.state().join("containers/whole.json"),
        site.state().join("quarantine/again.json"),
    )
    .unwrap();
    let again = site.run(&["quarantine", "restore", "again.json"]);
    assert_eq!(again.code, 1, "{again:?}");
    assert!(
        again.stderr.contains("container whole has a record already"),
        "{again:?}"
    );
}

#[test]
fn files_leave_quarantine_by_name_and_nothing_else_does() {
    let site = damaged();
    for name in ["../host-id", "..", "nothing.json", ""] {
        for command in ["show", "restore", "rm"] {
            let ran = site.run(&["quarantine", command, name]);
            assert_eq!(ran.code, 3, "{command} {name}: {ran:?}");
        }
    }
    assert!(site.state().join("host-id").exists());
    site.run(&["quarantine", "rm", "torn.json", "renamed.json"]).ok();
    assert_eq!(site.run(&["quarantine", "ls"]).ok(), "nothing is in quarantine\n");
}

#[test]
fn a_terminal_never_gets_control_characters() {
    let site = damaged();
    fs::write(site.state().join("quarantine/evil\u{1b}[2J.json"), "\u{1b}[2J").unwrap();
    for command in [&["ls"][..], &["show", "evil\u{1b}[2J.json"]] {
        let said = site.run(&[&["quarantine"], command].concat()).ok();
        assert!(said.contains("\\u{1b}") && !said.contains('\u{1b}'), "{said:?}");
    }
}

#[test]
fn attack_a_quarantined_file_cannot_turn_a_line_around_or_hide_a_part_of_it() {
    let site = damaged();
    let (name, text) = (
        "evil\u{202e}nosj.\u{200b}json",
        "{\"a\": \"\u{202e}\u{200b}\u{2066}\u{e0041}\"}",
    );
    fs::write(site.state().join("quarantine").join(name), text).unwrap();
    for command in [
        &["ls"][..],
        &["ls", "--json"],
        &["show", name],
        &["show", name, "--json"],
    ] {
        let said = site.run(&[&["quarantine"], command].concat()).ok();
        assert!(said.contains("202e"), "{said:?}");
        let hidden = |c: char| c != '\n' && !foreign_text::is_visible(c);
        assert!(!said.contains(hidden), "{said:?}");
    }
}
