//! Where a mounted volume is: the folder that a driver names, reached without following anything
//! that the volume's content says.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::host::descriptor::{DIRECTORY, Identity, NO_LINKS, open, path_of, remedy};
use crate::host::mount_table::MountTable;

/// Where the kernel shows itself.
const KERNELS: [&str; 3] = ["/proc", "/sys", "/dev"];

/// Why the folder that a driver names is not a volume's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The mount table shows where the volume begins.
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
    /// A folder that no driver may show to containers.
    #[error("the driver says that the volume is at {}, which {}", .path.display(), .what)]
    Forbidden {
        /// What the driver says, with symlinks followed.
        path: PathBuf,
        /// Whose it is.
        what: String,
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

impl SourceError {
    /// The kernel's answer, where it gave one.
    pub(crate) fn cause(&self) -> Option<Errno> {
        match self {
            Self::Mountpoint { cause, .. } | Self::Inside { cause, .. } => Some(*cause),
            Self::MountTable(_) | Self::Forbidden { .. } => None,
        }
    }
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
    /// Of the folder that a driver named. Of a driver that mounts, everything below its mount is
    /// the volume's content, which anybody may have written; `directory_backed` drivers have plain
    /// folders in a place that is the operator's. Neither is in the kernel's file systems or in
    /// `agents`, the folders of the agent itself.
    ///
    /// # Errors
    /// When it is no folder of the volume.
    pub(crate) fn of(mountpoint: &Path, directory_backed: bool, agents: &[PathBuf]) -> Result<Self, SourceError> {
        let source = Self::named(mountpoint, directory_backed)?;
        source.keeps_away(agents)?;
        Ok(source)
    }

    fn keeps_away(&self, agents: &[PathBuf]) -> Result<(), SourceError> {
        let path = self.mount.join(&self.inside);
        let whose = |folder: &&Path| path.starts_with(folder) || folder.starts_with(&path);
        let kernels = KERNELS
            .iter()
            .map(Path::new)
            .find(whose)
            .map(|folder| (folder, "belongs to the kernel"));
        let agents = agents.iter().map(PathBuf::as_path).find(whose);
        match kernels.or(agents.map(|folder| (folder, "is the agent's own"))) {
            None => Ok(()),
            Some((folder, whose)) => Err(SourceError::Forbidden {
                what: format!(
                    "is, lies in or lies around {}, and that {whose}: have the driver mount elsewhere",
                    folder.display()
                ),
                path,
            }),
        }
    }

    /// As [`Self::of`], wherever it lies: of a folder that was looked at before.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn named(mountpoint: &Path, directory_backed: bool) -> Result<Self, SourceError> {
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

/// The folders of the agent that this process is, as its command line and environment name them
/// (`--work_dir`, `--runtime_dir`, and the default of the latter).
pub(crate) fn agents_folders() -> Vec<PathBuf> {
    let arguments: Vec<String> = std::env::args().collect();
    let named = |flag: &str| {
        let prefix = format!("--{flag}=");
        let argument = arguments
            .iter()
            .rev()
            .find_map(|argument| argument.strip_prefix(&prefix));
        let variable = || std::env::var(format!("MESOS_{}", flag.to_uppercase())).ok();
        argument.map(str::to_owned).or_else(variable).map(PathBuf::from)
    };
    let folders = [
        named("work_dir"),
        named("runtime_dir").or_else(|| Some("/var/run/mesos".into())),
    ];
    let folders = folders.into_iter().flatten();
    // One that is not there yet stays as it is named.
    folders.map(|folder| folder.canonicalize().unwrap_or(folder)).collect()
}
