//! What in a launch asks for a volume, and what to call it in messages.

use volume_labels::{Create, Slot, VolumeLabels, cleaned};

use super::dvdi;
use crate::config::Config;

/// What asks for one volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Labels of one slot.
    Labels,
    /// The element of `ContainerInfo.volumes` with this index.
    DockerVolume(usize),
    /// The variables `DVDI_VOLUME_*` with this number; 0 is none.
    Dvdi(usize),
}

/// What a source says of its volume.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part<'a> {
    Name,
    Driver,
    Path,
    Option(&'a str),
}

/// One volume that a container asks for: what is asked in the words of labels, wherever it was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Where it was said.
    pub(crate) source: Source,
    /// What was said.
    pub(crate) labels: VolumeLabels,
}

impl Asked {
    /// By labels.
    pub(super) fn by_labels(labels: VolumeLabels) -> Self {
        Self {
            source: Source::Labels,
            labels,
        }
    }

    /// The name of its driver, on an agent with this configuration; none when neither says one.
    pub(super) fn driver<'a>(&'a self, config: &'a Config) -> Option<&'a str> {
        let named = self.labels.driver.as_deref().or(config.default_driver.as_deref());
        named.or_else(|| self.source.usual_driver())
    }

    /// Whether the source means a missing volume to be created without its author saying so.
    pub(crate) fn implies_creation(&self) -> bool {
        self.source != Source::Labels && self.labels.create == Create::IfMissing
    }

    /// What records, reports and messages know the volume by in its container; [`spoken`] makes words of it.
    pub(crate) fn slot(&self) -> String {
        match self.source {
            Source::Labels => self.labels.slot.to_string(),
            Source::DockerVolume(_) | Source::Dvdi(_) => self.part(Part::Name),
        }
    }

    /// The words that name the volume, for the beginning of a message.
    pub(crate) fn said(&self) -> String {
        format!("{} = '{}'", self.part(Part::Name), cleaned(&self.labels.name))
    }

    /// The words for one driver option.
    pub(crate) fn said_of_option(&self, key: &str, value: &str) -> String {
        format!("{} = '{}'", self.part(Part::Option(key)), cleaned(value))
    }

    /// Where an author says this.
    pub(super) fn part(&self, part: Part<'_>) -> String {
        self.source.part(&self.labels.slot, part)
    }
}

impl Source {
    /// Where an author says this; `slot` is of labels.
    pub(super) fn part(self, slot: &Slot, part: Part<'_>) -> String {
        match (self, part) {
            (Self::Labels, Part::Name) => format!("label 'volume.{slot}'"),
            (Self::Labels, Part::Driver) => format!("label 'volume.{slot}.driver'"),
            (Self::Labels, Part::Path) => format!("label 'volume.{slot}.path'"),
            (Self::Labels, Part::Option(key)) => format!("label 'volume.{slot}.options.{}'", cleaned(key)),
            (Self::DockerVolume(index), Part::Name) => format!("ContainerInfo.volumes[{index}]"),
            (Self::DockerVolume(index), Part::Driver) => {
                format!("ContainerInfo.volumes[{index}].source.docker_volume.driver")
            }
            (Self::DockerVolume(index), Part::Path) => format!("ContainerInfo.volumes[{index}].container_path"),
            (Self::DockerVolume(index), Part::Option(key)) => {
                format!(
                    "ContainerInfo.volumes[{index}].source.docker_volume.driver_options '{}'",
                    cleaned(key)
                )
            }
            (Self::Dvdi(number), part) => match part {
                Part::Name => dvdi::variable("NAME", number),
                Part::Driver => dvdi::variable("DRIVER", number),
                Part::Path => dvdi::variable("CONTAINERPATH", number),
                Part::Option(key) => format!("{} '{}'", dvdi::variable("OPTS", number), cleaned(key)),
            },
        }
    }

    /// The driver where neither the volume nor the operator names one.
    pub(super) fn usual_driver(self) -> Option<&'static str> {
        match self {
            Self::Labels | Self::DockerVolume(_) => None,
            Self::Dvdi(_) => Some(dvdi::USUAL_DRIVER),
        }
    }
}

/// Words for what [`Asked::slot`] gave, as records keep it. What is no slot of labels is itself the name of what asked.
pub(crate) fn spoken(slot: &str) -> String {
    match slot.parse::<Slot>() {
        Ok(slot) => Source::Labels.part(&slot, Part::Name),
        Err(_) => cleaned(slot),
    }
}
