//! Programs that the preparation runs, with their words kept for the error message.

use std::process::{Command, Output};

use super::PackageError;

/// Runs `command` to its end, with its output captured.
///
/// # Errors
/// It cannot be started: the error names the Debian package that has `program`.
pub(super) fn run(
    command: &mut Command,
    program: &'static str,
    debian_package: &'static str,
) -> Result<Output, PackageError> {
    command.output().map_err(|source| PackageError::MissingProgram {
        program,
        debian_package,
        source,
    })
}

/// The last line that says something.
pub(super) fn last_line(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    text.lines()
        .map(str::trim)
        .rfind(|line| !line.is_empty())
        .unwrap_or("it said nothing")
        .to_owned()
}
