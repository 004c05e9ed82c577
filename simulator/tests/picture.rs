//! The picture of a volume's states is the code's: every arrow drawn is taken, and none is taken that is not drawn.

use std::collections::BTreeSet;

use simulator::Action;

const PICTURE: &str = include_str!("../../isolator/docs/states.md");
const HISTORIES: u64 = 3_000;

/// The arrows of the picture's table, `| from | to | why |`.
fn drawn() -> BTreeSet<(String, String)> {
    let rows = PICTURE.lines().filter_map(|line| line.strip_prefix("| `"));
    let arrow = |row: &str| {
        let (from, rest) = row.split_once("` | `").expect("two states in each row");
        let (to, _) = rest.split_once("` |").expect("two states in each row");
        (from.to_owned(), to.to_owned())
    };
    rows.map(arrow).collect()
}

#[test]
fn every_transition_is_drawn_and_every_one_drawn_is_taken() {
    let mut taken = BTreeSet::new();
    for seed in 1..=HISTORIES {
        let outcome = simulator::run(&Action::history(seed)).expect("no promise is broken");
        taken.extend(
            outcome
                .transitions
                .into_iter()
                .map(|(from, to)| (from.to_string(), to.to_string())),
        );
    }
    let drawn = drawn();
    let missing: Vec<_> = taken.difference(&drawn).collect();
    let idle: Vec<_> = drawn.difference(&taken).collect();
    assert!(
        missing.is_empty() && idle.is_empty(),
        "not drawn: {missing:#?}; never taken: {idle:#?}"
    );
}
