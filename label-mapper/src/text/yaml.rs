//! YAML, also as a Mustache template, that is edited in place. Templates are no YAML: each `{{..}}`
//! is read as a word of the same length, and a line of sections alone as a comment, so that every
//! byte keeps its place.

use granit_parser::{Event, Parser, ScalarStyle};

use super::TextError;
use super::tree::{Entry, Kind, Node, Path};

/// A YAML text and what it says.
#[derive(Clone, Debug)]
pub(crate) struct YamlText {
    text: String,
    root: Node,
}

impl YamlText {
    /// # Errors
    /// The text is no YAML, even with its templates taken for words.
    pub(crate) fn parse(text: &str) -> Result<Self, TextError> {
        let masked = masked(text);
        let mut events = Vec::new();
        let mut documents = false;
        for event in Parser::new_from_str(&masked) {
            let (event, span) = event.map_err(|error| TextError::Yaml(error.to_string()))?;
            let range = span.byte_range().unwrap_or_default();
            let at_line = |what: &str| TextError::Yaml(format!("{what} in line {}", span.start.line()));
            match event {
                Event::Comment(..) | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
                Event::DocumentStart(..) if documents => {
                    return Err(at_line(
                        "a second document begins, and a service is one: take the others out;",
                    ));
                }
                Event::DocumentStart(..) => documents = true,
                Event::Alias(_) => {
                    return Err(at_line(
                        "an alias ('*name') is not followed here: write out what it stands for,",
                    ));
                }
                event => events.push((event, range)),
            }
        }
        let mut events = events.into_iter().peekable();
        let root = node(&mut events, text)?.unwrap_or(Node {
            span: 0..0,
            kind: Kind::Null,
        });
        Ok(Self {
            text: text.to_owned(),
            root,
        })
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn at(&self, path: &Path) -> Option<&Node> {
        self.root.at(path)
    }

    /// The scalar there, unless it is or has a template.
    pub(crate) fn scalar(&self, path: &Path) -> Option<&str> {
        self.at(path)
            .filter(|node| !self.is_template(node))
            .and_then(Node::scalar)
    }

    /// Whether the value is only known once the template is filled in.
    pub(crate) fn is_template(&self, node: &Node) -> bool {
        self.text[node.span.clone()].contains("{{")
    }

    /// How many of the template's sections are open where the value there begins.
    pub(crate) fn sections(&self, path: &Path) -> usize {
        let Some(node) = self.at(path) else { return 0 };
        let before = &self.text[..node.span.start];
        let opened = before.matches("{{#").count() + before.matches("{{^").count();
        opened.saturating_sub(before.matches("{{/").count())
    }

    /// Puts other text in the place of the value there.
    ///
    /// # Errors
    /// The result is no YAML any more.
    pub(crate) fn replace(&mut self, path: &Path, with: &str) -> Result<(), TextError> {
        let Some(node) = self.at(path) else { return Ok(()) };
        let mut text = self.text.clone();
        text.replace_range(node.span.clone(), with);
        *self = Self::parse(&text)?;
        Ok(())
    }

    /// Puts these lines into the map there, before the entry `before` and the comments that stand
    /// directly above it.
    ///
    /// # Errors
    /// The map is not written a line an entry, or the result is no YAML any more.
    pub(crate) fn insert(&mut self, map: &Path, before: &str, lines: &[String]) -> Result<(), TextError> {
        let Some(entry) = self.at(map).and_then(|node| node.entry(before)) else {
            return Ok(());
        };
        let mut start = self.line_start(entry.key_span.start);
        let indent = self.text[start..entry.key_span.start].to_owned();
        if !indent.trim().is_empty() {
            return Err(TextError::Kind {
                at: map.to_string(),
                found: "written on one line".to_owned(),
                wanted: "one line an entry".to_owned(),
            });
        }
        while start > 0 {
            let above = self.line_start(start - 1);
            let line = &self.text[above..start];
            if !(line.starts_with(&indent) && line.trim_start().starts_with('#')) {
                break;
            }
            start = above;
        }
        let newline = if self.text.contains("\r\n") { "\r\n" } else { "\n" };
        let block: String = lines.iter().map(|line| format!("{indent}{line}{newline}")).collect();
        let mut text = self.text.clone();
        text.insert_str(start, &block);
        *self = Self::parse(&text)?;
        Ok(())
    }

    fn line_start(&self, byte: usize) -> usize {
        self.text[..byte].rfind('\n').map_or(0, |newline| newline + 1)
    }
}

/// A scalar that reads back as this text.
pub(crate) fn quoted(text: &str) -> String {
    let plain = text
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'/'));
    let word = text
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'/');
    let reserved = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    if plain && word && !reserved.contains(&text.to_ascii_lowercase().as_str()) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

type Events<'a> = std::iter::Peekable<std::vec::IntoIter<(Event<'a>, std::ops::Range<usize>)>>;

