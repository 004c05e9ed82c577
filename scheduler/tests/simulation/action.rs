//! What can happen in a history.

use proptest::prelude::*;
use scheduler::state::Millis;

#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// An agent's free resources are offered.
    Offer(usize),
    /// A task on an agent goes on to its next state.
    Advance {
        task: usize,
        fails: bool,
    },
    /// The oldest unacknowledged update of a task comes, perhaps again.
    Deliver(usize),
    /// The scheduler dies at its next effect: before it saves (0), or after it has made so many
    /// calls (1 and up).
    Crash(usize),
    /// The connection breaks and is made again.
    Reconnect,
    /// The next call is lost on its way, and the scheduler's connection knows it.
    LoseCall,
    /// The next call is carried out, and its answer is lost.
    LoseAnswer,
    /// An agent cannot be reached; what runs there runs on.
    Vanish(usize),
    /// It is back.
    Return(usize),
    /// It is gone for good with all its tasks, says an operator; another takes its place.
    MarkGone(usize),
    /// An agent has forgotten a task that ran there, and says that it is gone.
    Forget(usize),
    /// Another framework takes the item of the volume that is only read, and writes.
    TakeItem(usize),
    /// It gives the item back.
    GiveItem(usize),
    /// An operator cancels the run.
    Cancel,
    Pass(Millis),
}

pub(crate) fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => (0..2usize).prop_map(Action::Offer),
        6 => (0..8usize, proptest::bool::weighted(0.1)).prop_map(|(task, fails)| Action::Advance { task, fails }),
        8 => (0..8usize).prop_map(Action::Deliver),
        2 => (0..4usize).prop_map(Action::Crash),
        1 => Just(Action::Reconnect),
        2 => Just(Action::LoseCall),
        1 => Just(Action::LoseAnswer),
        1 => (0..2usize).prop_map(Action::Vanish),
        1 => (0..2usize).prop_map(Action::Return),
        1 => (0..2usize).prop_map(Action::MarkGone),
        1 => (0..8usize).prop_map(Action::Forget),
        1 => (0..2usize).prop_map(Action::TakeItem),
        1 => (0..2usize).prop_map(Action::GiveItem),
        1 => proptest::bool::weighted(0.1).prop_map(|cancel| if cancel { Action::Cancel } else { Action::Reconnect }),
        2 => (1..70_000u64).prop_map(Action::Pass),
    ]
}
