//! Finds claims of launches that were never made, and tasks of runs that are not known any more.

use mesos_http::scheduler::Call;
use mesos_http::types::TaskState;

use super::{Effects, Service};
use crate::ledger::{self, Holder};
use crate::state::Millis;

/// How often the master is asked for every task it knows of the framework.
const ALL_TASKS_EVERY: Millis = 15 * 60_000;
/// And how soon after a subscription for the first time: agents that come back to a new master need a while.
const ALL_TASKS_SOON: Millis = 60_000;

impl Service {
    /// Each run asks for its own tasks; those of no run are found by asking for all, and killed when their state comes.
    pub(super) fn ask_for_all_tasks(&mut self, now: Millis, effects: &mut Effects) {
        if self.connected && now >= self.all_asked + ALL_TASKS_EVERY {
            self.all_asked = now;
            effects.call(Call::Reconcile { tasks: Vec::new() });
        }
    }

    pub(super) fn ask_for_all_tasks_soon(&mut self, now: Millis) {
        self.all_asked = (now + ALL_TASKS_SOON).saturating_sub(ALL_TASKS_EVERY);
    }

    /// Claims of launches that no run knows were never made.
    pub(super) fn forget_unlaunched(&mut self, now: Millis) {
        let Some(framework) = self.record.framework_id.clone() else {
            return;
        };
        let unknown: Vec<Holder> = self
            .ledger
            .claims()
            .filter(|(_, claim)| claim.state == ledger::ClaimState::Intent && claim.holder.framework == framework)
            .map(|(_, claim)| claim.holder.clone())
            .filter(|holder| !self.knows(&holder.task))
            .collect();
        for holder in unknown {
            self.ledger.task(&holder, &TaskState::Dropped, now);
        }
    }

    fn knows(&self, task_id: &str) -> bool {
        self.run_of(task_id).is_some_and(|id| {
            let tasks = self.runs[&id].state().tasks.values();
            tasks
                .flat_map(|record| &record.attempts)
                .any(|attempt| attempt.task_id == task_id)
        })
    }
}
