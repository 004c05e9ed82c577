//! Mounted volumes of which the agent has no record.

use std::time::Duration;

use isolator::Config;
use isolator::records::Survey;
use volume_driver_client::Drivers;

use super::finding::Finding;
use crate::unrecorded::{Known, look};

const CHECK: &str = "mounts";
/// How long a driver may take to list its volumes.
const LIMIT: Duration = Duration::from_secs(10);

/// Each volume that a driver has mounted and that no record names: the agent never unmounts it.
pub(super) fn unrecorded(config: &Config) -> Vec<Finding> {
    let drivers = Drivers::new(config.discovery.clone(), config.profiles.clone());
    let looked = look(&drivers, LIMIT);
    let records = match Survey::take(&config.state_dir) {
        Ok(survey) => survey.records,
        Err(error) => {
            return vec![Finding::warn(
                CHECK,
                format!("it cannot be seen which mounted volumes have no record: {error}"),
                "see what the check 'state folder' says",
            )];
        }
    };
    let unrecorded = looked.unrecorded(&Known::in_records(&records));
    let is_folder = |driver: &str| config.is_directory_backed(driver);
    let unrecorded = unrecorded.iter().filter(|it| !is_folder(&it.volume.driver));
    let mut findings: Vec<Finding> = unrecorded
        .map(|it| {
            let has_address = config.discovery.explicit.contains_key(&it.volume.driver);
            Finding::warn(
                CHECK,
                format!(
                    "volume {} is mounted at {}, and no record of the agent names it: it stays attached to this host",
                    it.volume,
                    it.mountpoint.display()
                ),
                format!(
                    "when no process on this host uses it any more: {}{}",
                    it.command(&config.discovery, &config.state_dir, None),
                    if has_address {
                        " (with --drivers and the file of the module's parameter drivers)"
                    } else {
                        ""
                    }
                ),
            )
        })
        .collect();
    // The check of drivers reports a driver that does not answer at all.
    findings.extend(looked.unanswered.iter().map(|(driver, reason)| {
        Finding::warn(
            CHECK,
            format!("driver '{driver}' does not list its volumes: {reason}"),
            "see the driver's log; until it answers, it is not known which of its mounted volumes have no record",
        )
    }));
    if findings.is_empty() {
        findings.push(Finding::ok(
            CHECK,
            "every volume that a driver has mounted is in a record of the agent",
        ));
    }
    findings
}
