//! How a JSON text is laid out, so that what is added looks like its neighbours.

use serde_json::Value;

use super::tree::{Kind, Node};

/// The habits of one text.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    lines: bool,
    crlf: bool,
    spaced: bool,
    /// A blank inside the braces of an object on one line.
    padded: bool,
    unit: String,
}

impl Layout {
    pub(super) fn of(text: &str, root: &Node) -> Self {
        let spaced = first_colon(text, root).is_none_or(|after| after.starts_with([' ', '\n', '\r', '\t']));
        // The indentation of what stands first inside the outermost brackets.
        let inside = text[root.span.start..].get(1..).unwrap_or_default();
        let blank = &inside[..inside.len() - inside.trim_start().len()];
        let unit = blank.rfind('\n').map(|newline| blank[newline + 1..].to_owned());
        Self {
            lines: unit.is_some(),
            crlf: text.contains("\r\n"),
            spaced,
            padded: false,
            unit: unit.filter(|unit| !unit.is_empty()).unwrap_or_else(|| "  ".to_owned()),
        }
    }

    /// Elements of a list follow the one before them, on one line or on several.
    pub(super) fn like(mut self, neighbour: Option<&str>) -> Self {
        if let Some(neighbour) = neighbour {
            self.lines = neighbour.contains('\n');
            self.padded = neighbour.starts_with("{ ");
        }
        self
    }

    pub(super) fn newline(&self) -> &'static str {
        if self.crlf { "\r\n" } else { "\n" }
    }

    pub(super) fn colon(&self) -> &'static str {
        if self.spaced { ": " } else { ":" }
    }

    pub(super) fn comma(&self) -> &'static str {
        if self.spaced { ", " } else { "," }
    }

    /// The value on one line.
    pub(super) fn inline(&self, value: &Value) -> String {
        let joined = |parts: Vec<String>| parts.join(self.comma());
        match value {
            Value::Array(elements) => format!("[{}]", joined(elements.iter().map(|e| self.inline(e)).collect())),
            Value::Object(members) => {
                let members = members
                    .iter()
                    .map(|(key, value)| format!("{}{}{}", Value::from(key.as_str()), self.colon(), self.inline(value)));
                let blank = if self.padded { " " } else { "" };
                format!("{{{blank}{}{blank}}}", joined(members.collect()))
            }
            scalar => scalar.to_string(),
        }
    }

    /// The value in the text's own style: objects a member a line; lists of scalars, and objects of scalars within
    /// lists, on one.
    pub(super) fn render(&self, value: &Value, indent: &str) -> String {
        let deeper = format!("{indent}{}", self.unit);
        let block = |open: &str, close: &str, lines: Vec<String>| {
            let newline = self.newline();
            let separator = format!(",{newline}{deeper}");
            format!(
                "{open}{newline}{deeper}{}{newline}{indent}{close}",
                lines.join(&separator)
            )
        };
        match value {
            Value::Object(members) if self.lines && !members.is_empty() => {
                let line = |(key, value): (&String, &Value)| {
                    format!(
                        "{}{}{}",
                        Value::from(key.as_str()),
                        self.colon(),
                        self.render(value, &deeper)
                    )
                };
                block("{", "}", members.iter().map(line).collect())
            }
            Value::Array(elements) if self.lines && elements.iter().any(Value::is_object) => {
                let line = |element: &Value| {
                    if flat(element) {
                        self.inline(element)
                    } else {
                        self.render(element, &deeper)
                    }
                };
                block("[", "]", elements.iter().map(line).collect())
            }
            short => self.inline(short),
        }
    }

    /// The first content of brackets that held nothing.
    pub(super) fn wrap(
        &self,
        open: &str,
        close: &str,
        indent: &str,
        content: impl FnOnce(&str) -> String,
        value: &Value,
    ) -> String {
        if !self.lines || (open == "[" && !value.is_object()) {
            return format!("{open}{}{close}", content(indent));
        }
        let deeper = format!("{indent}{}", self.unit);
        let newline = self.newline();
        let content = if open == "[" && flat(value) {
            self.inline(value)
        } else {
            content(&deeper)
        };
        format!("{open}{newline}{deeper}{content}{newline}{indent}{close}")
    }
}

fn flat(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.values().all(|value| !value.is_object() && !value.is_array()),
        Value::Array(elements) => elements.iter().all(|value| !value.is_object() && !value.is_array()),
        _ => true,
    }
}

/// What follows the first colon of the text.
fn first_colon<'a>(text: &'a str, node: &Node) -> Option<&'a str> {
    match &node.kind {
        Kind::Map(entries) => {
            let entry = entries.first()?;
            text[entry.key_span.end..].trim_start().strip_prefix(':')
        }
        Kind::List(elements) => elements.iter().find_map(|element| first_colon(text, element)),
        _ => None,
    }
}
