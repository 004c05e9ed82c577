//! Texts that are edited in place: what is not edited keeps every byte, its order, its indentation
//! and its comments.

mod json;
mod layout;
mod properties;
mod tree;
mod yaml;

pub(crate) use json::JsonText;
pub(crate) use properties::Properties;
pub(crate) use tree::{Entry, Node, Path, Step, path};
pub(crate) use yaml::{YamlText, quoted};

use thiserror::Error;

/// Why a text is no definition, in the words of its grammar.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum TextError {
    /// Not JSON.
    #[error("not JSON: {0}")]
    Json(String),
    /// Not YAML, templates aside.
    #[error("not YAML: {0}")]
    Yaml(String),
    /// An object says two things under one key, and readers differ in which they take.
    #[error("the key '{key}' stands twice in one object (line {line}); keep one")]
    Repeated {
        /// The key.
        key: String,
        /// The line of the second one.
        line: usize,
    },
    /// A value of another kind than the framework has there.
    #[error("'{at}' is {found}, and {wanted} belongs there")]
    Kind {
        /// The place in the text.
        at: String,
        /// What is there.
        found: String,
        /// What should be.
        wanted: String,
    },
}
