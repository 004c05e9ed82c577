//! Why a container is refused its volumes, and what went wrong with a call to a driver.

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use volume_driver_client::{Code, Error};

use crate::host::BindError;
use crate::origin::Origin;
use crate::types::VolumeKey;

/// What went wrong, as a code for programs and in words for people.
///
/// A text without a code of its own is the driver's refusal: [`Code::Denied`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The code. Programs decide by it and never by the words.
    pub code: Code,
    /// One line: the driver's words, or what was seen.
    pub words: String,
}

impl Problem {
    /// A problem with a code.
    pub fn new(code: Code, words: impl Into<String>) -> Self {
        let words = words.into();
        Self { code, words }
    }

    /// The same problem with more words in front of or behind its own.
    pub(crate) fn reworded(self, words: impl FnOnce(&str) -> String) -> Self {
        Self::new(self.code, words(&self.words))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

/// The words.
impl Deref for Problem {
    type Target = str;

    fn deref(&self) -> &str {
        &self.words
    }
}

impl From<&Error> for Problem {
    fn from(error: &Error) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
}

impl From<String> for Problem {
    fn from(words: String) -> Self {
        Self::new(Code::Denied, words)
    }
}

impl From<&str> for Problem {
    fn from(words: &str) -> Self {
        Self::from(words.to_owned())
    }
}

/// Why what a container asks for is refused before anything is sent to a driver. The message begins
/// with what asked.
///
/// A text without a code of its own is a wrong request: [`Code::Invalid`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The code.
    pub code: Code,
    /// One line that names the label, the cause and the remedy.
    pub message: String,
}

impl Refusal {
    /// A refusal with a code.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { code, message }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.code.in_message(&self.message))
    }
}

impl From<String> for Refusal {
    fn from(message: String) -> Self {
        Self::new(Code::Invalid, message)
    }
}

/// The whole message, with the code in its place.
impl From<Refusal> for String {
    fn from(refusal: Refusal) -> Self {
        refusal.to_string()
    }
}

/// Why a Docker container is not launched. The text reaches the framework in the task's status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrelaunchError {
    /// Its volumes cannot be had.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// Its volumes cannot be bound into its sandbox.
    #[error(transparent)]
    Bind(#[from] BindError),
}

/// Why `prepare` failed. The text reaches the framework in the task's status, behind Mesos' own
/// "Failed to launch container: ", so it is one line that names the label, the [`Code`] and what to
/// do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    /// The labels ask for something that cannot be given; nothing was sent to a driver.
    #[error("{0}")]
    Request(Refusal),
    /// The paths in the container were not resolved in time; nothing was sent to a driver.
    #[error(
        "[{code}] the container's paths were not resolved within {0:?} (module parameter prepare_timeout)",
        code = Code::Timeout
    )]
    Unresolved(Duration),
    /// The volume could not be mounted.
    #[error("{origin}: [{}] volume {volume}: {cause}", .cause.code)]
    Mount {
        /// What requested the volume.
        origin: Origin,
        /// The volume.
        volume: VolumeKey,
        /// The driver's words, or what was seen.
        cause: Problem,
    },
    /// The time for prepare passed. A Mount that was already sent is waited for in the background
    /// and undone.
    #[error("{origin}: [{}] volume {volume}: {}", .waiting_for.code, not_ready(.waiting_for))]
    Deadline {
        /// What requested the volume.
        origin: Origin,
        /// The first volume that was not ready.
        volume: VolumeKey,
        /// What was missing. Its code is [`Code::Timeout`] unless it is known that waiting for
        /// another user of the volume took the time.
        waiting_for: Problem,
    },
    /// The agent cannot remember what it is about to do, so it does not do it.
    #[error(
        "[{code}] {0}: no task with a volume can start on this agent until that is corrected, and no restart is needed (module \
         parameter state_dir)",
        code = Code::Unreachable
    )]
    Record(String),
    /// The container was destroyed while its volumes were being mounted.
    #[error("the container was destroyed while its volumes were being mounted")]
    Destroyed,
    /// A second prepare for a container that has one.
    #[error("[{code}] container {0} is being prepared already", code = Code::Busy)]
    Repeated(String),
    /// The agent is going away.
    #[error("[{code}] the agent is shutting down", code = Code::Unreachable)]
    Stopped,
}

/// A volume that another host has is a different matter from a driver that is slow: the remedy is
/// on the other host.
fn not_ready(waiting_for: &Problem) -> String {
    match waiting_for.code {
        Code::AttachedElsewhere => format!(
            "it was still attached to another host when prepare_timeout passed. Detach it there, or wait for its task to end. The \
             driver said: {waiting_for}"
        ),
        _ => format!("not ready in time: {waiting_for} (module parameter prepare_timeout)"),
    }
}

