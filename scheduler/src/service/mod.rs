//! The scheduler as a service: many jobs, each with many runs, as one framework.
//!
//! ```text
//! API, schedule ──> Service ──Step──> Storage (claims, then runs) ──> calls to the master
//!                     ▲  ▲
//!    scheduler API ───┘  └─── operator stream, the storage's listings
//! ```
//!
//! [`Service`] does no I/O and is given the time. Each run is a [`Machine`] of its own; the service shares the offers out
//! among them, by priority and age, and enters every launch in the claim ledger.

pub mod api;
pub mod metrics;
pub mod openapi;
mod place;
pub mod serve;
pub mod storage;

use std::collections::{BTreeMap, BTreeSet};

use label_mapper::{Catalogue, Spelling, Volume};
use mesos_http::operator::ClusterEvent;
use mesos_http::scheduler::{Call, Event, Operation};
use mesos_http::types::{InverseOffer, Offer, OfferId, TaskState, TaskStatus};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::job::Job;
use crate::ledger::{self, Holder, Ledger};
use crate::machine::{Explanation, Input, Machine, Rules};
use crate::plan::{Plan, Volumes};
use crate::progress::Progress;
use crate::state::{JobState, Millis, Standing};
use metrics::Counters;

/// How often things that depend on time alone are looked at.
const TICK: Millis = 250;

/// A run's id: `<job>.<number>`, the first part of its task ids.
pub type RunId = String;

/// A job that was given to the service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRecord {
    /// The job file.
    pub text: String,
    /// When it was given.
    pub created_ms: Millis,
    /// When it runs next by its schedule.
    pub next_ms: Option<Millis>,
    /// How many runs it has had.
    pub runs: u64,
}

/// Why a run was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "by")]
pub enum Cause {
    /// Somebody asked for it.
    Request,
    /// Its schedule.
    Schedule {
        /// When it was due.
        due_ms: Millis,
    },
}

/// A run as it lies on disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The job's name.
    pub job: String,
    /// Which run of it, from 1.
    pub number: u64,
    /// The job file as it was when the run was begun.
    pub text: String,
    /// Its volumes, as the storage listed them then; `None` without a catalogue.
    pub volumes: Option<Vec<Volume>>,
    /// Why it was begun.
    pub cause: Cause,
    /// How far it is.
    pub state: JobState,
}

/// One run.
#[derive(Debug)]
pub struct Run {
    record: RunRecord,
    machine: Machine,
}

impl Run {
    /// The run with its latest state, as it is to lie on disk.
    pub fn record(&self) -> RunRecord {
        RunRecord {
            state: self.machine.state().clone(),
            ..self.record.clone()
        }
    }

    /// Why it was begun.
    pub fn cause(&self) -> Cause {
        self.record.cause
    }

    /// The job on its way.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    fn is_over(&self) -> bool {
        self.machine.state().end.is_some()
    }
}

/// What has to survive besides claims and runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceRecord {
    /// The version of this format.
    pub version: u32,
    /// The framework's id, given by the master at the first subscription.
    pub framework_id: Option<String>,
    /// The jobs by name.
    pub jobs: BTreeMap<String, JobRecord>,
}

/// The version of [`ServiceRecord`].
pub const VERSION: u32 = 1;

/// How the service goes about it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// For every run.
    pub rules: Rules,
    /// Whether the storage is asked, and so has to say that a volume is detached.
    pub storage: bool,
    /// How labels spell the catalogue's volumes.
    pub spelling: Spelling,
    /// How many ended runs of a job are kept.
    pub keep: usize,
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// There is no such job or run.
    #[error("there is no {0}")]
    Unknown(String),
    /// It cannot be done as things are.
    #[error("{0}")]
    Conflict(String),
    /// What was sent is wrong.
    #[error("{0}")]
    Bad(String),
}

