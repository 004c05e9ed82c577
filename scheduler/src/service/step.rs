//! What follows from an input.

use std::collections::BTreeSet;

use mesos_http::scheduler::Call;

use super::RunId;
use crate::progress::Progress;

/// What is to be done, in this order: save (as [`storage::save`](super::storage::save) does); tell; call. Steps may be joined, and the
/// whole be carried out at once: what is saved is then at least as new as what the calls follow from.
#[derive(Debug, Default)]
pub struct Step {
    /// The volumes whose claims have to be made durable.
    pub save_claims: BTreeSet<String>,
    /// The runs that have to be.
    pub save_runs: BTreeSet<RunId>,
    /// The jobs that have to be, or to be forgotten when they are there no more.
    pub save_jobs: BTreeSet<String>,
    /// Whether the service's own record has to be.
    pub save_service: bool,
    /// For people, with the run it is about.
    pub tell: Vec<(Option<RunId>, Progress)>,
    /// For the master, in order.
    pub calls: Vec<Call>,
    /// Runs that have ended and of which somebody is to be told.
    pub ended: Vec<RunId>,
    /// Runs to remove from disk.
    pub forget: Vec<RunId>,
}

impl Step {
    /// Adds what follows later.
    pub fn join(&mut self, other: Step) {
        self.save_claims.extend(other.save_claims);
        self.save_runs.extend(other.save_runs);
        self.save_jobs.extend(other.save_jobs);
        self.save_service |= other.save_service;
        self.tell.extend(other.tell);
        other.calls.into_iter().for_each(|call| self.call(call));
        self.ended.extend(other.ended);
        self.forget.extend(other.forget);
    }

    /// Adds a call. Questions about tasks of several runs are one; the one about all tasks, which names none, stays apart.
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
