//! Distributes offers among runs.

use std::collections::BTreeSet;

use mesos_http::scheduler::Call;

use super::{Effects, RunId, Service};
use crate::ledger::{Claim, ClaimState, Mode};
use crate::machine::placement::Claims;
use crate::machine::pool::{REFUSE_WHILE_IDLE, answers, pools};
use crate::plan::PlannedTask;
use crate::state::Millis;

impl Service {
    /// Launches what can be launched now, and asks the master for offers or for none.
    pub(super) fn advance(&mut self, now: Millis, effects: &mut Effects) {
        let changed = self.ledger.take_changed();
        self.stale |= !changed.is_empty();
        effects.save_claims.extend(changed);
        // With many runs, most events do not change what can be launched.
        let something_new = self.stale || !self.offers.is_empty();
        if !self.connected || !something_new {
            return;
        }
        self.stale = false;
        let launchable = self.launchable(now);
        let launchable = self.answer_offers(launchable, now, effects);
        self.ask_for_offers(launchable, effects);
        effects.save_claims.extend(self.ledger.take_changed());
    }

    /// The tasks that could be launched: higher priorities first, then older runs, then the order of the job file.
    fn launchable(&self, now: Millis) -> Vec<(RunId, String)> {
        let mut launchable = Vec::new();
        for id in self.ready.keys() {
            let run = &self.runs[id];
            let begun = run.machine.state().started_ms;
            for (priority, task) in run.machine.candidates(now) {
                if !self.is_taken(id, &task) {
                    launchable.push((std::cmp::Reverse(priority), begun, id.clone(), task));
                }
            }
        }
        // Stable: tasks of one run stay in their order.
        launchable.sort_by(|one, other| (one.0, one.1, &one.2).cmp(&(other.0, other.1, &other.2)));
        launchable.into_iter().map(|(_, _, id, task)| (id, task)).collect()
    }

    /// Whether another task uses one of the task's volumes, on any agent.
    fn is_taken(&self, id: &str, task: &str) -> bool {
        self.in_the_way(id, task).next().is_some()
    }

    /// Which tasks use the task's volumes, one line each.
    pub(super) fn holders_for(&self, id: &str, task: &str) -> Vec<String> {
        let line = |(volume, claim): (&str, &Claim)| {
            let (state, task) = (claim.state, &claim.holder.task);
            let held = format!(
                "volume {volume} is {state} by {} on agent {}",
                claim.holder, claim.agent
            );
            match state {
                ClaimState::Suspect => format!(
                    "{held}; it may be free once the agent is back or is marked gone; once it is certain \
                     that the task does not run, declare it dead: scheduler declare-dead --state DIR {task}"
                ),
                _ => held,
            }
        };
        self.in_the_way(id, task).map(line).collect()
    }

    fn in_the_way<'a>(&'a self, id: &str, task: &str) -> impl Iterator<Item = (&'a str, &'a Claim)> {
        let task = self.runs.get(id).and_then(|run| run.machine.plan().task(task));
        let reads = task.map(PlannedTask::reads).unwrap_or_default();
        let volumes = task.map(PlannedTask::claims).unwrap_or_default();
        volumes.into_iter().flat_map(move |volume| {
            let both_read = reads.contains(volume);
            let holders = self
                .ledger
                .volumes
                .get(volume)
                .into_iter()
                .flat_map(|entry| &entry.claims);
            holders
                .filter(move |claim| {
                    let in_use = !matches!(claim.state, ClaimState::Releasing | ClaimState::Fenced);
                    in_use && !(both_read && claim.mode == Mode::Read)
                })
                .map(move |claim| (volume, claim))
        })
    }

    /// Launches what can be launched and gives every other offer back. Returns the tasks that still
    /// wait.
    fn answer_offers(
        &mut self,
        launchable: Vec<(RunId, String)>,
        now: Millis,
        effects: &mut Effects,
    ) -> Vec<(RunId, String)> {
        let mut pools = pools(std::mem::take(&mut self.offers));
        if pools.is_empty() {
            return launchable;
        }
        let rules = self.ledger_rules();
        let framework = self.record.framework_id.clone().unwrap_or_default();
        for (id, task) in &launchable {
            let mut claims = Claims {
                ledger: &mut self.ledger,
                rules,
                framework: &framework,
            };
            let mut done = crate::machine::Effects::default();
            if let Some(run) = self.runs.get_mut(id) {
                run.machine
                    .try_place(task, &mut pools, Some(&mut claims), now, &mut done);
            }
            self.take(id, done, effects);
        }
        let still = self.launchable(now);
        let refuse_seconds = match still.is_empty() {
            true => REFUSE_WHILE_IDLE,
            false => self.settings.rules.refuse_seconds,
        };
        let calls = answers(pools, refuse_seconds);
        self.counters.launched(&calls);
        calls.into_iter().for_each(|call| effects.call(call));
        still
    }

    fn ask_for_offers(&mut self, launchable: Vec<(RunId, String)>, effects: &mut Effects) {
        let launchable: BTreeSet<(RunId, String)> = launchable.into_iter().collect();
        let roles = vec![self.settings.rules.role.clone()];
        if launchable.is_empty() {
            if self.suppressed != Some(true) {
                self.suppressed = Some(true);
                effects.call(Call::Suppress { roles });
            }
        } else if self.suppressed != Some(false) || !launchable.is_subset(&self.asked_for) {
            self.suppressed = Some(false);
            effects.call(Call::Revive { roles });
        }
        self.asked_for = launchable;
    }
}
