//! JSON that is edited in place.

use std::ops::Range;

use serde_json::Value;

use super::TextError;
use super::layout::Layout;
use super::tree::{Entry, Kind, Node, Path, Step};

/// A JSON text and its value. Every edit replaces a range of the text and parses the text again, so
/// nothing outside of that range can change.
#[derive(Clone, Debug)]
pub(crate) struct JsonText {
    text: String,
    root: Node,
}

impl JsonText {
    /// # Errors
    /// The text is no JSON, or an object has a key twice.
    pub(crate) fn parse(text: &str) -> Result<Self, TextError> {
        serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|error| TextError::Json(error.to_string()))?;
        let mut scanner = Scanner { text, at: 0 };
        scanner.space();
        let root = scanner.value()?;
        Ok(Self {
            text: text.to_owned(),
            root,
        })
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn root(&self) -> &Node {
        &self.root
    }

    /// The value there, when it is there and not null.
    pub(crate) fn at(&self, path: &Path) -> Option<&Node> {
        self.root.at(path)
    }

    /// A value of this text as serde's.
    pub(crate) fn value_of(&self, node: &Node) -> Value {
        serde_json::from_str(&self.text[node.span.clone()]).expect("a part of valid JSON is valid JSON")
    }

    /// Puts `value` there, in the place of what is there; objects missing on the way are made.
    ///
    /// # Errors
    /// Something on the way is neither an object nor null.
    pub(crate) fn set(&mut self, path: &Path, value: &Value) -> Result<(), TextError> {
        let mut node = &self.root;
        for (depth, step) in path.0.iter().enumerate() {
            let found = match step {
                Step::Key(key) if node.is_map() => node.entry(key).map(|entry| &entry.value),
                Step::Index(index) if node.is_list() => node.elements().get(*index),
                _ if node.kind == Kind::Null => None,
                _ => return Err(kind(&Path(path.0[..depth].to_vec()), node, "an object")),
            };
            let Some(found) = found else {
                return self.create(&node.clone(), &path.0[depth..], value);
            };
            node = found;
        }
        let range = node.span.clone();
        let rendered = Layout::of(&self.text, &self.root).render(value, self.indent_at(range.start));
        self.replace(range, &rendered)
    }

    fn create(&mut self, at: &Node, missing: &[Step], value: &Value) -> Result<(), TextError> {
        let mut keys = missing.iter().rev().filter_map(|step| match step {
            Step::Key(key) => Some(key),
            Step::Index(_) => None,
        });
        let nest = |inner: Value, key: &String| Value::Object([(key.clone(), inner)].into_iter().collect());
        if at.kind == Kind::Null {
            let whole = keys.fold(value.clone(), nest);
            let rendered = Layout::of(&self.text, &self.root).render(&whole, self.indent_at(at.span.start));
            return self.replace(at.span.clone(), &rendered);
        }
        let count = keys.clone().count();
        let inner = keys.by_ref().take(count - 1).fold(value.clone(), nest);
        let first = missing.first().map(|step| match step {
            Step::Key(key) => Value::String(key.clone()).to_string(),
            Step::Index(_) => String::new(),
        });
        let layout = Layout::of(&self.text, &self.root);
        let start = at.entries().first().map(|entry| entry.key_span.start);
        let end = at.entries().last().map(|entry| entry.value.span.end);
        let key = first.unwrap_or_default() + layout.colon();
        self.insert(&at.span, start.zip(end), &key, &inner, &layout)
    }

    /// Puts `value` behind the last element of the list there, which is made when it is missing.
    ///
    /// # Errors
    /// What is there is no list, or nothing can be made there.
    pub(crate) fn push(&mut self, path: &Path, value: &Value) -> Result<(), TextError> {
        let Some(list) = self.at(path).cloned() else {
            return self.set(path, &Value::Array(vec![value.clone()]));
        };
        if !list.is_list() {
            return Err(kind(path, &list, "a list"));
        }
        let layout =
            Layout::of(&self.text, &self.root).like(list.elements().last().map(|last| &self.text[last.span.clone()]));
        let start = list.elements().first().map(|first| first.span.start);
        let end = list.elements().last().map(|last| last.span.end);
        self.insert(&list.span, start.zip(end), "", value, &layout)
    }

    /// Inserts behind the last of what `outer` holds (`inner`: from the first to the last), or as its only content.
    fn insert(
        &mut self,
        outer: &Range<usize>,
        inner: Option<(usize, usize)>,
        key: &str,
        value: &Value,
        layout: &Layout,
    ) -> Result<(), TextError> {
        let Some((first, end)) = inner else {
            let indent = self.indent_at(outer.start);
            let open = &self.text[outer.start..=outer.start];
            let close = if open == "{" { "}" } else { "]" };
            let text = layout.wrap(
                open,
                close,
                indent,
                |indent| format!("{key}{}", layout.render(value, indent)),
                value,
            );
            return self.replace(outer.clone(), &text);
        };
        let before = &self.text[outer.start + 1..first];
        let text = match before.rfind('\n') {
            Some(line) => {
                let indent = &before[line + 1..];
                format!(",{}{indent}{key}{}", layout.newline(), layout.render(value, indent))
            }
            None => format!("{}{key}{}", layout.comma(), layout.inline(value)),
        };
        self.replace(end..end, &text)
    }

