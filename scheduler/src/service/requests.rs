//! What is asked of the service, by people and by schedules.

use std::collections::BTreeSet;

use label_mapper::{Catalogue, Spelling};

use super::schedules;
use super::{Cause, Effects, JobRecord, RequestError, RunId, RunRecord, Service};
use crate::job::Job;
use crate::notification::{self, COMMANDS_REFUSED};
use crate::plan::{Plan, Volumes};
use crate::run::Event;
use crate::state::{JobState, Millis};

impl Service {
    /// Takes a job, or another version of it; runs that were begun go on as they were.
    ///
    /// # Errors
    /// The job file is wrong, a volume is not found, or there is a job of this name and `replace`
    /// is false.
    pub fn put(&mut self, text: String, replace: bool, now: Millis) -> Result<(String, Effects), RequestError> {
        let job = parse(&text)?;
        self.take_job(job, text, replace, now)
    }

    /// Takes another version of the job `name`, or the first one.
    ///
    /// # Errors
    /// As [`put`](Self::put), or the job file is that of another job.
    pub fn put_as(&mut self, name: &str, text: String, now: Millis) -> Result<(String, Effects), RequestError> {
        let job = parse(&text)?;
        if job.name != name {
            return Err(RequestError::Bad(format!("the job file is that of '{}'", job.name)));
        }
        self.take_job(job, text, true, now)
    }

    fn take_job(
        &mut self,
        job: Job,
        text: String,
        replace: bool,
        now: Millis,
    ) -> Result<(String, Effects), RequestError> {
        self.plan(&job)?;
        if let Some(command) = notification::command_in(&job.notify).filter(|_| !self.settings.commands) {
            return Err(RequestError::Bad(format!(
                "notify: the command '{}' is refused: {COMMANDS_REFUSED}",
                volume_labels::cleaned(&command)
            )));
        }
        let old = self.record.jobs.get(&job.name);
        if old.is_some() && !replace {
            return Err(RequestError::Conflict(format!(
                "there is a job '{}'; PUT replaces it, DELETE removes it",
                job.name
            )));
        }
        let record = JobRecord {
            text,
            created_ms: now,
            next_ms: None,
            runs: self.last_number(&job.name),
            paused: old.is_some_and(|old| old.paused),
            queued_ms: None,
            last_due_ms: None,
        };
        let old = old.zip(self.file(&job.name));
        let record = schedules::scheduled(record, &job, old, self.wall(now));
        let name = job.name.clone();
        self.record.jobs.insert(name.clone(), record);
        self.files.insert(name.clone(), Ok(job));
        let effects = Effects {
            save_jobs: BTreeSet::from([name.clone()]),
            ..Effects::default()
        };
        Ok((name, effects))
    }

    /// Removes a job with its ended runs.
    ///
    /// # Errors
    /// There is none of this name, or it has a run that is not over.
    pub fn delete(&mut self, name: &str) -> Result<Effects, RequestError> {
        if !self.record.jobs.contains_key(name) {
            return Err(RequestError::Unknown(format!("job '{name}'")));
        }
        if let Some(id) = self.active_run(name) {
            return Err(RequestError::Conflict(format!(
                "{id} is still running: cancel it (POST /v1/runs/{id}/cancel) or wait, then delete the job"
            )));
        }
        self.record.last_numbers.insert(name.to_owned(), self.last_number(name));
        self.record.jobs.remove(name);
        self.files.remove(name);
        // The record of a run is all that a process after this one knows of its notifications.
        let told = self.runs_of(name).filter(|(_, run)| run.is_done());
        let forget: Vec<RunId> = told.map(|(id, _)| id.clone()).collect();
        for id in &forget {
            self.runs.remove(id);
        }
        Ok(Effects {
            save_service: true,
            save_jobs: BTreeSet::from([name.to_owned()]),
            forget,
            ..Effects::default()
        })
    }

    /// The highest number that a run of the job is known to have had. What was saved last may be
    /// the job, one of its runs, or that it was deleted.
    fn last_number(&self, job: &str) -> u64 {
        let record = self.record.jobs.get(job).map_or(0, |job| job.runs);
        let deleted = self.record.last_numbers.get(job).copied().unwrap_or(0);
        let runs = self.runs_of(job).map(|(_, run)| run.record.number).max();
        record.max(deleted).max(runs.unwrap_or(0))
    }

    /// The run of a job that is not over.
    pub fn active_run<'a>(&'a self, job: &'a str) -> Option<&'a RunId> {
        self.runs_of(job).find(|(_, run)| !run.is_over()).map(|(id, _)| id)
    }

