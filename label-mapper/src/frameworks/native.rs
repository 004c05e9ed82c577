//! Volumes in a framework's own fields, read.

use std::collections::BTreeMap;

use volume_labels::{ContainerPath, Create, Mode, Slot, VolumeLabels, cleaned};

use super::Channel;
use crate::text::{JsonText, Node, Path};

/// The name that a framework gives the driver. Some frameworks put the number of the copy into it,
/// so that each copy of a task has a volume of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GeneratedName {
    written: String,
    /// The parts around the copy's number; a single part is the same name for every copy.
    parts: Vec<String>,
    /// The number of the first copy.
    first: u64,
}

impl GeneratedName {
    /// The same name for every copy.
    pub(crate) fn fixed(name: impl Into<String>) -> Self {
        let name = name.into();
        Self {
            parts: vec![name.clone()],
            written: name,
            first: 0,
        }
    }

    /// A name with the copy's number between its parts.
    pub(crate) fn numbered(written: impl Into<String>, parts: Vec<String>, first: u64) -> Self {
        Self {
            written: written.into(),
            parts,
            first,
        }
    }

    /// As the definition has it.
    pub(crate) fn written(&self) -> &str {
        &self.written
    }

    /// Whether each copy has a volume of its own.
    pub(crate) fn is_per_copy(&self) -> bool {
        self.parts.len() > 1
    }

    /// The name for one copy, counted from 0.
    pub(crate) fn of_copy(&self, copy: u64) -> String {
        self.parts.join(&(self.first + copy).to_string())
    }

    /// The name in a job file of the scheduler, which counts instances from 0, as the frameworks
    /// with job files do.
    pub(crate) fn in_job_file(&self, copies: u64) -> String {
        match copies > 1 {
            true => self.parts.join("{i}"),
            false => self.of_copy(0),
        }
    }
}

/// One volume as the framework describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Native {
    /// The elements that describe it.
    pub(crate) at: Vec<Path>,
    pub(crate) name: GeneratedName,
    pub(crate) driver: Option<String>,
    pub(crate) path: String,
    /// The slot of its labels; otherwise the path gives one.
    pub(crate) slot: Option<Slot>,
    pub(crate) read_only: bool,
    pub(crate) create: Create,
    /// For the driver's Create.
    pub(crate) options: BTreeMap<String, String>,
    /// By which way it reaches the container.
    pub(crate) channel: Channel,
    /// What it is when it is no volume of a Docker volume driver.
    pub(crate) foreign: Option<String>,
    /// Why labels cannot take its place, if they cannot.
    pub(crate) stays: Option<String>,
}

impl Native {
    /// A volume of a driver, which the framework's way creates when it is missing.
    pub(crate) fn new(at: Path, name: GeneratedName, path: impl Into<String>, channel: Channel) -> Self {
        Self {
            at: vec![at],
            name,
            driver: None,
            path: path.into(),
            slot: None,
            read_only: false,
            create: Create::IfMissing,
            options: BTreeMap::new(),
            channel,
            foreign: None,
            stays: None,
        }
    }

    /// A volume as a driver is asked for it. The name may be one of Portworx' inline
    /// specifications, as in `size=10G,repl=3,name=orders`: the options of a volume and its name in
    /// one.
    pub(crate) fn of_driver(at: Path, driver: Option<&str>, name: &str, path: &str, channel: Channel) -> Self {
        let parts: Vec<(&str, &str)> = name.split(',').filter_map(|part| part.split_once('=')).collect();
        let inline = parts
            .iter()
            .find(|(key, _)| *key == "name")
            .filter(|_| driver == Some(super::dcos_names::PORTWORX));
        let own = |name: &str| Self {
            driver: driver.map(str::to_owned),
            ..Self::new(at.clone(), GeneratedName::fixed(name), path, channel)
        };
        let Some((_, inner)) = inline else { return own(name) };
        let options = parts.iter().filter(|(key, _)| *key != "name");
        Self {
            options: options
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            ..own(inner)
        }
    }

