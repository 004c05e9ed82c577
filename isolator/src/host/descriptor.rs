//! Opening files by a path that is followed from a folder that is already open, and saying which
//! file was opened.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{Mode, OFlags, ResolveFlags, fstat, openat2};
use rustix::io::Errno;

/// How a folder is opened: for its place alone, not to read it.
pub(crate) const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// No symlink is followed, not even one of the kernel in `/proc`.
pub(crate) const NO_LINKS: ResolveFlags = ResolveFlags::NO_SYMLINKS.union(ResolveFlags::NO_MAGICLINKS);

/// The kernel answers `EAGAIN` when something on the host was renamed or mounted while it followed
/// a `..` and it cannot be sure that the path stayed inside. It asks for another attempt
/// (`openat2(2)`).
const ATTEMPTS: usize = 256;
/// So many attempts follow one another at once; from then on there is a pause before each, a
/// quarter of a second in all.
const AT_ONCE: usize = 16;
const PAUSE: Duration = Duration::from_millis(1);

/// Opens `path` from `base` as `openat2` does, and tries again when the kernel asks for that.
///
/// # Errors
/// The kernel's answer; `EAGAIN` when so many attempts were not enough.
pub(crate) fn open(base: impl AsFd, path: &Path, flags: OFlags, resolve: ResolveFlags) -> Result<OwnedFd, Errno> {
    for attempt in 1..ATTEMPTS {
        match openat2(&base, path, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN) if attempt < AT_ONCE => thread::yield_now(),
            Err(Errno::AGAIN) => thread::sleep(PAUSE),
            answer => return answer,
        }
    }
    openat2(&base, path, flags, Mode::empty(), resolve)
}

/// Which file it is: the same in every mount namespace and under every name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// Of an open file.
    ///
    /// # Errors
    /// The kernel's answer to `fstat`.
    pub(crate) fn of(file: impl AsFd) -> Result<Self, Errno> {
        let found = fstat(file)?;
        Ok(Self {
            device: found.st_dev,
            inode: found.st_ino,
        })
    }
}

/// The path at which the kernel sees an open folder now.
///
/// # Errors
/// When `/proc` cannot be read.
pub(crate) fn path_of(folder: impl AsFd) -> io::Result<PathBuf> {
    fs::read_link(entry(folder))
}

/// A path that leads to just this open file, for calls that take no descriptor.
pub(crate) fn entry(file: impl AsFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_fd().as_raw_fd()))
}

/// What an operator can do about an answer of the kernel, if it is a known one.
pub(crate) fn remedy(error: Errno) -> &'static str {
    match error {
        Errno::NOSYS => {
            ": this kernel lacks openat2 (Linux 5.6), without which a path cannot be kept inside a container"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use rustix::fs::{CWD, openat};

    use super::*;

    /// Renames on the host, anywhere, make the kernel unsure about every `..` that it follows
    /// meanwhile.
    #[test]
    fn a_path_is_opened_though_the_kernel_asks_for_another_attempt() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        fs::create_dir(folder.path().join("one")).unwrap();
        let base = openat(CWD, folder.path(), DIRECTORY, Mode::empty()).unwrap();
        let path = PathBuf::from("a/../".repeat(400) + "a");
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let (one, two) = (folder.path().join("one"), folder.path().join("two"));
                while !stop.load(Ordering::Relaxed) {
                    for _ in 0..200 {
                        fs::rename(&one, &two).and_then(|()| fs::rename(&two, &one)).unwrap();
                    }
                    thread::sleep(Duration::from_millis(5));
                }
            });
            let mut asked = 0;
            for _ in 0..20_000 {
                let plain = openat2(&base, &path, DIRECTORY, Mode::empty(), ResolveFlags::IN_ROOT);
                asked += usize::from(plain.err() == Some(Errno::AGAIN));
                if asked > 0 {
                    break;
                }
            }
            let opened: Vec<_> = (0..200)
                .map(|_| open(&base, &path, DIRECTORY, ResolveFlags::IN_ROOT).map(drop))
                .collect();
            stop.store(true, Ordering::Relaxed);
            assert!(asked > 0, "the kernel never asked for another attempt");
            assert!(opened.iter().all(Result::is_ok), "{opened:?}");
        });
    }
}
