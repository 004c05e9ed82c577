//! What was observed, for people in lines and for programs as an object.

use std::path::PathBuf;
use std::time::Instant;

use serde_json::{Map, Value, json};
use volume_driver_client::{Error, ErrorKind, Operation, Scope};

use super::place::Place;

/// The answer to one call.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    /// None when it was done.
    pub(super) refusal: Option<(ErrorKind, String)>,
    pub(super) seconds: f64,
}

impl Answer {
    pub(super) fn of<T>(result: &Result<T, Error>, start: Instant) -> Answer {
        Answer {
            refusal: result
                .as_ref()
                .err()
                .map(|error| (error.kind(), error.words().to_owned())),
            seconds: start.elapsed().as_secs_f64(),
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.refusal.is_none()
    }

    pub(super) fn kind(&self) -> Option<ErrorKind> {
        self.refusal.as_ref().map(|(kind, _)| *kind)
    }

    /// Its words, when it is a refusal whose words no table knows.
    pub(super) fn unknown_words(&self) -> Option<&str> {
        match &self.refusal {
            Some((ErrorKind::Rejected, words)) => Some(words),
            _ => None,
        }
    }

    fn text(&self) -> String {
        match &self.refusal {
            None => "success".to_owned(),
            Some((kind, words)) => format!("refused as {}: {words}", kind.name()),
        }
    }

    fn json(&self) -> Value {
        let milliseconds = (self.seconds * 1000.0).round();
        match &self.refusal {
            None => json!({ "done": true, "milliseconds": milliseconds }),
            Some((kind, words)) => {
                json!({ "done": false, "kind": kind.name(), "words": words, "milliseconds": milliseconds })
            }
        }
    }
}

/// What calls on a mounted volume do to its mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counting {
    /// Every Mount needs its Unmount.
    Counted,
    /// The first Unmount ends all.
    Once,
    /// The mount table shows nothing of this driver, so it cannot be told.
    Unseen,
}

impl Counting {
    fn text(self) -> &'static str {
        match self {
            Counting::Counted => "each Mount needs an Unmount of its own",
            Counting::Once => "one Unmount ends all",
            Counting::Unseen => "whether it counts cannot be told without a mount of its own",
        }
    }
}

/// A Mount while the volume is mounted.
#[derive(Debug, Clone)]
pub(super) struct Again {
    pub(super) answer: Answer,
    /// When it was done.
    pub(super) counting: Option<Counting>,
    /// Whether the second Mount returned another path than the first.
    pub(super) other_path: bool,
}

/// An Unmount that is not needed.
#[derive(Debug, Clone)]
pub(super) struct Unneeded {
    pub(super) answer: Answer,
    /// Whether the Mount after it mounted as the first one did.
    pub(super) next_mount_works: bool,
}

/// An Unmount for an id that never mounted the volume, while another id has it.
#[derive(Debug, Clone)]
pub(super) struct Foreign {
    pub(super) answer: Answer,
    /// Whether the volume was mounted afterwards; none for a driver without mounts.
    pub(super) stays: Option<bool>,
}

/// A Remove of a mounted volume.
#[derive(Debug, Clone)]
pub(super) struct RemoveInUse {
    pub(super) answer: Answer,
}

/// What a restart of the driver does to a mounted volume.
#[derive(Debug, Clone)]
pub(super) struct Restarted {
    pub(super) seconds: f64,
    pub(super) stays_mounted: Option<bool>,
    pub(super) readable: bool,
    pub(super) get: Answer,
    pub(super) mount: Answer,
    /// Unmounts until the volume was gone.
    pub(super) unmounts: usize,
    pub(super) gone: bool,
}

/// A name with one of the characters that drivers mishandle.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) character: char,
    /// The first call that did not work, if any.
    pub(super) fails_at: Option<(Operation, String)>,
}

/// Several calls at once.
#[derive(Debug, Clone)]
pub(super) struct Concurrent {
    pub(super) calls: usize,
    pub(super) failed: Vec<String>,
}

/// Everything that was observed. What was not tried is none.
#[derive(Debug, Clone, Default)]
pub(super) struct Observed {
    pub(super) scope: Option<Scope>,
    pub(super) another_namespace: Option<i32>,
    pub(super) unknown: Vec<(Operation, Answer)>,
    pub(super) create: Option<Answer>,
    pub(super) create_again: Option<Answer>,
    /// How many volumes of the name List shows after the second Create.
    pub(super) copies: Option<usize>,
    pub(super) ignores_case: Option<bool>,
    pub(super) path_before: Option<(Answer, Option<PathBuf>)>,
    pub(super) mount: Option<Answer>,
    pub(super) place: Option<Place>,
    pub(super) unmount: Option<Answer>,
    pub(super) keeps_data_mounted_again: Option<bool>,
    pub(super) unneeded: Option<Unneeded>,
    pub(super) same_id: Option<Again>,
    pub(super) second_id: Option<Again>,
    pub(super) foreign: Option<Foreign>,
    pub(super) remove_in_use: Option<RemoveInUse>,
    pub(super) restarted: Option<Restarted>,
    pub(super) names: Vec<Named>,
    /// Characters that the profile in force refuses in names.
    pub(super) names_not_sent: String,
    pub(super) concurrent: Option<Concurrent>,
    pub(super) remove: Option<Answer>,
    pub(super) keeps_data_removed: Option<bool>,
    /// What no profile makes good.
    pub(super) problems: Vec<String>,
}

