//! The folder outside the target folder where what was downloaded and built stays.
//!
//! ```text
//! <cache>/
//!   <name>.lock               held while the folder <name> is made
//!   download-<key>/           the virtual environment of the download script
//!   mesos-1.11.0/libmesos.so  the official library, read-only
//!   programs-1.11.0-<key>/    the programs and the stub libraries
//!   making-<name>-<random>/   being made, or left by a process that was killed
//! ```
//!
//! A folder appears under its final name only when it is complete (made aside, then renamed), so whoever finds it
//! needs no lock, and a process killed half-way leaves only a `making-` folder, which the next one removes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::{env, io};

use rustix::fs::{FlockOperation, flock};

use super::PackageError;

/// The cache folder.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// The cache at `root`, which is created when it is missing.
    ///
    /// # Errors
    /// The folder cannot be created.
    pub fn at(root: impl Into<PathBuf>) -> Result<Cache, PackageError> {
        let root = root.into();
        fs::create_dir_all(&root).map_err(PackageError::io("create the cache folder", &root))?;
        Ok(Cache { root })
    }

    /// `$MESOS_TESTBED_CACHE`, else `mesos-external-volumes` in `$XDG_CACHE_HOME` or `~/.cache`.
    ///
    /// # Errors
    /// None of the variables is set, or the folder cannot be created.
    pub fn from_environment() -> Result<Cache, PackageError> {
        let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let root = set("MESOS_TESTBED_CACHE")
            .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("mesos-external-volumes")))
            .or_else(|| set("HOME").map(|home| home.join(".cache/mesos-external-volumes")))
            .ok_or(PackageError::NoCacheFolder)?;
        Cache::at(root)
    }

    /// The folder `name`, made by `make` if it is not there yet. `make` gets an empty folder that takes the name when
    /// it returns. Of several processes that ask at once one makes it and the others wait.
    pub(crate) fn folder(
        &self,
        name: &str,
        make: impl FnOnce(&Path) -> Result<(), PackageError>,
    ) -> Result<PathBuf, PackageError> {
        let done = self.root.join(name);
        if done.is_dir() {
            return Ok(done);
        }
        let _lock = self.lock(name)?;
        if done.is_dir() {
            return Ok(done);
        }
        let prefix = format!("making-{name}-");
        self.remove_unfinished(&prefix)?;
        let making = tempfile::Builder::new()
            .prefix(&prefix)
            .tempdir_in(&self.root)
            .map_err(PackageError::io("create a folder in", &self.root))?;
        make(making.path())?;
        fs::rename(making.path(), &done).map_err(PackageError::io("name", &done))?;
        // The guard would remove a folder that has another name now.
        let _ = making.keep();
        open_to_all(&done)?;
        Ok(done)
    }

    /// As [`Cache::folder`], for content that must be made where it stays: a marker in it says that it is complete.
    pub(crate) fn folder_in_place(
        &self,
        name: &str,
        make: impl FnOnce(&Path) -> Result<(), PackageError>,
    ) -> Result<PathBuf, PackageError> {
        let folder = self.root.join(name);
        let complete = folder.join("complete");
        if complete.exists() {
            return Ok(folder);
        }
        let _lock = self.lock(name)?;
        if complete.exists() {
            return Ok(folder);
        }
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(PackageError::io("remove", &folder))?;
        }
        fs::create_dir(&folder).map_err(PackageError::io("create", &folder))?;
        make(&folder)?;
        fs::write(&complete, "").map_err(PackageError::io("write", &complete))?;
        Ok(folder)
    }

    /// One lock a folder, because making one may ask for another (the library's for the download script's).
    fn lock(&self, name: &str) -> Result<File, PackageError> {
        let path = self.root.join(format!("{name}.lock"));
        let file = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(PackageError::io("open", &path))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            eprintln!(
                "waiting for another process that prepares Mesos (it holds {})",
                path.display()
            );
            flock(&file, FlockOperation::LockExclusive)
                .map_err(|errno| PackageError::io("lock", &path)(io::Error::from(errno)))?;
        }
        Ok(file)
    }

    fn remove_unfinished(&self, prefix: &str) -> Result<(), PackageError> {
        for entry in fs::read_dir(&self.root).map_err(PackageError::io("list", &self.root))? {
            let entry = entry.map_err(PackageError::io("list", &self.root))?;
            if entry.file_name().to_string_lossy().starts_with(prefix) {
                fs::remove_dir_all(entry.path()).map_err(PackageError::io("remove", &entry.path()))?;
            }
        }
        Ok(())
    }
}

/// Temporary folders are private; what is in the cache may be read and run by any user a task runs as.
fn open_to_all(path: &Path) -> Result<(), PackageError> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(PackageError::io("open", path))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn a_folder_is_made_once_by_many() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path()).unwrap();
        let made = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let folder = cache.folder("thing", |folder| {
                        made.fetch_add(1, Ordering::SeqCst);
                        fs::write(folder.join("content"), "whole").map_err(PackageError::io("write", folder))
                    });
                    assert_eq!(fs::read_to_string(folder.unwrap().join("content")).unwrap(), "whole");
                });
            }
        });
        assert_eq!(made.into_inner(), 1);
    }

    #[test]
    fn a_failed_folder_leaves_nothing_and_can_be_made_again() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path()).unwrap();
        let failed = cache.folder("thing", |folder| {
            fs::write(folder.join("half"), "").map_err(PackageError::io("write", folder))?;
            Err(PackageError::NoCacheFolder)
        });
        assert!(matches!(failed, Err(PackageError::NoCacheFolder)));
        assert_eq!(names(root.path()), ["thing.lock"]);
        assert!(cache.folder("thing", |_| Ok(())).is_ok());
    }

    #[test]
    fn what_a_killed_process_left_is_removed() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path()).unwrap();
        fs::create_dir(root.path().join("making-thing-x1y2")).unwrap();
        cache.folder("thing", |_| Ok(())).unwrap();
        assert_eq!(names(root.path()), ["thing", "thing.lock"]);
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}
