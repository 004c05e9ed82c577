//! What is wrong with a label, in one line that its author can act on.

use thiserror::Error;

/// Characters of a foreign text that a message repeats.
const SHOWN: usize = 80;

/// Text from a label made fit for one line of a message: control and other invisible characters are escaped, and
/// what is longer than 80 characters is cut, with an ellipsis in its place.
pub fn cleaned(text: &str) -> String {
    foreign_text::escaped_and_cut(text, SHOWN)
}

/// A number of things in words: `1 volume`, `2 volumes`. `one` is the singular of a word whose plural has an `s`.
pub fn counted(count: usize, one: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {one}{plural}")
}

/// Why labels cannot be carried out. Every text in it is [`cleaned`]; `Display` is one line
/// that names the label.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LabelError {
    /// `volume.<slot>.<attribute>` with an attribute the grammar does not have.
    #[error(
        "label '{key}': unknown attribute '{attribute}'{}; known are {}",
        suggestion.as_ref().map(|s| format!(", did you mean '{s}'?")).unwrap_or_default(),
        crate::ATTRIBUTES.join(", ")
    )]
    UnknownAttribute {
        /// The whole key.
        key: String,
        /// The part not understood.
        attribute: String,
        /// The whole key with the nearest known attribute, when one is near.
        suggestion: Option<String>,
    },
    /// A slot outside `[a-z0-9][a-z0-9_-]*`, or too long.
    #[error(
        "label '{key}': bad slot '{slot}', a slot is 1 to {} characters of a-z, 0-9, '_' and '-', the first \
         of them a letter or a digit",
        crate::MAX_SLOT_BYTES
    )]
    BadSlot {
        /// The whole key.
        key: String,
        /// The slot.
        slot: String,
    },
    /// One key twice (a framework's prefix apart), with different values.
    #[error("label '{key}': it is given twice, as '{first}' and as '{second}'; keep one")]
    Repeated {
        /// The key without a framework's prefix.
        key: String,
        /// The value that came first.
        first: String,
        /// The value that contradicts it.
        second: String,
    },
    /// An attribute of a slot whose volume no label names.
    #[error("label '{key}': it has no volume to apply to; name one with the label 'volume.{slot}'")]
    NoVolume {
        /// The key.
        key: String,
        /// Its slot.
        slot: String,
    },
    /// A value that its attribute does not take.
    #[error("label '{key}={value}': {problem}; accepted is {accepted}")]
    BadValue {
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What is wrong with it.
        problem: String,
        /// The accepted form.
        accepted: String,
    },
    /// Two slots that would be mounted one over the other.
    #[error(
        "labels 'volume.{first}' and 'volume.{second}' both mount at '{path}'; give one of them another \
         'volume.<slot>.path'"
    )]
    SamePath {
        /// The slot that comes first in order.
        first: String,
        /// The other.
        second: String,
        /// Where both would go.
        path: String,
    },
    /// More slots than a container may have.
    #[error(
        "labels name {count} volumes, from 'volume.{first}' to 'volume.{last}'; at most {} are accepted",
        crate::MAX_VOLUMES
    )]
    TooManyVolumes {
        /// How many slots there are.
        count: usize,
        /// The first slot in order.
        first: String,
        /// The last.
        last: String,
    },
    /// More driver options than a volume may have.
    #[error(
        "labels 'volume.{slot}.options.*' are {count}; at most {} are accepted",
        crate::MAX_OPTIONS
    )]
    TooManyOptions {
        /// The slot.
        slot: String,
        /// How many options it has.
        count: usize,
    },
}
