//! Sharing offers out among runs.

use std::collections::BTreeSet;

use mesos_http::scheduler::Call;

use super::{RunId, Service, Step};
use crate::ledger::{Claim, ClaimState, Mode};
use crate::machine::placement::Claims;
use crate::machine::pool::{REFUSE_WHILE_IDLE, answers, pools};
use crate::plan::PlannedTask;
use crate::state::Millis;

impl Service {
    /// What follows from how things now stand: launches, and what the master is asked for.
    pub(super) fn advance(&mut self, now: Millis, step: &mut Step) {
        let changed = self.ledger.take_changed();
        self.stale |= !changed.is_empty();
        step.save_claims.extend(changed);
        // With many runs most of what comes says nothing new of what can be launched.
        let something_new = self.stale || !self.offers.is_empty();
        if !self.connected || !something_new {
            return;
        }
        self.stale = false;
        let wanted = self.wanted(now);
        let wanted = self.answer_offers(wanted, now, step);
        self.ask_for_offers(wanted, step);
        step.save_claims.extend(self.ledger.take_changed());
    }

    /// The tasks that could be launched: higher priorities first, then older runs, then the order of the job file.
    fn wanted(&self, now: Millis) -> Vec<(RunId, String)> {
        let mut wanted = Vec::new();
        for id in self.ready.keys() {
            let run = &self.runs[id];
            let begun = run.machine.state().started_ms;
            for (priority, task) in run.machine.candidates(now) {
                if !self.is_taken(id, &task) {
                    wanted.push((std::cmp::Reverse(priority), begun, id.clone(), task));
                }
            }
        }
        // Stable: tasks of one run stay in their order.
        wanted.sort_by(|one, other| (one.0, one.1, &one.2).cmp(&(other.0, other.1, &other.2)));
        wanted.into_iter().map(|(_, _, id, task)| (id, task)).collect()
    }

    /// Whether one of the task's volumes is used by somebody, wherever that is.
    fn is_taken(&self, id: &str, task: &str) -> bool {
        self.in_the_way(id, task).next().is_some()
    }

    /// Who uses volumes of the task, a line each.
    pub(super) fn holders_for(&self, id: &str, task: &str) -> Vec<String> {
        let said = |(volume, claim): (&str, &Claim)| {
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
        self.in_the_way(id, task).map(said).collect()
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

    /// Launches what can be launched and gives every other offer back. Returns what is still wanted.
    fn answer_offers(&mut self, wanted: Vec<(RunId, String)>, now: Millis, step: &mut Step) -> Vec<(RunId, String)> {
        let mut pools = pools(std::mem::take(&mut self.offers));
        if pools.is_empty() {
            return wanted;
        }
        let rules = self.ledger_rules();
        let framework = self.record.framework_id.clone().unwrap_or_default();
        for (id, task) in &wanted {
            let mut claims = Claims {
                ledger: &mut self.ledger,
                rules,
                framework: &framework,
            };
            let mut done = crate::machine::Step::default();
            if let Some(run) = self.runs.get_mut(id) {
                run.machine
                    .try_place(task, &mut pools, Some(&mut claims), now, &mut done);
            }
            self.take(id, done, step);
        }
        let still = self.wanted(now);
        let refuse_seconds = match still.is_empty() {
            true => REFUSE_WHILE_IDLE,
            false => self.settings.rules.refuse_seconds,
        };
        let calls = answers(pools, refuse_seconds);
        self.counters.launched(&calls);
        calls.into_iter().for_each(|call| step.call(call));
        still
    }

    fn ask_for_offers(&mut self, wanted: Vec<(RunId, String)>, step: &mut Step) {
        let wanted: BTreeSet<(RunId, String)> = wanted.into_iter().collect();
        let roles = vec![self.settings.rules.role.clone()];
        if wanted.is_empty() {
            if self.suppressed != Some(true) {
                self.suppressed = Some(true);
                step.call(Call::Suppress { roles });
            }
        } else if self.suppressed != Some(false) || !wanted.is_subset(&self.asked_for) {
            self.suppressed = Some(false);
            step.call(Call::Revive { roles });
        }
        self.asked_for = wanted;
    }
}
