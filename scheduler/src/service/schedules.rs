//! Runs by schedule: when they are due, which of them are begun, and pauses.

use std::collections::BTreeSet;

use super::{Cause, Effects, JobRecord, RequestError, Service};
use crate::job::{Job, Overlap};
use crate::progress::Progress;
use crate::state::Millis;

/// A clock that was set back by less does not let a time come twice. By more it was wrong before, and its new times count. This is
/// what Vixie's cron does.
const SAME_CLOCK: Millis = 3 * 3_600_000;
/// By how much the wall clock is set back at least when its schedules are looked at again, in milliseconds.
const JUMP: Millis = 1_000;

impl Service {
    /// Lets the schedule of a job begin nothing until it is resumed. What waits to be begun is dropped.
    ///
    /// # Errors
    /// There is no such job, or it has no schedule.
    pub fn pause(&mut self, name: &str) -> Result<Effects, RequestError> {
        self.with_schedule(name, |job, _| {
            job.paused = true;
            job.next_ms = None;
            job.queued_ms = None;
        })
    }

    /// Lets the schedule of a job begin runs again, from now on: what was due meanwhile is not made up for.
    ///
    /// # Errors
    /// There is no such job, or it has no schedule.
    pub fn resume(&mut self, name: &str, now: Millis) -> Result<Effects, RequestError> {
        let wall = self.wall(now);
        self.with_schedule(name, |job, schedule| {
            if std::mem::take(&mut job.paused) {
                job.next_ms = next(job, schedule, wall);
            }
        })
    }

    fn with_schedule(&mut self, name: &str, act: impl FnOnce(&mut JobRecord, &Job)) -> Result<Effects, RequestError> {
        let Some(job) = self.record.jobs.get_mut(name) else {
            return Err(RequestError::Unknown(format!("job '{name}'")));
        };
        let file = self.files.get(name).expect("every job has a file").as_ref();
        let file = file.map_err(|error| RequestError::Bad(error.to_string()))?;
        if file.schedule.is_none() {
            return Err(RequestError::Conflict(format!(
                "job '{name}' has no schedule, and runs on request only"
            )));
        }
        act(job, file);
        Ok(Effects {
            save_jobs: BTreeSet::from([name.to_owned()]),
            ..Effects::default()
        })
    }

    /// Begins what is due and what has waited for the run before.
    pub(super) fn begin_due(&mut self, now: Millis, effects: &mut Effects) {
        effects.save_jobs.append(&mut self.rescheduled);
        let wall = self.wall(now);
        let due = |job: &JobRecord| job.next_ms.is_some_and(|next| next <= wall);
        let waits = |name: &str, job: &JobRecord| job.queued_ms.is_some() && self.active_run(name).is_none();
        let jobs = self.record.jobs.iter();
        let concerned = jobs.filter(|(name, job)| due(job) || waits(name, job));
        let concerned: Vec<String> = concerned.map(|(name, _)| name.clone()).collect();
        for name in concerned {
            let job = self.record.jobs.get_mut(&name).expect("it is one of the jobs");
            let waited = job.queued_ms;
            let file = match &self.files[&name] {
                Ok(file) => file,
                Err(error) => {
                    // An older version accepted it.
                    job.next_ms = None;
                    job.queued_ms = None;
                    effects.save_jobs.insert(name.clone());
                    let reason = error.to_string();
                    effects.progress.push((None, Progress::Skipped { job: name, reason }));
                    continue;
                }
            };
            if due(job) {
                job.last_due_ms = job.next_ms;
                job.queued_ms = job.queued_ms.or(job.next_ms);
                job.next_ms = next(job, file, wall);
            }
            let overlap = file.overlap;
            let Some(due_ms) = job.queued_ms else { continue };
            let changed = waited != job.queued_ms;
            let too_late = file.start_within_ms.is_some_and(|within| wall > due_ms + within);
            let active = self.active_run(&name).cloned();
            let reason = match (&active, overlap) {
                _ if too_late => Some(format!(
                    "it was due {} s ago, and 'start-within' does not let it begin so late",
                    (wall - due_ms) / 1000
                )),
                (Some(id), Overlap::Skip) => Some(format!("run {id} is not over")),
                (Some(id), Overlap::Queue | Overlap::Replace) => {
                    if changed {
                        let reason = match overlap {
                            Overlap::Replace => format!("run {id} is cancelled for it"),
                            _ => format!("it begins when run {id} is over"),
                        };
                        let job = name.clone();
                        effects.progress.push((None, Progress::Deferred { job, reason }));
                        effects.save_jobs.insert(name.clone());
                    }
                    let go_on = !self.runs[id].state().cancelled;
                    if overlap == Overlap::Replace && go_on {
                        // It was not over just now.
                        if let Ok(cancelled) = self.cancel(id, now) {
                            effects.join(cancelled);
                        }
                    }
                    continue;
                }
                (None, _) => None,
            };
            effects.save_jobs.insert(name.clone());
            if let Some(job) = self.record.jobs.get_mut(&name) {
                job.queued_ms = None;
            }
            let begun = match reason {
                Some(reason) => Err(reason),
                None => self
                    .begin(&name, Cause::Schedule { due_ms }, now)
                    .map_err(|error| error.to_string()),
            };
            match begun {
                Ok((_, begun)) => effects.join(begun),
                Err(reason) => {
                    self.counters.skipped.inc();
                    effects.progress.push((None, Progress::Skipped { job: name, reason }));
                }
            }
        }
    }

