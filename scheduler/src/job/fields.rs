//! Every unknown field and every value that is no number in a job file, at once.
//!
//! The parser of [`super::shape`] stops at the first mistake. This module reads a file that it refuses a second time, as a tree in
//! which anything is allowed, so that its author is shown all mistakes of these two kinds together.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use volume_labels::{cleaned, nearest};

use super::error::Problem;
use super::shape::Entries;

/// Longest value that a message shows.
const SHOWN: usize = 40;

const JOB: &[&str] = &[
    "version",
    "name",
    "defaults",
    "schedule",
    "start-within",
    "overlap",
    "notify",
    "tasks",
];
const DEFAULTS: &[&str] = &[
    "user",
    "cpus",
    "mem",
    "driver",
    "environment",
    "retries",
    "retry-pause",
    "timeout",
    "priority",
];
const TASK: &[&str] = &[
    "command",
    "user",
    "cpus",
    "mem",
    "environment",
    "after",
    "volumes",
    "agent",
    "instances",
    "retries",
    "retry-pause",
    "timeout",
    "priority",
];
const VOLUME: &[&str] = &[
    "volume", "path", "mode", "access", "lifetime", "create", "options", "owner", "flags", "subpath", "driver", "claim",
];
const AGENT: &[&str] = &["hostname", "attributes", "same-as", "not-same-as"];
const NOTIFY: &[&str] = &["success", "failure"];

/// The fields that are numbers, with what each accepts.
const NUMBERS: &[(&str, Kind, &str)] = &[
    ("cpus", Kind::Any, "a number, as in 0.5"),
    ("mem", Kind::Any, "a number of MB, as in 1024"),
    ("instances", Kind::Count, "a whole number, as in 3"),
    ("retries", Kind::Count, "a whole number, as in 3"),
    ("priority", Kind::Whole, "a whole number, as in 10 or -10"),
];

#[derive(Clone, Copy)]
enum Kind {
    Any,
    Count,
    Whole,
}

impl Kind {
    fn takes(self, text: &str) -> bool {
        match self {
            Self::Any => text.parse::<f64>().is_ok_and(f64::is_finite),
            Self::Count => text.parse::<u32>().is_ok(),
            Self::Whole => text.parse::<i32>().is_ok(),
        }
    }
}

/// All mistakes of the two kinds, in the order of the file; none when the text is no YAML mapping.
pub(super) fn problems(text: &str) -> Vec<Problem> {
    let Ok(file) = serde_saphyr::from_str::<Spanned<Node>>(text) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    check_fields(&file.value, JOB, &mut found);
    for (field, value) in file.value.fields() {
        match field.value.as_str() {
            "defaults" => check_fields(&value.value, DEFAULTS, &mut found),
            "notify" => check_fields(&value.value, NOTIFY, &mut found),
            "tasks" => {
                for (_, task) in value.value.fields() {
                    check_task(&task.value, &mut found);
                }
            }
            _ => {}
        }
    }
    found.sort_by_key(|problem| (problem.line, problem.column));
    found
}

fn check_task(task: &Node, found: &mut Vec<Problem>) {
    check_fields(task, TASK, found);
    for (field, value) in task.fields() {
        match field.value.as_str() {
            "agent" => check_fields(&value.value, AGENT, found),
            "volumes" => {
                for (_, volume) in value.value.fields() {
                    check_fields(&volume.value, VOLUME, found);
                }
            }
            _ => {}
        }
    }
}

fn check_fields(node: &Node, accepted: &[&str], found: &mut Vec<Problem>) {
    for (field, value) in node.fields() {
        let name = field.value.as_str();
        if !accepted.contains(&name) {
            let remedy = match nearest(name, accepted.iter().copied()) {
                Some(meant) => format!("did you mean '{meant}'?"),
                None => format!("accepted: {}", accepted.join(", ")),
            };
            found.push(Problem::at(
                field.referenced,
                format!("unknown field '{}'; {remedy}", cleaned(name)),
            ));
        } else if let Some((_, kind, wanted)) = NUMBERS.iter().find(|(number, ..)| *number == name)
            && let Node::Scalar(text) = &value.value
            && !kind.takes(text)
        {
            let shown: String = text.chars().take(SHOWN).collect();
            found.push(Problem::at(
                value.referenced,
                format!("{name} is '{}'; accepted is {wanted}", cleaned(&shown)),
            ));
        }
    }
}

/// Anything that YAML can say.
enum Node {
    Mapping(Entries<Spanned<Node>>),
    /// Text, a number, or a truth value, as text.
    Scalar(String),
    /// A list, or nothing: neither has fields.
    Other,
}

impl Node {
    fn fields(&self) -> &[(Spanned<String>, Spanned<Node>)] {
        match self {
            Self::Mapping(entries) => &entries.0,
            Self::Other | Self::Scalar(_) => &[],
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NodeVisitor;

        impl<'de> Visitor<'de> for NodeVisitor {
            type Value = Node;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Node::Mapping(Entries(entries)))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
                while list.next_element::<Node>()?.is_some() {}
                Ok(Node::Other)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Node, E> {
                Ok(Node::Scalar(text.to_owned()))
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
                Ok(Node::Scalar(value.to_string()))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
                Ok(Node::Scalar(value.to_string()))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
                Ok(Node::Scalar(value.to_string()))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
                Ok(Node::Scalar(value.to_string()))
            }

            fn visit_unit<E: Error>(self) -> Result<Node, E> {
                Ok(Node::Other)
            }

            fn visit_none<E: Error>(self) -> Result<Node, E> {
                Ok(Node::Other)
            }
        }

        deserializer.deserialize_any(NodeVisitor)
    }
}
