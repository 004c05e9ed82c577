//! The client against servers that do exactly what a test says, and against folders laid out by a test.
//!
//! * `misbehaving_servers`: broken, slow, endless and foreign answers.
//! * `requests`: what the client sends, and on which connections.
//! * `answers`: what it reads out of well-formed answers.
//! * `time_limits`: how long a call may take.
//! * `discovery`: which address a name leads to, and which are refused.

#![allow(clippy::unwrap_used, reason = "a fixture that cannot be set up fails its test")]

mod answers;
mod discovery;
mod misbehaving_servers;
mod requests;
mod scripted;
mod time_limits;