    /// The labels for it, under the name that the definition has.
    ///
    /// # Errors
    /// One line: it is no volume of a driver, or the path is none that a label may hold.
    pub(crate) fn labels(&self, taken: &[VolumeLabels]) -> Result<VolumeLabels, String> {
        if let Some(foreign) = &self.foreign {
            return Err(foreign.clone());
        }
        let free = |slot: &Slot| !taken.iter().any(|volume| volume.slot == *slot);
        let slot = match &self.slot {
            Some(slot) if free(slot) => slot.clone(),
            _ => free_slot(&self.path, taken),
        };
        let mut labels = VolumeLabels::new(slot, self.name.written());
        labels.path = ContainerPath::parse(&self.path).map_err(|problem| format!("its path: {problem}"))?;
        labels.driver.clone_from(&self.driver);
        labels.mode = match self.read_only {
            true => Mode::ReadOnly,
            false => Mode::ReadWrite,
        };
        labels.create = self.create;
        labels.options.clone_from(&self.options);
        Ok(labels)
    }
}

/// What a definition says of volumes in the framework's own fields.
#[derive(Clone, Debug, Default)]
pub(super) struct OwnWords {
    pub(super) native: Vec<Native>,
    /// What describes a volume and was not read, a line each.
    pub(super) unread: Vec<String>,
}

impl OwnWords {
    /// A volume that is none of a driver: `what` says what it is.
    pub(super) fn foreign(&mut self, at: &Path, path: &str, what: impl Into<String>) {
        self.native.push(Native {
            foreign: Some(what.into()),
            ..Native::new(at.clone(), GeneratedName::fixed(""), path, Channel::Nothing)
        });
    }

    pub(super) fn unread(&mut self, line: impl Into<String>) {
        self.unread.push(line.into());
    }

    /// Takes out volumes whose names are known later.
    pub(super) fn leave_templates(&mut self, opening: &str, why: &str) {
        let unread = &mut self.unread;
        self.native.retain(|native| {
            let is_template = native.name.written().contains(opening);
            if is_template {
                let name = cleaned(native.name.written());
                unread.push(format!("the volume '{name}' was not looked up: {why}"));
            }
            !is_template
        });
    }

    /// Whether nothing is said of volumes.
    pub(super) fn is_empty(&self) -> bool {
        self.native.is_empty() && self.unread.is_empty()
    }

    /// Reads every element of a list of volumes.
    pub(super) fn each(&mut self, text: &JsonText, list: &Path, mut read: impl FnMut(&mut Self, &Path, &Node)) {
        let Some(node) = text.at(list) else { return };
        if !node.is_list() {
            self.unread(format!(
                "'{list}' is {} and was not read: a list of volumes belongs there",
                node.words()
            ));
        }
        for (index, element) in node.elements().iter().enumerate() {
            let at = list.index(index);
            match element.is_map() {
                true => read(self, &at, element),
                false => self.unread(format!("'{at}' is {} and was not read", element.words())),
            }
        }
    }
}

/// A slot after the last part of the path, different from those taken.
fn free_slot(path: &str, taken: &[VolumeLabels]) -> Slot {
    let last = path.rsplit('/').find(|part| !part.is_empty()).unwrap_or_default();
    let lower = last.chars().map(|c| match c.to_ascii_lowercase() {
        c @ ('a'..='z' | '0'..='9' | '_' | '-') => c,
        _ => '-',
    });
    let word: String = lower.skip_while(|c| !c.is_ascii_alphanumeric()).take(48).collect();
    let word = if word.is_empty() { "data".to_owned() } else { word };
    let free = |slot: &Slot| !taken.iter().any(|volume| volume.slot == *slot);
    std::iter::once(word.clone())
        .chain((2..).map(|number| format!("{word}-{number}")))
        .filter_map(|slot| slot.parse().ok())
        .find(free)
        .expect("numbers do not end, and a word of these characters is a slot")
}

/// A folder of the agent's host.
pub(super) fn host_folder(folder: &str) -> String {
    format!(
        "it is the folder '{}' of the agent's host, not a volume of a driver",
        cleaned(folder)
    )
}

const SECRET: &str = "it is a secret, not a volume of a driver";
const PERSISTENT: &str = "it is a persistent volume of Mesos, on a disk of the agent, not a volume of a driver";

