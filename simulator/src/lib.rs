//! A deterministic simulator for the isolator's ledger and records: random containers, driver
//! answers, delays, crashes, power cuts and disks in trouble, with the promises of the design
//! checked after every step.
//!
//! A history is a list of [`Action`]s made from a seed. Each action does nothing where it does not
//! apply, so any part of a history is a history too; that is how a failing one is shrunk. The
//! [`World`] holds what is true apart from the ledger: the driver, Mesos, and the real records on a
//! [`MemoryDisk`]. When a history is over, faults stop, every container ends, and nothing may be
//! left.

mod action;
mod disk;
mod driver;
mod invariants;
mod mutant;
mod records;
mod shrink;
mod spelling;
mod world;

pub use action::{Action, Work};
pub use disk::{Fault, MemoryDisk, OpenFile};
pub use mutant::Mutant;
pub use shrink::shrink;
pub use world::{Outcome, World};

/// Runs one history to its end and past it: faults stop and every container leaves.
///
/// # Errors
/// The first promise that was broken.
pub fn run(actions: &[Action]) -> Result<Outcome, Violation> {
    run_in(World::default(), actions)
}

/// As [`run`], in a world with a fault.
///
/// # Errors
/// The promise by which the fault was noticed.
pub fn run_mutated(mutant: Mutant, actions: &[Action]) -> Result<Outcome, Violation> {
    run_in(World::with(mutant), actions)
}

fn run_in(mut world: World, actions: &[Action]) -> Result<Outcome, Violation> {
    for (step, action) in actions.iter().enumerate() {
        world
            .act(action)
            .and_then(|()| invariants::check(&world))
            .map_err(|what| Violation { what, step })?;
    }
    world.wind_down().map_err(|what| Violation {
        what,
        step: actions.len(),
    })?;
    Ok(world.outcome())
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which promise, and where.
    pub what: String,
    /// After which action; the history's length when it showed only at the end.
    pub step: usize,
}
