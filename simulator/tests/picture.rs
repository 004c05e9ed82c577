//! The picture of a volume's states is the code's: every arrow drawn is taken, and none is taken
//! that is not drawn.

use std::collections::BTreeSet;

use simulator::Action;

const PICTURE: &str = include_str!("../../isolator/docs/states.md");
/// Histories that are always run, so that a transition that is not drawn is found.
const AT_LEAST: u64 = 3_000;
/// Rare transitions are looked for in so many histories.
const AT_MOST: u64 = 12_000;

/// The arrows of one of the picture's tables, `| from | to | why |`.
fn drawn(heading: &str) -> BTreeSet<(String, String)> {
    let (_, section) = PICTURE.split_once(heading).expect("the picture has this heading");
    let section = section.split("\n# ").next().unwrap_or(section);
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let arrow = |row: &str| {
        let (from, rest) = row.split_once("` | `").expect("two states in each row");
        let (to, _) = rest.split_once("` |").expect("two states in each row");
        (from.to_owned(), to.to_owned())
    };
    rows.map(arrow).collect()
}

fn same(what: &str, taken: &BTreeSet<(String, String)>, drawn: &BTreeSet<(String, String)>) {
    let missing: Vec<_> = taken.difference(drawn).collect();
    let idle: Vec<_> = drawn.difference(taken).collect();
    assert!(
        missing.is_empty() && idle.is_empty(),
        "{what}: not drawn: {missing:?}; never taken: {idle:?}"
    );
}

#[test]
fn every_transition_is_drawn_and_every_one_drawn_is_taken() {
    let (mut volumes, mut containers) = (BTreeSet::new(), BTreeSet::new());
    let phase = |phase: Option<isolator::ledger::Phase>| phase.map_or("unknown".to_owned(), |phase| phase.to_string());
    let drawn_containers = drawn("# The states of a container");
    let drawn_volumes = drawn("# The states of a volume");
    for seed in 1..=AT_MOST {
        let all_taken = drawn_containers.is_subset(&containers) && drawn_volumes.is_subset(&volumes);
        if seed > AT_LEAST && all_taken {
            break;
        }
        let outcome = simulator::run(&Action::history(seed)).expect("no promise is broken");
        volumes.extend(
            outcome
                .transitions
                .into_iter()
                .map(|(from, to)| (from.to_string(), to.to_string())),
        );
        containers.extend(outcome.steps.into_iter().map(|(from, to)| (phase(from), phase(to))));
    }
    same("containers", &containers, &drawn_containers);
    same("volumes", &volumes, &drawn_volumes);
}