/// A volume of a Marathon app (`VolumeConversion.scala`, `volumeReads`): `external`, `persistent`,
/// `secret` or `hostPath`.
pub(super) fn marathon(words: &mut OwnWords, at: &Path, volume: &Node, channel: Channel) {
    let path = volume.text_of("containerPath").unwrap_or_default();
    let Some(external) = volume.get("external") else {
        let what = match (
            volume.get("persistent"),
            volume.get("secret"),
            volume.text_of("hostPath"),
        ) {
            (Some(_), ..) => PERSISTENT.to_owned(),
            (_, Some(_), _) => SECRET.to_owned(),
            (.., Some(folder)) => host_folder(folder),
            _ => "it is of a kind that is not known here ('external', 'persistent', 'secret' and 'hostPath' are)"
                .to_owned(),
        };
        return words.foreign(at, path, what);
    };
    let provider = external.text_of("provider").unwrap_or("dvdi");
    if provider != "dvdi" {
        let what = format!("its provider is '{}', not a Docker volume driver", cleaned(provider));
        return words.foreign(at, path, what);
    }
    let Some(name) = external.text_of("name") else {
        return words.unread(format!("'{at}' was not read: its 'external' has no 'name'"));
    };
    // `DVDIProvider.Builders.dockerVolumeParameters`: the driver gets the options that begin so,
    // without that beginning; a `size` next to them takes precedence.
    let given = strings(external.get("options"));
    let mut options: BTreeMap<String, String> = given
        .iter()
        .filter(|(key, _)| !key.eq_ignore_ascii_case("dvdi/driver"))
        .filter_map(|(key, value)| Some((key.strip_prefix("dvdi/")?.to_owned(), value.trim().to_owned())))
        .collect();
    if let Some(size) = external.get("size").and_then(Node::scalar) {
        options.insert("size".to_owned(), size.to_owned());
    }
    let driver = given.get("dvdi/driver").map(String::as_str);
    let mut native = Native::of_driver(at.clone(), driver, name, path, channel);
    native.read_only = read_only(volume);
    native.options.extend(options);
    words.native.push(native);
}

/// A volume of a Chronos job (`JobDeserializer.scala`, `MesosTaskBuilder.createContainerInfo`): the
/// provider is the driver, the options are a list of `key` and `value`, and it reaches the agent as
/// a DOCKER_VOLUME.
pub(super) fn chronos(words: &mut OwnWords, at: &Path, volume: &Node, channel: Channel) {
    let path = volume.text_of("containerPath").unwrap_or_default();
    let Some(external) = volume.get("external") else {
        let what = match volume.text_of("hostPath") {
            Some(folder) => host_folder(folder),
            None => "it has neither 'external' nor 'hostPath': Mesos makes it a folder of the sandbox".to_owned(),
        };
        return words.foreign(at, path, what);
    };
    let (Some(name), Some(provider)) = (external.text_of("name"), external.text_of("provider")) else {
        return words.unread(format!(
            "'{at}' was not read: its 'external' needs a 'name' and a 'provider'"
        ));
    };
    if external.get("options").is_some_and(|options| !options.is_list()) {
        words.unread(format!(
            "the options of '{at}' were not read: Chronos takes a list of {{\"key\": .., \"value\": ..}}"
        ));
    }
    let mut native = Native::of_driver(at.clone(), Some(provider), name, path, channel);
    native.read_only = read_only(volume);
    native.options.extend(pairs(external.get("options")));
    words.native.push(native);
}

