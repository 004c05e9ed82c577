//! A folder for one measurement: a disk part as an agent's state folder has it, and a mounted file system that stands for
//! volumes.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, unmount};
use tempfile::TempDir;

/// Taken away, with all that is mounted in it, when dropped.
pub(crate) struct Scratch {
    folder: TempDir,
    volumes: PathBuf,
}

impl Scratch {
    pub(crate) fn new() -> Result<Scratch> {
        let folder = tempfile::Builder::new().prefix("mev-bench-").tempdir()?;
        let volumes = folder.path().join("volumes");
        for made in [&volumes, &folder.path().join("sockets"), &folder.path().join("sandbox")] {
            std::fs::create_dir(made)?;
        }
        mount("bench", &volumes, "tmpfs", MountFlags::empty(), None)
            .with_context(|| format!("mount a tmpfs at {}", volumes.display()))?;
        let scratch = Scratch { folder, volumes };
        mount_change(&scratch.volumes, MountPropagationFlags::PRIVATE)?;
        Ok(scratch)
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// For sockets of drivers.
    pub(crate) fn sockets(&self) -> PathBuf {
        self.path().join("sockets")
    }

    /// A sandbox for all containers.
    pub(crate) fn sandbox(&self) -> PathBuf {
        self.path().join("sandbox")
    }

    /// A mounted file system: what lies in it passes for mounted.
    pub(crate) fn volumes(&self) -> &Path {
        &self.volumes
    }

    /// Makes a volume a mount of its own, so that the kernel's table has a line for it.
    pub(crate) fn mount_volume(&self, name: &str) -> Result<()> {
        let (source, target) = (self.volumes.join("source"), self.volumes.join(name));
        std::fs::create_dir_all(&source)?;
        std::fs::create_dir(&target)?;
        mount_bind(&source, &target).with_context(|| format!("mount {}", target.display()))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Detached with everything mounted below it, also while a process still looks.
        if let Err(error) = unmount(&self.volumes, UnmountFlags::DETACH) {
            eprintln!("{} stays mounted: {error}", self.volumes.display());
        }
    }
}
