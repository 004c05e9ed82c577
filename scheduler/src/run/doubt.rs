//! Tasks of which it is not known whether they run. They keep their volumes until an update
//! arrives, until the storage lists their volumes as detached, or until an operator declares them
//! dead.

use mesos_http::types::{TaskState, TaskStatus};

use super::{Effects, Run};
use crate::progress::Progress;
use crate::state::{Attempt, Millis};

impl Run {
    /// The attempts of which it is not known whether they run.
    pub fn in_doubt(&self) -> impl Iterator<Item = &Attempt> {
        self.state
            .live()
            .map(|(_, attempt)| attempt)
            .filter(|attempt| attempt.is_in_doubt())
    }

    /// Whether an operator may declare this task dead.
    ///
    /// # Errors
    /// One line: why not, and what to do instead.
    pub(crate) fn may_be_declared_dead(&self, task_id: &str) -> Result<(), String> {
        let found = self.state.live().find(|(_, attempt)| attempt.task_id == task_id);
        let Some((_, attempt)) = found else {
            return Err(format!("task '{task_id}' has ended, or was never launched"));
        };
        match &attempt.state {
            _ if attempt.is_in_doubt() => Ok(()),
            Some(state) => Err(format!(
                "task '{task_id}' is {state} on {}, so that its agent can be reached; cancel its run to end it",
                attempt.agent
            )),
            None => Err(format!(
                "task '{task_id}' was launched on {} and no update has arrived yet; the scheduler asks the master",
                attempt.agent
            )),
        }
    }

    pub(super) fn declared_dead(&mut self, task_id: &str, now: Millis, effects: &mut Effects) {
        if let Err(reason) = self.may_be_declared_dead(task_id) {
            effects.progress.push(Progress::NotDeclared {
                task_id: task_id.to_owned(),
                reason,
            });
            return;
        }
        let mut status = TaskStatus::new(task_id.into(), TaskState::GoneByOperator);
        status.message = Some("an operator has declared it dead".to_owned());
        self.update(status, now, effects);
    }

    pub(super) fn detached(&mut self, task_id: &str, now: Millis, effects: &mut Effects) {
        let attempts = self.state.tasks.values_mut().flat_map(|record| &mut record.attempts);
        let Some(attempt) = attempts.into_iter().find(|attempt| attempt.task_id == task_id) else {
            return;
        };
        attempt.seen_running = true;
        let mut status = TaskStatus::new(task_id.into(), TaskState::Gone);
        status.message = Some(format!(
            "the master does not know agent {} any more, and the storage has detached {}",
            attempt.agent.id,
            attempt.claims.join(", ")
        ));
        self.update(status, now, effects);
    }
}

/// What an operator can do about a task of which it is not known whether it runs.
pub(super) fn remedy(attempt: &Attempt) -> String {
    let (agent, task) = (&attempt.agent.id, &attempt.task_id);
    let declare = format!(
        "once it is certain that the task does not run, declare it dead: scheduler declare-dead --state DIR {task}"
    );
    match attempt.state {
        Some(TaskState::Unreachable) => format!(
            "the master cannot reach agent {agent}: bring the agent back; when its host is gone for good, mark it gone at the master \
             (MARK_AGENT_GONE); or, {declare}"
        ),
        _ => format!("the master does not know agent {agent} any more, which may be back under another id; {declare}"),
    }
}
