//! A Mesos scheduler that runs a job file: a DAG of tasks with volumes.
#![forbid(unsafe_code)]

pub mod job;
pub mod machine;
pub mod plan;
pub mod progress;
pub mod report;
pub mod run;
pub mod state;
pub mod store;
