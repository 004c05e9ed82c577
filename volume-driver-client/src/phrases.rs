//! What a driver's words mean. The protocol has no error codes, so the words are data: the built-in lists are in
//! `known_drivers.json`, and operators add to them in their profiles.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::error::ErrorKind;
use crate::operation::Operation;
use crate::words::clean;

/// What a phrase means. Where phrases of several meanings fit, the meaning that stands first here wins: those that allow least
/// come first, and `NotFound`, on which a volume may be created, comes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Meaning {
    /// The driver refuses, and the words mean nothing else. An operator uses this to overrule a
    /// built-in phrase.
    Rejected,
    /// Mount: this mount id, or this host, has the volume mounted already.
    AlreadyMounted,
    /// Unmount: nothing is mounted.
    NotMounted,
    /// Create: a volume of that name exists.
    AlreadyExists,
    /// The volume exists, and another host has it attached.
    AttachedElsewhere,
    /// The volume is in use.
    Busy,
    /// The driver does not know the volume.
    NotFound,
    /// The lookup failed for another reason than a missing volume. Where such words stand next to
    /// those of `NotFound`, they take their effect away: there is no proof that the volume does not
    /// exist.
    NoProof,
}

impl Meaning {
    fn kind(self) -> ErrorKind {
        match self {
            Meaning::AlreadyMounted => ErrorKind::AlreadyMounted,
            Meaning::NotMounted => ErrorKind::NotMounted,
            Meaning::AlreadyExists => ErrorKind::AlreadyExists,
            Meaning::AttachedElsewhere => ErrorKind::AttachedElsewhere,
            Meaning::Busy => ErrorKind::Busy,
            Meaning::NotFound => ErrorKind::NotFound,
            Meaning::Rejected | Meaning::NoProof => ErrorKind::Rejected,
        }
    }

    /// The calls whose refusals can mean this.
    fn usual_calls(self) -> &'static [Operation] {
        use Operation::{Create, Get, Mount, Path, Remove, Unmount};
        match self {
            Meaning::AlreadyMounted => &[Mount],
            Meaning::NotMounted => &[Unmount],
            Meaning::AlreadyExists => &[Create],
            Meaning::AttachedElsewhere => &[Mount, Create, Remove],
            Meaning::Busy => &[Mount, Unmount, Remove],
            Meaning::NotFound | Meaning::NoProof => &[Get, Path, Mount, Unmount, Remove],
            Meaning::Rejected => &[Get, Path, Mount, Unmount, Remove, Create],
        }
    }
}

/// One text of a driver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Phrase {
    /// The words, wherever they stand in the driver's answer. Letter case and quotes do not matter; `{}` stands for the
    /// volume's name.
    pub words: String,
    /// For which calls; none: those whose refusals can have the meaning.
    pub calls: Option<Vec<Operation>>,
    /// Which driver says so.
    pub from: Option<String>,
    /// Who wrote it: 0 the built-in default, 1 the built-in profile of the driver, 2 the operator. The higher one is asked first.
    rank: u8,
}

/// A phrase in JSON: its words alone, or an object.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Words(String),
    Whole(Whole),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    words: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    calls: Option<Vec<Operation>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<String>,
}

impl From<Written> for Phrase {
    fn from(written: Written) -> Phrase {
        let whole = match written {
            Written::Whole(whole) => whole,
            Written::Words(words) => Whole {
                words,
                calls: None,
                from: None,
            },
        };
        Phrase {
            words: whole.words,
            calls: whole.calls,
            from: whole.from,
            rank: 0,
        }
    }
}

impl From<Phrase> for Written {
    fn from(phrase: Phrase) -> Written {
        Written::Whole(Whole {
            words: phrase.words,
            calls: phrase.calls,
            from: phrase.from,
        })
    }
}

/// The phrases of one driver by their meaning, in JSON such as `{"not_found": ["no such disk"]}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Phrases(BTreeMap<Meaning, Vec<Phrase>>);