impl PrepareError {
    /// The code that the message carries. A container that was destroyed has none, because it was
    /// not refused.
    pub fn code(&self) -> Option<Code> {
        Some(match self {
            Self::Request(refusal) => refusal.code,
            Self::Unresolved(_) => Code::Timeout,
            Self::Mount { cause, .. } => cause.code,
            Self::Deadline { waiting_for, .. } => waiting_for.code,
            Self::Record(_) | Self::Stopped => Code::Unreachable,
            Self::Repeated(_) => Code::Busy,
            Self::Destroyed => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The quoted words in the first column of the table "Messages and remedies".
    fn documented() -> Vec<&'static str> {
        let page = include_str!("../../docs/troubleshooting.md");
        let (_, table) = page
            .split_once("### Messages and remedies")
            .expect("the page has the table");
        let rows = table.lines().skip_while(|line| !line.starts_with("| `"));
        let rows = rows.take_while(|line| line.starts_with("| `"));
        rows.filter_map(|row| row.strip_prefix("| `")?.split_once("` |"))
            .map(|(words, _)| words)
            .collect()
    }

    #[test]
    fn the_table_of_remedies_has_every_reason_in_the_words_of_the_message() {
        let volume = || VolumeKey::new("ebs".to_owned(), "v");
        let deadline = |code| PrepareError::Deadline {
            origin: "data".into(),
            volume: volume(),
            waiting_for: Problem::new(code, "words"),
        };
        let drivers = volume_driver_client::Drivers::new(
            volume_driver_client::Discovery {
                explicit: [(
                    "ebs".to_owned(),
                    volume_driver_client::ExplicitDriver {
                        address: "http://127.0.0.1:1".to_owned(),
                        ..Default::default()
                    },
                )]
                .into(),
                socket_dirs: Vec::new(),
                spec_dirs: Vec::new(),
                ..Default::default()
            },
            volume_driver_client::Profiles::builtin(),
        );
        let errors = [
            PrepareError::Unresolved(Duration::from_secs(50)),
            PrepareError::Mount {
                origin: "data".into(),
                volume: volume(),
                cause: drivers.driver("nosuch").expect_err("it is not installed").into(),
            },
            deadline(Code::AttachedElsewhere),
            deadline(Code::Timeout),
            PrepareError::Record("the disk for volume records is full".into()),
            PrepareError::Destroyed,
            PrepareError::Repeated("c".into()),
            PrepareError::Stopped,
        ];
        let documented = documented();
        for error in &errors {
            let message = error.to_string();
            assert!(documented.iter().any(|words| message.contains(words)), "{message}");
        }
        // The tests of the policy and of claims hold the remaining ones against their messages.
        let elsewhere = [
            "is denied by rule",
            "this agent requires tasks to reserve their volumes",
            "and no name_map entry connects them",
        ];
        for words in documented {
            let is_said = errors.iter().any(|error| error.to_string().contains(words));
            assert!(is_said || elsewhere.contains(&words), "no message has '{words}'");
        }
    }

    #[test]
    fn a_volume_that_another_host_keeps_is_told_with_the_remedy_there() {
        let error = PrepareError::Deadline {
            origin: "data".into(),
            volume: VolumeKey::new("ebs".to_owned(), "orders"),
            waiting_for: Problem::new(Code::AttachedElsewhere, "VolumeInUse: vol-1 is attached to i-0f"),
        };
        assert_eq!(
            error.to_string(),
            "label 'volume.data': [attached-elsewhere] volume 'orders' of driver 'ebs': it was still attached to another host when prepare_timeout \
             passed. Detach it there, or wait for its task to end. The driver said: VolumeInUse: vol-1 is attached to i-0f"
        );
    }

    #[test]
    fn every_message_carries_the_code_that_is_told_beside_it() {
        let volume = || VolumeKey::new("ebs".to_owned(), "x: [busy] y");
        let errors = [
            PrepareError::Request(Refusal::new(
                Code::Denied,
                "label 'volume.a' = 'x: [busy] y': no rule allows it",
            )),
            PrepareError::Request("label 'volume.x: [busy] y': unknown attribute".to_owned().into()),
            PrepareError::Unresolved(Duration::from_secs(50)),
            PrepareError::Mount {
                origin: "data".into(),
                volume: volume(),
                cause: Problem::new(Code::AttachedElsewhere, "elsewhere: [invalid] "),
            },
            PrepareError::Deadline {
                origin: "data".into(),
                volume: volume(),
                waiting_for: Problem::new(Code::Timeout, "the driver has not answered Mount"),
            },
            PrepareError::Record("No space left on device".into()),
            PrepareError::Destroyed,
            PrepareError::Repeated("c".into()),
            PrepareError::Stopped,
        ];
        for error in errors {
            let message = format!("Failed to launch container: {error}");
            assert_eq!(Code::of_message(&message), error.code(), "{message}");
        }
    }
}