/// What is to be done, in this order: save claims, save runs, save the service, tell, call, forget.
#[derive(Debug, Default)]
pub struct Step {
    /// Whether the ledger has to be made durable.
    pub save_claims: bool,
    /// The runs that have to be.
    pub save_runs: BTreeSet<RunId>,
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

/// The service without its I/O.
///
/// Calling order: the [`Step`] of every input is carried out before the next one; [`Input::Tick`] goes in several times a
/// second.
#[derive(Debug)]
pub struct Service {
    settings: Settings,
    record: ServiceRecord,
    runs: BTreeMap<RunId, Run>,
    ledger: Ledger,
    catalogue: Option<Catalogue>,
    offers: BTreeMap<OfferId, Offer>,
    connected: bool,
    suppressed: Option<bool>,
    asked_for: BTreeSet<(RunId, String)>,
    ticked: Millis,
    counters: Counters,
}

impl Service {
    /// Takes up where the records left it. Claims of launches that no run knows were never made: those are free.
    ///
    /// # Errors
    /// A run's job file, which was good when it was begun, is not any more.
    pub fn new(
        settings: Settings,
        record: ServiceRecord,
        ledger: Ledger,
        runs: Vec<RunRecord>,
        now: Millis,
    ) -> Result<Self, String> {
        let mut service = Self {
            settings,
            record: ServiceRecord {
                version: VERSION,
                ..record
            },
            runs: BTreeMap::new(),
            ledger,
            catalogue: None,
            offers: BTreeMap::new(),
            connected: false,
            suppressed: None,
            asked_for: BTreeSet::new(),
            ticked: 0,
            counters: Counters::default(),
        };
        for run in runs {
            let id = format!("{}.{}", run.job, run.number);
            let plan = planned(&run.text, run.volumes.clone(), service.settings.spelling)
                .map_err(|error| format!("run {id}: {error}"))?;
            let machine = Machine::hosted(plan, run.state.clone(), service.settings.rules.clone(), id.clone());
            service.runs.insert(id, Run { record: run, machine });
        }
        service.forget_unlaunched(now);
        Ok(service)
    }

    fn forget_unlaunched(&mut self, now: Millis) {
        let Some(framework) = self.record.framework_id.clone() else {
            return;
        };
        let unknown: Vec<Holder> = self
            .ledger
            .claims()
            .filter(|(_, claim)| claim.state == ledger::ClaimState::Intent && claim.holder.framework == framework)
            .map(|(_, claim)| claim.holder.clone())
            .filter(|holder| !self.knows(&holder.task))
            .collect();
        for holder in unknown {
            self.ledger.task(&holder, &TaskState::Dropped, now);
        }
    }

    fn knows(&self, task_id: &str) -> bool {
        self.run_of(task_id).is_some_and(|id| {
            let tasks = self.runs[&id].machine.state().tasks.values();
            tasks
                .flat_map(|record| &record.attempts)
                .any(|attempt| attempt.task_id == task_id)
        })
    }

    /// The jobs by name.
    pub fn jobs(&self) -> &BTreeMap<String, JobRecord> {
        &self.record.jobs
    }

    /// The runs by id.
    pub fn runs(&self) -> &BTreeMap<RunId, Run> {
        &self.runs
    }

    /// The claims.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// What has to survive besides claims and runs.
    pub fn record(&self) -> &ServiceRecord {
        &self.record
    }

    /// Whether the master has it subscribed.
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// What was counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn ledger_rules(&self) -> ledger::Rules {
        ledger::Rules {
            storage: self.settings.storage,
            let_go: self.settings.rules.let_go,
        }
    }

    /// The storage's listing, asked for at `asked_ms`.
    pub fn listed(&mut self, catalogue: Catalogue, asked_ms: Millis, now: Millis) -> Step {
        let mut step = Step {
            save_claims: self.ledger.stored(&catalogue, asked_ms, now),
            ..Step::default()
        };
        self.catalogue = Some(catalogue);
        self.advance(now, &mut step);
        step
    }

    /// The operator stream.
    pub fn cluster(&mut self, event: ClusterEvent, now: Millis) -> Step {
        let names = self.catalogue.as_ref();
        let save_claims = match event {
            ClusterEvent::Snapshot(snapshot) => self.ledger.snapshot(&snapshot.tasks, names, now),
            ClusterEvent::TaskAdded(task) => self.ledger.observe(&task, names, now),
            ClusterEvent::TaskUpdated {
                framework_id,
                status,
                state,
            } => {
                let holder = Holder {
                    framework: framework_id.0,
                    task: status.task_id.0,
                };
                self.ledger.task(&holder, &state, now)
            }
            ClusterEvent::AgentRemoved(agent) => self.ledger.agent_lost(agent.as_str(), now),
            _ => false,
        };
        let mut step = Step {
            save_claims,
            ..Step::default()
        };
        self.advance(now, &mut step);
        step
    }

