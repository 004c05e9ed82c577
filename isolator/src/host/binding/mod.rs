//! Binding volumes into a container, by descriptor: what is bound is the folder that was checked,
//! whatever anybody does to names on the way to it meanwhile.

mod attach;
mod binder;
mod namespace;
mod source;
mod unbind;

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Gid, Mode, ResolveFlags, Uid, chmod, chownat, fstat, mkdirat};
use rustix::io::Errno;
use volume_driver_client::Code;

use super::descriptor::{DIRECTORY, Identity, NO_LINKS, entry, open, remedy};
use attach::{AttachError, Limits, Reach, attach};
pub(crate) use binder::{Binder, Place, Register};
use namespace::{NamespaceError, enter};
pub(crate) use source::{Source, SourceError, agents_folders};
pub(crate) use unbind::unbind;

/// One volume at one place in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bind {
    /// Origin and name, for messages.
    display_origin: String,
    /// The folder that the driver named.
    mountpoint: PathBuf,
    /// Whether the driver has plain folders instead of mounts.
    directory_backed: bool,
    /// Where it goes, absolute, without symlinks, in the agent's file system.
    target: PathBuf,
    /// The folder that was checked there.
    identity: Identity,
    /// The folder of the volume that goes there, instead of all of it.
    subpath: Option<PathBuf>,
    limits: Limits,
}

/// Why a container has not got its volumes. The text reaches the framework in the task's status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// Its namespace is closed to the agent.
    #[error("[{}] cannot mount the container's volumes: {reason}", .reason.code())]
    Namespace {
        /// Why.
        reason: NamespaceError,
    },
    /// One volume.
    #[error("{display_origin}: [{}] cannot mount the volume at {}: {cause}", .cause.code(), .target.display())]
    Volume {
        /// Its origin and name.
        display_origin: String,
        /// Where it was to go.
        target: PathBuf,
        /// What is wrong.
        cause: Cause,
    },
    /// A file system that does not answer.
    #[error(
        "[{code}] cannot mount the container's volumes: a file system did not answer within {0:?}; see whether 'ls' on the agent hangs at the \
         volumes' mountpoints",
        code = Code::Timeout
    )]
    Late(std::time::Duration),
    /// The Docker daemon would show the container something else.
    #[error("[{code}] cannot mount the container's volumes: {0}", code = Code::Unsupported)]
    Daemon(String),
    /// The container was destroyed before its volumes were bound.
    #[error("[{code}] the container was destroyed while its volumes were being mounted", code = Code::Unreachable)]
    Destroyed,
    /// No thread.
    #[error("[{code}] cannot mount the container's volumes: no thread can be started: {0}", code = Code::Unreachable)]
    NoThread(String),
    /// Mesos' calls came in another order than it promises.
    #[error(
        "[{code}] cannot mount the container's volumes: they were not prepared (a bug; the agent's log says more)",
        code = Code::Invalid
    )]
    NotPrepared,
    /// The agent ends.
    #[error("[{code}] the agent is shutting down", code = Code::Unreachable)]
    Stopped,
}

impl BindError {
    /// The code that the message carries.
    pub fn code(&self) -> Code {
        match self {
            Self::Namespace { reason } => reason.code(),
            Self::Volume { cause, .. } => cause.code(),
            Self::Late(_) => Code::Timeout,
            Self::NoThread(_) | Self::Stopped | Self::Destroyed => Code::Unreachable,
            Self::Daemon(_) => Code::Unsupported,
            Self::NotPrepared => Code::Invalid,
        }
    }
}

