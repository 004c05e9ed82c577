//! Lock files by which several processes share the turns of one driver. The kernel releases those
//! of a process that dies.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use sha2::{Digest, Sha256};

/// How often the files are tried again.
const POLL: Duration = Duration::from_millis(5);

/// How many calls a driver may have at once, and how fast changing calls may follow each other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) in_flight: usize,
    /// Between the end of a changing call and the beginning of the next.
    pub(crate) pause: Duration,
}

/// The lock files of one driver: one for each call that it may have at once. The modification time
/// of the first file is the end of the last changing call.
#[derive(Debug)]
pub(crate) struct LockFiles {
    folder: PathBuf,
    driver: String,
}

/// A held lock; released when dropped, and by the kernel when the process dies.
pub(crate) struct HeldLock {
    file: File,
    clock: Option<PathBuf>,
}

impl LockFiles {
    pub(crate) fn new(folder: &Path, driver: &str) -> LockFiles {
        // Names of drivers may hold slashes.
        let digest = hex::encode(&Sha256::digest(driver.as_bytes())[..8]);
        LockFiles {
            folder: folder.to_owned(),
            driver: digest,
        }
    }

    /// Waits until `end` for one of the files; `None` when all of them are held until then.
    pub(crate) fn acquire(&self, is_change: bool, limits: Limits, end: Instant) -> io::Result<Option<HeldLock>> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        loop {
            let now = Instant::now();
            let quiet = if is_change {
                self.quiet_for(limits.pause)?
            } else {
                Duration::ZERO
            };
            if quiet.is_zero() {
                for number in 0..limits.in_flight {
                    if let Some(held) = self.take(number, is_change, limits.pause)? {
                        return Ok(Some(held));
                    }
                }
            }
            if now >= end {
                return Ok(None);
            }
            std::thread::sleep(quiet.max(POLL).min(end.saturating_duration_since(now)));
        }
    }

    /// Takes one of the files, if it is free and no change has ended too short a time ago. Another
    /// process may have ended one after the caller looked at the clock, so it is looked at again
    /// under the lock.
    fn take(&self, number: usize, is_change: bool, pause: Duration) -> io::Result<Option<HeldLock>> {
        let file = self.open(number)?;
        match file.try_lock() {
            Ok(()) if is_change && !self.quiet_for(pause)?.is_zero() => Ok(None),
            Ok(()) => {
                let clock = (is_change && !pause.is_zero()).then(|| self.path(0));
                Ok(Some(HeldLock { file, clock }))
            }
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// How much of the pause after the last changing call is left.
    fn quiet_for(&self, pause: Duration) -> io::Result<Duration> {
        if pause.is_zero() {
            return Ok(Duration::ZERO);
        }
        match fs::metadata(self.path(0)).and_then(|meta| meta.modified()) {
            // A time in the future means that the clock was set back. There is no reason to wait
            // for it.
            Ok(changed) => Ok(SystemTime::now()
                .duration_since(changed)
                .map_or(Duration::ZERO, |since| pause.saturating_sub(since))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Duration::ZERO),
            Err(error) => Err(error),
        }
    }

    fn open(&self, number: usize) -> io::Result<File> {
        File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.path(number))
    }

    fn path(&self, number: usize) -> PathBuf {
        self.folder.join(format!("{}.{number}.lock", self.driver))
    }
}

impl Drop for HeldLock {
    fn drop(&mut self) {
        if let Some(path) = &self.clock {
            let noted = File::options()
                .write(true)
                .open(path)
                .and_then(|file| file.set_modified(SystemTime::now()));
            if let Err(error) = noted {
                tracing::warn!(file = %path.display(), %error, "cannot note the end of a call");
            }
        }
        // Closing the file releases the lock as well, but not while a child process has inherited
        // the file.
        if let Err(error) = self.file.unlock() {
            tracing::warn!(%error, "cannot release the turn of a call");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn a_driver_has_as_many_turns_as_its_limit_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let locks = LockFiles::new(dir.path(), "rexray/ebs:latest");
        let limits = Limits {
            in_flight: 2,
            pause: Duration::ZERO,
        };
        let take = |end| locks.acquire(true, limits, end).unwrap();
        let first = take(Instant::now() + LONG).unwrap();
        let _second = take(Instant::now() + LONG).unwrap();
        assert!(take(Instant::now()).is_none());
        drop(first);
        assert!(take(Instant::now() + LONG).is_some());
    }

    #[test]
    fn another_driver_has_turns_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let limits = Limits {
            in_flight: 1,
            pause: Duration::ZERO,
        };
        let take = |driver| {
            LockFiles::new(dir.path(), driver)
                .acquire(true, limits, Instant::now())
                .unwrap()
        };
        let _one = take("one").unwrap();
        assert!(take("one").is_none());
        assert!(take("other").is_some());
    }

    #[test]
    fn a_change_that_ends_before_the_lock_is_taken_is_paused_after() {
        let dir = tempfile::tempdir().unwrap();
        let locks = LockFiles::new(dir.path(), "rclone");
        let take = |is_change| locks.take(0, is_change, LONG).unwrap();
        // A file that is made now looks like a change that has ended now.
        let file = locks.open(0).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        drop(take(true).expect("the last change was long ago"));
        assert!(take(true).is_none(), "a change has just ended");
        assert!(take(false).is_some(), "a reading call need not wait");
    }

    #[test]
    fn the_pause_after_a_change_holds_for_the_next_change_only() {
        let dir = tempfile::tempdir().unwrap();
        let locks = LockFiles::new(dir.path(), "rclone");
        let pause = Duration::from_millis(200);
        let limits = Limits { in_flight: 1, pause };
        drop(locks.acquire(true, limits, Instant::now() + LONG).unwrap().unwrap());
        let start = Instant::now();
        assert!(locks.acquire(false, limits, Instant::now()).unwrap().is_some());
        assert!(locks.acquire(true, limits, Instant::now() + LONG).unwrap().is_some());
        assert!(
            start.elapsed() >= pause - Duration::from_millis(50),
            "{:?}",
            start.elapsed()
        );
    }
}