    /// One input, at `now`.
    pub fn handle(&mut self, input: Input, now: Millis) -> Step {
        let mut step = Step::default();
        match input {
            Input::Connected { framework_id } => {
                self.connected = true;
                self.suppressed = None;
                self.offers.clear();
                step.tell.push((
                    None,
                    Progress::Connected {
                        framework_id: framework_id.clone(),
                    },
                ));
                if self.record.framework_id.as_ref() != Some(&framework_id) {
                    self.record.framework_id = Some(framework_id.clone());
                    step.save_service = true;
                }
                self.each_run(&Input::Connected { framework_id }, now, &mut step);
            }
            Input::Disconnected { reason } => {
                self.connected = false;
                self.offers.clear();
                step.tell
                    .push((None, Progress::Disconnected { reason: reason.clone() }));
                self.each_run(&Input::Disconnected { reason }, now, &mut step);
            }
            Input::Event(event) => self.event(*event, now, &mut step),
            Input::CallFailed { call, reason } => {
                let call = call.kind().to_owned();
                step.tell.push((None, Progress::CallFailed { call, reason }));
            }
            Input::Tick if now >= self.ticked + TICK => {
                self.ticked = now;
                step.save_claims |= self.ledger.tick(self.ledger_rules(), now);
                self.begin_due(now, &mut step);
                self.each_run(&Input::Tick, now, &mut step);
            }
            Input::Tick => {}
        }
        self.advance(now, &mut step);
        step
    }

    fn event(&mut self, event: Event, now: Millis, step: &mut Step) {
        match event {
            Event::Offers(offers) => self
                .offers
                .extend(offers.into_iter().map(|offer| (offer.id.clone(), offer))),
            Event::Rescind(offer) => {
                self.offers.remove(&offer);
            }
            Event::InverseOffers(offers) => self.answer_inverse(offers, step),
            Event::Update(status) => self.update(status, now, step),
            _ => {}
        }
    }

    fn update(&mut self, status: TaskStatus, now: Millis, step: &mut Step) {
        let framework = self.record.framework_id.clone().unwrap_or_default();
        let holder = Holder {
            framework,
            task: status.task_id.0.clone(),
        };
        step.save_claims |= self.ledger.task(&holder, &status.state, now);
        self.counters.update(&status);
        match self.run_of(status.task_id.as_str()) {
            Some(id) => self.input(&id, Input::Event(Box::new(Event::Update(status))), now, step),
            None => {
                // A run that was forgotten, or another scheduler's with the same id: it must not go on unwatched.
                if matches!(
                    status.state,
                    TaskState::Staging | TaskState::Starting | TaskState::Running
                ) {
                    step.calls
                        .push(Call::kill(status.task_id.clone(), status.agent_id.clone()));
                    step.tell.push((
                        None,
                        Progress::Stray {
                            task_id: status.task_id.0.clone(),
                            state: status.state.clone(),
                        },
                    ));
                }
                step.calls.extend(Call::acknowledge(&status));
            }
        }
    }

    fn run_of(&self, task_id: &str) -> Option<RunId> {
        let mut dots = task_id.match_indices('.').map(|(at, _)| at);
        let id = &task_id[..dots.nth(1)?];
        self.runs.contains_key(id).then(|| id.to_owned())
    }

    fn answer_inverse(&self, offers: Vec<InverseOffer>, step: &mut Step) {
        for offer in offers {
            let used = match &offer.agent_id {
                Some(agent) => self.runs.values().any(|run| run.machine.uses_agent(agent.as_str())),
                None => true,
            };
            let inverse_offer_ids = vec![offer.id];
            step.calls.push(match used {
                true => Call::DeclineInverseOffers { inverse_offer_ids },
                false => Call::AcceptInverseOffers { inverse_offer_ids },
            });
        }
    }

    fn each_run(&mut self, input: &Input, now: Millis, step: &mut Step) {
        let ids: Vec<RunId> = self
            .runs
            .iter()
            .filter(|(_, run)| !run.is_over())
            .map(|(id, _)| id.clone())
            .collect();
        for id in ids {
            self.input(&id, input.clone(), now, step);
        }
    }

    fn input(&mut self, id: &str, input: Input, now: Millis, step: &mut Step) {
        let Some(run) = self.runs.get_mut(id) else { return };
        let done = run.machine.handle(input, now);
        self.take(id, done, step);
    }

