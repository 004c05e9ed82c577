//! The real file system.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::panic::resume_unwind;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, OFlags, flock};

use super::disk::Disk;

/// How long a held lock is waited for: an operator's command holds it for a moment, and so does a
/// process that is on its way out.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
const LOCK_AGAIN: Duration = Duration::from_millis(20);

/// fsyncs under way at once. They share the journal's commits then; on ext4, 20 files take about as
/// long as 2.
const SYNC_THREADS: usize = 4;

/// Linux, through the standard library; locks are `flock`'s.
#[derive(Clone, Copy, Debug, Default)]
pub struct LinuxDisk;

impl Disk for LinuxDisk {
    type File = File;
    type Lock = File;

    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        fs::DirBuilder::new().mode(0o700).create(folder)
    }

    fn lock(&self, path: &Path, holder: &str) -> io::Result<Option<File>> {
        let mut file = open_lock(path)?;
        let begun = Instant::now();
        while let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
            match error.kind() {
                io::ErrorKind::WouldBlock if begun.elapsed() < LOCK_PATIENCE => thread::sleep(LOCK_AGAIN),
                io::ErrorKind::WouldBlock => return Ok(None),
                io::ErrorKind::Interrupted => {}
                _ => return Err(error.into()),
            }
        }
        // A note for people. On a full or a read-only disk the lock counts without it.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{holder}"));
        Ok(Some(file))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        fs::read_dir(folder)?
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect()
    }

    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK))
            .open(path)
            .map_err(|error| match rustix::io::Errno::from_io_error(&error) {
                Some(rustix::io::Errno::LOOP) => io::Error::other("it is a symbolic link"),
                Some(rustix::io::Errno::NXIO) => io::Error::other("it is not a file"),
                _ => error,
            })?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a file"));
        }
        let expected = metadata.len().min(limit).saturating_add(1);
        let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or(0));
        file.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn create(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .custom_flags(flags(OFlags::NOFOLLOW))
            .open(path)
    }

    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn sync_all(&self, files: &[&File]) -> Vec<io::Result<()>> {
        if files.len() <= 1 {
            return sync_each(files);
        }
        let share = files.len().div_ceil(SYNC_THREADS);
        thread::scope(|scope| {
            let sync_share = |files| {
                let thread = thread::Builder::new().name("mev-fsync".into());
                thread
                    .spawn_scoped(scope, move || sync_each(files))
                    // Without a thread to be had it takes longer.
                    .map_err(|_| files)
            };
            let shares: Vec<_> = files.chunks(share).map(sync_share).collect();
            shares
                .into_iter()
                .flat_map(|started| match started {
                    Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
                    Err(files) => sync_each(files),
                })
                .collect()
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }
}

/// For writing, so that the holder can be noted; on a read-only disk a file that is there can still
/// be locked.
fn open_lock(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK));
    let made = options.clone().write(true).create(true).mode(0o600).open(path);
    made.or_else(|error| match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => options.open(path).map_err(|_| error),
        _ => Err(error),
    })
}

/// Whether a process holds the lock on a file. Asking takes a shared lock for a moment, which
/// [`LinuxDisk::lock`] waits for.
pub(super) fn is_locked(path: &Path) -> io::Result<bool> {
    let file = match OpenOptions::new()
        .read(true)
        .custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK))
        .open(path)
    {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        opened => opened?,
    };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
        Err(error) => Err(error.into()),
    }
}

fn sync_each(files: &[&File]) -> Vec<io::Result<()>> {
    files.iter().map(|file| file.sync_all()).collect()
}

fn flags(flags: OFlags) -> i32 {
    flags.bits().cast_signed()
}
