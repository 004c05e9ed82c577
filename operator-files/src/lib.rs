//! Files that an operator writes and a process believes, often as root: a policy, a name map, a list of drivers, a catalogue.
//!
//! Such a file decides what is mounted where, so nobody but root and the user of the process may choose what is in it, and
//! whatever stands at its path must neither block nor exhaust the process that reads it.
//!
//! * [`read`] opens a path step by step and refuses what another user could have put there.
//! * [`read_given`] is for a file that the caller of a command line names and whose author does not matter: it checks the
//!   type and the size only.
//! * [`json`] parses JSON and refuses keys that are given twice.
//! * [`Kept`] holds the last good version of a file that is read again whenever it changes.
//! * [`append`] opens a file for lines that are added at its end, such as an audit log.
#![forbid(unsafe_code)]

mod append;
mod json;
mod kept;
mod open;
mod read;

pub use append::append;
pub use json::{JsonError, json, repeated_key};
pub use kept::{Content, Kept};
pub use read::{FileError, Problem, read, read_bytes, read_given, read_given_bytes, read_secret};
