//! Real Mesos masters and agents on one machine, for tests and demos
pub mod package;
