//! Random histories with crashes: a scheduler that dies between any two of its effects, a master that loses the connection,
//! agents that vanish and come back. Whatever happens, no task runs twice, no volume has two tasks, and once the faults
//! stop the job ends.

mod action;
mod invariants;
mod world;

use action::{Action, action};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use world::{Planted, World};

proptest! {
    // 256 histories unless PROPTEST_CASES says otherwise.
    #[test]
    fn no_history_launches_twice_or_lets_two_write(actions in proptest::collection::vec(action(), 0..150)) {
        run(actions, Planted::Nothing);
    }
}

fn run(actions: Vec<Action>, planted: Planted) {
    let mut world = World::new(planted);
    for action in actions {
        world.act(action);
    }
    world.settle();
}

#[test]
fn every_planted_fault_is_noticed() {
    let all = [
        Planted::ItemsAreForgotten,
        Planted::ClaimsAreForgotten,
        Planted::GoneIsFailed,
        Planted::BeginningsAreUnreported,
        Planted::LateKillsAreLost,
        Planted::LaunchBeforeDisk,
        Planted::LostCallsStayLost,
    ];
    let histories = proptest::collection::vec(action(), 0..150);
    for planted in all {
        let mut runner = TestRunner::deterministic();
        let noticed = (0..1_000).find(|_| {
            let actions = histories
                .new_tree(&mut runner)
                .expect("a history can always be made")
                .current();
            std::panic::catch_unwind(|| run(actions, planted)).is_err()
        });
        println!("{planted:?}: history {noticed:?}");
        assert!(noticed.is_some(), "{planted:?} is not noticed");
    }
}
