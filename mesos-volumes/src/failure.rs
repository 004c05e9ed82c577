//! What made a command fail: one line for people, an object for programs, a code for scripts.

use std::fmt;

use serde_json::{Value, json};
use volume_driver_client::{Code, Error};

use crate::exit;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A call of a driver failed.
    Driver(Error),
    /// What was asked for is refused here, without a call that changes anything.
    Refused(String),
    /// A test of a driver printed its result, and could not take everything away again.
    LeftBehind(String),
    /// A signal asked the program to end, and everything that it had made was taken away.
    Interrupted,
    /// There is nothing of that name.
    Unknown(String),
    /// A file of settings, or an option's value, cannot be used.
    Settings(String),
    /// No master can be reached.
    Unreachable(String),
    /// The output cannot be written.
    Output(std::io::Error),
}

impl Failure {
    pub(crate) fn code(&self) -> u8 {
        match self {
            Failure::Driver(error) => exit::code(error.kind()),
            Failure::Settings(_) => exit::SETTINGS,
            Failure::Unknown(_) => exit::UNKNOWN,
            Failure::Unreachable(_) => exit::UNREACHABLE,
            Failure::Refused(_) | Failure::LeftBehind(_) | Failure::Interrupted | Failure::Output(_) => 1,
        }
    }

    /// `{"error": {"code": .., "kind": .., "message": .., ..}}`; a failure to write the output
    /// and an interruption have no code.
    pub(crate) fn to_json(&self) -> Value {
        let error = match self {
            Failure::Driver(error) => json!({
                "code": error.code().as_str(),
                "kind": error.kind().name(),
                "operation": error.operation().to_string(),
                "driver": error.driver(),
                "endpoint": error.endpoint(),
                "volume": error.volume(),
                "words": error.words(),
                "may_have_happened": error.may_have_happened(),
                "message": error.to_string(),
            }),
            Failure::Refused(message) | Failure::LeftBehind(message) => coded(Code::Denied, "refused", message),
            Failure::Interrupted => json!({ "kind": "interrupted", "message": self.to_string() }),
            Failure::Unknown(message) => coded(Code::NotFound, "not_found", message),
            Failure::Settings(message) => coded(Code::Invalid, "settings", message),
            Failure::Unreachable(message) => coded(Code::Unreachable, "unreachable", message),
            Failure::Output(error) => json!({ "kind": "output", "message": error.to_string() }),
        };
        json!({ "error": error })
    }
}

fn coded(code: Code, kind: &str, message: &str) -> Value {
    json!({ "code": code.as_str(), "kind": kind, "message": message })
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Driver(error) => error.fmt(f),
            Failure::Refused(message)
            | Failure::LeftBehind(message)
            | Failure::Unknown(message)
            | Failure::Settings(message)
            | Failure::Unreachable(message) => f.write_str(message),
            Failure::Interrupted => f.write_str("interrupted by a signal"),
            Failure::Output(error) => write!(f, "cannot write the output: {error}"),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Driver(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        Failure::Output(error)
    }
}