    /// Takes a run's step into the service's.
    fn take(&mut self, id: &str, done: crate::machine::Step, step: &mut Step) {
        if done.save {
            step.save_runs.insert(id.to_owned());
        }
        let own = |progress: &Progress| !matches!(progress, Progress::Connected { .. } | Progress::Disconnected { .. });
        let told = done.tell.into_iter().filter(own);
        step.tell.extend(told.map(|progress| (Some(id.to_owned()), progress)));
        step.calls.extend(done.calls);
        if done.end {
            let run = &self.runs[id];
            self.counters.ended(&run.record(), run.machine.state());
            step.ended.push(id.to_owned());
            self.forget_old(&run.record.job.clone(), step);
        }
    }

    fn forget_old(&mut self, job: &str, step: &mut Step) {
        let mut over: Vec<(u64, RunId)> = self
            .runs
            .iter()
            .filter(|(_, run)| run.record.job == job && run.is_over())
            .map(|(id, run)| (run.record.number, id.clone()))
            .collect();
        over.sort_unstable();
        let too_many = over.len().saturating_sub(self.settings.keep);
        for (_, id) in over.into_iter().take(too_many) {
            self.runs.remove(&id);
            step.save_runs.remove(&id);
            step.forget.push(id);
        }
    }

    /// A call was made: what was to be launched is launched.
    pub fn sent(&mut self, call: &Call, now: Millis) {
        let (Call::Accept(accept), Some(framework)) = (call, self.record.framework_id.clone()) else {
            return;
        };
        for operation in &accept.operations {
            let Operation::Launch(tasks) = operation else { continue };
            for task in tasks {
                let holder = Holder {
                    framework: framework.clone(),
                    task: task.task_id.0.clone(),
                };
                self.ledger.launched(&holder, now);
            }
        }
    }

    /// Why each task of a run is not further than it is.
    pub fn explain(&self, id: &str, now: Millis) -> Option<Vec<Explanation>> {
        let run = self.runs.get(id)?;
        let mut explanations = run.machine.explanations(now);
        for explanation in explanations.iter_mut().filter(|one| one.standing == Standing::Ready) {
            let holders = self.holders_for(id, &explanation.task);
            if !holders.is_empty() {
                explanation.why = holders;
            }
        }
        Some(explanations)
    }

    /// Those to be told how a run ended were told.
    pub fn notified(&mut self, id: &str) -> Step {
        let mut step = Step::default();
        if let Some(run) = self.runs.get_mut(id) {
            run.machine.notified();
            step.save_runs.insert(id.to_owned());
        }
        step
    }

