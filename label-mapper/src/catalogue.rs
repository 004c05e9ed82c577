//! The volumes there are, and which of them a name means.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use volume_labels::counted;

/// The storage's own id of a volume (`vol-7bca078f`). Held to the characters that Mesos takes in
/// the text form of a SET resource, `[a-zA-Z0-9_/.-]`, so that every id can be written into an
/// agent's `--resources`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VolumeId(String);

impl VolumeId {
    /// The id as the storage spells it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for VolumeId {
    type Err = String;

    /// # Errors
    /// One line that names the text and the accepted form.
    fn from_str(text: &str) -> Result<Self, String> {
        let accepted = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'/' | b'.' | b'-');
        if (1..=255).contains(&text.len()) && text.bytes().all(accepted) {
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "'{}' is no volume id; accepted is 1 to 255 of a-z, A-Z, 0-9, '_', '/', '.' and '-', as in 'vol-7bca078f'",
            volume_labels::cleaned(text)
        ))
    }
}

impl TryFrom<String> for VolumeId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<VolumeId> for String {
    fn from(id: VolumeId) -> Self {
        id.0
    }
}

impl fmt::Display for VolumeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a volume is in its life, in EC2's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VolumeState {
    /// Not yet usable.
    Creating,
    /// Attached to nothing.
    Available,
    /// Attached.
    InUse,
    /// On its way out.
    Deleting,
    /// Gone, still listed for a while.
    Deleted,
    /// The storage lost it.
    Error,
    /// A word that EC2 had not when this was written.
    #[serde(untagged)]
    Other(String),
}

impl VolumeState {
    /// Whether the volume is there for good or soon will be.
    pub fn is_alive(&self) -> bool {
        !matches!(self, Self::Deleting | Self::Deleted | Self::Error)
    }
}

impl fmt::Display for VolumeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Creating => "creating",
            Self::Available => "available",
            Self::InUse => "in-use",
            Self::Deleting => "deleting",
            Self::Deleted => "deleted",
            Self::Error => "error",
            Self::Other(word) => word,
        })
    }
}

/// One host that holds a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The host's own id (`i-...`).
    pub instance: String,
    /// The device there, when the listing contains it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub device: Option<String>,
    /// `attaching`, `attached`, `detaching`, `busy`.
    pub state: String,
}

impl Attachment {
    /// Whether the volume is being taken off the host: `detaching`, or `busy`, which is a
    /// detachment that waits for the host to release the device.
    pub fn is_leaving(&self) -> bool {
        matches!(self.state.as_str(), "detaching" | "busy")
    }

    /// Whether the host is known. A catalogue may have an attachment without one.
    pub fn is_known(&self) -> bool {
        !self.instance.is_empty()
    }

    /// The host, for messages.
    pub(crate) fn holder(&self) -> &str {
        match self.is_known() {
            true => &self.instance,
            false => "a host that the listing does not name",
        }
    }
}

/// One volume of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// The storage's id.
    pub id: VolumeId,
    /// The tag `Name`, when it has one that is not empty.
    pub name: Option<String>,
    /// The availability zone outside of which it cannot be attached.
    pub zone: String,
    /// Where it is in its life.
    pub state: VolumeState,
    /// Size in GiB.
    pub size_gib: u64,
    /// Who holds it.
    pub attachments: Vec<Attachment>,
    /// Whether several hosts may hold it at once (io1 and io2 volumes made so).
    pub multi_attach: bool,
}

impl Volume {
    /// A volume that is in use is attached to a host. A listing that names none, because a
    /// `--query` left the attachments out, must not be taken for proof that no host has it.
    pub(crate) fn with_unknown_host(mut self) -> Self {
        if self.state == VolumeState::InUse && self.attachments.is_empty() {
            self.attachments.push(Attachment {
                instance: String::new(),
                device: None,
                state: "attached".to_owned(),
            });
        }
        self
    }
}

