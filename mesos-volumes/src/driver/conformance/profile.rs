//! The profile that follows from what was observed.

use serde_json::{Map, Value, json};
use volume_driver_client::{ErrorKind, Operation, Profile};

use super::observed::{Answer, Counting, Observed};
use super::place::Place;

/// The fields of a profile that were observed, as the settings of drivers take them. What was not
/// tried has no field.
pub(super) fn suggested(seen: &Observed, known: &Profile) -> Value {
    let mut fields = Map::new();
    match &seen.place {
        Some(Place::Mount) => {
            fields.insert("directory_backed".to_owned(), false.into());
        }
        Some(Place::FolderInMount(folder)) => {
            fields.insert("directory_backed".to_owned(), false.into());
            fields.insert("folder_in_mount".to_owned(), folder.display().to_string().into());
        }
        // In another namespace the mounts are merely not seen.
        Some(Place::Directory) if seen.another_namespace.is_none() => {
            fields.insert("directory_backed".to_owned(), true.into());
        }
        Some(Place::Directory | Place::Nothing) | None => {}
    }
    if let Some(unneeded) = &seen.unneeded {
        let breaks = !unneeded.next_mount_works;
        let word = if breaks { "poisons" } else { "harmless" };
        fields.insert("unmount_when_not_mounted".to_owned(), word.into());
        if breaks {
            fields.insert("unmount_after_failed_mount_is_safe".to_owned(), false.into());
        }
    }
    if let Some(ignores) = seen.ignores_case {
        fields.insert("names_ignore_case".to_owned(), ignores.into());
    }
    if !seen.names.is_empty() {
        let unsupported: String = seen
            .names
            .iter()
            .filter(|named| {
                named
                    .fails_at
                    .as_ref()
                    .is_some_and(|(operation, _)| *operation != Operation::Create)
            })
            .map(|named| named.character)
            .collect();
        fields.insert("unsupported_in_names".to_owned(), unsupported.into());
    }
    if seen
        .concurrent
        .as_ref()
        .is_some_and(|concurrent| !concurrent.failed.is_empty())
    {
        fields.insert("max_in_flight".to_owned(), json!(1));
    }
    let phrases = phrases(seen);
    if !phrases.is_empty() {
        fields.insert("phrases".to_owned(), Value::Object(phrases));
    }
    let notes = notes(seen);
    // What is known of the driver otherwise stays known.
    let all: Vec<&String> = known
        .notes
        .iter()
        .chain(notes.iter().filter(|note| !known.notes.contains(note)))
        .collect();
    if !notes.is_empty() && known.notes.is_empty() {
        fields.insert("notes".to_owned(), json!(all));
    }
    Value::Object(fields)
}

/// The fields in which the profile in force says otherwise. Notes are no behaviour.
pub(super) fn differing(suggested: &Value, known: &Profile) -> Vec<String> {
    let known = serde_json::to_value(known).unwrap_or_default();
    let fields = suggested.as_object().into_iter().flatten();
    fields
        .filter(|(field, value)| match field.as_str() {
            "notes" => false,
            // They are there because no table knew the words.
            "phrases" => true,
            // More characters than were found are a caution, fewer are a fault.
            "unsupported_in_names" => {
                let known = known["unsupported_in_names"].as_str().unwrap_or_default();
                !value
                    .as_str()
                    .unwrap_or_default()
                    .chars()
                    .all(|character| known.contains(character))
            }
            _ => known[field.as_str()] != **value,
        })
        .map(|(field, _)| field.clone())
        .collect()
}

/// Words that no table knows, under the meaning that the situation gives them.
fn phrases(seen: &Observed) -> Map<String, Value> {
    let mut phrases = Map::new();
    let mut add = |meaning: &str, words: Option<&str>, call: &str| {
        let Some(words) = words.and_then(telling) else {
            return;
        };
        let written = json!({ "words": words, "calls": [call] });
        let list = phrases.entry(meaning).or_insert_with(|| json!([]));
        if let Some(list) = list.as_array_mut()
            && !list.contains(&written)
        {
            list.push(written);
        }
    };
    for (operation, answer) in &seen.unknown {
        // Words that do not name the volume may be about anything.
        let named = answer.unknown_words().filter(|words| words.contains("mev-test-"));
        add("not_found", named, &operation.to_string().to_lowercase());
    }
    add(
        "already_exists",
        seen.create_again.as_ref().and_then(Answer::unknown_words),
        "create",
    );
    if let Some(unneeded) = &seen.unneeded {
        add("not_mounted", unneeded.answer.unknown_words(), "unmount");
    }
    if let Some(foreign) = &seen.foreign {
        add("not_mounted", foreign.answer.unknown_words(), "unmount");
    }
    if let Some(again) = &seen.same_id {
        add("already_mounted", again.answer.unknown_words(), "mount");
    }
    if let Some(removed) = &seen.remove_in_use {
        add("busy", removed.answer.unknown_words(), "remove");
    }
    phrases
}

