//! `ls`, `inspect`, `release` and `quarantine`, as people and programs call them: on folders
//! without an agent, and beside the isolator at work.
//!
//! Root is needed for cgroups and mounts.

#![allow(clippy::unwrap_used, reason = "a fixture that cannot be set up fails its test")]

mod agent_down;
mod agent_up;
mod quarantine;
mod site;
