//! What in a launch asks for a volume, and what to call it in messages.

use volume_labels::{Slot, VolumeLabels, cleaned};

/// What asks for one volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Labels of one slot.
    Labels,
}

/// What a source says of its volume.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part<'a> {
    Name,
    Driver,
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

    /// What records, reports and messages know the volume by in its container; [`spoken`] makes words of it.
    pub(crate) fn slot(&self) -> String {
        match self.source {
            Source::Labels => self.labels.slot.to_string(),
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
    pub(super) fn part(self, slot: &Slot, part: Part<'_>) -> String {
        match self {
            Self::Labels => match part {
                Part::Name => format!("label 'volume.{slot}'"),
                Part::Driver => format!("label 'volume.{slot}.driver'"),
                Part::Option(key) => format!("label 'volume.{slot}.options.{}'", cleaned(key)),
            },
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
