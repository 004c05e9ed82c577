//! What a step says: progress lines, and at the end one line of JSON.

use std::time::Instant;

use serde::{Deserialize, Serialize};

/// The last line of a step that succeeded. Figures a step does not have are absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The step.
    pub step: String,
    /// The batch.
    pub batch: u32,
    /// True when an earlier run had done the work, and there was nothing left to do.
    #[serde(default)]
    pub already_done: bool,
    /// Flights in the source database (seed).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_seeded: Option<u64>,
    /// Flights copied out of the source (extract); what the batch rows say of it, all batches so far together (verify).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_extracted: Option<u64>,
    /// Flights rejected because they never departed: of the batch (transform), of all so far (verify).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<u64>,
    /// Flights in the target database: of the batch (load), of all so far (verify).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_loaded: Option<u64>,
    /// Rows of the aggregate per carrier, day and airport.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aggregates: Option<u64>,
    /// Figures computed again and compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub figures_compared: Option<u64>,
    /// How many of them differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mismatches: Option<u64>,
    /// Who signed the volumes (audit).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writers: Option<u64>,
    /// How long the step took.
    pub seconds: f64,
}

impl Outcome {
    /// The outcome of a step that was begun at `began`, with no figures yet.
    pub fn of(step: &str, batch: u32, began: Instant) -> Outcome {
        let seconds = (began.elapsed().as_secs_f64() * 1e3).round() / 1e3;
        Outcome {
            step: step.to_owned(),
            batch,
            seconds,
            ..Outcome::default()
        }
    }
}

/// Prints one line of progress.
pub fn progress(step: &str, text: impl std::fmt::Display) {
    println!("{step}: {text}");
}