    /// Takes a job, or another version of it; runs that were begun go on as they were.
    ///
    /// # Errors
    /// The job file is wrong, a volume is not found, or there is a job of this name and `replace` is false.
    pub fn put(&mut self, text: String, replace: bool, now: Millis) -> Result<(String, Step), RequestError> {
        let job = Job::parse(&text).map_err(|error| RequestError::Bad(error.to_string()))?;
        self.plan(&text)?;
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
            next_ms: job.schedule.as_ref().and_then(|schedule| schedule.next(now)),
            runs: old.map_or(0, |old| old.runs),
        };
        self.record.jobs.insert(job.name.clone(), record);
        let step = Step {
            save_service: true,
            ..Step::default()
        };
        Ok((job.name, step))
    }

    /// Removes a job with its ended runs.
    ///
    /// # Errors
    /// There is none of this name, or it has a run that is not over.
    pub fn delete(&mut self, name: &str) -> Result<Step, RequestError> {
        if !self.record.jobs.contains_key(name) {
            return Err(RequestError::Unknown(format!("job '{name}'")));
        }
        if let Some(id) = self.active_run(name) {
            return Err(RequestError::Conflict(format!("run {id} is not over; cancel it first")));
        }
        self.record.jobs.remove(name);
        let forget: Vec<RunId> = self
            .runs
            .iter()
            .filter(|(_, run)| run.record.job == name)
            .map(|(id, _)| id.clone())
            .collect();
        self.runs.retain(|id, _| !forget.contains(id));
        Ok(Step {
            save_service: true,
            forget,
            ..Step::default()
        })
    }

    /// The run of a job that is not over.
    pub fn active_run(&self, job: &str) -> Option<&RunId> {
        let mut runs = self.runs.iter();
        runs.find(|(_, run)| run.record.job == job && !run.is_over())
            .map(|(id, _)| id)
    }

    /// Begins a run.
    ///
    /// # Errors
    /// There is no such job, it has a run that is not over, or a volume is not found any more.
    pub fn begin(&mut self, name: &str, cause: Cause, now: Millis) -> Result<(RunId, Step), RequestError> {
        let Some(job) = self.record.jobs.get(name) else {
            return Err(RequestError::Unknown(format!("job '{name}'")));
        };
        if let Some(id) = self.active_run(name) {
            return Err(RequestError::Conflict(format!("run {id} is not over")));
        }
        let text = job.text.clone();
        let (plan, volumes) = self.plan(&text)?;
        let job = self.record.jobs.get_mut(name).expect("it was there just now");
        job.runs += 1;
        let id = format!("{name}.{}", job.runs);
        let record = RunRecord {
            job: name.to_owned(),
            number: job.runs,
            text,
            volumes,
            cause,
            state: JobState::new(&plan, now),
        };
        let machine = Machine::hosted(plan, record.state.clone(), self.settings.rules.clone(), id.clone());
        self.runs.insert(id.clone(), Run { record, machine });
        self.counters.begun(cause, now);
        let mut step = Step {
            save_service: true,
            ..Step::default()
        };
        step.save_runs.insert(id.clone());
        let input = match (&self.record.framework_id, self.connected) {
            (Some(framework_id), true) => Input::Connected {
                framework_id: framework_id.clone(),
            },
            _ => Input::Tick,
        };
        self.input(&id, input, now, &mut step);
        self.advance(now, &mut step);
        Ok((id, step))
    }

    /// Begins nothing more of a run, and kills what may run of it.
    ///
    /// # Errors
    /// There is no such run, or it is over.
    pub fn cancel(&mut self, id: &str, now: Millis) -> Result<Step, RequestError> {
        let Some(run) = self.runs.get_mut(id) else {
            return Err(RequestError::Unknown(format!("run '{id}'")));
        };
        if run.is_over() {
            return Err(RequestError::Conflict(format!("run {id} is over")));
        }
        let done = run.machine.cancel(now);
        let mut step = Step::default();
        self.take(id, done, &mut step);
        self.advance(now, &mut step);
        Ok(step)
    }

    fn begin_due(&mut self, now: Millis, step: &mut Step) {
        let due: Vec<(String, Millis)> = self
            .record
            .jobs
            .iter()
            .filter_map(|(name, job)| Some((name.clone(), job.next_ms.filter(|next| *next <= now)?)))
            .collect();
        for (name, due_ms) in due {
            if let Some(job) = self.record.jobs.get_mut(&name) {
                // A job file that was good when it was given is good.
                let schedule = Job::parse(&job.text).ok().and_then(|job| job.schedule);
                job.next_ms = schedule.and_then(|schedule| schedule.next(now));
                step.save_service = true;
            }
            match self.begin(&name, Cause::Schedule { due_ms }, now) {
                Ok((_, begun)) => step.join(begun),
                Err(error) => {
                    self.counters.skipped += 1;
                    step.tell.push((
                        None,
                        Progress::Skipped {
                            job: name,
                            reason: error.to_string(),
                        },
                    ));
                }
            }
        }
    }

    fn plan(&self, text: &str) -> Result<(Plan, Option<Vec<Volume>>), RequestError> {
        let all: Option<Vec<Volume>> = self
            .catalogue
            .as_ref()
            .map(|catalogue| catalogue.volumes().cloned().collect());
        let plan = planned(text, all.clone(), self.settings.spelling).map_err(RequestError::Bad)?;
        let used: BTreeSet<&str> = plan.tasks.iter().flat_map(|task| task.claims()).collect();
        let volumes = all.map(|all| {
            all.into_iter()
                .filter(|volume| used.contains(volume.id.as_str()))
                .collect()
        });
        Ok((plan, volumes))
    }
}

impl Step {
    fn join(&mut self, other: Step) {
        self.save_claims |= other.save_claims;
        self.save_runs.extend(other.save_runs);
        self.save_service |= other.save_service;
        self.tell.extend(other.tell);
        self.calls.extend(other.calls);
        self.ended.extend(other.ended);
        self.forget.extend(other.forget);
    }
}

fn planned(text: &str, volumes: Option<Vec<Volume>>, spelling: Spelling) -> Result<Plan, String> {
    let job = Job::parse(text).map_err(|error| error.to_string())?;
    let volumes = volumes.map(|volumes| Volumes {
        catalogue: Catalogue::new(volumes),
        spelling,
    });
    Plan::new(job, volumes.as_ref()).map_err(|error| error.to_string())
}
