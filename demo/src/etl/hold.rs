//! A step that stops half way until it is let go: for trying out what a kill does there.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use super::EtlError;
use super::interrupt;
use super::outcome::progress;

/// How often the file is looked for.
const LOOK: Duration = Duration::from_millis(20);

/// The word with which a step says that it holds.
pub const HOLDS: &str = "holds half way until";

/// The file a step waits for half way; none for a step that goes through.
#[derive(Debug, Clone, Default)]
pub struct Hold(pub Option<PathBuf>);

impl Hold {
    /// Waits until the file is there.
    ///
    /// # Errors
    /// [`EtlError::Interrupted`] when a signal comes first.
    pub(super) fn wait(&self, step: &str) -> Result<(), EtlError> {
        let Some(file) = &self.0 else { return Ok(()) };
        progress(step, format_args!("{HOLDS} {} is there", file.display()));
        while !file.exists() {
            if interrupt::interrupted() {
                return Err(EtlError::Interrupted);
            }
            thread::sleep(LOOK);
        }
        progress(step, "goes on");
        Ok(())
    }
}
