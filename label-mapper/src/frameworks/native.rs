//! External volumes in a framework's own words, read.

use std::collections::BTreeMap;

use volume_labels::{ContainerPath, Create, Mode, Slot, VolumeLabels};

use crate::text::{JsonText, Node, Path};

/// One external volume as the framework describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Native {
    /// The element that describes it.
    pub(crate) at: Path,
    pub(crate) name: String,
    pub(crate) driver: Option<String>,
    pub(crate) path: String,
    pub(crate) read_only: bool,
    /// For the driver's Create, which the framework's own way calls when the volume is missing.
    pub(crate) options: BTreeMap<String, String>,
    /// Why it has no labels, when it is not a Docker volume at all.
    pub(crate) foreign: Option<String>,
}

impl Native {
    /// The labels for it. The framework's way creates a missing volume, so the labels do too.
    ///
    /// # Errors
    /// One line: the path is none that a label may hold.
    pub(crate) fn labels(&self, taken: &[VolumeLabels]) -> Result<VolumeLabels, String> {
        if let Some(foreign) = &self.foreign {
            return Err(foreign.clone());
        }
        let mut labels = VolumeLabels::new(free_slot(&self.path, taken), self.name.clone());
        labels.path = ContainerPath::parse(&self.path)
            .map_err(|problem| format!("'{}': {problem}", volume_labels::cleaned(&self.path)))?;
        labels.driver.clone_from(&self.driver);
        labels.mode = if self.read_only {
            Mode::ReadOnly
        } else {
            Mode::ReadWrite
        };
        labels.create = Create::IfMissing;
        labels.options.clone_from(&self.options);
        Ok(labels)
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

/// Marathon's `{"containerPath", "mode", "external": {"name", "provider", "options", "size"}}`, which Chronos has too.
pub(super) fn external(text: &JsonText, at: &Path) -> Option<Native> {
    let volume = text.at(at)?;
    let external = volume.get("external")?;
    let provider = external.text_of("provider").unwrap_or("dvdi");
    // Marathon hands the driver the options that begin so, without that beginning; `size` beside them counts for more.
    let mut options: BTreeMap<String, String> = strings(external.get("options"))
        .into_iter()
        .filter_map(|(key, value)| Some((key.strip_prefix("dvdi/")?.to_owned(), value)))
        .collect();
    let driver = options.remove("driver");
    if let Some(size) = external.get("size").and_then(Node::scalar) {
        options.insert("size".to_owned(), size.to_owned());
    }
    let foreign = (provider != "dvdi").then(|| {
        format!(
            "its provider is '{}', not a Docker volume driver",
            volume_labels::cleaned(provider)
        )
    });
    Some(Native {
        at: at.clone(),
        name: external.text_of("name")?.to_owned(),
        driver,
        path: volume.text_of("containerPath")?.to_owned(),
        read_only: read_only(volume),
        options,
        foreign,
    })
}

/// Mesos' `{"container_path", "mode", "source": {"type": "DOCKER_VOLUME", "docker_volume": {..}}}`.
pub(super) fn mesos_source(text: &JsonText, at: &Path) -> Option<Native> {
    let volume = text.at(at)?;
    let source = volume
        .get("source")
        .filter(|source| source.text_of("type") == Some("DOCKER_VOLUME"))?;
    let docker = source.get("docker_volume")?;
    let parameters = docker
        .get("driver_options")
        .and_then(|options| options.get("parameter"));
    let pairs = parameters.map(Node::elements).unwrap_or_default().iter();
    Some(Native {
        at: at.clone(),
        name: docker.text_of("name")?.to_owned(),
        driver: docker.text_of("driver").map(str::to_owned),
        path: volume.text_of("container_path")?.to_owned(),
        read_only: read_only(volume),
        options: pairs
            .filter_map(|pair| Some((pair.text_of("key")?.to_owned(), pair.text_of("value")?.to_owned())))
            .collect(),
        foreign: None,
    })
}

/// Singularity's `{"containerPath", "mode", "source": {"type": "DOCKER_VOLUME", "dockerVolume": {..}}}`.
pub(super) fn singularity_source(text: &JsonText, at: &Path) -> Option<Native> {
    let volume = text.at(at)?;
    let docker = volume.get("source")?.get("dockerVolume")?;
    Some(Native {
        at: at.clone(),
        name: docker.text_of("name")?.to_owned(),
        driver: docker.text_of("driver").map(str::to_owned),
        path: volume.text_of("containerPath")?.to_owned(),
        read_only: read_only(volume),
        options: strings(docker.get("driverOptions")),
        foreign: None,
    })
}

fn read_only(volume: &Node) -> bool {
    volume
        .text_of("mode")
        .is_some_and(|mode| mode.eq_ignore_ascii_case("RO"))
}

fn strings(node: Option<&Node>) -> BTreeMap<String, String> {
    let entries = node.map(Node::entries).unwrap_or_default().iter();
    entries
        .filter_map(|entry| Some((entry.key.clone(), entry.value.scalar()?.to_owned())))
        .collect()
}
