//! Why a task is not placed: the latest reason for each agent that offered resources.

use std::collections::BTreeMap;

use super::placement::Unfit;
use super::{Effects, Machine};
use crate::plan::PlannedTask;
use crate::progress::Progress;
use crate::state::{Agent, Millis, Standing};

/// How long a task waits before its waiting is reported, in milliseconds. Offers take a second or
/// two to arrive.
const PATIENCE: Millis = 5_000;

/// The tasks that could be launched but fit no agent.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    since: BTreeMap<String, Millis>,
    /// By task and agent id.
    reasons: BTreeMap<String, BTreeMap<String, (Agent, Unfit)>>,
    last_explained: Option<Millis>,
}

impl Waiting {
    pub(super) fn note(&mut self, task: &str, reasons: Vec<(Agent, Unfit)>) {
        let known = self.reasons.entry(task.to_owned()).or_default();
        known.extend(
            reasons
                .into_iter()
                .map(|(agent, reason)| (agent.id.clone(), (agent, reason))),
        );
    }

    /// A new round of offers begins: agents that are gone will not be in it.
    pub(super) fn forget_agents(&mut self) {
        self.reasons.clear();
    }

    /// Remembers that exactly these tasks wait now.
    fn keep(&mut self, wanted: &[String], now: Millis) {
        self.since.retain(|task, _| wanted.contains(task));
        self.reasons.retain(|task, _| wanted.contains(task));
        for task in wanted {
            self.since.entry(task.clone()).or_insert(now);
        }
    }

    /// When the reasons are to be reported; `None` when no task waits.
    pub(super) fn deadline(&self, every: Millis) -> Option<Millis> {
        let first = self.since.values().min()? + PATIENCE;
        Some(self.last_explained.map_or(first, |last| first.max(last + every)))
    }
}

/// Why a task does not run.
#[derive(Debug, serde::Serialize)]
pub struct Explanation {
    /// The task's name in the job file.
    pub task: String,
    /// The standing of the task in its job.
    pub standing: Standing,
    /// Why the task has not finished, one line for each reason. Empty when it has.
    pub why: Vec<String>,
}

impl Machine {
    /// Why each task has not finished.
    pub fn explanations(&self, now: Millis) -> Vec<Explanation> {
        self.plan.tasks.iter().map(|task| self.explanation(task, now)).collect()
    }

    fn explanation(&self, task: &PlannedTask, now: Millis) -> Explanation {
        let record = &self.state.tasks[task.name()];
        let standing = record.standing();
        let mut why = Vec::new();
        match standing {
            Standing::Waiting => {
                let open = task.task.after.iter().filter(|name| !self.state.is_finished(name));
                why.extend(open.map(|name| format!("it runs after '{name}', which is not finished")));
            }
            Standing::Ready => {
                if record.not_before_ms > now {
                    why.push(format!("it is launched again in {} ms", record.not_before_ms - now));
                }
                for (holder, attempt) in self.state.live() {
                    if attempt
                        .claims
                        .iter()
                        .any(|claim| task.claims().contains(claim.as_str()))
                    {
                        why.push(format!("'{holder}' uses one of its volumes on {}", attempt.agent));
                    }
                }
                for (agent, reason) in self
                    .waiting
                    .reasons
                    .get(task.name())
                    .into_iter()
                    .flat_map(BTreeMap::values)
                {
                    why.push(format!("{agent}: {reason}"));
                }
                if why.is_empty() {
                    why.push(
                        "no agent has offered resources yet; check that agents have free resources for the role"
                            .to_owned(),
                    );
                }
            }
            Standing::Active => {
                if let Some(attempt) = record.live() {
                    let state = attempt.state.as_ref().map_or("not confirmed", |state| state.as_str());
                    why.push(format!("it is {state} on {}", attempt.agent));
                    if attempt.is_in_doubt() {
                        why.push(super::doubt::remedy(attempt));
                    }
                }
            }
            Standing::Failed => why.extend(record.attempts.last().map(|last| super::failure(task.name(), last))),
            Standing::Finished => {}
        }
        Explanation {
            task: task.name().to_owned(),
            standing,
            why,
        }
    }

    pub(super) fn explain(&mut self, now: Millis, effects: &mut Effects) {
        let wanted: Vec<String> = self.launchable(now).map(str::to_owned).collect();
        self.waiting.keep(&wanted, now);
        if self
            .waiting
            .deadline(self.rules.explain_every)
            .is_none_or(|deadline| now < deadline)
        {
            return;
        }
        self.waiting.last_explained = Some(now);
        for task in wanted {
            let for_ms = now - self.waiting.since.get(&task).copied().unwrap_or(now);
            if for_ms < PATIENCE {
                continue;
            }
            let mut classes: BTreeMap<&Unfit, Vec<String>> = BTreeMap::new();
            for (agent, reason) in self.waiting.reasons.get(&task).into_iter().flat_map(BTreeMap::values) {
                classes.entry(reason).or_default().push(agent.to_string());
            }
            let reasons = classes
                .into_iter()
                .map(|(reason, agents)| (reason.to_string(), agents))
                .collect();
            effects.progress.push(Progress::Waiting { task, for_ms, reasons });
        }
    }
}
