//! What a service keeps on disk besides the claims.

use std::collections::BTreeMap;

use label_mapper::Volume;
use serde::{Deserialize, Serialize};

use crate::state::{JobState, Millis};

/// A run's id: `<job>.<number>`, the first part of its task ids.
pub type RunId = String;

/// A job that was given to the service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRecord {
    /// The job file.
    pub text: String,
    /// When it was given.
    pub created_ms: Millis,
    /// When it runs next by its schedule.
    pub next_ms: Option<Millis>,
    /// The number of its last run, of all that ever were.
    pub runs: u64,
    /// Whether its schedule begins nothing for now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// When the run was due that waits until the one before is over; `None` when none waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued_ms: Option<Millis>,
    /// The latest time of its schedule that has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_due_ms: Option<Millis>,
}

/// Why a run was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "by")]
pub enum Cause {
    /// A request over the API or the page.
    Request,
    /// Its schedule.
    Schedule {
        /// When it was due.
        due_ms: Millis,
    },
}

/// A run as it lies on disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The job's name.
    pub job: String,
    /// Which run of it, from 1.
    pub number: u64,
    /// The job file as it was when the run was begun.
    pub text: String,
    /// Its volumes, as the storage listed them then; `None` without a catalogue.
    pub volumes: Option<Vec<Volume>>,
    /// The aliases they had then, with their ids.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub aliases: BTreeMap<String, String>,
    /// Why it was begun.
    pub cause: Cause,
    /// How far it is.
    pub state: JobState,
}

/// What has to survive besides claims and runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceRecord {
    /// The version of this format.
    pub version: u32,
    /// The framework's id, given by the master at the first subscription.
    pub framework_id: Option<String>,
    /// The jobs by name. Version 1 kept them here; now each is kept by itself, since one that changes would rewrite all.
    #[serde(default, skip_serializing)]
    pub jobs: BTreeMap<String, JobRecord>,
    /// The number of the last run of each job that was deleted. A job that is given again under its name goes on from there:
    /// masters and agents remember the ids of old tasks.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub last_numbers: BTreeMap<String, u64>,
}

/// The version of [`ServiceRecord`].
pub const VERSION: u32 = 2;
