//! The scheduler as a service: many jobs, each with many runs, as one framework.
//!
//! ```text
//! API, schedule ──> Service ──Effects──> Storage (claims, then runs) ──> calls to the master
//!                     ▲  ▲
//!    scheduler API ───┘  └─── operator stream, the storage's listings
//! ```
//!
//! [`Service`] does no I/O and is given the time. Each run keeps the state of its own DAG
//! ([`Run`]); the service shares the offers out among them, by priority and age, and enters every
//! launch in the claim ledger. `scheduler run` is a service with one run, which ends with it
//! ([`Service::of_one_job`]).

pub mod agents;
mod alarm;
pub mod api;
pub(crate) mod blocking;
mod doubt;
mod effects;
mod events;
mod last;
pub mod listing;
pub mod logs;
pub mod metrics;
pub mod openapi;
mod outage;
mod place;
mod reconcile;
mod record;
mod requests;
mod run;
mod schedules;
pub mod serve;
pub mod storage;
mod watch;

use std::collections::{BTreeMap, BTreeSet};

use label_mapper::{Catalogue, Spelling};
use thiserror::Error;

use crate::job::{Job, JobFileError};
use crate::ledger::{self, Ledger};
use crate::placement::{Offers, Waiting};
use crate::plan::Plan;
use crate::run::{Rules, Run};
use crate::state::Millis;
use agents::Agents;
use alarm::Alarm;
pub use effects::Effects;
pub use events::Event;
use last::OneJob;
use metrics::Counters;
use outage::Outage;
pub use record::{Cause, JobRecord, RunId, RunRecord, ServiceRecord, VERSION};
pub use run::RunEntry;
pub use watch::OperatorStream;

/// The settings of a service.
#[derive(Clone, Debug)]
pub struct Settings {
    /// For every run.
    pub rules: Rules,
    /// Whether the storage is asked, and so has to say that a volume is detached.
    pub storage: bool,
    /// The fingerprint of where its listings come from
    /// ([`Listing::source`](listing::Listing::source)).
    pub source: String,
    /// How labels spell the catalogue's volumes.
    pub spelling: Spelling,
    /// How many ended runs of a job are kept.
    pub keep: usize,
    /// How long a claim may stay in a state that only the storage or an operator ends, before it is
    /// reported, in milliseconds.
    pub release_alarm: Millis,
    /// Whether jobs may name commands that run on this host when they end.
    pub commands: bool,
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
    /// The service cannot write its state, and is about to end.
    #[error("{0}")]
    Unwritable(String),
}

/// The service without its I/O.
///
/// Calling order: the [`Effects`] of every event are carried out before the next one;
/// [`Event::Tick`] goes in several times a second, and when the [`deadline`](Self::deadline) has
/// come.
#[derive(Debug)]
pub struct Service {
    settings: Settings,
    record: ServiceRecord,
    /// The files of the jobs in [`record`](Self::record), parsed. An error: an older version
    /// accepted the file.
    files: BTreeMap<String, Result<Job, JobFileError>>,
    runs: BTreeMap<RunId, RunEntry>,
    /// The runs that are not over.
    active: BTreeSet<RunId>,
    /// Those of them with tasks that are to be launched, and how many.
    ready: BTreeMap<RunId, usize>,
    /// Whether an event has happened since the last search for tasks that can be launched.
    stale: bool,
    ledger: Ledger,
    catalogue: Option<Catalogue>,
    offers: Offers,
    waiting: Waiting,
    connected: bool,
    /// While there is no subscription.
    outage: Outage,
    /// While the operator stream is closed.
    stream_outage: Outage,
    /// Of `scheduler run`: the service ends with its only run.
    one_job: Option<OneJob>,
    /// When the master was last asked for all tasks.
    all_asked: Millis,
    counters: Counters,
    agents: Agents,
    alarm: Alarm,
    operator_stream: OperatorStream,
    /// By how much the times that are given in are ahead of the wall clock.
    lead: Millis,
    /// Jobs whose next time was found to be earlier, and is not on disk yet.
    rescheduled: BTreeSet<String>,
}

impl Service {
    /// Takes up where the records left it. Claims of launches that no run knows were never made:
    /// those are free.
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
        let mut service = Self::empty(settings, record, ledger, now);
        service.ledger.count_listings_from(now);
        for run in runs {
            let id = format!("{}.{}", run.job, run.number);
            let job = Job::parse_begun(&run.text).map_err(|error| error.to_string());
            let spelling = service.settings.spelling;
            let plan = requests::catalogue_of(&run)
                .and_then(|catalogue| requests::planned(job?, catalogue.as_ref(), spelling))
                .map_err(|error| format!("run {id}: {error}"))?;
            service.enter(id, run, plan);
        }
        service.forget_unlaunched(now);
        service.look_at_schedules_again(now);
        Ok(service)
    }

    fn empty(settings: Settings, record: ServiceRecord, ledger: Ledger, now: Millis) -> Self {
        let parsed = |(name, job): (&String, &JobRecord)| (name.clone(), Job::parse(&job.text));
        let files = record.jobs.iter().map(parsed).collect();
        Self {
            settings,
            record: ServiceRecord {
                version: VERSION,
                ..record
            },
            files,
            runs: BTreeMap::new(),
            active: BTreeSet::new(),
            ready: BTreeMap::new(),
            stale: true,
            ledger,
            catalogue: None,
            offers: Offers::default(),
            waiting: Waiting::default(),
            connected: false,
            outage: Outage::default(),
            stream_outage: Outage::default(),
            one_job: None,
            all_asked: now,
            counters: Counters::default(),
            agents: Agents::default(),
            alarm: Alarm::default(),
            operator_stream: OperatorStream::new(now),
            lead: 0,
            rescheduled: BTreeSet::new(),
        }
    }

    fn enter(&mut self, id: RunId, record: RunRecord, plan: Plan) {
        let run = Run::new(id.clone(), plan, record.state.clone(), self.settings.rules.clone());
        self.runs.insert(id.clone(), RunEntry { record, run });
        self.enlist(&id);
    }

    /// The jobs by name.
    pub fn jobs(&self) -> &BTreeMap<String, JobRecord> {
        &self.record.jobs
    }

    /// The file of a job; `None` when there is no such job, or its file is one that only an older
    /// version accepted.
    pub fn file(&self, name: &str) -> Option<&Job> {
        self.files.get(name)?.as_ref().ok()
    }

    /// The runs by id.
    pub fn runs(&self) -> &BTreeMap<RunId, RunEntry> {
        &self.runs
    }

    /// The claims.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The state on disk in addition to claims and runs.
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

    /// For every run, and how long a claim may stand still.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    fn ledger_rules(&self) -> ledger::Rules {
        ledger::Rules {
            storage: self.settings.storage,
            let_go: self.settings.rules.let_go,
        }
    }
}