    /// Takes the value there out of its object or list, with its key and one comma. Nothing happens when it is not there.
    pub(crate) fn remove(&mut self, path: &Path) {
        let Some((parent, step)) = path.split_last() else {
            return;
        };
        let Some(parent) = self.root.at(&parent) else { return };
        let members: Vec<Range<usize>> = match &parent.kind {
            Kind::Map(entries) => entries.iter().map(|e| e.key_span.start..e.value.span.end).collect(),
            Kind::List(elements) => elements.iter().map(|e| e.span.clone()).collect(),
            _ => return,
        };
        let place = match step {
            Step::Key(key) => parent.entries().iter().position(|entry| entry.key == *key),
            Step::Index(index) => Some(*index).filter(|index| *index < members.len()),
        };
        let Some(place) = place else { return };
        let range = match (place.checked_sub(1), members.get(place + 1)) {
            (Some(before), _) => members[before].end..members[place].end,
            (None, Some(next)) => members[place].start..next.start,
            (None, None) => parent.span.start + 1..parent.span.end - 1,
        };
        self.replace(range, "").expect("JSON without one member is JSON");
    }

    fn replace(&mut self, range: Range<usize>, with: &str) -> Result<(), TextError> {
        let mut text = self.text.clone();
        text.replace_range(range, with);
        *self = Self::parse(&text)?;
        Ok(())
    }

    /// The blank beginning of the line that this byte is on.
    fn indent_at(&self, byte: usize) -> &str {
        let line = &self.text[self.text[..byte].rfind('\n').map_or(0, |newline| newline + 1)..];
        &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
    }
}

/// The error for a value of the wrong kind.
pub(crate) fn kind(at: &Path, found: &Node, wanted: &str) -> TextError {
    TextError::Kind {
        at: at.to_string(),
        found: found.words().to_owned(),
        wanted: wanted.to_owned(),
    }
}

