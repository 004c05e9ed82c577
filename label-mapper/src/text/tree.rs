//! What a text says, and on which bytes.

use std::fmt;
use std::ops::Range;

/// One value of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    /// The bytes it stands on.
    pub(crate) span: Range<usize>,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Map(Vec<Entry>),
    List(Vec<Node>),
    Text(String),
    Null,
    /// A number or a truth value, as spelled.
    Other(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Range<usize>,
    pub(crate) value: Node,
}

/// One step from a value to one inside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// The way from the root of a text to a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Path(pub(crate) Vec<Step>);

/// The path of these keys.
pub(crate) fn path(keys: &[&str]) -> Path {
    Path::default().keys(keys)
}

impl Path {
    pub(crate) fn key(&self, key: &str) -> Self {
        self.step(Step::Key(key.to_owned()))
    }

    pub(crate) fn keys(&self, keys: &[&str]) -> Self {
        keys.iter().fold(self.clone(), |path, key| path.key(key))
    }

    pub(crate) fn index(&self, index: usize) -> Self {
        self.step(Step::Index(index))
    }

    fn step(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// The index at each step that has one, so that paths of one list sort by their places in it.
    pub(crate) fn place(&self) -> Vec<usize> {
        let indices = self.0.iter().filter_map(|step| match step {
            Step::Index(index) => Some(*index),
            Step::Key(_) => None,
        });
        indices.collect()
    }

    /// The path without its last step, and that step; `None` for the root.
    pub(crate) fn split_last(&self) -> Option<(Self, &Step)> {
        let (last, before) = self.0.split_last()?;
        Some((Self(before.to_vec()), last))
    }
}

/// As people write it: `container.volumes[0]`.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("the definition");
        }
        for (index, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if index == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(place) => write!(f, "[{place}]")?,
            }
        }
        Ok(())
    }
}

impl Node {
    /// The entry of this key; `None` for what is no map, too.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The value of this key. A null counts as missing, as it does for every framework here.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key)
            .map(|entry| &entry.value)
            .filter(|value| value.kind != Kind::Null)
    }

    pub(crate) fn at(&self, path: &Path) -> Option<&Node> {
        path.0
            .iter()
            .try_fold(self, |node, step| match step {
                Step::Key(key) => node.entry(key).map(|entry| &entry.value),
                Step::Index(index) => node.elements().get(*index),
            })
            .filter(|node| node.kind != Kind::Null)
    }

    /// The entries of a map; none of anything else.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The elements of a list; none of anything else.
    pub(crate) fn elements(&self) -> &[Node] {
        match &self.kind {
            Kind::List(elements) => elements,
            _ => &[],
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Text, number or truth value as a label would hold it.
    pub(crate) fn scalar(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) | Kind::Other(text) => Some(text),
            _ => None,
        }
    }

    /// The text of this key.
    pub(crate) fn text_of(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Node::text)
    }

    /// The whole number of this key.
    pub(crate) fn number_of(&self, key: &str) -> Option<u64> {
        self.get(key).and_then(Node::scalar).and_then(|text| text.parse().ok())
    }

    pub(crate) fn is_map(&self) -> bool {
        matches!(self.kind, Kind::Map(_))
    }

    pub(crate) fn is_list(&self) -> bool {
        matches!(self.kind, Kind::List(_))
    }

    /// The kind in words, for messages.
    pub(crate) fn words(&self) -> &'static str {
        match self.kind {
            Kind::Map(_) => "an object",
            Kind::List(_) => "a list",
            Kind::Text(_) => "a text",
            Kind::Null => "null",
            Kind::Other(_) => "a number or truth value",
        }
    }
}
