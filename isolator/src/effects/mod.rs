//! What the ledger asks for, carried out: driver calls, records, time.

mod baseline;
mod binding;
mod calls;
mod crash_point;
mod dead_mount;
mod descriptor;
mod engine;
mod mesos_mounts;
mod monitor;
mod mount_bases;
mod mount_table;
mod namespace;
mod outside;
mod owner;
mod probe;
mod prober;
mod proof;
mod queues;
mod restored;
mod target;
mod writer;

pub(crate) use baseline::Baselines;
pub use binding::BindError;
pub(crate) use binding::{Binder, Register, agents_folders};
pub(crate) use engine::{Answer, Engine, Message, Turn};
pub(crate) use monitor::{Cause, Patient, run as make_rounds};
pub(crate) use mount_bases::share as share_mount_bases;
pub use outside::{VolumeFolder, is_on_shared_mount, is_shared_mount, mounted_after_unmount, volume_mounted_at};
pub(crate) use owner::{name_of, resolved as resolved_owner};
pub use proof::user_in_another_namespace;
pub(crate) use target::targets;
pub(crate) use writer::{Order, run as write_records};
