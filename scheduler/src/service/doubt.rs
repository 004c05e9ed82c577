//! Tasks of which it is not known whether they run, and how a listing of the storage or an operator
//! ends them.

use mesos_http::types::TaskState;

use super::{Effects, RequestError, RunId, Service};
use crate::ledger::{ClaimState, Holder};
use crate::run::Event;
use crate::state::{Attempt, Millis};

impl Service {
    /// An operator declares that the task with this id does not run: a task of a run, or of another
    /// framework that has claims. Its claims are FENCED, so that its volumes are free once the
    /// storage has detached them.
    ///
    /// # Errors
    /// The task is none that is in doubt.
    pub fn declare_dead(&mut self, task_id: &str, now: Millis) -> Result<Effects, RequestError> {
        let run = self.run_of(task_id);
        let live = |id: &RunId| self.runs[id].state().live().any(|(_, live)| live.task_id == task_id);
        let run = run.filter(live);
        if let Some(id) = &run {
            let run = &self.runs[id].run;
            run.may_be_declared_dead(task_id).map_err(RequestError::Conflict)?;
        }
        let suspects = self
            .ledger
            .claims()
            .filter(|(_, claim)| claim.state == ClaimState::Suspect);
        let holders = suspects
            .map(|(_, claim)| claim.holder.clone())
            .filter(|holder| holder.task == task_id);
        let holders: Vec<Holder> = holders.collect();
        if run.is_none() && holders.is_empty() {
            return Err(RequestError::Unknown(format!(
                "task '{task_id}' of which it is not known whether it runs"
            )));
        }
        for holder in holders {
            self.ledger.task(&holder, &TaskState::GoneByOperator, now);
        }
        let mut effects = Effects::default();
        if let Some(id) = run {
            let task_id = task_id.to_owned();
            self.event(&id, Event::DeclaredDead { task_id }, now, &mut effects);
        }
        self.advance(now, &mut effects);
        Ok(effects)
    }

    /// Ends the tasks of agents that the master does not know any more, once the storage has detached every volume they ran
    /// with: such an agent never speaks of them again. One that cannot be reached may, so its tasks are not among them.
    pub(super) fn end_detached(&mut self, now: Millis, effects: &mut Effects) {
        let mut detached = Vec::new();
        for id in &self.active {
            let attempts = self.runs[id].run.in_doubt();
            let proven = attempts.filter(|attempt| self.is_detached(attempt));
            detached.extend(proven.map(|attempt| (id.clone(), attempt.task_id.clone())));
        }
        for (id, task_id) in detached {
            self.event(&id, Event::Detached { task_id }, now, effects);
        }
    }

    fn is_detached(&self, attempt: &Attempt) -> bool {
        let Some(framework) = &self.record.framework_id else {
            return false;
        };
        let forgotten = matches!(attempt.state, Some(TaskState::Lost | TaskState::Unknown));
        let holder = Holder {
            framework: framework.clone(),
            task: attempt.task_id.clone(),
        };
        let proven = |volume: &String| {
            let entry = self.ledger.volumes.get(volume);
            entry.is_some_and(|entry| entry.was_fenced(&holder))
        };
        forgotten && !attempt.claims.is_empty() && attempt.claims.iter().all(proven)
    }

    /// How a listing of the storage can end a task of a run, which the run itself does not know.
    pub(super) fn storages_word(&self, id: &str, task: &str) -> Option<String> {
        let attempt = self.runs.get(id)?.state().tasks.get(task)?.live()?;
        let forgotten = matches!(attempt.state, Some(TaskState::Lost | TaskState::Unknown));
        let ends = self.settings.storage && forgotten && !attempt.claims.is_empty();
        ends.then(|| {
            format!(
                "it ends by itself when the storage lists {} as detached",
                attempt.claims.join(", ")
            )
        })
    }
}
