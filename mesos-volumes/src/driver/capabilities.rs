//! `driver capabilities`: what a driver is.

use clap::Args;
use serde_json::json;
use volume_driver_client::Driver;

use super::ls::scope_name;
use crate::failure::Failure;
use crate::print::{Said, plain};

#[derive(Args)]
pub(super) struct Arguments {
    /// The driver's name
    driver: String,
}

impl Arguments {
    pub(super) fn driver(&self) -> &str {
        &self.driver
    }
}

/// The scope as the driver says it, and what is known of the driver.
pub(super) fn run(driver: &Driver) -> Result<Said, Failure> {
    let implements = driver.activate()?;
    let scope = scope_name(driver.capabilities()?);
    let profile = driver.profile();
    let mut text = format!("scope: {scope}\nimplements: {}\n", plain(&implements.join(", ")));
    text.push_str(&format!("calls at once: {}\n", profile.max_in_flight));
    for note in &profile.notes {
        text.push_str(&format!("note: {note}\n"));
    }
    let json = json!({
        "driver": driver.name(),
        "address": driver.endpoint().to_string(),
        "scope": scope,
        "implements": implements,
        "profile": profile,
    });
    Ok(Said { json, text })
}
