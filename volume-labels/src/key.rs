//! Keys of labels: whether a label is for this project, and which slot and attribute it is about.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{LabelError, cleaned};
use crate::value::check_option;
use crate::{MAX_NAME_BYTES, MAX_SLOT_BYTES};

/// Prefixes that frameworks put before the keys their users write. Aurora makes every `Metadata` key of a job
/// a label under its own name.
pub const FRAMEWORK_PREFIXES: &[&str] = &["org.apache.aurora.metadata."];

/// The attributes a slot may have, as they follow `volume.<slot>.`.
pub const ATTRIBUTES: &[&str] = &[
    "driver",
    "path",
    "mode",
    "access",
    "lifetime",
    "create",
    "options.<key>",
    "owner",
    "flags",
    "subpath",
    "claim",
];

/// What a container calls one of its volumes: `[a-z0-9][a-z0-9_-]*`, at most [`MAX_SLOT_BYTES`] bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Slot(String);

impl Slot {
    /// The slot as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Slot {
    type Err = LabelError;

    /// # Errors
    /// [`LabelError::BadSlot`], which names the label `volume.<slot>`.
    fn from_str(slot: &str) -> Result<Self, LabelError> {
        slot_of_key(slot, &format!("volume.{slot}"))
    }
}

impl TryFrom<String> for Slot {
    type Error = LabelError;

    fn try_from(slot: String) -> Result<Self, LabelError> {
        slot.parse()
    }
}

impl From<Slot> for String {
    fn from(slot: Slot) -> Self {
        slot.0
    }
}

fn slot_of_key(slot: &str, key: &str) -> Result<Slot, LabelError> {
    let first_is_alphanumeric = slot
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let rest_is_in_the_set = slot
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'));
    if slot.len() <= MAX_SLOT_BYTES && first_is_alphanumeric && rest_is_in_the_set {
        return Ok(Slot(slot.to_owned()));
    }
    Err(LabelError::BadSlot {
        key: cleaned(key),
        slot: cleaned(slot),
    })
}

/// Which attribute of its slot a label sets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Attribute {
    Name,
    Driver,
    Path,
    Mode,
    Access,
    Lifetime,
    Create,
    Option(String),
    Owner,
    Flags,
    Subpath,
    Claim,
}

/// A label's key, parsed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) slot: Slot,
    pub(crate) attribute: Attribute,
}

impl Key {
    /// Parses a key. `None` when it does not start with `volume.` and so belongs to another
    /// program.
    ///
    /// # Errors
    /// [`LabelError::BadSlot`] and [`LabelError::UnknownAttribute`].
    pub(crate) fn parse(key: &str) -> Result<Option<Self>, LabelError> {
        let Some(rest) = without_prefix(key).strip_prefix("volume.") else {
            return Ok(None);
        };
        let (slot, attribute) = match rest.split_once('.') {
            Some((slot, attribute)) => (slot, Some(attribute)),
            None => (rest, None),
        };
        let slot = slot_of_key(slot, key)?;
        let attribute = match attribute {
            None => Attribute::Name,
            Some(text) => match attribute_named(text) {
                Some(attribute) => attribute,
                None => return Err(unknown_attribute(key, &slot, text)),
            },
        };
        if let Attribute::Option(option) = &attribute
            && check_option(option, "").is_err()
        {
            return Err(LabelError::UnknownAttribute {
                key: cleaned(key),
                attribute: cleaned(&format!("options.{option}")),
                suggestion: None,
            });
        }
        Ok(Some(Self { slot, attribute }))
    }
}

/// Prints the key without the prefix of a framework.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "volume.{}", self.slot)?;
        match &self.attribute {
            Attribute::Name => Ok(()),
            Attribute::Driver => f.write_str(".driver"),
            Attribute::Path => f.write_str(".path"),
            Attribute::Mode => f.write_str(".mode"),
            Attribute::Access => f.write_str(".access"),
            Attribute::Lifetime => f.write_str(".lifetime"),
            Attribute::Create => f.write_str(".create"),
            Attribute::Option(option) => write!(f, ".options.{option}"),
            Attribute::Owner => f.write_str(".owner"),
            Attribute::Flags => f.write_str(".flags"),
            Attribute::Subpath => f.write_str(".subpath"),
            Attribute::Claim => f.write_str(".claim"),
        }
    }
}

fn without_prefix(key: &str) -> &str {
    FRAMEWORK_PREFIXES
        .iter()
        .find_map(|prefix| key.strip_prefix(prefix))
        .unwrap_or(key)
}

fn attribute_named(text: &str) -> Option<Attribute> {
    if let Some(option) = text.strip_prefix("options.") {
        return Some(Attribute::Option(option.to_owned()));
    }
    Some(match text {
        "driver" => Attribute::Driver,
        "path" => Attribute::Path,
        "mode" => Attribute::Mode,
        "access" => Attribute::Access,
        "lifetime" => Attribute::Lifetime,
        "create" => Attribute::Create,
        "owner" => Attribute::Owner,
        "flags" => Attribute::Flags,
        "subpath" => Attribute::Subpath,
        "claim" => Attribute::Claim,
        _ => return None,
    })
}

fn unknown_attribute(key: &str, slot: &Slot, text: &str) -> LabelError {
    // `option.size` and `opts.size` are meant as options: compare what stands before the first dot.
    let suggestion = match text.split_once('.') {
        Some((word, option)) if nearest(word, ["options"]).is_some() => Some(format!("options.{option}")),
        _ => nearest(text, ATTRIBUTES.iter().copied().filter(|a| !a.contains('.'))).map(str::to_owned),
    };
    LabelError::UnknownAttribute {
        key: cleaned(key),
        attribute: cleaned(text),
        suggestion: suggestion.map(|attribute| cleaned(&format!("volume.{slot}.{attribute}"))),
    }
}

/// The candidate a person most likely meant by `word`: at most a third of it mistyped, upper and lower case
/// and the order of two neighbours not counted as much. `None` when nothing is near.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Words beyond any name's length are not typing mistakes, and the distance costs their square.
    if word.len() > MAX_NAME_BYTES {
        return None;
    }
    let wanted = word.to_lowercase();
    let allowed = (wanted.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&wanted, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}
