//! The end of a service that has one job: `scheduler run`.

use label_mapper::Spelling;
use mesos_http::scheduler::Call;

use super::{Cause, Effects, RunId, RunRecord, Service, ServiceRecord, Settings};
use crate::ledger::Ledger;
use crate::plan::Plan;
use crate::run::{Event, Rules};
use crate::state::{JobState, Millis};

/// How long a claim may stay in a state that only an operator ends, before it is reported.
const RELEASE_ALARM: Millis = 300_000;

/// The only job of a service.
#[derive(Debug)]
pub(super) struct OneJob {
    run: RunId,
    /// Whether the master was told, in this subscription, that the framework ends.
    is_ending: bool,
}

impl Service {
    /// A service with one job, which goes on where `state` left it and ends the framework when it
    /// is over. `state` is that of `plan`, and all that is kept: the claims follow from it.
    pub fn of_one_job(plan: Plan, state: JobState, rules: Rules, now: Millis) -> Self {
        let settings = Settings {
            rules,
            storage: false,
            source: String::new(),
            spelling: Spelling::default(),
            keep: 1,
            release_alarm: RELEASE_ALARM,
            commands: true,
        };
        let record = ServiceRecord {
            framework_id: state.framework_id.clone(),
            ..ServiceRecord::default()
        };
        let ledger = Ledger::of_job(&state, record.framework_id.as_deref().unwrap_or_default(), now);
        let mut service = Self::empty(settings, record, ledger, now);
        // The job's name alone begins the ids of its tasks.
        let id = plan.job.clone();
        let run = RunRecord {
            job: plan.job.clone(),
            number: 1,
            text: String::new(),
            volumes: None,
            aliases: Default::default(),
            cause: Cause::Request,
            state,
        };
        service.enter(id.clone(), run, plan);
        service.one_job = Some(OneJob {
            run: id,
            is_ending: false,
        });
        service
    }

    pub(super) fn subscribed_again(&mut self) {
        if let Some(one) = &mut self.one_job {
            one.is_ending = false;
        }
    }

    /// Ends the framework when the only job is over and its notifications were sent. Returns
    /// whether nothing else is to be done.
    pub(super) fn end_with_its_job(&mut self, effects: &mut Effects) -> bool {
        let Some(one) = &mut self.one_job else { return false };
        let entry = self.runs.get(&one.run);
        if entry.is_none_or(|entry| !entry.is_over()) {
            return false;
        }
        if entry.is_some_and(|entry| entry.is_done()) && self.connected && !one.is_ending {
            one.is_ending = true;
            effects.call(Call::Teardown);
        }
        true
    }

    /// Whether the master was told that the framework ends.
    pub fn is_ending(&self) -> bool {
        self.one_job.as_ref().is_some_and(|one| one.is_ending)
    }

    /// The master has accepted the end of the framework, or has removed it: nothing is left to come
    /// back for.
    pub fn torn_down(&mut self, now: Millis) -> Effects {
        let mut effects = Effects::default();
        if let Some(id) = self.one_job.as_ref().map(|one| one.run.clone()) {
            self.event(&id, Event::TornDown, now, &mut effects);
        }
        effects
    }

    /// Whether the only job of the service is over.
    pub fn is_over(&self) -> bool {
        self.only_run().is_some_and(super::RunEntry::is_over)
    }

    /// Whether the only job of the service is over, and its notifications were sent.
    pub fn is_done(&self) -> bool {
        self.only_run().is_some_and(super::RunEntry::is_done)
    }

    /// The only run of the service.
    pub fn only_run(&self) -> Option<&super::RunEntry> {
        self.runs.get(&self.one_job.as_ref()?.run)
    }
}
