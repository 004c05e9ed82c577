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
#![forbid(unsafe_code)]

pub mod dataset;
pub mod etl;
