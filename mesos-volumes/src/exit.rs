//! Exit codes, the same for every command.

use std::process::ExitCode;

use volume_driver_client::{Code, ErrorKind};

/// What the codes mean, for `--help`, with examples before it.
macro_rules! help {
    ($examples:literal) => {
        concat!(
            "Examples:\n",
            $examples,
            "

Exit codes:
  0  done
  1  the driver refused, or another failure; --json names the error code
  2  the command line is wrong
  3  the driver does not know the volume
  4  the driver is not installed or cannot be reached; nothing was done
  5  no trustworthy answer came: it may or may not have been done; it was not tried again
  6  the driver's address or a setting cannot be used; nothing was sent"
        )
    };
}

/// For the program's own `--help`.
pub(crate) const HELP: &str = help!(
    "  mesos-volumes doctor --agent-url http://127.0.0.1:5051
  mesos-volumes ls --state stuck
  mesos-volumes driver ls rexray"
);

/// For `driver --help`.
pub(crate) const DRIVER_HELP: &str = help!(
    "  mesos-volumes driver ls
  mesos-volumes driver get rexray orders
  mesos-volumes driver unmount rexray orders"
);

/// The command line is wrong. Also clap's code for it.
pub(crate) const USAGE: u8 = 2;
/// There is nothing of that name.
pub(crate) const UNKNOWN: u8 = 3;
/// What was to be called cannot be reached; nothing was done.
pub(crate) const UNREACHABLE: u8 = 4;
/// A setting cannot be used.
pub(crate) const SETTINGS: u8 = 6;

/// The exit code for a failed call: one for each error code that a script is likely to tell from
/// the others.
pub(crate) fn code(kind: ErrorKind) -> u8 {
    match kind.code() {
        _ if kind == ErrorKind::Misconfigured => SETTINGS,
        // A server answers, and it is no volume driver: nothing is gained by waiting for it.
        _ if kind == ErrorKind::Protocol => 1,
        Code::NotFound => UNKNOWN,
        Code::Unreachable => UNREACHABLE,
        Code::Uncertain => 5,
        _ => 1,
    }
}

/// The exit with such a code.
pub(crate) fn with(code: u8) -> ExitCode {
    ExitCode::from(code)
}