impl Observed {
    /// A line for each situation: the question and the answer.
    pub(super) fn lines(&self) -> Vec<(String, String)> {
        let mut lines = Vec::new();
        let mut line = |question: &str, answer: String| lines.push((question.to_owned(), answer));
        if let Some(scope) = self.scope {
            line("scope of its volumes", super::super::ls::scope_name(scope).to_owned());
        }
        if let Some(pid) = self.another_namespace {
            line(
                "its mounts",
                format!("process {pid} serves it in another mount namespace: its mounts may not reach this host"),
            );
        }
        for (operation, answer) in &self.unknown {
            line(&format!("{operation} of a volume that does not exist"), answer.text());
        }
        let mut answered = |question: &str, answer: &Option<Answer>| {
            if let Some(answer) = answer {
                lines.push((
                    question.to_owned(),
                    format!("{} ({:.2} s)", answer.text(), answer.seconds),
                ));
            }
        };
        answered("Create", &self.create);
        answered("Create of what exists", &self.create_again);
        answered("Mount", &self.mount);
        answered("Unmount", &self.unmount);
        let mut line = |question: &str, answer: String| lines.push((question.to_owned(), answer));
        if let Some(copies @ 2..) = self.copies {
            line("volumes of one name after a second Create", copies.to_string());
        }
        if let Some(ignores) = self.ignores_case {
            let words = if ignores { "the same volume" } else { "another volume" };
            line("a name in other letter case", words.to_owned());
        }
        if let Some((answer, path)) = &self.path_before {
            let path = path
                .as_ref()
                .map_or("none".to_owned(), |path| path.display().to_string());
            line("Path before the first Mount", format!("{}: {path}", answer.text()));
        }
        if let Some(place) = &self.place {
            line("the mountpoint", place_text(place));
        }
        if let Some(unneeded) = &self.unneeded {
            let next = if unneeded.next_mount_works {
                "works"
            } else {
                "reports success and mounts nothing"
            };
            line(
                "Unmount of what is not mounted",
                format!("{}; the next Mount {next}", unneeded.answer.text()),
            );
        }
        for (question, again) in [
            ("Mount under the same id again", &self.same_id),
            ("Mount under a second id", &self.second_id),
        ] {
            if let Some(again) = again {
                line(question, again_text(again));
            }
        }
        if let Some(foreign) = &self.foreign {
            let stays = match foreign.stays {
                Some(true) => "; the volume stays mounted",
                Some(false) => "; the volume is unmounted",
                None => "",
            };
            line(
                "Unmount under an id that never mounted it",
                format!("{}{stays}", foreign.answer.text()),
            );
        }
        if let Some(removed) = &self.remove_in_use {
            line("Remove of a mounted volume", removed.answer.text());
        }
        if let Some(restarted) = &self.restarted {
            line("after its own restart", restarted_text(restarted));
        }
        for named in &self.names {
            let words = match &named.fails_at {
                None => "works".to_owned(),
                Some((operation, words)) => format!("{operation} fails: {words}"),
            };
            line(&format!("a name with '{}'", named.character), words);
        }
        if !self.names_not_sent.is_empty() {
            line(
                "not tried, as the profile in force refuses them in names",
                format!("'{}'", self.names_not_sent),
            );
        }
        if let Some(concurrent) = &self.concurrent {
            let words = match concurrent.failed.as_slice() {
                [] => "all were answered".to_owned(),
                [first, ..] => format!("{} failed, the first with: {first}", concurrent.failed.len()),
            };
            line(&format!("{} calls at once", concurrent.calls), words);
        }
        if let Some(answer) = &self.remove {
            line("Remove", answer.text());
        }
        if let Some(keeps) = self.keeps_data_removed {
            let words = if keeps {
                "is there again when it is created again"
            } else {
                "is gone"
            };
            line("the data of a removed volume", words.to_owned());
        }
        lines
    }

