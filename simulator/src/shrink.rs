//! Making a failing history as short as it can be.

use crate::{Action, Violation, run};

/// Leaves out whatever can be left out while the history still breaks the same promise.
pub fn shrink(mut actions: Vec<Action>, violation: &Violation) -> (Vec<Action>, Violation) {
    let mut smallest = violation.clone();
    actions.truncate(violation.step + 1);
    let mut chunk = actions.len() / 2;
    while chunk > 0 {
        let mut start = 0;
        while start < actions.len() {
            let mut shorter = actions.clone();
            shorter.drain(start..(start + chunk).min(shorter.len()));
            match run(&shorter) {
                Err(found) => {
                    smallest = found;
                    actions = shorter;
                }
                Ok(_) => start += chunk,
            }
        }
        chunk /= 2;
    }
    (actions, smallest)
}