/// The value that begins with the next event. A merge key and a key that stands twice are refused:
/// readers differ in what they make of them.
fn node(events: &mut Events<'_>, source: &str) -> Result<Option<Node>, TextError> {
    let Some((event, span)) = events.next() else {
        return Ok(None);
    };
    let line = |byte: usize| source.get(..byte).unwrap_or_default().matches('\n').count() + 1;
    let kind = match event {
        Event::Scalar(text, style, ..) => scalar(&text, style),
        Event::SequenceStart(..) => {
            let mut elements = Vec::new();
            while !matches!(events.peek(), None | Some((Event::SequenceEnd, _))) {
                elements.extend(node(events, source)?);
            }
            let end = events.next().map_or(span.end, |(_, span)| span.end);
            return Ok(Some(Node {
                span: span.start..end.max(span.start),
                kind: Kind::List(elements),
            }));
        }
        Event::MappingStart(..) => {
            let mut entries: Vec<Entry> = Vec::new();
            while !matches!(events.peek(), None | Some((Event::MappingEnd, _))) {
                let (Some(key), Some(value)) = (node(events, source)?, node(events, source)?) else {
                    break;
                };
                let name = key.scalar().unwrap_or_default().to_owned();
                if name == "<<" {
                    return Err(TextError::Yaml(format!(
                        "a merge key ('<<') is not followed here: write out what it stands for, in line {}",
                        line(key.span.start)
                    )));
                }
                // A template may have one key in two sections of which one is taken.
                if entries.iter().any(|entry| entry.key == name) {
                    return Err(TextError::Repeated {
                        key: volume_labels::cleaned(&name),
                        line: line(key.span.start),
                    });
                }
                entries.push(Entry {
                    key: name,
                    key_span: key.span,
                    value,
                });
            }
            let end = events.next().map_or(span.end, |(_, span)| span.end);
            return Ok(Some(Node {
                span: span.start..end.max(span.start),
                kind: Kind::Map(entries),
            }));
        }
        _ => Kind::Null,
    };
    Ok(Some(Node { span, kind }))
}

fn scalar(text: &str, style: ScalarStyle) -> Kind {
    match (style, text) {
        (ScalarStyle::Plain, "" | "~" | "null") => Kind::Null,
        (ScalarStyle::Plain, "true" | "false") => Kind::Other(text.to_owned()),
        (ScalarStyle::Plain, text) if text.parse::<f64>().is_ok() => Kind::Other(text.to_owned()),
        (_, text) => Kind::Text(text.to_owned()),
    }
}

/// The text with its templates made words and comments, byte for byte.
fn masked(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let content = line.trim_end();
        let section = content.trim_start();
        let alone = ["{{#", "{{/", "{{^", "{{!"]
            .iter()
            .any(|open| section.starts_with(open))
            && section.ends_with("}}")
            && section.matches("{{").count() == 1;
        if alone {
            masked.push_str(&content[..content.len() - section.len()]);
            masked.push('#');
            masked.extend(std::iter::repeat_n('x', section.len() - 1));
            masked.push_str(&line[content.len()..]);
            continue;
        }
        let mut rest = line;
        while let Some((before, inside)) = rest.split_once("{{") {
            let Some(close) = inside.find("}}") else { break };
            let end = close + 2 + usize::from(inside[close + 2..].starts_with('}'));
            masked.push_str(before);
            masked.extend(std::iter::repeat_n('x', 2 + end));
            rest = &inside[end..];
        }
        masked.push_str(rest);
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::super::tree::path;
    use super::*;

    const TEXT: &str = "name: {{NAME}}\npods:\n  # first\n  hello:\n    count: {{{COUNT}}}\n    {{#WITH}}\n    a: 'x'\n    {{/WITH}}\n    # why\n    tasks:\n      server:\n        cmd: |\n          echo {{x}} # no comment\n        labels: k:v\n";

    #[test]
    fn templates_keep_every_byte_in_its_place() {
        let yaml = YamlText::parse(TEXT).unwrap();
        let hello = path(&["pods", "hello"]);
        assert!(yaml.is_template(yaml.at(&hello.key("count")).unwrap()));
        assert_eq!(yaml.scalar(&hello.key("count")), None);
        assert_eq!(yaml.scalar(&hello.key("a")), Some("x"));
        let labels = yaml.at(&hello.keys(&["tasks", "server", "labels"])).unwrap();
        assert_eq!(&TEXT[labels.span.clone()], "k:v");
        assert_eq!(masked("é: {{ü}}\n").len(), "é: {{ü}}\n".len());
    }

    #[test]
    fn lines_go_before_an_entry_and_its_comments() {
        let mut yaml = YamlText::parse(TEXT).unwrap();
        yaml.insert(
            &path(&["pods", "hello"]),
            "tasks",
            &["b: 1".to_owned(), "c:".to_owned(), "  d: e".to_owned()],
        )
        .unwrap();
        assert_eq!(
            yaml.text(),
            TEXT.replace("    # why", "    b: 1\n    c:\n      d: e\n    # why")
        );
        yaml.replace(&path(&["pods", "hello", "c", "d"]), "f").unwrap();
        assert_eq!(yaml.scalar(&path(&["pods", "hello", "c", "d"])), Some("f"));
    }

    #[test]
    fn a_flow_map_is_not_torn_apart() {
        let error = YamlText::parse("a: {b: 1}\n")
            .unwrap()
            .insert(&path(&["a"]), "b", &["c: 1".to_owned()])
            .unwrap_err();
        assert!(error.to_string().contains("written on one line"), "{error}");
    }

    #[test]
    fn text_is_quoted_where_yaml_would_take_it_for_something_else() {
        for (text, expected) in [
            ("orders", "orders"),
            ("yes", "'yes'"),
            ("1a", "'1a'"),
            ("a b", "'a b'"),
            ("it's", "'it''s'"),
        ] {
            assert_eq!(quoted(text), expected);
        }
    }
}