impl Phrases {
    /// Every phrase with its meaning.
    pub fn iter(&self) -> impl Iterator<Item = (Meaning, &Phrase)> {
        self.0
            .iter()
            .flat_map(|(meaning, phrases)| phrases.iter().map(|phrase| (*meaning, phrase)))
    }

    /// Puts more phrases in front of these.
    ///
    /// # Errors
    /// A phrase that would fit any text.
    pub(crate) fn add(&mut self, more: &Phrases, rank: u8) -> Result<(), String> {
        for (meaning, phrase) in more.iter() {
            let literal = normalized(&phrase.words).replace("{}", "");
            if literal.trim().chars().count() < 3 {
                return Err(format!(
                    "phrases: '{}' would fit almost any text: write at least three letters in addition to '{{}}'",
                    phrase.words
                ));
            }
            let phrase = Phrase { rank, ..phrase.clone() };
            self.0.entry(meaning).or_default().push(phrase);
        }
        Ok(())
    }

    /// What the driver's words mean as the answer to this call.
    pub(crate) fn kind_of(&self, message: &str, echo: &Echo<'_>, operation: Operation) -> ErrorKind {
        let text = normalized(message);
        let echoes = echo.in_text(&text);
        let name = echo.volume.map(normalized).unwrap_or_default();
        let mut ordered: Vec<(Meaning, &Phrase)> = self
            .iter()
            .filter(|(meaning, phrase)| *meaning != Meaning::NoProof && phrase.calls(*meaning).contains(&operation))
            .collect();
        // The sort is stable: within one rank the meanings keep their order.
        ordered.sort_by_key(|(_, phrase)| std::cmp::Reverse(phrase.rank));
        for (meaning, phrase) in ordered {
            let Some(found) = phrase.find(&text, &name, &echoes) else {
                continue;
            };
            if meaning == Meaning::NotFound && !self.is_proof(&text, &found, &echoes, operation) {
                return ErrorKind::Rejected;
            }
            return meaning.kind();
        }
        ErrorKind::Rejected
    }

    /// Whether no other part of the text says that the lookup failed for another reason.
    fn is_proof(&self, text: &str, found: &Range<usize>, echoes: &[Range<usize>], operation: Operation) -> bool {
        let mut around = [&text[..found.start], &text[found.end..]].join(" ");
        // Names that stand as words of their own say nothing about reasons.
        for echo in echoes
            .iter()
            .rev()
            .filter(|echo| echo.end <= found.start || echo.start >= found.end)
        {
            let shift = if echo.start >= found.end { found.len() - 1 } else { 0 };
            around.replace_range(echo.start - shift..echo.end - shift, " ");
        }
        let doubts = self.0.get(&Meaning::NoProof).into_iter().flatten();
        !doubts
            .filter(|doubt| doubt.calls(Meaning::NoProof).contains(&operation))
            .any(|doubt| around.contains(&doubt.words.to_lowercase()))
    }
}

impl Phrase {
    fn calls(&self, meaning: Meaning) -> &[Operation] {
        self.calls.as_deref().unwrap_or_else(|| meaning.usual_calls())
    }

    /// Where the phrase stands in the text, outside of what the driver merely repeats.
    fn find(&self, text: &str, name: &str, echoes: &[Range<usize>]) -> Option<Range<usize>> {
        let written = normalized(&self.words);
        let pattern = written.replace("{}", name);
        let mut from = 0;
        while let Some(at) = text.get(from..)?.find(&pattern) {
            let start = from + at;
            let found = start..start + pattern.len();
            if !literals(&written, name.len()).any(|literal| {
                let literal = start + literal.start..start + literal.end;
                echoes.iter().any(|echo| forges(text, echo, &literal))
            }) {
                return Some(found);
            }
            from = start + text[start..].chars().next().map_or(1, char::len_utf8);
        }
        None
    }
}

/// The parts of a pattern that are its own words, as ranges of the text in which `{}` is a name of that length.
fn literals(written: &str, name: usize) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    written.split("{}").map(move |part| {
        let range = at..at + part.trim_end().len();
        let start = range.start + (part.len() - part.trim_start().len());
        at += part.len() + name;
        start.min(range.end)..range.end
    })
}