    /// Says by how much the times that are given in are ahead of the wall clock, which schedules go by.
    pub fn set_lead(&mut self, lead: Millis, now: Millis) {
        let set_back = lead > self.lead + JUMP;
        self.lead = lead;
        if set_back {
            self.look_at_schedules_again(now);
        }
    }

    pub(super) fn wall(&self, now: Millis) -> Millis {
        now.saturating_sub(self.lead)
    }

    /// The next times may have been worked out by a clock that was ahead, or by a version that did not find them: those that
    /// are earlier count. They are saved with the next tick: a process that starts later may take
    /// the clock for right again.
    pub(super) fn look_at_schedules_again(&mut self, now: Millis) {
        let wall = self.wall(now);
        for (name, job) in self.record.jobs.iter_mut().filter(|(_, job)| !job.paused) {
            // A schedule that an older version accepted and this one does not is reported when it
            // is due.
            let Ok(file) = &self.files[name] else { continue };
            let known = job.next_ms.unwrap_or(Millis::MAX);
            // A run that is due is started, even if the clock was set back.
            if known > wall
                && let Some(earlier) = next(job, file, wall).filter(|earlier| *earlier < known)
            {
                job.next_ms = Some(earlier);
                self.rescheduled.insert(name.clone());
            }
        }
    }
}

/// The record of a job that is given or replaced, with its next time. A run that was due under the same
/// schedule and is not begun yet stays due.
pub(super) fn scheduled(record: JobRecord, file: &Job, old: Option<(&JobRecord, &Job)>, now: Millis) -> JobRecord {
    let mut record = record;
    let same = old.filter(|(_, before)| before.schedule.is_some() && before.schedule == file.schedule);
    let same = same.map(|(record, _)| record);
    record.last_due_ms = same.and_then(|old| old.last_due_ms);
    record.queued_ms = same.and_then(|old| old.queued_ms);
    if !record.paused {
        let due = same.and_then(|old| old.next_ms).filter(|next| *next <= now);
        record.next_ms = due.or_else(|| next(&record, file, now));
    }
    record
}

/// The next time of the job's schedule that has not come yet.
fn next(job: &JobRecord, file: &Job, now: Millis) -> Option<Millis> {
    let came = job.last_due_ms.filter(|came| *came < now + SAME_CLOCK);
    file.schedule.as_ref()?.next(came.map_or(now, |came| came.max(now)))
}
