//! `inspect`: everything about one container or one volume.

use std::fmt::{Display, Write};
use std::path::Path;

use isolator::ContainerId;
use isolator::ledger::RecordedState;
use isolator::records::Surveyed;
use isolator::status::Usage;
use serde_json::{Value, json};
use volume_labels::Lifetime;

use super::events::{Events, Source};
use super::picture::{Picture, Volume};
use super::{moment, words};
use crate::failure::Failure;
use crate::print::{Said, plain};

pub(super) fn run(state_dir: &Path, what: &str, source: &Source) -> Result<Said, Failure> {
    let picture = Picture::take(state_dir)?;
    let mut containers: Vec<&ContainerId> = picture.records.iter().map(|it| &it.record.container).collect();
    let users = picture.volumes.iter().flat_map(|volume| &volume.users);
    containers.extend(users.map(|user| &user.container));
    containers.sort_unstable();
    containers.dedup();
    let named = |container: &&&ContainerId| container.to_string() == what;
    let begun = |container: &&&ContainerId| container.to_string().starts_with(what);
    let exact: Vec<&&ContainerId> = containers.iter().filter(named).collect();
    let found = if exact.is_empty() {
        containers.iter().filter(begun).collect()
    } else {
        exact
    };
    let volumes: Vec<&Volume> = picture
        .volumes
        .iter()
        .filter(|volume| volume.key.name == what)
        .collect();
    let named = picture.audit_log.as_deref();
    let of_volume_events = || source.events(named, |event| event["volume"] == what);
    match (found.as_slice(), volumes.as_slice()) {
        ([container], []) => {
            let id = container.to_string();
            let has_it = |event: &Value| {
                event["containers"]
                    .as_array()
                    .is_some_and(|ids| ids.contains(&json!(id)))
            };
            Ok(with_events(
                of_container(&picture, container),
                &source.events(named, has_it)?,
            ))
        }
        ([], [_, ..]) => {
            let said = Said {
                json: picture.to_json(&volumes),
                text: volumes
                    .iter()
                    .fold(picture.heading(), |text, volume| text + &of_volume(volume)),
            };
            Ok(with_events(said, &of_volume_events()?))
        }
        ([], []) => {
            let events = of_volume_events()?;
            if events.lines.is_empty() {
                return Err(Failure::Unknown(format!(
                    "no container whose id begins with '{what}' and no volume of that name is recorded in {}",
                    state_dir.display()
                )));
            }
            let said = Said {
                json: picture.to_json(&[]),
                text: format!("volume '{}' is not in use on this host\n", plain(what)),
            };
            Ok(with_events(said, &events))
        }
        (containers, volumes) => {
            let containers = containers.iter().map(|container| format!("container {container}"));
            let volumes = volumes.iter().map(|volume| format!("volume {}", volume.key));
            let all: Vec<String> = containers.chain(volumes).collect();
            Err(Failure::Refused(format!("'{what}' may be any of: {}", all.join(", "))))
        }
    }
}

fn with_events(mut said: Said, events: &Events) -> Said {
    events.add_to(&mut said.json);
    said.text += &events.text();
    said
}

fn line(text: &mut String, name: &str, value: impl Display) {
    let value = value.to_string();
    if !value.is_empty() {
        let _ = writeln!(text, "  {name:<12} {}", plain(&value));
    }
}

fn of_volume(volume: &Volume) -> String {
    let mut text = format!("volume {}\n", plain(&volume.key.to_string()));
    line(&mut text, "state", &volume.state);
    line(&mut text, "since", words(volume.since));
    line(
        &mut text,
        "mountpoint",
        volume
            .mountpoint
            .as_ref()
            .map(|path| path.display().to_string())
            .unwrap_or_default(),
    );
    if volume.attempt > 0 {
        line(&mut text, "try", volume.attempt);
    }
    line(
        &mut text,
        "last error",
        volume.last_error.as_deref().unwrap_or_default(),
    );
    line(&mut text, "next try", words(volume.next_retry));
    for user in &volume.users {
        let mut words = vec![format!("{} {}", user.container, user.does.as_str())];
        words.extend(user.since.map(|since| format!("since {since}")));
        words.extend(user.mode().map(str::to_owned));
        words.extend(user.access().map(str::to_owned));
        if user.lifetime() == Some(Lifetime::Container) {
            words.push("removed after it".to_owned());
        }
        words.extend(
            user.recorded
                .as_ref()
                .map(|recorded| format!("at {}", recorded.request.target.display())),
        );
        line(&mut text, "container", words.join(", "));
    }
    text
}

fn of_container(picture: &Picture, container: &ContainerId) -> Said {
    let record = picture.records.iter().find(|it| it.record.container == *container);
    let uses = |volume: &Volume| -> Option<Usage> {
        volume
            .users
            .iter()
            .find(|user| user.container == *container)
            .map(|user| user.does)
    };
    let volumes: Vec<(&Volume, Usage)> = picture
        .volumes
        .iter()
        .filter_map(|volume| Some((volume, uses(volume)?)))
        .collect();
    let mut text = format!("{}container {}\n", picture.heading(), plain(&container.to_string()));
    match record {
        Some(it) => {
            let state = if it.record.released {
                "has left; what follows is still to be undone"
            } else {
                "recorded"
            };
            line(&mut text, "state", state);
            line(&mut text, "since", words(moment(it.written)));
            if it.rebooted {
                line(
                    &mut text,
                    "boot",
                    "the host rebooted since: no mount of it is left, attachments may be",
                );
            }
        }
        None => line(&mut text, "state", "has no record"),
    }
    for (volume, does) in &volumes {
        text.push_str(&of_volume(volume));
        line(&mut text, "this one", does.as_str());
    }
    let json = json!({
        "container": container.to_string(),
        "record": record.map(record_json),
        "volumes": volumes.iter().map(|(volume, _)| volume.to_json()).collect::<Vec<_>>(),
    });
    Said { json, text }
}

fn record_json(it: &Surveyed) -> Value {
    let volumes = it.record.volumes.iter().map(|volume| {
        let request = &volume.request;
        let state = match &volume.state {
            RecordedState::Mounting => "mounting",
            RecordedState::Mounted(_) => "mounted",
            RecordedState::Unmounting(_) => "unmounting",
        };
        json!({
            "slot": request.origin.recorded(),
            "driver": request.volume.driver,
            "name": request.volume.name,
            "mount_id": request.mount_id.as_str(),
            "target": request.target,
            "lifetime": request.spec.lifetime.to_string(),
            "state": state,
            "mountpoint": volume.state.mountpoint().map(|mountpoint| &mountpoint.path),
        })
    });
    json!({
        "released": it.record.released,
        "rebooted": it.rebooted,
        "written": moment(it.written),
        "volumes": volumes.collect::<Vec<_>>(),
    })
}
