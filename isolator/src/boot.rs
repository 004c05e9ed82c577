//! Which start of the host this is.

use std::fs;
use std::io;
use std::path::Path;

/// Where the kernel shows the id of this start of the host (`random(4)`).
pub(crate) const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The id of this start of the host, which changes with each.
///
/// # Errors
/// `/proc` cannot be read.
pub(crate) fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string(Path::new(BOOT_ID))?.trim().to_owned())
}
