//! The testbed on the real thing: what a test that uses it, and a person, may rely on.
//!
//! Needs root, and Mesos in the cache (`testbed fetch`; the first test that wants it waits for the download).

#![expect(clippy::unwrap_used, reason = "a step that fails is the test's failure")]

mod api;
mod cluster;
mod docker;
mod executor;
mod feedback;
mod fetch;
mod programs;
#[path = "../support/mod.rs"]
mod support;
mod teardown;
mod tls;