/// Walks a text that serde_json has already found to be JSON, nested at most as deep as that allows.
struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl Scanner<'_> {
    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    fn space(&mut self) {
        while matches!(self.peek(), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
    }

    /// Whether a separator follows; it is passed, and so is the end when it comes.
    fn another(&mut self) -> bool {
        self.space();
        let comma = self.peek() == b',';
        self.at += 1;
        self.space();
        comma
    }

    fn value(&mut self) -> Result<Node, TextError> {
        let start = self.at;
        let kind = match self.peek() {
            b'{' => Kind::Map(self.entries()?),
            b'[' => Kind::List(self.elements()?),
            b'"' => Kind::Text(self.string()),
            _ => {
                while !matches!(self.peek(), b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r' | 0) {
                    self.at += 1;
                }
                match &self.text[start..self.at] {
                    "null" => Kind::Null,
                    other => Kind::Other(other.to_owned()),
                }
            }
        };
        Ok(Node {
            span: start..self.at,
            kind,
        })
    }

    fn entries(&mut self) -> Result<Vec<Entry>, TextError> {
        let mut entries: Vec<Entry> = Vec::new();
        self.at += 1;
        self.space();
        if self.peek() == b'}' {
            self.at += 1;
            return Ok(entries);
        }
        loop {
            let start = self.at;
            let key = self.string();
            let key_span = start..self.at;
            if entries.iter().any(|entry| entry.key == key) {
                let line = self.text[..start].matches('\n').count() + 1;
                return Err(TextError::Repeated {
                    key: volume_labels::cleaned(&key),
                    line,
                });
            }
            self.space();
            self.at += 1;
            self.space();
            let value = self.value()?;
            entries.push(Entry { key, key_span, value });
            let end = self.after_value();
            if !self.another() {
                self.at = end;
                return Ok(entries);
            }
        }
    }

    fn elements(&mut self) -> Result<Vec<Node>, TextError> {
        let mut elements = Vec::new();
        self.at += 1;
        self.space();
        if self.peek() == b']' {
            self.at += 1;
            return Ok(elements);
        }
        loop {
            elements.push(self.value()?);
            let end = self.after_value();
            if !self.another() {
                self.at = end;
                return Ok(elements);
            }
        }
    }

    /// The byte behind the bracket that would close here.
    fn after_value(&mut self) -> usize {
        self.space();
        self.at + 1
    }

    fn string(&mut self) -> String {
        let start = self.at;
        self.at += 1;
        while self.peek() != b'"' {
            self.at += if self.peek() == b'\\' { 2 } else { 1 };
        }
        self.at += 1;
        serde_json::from_str(&self.text[start..self.at]).expect("a string of valid JSON is valid JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::path;
    use super::*;
    use serde_json::json;

    fn edited(text: &str, edit: impl FnOnce(&mut JsonText)) -> String {
        let mut json = JsonText::parse(text).unwrap();
        edit(&mut json);
        json.text().to_owned()
    }

    #[test]
    fn a_member_is_added_in_the_style_of_its_neighbours() {
        let add = |text| edited(text, |json| json.set(&path(&["b"]), &json!({"x": "y"})).unwrap());
        assert_eq!(add(r#"{"a": 1}"#), r#"{"a": 1, "b": {"x": "y"}}"#);
        assert_eq!(add(r#"{"a":1}"#), r#"{"a":1,"b":{"x":"y"}}"#);
        assert_eq!(
            add("{\n\t\"a\": 1\n}\n"),
            "{\n\t\"a\": 1,\n\t\"b\": {\n\t\t\"x\": \"y\"\n\t}\n}\n"
        );
        assert_eq!(
            add("{\r\n  \"a\": 1\r\n}"),
            "{\r\n  \"a\": 1,\r\n  \"b\": {\r\n    \"x\": \"y\"\r\n  }\r\n}"
        );
        assert_eq!(add("{}"), r#"{"b": {"x": "y"}}"#);
        assert_eq!(add("{\"b\": null }"), "{\"b\": {\"x\": \"y\"} }");
        assert_eq!(add("{\"b\": 1.50 }"), "{\"b\": {\"x\": \"y\"} }");
    }

    #[test]
    fn objects_on_the_way_are_made() {
        let set = |text| edited(text, |json| json.set(&path(&["a", "b", "c"]), &json!("d")).unwrap());
        assert_eq!(set(r#"{"z": 1}"#), r#"{"z": 1, "a": {"b": {"c": "d"}}}"#);
        assert_eq!(set(r#"{"a": {"b": {}}}"#), r#"{"a": {"b": {"c": "d"}}}"#);
        assert_eq!(set(r#"{"a": {"b": null}}"#), r#"{"a": {"b": {"c": "d"}}}"#);
        let error = JsonText::parse(r#"{"a": {"b": 1}}"#)
            .unwrap()
            .set(&path(&["a", "b", "c"]), &json!(1))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "'a.b' is a number or truth value, and an object belongs there"
        );
    }

    #[test]
    fn elements_are_added_and_taken_away() {
        let push = |text| edited(text, |json| json.push(&path(&["l"]), &json!(["x", "y"])).unwrap());
        assert_eq!(push(r#"{"l": [["a", "b"]]}"#), r#"{"l": [["a", "b"], ["x", "y"]]}"#);
        assert_eq!(push(r#"{"l":[]}"#), r#"{"l":[["x","y"]]}"#);
        assert_eq!(
            push("{\n  \"l\": [\n    [\"a\"]\n  ]\n}"),
            "{\n  \"l\": [\n    [\"a\"],\n    [\"x\", \"y\"]\n  ]\n}"
        );
        let text = r#"{"l": [1, 2, 3], "k": 1}"#;
        let without = |at| edited(text, |json| json.remove(&at));
        assert_eq!(without(path(&["l"]).index(0)), r#"{"l": [2, 3], "k": 1}"#);
        assert_eq!(without(path(&["l"]).index(1)), r#"{"l": [1, 3], "k": 1}"#);
        assert_eq!(without(path(&["l"]).index(2)), r#"{"l": [1, 2], "k": 1}"#);
        assert_eq!(without(path(&["l"])), r#"{"k": 1}"#);
        assert_eq!(without(path(&["k"])), r#"{"l": [1, 2, 3]}"#);
        assert_eq!(without(path(&["nothing"])), text);
        assert_eq!(
            edited(r#"{"l": [ 1 ]}"#, |json| json.remove(&path(&["l"]).index(0))),
            r#"{"l": []}"#
        );
    }

    #[test]
    fn a_repeated_key_is_refused_with_its_line() {
        let error = JsonText::parse("{\"a\": 1,\n\"a\": 2}").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the key 'a' stands twice in one object (line 2); keep one"
        );
        assert!(
            JsonText::parse("{\"a\": }")
                .unwrap_err()
                .to_string()
                .starts_with("not JSON: ")
        );
    }

    #[test]
    fn escapes_and_brackets_in_strings_do_not_confuse() {
        let text = r#"{"a\"}": "]\\", "b": [{"c": "\u00e4,"}] }"#;
        let json = JsonText::parse(text).unwrap();
        assert_eq!(json.root().text_of("a\"}"), Some("]\\"));
        assert_eq!(
            json.at(&path(&["b"]).index(0).key("c")).and_then(Node::text),
            Some("ä,")
        );
        assert_eq!(json.root().span, 0..text.len());
    }
}
