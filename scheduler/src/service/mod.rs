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

pub mod agents;
pub mod api;
pub mod metrics;
pub mod openapi;
mod place;
mod reconcile;
mod record;
mod requests;
pub mod serve;
pub mod storage;

use std::collections::{BTreeMap, BTreeSet};

use label_mapper::{Catalogue, Spelling};
use mesos_http::operator::ClusterEvent;
use mesos_http::scheduler::{Call, Event, Operation};
use mesos_http::types::{InverseOffer, Offer, OfferId, TaskState, TaskStatus};
use thiserror::Error;

use crate::ledger::{self, Holder, Ledger};
use crate::machine::{Explanation, Input, Machine, Rules};
use crate::progress::Progress;
use crate::state::{Millis, Standing};
use agents::Agents;
use metrics::Counters;
pub use record::{Cause, JobRecord, RunId, RunRecord, ServiceRecord, VERSION};

/// How often things that depend on time alone are looked at.
const TICK: Millis = 250;

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

    fn is_over(&self) -> bool {
        self.machine.state().end.is_some()
    }
}

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
    /// When the master was last asked for all tasks.
    all_asked: Millis,
    counters: Counters,
    agents: Agents,
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
            all_asked: now,
            counters: Counters::default(),
            agents: Agents::default(),
        };
        for run in runs {
            let id = format!("{}.{}", run.job, run.number);
            let plan = requests::planned(&run.text, run.volumes.clone(), service.settings.spelling)
                .map_err(|error| format!("run {id}: {error}"))?;
            let machine = Machine::hosted(plan, run.state.clone(), service.settings.rules.clone(), id.clone());
            service.runs.insert(id, Run { record: run, machine });
        }
        service.forget_unlaunched(now);
        Ok(service)
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

    /// The agents, by the operator stream.
    pub fn agents(&self) -> &Agents {
        &self.agents
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
        self.agents.take(&event);
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
                self.ask_for_all_tasks_soon(now);
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
                self.ask_for_all_tasks(now, &mut step);
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
