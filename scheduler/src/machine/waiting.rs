//! Why a task is not placed: the latest reason of each agent that offered something.

use std::collections::BTreeMap;

use super::placement::Unfit;
use super::{Machine, Step};
use crate::progress::Progress;
use crate::state::{Agent, Millis};

/// A task is not told to wait before it has waited for so long: offers take a second or two to come.
const PATIENCE: Millis = 5_000;

/// The tasks that could be launched if only an agent were right for them.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    since: BTreeMap<String, Millis>,
    /// By task and agent id.
    reasons: BTreeMap<String, BTreeMap<String, (Agent, Unfit)>>,
    told: Option<Millis>,
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

    /// These and no others wait now.
    fn keep(&mut self, wanted: &[String], now: Millis) {
        self.since.retain(|task, _| wanted.contains(task));
        self.reasons.retain(|task, _| wanted.contains(task));
        for task in wanted {
            self.since.entry(task.clone()).or_insert(now);
        }
    }

    /// When there is something to tell.
    pub(super) fn deadline(&self, every: Millis) -> Option<Millis> {
        let first = self.since.values().min()? + PATIENCE;
        Some(self.told.map_or(first, |told| first.max(told + every)))
    }
}

impl Machine {
    pub(super) fn explain(&mut self, now: Millis, step: &mut Step) {
        let wanted: Vec<String> = self.wanted(now).map(str::to_owned).collect();
        self.waiting.keep(&wanted, now);
        if self
            .waiting
            .deadline(self.rules.explain_every)
            .is_none_or(|deadline| now < deadline)
        {
            return;
        }
        self.waiting.told = Some(now);
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
            step.tell.push(Progress::Waiting { task, for_ms, reasons });
        }
    }
}
