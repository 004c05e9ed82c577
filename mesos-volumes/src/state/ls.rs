//! `ls`: who has which volume.

use std::fmt::Write;
use std::path::Path;

use clap::Args;
use clap::builder::PossibleValuesParser;
use isolator::ledger::VolumeState;

use super::picture::{Picture, User, Volume};
use super::words;
use crate::failure::Failure;
use crate::print::{Said, plain, table};

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

pub(super) fn run(state_dir: &Path, filter: &Filter) -> Result<Said, Failure> {
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
    Ok(Said {
        json: picture.to_json(&volumes),
        text,
    })
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
