//! Links between the documents.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use crate::blocks::{Page, pages, workspace};

/// The targets of the links of one line.
fn links(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = line;
    while let Some((_, behind)) = rest.split_once("](") {
        let Some((target, after)) = behind.split_once(')') else {
            break;
        };
        found.push(target);
        rest = after;
    }
    found
}

/// The anchors that GitHub gives to the headings of a page.
fn anchors(page: &Page) -> BTreeSet<String> {
    let headings = page.prose().into_iter().filter_map(|(_, line)| {
        let heading = line.trim_start_matches('#');
        (heading.len() < line.len() && heading.starts_with(' ')).then(|| heading.trim())
    });
    headings.map(anchor).collect()
}

fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter_map(|letter| match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        letter if letter.is_alphanumeric() => letter.to_lowercase().next(),
        _ => None,
    });
    kept.collect()
}

/// `docs/../README.md` is `README.md`.
fn resolved(page: &str, target: &str) -> PathBuf {
    let mut path = PathBuf::new();
    let folder = Path::new(page).parent().unwrap_or(Path::new(""));
    for component in folder.join(target).components() {
        match component {
            Component::ParentDir => drop(path.pop()),
            Component::CurDir => {}
            other => path.push(other),
        }
    }
    path
}

#[test]
fn every_link_between_the_documents_leads_to_a_file_and_a_heading() {
    let pages = pages();
    let mut faults = Vec::new();
    for page in &pages {
        for (number, line) in page.prose() {
            for target in links(line) {
                if target.contains("://") || target.starts_with("mailto:") {
                    continue;
                }
                let (file, heading) = target.split_once('#').unwrap_or((target, ""));
                let path = match file {
                    "" => PathBuf::from(&page.name),
                    file => resolved(&page.name, file),
                };
                if !workspace().join(&path).exists() {
                    faults.push(format!("{}:{number}: {target}: there is no such file", page.name));
                    continue;
                }
                let to = pages.iter().find(|other| Path::new(&other.name) == path);
                if let (Some(to), false) = (to, heading.is_empty())
                    && !anchors(to).contains(heading)
                {
                    faults.push(format!("{}:{number}: {target}: there is no such heading", page.name));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_index_names_every_page_of_its_folder() {
    let pages = pages();
    let index = pages.iter().find(|page| page.name == "docs/README.md");
    let index = index.expect("the folder has an index");
    let listed: BTreeSet<PathBuf> = index
        .prose()
        .into_iter()
        .flat_map(|(_, line)| links(line))
        .map(|target| resolved(&index.name, target.split('#').next().unwrap_or_default()))
        .collect();
    let missing: Vec<&str> = pages
        .iter()
        .filter(|page| page.name.starts_with("docs/") && page.name != index.name)
        .filter(|page| !listed.contains(Path::new(&page.name)))
        .map(|page| page.name.as_str())
        .collect();
    assert!(missing.is_empty(), "docs/README.md does not name {missing:?}");
}

#[test]
fn every_crate_has_a_page_whose_paths_exist() {
    let manifest = std::fs::read_to_string(workspace().join("Cargo.toml")).expect("the workspace has a manifest");
    let members = manifest
        .split_once("members = [")
        .and_then(|(_, rest)| rest.split_once(']'));
    let (members, _) = members.expect("the manifest lists the crates");
    let members: Vec<&str> = members.split('"').skip(1).step_by(2).collect();
    assert!(members.len() > 15, "{members:?}");
    let pages = pages();
    let mut faults = Vec::new();
    for member in members {
        let name = format!("{member}/README.md");
        let Some(page) = pages.iter().find(|page| page.name == name) else {
            faults.push(format!("{name} is missing"));
            continue;
        };
        for (number, line) in page.prose() {
            for span in line.split('`').skip(1).step_by(2) {
                let is_path = ["src/", "tests/", "docs/", "proto/"]
                    .iter()
                    .any(|folder| span.starts_with(folder));
                let within = workspace().join(member);
                if is_path && !within.join(span).exists() && !workspace().join(span).exists() {
                    faults.push(format!("{name}:{number}: there is no {span}"));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
