//! The runs of a service.

use super::{Cause, Effects, RunId, RunRecord, Service};
use crate::notification;
use crate::plan::Plan;
use crate::run::{self, Event, Explanation, Run};
use crate::state::{JobState, Millis, Standing};

/// A run that the service knows: its record, and its state on the way.
#[derive(Debug)]
pub struct RunEntry {
    pub(super) record: RunRecord,
    pub(super) run: Run,
}

impl RunEntry {
    /// The run with its latest state, as it is to lie on disk.
    pub fn record(&self) -> RunRecord {
        RunRecord {
            state: self.state().clone(),
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

    /// What is to be run.
    pub fn plan(&self) -> &Plan {
        self.run.plan()
    }

    /// How far it is.
    pub fn state(&self) -> &JobState {
        self.run.state()
    }

    pub(super) fn is_over(&self) -> bool {
        self.state().end.is_some()
    }

    /// Whether it is over and its notifications were sent.
    pub(super) fn is_done(&self) -> bool {
        self.state().end.as_ref().is_some_and(|end| end.notified)
    }
}

impl Service {
    pub(super) fn each_run(&mut self, event: &Event, now: Millis, effects: &mut Effects) {
        for id in self.active.clone() {
            self.event(&id, event.clone(), now, effects);
        }
    }

    pub(super) fn event(&mut self, id: &str, event: Event, now: Millis, effects: &mut Effects) {
        let Some(entry) = self.runs.get_mut(id) else { return };
        let done = entry.run.handle(event, now);
        self.take(id, done, effects);
    }

    /// Enters the run in the lists of those that go on and of those that have something to launch.
    pub(super) fn enlist(&mut self, id: &str) {
        let Some(entry) = self.runs.get(id) else { return };
        let ready = entry.run.ready_count();
        if entry.is_over() {
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
    pub(super) fn take(&mut self, id: &str, done: run::Effects, effects: &mut Effects) {
        if done.save {
            effects.save_runs.insert(id.to_owned());
        }
        let progress = done.progress.into_iter();
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
        let Some(entry) = self.runs.get_mut(id) else { return };
        self.counters.ended(&entry.record(), entry.state());
        let Some(end) = entry.state().end.clone() else { return };
        if notification::targets(entry.plan(), end.failures.is_empty()).is_empty() {
            entry.run.handle(Event::Notified, end.at_ms);
        } else {
            effects.ended.push(id.to_owned());
        }
        let job = entry.record.job.clone();
        self.forget_old(&job, effects);
    }

    /// The runs of a job that are known.
    pub(super) fn runs_of<'a>(&'a self, job: &'a str) -> impl Iterator<Item = (&'a RunId, &'a RunEntry)> {
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
        let keep = match self.record.jobs.contains_key(job) || self.one_job.is_some() {
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
        let entry = self.runs.get(id)?;
        let mut explanations = entry.run.explanations(now);
        for explanation in &mut explanations {
            let task = (id.to_owned(), explanation.task.clone());
            match explanation.standing {
                Standing::Ready => self.explain_ready(&task, &mut explanation.why),
                Standing::Active => explanation.why.extend(self.storages_word(id, &explanation.task)),
                _ => {}
            }
        }
        Some(explanations)
    }

    /// The notifications about the end of a run were sent.
    pub fn notified(&mut self, id: &str, now: Millis) -> Effects {
        let mut effects = Effects::default();
        self.event(id, Event::Notified, now, &mut effects);
        if let Some(job) = self.runs.get(id).map(|entry| entry.record.job.clone()) {
            self.forget_old(&job, &mut effects);
        }
        self.advance(now, &mut effects);
        effects
    }
}
