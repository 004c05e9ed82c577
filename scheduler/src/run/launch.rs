//! Notes launches in the state of a run.

use std::collections::BTreeSet;

use super::{Effects, Run};
use crate::plan::PlannedTask;
use crate::progress::Progress;
use crate::state::{Agent, Attempt, Millis};

impl Run {
    /// The task id of the task's next attempt.
    pub(crate) fn next_task_id(&self, name: &str) -> String {
        format!("{}.{name}.{}", self.id, self.next_number(name))
    }

    fn next_number(&self, name: &str) -> usize {
        self.state.tasks.get(name).map_or(0, |record| record.attempts.len()) + 1
    }

    /// The agent on which one of the task's volumes was used last in this run.
    pub(crate) fn last_agent(&self, task: &PlannedTask) -> Option<&str> {
        let claims = task.claims();
        let attempts = self.state.tasks.values().flat_map(|record| &record.attempts);
        attempts
            .filter(|attempt| attempt.claims.iter().any(|claim| claims.contains(claim.as_str())))
            .max_by_key(|attempt| attempt.intended_ms)
            .map(|attempt| attempt.agent.id.as_str())
    }

    /// Notes that `task` is launched on `agent`, and returns the attempt with its number. The state
    /// has to be on disk before the launch is made. `without_item` are the volumes that the task
    /// reads and whose item of the SET resource another reader on the agent holds.
    pub(crate) fn launch(
        &mut self,
        task: &PlannedTask,
        agent: Agent,
        without_item: &BTreeSet<String>,
        now: Millis,
        effects: &mut Effects,
    ) -> (Attempt, usize) {
        let number = self.next_number(task.name());
        let attempt = Attempt {
            task_id: self.next_task_id(task.name()),
            agent,
            claims: task.claims().into_iter().map(str::to_owned).collect(),
            reads: task.reads().into_iter().map(str::to_owned).collect(),
            without_item: without_item.iter().cloned().collect(),
            intended_ms: now,
            seen_running: false,
            state: None,
            reason: None,
            message: None,
            changes: Vec::new(),
            verdict: None,
        };
        effects.progress.push(Progress::launched(task, &attempt));
        effects.save = true;
        let record = self.state.tasks.entry(task.name().to_owned()).or_default();
        record.attempts.push(attempt.clone());
        (attempt, number)
    }

    /// Launches the task not before `until`. This is not worth a write to the disk: a scheduler
    /// that starts again asks again.
    pub(crate) fn delay(&mut self, name: &str, until: Millis) {
        if let Some(record) = self.state.tasks.get_mut(name) {
            record.not_before_ms = until;
        }
    }
}
