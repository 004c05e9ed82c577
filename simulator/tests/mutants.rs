//! The invariants are worth something only if they notice faults: each of the planted ones is
//! noticed.

use simulator::{Action, Mutant, run_mutated};

/// Histories a mutant gets; most are noticed in the first few dozen. What `MountTableIgnored`
/// breaks takes a hand that unmounts, a start of the agent and a new container for the same volume,
/// which is rare; `EarlierRemovalRepeated` is rarer still.
const HISTORIES: u64 = 30_000;

fn noticed(mutant: Mutant) -> Option<(u64, String)> {
    (1..=HISTORIES).find_map(|seed| {
        run_mutated(mutant, &Action::history(seed))
            .err()
            .map(|violation| (seed, violation.what))
    })
}

#[test]
fn every_planted_fault_is_noticed() {
    let mut missed = Vec::new();
    for mutant in Mutant::ALL {
        match noticed(mutant) {
            Some((seed, what)) => println!("{mutant:?}: history {seed}: {what}"),
            None => missed.push(mutant),
        }
    }
    assert!(missed.is_empty(), "not noticed in {HISTORIES} histories: {missed:?}");
}
