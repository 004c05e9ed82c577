//! Where a container's volume was requested.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use volume_labels::{Slot, cleaned};

/// How the names of the variables of mesos-module-dvdi begin.
pub const DVDI_PREFIX: &str = "DVDI_VOLUME_";

/// What in a launch requested a volume.
///
/// Records keep it as a text ([`Origin::recorded`]) in the field `slot`: the slot of a label, or
/// what messages call the other origins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The labels of one slot.
    Label(Slot),
    /// The element of `ContainerInfo.volumes` with this index, from 0.
    DockerVolume(usize),
    /// The variables `DVDI_VOLUME_*` with this number, 0 for those without one.
    Dvdi(usize),
    /// A record of another build names something that this build does not know.
    Unknown(String),
}

/// A statement about a volume.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part<'a> {
    Name,
    Driver,
    Path,
    /// The driver option with this key.
    Option(&'a str),
}

impl Origin {
    /// The text that records keep; [`Origin::from_str`] reads it.
    pub fn recorded(&self) -> String {
        match self {
            Self::Label(slot) => slot.to_string(),
            Self::Unknown(text) => text.clone(),
            Self::DockerVolume(_) | Self::Dvdi(_) => self.part(Part::Name),
        }
    }

    /// The label, field or variable in which the author of the launch makes this statement.
    pub(crate) fn part(&self, part: Part<'_>) -> String {
        match (self, part) {
            (Self::Label(slot), Part::Name) => format!("label 'volume.{slot}'"),
            (Self::Label(slot), Part::Driver) => format!("label 'volume.{slot}.driver'"),
            (Self::Label(slot), Part::Path) => format!("label 'volume.{slot}.path'"),
            (Self::Label(slot), Part::Option(key)) => format!("label 'volume.{slot}.options.{}'", cleaned(key)),
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
            (Self::Dvdi(number), Part::Name) => dvdi_variable("NAME", *number),
            (Self::Dvdi(number), Part::Driver) => dvdi_variable("DRIVER", *number),
            (Self::Dvdi(number), Part::Path) => dvdi_variable("CONTAINERPATH", *number),
            (Self::Dvdi(number), Part::Option(key)) => {
                format!("{} '{}'", dvdi_variable("OPTS", *number), cleaned(key))
            }
            (Self::Unknown(text), _) => cleaned(text),
        }
    }
}

/// The name of the variable for this part of a volume, as in `DVDI_VOLUME_NAME1`.
pub(crate) fn dvdi_variable(part: &str, number: usize) -> String {
    match number {
        0 => format!("{DVDI_PREFIX}{part}"),
        number => format!("{DVDI_PREFIX}{part}{number}"),
    }
}

/// What begins a message about the volume: the label, field or variable with the volume's name.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.part(Part::Name))
    }
}

/// From a record. A text that this build does not know is kept as it is.
impl FromStr for Origin {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let docker_volume = || {
            let index = text.strip_prefix("ContainerInfo.volumes[")?.strip_suffix(']')?;
            index.parse().ok().map(Self::DockerVolume)
        };
        let dvdi = || match text.strip_prefix(DVDI_PREFIX)?.strip_prefix("NAME")? {
            "" => Some(Self::Dvdi(0)),
            number => number.parse().ok().map(Self::Dvdi),
        };
        let known = match text.parse::<Slot>() {
            Ok(slot) => Some(Self::Label(slot)),
            Err(_) => docker_volume().or_else(dvdi),
        };
        // `volumes[+1]` and `NAME01` are numbers to the parser, and not what was written.
        Ok(known
            .filter(|origin| origin.recorded() == text)
            .unwrap_or_else(|| Self::Unknown(text.to_owned())))
    }
}

impl From<&str> for Origin {
    fn from(text: &str) -> Self {
        match text.parse() {
            Ok(origin) => origin,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_read_back_from_a_record_and_named_as_its_author_wrote_it() {
        for (text, origin, displayed) in [
            ("data", Origin::Label("data".parse().unwrap()), "label 'volume.data'"),
            (
                "ContainerInfo.volumes[12]",
                Origin::DockerVolume(12),
                "ContainerInfo.volumes[12]",
            ),
            ("DVDI_VOLUME_NAME", Origin::Dvdi(0), "DVDI_VOLUME_NAME"),
            ("DVDI_VOLUME_NAME1", Origin::Dvdi(1), "DVDI_VOLUME_NAME1"),
        ] {
            assert_eq!(Origin::from(text), origin);
            assert_eq!(origin.recorded(), text);
            assert_eq!(origin.to_string(), displayed);
        }
        for text in [
            "",
            "Of a later\nbuild",
            "ContainerInfo.volumes[+1]",
            "DVDI_VOLUME_NAME01",
        ] {
            let origin = Origin::from(text);
            assert_eq!(origin, Origin::Unknown(text.to_owned()));
            assert_eq!(origin.recorded(), text, "a record keeps it as it was");
            assert!(!origin.to_string().contains('\n'), "{origin}");
        }
    }
}