/// Why a name means no volume.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ResolveError {
    /// Neither an id nor a Name tag of the catalogue.
    #[error(
        "no volume has the id or the Name tag '{name}'{}",
        suggestion.as_ref().map_or_else(
            || format!(" (the catalogue has {})", counted(*volumes, "volume")),
            |near| format!(", did you mean '{near}'?")
        )
    )]
    Unknown {
        /// The name asked for.
        name: String,
        /// The nearest name or id, when one is near.
        suggestion: Option<String>,
        /// How many volumes were looked at.
        volumes: usize,
    },
    /// One Name tag on several volumes.
    #[error("{} volumes have the Name tag '{name}': {}; give one of these ids instead", ids.len(), joined(ids))]
    Ambiguous {
        /// The name asked for.
        name: String,
        /// The volumes that have it.
        ids: Vec<VolumeId>,
    },
    /// The volume is deleted, or lost by the storage.
    #[error("volume {id} ('{name}') is in state '{state}' and cannot be used")]
    Dead {
        /// The name asked for.
        name: String,
        /// The volume.
        id: VolumeId,
        /// Its state.
        state: VolumeState,
    },
    /// An alias of a catalogue file that stands for no volume, or for several.
    #[error(transparent)]
    Alias(Box<DoubtfulAlias>),
}

/// An alias that a catalogue file gives and that means no volume as things are: the storage may
/// have got a second volume of the name that it stands for, or may have lost the only one. A
/// look-up of the alias fails, and no other.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{source_name}: {problem}")]
pub struct DoubtfulAlias {
    /// The catalogue that gives it: its path, as a rule.
    pub source_name: String,
    /// Why it means no volume.
    pub problem: AliasError,
}

pub(crate) fn joined(ids: &[VolumeId]) -> String {
    ids.iter().map(VolumeId::as_str).collect::<Vec<_>>().join(", ")
}

/// Every volume the storage listed, in the order of ids, and the names that people have for some of
/// them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalogue {
    volumes: BTreeMap<VolumeId, Volume>,
    aliases: BTreeMap<String, VolumeId>,
    doubtful_aliases: BTreeMap<String, DoubtfulAlias>,
}

/// Why an alias means nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AliasError {
    /// What it stands for means no volume.
    #[error("alias '{alias}': {problem}")]
    Unresolved {
        /// The alias.
        alias: String,
        /// Why the volume was not found.
        problem: ResolveError,
    },
    /// It is the id or the Name tag of a volume already.
    #[error("alias '{alias}' is the id or the Name tag of volume {id} already; choose another word")]
    Taken {
        /// The alias.
        alias: String,
        /// The volume that has it.
        id: VolumeId,
    },
    /// Given twice, for two volumes.
    #[error("alias '{alias}' is given twice, for {first} and for {second}; keep one")]
    Repeated {
        /// The alias.
        alias: String,
        /// The volume it meant first.
        first: VolumeId,
        /// The other.
        second: VolumeId,
    },
}

impl Catalogue {
    /// From volumes whose ids differ; of two with one id the later one stays.
    pub fn new(volumes: impl IntoIterator<Item = Volume>) -> Self {
        Self {
            volumes: volumes.into_iter().map(|volume| (volume.id.clone(), volume)).collect(),
            aliases: BTreeMap::new(),
            doubtful_aliases: BTreeMap::new(),
        }
    }

    /// Adds an alias that a catalogue file gives. One that means no volume as things are is kept
    /// with the reason: the volumes change without their files, and all other names stay good.
    ///
    /// # Errors
    /// The alias is given twice, for two volumes.
    pub(crate) fn add_alias_of(&mut self, source_name: &str, alias: &str, of: &str) -> Result<(), AliasError> {
        match self.add_alias(alias, of) {
            Err(problem @ (AliasError::Unresolved { .. } | AliasError::Taken { .. })) => {
                let source_name = source_name.to_owned();
                let doubtful = DoubtfulAlias { source_name, problem };
                self.doubtful_aliases.insert(alias.to_owned(), doubtful);
                Ok(())
            }
            added => added,
        }
    }

    /// The aliases that mean no volume as things are, in the order of their words.
    pub fn doubtful_aliases(&self) -> impl Iterator<Item = &DoubtfulAlias> {
        self.doubtful_aliases.values()
    }

