//! The runs of a service. Each has its own machine.

use super::{Cause, Effects, RunId, RunRecord, Service};
use crate::machine::{Event, Explanation, Machine};
use crate::notification;
use crate::progress::Progress;
use crate::state::{Millis, Standing};

/// One run of a job: its record and its machine.
#[derive(Debug)]
pub struct Run {
    pub(super) record: RunRecord,
    pub(super) machine: Machine,
}

impl Run {
    /// The run with its latest state, as it is to lie on disk.
    pub fn record(&self) -> RunRecord {
        RunRecord {
            state: self.machine.state().clone(),
            ..self.record.clone()
        }
    }

    /// The job's name.
    pub fn job(&self) -> &str {
        &self.record.job
    }

    /// Which run of the job it is, from 1.
    pub fn number(&self) -> u64 {
        self.record.number
    }

    /// Why it was begun.
    pub fn cause(&self) -> Cause {
        self.record.cause
    }

    /// The job on its way.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    pub(super) fn is_over(&self) -> bool {
        self.machine.state().end.is_some()
    }

    /// Whether it is over and its notifications were sent.
    pub(super) fn is_done(&self) -> bool {
        self.machine.state().end.as_ref().is_some_and(|end| end.notified)
    }
}

impl Service {
    pub(super) fn each_run(&mut self, event: &Event, now: Millis, effects: &mut Effects) {
        for id in self.active.clone() {
            self.event(&id, event.clone(), now, effects);
        }
    }

    pub(super) fn event(&mut self, id: &str, event: Event, now: Millis, effects: &mut Effects) {
        let Some(run) = self.runs.get_mut(id) else { return };
        let done = run.machine.handle(event, now);
        self.take(id, done, effects);
    }

    /// Enters the run in the lists of those that go on and of those that have something to launch.
    pub(super) fn enlist(&mut self, id: &str) {
        let Some(run) = self.runs.get(id) else { return };
        let ready = run.machine.ready_count();
        if run.is_over() {
            self.active.remove(id);
        } else if !self.active.contains(id) {
            self.active.insert(id.to_owned());
        }
        let before = match ready {
            0 => self.ready.remove(id),
            _ => self.ready.insert(id.to_owned(), ready),
        };
        self.stale |= before.unwrap_or(0) != ready;
    }

    /// Takes a run's effects into the service's.
    pub(super) fn take(&mut self, id: &str, done: crate::machine::Effects, effects: &mut Effects) {
        if done.save {
            effects.save_runs.insert(id.to_owned());
        }
        let own = |progress: &Progress| !matches!(progress, Progress::Connected { .. } | Progress::Disconnected { .. });
        let progress = done.progress.into_iter().filter(own);
        effects
            .progress
            .extend(progress.map(|progress| (Some(id.to_owned()), progress)));
        done.calls.into_iter().for_each(|call| effects.call(call));
        self.enlist(id);
        if done.end {
            self.ended(id, effects);
        }
    }

    fn ended(&mut self, id: &str, effects: &mut Effects) {
        let Some(run) = self.runs.get_mut(id) else { return };
        self.counters.ended(&run.record(), run.machine.state());
        let is_finished = run
            .machine
            .state()
            .end
            .as_ref()
            .is_some_and(|end| end.failures.is_empty());
        if notification::targets(run.machine.plan(), is_finished).is_empty() {
            run.machine.notified();
        } else {
            effects.ended.push(id.to_owned());
        }
        let job = run.record.job.clone();
        self.forget_old(&job, effects);
    }

    /// The runs of a job that are known.
    pub(super) fn runs_of<'a>(&'a self, job: &'a str) -> impl Iterator<Item = (&'a RunId, &'a Run)> {
        // A job's name has no dot, so its runs stand together.
        self.runs
            .range(format!("{job}.")..)
            .take_while(move |(_, run)| run.record.job == job)
    }

    /// Forgets the oldest runs beyond those that are kept. A run whose notifications are not sent
    /// yet is kept, since only its record says that they are to be sent. Of a job that was deleted
    /// no other run is kept.
    fn forget_old(&mut self, job: &str, effects: &mut Effects) {
        let mut over: Vec<(u64, RunId)> = self
            .runs_of(job)
            .filter(|(_, run)| run.is_done())
            .map(|(id, run)| (run.record.number, id.clone()))
            .collect();
        over.sort_unstable();
        let keep = match self.record.jobs.contains_key(job) {
            true => self.settings.keep,
            false => 0,
        };
        let too_many = over.len().saturating_sub(keep);
        for (_, id) in over.into_iter().take(too_many) {
            self.runs.remove(&id);
            effects.save_runs.remove(&id);
            effects.forget.push(id);
        }
    }

    /// Why each task of a run has not finished.
    pub fn explain(&self, id: &str, now: Millis) -> Option<Vec<Explanation>> {
        let run = self.runs.get(id)?;
        let mut explanations = run.machine.explanations(now);
        for explanation in explanations.iter_mut().filter(|one| one.standing == Standing::Ready) {
            let holders = self.holders_for(id, &explanation.task);
            if !holders.is_empty() {
                explanation.why = holders;
            }
        }
        for explanation in explanations.iter_mut().filter(|one| one.standing == Standing::Active) {
            explanation.why.extend(self.storages_word(id, &explanation.task));
        }
        Some(explanations)
    }

    /// The notifications about the end of a run were sent.
    pub fn notified(&mut self, id: &str) -> Effects {
        let mut effects = Effects::default();
        if let Some(run) = self.runs.get_mut(id) {
            run.machine.notified();
            effects.save_runs.insert(id.to_owned());
            let job = run.record.job.clone();
            self.forget_old(&job, &mut effects);
        }
        effects
    }
}
