//! Where a mounted volume is: the folder that a driver names, reached without following anything that the volume's content says.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::super::descriptor::{DIRECTORY, Identity, NO_LINKS, open, path_of, remedy};
use super::super::mount_table::MountTable;

/// Why the folder that a driver names is not a volume's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The table of mounts tells where the volume begins.
    #[error("cannot read the mount table: {0}")]
    MountTable(String),
    /// The mount itself, or a plain folder, cannot be opened.
    #[error("cannot open the driver's mountpoint {}: {cause}{}", .path.display(), remedy(*.cause))]
    Mountpoint {
        /// What was to be opened.
        path: PathBuf,
        /// The kernel's words.
        cause: Errno,
    },
    /// What the driver names inside its mount is no folder of the mounted file system.
    #[error(
        "the driver says that the volume is at {}, and inside its mount at {} that is {}",
        .path.display(), .mount.display(), inside(*.cause)
    )]
    Inside {
        /// What the driver says.
        path: PathBuf,
        /// The mount that it lies on.
        mount: PathBuf,
        /// The kernel's words.
        cause: Errno,
    },
}

fn inside(cause: Errno) -> String {
    match cause {
        Errno::LOOP | Errno::XDEV => {
            "a symlink or another mount, which could lead anywhere on the host: remove it from the volume".into()
        }
        Errno::NOENT => "missing".into(),
        Errno::NOTDIR => "not a folder".into(),
        other => format!("{other}{}", remedy(other)),
    }
}

/// Where a volume is, in a form that a thread in another mount namespace can use as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    /// The driver's mount; the volume's folder itself when the driver has plain folders.
    mount: PathBuf,
    /// The way from there to the folder, empty when it is the mount itself.
    inside: PathBuf,
}

impl Source {
    /// Of the folder that a driver named. Of a driver that mounts, everything below its mount is the volume's content, which
    /// anybody may have written; `directory_backed` drivers have plain folders in a place that is the operator's.
    ///
    /// # Errors
    /// When it is no folder of the volume.
    pub(crate) fn of(mountpoint: &Path, directory_backed: bool) -> Result<Self, SourceError> {
        let table = MountTable::read_for(mountpoint).map_err(|error| SourceError::MountTable(error.to_string()))?;
        match table.covering(mountpoint) {
            Some(mount) if !directory_backed => Ok(Self {
                mount: mount.to_owned(),
                inside: mountpoint.strip_prefix(mount).unwrap_or(Path::new("")).to_owned(),
            }),
            _ => {
                let refused = |cause| SourceError::Mountpoint {
                    path: mountpoint.to_owned(),
                    cause,
                };
                let flags = DIRECTORY | OFlags::NOFOLLOW;
                let folder = open(CWD, mountpoint, flags, ResolveFlags::NO_MAGICLINKS).map_err(refused)?;
                let mount =
                    path_of(&folder).map_err(|error| refused(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
                Ok(Self {
                    mount,
                    inside: PathBuf::new(),
                })
            }
        }
    }

    /// Opens the folder, as the calling thread sees it.
    ///
    /// # Errors
    /// When no folder is there, or the way to it has a symlink.
    pub(crate) fn open(&self) -> Result<OwnedFd, SourceError> {
        let mount = open(CWD, &self.mount, DIRECTORY, NO_LINKS).map_err(|cause| SourceError::Mountpoint {
            path: self.mount.clone(),
            cause,
        })?;
        if self.inside.as_os_str().is_empty() {
            return Ok(mount);
        }
        let flags = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | NO_LINKS;
        open(&mount, &self.inside, DIRECTORY, flags).map_err(|cause| SourceError::Inside {
            path: self.mount.join(&self.inside),
            mount: self.mount.clone(),
            cause,
        })
    }

    /// Which folder it is now.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(crate) fn identity(&self) -> Result<Identity, SourceError> {
        let folder = self.open()?;
        Identity::of(&folder).map_err(|cause| SourceError::Mountpoint {
            path: self.mount.join(&self.inside),
            cause,
        })
    }
}