/// What kept one volume from its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// The source.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The driver's mount was replaced.
    #[error("the volume's folder is another one in the container's namespace than on the host")]
    OtherSource,
    /// Another process replaced a part of the path.
    #[error("the path does not lead to the folder that was checked any more; another process replaced part of it")]
    Replaced,
    /// The target cannot be opened.
    #[error("cannot open the path: {cause}{}", remedy(*.cause))]
    Target {
        /// The kernel's words.
        cause: Errno,
    },
    /// A part of the path inside another volume of the container.
    #[error(
        "inside the volume around it, '{}' {}", .way.display(),
        if *.cause == Errno::LOOP { "has a symlink, which could lead out of the volume".to_owned() } else { format!("cannot be made: {cause}") }
    )]
    Inside {
        /// The path inside the outer volume.
        way: PathBuf,
        /// The kernel's words.
        cause: Errno,
    },
    /// The folder that was asked for inside the volume.
    #[error("its folder '{}' {} (label attribute 'subpath')", .subpath.display(), missing(*.cause))]
    Subpath {
        /// The folder.
        subpath: PathBuf,
        /// The kernel's words.
        cause: Errno,
    },
    /// The mount itself.
    #[error(transparent)]
    Attach(#[from] AttachError),
}

impl Cause {
    /// [`Code::Invalid`] means that an author or an operator has to change something. Where the
    /// kernel lacks something, another agent may have it.
    fn code(&self) -> Code {
        match self {
            Self::OtherSource => Code::Unreachable,
            Self::Attach(AttachError::Refused { .. } | AttachError::MountInside) => Code::Unsupported,
            _ => Code::Invalid,
        }
    }
}

/// Binds volumes in the mount namespace of process `pid`; none of them is in `agents`, the folders
/// of the agent. The calling thread stays there: it is of no use for anything else.
///
/// # Errors
/// The first volume that is not where it belongs. Those before it are bound; they go with the
/// namespace.
fn bind_in_namespace_of(pid: i32, binds: &[Bind], agents: &[PathBuf]) -> Result<(), BindError> {
    let found = binds
        .iter()
        .map(|bind| bind.find(agents))
        .collect::<Result<Vec<_>, _>>()?;
    enter(pid).map_err(|reason| BindError::Namespace { reason })?;
    bind_here(binds, &found, Reach::Namespace)
}

/// Binds volumes in the mount namespace of this process, for a Docker container that is not there
/// yet.
///
/// # Errors
/// The first volume that is not where it belongs; none is bound then.
fn bind_on_host(
    binds: &[Bind],
    agents: &[PathBuf],
    is_seen: impl FnOnce(&[PathBuf]) -> Result<(), String>,
) -> Result<(), BindError> {
    let found = binds
        .iter()
        .map(|bind| bind.find(agents))
        .collect::<Result<Vec<_>, _>>()?;
    let targets: Vec<PathBuf> = binds.iter().map(|bind| bind.target.clone()).collect();
    let bound = bind_here(binds, &found, Reach::Host);
    let bound = bound.and_then(|()| is_seen(&targets).map_err(BindError::Daemon));
    bound.inspect_err(|_| unbind_all(&targets))
}

/// Undoes binds. What cannot be undone now is undone when the container is let go.
fn unbind_all(targets: &[PathBuf]) {
    for target in targets {
        if let Err(problem) = unbind(target) {
            tracing::warn!(target = %target.display(), %problem, "cannot take a volume out of a sandbox");
        }
    }
}

/// Binds volumes in the calling thread's mount namespace. `found` says where each one's folder is, and which.
fn bind_here(binds: &[Bind], found: &[(Source, Identity)], reach: Reach) -> Result<(), BindError> {
    let mut order: Vec<usize> = (0..binds.len()).collect();
    // Paths order by component, so a target comes before what lies in it.
    order.sort_by_key(|index| &binds[*index].target);
    let mut bound: Vec<(&Path, OwnedFd)> = Vec::new();
    for index in order {
        let bind = &binds[index];
        let (source, identity) = &found[index];
        // The innermost comes last.
        let outer = bound.iter().rev().find(|(target, _)| bind.target.starts_with(target));
        let root = bind
            .carry_out(source, *identity, outer, reach)
            .map_err(|cause| bind.failed(cause))?;
        bound.push((&bind.target, root));
    }
    Ok(())
}

impl Bind {
    fn failed(&self, cause: Cause) -> BindError {
        BindError::Volume {
            display_origin: self.display_origin.clone(),
            target: self.target.clone(),
            cause,
        }
    }

    /// Where the volume's folder is, in the agent's own namespace.
    fn find(&self, agents: &[PathBuf]) -> Result<(Source, Identity), BindError> {
        let source = Source::of(&self.mountpoint, self.directory_backed, agents);
        let found = source.and_then(|source| source.identity().map(|identity| (source, identity)));
        found.map_err(|cause| self.failed(cause.into()))
    }