/// Whether a repeated name could have made up the words of a phrase: they lie inside the name, or share words with a name of
/// several words. A name of one word, such as `volume`, cannot forge a phrase that is longer than itself.
fn forges(text: &str, echo: &Range<usize>, literal: &Range<usize>) -> bool {
    if literal.is_empty() || literal.start >= echo.end || echo.start >= literal.end {
        return false;
    }
    let inside = echo.start <= literal.start && literal.end <= echo.end;
    inside || text[echo.clone()].contains(char::is_whitespace)
}

/// What a driver may repeat of a request: text that others chose, and that says nothing about the reason.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Echo<'a> {
    pub(crate) volume: Option<&'a str>,
    pub(crate) mount_id: Option<&'a str>,
}

impl Echo<'_> {
    /// Where the text repeats the volume's name, alone or in a path, or the mount id.
    fn in_text(&self, text: &str) -> Vec<Range<usize>> {
        let mut found: Vec<Range<usize>> = Vec::new();
        for echoed in [self.volume, self.mount_id].into_iter().flatten() {
            let echoed = normalized(echoed);
            // Names are also repeated encoded, as in a URL.
            for spelling in [echoed.clone(), echoed.replace(' ', "+"), echoed.replace(' ', "%20")] {
                found.extend(occurrences(text, &spelling));
            }
        }
        found.sort_by_key(|range| (range.start, range.end));
        found.dedup_by(|next, kept| {
            let overlaps = next.start < kept.end;
            kept.end = if overlaps { kept.end.max(next.end) } else { kept.end };
            overlaps
        });
        found
    }
}

/// Every place of a name in a text. One of a single word counts only where it stands as a word of its own.
fn occurrences<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = Range<usize>> + 'a {
    let several_words = name.contains(char::is_whitespace);
    let matches = if name.is_empty() { "" } else { text }.match_indices(name);
    matches.map(|(at, name)| at..at + name.len()).filter(move |range| {
        let before = text[..range.start].chars().next_back();
        let after = text[range.end..].chars().next();
        several_words || is_edge(before) && is_edge(after)
    })
}

/// Lower case, clean, without quotes.
fn normalized(text: &str) -> String {
    clean(text, usize::MAX / 8)
        .to_lowercase()
        .replace(['\'', '"', '`', '‘', '’', '“', '”'], "")
}

/// Whether a name can end here: nothing, or a character that names are not made of.
fn is_edge(c: Option<char>) -> bool {
    c.is_none_or(|c| !c.is_alphanumeric() && !matches!(c, '-' | '_'))
}

#[cfg(test)]
mod tests {
    use Operation::{Create, Get, Mount, Remove, Unmount};

    use super::*;
    use crate::profile::Profiles;

