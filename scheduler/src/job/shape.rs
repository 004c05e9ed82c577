//! The YAML as it is written, with the place of everything that can be wrong on its own.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use super::error::{JobFileError, Problem};
use super::fields;

/// The version of the format that this program reads.
const VERSION: u64 = 1;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JobShape {
    #[serde(rename = "version")]
    _version: u64,
    pub(super) name: Spanned<String>,
    #[serde(default)]
    pub(super) defaults: DefaultsShape,
    pub(super) schedule: Option<Spanned<String>>,
    #[serde(rename = "start-within")]
    pub(super) start_within: Option<Spanned<String>>,
    pub(super) overlap: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) notify: NotifyShape,
    pub(super) tasks: Entries<TaskShape>,
}

#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct DefaultsShape {
    pub(super) user: Option<String>,
    pub(super) cpus: Option<Spanned<f64>>,
    pub(super) mem: Option<Spanned<f64>>,
    pub(super) driver: Option<String>,
    pub(super) environment: Entries<Text>,
    pub(super) retries: Option<Spanned<u32>>,
    pub(super) retry_pause: Option<Spanned<String>>,
    pub(super) timeout: Option<Spanned<String>>,
    pub(super) priority: Option<i32>,
}

/// The notifications about the end of the job.
#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct NotifyShape {
    pub(super) success: TargetsShape,
    pub(super) failure: TargetsShape,
}

/// One target, or a list of them.
#[derive(Default)]
pub(super) struct TargetsShape(pub(super) Vec<Spanned<TargetShape>>);

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TargetShape {
    pub(super) command: Option<CommandShape>,
    pub(super) webhook: Option<String>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct TaskShape {
    pub(super) command: Spanned<CommandShape>,
    pub(super) user: Option<Spanned<String>>,
    pub(super) cpus: Option<Spanned<f64>>,
    pub(super) mem: Option<Spanned<f64>>,
    #[serde(default)]
    pub(super) environment: Entries<Text>,
    #[serde(default)]
    pub(super) after: OneOrMore,
    #[serde(default)]
    pub(super) volumes: Entries<VolumeShape>,
    #[serde(default)]
    pub(super) agent: AgentShape,
    pub(super) instances: Option<Spanned<u32>>,
    pub(super) retries: Option<Spanned<u32>>,
    pub(super) retry_pause: Option<Spanned<String>>,
    pub(super) timeout: Option<Spanned<String>>,
    pub(super) priority: Option<i32>,
}

#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct AgentShape {
    pub(super) hostname: Option<String>,
    pub(super) attributes: Entries<Text>,
    pub(super) same_as: OneOrMore,
    pub(super) not_same_as: OneOrMore,
}

/// A volume: its name alone, or everything that labels can say of it.
pub(super) struct VolumeShape {
    pub(super) volume: String,
    /// Where the name stands; `None` when it stands behind the slot.
    pub(super) place: Option<Location>,
    /// Attributes as in labels, after `volume.<slot>.`.
    pub(super) attributes: BTreeMap<String, Spanned<String>>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct LongVolume {
    volume: Spanned<String>,
    path: Option<Spanned<String>>,
    mode: Option<Spanned<String>>,
    access: Option<Spanned<String>>,
    lifetime: Option<Spanned<String>>,
    create: Option<Spanned<String>>,
    #[serde(default)]
    options: BTreeMap<String, Spanned<Text>>,
    owner: Option<Spanned<String>>,
    flags: Option<Spanned<String>>,
    subpath: Option<Spanned<String>>,
    driver: Option<Spanned<String>>,
    claim: Option<Spanned<String>>,
}

pub(super) enum CommandShape {
    Shell(String),
    Argv(Vec<String>),
}

/// One word, or a list of them.
#[derive(Default)]
pub(super) struct OneOrMore(pub(super) Vec<Spanned<String>>);

/// A scalar taken as it is written, so that `VERSION: 1.10` stays `1.10`.
#[derive(Clone, serde::Deserialize)]
#[serde(transparent)]
pub(super) struct Text(pub(super) String);

/// A mapping in the order of the file, with the place of every key. Equal keys are the parser's to
/// refuse.
pub(super) struct Entries<V>(pub(super) Vec<(Spanned<String>, V)>);

impl<V> Default for Entries<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// Reads the shape. The version is checked first: a file of a later version does not get the error
/// that its fields are unknown.
pub(super) fn parse(text: &str) -> Result<JobShape, JobFileError> {
    #[derive(serde::Deserialize)]
    struct Versioned {
        version: Option<Spanned<serde_json::Value>>,
    }
    let versioned: Versioned = serde_saphyr::from_str(text).map_err(|error| unreadable(&error))?;
    match versioned.version {
        Some(version) if version.value == VERSION => {}
        Some(version) => {
            let message = format!(
                "version {} of the job file is not known here; accepted is {VERSION}",
                version.value
            );
            return Err(Problem::at(version.referenced, message).into());
        }
        None => {
            return Err(Problem {
                line: 1,
                column: 1,
                message: format!("the job file has no 'version: {VERSION}'"),
            }
            .into());
        }
    }
    serde_saphyr::from_str(text).map_err(|error| every_problem(text, unreadable(&error)))
}

/// The parser's own finding and all that can be found besides. What both find is told once, in the words of [`fields`].
fn every_problem(text: &str, first: JobFileError) -> JobFileError {
    let mut problems = fields::problems(text);
    for problem in first.problems {
        let is_known = |known: &Problem| (known.line, known.column) == (problem.line, problem.column);
        if !problems.iter().any(is_known) {
            problems.push(problem);
        }
    }
    problems.sort_by_key(|problem| (problem.line, problem.column));
    JobFileError { problems }
}

fn unreadable(error: &serde_saphyr::Error) -> JobFileError {
    let place = error.location().unwrap_or(Location::UNKNOWN);
    // The parser's own text ends with the place and may quote the file over several lines.
    let text = error.without_snippet().to_string();
    let line = text.lines().next().unwrap_or_default();
    let ending = format!(" at line {}, column {}", place.line(), place.column());
    Problem::at(place, line.strip_suffix(&ending).unwrap_or(line)).into()
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Entries<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor<V>(PhantomData<V>);

        impl<'de, V: Deserialize<'de>> Visitor<'de> for EntriesVisitor<V> {
            type Value = Entries<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(EntriesVisitor(PhantomData))
    }
}

