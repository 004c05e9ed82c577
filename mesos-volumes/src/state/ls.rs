//! `ls`: who has which volume.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;
use isolator::ledger::VolumeState;
use serde_json::json;

use super::picture::{Picture, User, Volume};
use super::words;
use crate::failure::Failure;
use crate::print::{Said, plain, table};
use crate::settings::Lookup;
use crate::unrecorded::{Known, look};

/// How long a driver may take to list its volumes.
const LIMIT: Duration = Duration::from_secs(3);

/// Which volumes.
#[derive(Args)]
pub(super) struct Filter {
    /// Only volumes of this driver
    #[arg(long, value_name = "NAME")]
    driver: Option<String>,
    /// Only volumes in this state
    #[arg(long, value_parser = states())]
    state: Option<String>,
}

/// The states that a volume can have, for the command line.
fn states() -> PossibleValuesParser {
    PossibleValuesParser::new(VolumeState::ALL.map(VolumeState::word))
}

const HEAD: [&str; 9] = [
    "VOLUME",
    "DRIVER",
    "STATE",
    "CONTAINER",
    "DOES",
    "SINCE",
    "TRY",
    "NEXT TRY",
    "LAST ERROR",
];

pub(super) fn run(state_dir: &Path, filter: &Filter, lookup: &Lookup) -> Result<Said, Failure> {
    let drivers = lookup.drivers()?;
    let looked = look(&drivers, LIMIT);
    let picture = Picture::take(state_dir)?;
    let wanted = |volume: &&Volume| {
        filter.driver.as_ref().is_none_or(|driver| *driver == volume.key.driver)
            && filter.state.as_ref().is_none_or(|state| *state == volume.state)
    };
    let volumes: Vec<&Volume> = picture.volumes.iter().filter(wanted).collect();
    let mut text = picture.heading();
    if volumes.is_empty() {
        text.push_str("no volumes\n");
    } else {
        let mut rows = vec![HEAD.map(str::to_owned).to_vec()];
        rows.extend(volumes.iter().flat_map(|volume| rows_of(volume)));
        text.push_str(&table(&rows));
    }
    for unreadable in &picture.unreadable {
        let _ = writeln!(
            text,
            "{} is no record: {}",
            plain(&unreadable.file.display().to_string()),
            plain(&unreadable.reason)
        );
    }
    if picture.quarantined > 0 {
        let _ = writeln!(
            text,
            "{} in quarantine: see 'mesos-volumes quarantine ls'",
            picture.quarantined
        );
    }
    let mut json = picture.to_json(&volumes);
    let mut unrecorded = Vec::new();
    let unrecorded_volumes = looked.unrecorded(&known(&picture));
    let is_wanted = |driver: &str| filter.driver.as_ref().is_none_or(|wanted| wanted == driver);
    for it in unrecorded_volumes.iter().filter(|it| is_wanted(&it.volume.driver)) {
        let command = it.command(drivers.discovery(), state_dir, lookup.drivers_file());
        let volume = plain(&it.volume.to_string());
        let at = plain(&it.mountpoint.display().to_string());
        let _ = writeln!(
            text,
            "volume {volume} is mounted at {at}, and no record names it; when nobody uses it any more, release it with\n  {}",
            plain(&command)
        );
        unrecorded.push(it.to_json(&command));
    }
    for (driver, reason) in &looked.unanswered {
        let (driver, reason) = (plain(driver), plain(reason));
        let _ = writeln!(
            text,
            "driver '{driver}' may have volumes mounted that no record names, and does not list its volumes: {reason}"
        );
    }
    json["unrecorded"] = unrecorded.into();
    json["unanswered"] = looked
        .unanswered
        .iter()
        .map(|(driver, reason)| json!({ "driver": driver, "reason": reason }))
        .collect();
    Ok(Said { json, text })
}

/// What the agent and its records say.
fn known(picture: &Picture) -> Vec<Known> {
    let volumes = picture.volumes.iter().map(|volume| Known {
        volume: volume.key.clone(),
        mountpoint: volume.mountpoint.clone(),
    });
    volumes.collect()
}

/// A row for each container, or one for a volume that nobody is about.
fn rows_of(volume: &Volume) -> Vec<Vec<String>> {
    let row = |user: Option<&User>| {
        let since = user.map_or(volume.since, |user| user.since);
        vec![
            plain(&volume.key.name),
            plain(&volume.key.driver),
            volume.state.clone(),
            user.map(|user| plain(&user.container.to_string())).unwrap_or_default(),
            user.map(|user| user.does.word().to_owned()).unwrap_or_default(),
            words(since),
            if volume.attempt > 0 {
                volume.attempt.to_string()
            } else {
                String::new()
            },
            words(volume.next_retry),
            volume.last_error.as_deref().map(plain).unwrap_or_default(),
        ]
    };
    if volume.users.is_empty() {
        vec![row(None)]
    } else {
        volume.users.iter().map(|user| row(Some(user))).collect()
    }
}
