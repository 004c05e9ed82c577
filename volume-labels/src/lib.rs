//! The grammar of volume labels on Mesos tasks, shared by the agent and the scheduler.
//!
//! One attribute a label, so that keys and values survive Marathon, Spark, Aurora and dcos-commons:
//!
//! | key | value | default |
//! |---|---|---|
//! | `volume.<slot>` | name of the volume | the slot does not exist |
//! | `volume.<slot>.driver` | driver name | the agent's default driver |
//! | `volume.<slot>.path` | path in the container, absolute or relative to the sandbox | `<slot>` |
//! | `volume.<slot>.mode` | `rw`, `ro` | `rw` |
//! | `volume.<slot>.access` | `shared`, `exclusive` | `shared` |
//! | `volume.<slot>.lifetime` | `persistent`, `container` | `persistent` |
//! | `volume.<slot>.create` | `never`, `if-missing` | `never` |
//! | `volume.<slot>.options.<key>` | one driver option for Create | none |
//! | `volume.<slot>.owner` | `uid:gid` or user name | unchanged |
//! | `volume.<slot>.flags` | one or more of `nosuid`, `nodev`, `noexec`, separated by `,` | what the operator forbids |
//! | `volume.<slot>.subpath` | folder of the volume to be mounted instead of all of it | all of it |
//! | `volume.<slot>.claim` | id to be held in the SET resource | the name |
//!
//! `<slot>` is `[a-z0-9][a-z0-9_-]*`. Labels whose key does not start with `volume.` belong to others and are
//! ignored; everything that does is ours, and what is not understood is an error, so that a misspelt
//! attribute never means a volume mounted otherwise than its author asked.
//!
//! ```
//! use volume_labels::{ContainerPath, Mode, parse};
//!
//! let volumes = parse([
//!     ("volume.data", "vol-7bca078f"),
//!     ("volume.data.mode", "ro"),
//!     ("team", "etl"),
//! ])?;
//! assert_eq!(volumes[0].name, "vol-7bca078f");
//! assert_eq!(volumes[0].mode, Mode::ReadOnly);
//! assert_eq!(volumes[0].path, ContainerPath::Relative("data".into()));
//!
//! let error = parse([("volume.data", "vol-7bca078f"), ("volume.data.mod", "ro")]).unwrap_err();
//! assert!(error.to_string().contains("did you mean 'volume.data.mode'?"));
//! # Ok::<(), volume_labels::LabelError>(())
//! ```
#![forbid(unsafe_code)]

mod error;
mod key;
mod path;
mod value;
mod volume;

pub use error::{LabelError, cleaned, counted};
pub use key::{ATTRIBUTES, FRAMEWORK_PREFIXES, Slot, nearest};
pub use path::ContainerPath;
pub use value::{Access, Create, Lifetime, Mode, MountFlags, Owner, check_name, check_option};
pub use volume::{VolumeLabels, parse};

/// Volumes one container may ask for.
pub const MAX_VOLUMES: usize = 64;
/// Driver options one volume may carry.
pub const MAX_OPTIONS: usize = 64;
/// Bytes of a slot.
pub const MAX_SLOT_BYTES: usize = 64;
/// Bytes of a volume's name, a driver's name, a claim, or an option's key.
pub const MAX_NAME_BYTES: usize = 255;
/// Bytes of any value; only option values may be this long.
pub const MAX_VALUE_BYTES: usize = 4096;
/// Bytes of a container path, short of the kernel's 4096 so that the sandbox's own path fits in front.
pub const MAX_PATH_BYTES: usize = 1024;
