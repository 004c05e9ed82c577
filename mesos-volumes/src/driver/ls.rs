//! `driver ls`: the drivers of this host, or the volumes of one.

use std::thread;

use clap::Args;
use serde_json::{Value, json};
use volume_driver_client::{Candidate, Driver, Drivers, Scope};

use super::volume_json;
use crate::failure::Failure;
use crate::print::{Said, plain};

#[derive(Args)]
pub(super) struct Arguments {
    /// List the volumes of this driver
    pub(super) driver: Option<String>,
}

/// Every candidate, asked at the same time, so that one that hangs costs its own deadline only.
pub(super) fn drivers(drivers: &Drivers) -> Said {
    let candidates = drivers.list();
    let asked: Vec<Asked> = thread::scope(|threads| {
        let asking: Vec<_> = candidates
            .iter()
            .map(|candidate| threads.spawn(move || ask(drivers, candidate)))
            .collect();
        asking
            .into_iter()
            .map(|thread| thread.join().expect("asking a driver does not panic"))
            .collect()
    });
    let mut rows = vec![["DRIVER", "ADDRESS", "SCOPE", "STATE"].map(str::to_owned).to_vec()];
    let mut list = Vec::new();
    for (candidate, asked) in candidates.iter().zip(asked) {
        let address = candidate.outcome.as_ref().ok().map(ToString::to_string);
        let source = candidate.source.as_ref().map(|path| path.display().to_string());
        let shown = address.clone().or(source.clone()).unwrap_or_default();
        rows.push(vec![
            plain(&candidate.name),
            plain(&shown),
            asked.scope.to_owned(),
            plain(&asked.state),
        ]);
        list.push(json!({
            "name": candidate.name,
            "address": address,
            "source": source,
            "usable": asked.usable,
            "scope": if asked.scope.is_empty() { Value::Null } else { asked.scope.into() },
            "state": asked.state,
        }));
    }
    let text = if list.is_empty() {
        let discovery = drivers.discovery();
        let searched = discovery.socket_dirs.iter().chain(&discovery.spec_dirs);
        let searched: Vec<String> = searched.map(|path| path.display().to_string()).collect();
        format!("no drivers in {}\n", searched.join(", "))
    } else {
        foreign_text::columns(&rows)
    };
    Said {
        json: json!({ "drivers": list }),
        text,
    }
}

struct Asked {
    usable: bool,
    scope: &'static str,
    state: String,
}

fn ask(drivers: &Drivers, candidate: &Candidate) -> Asked {
    let no = |state: String| Asked {
        usable: false,
        scope: "",
        state,
    };
    if let Err(why) = &candidate.outcome {
        return no(format!("skipped: {why}"));
    }
    let driver = match drivers.driver(&candidate.name) {
        Ok(driver) => driver,
        Err(error) => return no(error.words().to_owned()),
    };
    match driver.activate() {
        Ok(implements) if implements.iter().any(|it| it == "VolumeDriver") => {}
        Ok(implements) => return no(format!("no volume driver: it implements {implements:?}")),
        Err(error) => return no(format!("{}: {}", error.kind().name(), error.words())),
    }
    match driver.capabilities() {
        Ok(scope) => Asked {
            usable: true,
            scope: scope_name(scope),
            state: "answers".to_owned(),
        },
        Err(error) => no(format!("{}: {}", error.kind().name(), error.words())),
    }
}

pub(super) fn scope_name(scope: Scope) -> &'static str {
    match scope {
        Scope::Local => "local",
        Scope::Global => "global",
    }
}

pub(super) fn volumes(driver: &Driver) -> Result<Said, Failure> {
    let volumes = driver.list()?;
    let mut rows = vec![["VOLUME", "MOUNTPOINT"].map(str::to_owned).to_vec()];
    for volume in &volumes {
        let path = volume.mountpoint.as_ref().map(|path| path.display().to_string());
        rows.push(vec![plain(&volume.name), plain(&path.unwrap_or_default())]);
    }
    let list: Vec<Value> = volumes.iter().map(volume_json).collect();
    Ok(Said {
        json: json!({ "driver": driver.name(), "volumes": list }),
        text: foreign_text::columns(&rows),
    })
}
