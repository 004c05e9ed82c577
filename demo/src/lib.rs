//! The demonstration: an ETL job whose volumes follow its tasks.
//!
//! [`etl`] is the job itself, five programs in one (`flights-etl seed | extract | transform | load | verify`), each a
//! Mesos task of its own. They know nothing of Mesos or of volumes: they work on folders.
//!
//! ```text
//!  the PyPI package ──seed──► src: PostgreSQL ──extract──► stage: CSV, manifest ──transform──► stage
//!         │                                                                                      │
//!         └───────────────verify (recomputed) ◄── dst: PostgreSQL ◄──────────load────────────────┘
//! ```
//!
//! The flights come in batches, months of the year; each is extracted, transformed, loaded and verified, so the volumes go
//! to and fro between the hosts.
//!
//! [`demonstration`] runs that job on a real Mesos (`etl-demo`): a master, three agents on emulated EC2 hosts in two
//! zones, three EBS volumes, the scheduler with the job file `flights.yaml`. It shows what happens, and says in the end
//! whether every figure is right and nothing is left.
//!
//! [`acts`] is what goes wrong in such a cluster, done to it on purpose (`etl-demo --acts`): agents, schedulers and tasks
//! that die, volumes that somebody else has, a storage that is slow or fails.
#![forbid(unsafe_code)]

pub mod acts;
pub mod dataset;
pub mod demonstration;
pub mod etl;
