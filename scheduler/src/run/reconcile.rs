//! Asking the master about tasks of which no update has arrived.

use std::collections::{BTreeMap, BTreeSet};

use mesos_http::scheduler::{Call, TaskReference};

use super::{Effects, Run};
use crate::state::{Attempt, Millis};

/// The first pause before RECONCILE is repeated, in milliseconds; it doubles each time.
const FIRST_PAUSE: Millis = 1_000;
/// The longest pause.
const LONGEST_PAUSE: Millis = 60_000;

/// The tasks for which the master has yet to send an update. It sends none for tasks of agents that
/// have not registered again, so RECONCILE is repeated until each task is answered.
#[derive(Debug, Default)]
pub(super) struct Reconciliation {
    unanswered: BTreeSet<String>,
    next: Option<Millis>,
    /// How often it was sent since the master last answered for every task.
    repeats: u32,
    /// When RECONCILE was last sent for all tasks that may run.
    all_asked: Millis,
}

impl Reconciliation {
    pub(super) fn begin(&mut self, tasks: BTreeSet<String>, now: Millis) {
        self.unanswered = tasks;
        self.next = Some(now);
        self.repeats = 0;
        self.all_asked = now;
    }

    pub(super) fn answered(&mut self, task: &str) {
        self.unanswered.remove(task);
    }

    pub(super) fn deadline(&self) -> Option<Millis> {
        self.next
    }
}

impl Run {
    pub(super) fn reconcile(&mut self, now: Millis, effects: &mut Effects) {
        let due = self.reconciliation.next.is_some_and(|next| next <= now);
        if !due {
            return;
        }
        let all = now >= self.reconciliation.all_asked + self.rules.reconcile_every;
        if all {
            self.reconciliation.all_asked = now;
        }
        let live: BTreeMap<&str, &Attempt> = self
            .state
            .live()
            .map(|(_, attempt)| (attempt.task_id.as_str(), attempt))
            .collect();
        let asked: BTreeSet<String> = live
            .iter()
            .filter(|(id, attempt)| {
                all || self.reconciliation.unanswered.contains(**id) || self.is_doubtful(attempt, now)
            })
            .map(|(id, _)| (*id).to_owned())
            .collect();
        let tasks: Vec<TaskReference> = asked
            .iter()
            .filter_map(|id| live.get(id.as_str()))
            .map(|attempt| TaskReference {
                task_id: attempt.task_id.clone().into(),
                agent_id: Some(attempt.agent.id.clone().into()),
            })
            .collect();
        if tasks.is_empty() {
            self.reconciliation.repeats = 0;
        } else {
            // An empty list would ask for every task of the framework.
            effects.calls.push(Call::Reconcile { tasks });
        }
        self.reconciliation.unanswered = asked;
        let pause = match self.reconciliation.unanswered.is_empty() {
            true => self.rules.confirm_within,
            false => backoff::doubled_ms(self.reconciliation.repeats + 1, FIRST_PAUSE, LONGEST_PAUSE),
        };
        self.reconciliation.repeats += 1;
        self.reconciliation.next = Some(now + pause);
    }

    /// Whether the last known state of the attempt may be out of date.
    fn is_doubtful(&self, attempt: &Attempt, now: Millis) -> bool {
        let unconfirmed = attempt.state.is_none() && now >= attempt.intended_ms + self.rules.confirm_within;
        unconfirmed || attempt.is_in_doubt()
    }
}
