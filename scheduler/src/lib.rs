//! A Mesos scheduler that runs job files: DAGs of tasks with volumes.
//!
//! ```text
//! job file ──> Job ──catalogue──> Plan ──> Run ──┐
//!                                                ├─ Service ──Effects──> Storage (save)
//!                     Offers, Placement, Ledger ─┘    ▲                    │ then
//!                                                     │                    ▼
//!                          master <── Connection ─────┴─ Event       calls to the master
//! ```
//!
//! * [`job`]: the file, read and checked, with line numbers. Its format is in `scheduler/JOBFILE.md`.
//! * [`plan`]: names of volumes looked up; labels, claims and zone of every task.
//! * [`run`]: the state of one job's DAG.
//! * `placement`: the offers: which task goes to which agent.
//! * [`service`]: runs of jobs in one framework. It does no I/O and is given the time, so that histories with crashes between
//!   any two effects can be run in a test. `scheduler serve` has many jobs, with schedules, an HTTP API and a [`page`];
//!   `scheduler run` ([`one_job`]) has one and ends with it.
//! * [`state`] and [`store`]: what has to survive, and the folder it lies in. It is on disk before anything follows from
//!   it: an attempt before its launch, an update before its acknowledgement.
//! * [`declared`]: declarations of operators that tasks do not run.
//! * [`ledger`]: who may use which volume, cluster-wide.
//! * [`clock`]: the time, which never goes backwards although the host's clock does.
//! * [`framework`]: how a scheduler subscribes with the masters.
//! * [`timeline`]: when what ran, and who had which volume, as SVG for the page, a file, another program.
//! * [`access`]: who may ask the API and the page for anything.
//! * [`bounded`]: commands with a time limit, for notifications and for the storage's listing.
//! * [`progress`], [`report`] and [`notification`]: what people and programs see.
//!
//! A task of a job goes through
//!
//! ```text
//! waiting ──all before it finished──> ready ──offer fits──> active ──terminal update──> finished
//!                                       ▲                     │  │
//!                                       └─never launched, or──┘  └──anything else──> failed
//!                                         volume held elsewhere
//! ```
//!
//! and is `active` from the moment the attempt is on disk until an agent, a master or an operator says that it is over: a
//! task on an agent that cannot be reached may still write, so it keeps its volumes.
#![forbid(unsafe_code)]

pub mod access;
pub mod bounded;
pub mod clock;
mod crash_point;
pub mod declared;
pub mod framework;
pub mod job;
pub mod ledger;
pub mod notification;
pub mod one_job;
pub mod page;
mod placement;
pub mod plan;
pub mod progress;
pub mod report;
pub mod run;
pub mod service;
pub mod state;
pub mod store;
pub mod timeline;