    fn kind(words: &str, name: &str, operation: Operation) -> ErrorKind {
        let echo = Echo {
            volume: Some(name),
            mount_id: None,
        };
        Profiles::builtin()
            .for_driver("unknown")
            .phrases
            .kind_of(words, &echo, operation)
    }

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
            "volume v1 was not found",
            "volume named 'v1' not found",
            "Instance 42 Volume with name v1 not found",
            "unknown volume: v1",
            "volume-rbd Name=v1 Request=Get Message=rbd image not found",
            "Image v1 does not exist",
            "Could not find volume v1.",
            "Volume 'v1' is not managed by this plugin",
            "Volume Not Found",
            "object was not found on the system",
        ] {
            assert_eq!(kind(words, "v1", Get), ErrorKind::NotFound, "{words}");
        }
    }

    #[test]
    fn texts_of_real_drivers_for_a_volume_that_another_host_has() {
        for words in [
            "failed to attach volume: failed to attach volume: volume is currently attached to linode 42",
            "volume already attached to a host",
            "volume already attached to another host",
            "volume already attached to instance",
            "volume already attached",
            "VolumeInUse: vol-1 is already attached to an instance",
            "Volume is attached on another node",
            "Non-shared volume is already attached on another node.",
            "Unable to get Exclusive Lock",
            "unable to get exclusive open on /dev/drbd1000",
        ] {
            assert_eq!(kind(words, "v1", Mount), ErrorKind::AttachedElsewhere, "{words}");
        }
    }

    #[test]
    fn texts_of_real_drivers_for_a_volume_in_use() {
        for (words, operation) in [
            ("umount: /mnt/v1: device is busy", Unmount),
            ("umount: /mnt/v1: target is busy.", Unmount),
            ("device or resource busy", Unmount),
            ("Volume is busy", Unmount),
            ("volume is in use", Remove),
            ("Volume is currently in use", Remove),
            ("volume v1 is currently used by a container", Remove),
            ("Failed to remove volume v1, in use by VM = vm-7.", Remove),
            ("VolumeInUse: Volume vol-1 is currently attached to i-1", Remove),
        ] {
            assert_eq!(kind(words, "v1", operation), ErrorKind::Busy, "{words}");
        }
    }

    #[test]
    fn texts_of_real_drivers_for_a_volume_that_is_mounted_or_is_not() {
        for words in [
            "volume is not mounted",
            "Volume is not mounted",
            "Mountpath is not mounted",
            "umount: /mnt/v1: not mounted.",
            "umount: /mnt/v1: no mount point specified.",
            "No Mount Point",
            "volume not mounted",
            "volume (v1) is not mounted",
            "Device v1 not mounted",
            "volume exists, but was not mounted",
            "already unmounted",
        ] {
            assert_eq!(kind(words, "v1", Unmount), ErrorKind::NotMounted, "{words}");
        }
        for words in [
            "volume is already mounted by this id",
            "device is already mounted",
            "Volume v1 was already mounted at /a, but asked to mount at /b",
            "mount: /mnt/v1: /dev/dm-5 already mounted on /mnt/v1.",
            "Volume \"v1\" already mounted at \"/var/lib/osd/mounts/v1\"",
            "volume already mounted at \"/opt/nimble/v1\"",
            "/dev/mapper/mpatha is already mounted at /opt/nimble/v1. Skipping mount for /dev/mapper/mpathb",
            "bucket is already mounted",
        ] {
            assert_eq!(kind(words, "v1", Mount), ErrorKind::AlreadyMounted, "{words}");
        }
        // Trident and the Cinder driver: the check itself failed, and nothing is known.
        for words in [
            "error checking if /var/lib/trident/v1 is already mounted: exit status 1",
            "checking if volume v1 is already mounted: opening /proc/mounts: too many open files",
        ] {
            assert_eq!(kind(words, "v1", Mount), ErrorKind::Rejected, "{words}");
        }
        assert_eq!(
            kind(
                "mount: /mnt/v1: /dev/sdb already mounted or mount point busy.",
                "v1",
                Mount
            ),
            ErrorKind::Busy
        );
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
            "backend ontap was not found",
            "",
        ] {
            assert_eq!(kind(words, "v1", Get), ErrorKind::Rejected, "{words}");
        }
    }

    #[test]
    fn a_name_that_looks_like_a_reason_does_not_hide_the_answer() {
        for name in ["connection", "my-backend", "not", "volume", "v", "timeout"] {
            let words = format!("volume '{name}' not found");
            assert_eq!(kind(&words, name, Get), ErrorKind::NotFound, "{name}");
        }
    }

    #[test]
    fn a_name_that_looks_like_an_answer_forges_none() {
        for (name, operation) in [
            ("x not mounted", Unmount),
            ("not mounted", Unmount),
            ("no such volume", Get),
            ("No Such Volume", Get),
            ("resource not found", Get),
            ("it's: no such  volume", Get),
            ("volume already exists", Create),
            ("already attached to a host", Mount),
            ("device is busy", Remove),
        ] {
            for words in [
                format!("{name}: permission denied"),
                format!("volume '{name}': the storage is on fire"),
                format!("cannot work on /mnt/{name}/data: input/output error"),
                format!("POST /volumes/{}: 500", name.replace(' ', "%20")),
                name.to_owned(),
            ] {
                assert_eq!(kind(&words, name, operation), ErrorKind::Rejected, "{words}");
            }
        }
        // The end of the name and the words behind it make no phrase together.
        assert_eq!(
            kind("umount data not mounted by us", "data not", Unmount),
            ErrorKind::Rejected
        );
        // The answer is believed where it stands for itself.
        assert_eq!(
            kind("volume 'no such volume' not found", "no such volume", Get),
            ErrorKind::NotFound
        );
        assert_eq!(
            kind("x not mounted: volume is not mounted", "x not mounted", Unmount),
            ErrorKind::NotMounted
        );
    }

    #[test]
    fn the_same_words_mean_different_things_for_different_calls() {
        assert_eq!(kind("volume already exists", "v", Create), ErrorKind::AlreadyExists);
        assert_eq!(kind("volume already exists", "v", Mount), ErrorKind::Rejected);
        assert_eq!(kind("volume is not mounted", "v", Unmount), ErrorKind::NotMounted);
        assert_eq!(kind("volume not found", "v", Create), ErrorKind::Rejected);
    }

    #[test]
    fn every_phrase_of_every_profile_is_reached_by_its_own_words() {
        let profiles = Profiles::builtin();
        let profiles = profiles.known().map(|(_, profile)| profile);
        for profile in profiles.chain([Profiles::builtin().for_driver("unknown")]) {
            for (meaning, phrase) in profile.phrases.iter().filter(|(it, _)| *it != Meaning::NoProof) {
                let words = phrase.words.replace("{}", "db-1");
                let echo = Echo {
                    volume: Some("db-1"),
                    mount_id: None,
                };
                for &operation in phrase.calls(meaning) {
                    let kind = profile.phrases.kind_of(&words, &echo, operation);
                    assert_eq!(kind, meaning.kind(), "{words}, {operation}");
                }
            }
        }
    }

    #[test]
    fn an_operator_adds_phrases_and_takes_the_meaning_from_others() {
        let profiles = Profiles::from_json(
            r#"{"nas": {"phrases": {
                "not_found": ["there is no share {}"],
                "busy": [{"words": "come back later", "calls": ["mount"], "from": "nas 7"}],
                "rejected": ["resource not found"]
            }}}"#,
        )
        .unwrap();
        let phrases = profiles.for_driver("nas").phrases;
        let kind = |words, operation| {
            let echo = Echo {
                volume: Some("v1"),
                mount_id: None,
            };
            phrases.kind_of(words, &echo, operation)
        };
        assert_eq!(kind("There is no share 'v1'", Get), ErrorKind::NotFound);
        assert_eq!(kind("there is no share v2", Get), ErrorKind::Rejected);
        assert_eq!(kind("come back later", Mount), ErrorKind::Busy);
        assert_eq!(kind("come back later", Unmount), ErrorKind::Rejected);
        assert_eq!(kind("resource not found", Get), ErrorKind::Rejected);
        assert_eq!(
            kind("no such volume", Get),
            ErrorKind::NotFound,
            "the built-in phrases stay"
        );
        let other = profiles.for_driver("other").phrases;
        assert_eq!(
            other.kind_of("there is no share v1", &Echo::default(), Get),
            ErrorKind::Rejected
        );
    }

    #[test]
    fn a_phrase_that_would_fit_any_text_is_refused() {
        for words in ["", "{}", " {} ", "no"] {
            let json = format!(r#"{{"nas": {{"phrases": {{"not_found": ["{words}"]}}}}}}"#);
            let message = Profiles::from_json(&json).unwrap_err().to_string();
            assert!(message.contains("'nas'") && message.contains("any text"), "{message}");
        }
        let unknown = Profiles::from_json(r#"{"nas": {"phrases": {"gone": ["away"]}}}"#).unwrap_err();
        assert!(unknown.to_string().contains("gone"), "{unknown}");
    }
}