    fn carry_out(
        &self,
        source: &Source,
        identity: Identity,
        outer: Option<&(&Path, OwnedFd)>,
        reach: Reach,
    ) -> Result<OwnedFd, Cause> {
        let mut folder = source.open()?;
        if Identity::of(&folder) != Ok(identity) {
            return Err(Cause::OtherSource);
        }
        if let Some(subpath) = &self.subpath {
            folder = folder_of_volume(&folder, subpath, !self.limits.read_only).map_err(|cause| Cause::Subpath {
                subpath: subpath.clone(),
                cause,
            })?;
        }
        let target = match outer {
            Some((around, root)) => {
                let way = self.target.strip_prefix(around).unwrap_or(Path::new(""));
                made_beneath(root, way, |_| Ok(())).map_err(|cause| Cause::Inside {
                    way: way.to_owned(),
                    cause,
                })?
            }
            None => self.checked_target()?,
        };
        Ok(attach(
            folder.as_fd(),
            target.as_fd(),
            &self.target,
            self.limits,
            reach,
        )?)
    }

    /// The folder that was checked when the container was prepared.
    fn checked_target(&self) -> Result<OwnedFd, Cause> {
        let target = open(CWD, &self.target, DIRECTORY, NO_LINKS).map_err(|cause| match cause {
            // What was there is gone, or is a symlink or a file now.
            Errno::LOOP | Errno::NOENT | Errno::NOTDIR => Cause::Replaced,
            cause => Cause::Target { cause },
        })?;
        match Identity::of(&target) {
            Ok(identity) if identity == self.identity => Ok(target),
            Ok(_) => Err(Cause::Replaced),
            Err(cause) => Err(Cause::Target { cause }),
        }
    }
}

/// Opens a folder of a volume. Where it may be written to, what is missing is made, with the owner
/// and the mode of the volume's root.
fn folder_of_volume(root: &OwnedFd, subpath: &Path, make: bool) -> Result<OwnedFd, Errno> {
    if !make {
        return open(root, subpath, DIRECTORY, ResolveFlags::BENEATH | NO_LINKS);
    }
    let like = fstat(root)?;
    made_beneath(root, subpath, |made| {
        chownat(
            made,
            "",
            Some(Uid::from_raw(like.st_uid)),
            Some(Gid::from_raw(like.st_gid)),
            AtFlags::EMPTY_PATH,
        )?;
        chmod(entry(made), Mode::from_raw_mode(like.st_mode & 0o7777))
    })
}

/// Opens the folder `way` in a mounted volume, and makes what is missing on the way. The tasks that
/// write to the volume decide what is in it, so no symlink is followed.
fn made_beneath(root: &OwnedFd, way: &Path, finish: impl Fn(&OwnedFd) -> Result<(), Errno>) -> Result<OwnedFd, Errno> {
    let step = |folder: &OwnedFd, name: &Path| open(folder, name, DIRECTORY, ResolveFlags::BENEATH | NO_LINKS);
    let mut folder = step(root, Path::new("."))?;
    for part in way.components() {
        let Component::Normal(name) = part else {
            return Err(Errno::INVAL);
        };
        let name = Path::new(name);
        folder = match step(&folder, name) {
            Err(Errno::NOENT) => match mkdirat(&folder, name, Mode::from_raw_mode(0o755)) {
                Ok(()) => {
                    let made = step(&folder, name)?;
                    finish(&made)?;
                    made
                }
                Err(Errno::EXIST) => step(&folder, name)?,
                Err(cause) => return Err(cause),
            },
            found => found?,
        };
    }
    Ok(folder)
}

fn missing(cause: Errno) -> String {
    match cause {
        Errno::LOOP => "leads through a symlink, which could lead out of the volume".into(),
        Errno::NOENT => "is not there, and is made only for a container that may write".into(),
        Errno::NOTDIR => "is not a folder".into(),
        other => format!("cannot be opened or made: {other}"),
    }
}

#[cfg(test)]
mod tests;
