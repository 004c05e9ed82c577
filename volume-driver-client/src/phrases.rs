//! Which words of a driver mean what: the one table, with the driver each text came from.

use crate::error::ErrorKind;
use crate::operation::Operation;
use crate::words::clean;

/// One text of a driver and what it means.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Phrase {
    /// Lower case, without quotes. `{}` stands for the volume's name. It may stand anywhere in the
    /// driver's words.
    pub pattern: &'static str,
    /// What it means.
    pub kind: ErrorKind,
    /// For which calls.
    pub operations: &'static [Operation],
    /// Which driver says so.
    pub from: &'static str,
}

use Operation::{Create, Get, Mount, Path, Remove, Unmount};

const LOOKUPS: &[Operation] = &[Get, Path, Mount, Unmount, Remove];
const LOOKUPS_BUT_GET: &[Operation] = &[Path, Mount, Unmount, Remove];
const ATTACHING: &[Operation] = &[Mount, Create, Remove];
const CHANGING: &[Operation] = &[Mount, Unmount, Remove];

const fn phrase(
    kind: ErrorKind,
    operations: &'static [Operation],
    pattern: &'static str,
    from: &'static str,
) -> Phrase {
    Phrase {
        pattern,
        kind,
        operations,
        from,
    }
}

/// Every text that has a meaning. The first that fits wins, so the narrower stands before the wider.
const PHRASES: &[Phrase] = &[
    phrase(
        ErrorKind::AlreadyMounted,
        &[Mount],
        "already mounted by this id",
        "rclone 1.60",
    ),
    phrase(ErrorKind::NotMounted, &[Unmount], "not mounted", "rclone 1.60, testvol"),
    phrase(
        ErrorKind::AlreadyExists,
        &[Create],
        "volume already exists",
        "rclone 1.60",
    ),
    phrase(
        ErrorKind::AlreadyExists,
        &[Create],
        "volume name already exists",
        "REX-Ray with EBS",
    ),
    phrase(
        ErrorKind::AlreadyExists,
        &[Create],
        "volume with name {} already exists",
        "testvol",
    ),
    phrase(
        ErrorKind::AttachedElsewhere,
        ATTACHING,
        "already attached to a host",
        "REX-Ray",
    ),
    phrase(
        ErrorKind::AttachedElsewhere,
        ATTACHING,
        "already attached to an instance",
        "EC2: VolumeInUse",
    ),
    phrase(
        ErrorKind::AttachedElsewhere,
        ATTACHING,
        "not in the same availability zone",
        "EC2: InvalidVolume.ZoneMismatch",
    ),
    phrase(
        ErrorKind::AttachedElsewhere,
        ATTACHING,
        "attached on another node",
        "Portworx",
    ),
    phrase(
        ErrorKind::Busy,
        CHANGING,
        "device or resource busy",
        "the kernel: EBUSY",
    ),
    phrase(ErrorKind::Busy, CHANGING, "device is busy", "umount(8)"),
    phrase(ErrorKind::Busy, CHANGING, "target is busy", "umount(8)"),
    phrase(ErrorKind::Busy, CHANGING, "volume is in use", "rclone 1.60"),
    phrase(
        ErrorKind::Busy,
        CHANGING,
        "is currently used by a container",
        "sshfs and its relatives",
    ),
    phrase(
        ErrorKind::Busy,
        &[Remove],
        "is currently attached to",
        "EC2: VolumeInUse",
    ),
    phrase(
        ErrorKind::Busy,
        &[Remove],
        "is mounted and cannot be removed",
        "testvol",
    ),
    phrase(ErrorKind::NotFound, LOOKUPS, "volume not found", "rclone 1.60"),
    phrase(
        ErrorKind::NotFound,
        LOOKUPS,
        "volume {} not found",
        "sshfs and its relatives",
    ),
    phrase(ErrorKind::NotFound, LOOKUPS, "no such volume", "buttervolume, moby"),
    phrase(ErrorKind::NotFound, LOOKUPS, "resource not found", "REX-Ray"),
    phrase(ErrorKind::NotFound, LOOKUPS, "no volume with name {} found", "testvol"),
    phrase(
        ErrorKind::NotFound,
        LOOKUPS,
        "no volume found with the name",
        "local-persist",
    ),
    phrase(ErrorKind::NotFound, LOOKUPS, "couldn't find volume", "convoy"),
    phrase(
        ErrorKind::NotFound,
        LOOKUPS,
        "volume {} does not exist",
        "EC2: InvalidVolume.NotFound",
    ),
    // Said whatever the reason was why the volume could not be looked up, so for Get it is no proof.
    phrase(
        ErrorKind::NotFound,
        LOOKUPS_BUT_GET,
        "cannot locate volume {}",
        "Portworx",
    ),
];

