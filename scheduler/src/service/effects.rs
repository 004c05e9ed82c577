//! What the caller of a service has to do after an event.

use std::collections::BTreeSet;

use mesos_http::scheduler::Call;

use super::RunId;
use crate::progress::Progress;

/// What the caller has to do, in this order: save (as [`storage::save`](super::storage::save)
/// does), report, call. Steps may be joined, and the whole be carried out at once: what is saved is
/// then at least as new as what the calls follow from.
#[derive(Debug, Default)]
pub struct Effects {
    /// The volumes whose claims have to be made durable.
    pub save_claims: BTreeSet<String>,
    /// The runs that have to be.
    pub save_runs: BTreeSet<RunId>,
    /// The jobs that have to be, or to be forgotten when they are there no more.
    pub save_jobs: BTreeSet<String>,
    /// Whether the service's own record has to be.
    pub save_service: bool,
    /// What to report, each with the run that it is about.
    pub progress: Vec<(Option<RunId>, Progress)>,
    /// The calls to the master, in order.
    pub calls: Vec<Call>,
    /// Runs that have ended and whose notifications are to be sent.
    pub ended: Vec<RunId>,
    /// Runs to remove from disk.
    pub forget: Vec<RunId>,
}

impl Effects {
    /// Adds what follows later.
    pub fn join(&mut self, other: Effects) {
        self.save_claims.extend(other.save_claims);
        self.save_runs.extend(other.save_runs);
        self.save_jobs.extend(other.save_jobs);
        self.save_service |= other.save_service;
        self.progress.extend(other.progress);
        other.calls.into_iter().for_each(|call| self.call(call));
        self.ended.extend(other.ended);
        self.forget.extend(other.forget);
    }

    /// Adds a call. RECONCILE calls of several runs become one. A RECONCILE of all tasks, which
    /// names none, stays separate.
    pub(super) fn call(&mut self, call: Call) {
        match (call, self.calls.last_mut()) {
            (Call::Reconcile { tasks }, Some(Call::Reconcile { tasks: asked }))
                if !tasks.is_empty() && !asked.is_empty() =>
            {
                asked.extend(tasks);
            }
            (call, _) => self.calls.push(call),
        }
    }
}