    /// Adds an alias for the volume with this id or Name tag.
    ///
    /// # Errors
    /// The volume does not exist or its name is ambiguous, or the alias means another volume
    /// already.
    pub fn add_alias(&mut self, alias: &str, of: &str) -> Result<(), AliasError> {
        let shown = || volume_labels::cleaned(alias);
        let id = match self.named(of) {
            Ok(volume) => volume.id.clone(),
            Err(problem) => {
                return Err(AliasError::Unresolved {
                    alias: shown(),
                    problem,
                });
            }
        };
        let is_it = |volume: &&Volume| volume.id.as_str() == alias || volume.name.as_deref() == Some(alias);
        if let Some(volume) = self.volumes().filter(|volume| volume.state.is_alive()).find(is_it) {
            return Err(AliasError::Taken {
                alias: shown(),
                id: volume.id.clone(),
            });
        }
        match self.aliases.insert(alias.to_owned(), id.clone()) {
            Some(first) if first != id => Err(AliasError::Repeated {
                alias: shown(),
                first,
                second: id,
            }),
            _ => Ok(()),
        }
    }

    /// The aliases of a volume.
    pub fn aliases<'a>(&'a self, id: &'a VolumeId) -> impl Iterator<Item = &'a str> {
        self.aliases
            .iter()
            .filter(move |(_, of)| *of == id)
            .map(|(alias, _)| alias.as_str())
    }

    /// All aliases, each with the volume it stands for.
    pub fn all_aliases(&self) -> impl Iterator<Item = (&str, &VolumeId)> {
        self.aliases.iter().map(|(alias, id)| (alias.as_str(), id))
    }

    /// All of them, in the order of ids.
    pub fn volumes(&self) -> impl Iterator<Item = &Volume> {
        self.volumes.values()
    }

    /// The volume with this id.
    pub fn get(&self, id: &VolumeId) -> Option<&Volume> {
        self.volumes.get(id)
    }

    /// The volume that `name` means: the one with that id, else the one with that alias, else the
    /// only living one with that Name tag. Upper and lower case differ, as they do for EC2. Volumes
    /// deleted or lost do not count against the living: EC2 lists them for a while after another
    /// has taken over their name.
    ///
    /// # Errors
    /// Unknown (with the nearest name), ambiguous (with every id), a volume that is no more, or an
    /// alias that means no volume (with its file).
    pub fn resolve(&self, name: &str) -> Result<&Volume, ResolveError> {
        let is_id = || name.parse().is_ok_and(|id: VolumeId| self.volumes.contains_key(&id));
        match (self.aliases.get(name), self.doubtful_aliases.get(name)) {
            (_, Some(doubtful)) if !is_id() => Err(ResolveError::Alias(Box::new(doubtful.clone()))),
            (Some(id), _) => self.named(id.as_str()),
            (None, _) => self.named(name),
        }
    }

    fn named(&self, name: &str) -> Result<&Volume, ResolveError> {
        let by_id = name.parse().ok().and_then(|id: VolumeId| self.volumes.get(&id));
        let named: Vec<&Volume> = match by_id {
            Some(volume) => vec![volume],
            None => self
                .volumes()
                .filter(|volume| volume.name.as_deref() == Some(name))
                .collect(),
        };
        let living: Vec<&Volume> = named.iter().copied().filter(|volume| volume.state.is_alive()).collect();
        let shown = || volume_labels::cleaned(name);
        match (living.as_slice(), named.first()) {
            ([volume], _) => Ok(volume),
            ([], Some(dead)) => Err(ResolveError::Dead {
                name: shown(),
                id: dead.id.clone(),
                state: dead.state.clone(),
            }),
            ([], None) => Err(ResolveError::Unknown {
                name: shown(),
                suggestion: self.nearest(name),
                volumes: self.volumes.len(),
            }),
            (several, _) => Err(ResolveError::Ambiguous {
                name: shown(),
                ids: several.iter().map(|volume| volume.id.clone()).collect(),
            }),
        }
    }

    fn nearest(&self, name: &str) -> Option<String> {
        let living = || self.volumes().filter(|volume| volume.state.is_alive());
        // Ids are hexadecimal: one that looks near is another volume, not a slip of the finger.
        let names = living().filter_map(|volume| volume.name.as_deref());
        volume_labels::nearest(name, names.chain(self.aliases.keys().map(String::as_str))).map(volume_labels::cleaned)
    }
}