/// A volume of Mesos' `ContainerInfo`. `volume_driver` is the deprecated member of its `docker`,
/// with which a relative `host_path` is the name of a volume (`Docker::RunOptions::create` in
/// Mesos' `docker.cpp`).
pub(super) fn mesos(words: &mut OwnWords, at: &Path, volume: &Node, channel: Channel, volume_driver: Option<&str>) {
    let path = volume.text_of("container_path").unwrap_or_default();
    let source = volume.get("source");
    let kind = source.and_then(|source| source.text_of("type"));
    let docker = source.and_then(|source| source.get("docker_volume"));
    if let (Some(folder), None) = (volume.text_of("host_path"), source) {
        return match volume_driver.filter(|_| !folder.starts_with('/') && channel == Channel::DockerEngine) {
            Some(driver) => words.native.push(Native {
                driver: Some(driver.to_owned()),
                read_only: read_only(volume),
                ..Native::new(at.clone(), GeneratedName::fixed(folder), path, channel)
            }),
            None => words.foreign(at, path, host_folder(folder)),
        };
    }
    let (Some("DOCKER_VOLUME"), Some(docker)) = (kind, docker) else {
        let what = match kind {
            Some("SECRET") => SECRET.to_owned(),
            Some("HOST_PATH") => {
                let folder = source.and_then(|source| source.get("host_path")?.text_of("path"));
                host_folder(folder.unwrap_or_default())
            }
            Some("SANDBOX_PATH") => "it is a folder of a sandbox, not a volume of a driver".to_owned(),
            Some("CSI_VOLUME") => "it is a CSI volume, not one of a Docker volume driver".to_owned(),
            Some(other) => format!("its source '{}' is none of a Docker volume driver", cleaned(other)),
            None if volume.get("image").is_some() => "it is an image, not a volume of a driver".to_owned(),
            None => "it has no source: Mesos makes it a folder of the sandbox".to_owned(),
        };
        return words.foreign(at, path, what);
    };
    let Some(name) = docker.text_of("name") else {
        return words.unread(format!("'{at}' was not read: its 'docker_volume' has no 'name'"));
    };
    let mut native = Native::of_driver(at.clone(), docker.text_of("driver"), name, path, channel);
    native.read_only = read_only(volume);
    let options = docker
        .get("driver_options")
        .and_then(|options| options.get("parameter"));
    native.options.extend(pairs(options));
    words.native.push(native);
}

/// A volume of Singularity (`SingularityMesosTaskBuilder.prepareContainerInfo`): `%i` in the name
/// is the instance's number, from 1; without a mode it is read-only; `${TASK_...}` in the path is
/// filled in for each task.
pub(super) fn singularity(words: &mut OwnWords, at: &Path, volume: &Node, channel: Channel) {
    let path = volume.text_of("containerPath").unwrap_or_default();
    let source = volume.get("source");
    let Some(docker) = source.and_then(|source| source.get("dockerVolume")) else {
        let what = match volume.text_of("hostPath") {
            Some(folder) => host_folder(folder),
            None => {
                "it has neither a 'dockerVolume' nor a 'hostPath': Mesos makes it a folder of the sandbox".to_owned()
            }
        };
        return words.foreign(at, path, what);
    };
    let Some(name) = docker.text_of("name") else {
        return words.unread(format!("'{at}' was not read: its 'dockerVolume' has no 'name'"));
    };
    let parts: Vec<String> = name.split("%i").map(str::to_owned).collect();
    let stays = if parts.len() > 1 {
        Some("Singularity puts the instance's number in the place of '%i', and labels are no templates".to_owned())
    } else if path.contains("${TASK_") {
        Some("Singularity fills in '${TASK_..}' in its path for each task, and labels are no templates".to_owned())
    } else {
        None
    };
    words.native.push(Native {
        driver: docker.text_of("driver").map(str::to_owned),
        read_only: volume
            .text_of("mode")
            .is_none_or(|mode| mode.eq_ignore_ascii_case("RO")),
        options: strings(docker.get("driverOptions")),
        stays,
        ..Native::new(at.clone(), GeneratedName::numbered(name, parts, 1), path, channel)
    });
}

fn read_only(volume: &Node) -> bool {
    volume
        .text_of("mode")
        .is_some_and(|mode| mode.eq_ignore_ascii_case("RO"))
}

/// A map of texts.
pub(super) fn strings(node: Option<&Node>) -> BTreeMap<String, String> {
    let entries = node.map(Node::entries).unwrap_or_default().iter();
    entries
        .filter_map(|entry| Some((entry.key.clone(), entry.value.scalar()?.to_owned())))
        .collect()
}

/// A list of `key` and `value`.
fn pairs(node: Option<&Node>) -> BTreeMap<String, String> {
    let elements = node.map(Node::elements).unwrap_or_default().iter();
    elements
        .filter_map(|pair| Some((pair.text_of("key")?.to_owned(), pair.get("value")?.scalar()?.to_owned())))
        .collect()
}