    /// The same for programs; what was not tried has no key.
    pub(super) fn json(&self) -> Value {
        let mut all = Map::new();
        let mut put = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                all.insert(key.to_owned(), value);
            }
        };
        let answer = |answer: &Option<Answer>| answer.as_ref().map(Answer::json);
        put(
            "scope",
            self.scope.map(|scope| super::super::ls::scope_name(scope).into()),
        );
        put(
            "process_in_another_mount_namespace",
            self.another_namespace.map(Value::from),
        );
        let unknown = self
            .unknown
            .iter()
            .map(|(operation, answer)| (operation.to_string().to_lowercase(), answer.json()));
        put("unknown_volume", Some(Value::Object(unknown.collect())));
        put("create", answer(&self.create));
        put("create_of_what_exists", answer(&self.create_again));
        put("volumes_of_one_name", self.copies.map(Value::from));
        put("ignores_case", self.ignores_case.map(Value::from));
        put("mount", answer(&self.mount));
        put("mountpoint", self.place.as_ref().map(place_json));
        put("unmount", answer(&self.unmount));
        put(
            "data_is_there_when_mounted_again",
            self.keeps_data_mounted_again.map(Value::from),
        );
        put(
            "unmount_of_what_is_not_mounted",
            self.unneeded
                .as_ref()
                .map(|it| json!({ "answer": it.answer.json(), "next_mount_works": it.next_mount_works })),
        );
        put("mount_under_the_same_id", self.same_id.as_ref().map(again_json));
        put("mount_under_a_second_id", self.second_id.as_ref().map(again_json));
        put(
            "unmount_under_a_foreign_id",
            self.foreign
                .as_ref()
                .map(|it| json!({ "answer": it.answer.json(), "stays_mounted": it.stays })),
        );
        put(
            "remove_of_what_is_mounted",
            self.remove_in_use.as_ref().map(|it| it.answer.json()),
        );
        put(
            "restart",
            self.restarted.as_ref().map(|it| {
                json!({
                    "seconds": it.seconds,
                    "stays_mounted": it.stays_mounted,
                    "readable": it.readable,
                    "get": it.get.json(),
                    "mount": it.mount.json(),
                    "unmounts": it.unmounts,
                    "gone": it.gone,
                })
            }),
        );
        let names = self.names.iter().map(|named| {
            json!({
                "character": named.character.to_string(),
                "fails_at": named.fails_at.as_ref().map(|(operation, _)| operation.to_string().to_lowercase()),
                "words": named.fails_at.as_ref().map(|(_, words)| words),
            })
        });
        put(
            "names_not_sent",
            (!self.names_not_sent.is_empty()).then(|| self.names_not_sent.clone().into()),
        );
        put("names", (!self.names.is_empty()).then(|| names.collect()));
        put(
            "calls_at_once",
            self.concurrent
                .as_ref()
                .map(|it| json!({ "calls": it.calls, "failed": it.failed })),
        );
        put("remove", answer(&self.remove));
        put("data_survives_remove", self.keeps_data_removed.map(Value::from));
        Value::Object(all)
    }
}

fn place_text(place: &Place) -> String {
    match place {
        Place::Mount => "is a mount of its own".to_owned(),
        Place::FolderInMount(folder) => format!("is the folder '{}' inside of its mount", folder.display()),
        Place::Directory => "is a plain folder: no mount came with the call".to_owned(),
        Place::Nothing => "does not exist on this host".to_owned(),
    }
}

fn place_json(place: &Place) -> Value {
    match place {
        Place::Mount => json!({ "is": "mount" }),
        Place::FolderInMount(folder) => json!({ "is": "folder_in_mount", "folder": folder.display().to_string() }),
        Place::Directory => json!({ "is": "directory" }),
        Place::Nothing => json!({ "is": "nothing" }),
    }
}

fn again_text(again: &Again) -> String {
    let mut text = again.answer.text();
    if let Some(counting) = again.counting {
        text.push_str(&format!("; {}", counting.text()));
    }
    if again.other_path {
        text.push_str("; at another path");
    }
    text
}

fn again_json(again: &Again) -> Value {
    json!({
        "answer": again.answer.json(),
        "unmounts_needed": match again.counting {
            Some(Counting::Counted) => json!(2),
            Some(Counting::Once) => json!(1),
            Some(Counting::Unseen) | None => Value::Null,
        },
        "other_path": again.other_path,
    })
}

fn restarted_text(restarted: &Restarted) -> String {
    let mount = match restarted.stays_mounted {
        Some(true) if restarted.readable => "the mount stays and can be read",
        Some(true) => "the mount stays and is dead",
        Some(false) => "the mount is gone",
        None if restarted.readable => "the folder stays",
        None => "the folder is gone",
    };
    let gone = match restarted.gone {
        true => format!("unmounted after {} Unmounts", restarted.unmounts),
        false => format!("still mounted after {} Unmounts", restarted.unmounts),
    };
    format!(
        "{mount}; Get: {}; Mount under the same id: {}; {gone}",
        restarted.get.text(),
        restarted.mount.text()
    )
}
