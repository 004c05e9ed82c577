//! From labels to volumes, and back.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{LabelError, cleaned};
use crate::key::{Attribute, Key, Slot};
use crate::path::{self, ContainerPath};
use crate::value::{Access, Create, Lifetime, Mode, MountFlags, Owner, check_name, check_option};
use crate::{MAX_OPTIONS, MAX_VALUE_BYTES, MAX_VOLUMES};

/// One volume that a container asks for: everything its labels say, defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeLabels {
    /// What the container calls it.
    pub slot: Slot,
    /// The volume's name, opaque: it may hold `/` and `:` and is never a path.
    pub name: String,
    /// The driver's name; `None` is the agent's default driver. Opaque as well: to be looked up, not opened.
    pub driver: Option<String>,
    /// Where it goes.
    pub path: ContainerPath,
    /// Read-write or read-only.
    pub mode: Mode,
    /// Shared with other containers of the agent or not.
    pub access: Access,
    /// Whether it outlives the container.
    pub lifetime: Lifetime,
    /// Whether it is created when missing. [`Lifetime::Container`] creates whatever this says.
    pub create: Create,
    /// Options for the driver's Create.
    pub options: BTreeMap<String, String>,
    /// Owner of its root directory; `None` leaves it unchanged.
    pub owner: Option<Owner>,
    /// What the container's mount forbids beyond what the operator forbids.
    #[serde(default, skip_serializing_if = "is_default")]
    pub flags: MountFlags,
    /// The folder of the volume that the container gets instead of all of it, without `..` and a leading `/`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub subpath: Option<PathBuf>,
    /// The id to be held in the SET resource, when it is not the name.
    pub claim: Option<String>,
}

impl VolumeLabels {
    /// A volume with every default, mounted at its slot's name in the sandbox.
    pub fn new(slot: Slot, name: impl Into<String>) -> Self {
        let path = default_path(&slot);
        Self {
            slot,
            name: name.into(),
            driver: None,
            path,
            mode: Mode::default(),
            access: Access::default(),
            lifetime: Lifetime::default(),
            create: Create::default(),
            options: BTreeMap::new(),
            owner: None,
            flags: MountFlags::default(),
            subpath: None,
            claim: None,
        }
    }

    /// The id that the container must hold in the agent's SET resource, where the operator demands a claim.
    pub fn claim_id(&self) -> &str {
        self.claim.as_deref().unwrap_or(&self.name)
    }

    /// The labels that say this, defaults omitted. What [`parse`] gave comes back from [`parse`] the same.
    pub fn to_labels(&self) -> Vec<(String, String)> {
        let mut labels = Vec::new();
        let mut put = |attribute: Attribute, value: String| {
            labels.push((
                Key {
                    slot: self.slot.clone(),
                    attribute,
                }
                .to_string(),
                value,
            ));
        };
        put(Attribute::Name, self.name.clone());
        if let Some(driver) = &self.driver {
            put(Attribute::Driver, driver.clone());
        }
        if self.path != default_path(&self.slot) {
            put(Attribute::Path, self.path.to_string());
        }
        if self.mode != Mode::default() {
            put(Attribute::Mode, self.mode.to_string());
        }
        if self.access != Access::default() {
            put(Attribute::Access, self.access.to_string());
        }
        if self.lifetime != Lifetime::default() {
            put(Attribute::Lifetime, self.lifetime.to_string());
        }
        if self.create != Create::default() {
            put(Attribute::Create, self.create.to_string());
        }
        for (option, value) in &self.options {
            put(Attribute::Option(option.clone()), value.clone());
        }
        if let Some(owner) = &self.owner {
            put(Attribute::Owner, owner.to_string());
        }
        if self.flags != MountFlags::default() {
            put(Attribute::Flags, self.flags.to_string());
        }
        if let Some(subpath) = &self.subpath {
            put(Attribute::Subpath, subpath.display().to_string());
        }
        if let Some(claim) = &self.claim {
            put(Attribute::Claim, claim.clone());
        }
        labels
    }

