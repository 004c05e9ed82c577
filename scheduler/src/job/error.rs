//! What is wrong with a job file.

use std::fmt;

use serde_saphyr::Location;

/// One mistake in a job file, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1; 0 when the place is not known.
    pub line: u64,
    /// The column, from 1.
    pub column: u64,
    /// What is wrong, and what would be accepted.
    pub message: String,
}

impl Problem {
    pub(super) fn at(place: Location, message: impl Into<String>) -> Self {
        Self {
            line: place.line(),
            column: place.column(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.message),
            line => write!(f, "{line}:{}: {}", self.column, self.message),
        }
    }
}

/// Everything that is wrong with a job file, in the order of its lines. `Display` has one line for
/// each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobFileError {
    /// Never empty.
    pub problems: Vec<Problem>,
}

impl From<Problem> for JobFileError {
    fn from(problem: Problem) -> Self {
        Self {
            problems: vec![problem],
        }
    }
}

impl fmt::Display for JobFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.problems.iter().map(Problem::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for JobFileError {}