/// Words that show that a lookup failed for another reason than the volume: whatever else the text says, it is no proof that
/// the volume does not exist, and a volume must not be created on it.
const NO_PROOF: &[&str] = &[
    "timeout",
    "timed out",
    "connection",
    "refused",
    "unreachable",
    "no such host",
    "host not found",
    "dial ",
    "deadline",
    "denied",
    "unauthorized",
    "forbidden",
    "credential",
    "token",
    "throttl",
    "rate exceeded",
    "unavailable",
    "temporar",
    "endpoint",
    "backend",
    "command not found",
    "executable file not found",
    "plugin not found",
    "driver not found",
];

/// The table, for documentation and for operators.
pub fn phrases() -> &'static [Phrase] {
    PHRASES
}

/// What the driver's words mean for this call.
pub(crate) fn kind_of(words: &str, volume: Option<&str>, operation: Operation) -> ErrorKind {
    let text = normalized(words);
    let name = volume.map(normalized).unwrap_or_default();
    let candidates = PHRASES.iter().filter(|phrase| phrase.operations.contains(&operation));
    for phrase in candidates {
        let pattern = normalized(phrase.pattern).replace("{}", &name);
        let Some(at) = text.find(&pattern) else {
            continue;
        };
        if phrase.kind == ErrorKind::NotFound {
            let around = [&text[..at], &text[at + pattern.len()..]].join(" ");
            let around = without_word(&around, &name);
            if NO_PROOF.iter().any(|word| around.contains(word)) {
                return ErrorKind::Rejected;
            }
        }
        return phrase.kind;
    }
    ErrorKind::Rejected
}

/// Lower case, clean, without quotes.
fn normalized(text: &str) -> String {
    clean(text, usize::MAX / 8)
        .to_lowercase()
        .replace(['\'', '"', '`', '‘', '’', '“', '”'], "")
}

/// The text without the name where it stands as a word of its own.
fn without_word(text: &str, name: &str) -> String {
    if name.is_empty() {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(name) {
        let end = at + name.len();
        let left = rest[..at].chars().next_back().or(out.chars().next_back());
        out.push_str(&rest[..at]);
        if !(is_edge(left) && is_edge(rest[end..].chars().next())) {
            out.push_str(name);
        }
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

/// Whether a name can end here: nothing, or a character that names are not made of.
fn is_edge(c: Option<char>) -> bool {
    c.is_none_or(|c| !c.is_alphanumeric() && !matches!(c, '-' | '_' | '/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_real_drivers_for_a_missing_volume() {
        for words in [
            "volume not found",
            "Get v1: no such volume",
            "resource not found",
            "volume v1 not found",
            "no volume with name v1 found",
            "Couldn't find volume.",
            "No volume found with the name \u{1b}[31mv1\u{1b}[0m",
            "Volume \"v1\" does not exist",
        ] {
            assert_eq!(kind_of(words, Some("v1"), Get), ErrorKind::NotFound, "{words}");
        }
    }

    #[test]
    fn a_failed_lookup_is_no_proof_that_the_volume_is_missing() {
        for words in [
            "backend timeout talking to AWS",
            "volume v1: dial tcp: lookup ec2: no such host: resource not found",
            "volume not found: connection refused by the metadata service",
            "mount.nfs: command not found",
            "404 page not found",
            "volume v2 not found",
            "Failed to locate volume: Cannot locate volume v1",
            "",
        ] {
            assert_eq!(kind_of(words, Some("v1"), Get), ErrorKind::Rejected, "{words}");
        }
    }

    #[test]
    fn a_name_that_looks_like_a_reason_does_not_hide_the_answer() {
        for name in ["connection", "my-backend", "not", "volume", "v", "timeout"] {
            let words = format!("volume '{name}' not found");
            assert_eq!(kind_of(&words, Some(name), Get), ErrorKind::NotFound, "{name}");
        }
    }

    #[test]
    fn the_same_words_mean_different_things_for_different_calls() {
        assert_eq!(
            kind_of("volume already exists", Some("v"), Create),
            ErrorKind::AlreadyExists
        );
        assert_eq!(kind_of("volume already exists", Some("v"), Mount), ErrorKind::Rejected);
        assert_eq!(
            kind_of("volume is not mounted", Some("v"), Unmount),
            ErrorKind::NotMounted
        );
        assert_eq!(kind_of("volume not found", Some("v"), Create), ErrorKind::Rejected);
    }

    #[test]
    fn every_phrase_is_reached_by_its_own_words() {
        for phrase in phrases() {
            let words = phrase.pattern.replace("{}", "db-1");
            for &operation in phrase.operations {
                assert_eq!(
                    kind_of(&words, Some("db-1"), operation),
                    phrase.kind,
                    "{words}, {operation}"
                );
            }
        }
    }
}