    /// One attribute, from its label.
    fn set(&mut self, key: &Key, value: &str) -> Result<(), LabelError> {
        let refused = |problem: &str, accepted: &str| LabelError::BadValue {
            key: cleaned(&key.to_string()),
            value: cleaned(value),
            problem: problem.to_owned(),
            accepted: accepted.to_owned(),
        };
        let word = |words: &[&str]| {
            refused(
                "unknown word",
                &words.iter().map(|w| format!("'{w}'")).collect::<Vec<_>>().join(" or "),
            )
        };
        match &key.attribute {
            Attribute::Name => self.name = name(value).map_err(|p| refused(p, "a volume's name"))?,
            Attribute::Driver => {
                self.driver = Some(name(value).map_err(|p| refused(p, "a volume driver's name"))?);
            }
            Attribute::Claim => {
                self.claim = Some(name(value).map_err(|p| refused(p, "an id of the agent's SET resource"))?);
            }
            Attribute::Path => {
                self.path = ContainerPath::parse(value).map_err(|p| refused(p, path::ACCEPTED))?;
            }
            Attribute::Mode => self.mode = Mode::from_word(value).ok_or_else(|| word(Mode::WORDS))?,
            Attribute::Access => self.access = Access::from_word(value).ok_or_else(|| word(Access::WORDS))?,
            Attribute::Lifetime => {
                self.lifetime = Lifetime::from_word(value).ok_or_else(|| word(Lifetime::WORDS))?;
            }
            Attribute::Create => self.create = Create::from_word(value).ok_or_else(|| word(Create::WORDS))?,
            Attribute::Owner => {
                let owner = Owner::parse(value).ok_or_else(|| refused("not an owner", Owner::ACCEPTED))?;
                self.owner = Some(owner);
            }
            Attribute::Flags => {
                let accepted = format!("one or more of {}, separated by ','", MountFlags::WORDS.join(", "));
                self.flags =
                    MountFlags::from_words(value.split(',')).ok_or_else(|| refused("unknown flag", &accepted))?;
            }
            Attribute::Subpath => {
                let accepted = "a folder of the volume, without '..' and a leading '/', for example 'db' or 'logs/app'";
                self.subpath = match ContainerPath::parse(value) {
                    Ok(ContainerPath::Relative(path)) => Some(path),
                    Ok(ContainerPath::Absolute(_)) => return Err(refused("it begins with '/'", accepted)),
                    Err(problem) => return Err(refused(problem, accepted)),
                };
            }
            Attribute::Option(option) => {
                let accepted = format!("at most {MAX_VALUE_BYTES} bytes without control characters");
                check_option(option, value).map_err(|problem| refused(problem, &accepted))?;
                self.options.insert(option.clone(), value.to_owned());
            }
        }
        Ok(())
    }
}

/// The volumes that a container's labels ask for, ordered by slot; none when no label is ours.
///
/// The prefixes of [`FRAMEWORK_PREFIXES`](crate::FRAMEWORK_PREFIXES) are stripped, keys that then do not start with
/// `volume.` ignored. The same label twice counts once: Mesos merges a command task's labels into its
/// executor's, and repeats them.
///
/// # Errors
/// The first label that is not understood, else the first slot that asks for what cannot be.
pub fn parse(
    labels: impl IntoIterator<Item = (impl AsRef<str>, impl AsRef<str>)>,
) -> Result<Vec<VolumeLabels>, LabelError> {
    let mut given: BTreeMap<Key, String> = BTreeMap::new();
    for (key, value) in labels {
        let Some(key) = Key::parse(key.as_ref())? else {
            continue;
        };
        let value = value.as_ref();
        if let Some(first) = given.get(&key) {
            if first != value {
                return Err(LabelError::Repeated {
                    key: cleaned(&key.to_string()),
                    first: cleaned(first),
                    second: cleaned(value),
                });
            }
            continue;
        }
        given.insert(key, value.to_owned());
    }

    // Keys are ordered by slot, and within one the name comes first.
    let mut volumes: Vec<VolumeLabels> = Vec::new();
    for (key, value) in &given {
        if key.attribute == Attribute::Name {
            volumes.push(VolumeLabels::new(key.slot.clone(), ""));
        }
        match volumes.last_mut().filter(|volume| volume.slot == key.slot) {
            Some(volume) => volume.set(key, value)?,
            None => {
                return Err(LabelError::NoVolume {
                    key: cleaned(&key.to_string()),
                    slot: key.slot.to_string(),
                });
            }
        }
    }
    within_bounds(&volumes)?;
    Ok(volumes)
}

fn within_bounds(volumes: &[VolumeLabels]) -> Result<(), LabelError> {
    if volumes.len() > MAX_VOLUMES
        && let (Some(first), Some(last)) = (volumes.first(), volumes.last())
    {
        return Err(LabelError::TooManyVolumes {
            count: volumes.len(),
            first: first.slot.to_string(),
            last: last.slot.to_string(),
        });
    }
    let mut taken: BTreeMap<&ContainerPath, &Slot> = BTreeMap::new();
    for volume in volumes {
        if volume.options.len() > MAX_OPTIONS {
            return Err(LabelError::TooManyOptions {
                slot: volume.slot.to_string(),
                count: volume.options.len(),
            });
        }
        if let Some(first) = taken.insert(&volume.path, &volume.slot) {
            return Err(LabelError::SamePath {
                first: first.to_string(),
                second: volume.slot.to_string(),
                path: cleaned(&volume.path.to_string()),
            });
        }
    }
    Ok(())
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn name(value: &str) -> Result<String, &'static str> {
    check_name(value).map(|()| value.to_owned())
}

fn default_path(slot: &Slot) -> ContainerPath {
    ContainerPath::Relative(slot.as_str().into())
}
