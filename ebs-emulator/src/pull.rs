//! A file system whose device is pulled from under it.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::ioctl::{Opcode, Setter, ioctl, opcode};

/// `FS_IOC_SHUTDOWN`, which ext4 and XFS have, from `linux/fs.h` (`_IOR('X', 125, __u32)`).
const SHUTDOWN: Opcode = opcode::read::<u32>(b'X', 125);

/// `FS_SHUTDOWN_FLAGS_NOLOGFLUSH`: at once, what is not yet written is lost.
const AT_ONCE: u32 = 2;

/// Ends the file system that is mounted at `folder`, as losing its device does: nothing that is not on the device yet comes
/// to it any more, and whoever reads or writes gets EIO. The mount stays.
///
/// # Errors
/// The file system is of a type that cannot be ended so, or `folder` cannot be opened.
pub(crate) fn pull(folder: &Path) -> io::Result<()> {
    let folder = File::open(folder)?;
    // SAFETY: the kernel reads one u32 from the pointer that Setter passes, and writes nothing; on a file system without
    // this call it answers ENOTTY.
    unsafe { ioctl(&folder, Setter::<SHUTDOWN, u32>::new(AT_ONCE)) }?;
    Ok(())
}