/// The part of the words that can stand in a phrase: nothing of a server's own failure, and no path
/// of this host.
fn telling(words: &str) -> Option<String> {
    if words.to_lowercase().contains("internal server error") {
        return None;
    }
    let general = generalized(words);
    let end = ["'/", "\"/", " /"].iter().filter_map(|path| general.find(path)).min();
    let phrase = general[..end.unwrap_or(general.len())].trim().to_owned();
    (phrase.replace("{}", "").chars().filter(|c| c.is_alphabetic()).count() >= 3).then_some(phrase)
}

/// The words with `{}` for the test volume's name, without the ids of the test.
pub(super) fn generalized(words: &str) -> String {
    let marks = |c: char| !(c.is_ascii_alphanumeric() || c == '-');
    let mut text = String::new();
    for part in words.split_inclusive(marks) {
        let word = part.trim_end_matches(marks);
        let rest = &part[word.len()..];
        let is_id = word.len() == 64 && word.chars().all(|c| c.is_ascii_hexdigit());
        text.push_str(if word.starts_with("mev-test-") { "{}" } else { word });
        if is_id {
            // The words before it have to do: an id is another one each time.
            text.truncate(text.len() - word.len());
            return text.trim().to_owned();
        }
        text.push_str(rest);
    }
    text
}

/// What an operator should know and no field says.
fn notes(seen: &Observed) -> Vec<String> {
    let mut notes = seen.problems.clone();
    if let Some(again) = &seen.same_id {
        notes.extend(match (again.answer.kind(), again.counting) {
            (Some(ErrorKind::AlreadyMounted), _) => Some("A second Mount under the same id is refused.".to_owned()),
            (None, Some(Counting::Counted)) => Some("Mounts under the same id are counted.".to_owned()),
            _ => None,
        });
    }
    if let Some(again) = seen.second_id.as_ref().filter(|again| again.other_path) {
        let _ = again;
        notes.push("Each mount id gets a path of its own.".to_owned());
    }
    if seen
        .foreign
        .as_ref()
        .is_some_and(|foreign| foreign.stays == Some(false))
    {
        notes.push("Ids of mounts are ignored: an Unmount under any id unmounts.".to_owned());
    }
    if seen.keeps_data_removed == Some(true) {
        notes.push("Remove keeps the data: a volume that is created again with the same options has it.".to_owned());
    }
    if let Some(restarted) = &seen.restarted {
        if restarted.get.kind() == Some(ErrorKind::NotFound) {
            notes.push("After its restart the driver has forgotten the volume.".to_owned());
        }
        if restarted.stays_mounted == Some(false) {
            notes.push("Its restart unmounts volumes under their users.".to_owned());
        }
        if restarted.stays_mounted == Some(true) && !restarted.readable {
            notes.push("Its restart leaves dead mounts behind.".to_owned());
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn refused(kind: ErrorKind, words: &str) -> Answer {
        let mut answer = Answer::of(&Ok::<(), volume_driver_client::Error>(()), Instant::now());
        answer.refusal = Some((kind, words.to_owned()));
        answer
    }

    #[test]
    fn unknown_words_become_phrases_without_the_name_of_the_test_volume() {
        let id = "ab".repeat(32);
        for (words, phrase) in [
            ("there is no disk mev-test-0123456789ab-unknown", "there is no disk {}"),
            ("disk 'mev-test-0123456789ab' is gone", "disk '{}' is gone"),
            (&format!("Volume ID {id} not found."), "Volume ID"),
        ] {
            assert_eq!(generalized(words), phrase);
        }
    }

    #[test]
    fn a_path_of_this_host_and_a_servers_own_failure_are_no_phrase() {
        let words = "[Errno 2] No such file or directory: '/srv/mev-test-01' -> '/srv/_mev-test-01_179'";
        assert_eq!(telling(words).as_deref(), Some("[Errno 2] No such file or directory:"));
        assert_eq!(telling("500 Internal Server Error: the server is overloaded"), None);
    }

    #[test]
    fn the_suggested_profile_is_one_that_the_settings_accept() {
        let seen = Observed {
            place: Some(Place::FolderInMount("data".into())),
            ignores_case: Some(true),
            unknown: vec![(
                Operation::Get,
                refused(ErrorKind::Rejected, "there is no disk mev-test-00"),
            )],
            ..Observed::default()
        };
        let known = volume_driver_client::Profiles::builtin().for_driver("nobody");
        let profile = suggested(&seen, &known);
        let text = json!({ "nobody": profile }).to_string();
        let read = volume_driver_client::Profiles::from_json(&text)
            .unwrap()
            .for_driver("nobody");
        assert_eq!(read.folder_in_mount.as_deref(), Some("data"));
        assert!(read.names_ignore_case);
        assert_eq!(
            differing(&profile, &known),
            ["folder_in_mount", "names_ignore_case", "phrases"]
        );
    }

    #[test]
    fn a_profile_in_force_that_says_the_same_differs_in_nothing() {
        let seen = Observed {
            place: Some(Place::Mount),
            ignores_case: Some(false),
            ..Observed::default()
        };
        let known = volume_driver_client::Profiles::builtin().for_driver("nobody");
        assert_eq!(differing(&suggested(&seen, &known), &known), Vec::<String>::new());
    }
}
