//! Volumes among the parameters of `docker run`, which Marathon, Chronos, Cook, Aurora,
//! Singularity, Spark and Mesos itself hand to the Docker engine as `--KEY=VALUE` (`Docker::run` in
//! Mesos' `docker.cpp`).

use volume_labels::cleaned;

use super::Channel;
use super::native::{Native, OwnWords, host_folder};
use crate::text::{JsonText, Path};

/// One parameter and where it stands.
pub(super) struct Parameter {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) at: Path,
}

/// A list of parameters with this member next to `value`.
pub(super) fn of_list(text: &JsonText, list: &Path, key: &str) -> Vec<Parameter> {
    let elements = text.at(list).map(|node| node.elements()).unwrap_or_default().iter();
    elements
        .enumerate()
        .filter_map(|(index, element)| {
            Some(Parameter {
                key: element.text_of(key)?.to_owned(),
                value: element
                    .get("value")
                    .and_then(|value| value.scalar())
                    .unwrap_or_default()
                    .to_owned(),
                at: list.index(index),
            })
        })
        .collect()
}

/// A map of parameters.
pub(super) fn of_map(text: &JsonText, map: &Path) -> Vec<Parameter> {
    let entries = text.at(map).map(|node| node.entries()).unwrap_or_default().iter();
    entries
        .map(|entry| Parameter {
            key: entry.key.clone(),
            value: entry.value.scalar().unwrap_or_default().to_owned(),
            at: map.key(&entry.key),
        })
        .collect()
}

/// Reads what the parameters say of volumes. `engine` is whether the Docker engine runs the task
/// and gets them at all.
pub(super) fn read(words: &mut OwnWords, parameters: &[Parameter], engine: bool) {
    // Docker takes the last of several.
    let driver = parameters.iter().rfind(|parameter| parameter.key == "volume-driver");
    let driver = driver.map(|parameter| parameter.value.as_str());
    for parameter in parameters {
        let Parameter { key, value, at } = parameter;
        if !matches!(key.as_str(), "volume" | "v" | "mount" | "volumes-from" | "tmpfs") {
            continue;
        }
        if !engine {
            words.unread(format!(
                "'{at}' ('{key}') counts for the Docker containerizer alone and is not used by this task: nothing is mounted for it"
            ));
            continue;
        }
        match key.as_str() {
            "volume" => volume(words, at, value, driver),
            "mount" => mount(words, at, value),
            "tmpfs" => words.foreign(at, value.split(':').next().unwrap_or_default(), TMPFS),
            "volumes-from" => words.unread(format!(
                "'{at}' takes the volumes of the container '{}', which are not known here",
                cleaned(value)
            )),
            _ => words.unread(format!(
                "'{at}' was not read: Mesos hands it on as '--v', which Docker does not know; its key is 'volume'"
            )),
        }
    }
}

const TMPFS: &str = "it is memory (tmpfs), not a volume of a driver";
const ANONYMOUS: &str = "it names no volume: Docker makes a new one for each container";

/// `[NAME:]PATH[:OPTIONS]`. The path is absolute; Portworx' names may have colons.
fn volume(words: &mut OwnWords, at: &Path, value: &str, driver: Option<&str>) {
    let split = value.find(":/").map(|colon| value.split_at(colon));
    let (source, path, options) = match split {
        None if value.starts_with('/') => return words.foreign(at, value, ANONYMOUS),
        Some((source, rest)) => {
            let (path, options) = rest[1..].split_once(':').unwrap_or((&rest[1..], ""));
            (source, path, options)
        }
        None => {
            return words.unread(format!(
                "'{at}' was not read: '{}' is no NAME:PATH[:OPTIONS]",
                cleaned(value)
            ));
        }
    };
    if source.starts_with(['/', '.', '~']) {
        return words.foreign(at, path, host_folder(source));
    }
    words.native.push(Native {
        read_only: options.split(',').any(|option| option == "ro"),
        ..Native::of_driver(at.clone(), driver, source, path, Channel::DockerEngine)
    });
}

/// `type=volume,source=NAME,target=PATH,readonly,volume-driver=DRIVER,volume-opt=KEY=VALUE`.
fn mount(words: &mut OwnWords, at: &Path, value: &str) {
    let mut kind = "volume";
    let (mut source, mut path, mut driver, mut read_only) = (None, "", None, false);
    let mut options = std::collections::BTreeMap::new();
    for field in value.split(',') {
        let (key, value) = field.split_once('=').unwrap_or((field, ""));
        match key.trim().to_ascii_lowercase().as_str() {
            "type" => kind = value,
            "source" | "src" => source = Some(value),
            "target" | "dst" | "destination" => path = value,
            "volume-driver" => driver = Some(value),
            "readonly" | "ro" => read_only = !matches!(value, "false" | "0"),
            "volume-opt" => {
                let option = value.trim_matches('"').split_once('=');
                options.extend(option.map(|(key, value)| (key.to_owned(), value.to_owned())));
            }
            _ => {}
        }
    }
    match (kind, source) {
        ("volume", Some(name)) => {
            let mut volume = Native::of_driver(at.clone(), driver, name, path, Channel::DockerEngine);
            volume.read_only = read_only;
            volume.options.extend(options);
            words.native.push(volume);
        }
        ("volume", None) => words.foreign(at, path, ANONYMOUS),
        ("bind", folder) => words.foreign(at, path, host_folder(folder.unwrap_or_default())),
        ("tmpfs", _) => words.foreign(at, path, TMPFS),
        (other, _) => words.unread(format!("'{at}' was not read: its type is '{}'", cleaned(other))),
    }
}
