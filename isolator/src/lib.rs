//! Which container uses which volume, durably.
//!
//! ```text
//!  prepare, cleanup, recover        Event                    Effect
//!  ------------------------> engine -----> ledger (pure) ----------> records (disk), drivers (sockets), answers, timers
//!                              ^                                          |
//!                              +------------------- Event ----------------+
//! ```
//!
//! * [`Isolator`] is what a caller uses: the calls of Mesos' isolator interface, none of which
//!   blocks.
//! * [`ledger`] decides; it is pure, so that crashes between any two effects can be simulated.
//! * [`records`] is what survives the agent.
//!
//! The crate knows nothing of C++ and of Mesos' wire format.

mod boot;
mod claims;
mod config;
mod deadline;
mod docker;
pub mod ephemeral;
mod error;
mod first_tasks;
mod health;
mod host;
mod identity;
mod isolator;
pub mod ledger;
mod ledger_reader;
mod mountpoint;
mod named_files;
mod names;
mod origin;
mod policy;
pub mod records;
mod reports;
mod request;
mod runtime;
pub mod status;
mod types;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod untrusted;

pub use config::{Config, ConfigError, PARAMETERS, ParameterProblem, PrincipalError};
pub use deadline::{DEADLINE_REMEDY, DeadlineFit};
pub use error::{PrelaunchError, PrepareError, Problem, Refusal};
pub use host::{BindError, user_name};
pub use host::{
    VolumeFolder, is_on_shared_mount, is_shared_mount, mounted_after_unmount, user_in_another_namespace,
    volume_mounted_at,
};
pub use isolator::{Isolator, StartError};
pub use mountpoint::{MountIdentity, Mountpoint};
pub use origin::{DVDI_PREFIX, Origin};
pub use policy::PolicyError;
pub use request::DefaultOwner;
pub use types::{
    ArrivingTask, BindMount, ContainerClass, ContainerId, ContainerLaunch, Containerizer, DockerHostPath, DockerLaunch,
    DockerVolume, Identity, Limitation, MesosMount, RecoveredContainer, VolumeKey, Workload,
};