impl<'de> Deserialize<'de> for VolumeShape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct VolumeVisitor;

        impl<'de> Visitor<'de> for VolumeVisitor {
            type Value = VolumeShape;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a volume's name, or a mapping with 'volume' and its attributes")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
                Ok(VolumeShape {
                    volume: name.to_owned(),
                    place: None,
                    attributes: BTreeMap::new(),
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                Ok(LongVolume::deserialize(MapAccessDeserializer::new(map))?.into())
            }
        }

        deserializer.deserialize_any(VolumeVisitor)
    }
}

impl From<LongVolume> for VolumeShape {
    fn from(long: LongVolume) -> Self {
        let words = [
            ("path", long.path),
            ("mode", long.mode),
            ("access", long.access),
            ("lifetime", long.lifetime),
            ("create", long.create),
            ("owner", long.owner),
            ("flags", long.flags),
            ("subpath", long.subpath),
            ("driver", long.driver),
            ("claim", long.claim),
        ];
        let mut attributes: BTreeMap<String, Spanned<String>> = words
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?)))
            .collect();
        for (option, text) in long.options {
            let (place, Text(value)) = (text.referenced, text.value);
            attributes.insert(format!("options.{option}"), Spanned::new(value, place, place));
        }
        Self {
            place: Some(long.volume.referenced),
            volume: long.volume.value,
            attributes,
        }
    }
}

impl<'de> Deserialize<'de> for CommandShape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CommandVisitor;

        impl<'de> Visitor<'de> for CommandVisitor {
            type Value = CommandShape;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a shell command, or a list of a program and its arguments")
            }

            fn visit_str<E: Error>(self, command: &str) -> Result<Self::Value, E> {
                Ok(CommandShape::Shell(command.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut argv = Vec::new();
                while let Some(Text(argument)) = list.next_element()? {
                    argv.push(argument);
                }
                Ok(CommandShape::Argv(argv))
            }
        }

        deserializer.deserialize_any(CommandVisitor)
    }
}

impl<'de> Deserialize<'de> for TargetsShape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TargetsVisitor;

        impl<'de> Visitor<'de> for TargetsVisitor {
            type Value = TargetsShape;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("'command: ...' or 'webhook: URL', or a list of them")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let target = TargetShape::deserialize(MapAccessDeserializer::new(map))?;
                Ok(TargetsShape(vec![Spanned::new(
                    target,
                    Location::UNKNOWN,
                    Location::UNKNOWN,
                )]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut targets = Vec::new();
                while let Some(target) = list.next_element()? {
                    targets.push(target);
                }
                Ok(TargetsShape(targets))
            }
        }

        deserializer.deserialize_any(TargetsVisitor)
    }
}

impl<'de> Deserialize<'de> for OneOrMore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordsVisitor;

        impl<'de> Visitor<'de> for WordsVisitor {
            type Value = Vec<Spanned<String>>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a task's name, or a list of them")
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<Self::Value, E> {
                Ok(vec![Spanned::new(
                    word.to_owned(),
                    Location::UNKNOWN,
                    Location::UNKNOWN,
                )])
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut words = Vec::new();
                while let Some(word) = list.next_element()? {
                    words.push(word);
                }
                Ok(words)
            }
        }

        struct Words(Vec<Spanned<String>>);

        impl<'de> Deserialize<'de> for Words {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(WordsVisitor).map(Words)
            }
        }

        // A single word has no place of its own inside the visitor; that of the value around it is
        // the same.
        let words: Spanned<Words> = Spanned::deserialize(deserializer)?;
        let place = words.referenced;
        let known = |word: Spanned<String>| match word.referenced {
            Location::UNKNOWN => Spanned::new(word.value, place, place),
            _ => word,
        };
        Ok(Self(words.value.0.into_iter().map(known).collect()))
    }
}
