//! Volumes in a framework's own fields, written: for the Docker containerizer, and for the way back
//! from labels.

use serde_json::{Map, Value, json};
use volume_labels::{Access, ContainerPath, Lifetime, Mode, MountFlags, VolumeLabels};

use super::{Additions, Problem, refused};
use crate::text::{JsonText, Path};

/// Where a framework takes external volumes, and in which words.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// Marathon's and Chronos' `external` in this list of volumes.
    External(Path),
    /// Mesos' `source.docker_volume` in this list of volumes.
    Source(Path),
    /// Singularity's `source.dockerVolume` in this list of volumes.
    SingularitySource(Path),
    /// Parameters of `docker run` in this list, under this member name next to `value`.
    Parameters(Path, &'static str),
}

/// The agent's default `--sandbox_directory`, where the Docker containerizer mounts the sandbox.
const SANDBOX: &str = "/mnt/mesos/sandbox";

/// Adds what is not there yet. A volume at the path of one that is there must be the same.
pub(super) fn write(text: &mut JsonText, place: &Place, additions: &Additions<'_>) -> Result<Vec<String>, Problem> {
    let mut notes = Vec::new();
    let drivers: Vec<String> = additions
        .volumes
        .iter()
        .map(|volume| driver(volume, additions.default_driver))
        .collect::<Result<_, _>>()?;
    for volume in additions.volumes {
        cannot_say(volume)?;
    }
    if let Place::Parameters(path, key) = place {
        for (volume, driver) in additions.volumes.iter().zip(&drivers) {
            let target = absolute(&volume.path.to_string());
            if let ContainerPath::Relative(_) = volume.path {
                notes.push(format!(
                    "'volume.{}' goes to {target}, where agents with the default --sandbox_directory show a Docker task its \
                     sandbox",
                    volume.slot
                ));
            }
            let mode = volume.mode;
            parameter(text, path, key, "volume-driver", driver)?;
            parameter(text, path, key, "volume", &format!("{}:{target}:{mode}", volume.name))?;
        }
        return Ok(notes);
    }
    for (volume, driver) in additions.volumes.iter().zip(&drivers) {
        let (list, member, entry) = entry(place, volume, driver);
        let here = text.at(list).map(|node| node.elements()).unwrap_or_default();
        let path = volume.path.to_string();
        let same_path = here
            .iter()
            .find(|element| element.text_of(member) == Some(path.as_str()));
        match same_path.map(|element| text.value_of(element)) {
            Some(known) if known == entry => {}
            Some(_) => {
                return refused(format!(
                    "'{list}' has another volume at '{path}' already: take it out, or give 'volume.{}.path' another value",
                    volume.slot
                ));
            }
            None => text.push(list, &entry)?,
        }
    }
    Ok(notes)
}

/// A container that came to be for its volumes alone needs a type as well.
pub(super) fn complete(text: &mut JsonText, place: &Place) -> Result<(), Problem> {
    let (Place::Source(list) | Place::SingularitySource(list) | Place::External(list)) = place else {
        return Ok(());
    };
    let Some((container, _)) = list.split_last() else {
        return Ok(());
    };
    if text
        .at(&container)
        .is_some_and(|container| container.get("type").is_none())
    {
        text.set(&container.key("type"), &Value::from("MESOS"))?;
    }
    Ok(())
}

