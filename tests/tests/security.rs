//! The threat model is what tests prove: each line of a table of defences names tests, and each of these exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this package is in a workspace")
}

/// The name of each function that follows `#[test]`, in all Rust files below a folder.
fn tests_below(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("the workspace can be read").flatten() {
        let path = entry.path();
        let is_built = path.file_name().is_some_and(|name| name == "target" || name == ".git");
        if path.is_dir() && !is_built {
            tests_below(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("the workspace can be read");
            let mut is_test = false;
            for line in text.lines().map(str::trim) {
                is_test |= line == "#[test]" || line.starts_with("#[tokio::test");
                let name = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
                if let Some((name, _)) = name.and_then(|rest| rest.split_once('('))
                    && std::mem::take(&mut is_test)
                {
                    names.insert(name.to_owned());
                }
            }
        }
    }
}

/// A page tells frameworks what to do, and what it says is what tests do.
#[test]
fn third_party_each_line_of_the_page_for_frameworks_names_tests_that_exist() {
    let page = fs::read_to_string(workspace().join("docs/frameworks.md")).unwrap();
    let mut known = BTreeSet::new();
    tests_below(workspace(), &mut known);
    let rows = page
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| a framework "));
    let mut lines = 0;
    for line in rows {
        let tests = line.trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "no test proves this line: {line}");
        for name in named {
            assert!(
                known.contains(name),
                "there is no test '{name}', which docs/frameworks.md names"
            );
        }
        lines += 1;
    }
    assert!(lines >= 12, "{lines} lines: the table is read");
}

#[test]
fn each_line_of_the_threat_model_names_tests_that_exist() {
    let page = fs::read_to_string(workspace().join("SECURITY.md")).unwrap();
    let (_, defences) = page.split_once("## What is defended").unwrap();
    let (defences, _) = defences.split_once("## What is not defended").unwrap();
    let mut known = BTreeSet::new();
    tests_below(workspace(), &mut known);
    let mut lines = 0;
    let heads = ["| attack ", "|---"];
    for line in defences.lines().filter(|line| line.starts_with('|')) {
        if heads.iter().any(|head| line.starts_with(head)) {
            continue;
        }
        let tests = line.trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "no test proves this line: {line}");
        for name in named {
            assert!(
                known.contains(name),
                "there is no test '{name}', which SECURITY.md names"
            );
        }
        lines += 1;
    }
    assert!(lines >= 20, "{lines} lines: the tables are read");
}
