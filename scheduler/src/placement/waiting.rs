//! Why a task is not placed: the latest reason for each agent that offered resources.

use std::collections::BTreeMap;

use super::{RunTask, Unfit};
use crate::state::{Agent, Millis};

/// How long a task waits before its waiting is reported, in milliseconds. Offers take a second or
/// two to arrive.
const PATIENCE: Millis = 5_000;

/// The tasks that could be launched but fit no agent.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    since: BTreeMap<RunTask, Millis>,
    /// By task and agent id.
    reasons: BTreeMap<RunTask, BTreeMap<String, (Agent, Unfit)>>,
    last_explained: Option<Millis>,
}

impl Waiting {
    /// Notes why agents are unfit for a task.
    pub(crate) fn note(&mut self, task: &RunTask, reasons: Vec<(Agent, Unfit)>) {
        let known = self.reasons.entry(task.clone()).or_default();
        let reasons = reasons.into_iter();
        known.extend(reasons.map(|(agent, reason)| (agent.id.clone(), (agent, reason))));
    }

    /// A new round of offers begins: agents that are gone will not be in it.
    pub(crate) fn forget_agents(&mut self) {
        self.reasons.clear();
    }

    /// Remembers that exactly these tasks wait now.
    pub(crate) fn keep(&mut self, tasks: impl IntoIterator<Item = RunTask>, now: Millis) {
        let mut before = std::mem::take(&mut self.since);
        self.since = tasks
            .into_iter()
            .map(|task| {
                let since = before.remove(&task).unwrap_or(now);
                (task, since)
            })
            .collect();
        self.reasons.retain(|task, _| self.since.contains_key(task));
    }

    /// When the reasons are to be reported, `every` so many milliseconds; `None` when no task
    /// waits.
    pub(crate) fn deadline(&self, every: Millis) -> Option<Millis> {
        let first = self.since.values().min()? + PATIENCE;
        Some(self.last_explained.map_or(first, |last| first.max(last + every)))
    }

    /// The tasks whose waiting is to be reported now, and for how long each has waited.
    pub(crate) fn take_due(&mut self, every: Millis, now: Millis) -> Vec<(RunTask, Millis)> {
        if self.deadline(every).is_none_or(|deadline| now < deadline) {
            return Vec::new();
        }
        self.last_explained = Some(now);
        let waited = self.since.iter().map(|(task, since)| (task.clone(), now - since));
        waited.filter(|(_, waited)| *waited >= PATIENCE).collect()
    }

    /// The latest reason of each agent.
    pub(crate) fn reasons(&self, task: &RunTask) -> impl Iterator<Item = &(Agent, Unfit)> {
        self.reasons.get(task).into_iter().flat_map(BTreeMap::values)
    }

    /// Each reason with the agents to which it applies.
    pub(crate) fn by_reason(&self, task: &RunTask) -> Vec<(String, Vec<String>)> {
        let mut classes: BTreeMap<&Unfit, Vec<String>> = BTreeMap::new();
        for (agent, reason) in self.reasons(task) {
            classes.entry(reason).or_default().push(agent.to_string());
        }
        let lines = classes.into_iter().map(|(reason, agents)| (reason.to_string(), agents));
        lines.collect()
    }
}
