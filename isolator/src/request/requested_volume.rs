//! One volume that a container requests.

use volume_labels::{Create, VolumeLabels, cleaned};

use crate::config::Config;
use crate::origin::{Origin, Part};

/// The driver of mesos-module-dvdi when no variable names one.
const DVDI_DRIVER: &str = "rexray";

/// A volume that a container requests, in the terms of labels whatever its origin is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestedVolume {
    pub(crate) origin: Origin,
    /// Of an origin other than labels, the slot is made up.
    pub(crate) labels: VolumeLabels,
}

impl RequestedVolume {
    pub(super) fn by_labels(labels: VolumeLabels) -> Self {
        Self {
            origin: Origin::Label(labels.slot.clone()),
            labels,
        }
    }

    pub(super) fn is_by_labels(&self) -> bool {
        matches!(self.origin, Origin::Label(_))
    }

    /// The name of the volume's driver on an agent with this configuration; `None` when neither the
    /// origin nor the configuration names one.
    pub(super) fn driver<'a>(&'a self, config: &'a Config) -> Option<&'a str> {
        let named = self.labels.driver.as_deref().or(config.default_driver.as_deref());
        named.or_else(|| matches!(self.origin, Origin::Dvdi(_)).then_some(DVDI_DRIVER))
    }

    /// The origin means that a missing volume is created, although its author did not say so.
    pub(crate) fn implies_creation(&self) -> bool {
        !self.is_by_labels() && self.labels.create == Create::IfMissing
    }

    /// The beginning of a message about the volume: its origin and its name.
    pub(crate) fn display_origin(&self) -> String {
        format!("{} = '{}'", self.origin, cleaned(&self.labels.name))
    }

    /// The beginning of a message about one driver option.
    pub(crate) fn display_option(&self, key: &str, value: &str) -> String {
        format!("{} = '{}'", self.origin.part(Part::Option(key)), cleaned(value))
    }
}