fn entry<'a>(place: &'a Place, volume: &VolumeLabels, driver: &str) -> (&'a Path, &'static str, Value) {
    let mode = if volume.mode == Mode::ReadOnly { "RO" } else { "RW" };
    let path = volume.path.to_string();
    let options: Map<String, Value> = volume
        .options
        .iter()
        .map(|(key, value)| (key.clone(), Value::from(value.as_str())))
        .collect();
    match place {
        Place::External(list) => {
            let mut all: Map<String, Value> = options
                .into_iter()
                .map(|(key, value)| (format!("dvdi/{key}"), value))
                .collect();
            // Marathon has a member of its own for it.
            let size = all.get("dvdi/size").and_then(|size| size.as_str()?.parse::<u64>().ok());
            if size.is_some() {
                all.remove("dvdi/size");
            }
            all.insert("dvdi/driver".to_owned(), Value::from(driver));
            let mut external = json!({"name": volume.name, "provider": "dvdi", "options": all});
            if let Some(size) = size {
                external["size"] = Value::from(size);
            }
            let entry = json!({"containerPath": path, "mode": mode, "external": external});
            (list, "containerPath", entry)
        }
        Place::Source(list) | Place::Parameters(list, _) => {
            let mut docker = json!({"driver": driver, "name": volume.name});
            if !options.is_empty() {
                let pairs: Vec<Value> = options
                    .iter()
                    .map(|(key, value)| json!({"key": key, "value": value}))
                    .collect();
                docker["driver_options"] = json!({"parameter": pairs});
            }
            let source = json!({"type": "DOCKER_VOLUME", "docker_volume": docker});
            (
                list,
                "container_path",
                json!({"container_path": path, "mode": mode, "source": source}),
            )
        }
        Place::SingularitySource(list) => {
            let mut docker = json!({"driver": driver, "name": volume.name});
            if !options.is_empty() {
                docker["driverOptions"] = Value::Object(options);
            }
            let source = json!({"type": "DOCKER_VOLUME", "dockerVolume": docker});
            (
                list,
                "containerPath",
                json!({"containerPath": path, "mode": mode, "source": source}),
            )
        }
    }
}

fn parameter(text: &mut JsonText, path: &Path, key: &str, name: &str, value: &str) -> Result<(), Problem> {
    let known = text.at(path).map(|node| node.elements()).unwrap_or_default();
    let of_name = || known.iter().filter(|element| element.text_of(key) == Some(name));
    if of_name().any(|element| element.text_of("value") == Some(value)) {
        return Ok(());
    }
    if name == "volume-driver" && of_name().next().is_some() {
        return refused(format!(
            "'{path}' names another volume-driver than '{value}', and Docker takes one for a container"
        ));
    }
    Ok(text.push(path, &json!({key: name, "value": value}))?)
}

/// The driver must be named, since Docker and docker/volume do not know the default of the module.
pub(super) fn driver(volume: &VolumeLabels, default: Option<&str>) -> Result<String, Problem> {
    match volume.driver.as_deref().or(default) {
        Some(driver) => Ok(driver.to_owned()),
        None => refused(format!(
            "'volume.{0}' names no driver, and outside of the isolator there is no default: add the label \
             'volume.{0}.driver' or give --default-driver",
            volume.slot
        )),
    }
}

/// Where a path is in a container of the Docker engine.
pub(crate) fn absolute(path: &str) -> String {
    match path.trim_end_matches('/') {
        path if path.starts_with('/') => path.to_owned(),
        path => format!("{SANDBOX}/{}", path.trim_start_matches("./")),
    }
}

pub(super) fn one_driver(drivers: &[String]) -> Result<(), Problem> {
    match drivers {
        [first, rest @ ..] if rest.iter().any(|driver| driver != first) => refused(format!(
            "its volumes have several drivers ({}), and Docker takes one for a container",
            drivers.join(", ")
        )),
        _ => Ok(()),
    }
}

/// What only labels can say.
pub(super) fn cannot_say(volume: &VolumeLabels) -> Result<(), Problem> {
    let attribute = if volume.access == Access::Exclusive {
        "access"
    } else if volume.lifetime == Lifetime::Container {
        "lifetime"
    } else if volume.owner.is_some() {
        "owner"
    } else if volume.flags != MountFlags::default() {
        "flags"
    } else if volume.subpath.is_some() {
        "subpath"
    } else {
        return Ok(());
    };
    refused(format!(
        "'volume.{}.{attribute}' has no equivalent in the framework's own fields for a volume, and only the isolator honours \
         it: remove it",
        volume.slot
    ))
}