    /// Begins a run.
    ///
    /// # Errors
    /// There is no such job, it has a run that is not over, or a volume is not found any more.
    pub fn begin(&mut self, name: &str, cause: Cause, now: Millis) -> Result<(RunId, Effects), RequestError> {
        let Some(job) = self.record.jobs.get(name) else {
            return Err(RequestError::Unknown(format!("job '{name}'")));
        };
        if let Some(id) = self.active_run(name) {
            return Err(RequestError::Conflict(format!(
                "{id} is still running, and a job has one run at a time: cancel it (POST /v1/runs/{id}/cancel) or wait"
            )));
        }
        let text = job.text.clone();
        let file = self.files.get(name).expect("every job has a file").as_ref();
        let (plan, catalogue) = self.plan(file.map_err(|error| RequestError::Bad(error.to_string()))?)?;
        let number = self.last_number(name) + 1;
        let job = self.record.jobs.get_mut(name).expect("it was there just now");
        job.runs = number;
        let id = format!("{name}.{number}");
        let record = RunRecord {
            job: name.to_owned(),
            number,
            text,
            volumes: catalogue
                .as_ref()
                .map(|catalogue| catalogue.volumes().cloned().collect()),
            aliases: catalogue
                .iter()
                .flat_map(Catalogue::all_aliases)
                .map(|(alias, id)| (alias.to_owned(), id.to_string()))
                .collect(),
            cause,
            state: JobState::new(&plan, now),
        };
        self.enter(id.clone(), record, plan);
        self.counters.begun(cause, now);
        let mut effects = Effects {
            save_jobs: BTreeSet::from([name.to_owned()]),
            ..Effects::default()
        };
        effects.save_runs.insert(id.clone());
        let event = match (&self.record.framework_id, self.connected) {
            (Some(framework_id), true) => Event::Connected {
                framework_id: framework_id.clone(),
            },
            _ => Event::Tick,
        };
        self.event(&id, event, now, &mut effects);
        self.advance(now, &mut effects);
        Ok((id, effects))
    }

    /// Begins nothing more of a run, and kills what may run of it.
    ///
    /// # Errors
    /// There is no such run, or it is over.
    pub fn cancel(&mut self, id: &str, now: Millis) -> Result<Effects, RequestError> {
        let Some(entry) = self.runs.get(id) else {
            return Err(RequestError::Unknown(format!("run '{id}'")));
        };
        if entry.is_over() {
            return Err(RequestError::Conflict(format!("run {id} is over")));
        }
        let mut effects = Effects::default();
        self.event(id, Event::Cancelled, now, &mut effects);
        self.advance(now, &mut effects);
        Ok(effects)
    }

    fn plan(&self, job: &Job) -> Result<(Plan, Option<Catalogue>), RequestError> {
        let plan = planned(job.clone(), self.catalogue.as_ref(), self.settings.spelling);
        let plan = plan.map_err(RequestError::Bad)?;
        let used: BTreeSet<&str> = plan.tasks.iter().flat_map(|task| task.claims()).collect();
        let catalogue = self.catalogue.as_ref().map(|all| {
            let volumes = all.volumes().filter(|volume| used.contains(volume.id.as_str()));
            let mut catalogue = Catalogue::new(volumes.cloned());
            for (alias, id) in all.all_aliases().filter(|(_, id)| used.contains(id.as_str())) {
                // It was good among all of them.
                let _ = catalogue.add_alias(alias, id.as_str());
            }
            catalogue
        });
        Ok((plan, catalogue))
    }
}

fn parse(text: &str) -> Result<Job, RequestError> {
    Job::parse(text).map_err(|error| RequestError::Bad(error.to_string()))
}

/// What the storage had listed when a run was begun.
pub(super) fn catalogue_of(run: &RunRecord) -> Result<Option<Catalogue>, String> {
    let Some(volumes) = &run.volumes else { return Ok(None) };
    let mut catalogue = Catalogue::new(volumes.iter().cloned());
    for (alias, id) in &run.aliases {
        catalogue.add_alias(alias, id).map_err(|error| error.to_string())?;
    }
    Ok(Some(catalogue))
}

/// The plan of a job, with these volumes as the storage's.
pub(super) fn planned(job: Job, catalogue: Option<&Catalogue>, spelling: Spelling) -> Result<Plan, String> {
    let volumes = catalogue.map(|catalogue| Volumes {
        catalogue: catalogue.clone(),
        spelling,
    });
    Plan::new(job, volumes.as_ref()).map_err(|error| error.to_string())
}
