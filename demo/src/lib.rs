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
//! [`demonstration`] runs that job on a real Mesos (`etl-demo`): a master, two agents on two emulated EC2 hosts of one
//! zone, three EBS volumes, the scheduler with the job file `flights.yaml`. It shows what happens, and says in the end
//! whether every figure is right and nothing is left.
#![forbid(unsafe_code)]

pub mod dataset;
pub mod demonstration;
pub mod etl;
