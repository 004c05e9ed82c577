//! Distributes offers among runs.

use std::cmp::Reverse;

use mesos_http::scheduler::Call;

use super::{Effects, RunId, Service};
use crate::ledger::{Claim, ClaimState, Mode};
use crate::placement::{Placement, REFUSE_WHILE_IDLE, RunTask, answers};
use crate::plan::PlannedTask;
use crate::progress::Progress;
use crate::state::Millis;

impl Service {
    /// Launches what can be launched now, and asks the master for offers or for none.
    pub(super) fn advance(&mut self, now: Millis, effects: &mut Effects) {
        let changed = self.ledger.take_changed();
        self.stale |= !changed.is_empty();
        effects.save_claims.extend(changed);
        if self.end_with_its_job(effects) {
            return;
        }
        // With many runs, most events do not change what can be launched.
        let something_new = self.stale || !self.offers.is_empty();
        if !self.connected || !something_new {
            return;
        }
        self.stale = false;
        self.answer_offers(now, effects);
        let candidates = self.candidates(now);
        let wanted = candidates.iter().filter(|task| !self.is_taken(task)).cloned();
        let call = self.offers.ask(wanted.collect(), &self.settings.rules.role);
        if let Some(call) = call {
            if matches!(call, Call::Revive { .. }) {
                self.waiting.forget_agents();
            }
            effects.call(call);
        }
        self.keep_waiting(candidates, now);
        self.report_waiting(now, effects);
        effects.save_claims.extend(self.ledger.take_changed());
    }

    /// When [`Event::Tick`](super::Event::Tick) is due; `None` when nothing depends on time.
    pub fn deadline(&self) -> Option<Millis> {
        if !self.connected {
            return None;
        }
        let runs = self.active.iter().filter_map(|id| self.runs[id].run.deadline());
        let waiting = self.waiting.deadline(self.settings.rules.explain_every);
        runs.chain(waiting).min()
    }

    /// The tasks that could be launched as far as their jobs go: higher priorities first, then
    /// older runs, then the order of the job file.
    fn candidates(&self, now: Millis) -> Vec<RunTask> {
        let mut candidates = Vec::new();
        for id in self.ready.keys() {
            let run = &self.runs[id].run;
            let begun = run.state().started_ms;
            for (priority, task) in run.candidates(now) {
                candidates.push((Reverse(priority), begun, (id.clone(), task.name().to_owned())));
            }
        }
        // Stable: tasks of one run stay in their order.
        candidates.sort_by(|one, other| (one.0, one.1, &one.2.0).cmp(&(other.0, other.1, &other.2.0)));
        candidates.into_iter().map(|(_, _, task)| task).collect()
    }

    /// Whether another task uses one of the task's volumes, on any agent.
    fn is_taken(&self, task: &RunTask) -> bool {
        self.in_the_way(task).next().is_some()
    }

    /// Remembers which tasks wait for an agent: those that could be launched, and those that are
    /// delayed until a volume is let go. A task that waits for another one of its own run is in the
    /// order of the job.
    fn keep_waiting(&mut self, candidates: Vec<RunTask>, now: Millis) {
        let of_run = |id| {
            let paused = self.runs[id].run.paused(now);
            paused.map(move |task| (RunId::clone(id), task.name().to_owned()))
        };
        let delayed = self.ready.keys().flat_map(of_run);
        let delayed = delayed.filter(|task| self.waiting.reasons(task).next().is_some());
        let waiting = candidates.into_iter().chain(delayed);
        let waiting: Vec<RunTask> = waiting.filter(|task| !self.waits_for_sibling(task)).collect();
        self.waiting.keep(waiting, now);
    }

    fn waits_for_sibling(&self, task: &RunTask) -> bool {
        let mut holders = self.in_the_way(task);
        holders.any(|(_, claim)| self.run_of(&claim.holder.task).as_ref() == Some(&task.0))
    }

    /// Adds why a task that could be launched is not.
    pub(super) fn explain_ready(&self, task: &RunTask, why: &mut Vec<String>) {
        let holders = self.holders_for(task);
        if !holders.is_empty() {
            *why = holders;
            return;
        }
        let unfit = self.waiting.reasons(task);
        let unfit: Vec<String> = unfit.map(|(agent, reason)| format!("{agent}: {reason}")).collect();
        if !unfit.is_empty() {
            // They are also why it is paused.
            *why = unfit;
        }
        if why.is_empty() {
            why.push(
                "no agent has offered resources yet; check that agents have free resources for the role".to_owned(),
            );
        }
    }

    fn report_waiting(&mut self, now: Millis, effects: &mut Effects) {
        for (task, for_ms) in self.waiting.take_due(self.settings.rules.explain_every, now) {
            let holders = self.holders_for(&task);
            let reasons = match holders.is_empty() {
                true => self.waiting.by_reason(&task),
                false => holders.into_iter().map(|holder| (holder, Vec::new())).collect(),
            };
            let (run, task) = task;
            effects
                .progress
                .push((Some(run), Progress::Waiting { task, for_ms, reasons }));
        }
    }

    /// Which tasks use the task's volumes, one line each.
    fn holders_for(&self, task: &RunTask) -> Vec<String> {
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
        self.in_the_way(task).map(line).collect()
    }

    fn in_the_way<'a>(&'a self, task: &RunTask) -> impl Iterator<Item = (&'a str, &'a Claim)> + use<'a> {
        let (id, name) = task;
        let task = self.runs.get(id).and_then(|entry| entry.plan().task(name));
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

    /// Launches what can be launched and gives every other offer back.
    fn answer_offers(&mut self, now: Millis, effects: &mut Effects) {
        let mut pools = self.offers.take();
        if pools.is_empty() {
            return;
        }
        let ledger_rules = self.ledger_rules();
        let framework = self.record.framework_id.clone().unwrap_or_default();
        for task in self.candidates(now) {
            // One that was placed just now may have the volume of the next.
            if self.is_taken(&task) {
                continue;
            }
            let (id, name) = &task;
            let Some(entry) = self.runs.get_mut(id) else { continue };
            let mut placement = Placement {
                ledger: &mut self.ledger,
                ledger_rules,
                framework: &framework,
                rules: &self.settings.rules,
            };
            match placement.place(&mut entry.run, name, &mut pools, now) {
                Ok(placed) => self.take(id, placed, effects),
                Err(unfit) => self.waiting.note(&task, unfit),
            }
        }
        let still_wanted = self.candidates(now).iter().any(|task| !self.is_taken(task));
        let refuse_seconds = match still_wanted {
            true => self.settings.rules.refuse_seconds,
            false => REFUSE_WHILE_IDLE,
        };
        let calls = answers(pools, refuse_seconds);
        self.counters.launched(&calls);
        calls.into_iter().for_each(|call| effects.call(call));
    }
}
