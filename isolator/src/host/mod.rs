//! The host as the module sees and changes it: mounts, folders, users and mount namespaces.

pub(crate) mod binding;
pub(crate) mod descriptor;
pub(crate) mod mount_bases;
pub(crate) mod mount_table;
mod namespace;
mod outside;
pub(crate) mod owner;
pub(crate) mod proof;

pub use binding::BindError;
pub(crate) use binding::{Binder, Register, agents_folders, unbind};
pub(crate) use mount_bases::share as share_mount_bases;
pub use outside::{VolumeFolder, is_on_shared_mount, is_shared_mount, mounted_after_unmount, volume_mounted_at};
pub(crate) use owner::OwnerError;
pub use owner::name_of as user_name;
pub(crate) use owner::{name_of, resolved as resolved_owner};
pub use proof::user_in_another_namespace;
