//! `ls`: who has which volume.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use isolator::VolumeKey;
use serde_json::{Value, json};

use super::picture::{Picture, User, Volume};
use super::selection::Selection;
use super::template::Template;
use super::words;
use crate::failure::Failure;
use crate::print::{Said, plain};
use crate::settings::Lookup;
use crate::unrecorded::{Known, look};

/// How long a driver may take to list its volumes.
const LIMIT: Duration = Duration::from_secs(3);

/// What is printed of them.
#[derive(Args)]
pub(super) struct Output {
    /// Print the volumes' names only, one a line
    #[arg(long, short, conflicts_with_all = ["json", "format"])]
    quiet: bool,
    /// Print a line for each volume, with these fields in braces: {volume}, {driver}, {state},
    /// {mountpoint}, {since}, {try}, {next_try}, {last_error}; or for each container of each
    /// volume, when {container} or {does} is among them. '{{' and '}}' stand for braces, '\t' for a
    /// tab, '\n' for a new line
    #[arg(long, value_name = "TEMPLATE", conflicts_with = "json")]
    format: Option<Template>,
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

pub(super) fn run(state_dir: &Path, selection: &Selection, output: &Output, lookup: &Lookup) -> Result<Said, Failure> {
    if output.quiet || output.format.is_some() {
        return lines(state_dir, selection, output.format.as_ref());
    }
    let drivers = lookup.drivers()?;
    let looked = look(&drivers, LIMIT);
    let picture = Picture::take(state_dir)?;
    let volumes: Vec<&Volume> = picture.volumes.iter().filter(|volume| selection.has(volume)).collect();
    let mut text = picture.heading();
    if volumes.is_empty() {
        text.push_str("no volumes\n");
    } else {
        let mut rows = vec![HEAD.map(str::to_owned).to_vec()];
        rows.extend(volumes.iter().flat_map(|volume| rows_of(volume)));
        text.push_str(&foreign_text::columns(&rows));
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
    let is_wanted = |volume: &VolumeKey| selection.has_unrecorded(&volume.driver, &volume.name);
    for it in unrecorded_volumes.iter().filter(|it| is_wanted(&it.volume)) {
        let command = it.command(drivers.discovery(), state_dir, lookup.drivers_file());
        let volume = plain(&it.volume.to_string());
        let at = plain(&it.mountpoint.display().to_string());
        let _ = writeln!(
            text,
            "volume {volume} is mounted at {at}, and no record names it; when no process uses it any more, release it with\n  {}",
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

/// What a script reads: a line for each volume that has a record or that the agent knows. Drivers
/// are not asked.
fn lines(state_dir: &Path, selection: &Selection, template: Option<&Template>) -> Result<Said, Failure> {
    let picture = Picture::take(state_dir)?;
    for unreadable in &picture.unreadable {
        let file = unreadable.file.display().to_string();
        eprintln!(
            "mesos-volumes: {} is no record: {}",
            plain(&file),
            plain(&unreadable.reason)
        );
    }
    let volumes = picture.volumes.iter().filter(|volume| selection.has(volume));
    let text = volumes.map(|volume| match template {
        Some(template) => template.lines(volume),
        None => plain(&volume.key.name) + "\n",
    });
    Ok(Said {
        json: Value::Null,
        text: text.collect(),
    })
}

/// What the agent and its records say.
fn known(picture: &Picture) -> Vec<Known> {
    let volumes = picture.volumes.iter().map(|volume| Known {
        volume: volume.key.clone(),
        mountpoint: volume.mountpoint.clone(),
    });
    volumes.collect()
}

/// A row for each container, or one for a volume that no container uses.
fn rows_of(volume: &Volume) -> Vec<Vec<String>> {
    let row = |user: Option<&User>| {
        let since = user.map_or(volume.since, |user| user.since);
        vec![
            plain(&volume.key.name),
            plain(&volume.key.driver),
            volume.state.clone(),
            user.map(|user| plain(&user.container.to_string())).unwrap_or_default(),
            user.map(|user| user.does.as_str().to_owned()).unwrap_or_default(),
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
