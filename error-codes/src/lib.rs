//! The stable codes of failures, from a volume driver's answer to a task's status.
//!
//! A message names its source, then the code in brackets, then the cause:
//!
//! ```text
//! label 'volume.data': [attached-elsewhere] volume 'vol-1' of driver 'ebs': ...
//! ```
//!
//! Programs read the code and no other part of the text. The codes are an interface: `docs/error-codes.md` lists them, and a
//! test compares that page with [`Code`].
#![forbid(unsafe_code)]

use std::fmt;
use std::str::FromStr;

/// What a failure means for a program that has to decide what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// The driver says that it does not know the volume.
    NotFound,
    /// The volume exists and another host has it attached.
    AttachedElsewhere,
    /// The volume is in use on this host.
    Busy,
    /// The driver is not installed, its address cannot be used, or it does not answer. Nothing was
    /// changed. Of a container that was running: its volume cannot be used on this host any more.
    Unreachable,
    /// A request was sent and no trustworthy answer came: it may or may not have been carried out.
    Uncertain,
    /// The operator's policy, a missing claim or the driver refuses the request.
    Denied,
    /// The request or a setting is wrong as it stands, and will be refused in the same way again.
    Invalid,
    /// A time limit of the agent passed.
    Timeout,
    /// The driver does not offer what the request needs.
    Unsupported,
}

/// Words that a message can begin with when it names what asked for the volume. The code stands after the first colon of such
/// a message, and at the front of any other.
const SOURCES: &[&str] = &["label ", "ContainerInfo.volumes", "variable ", "DVDI_VOLUME_"];

impl Code {
    /// Every code, in the order of the documentation.
    pub const ALL: [Code; 9] = [
        Code::NotFound,
        Code::AttachedElsewhere,
        Code::Busy,
        Code::Unreachable,
        Code::Uncertain,
        Code::Denied,
        Code::Invalid,
        Code::Timeout,
        Code::Unsupported,
    ];

    /// The code as it stands between the brackets, in JSON and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Code::NotFound => "not-found",
            Code::AttachedElsewhere => "attached-elsewhere",
            Code::Busy => "busy",
            Code::Unreachable => "unreachable",
            Code::Uncertain => "uncertain",
            Code::Denied => "denied",
            Code::Invalid => "invalid",
            Code::Timeout => "timeout",
            Code::Unsupported => "unsupported",
        }
    }

    /// Whether the same request can succeed a little later without anybody's help, because another user of the volume leaves.
    pub const fn passes_by_itself(self) -> bool {
        matches!(self, Code::AttachedElsewhere | Code::Busy)
    }

    /// The message with the code after its source, or at the front when the message names no source.
    ///
    /// A source can quote a name that somebody made up. Such a name cannot forge a code: the code stands after the *first*
    /// colon and space, and [`Code::of_message`] reads the first code only.
    pub fn in_message(self, message: &str) -> String {
        let names_source = SOURCES.iter().any(|source| message.starts_with(source));
        match message.split_once(": ").filter(|_| names_source) {
            Some((source, rest)) => format!("{source}: [{self}] {rest}"),
            None => format!("[{self}] {message}"),
        }
    }

    /// The code of a message: the first code in brackets that begins the message or follows a colon and a space. Mesos puts
    /// words of its own in front (`Failed to launch container: `).
    pub fn of_message(message: &str) -> Option<Code> {
        let starts = std::iter::once(0).chain(message.match_indices(": ").map(|(at, colon)| at + colon.len()));
        starts.into_iter().find_map(|start| {
            let (code, _) = message[start..].strip_prefix('[')?.split_once("] ")?;
            code.parse().ok()
        })
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownCode;

impl fmt::Display for UnknownCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let codes = Code::ALL.map(Code::as_str).join(", ");
        write!(f, "this is no error code: the codes are {codes}")
    }
}

impl std::error::Error for UnknownCode {}

impl FromStr for Code {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Code, UnknownCode> {
        let found = Code::ALL.into_iter().find(|code| code.as_str() == text);
        found.ok_or(UnknownCode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_lists_exactly_these_codes_in_this_order() {
        let page = include_str!("../../docs/error-codes.md");
        let listed: Vec<&str> = page
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
            .map(|(code, _)| code)
            .collect();
        assert_eq!(listed, Code::ALL.map(Code::as_str));
    }

    #[test]
    fn a_code_is_read_back_from_the_message_it_was_put_into() {
        for code in Code::ALL {
            for message in [
                "label 'volume.data': volume 'v' of driver 'd': no",
                "label 'volume.data' = 'v': rule 1 denies it",
                "ContainerInfo.volumes[0]: volume 'v' of driver 'd': no",
                "variable DVDI_VOLUME_NAME: no",
                "this agent cannot read its name map: no such file",
                "no colon",
            ] {
                let coded = code.in_message(message);
                assert_eq!(Code::of_message(&coded), Some(code), "{coded}");
                let told = format!("Failed to launch container: {coded}");
                assert_eq!(Code::of_message(&told), Some(code), "{told}");
            }
        }
    }

    #[test]
    fn the_code_stands_after_the_source() {
        assert_eq!(
            Code::AttachedElsewhere.in_message("label 'volume.data': volume 'v' of driver 'd': elsewhere"),
            "label 'volume.data': [attached-elsewhere] volume 'v' of driver 'd': elsewhere"
        );
        assert_eq!(
            Code::Invalid.in_message("the agent is shutting down: wait"),
            "[invalid] the agent is shutting down: wait"
        );
    }

    #[test]
    fn a_name_that_looks_like_a_code_forges_none() {
        for name in ["[busy] x", "x: [busy] y", ": [busy] ", "]: [busy] "] {
            let message = Code::Denied.in_message(&format!("label 'volume.data' = '{name}': no rule allows it"));
            assert_eq!(Code::of_message(&message), Some(Code::Denied), "{message}");
        }
    }

    #[test]
    fn a_message_without_a_code_has_none() {
        for message in [
            "",
            "device busy",
            "[busy]",
            "x [busy] y",
            "x: [busi] y",
            "volume is attached to another host",
        ] {
            assert_eq!(Code::of_message(message), None, "{message}");
        }
    }
}
