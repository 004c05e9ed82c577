//! What an agent was told to load: `--modules` as its `/flags` shows it, in protobuf's text format,
//! and the files of `--modules_dir`, which are JSON.

use std::iter::Peekable;
use std::str::Chars;

use serde_json::Value;

/// The module's name, as it stands in `--modules` and `--isolation`.
pub(super) const MODULE: &str = "mesos_external_volumes";

/// One entry for our module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// The library's file; empty where the operator named it by `name`, for the dynamic loader to
    /// find.
    pub(super) file: String,
    pub(super) parameters: Vec<(String, String)>,
}

/// The entries for our module in a text of either format.
///
/// # Errors
/// Where the text cannot be read.
pub(super) fn ours(text: &str) -> Result<Vec<Entry>, String> {
    let message = if text.trim_start().starts_with('{') {
        from_json(&serde_json::from_str(text).map_err(|error| error.to_string())?)
    } else {
        parse(&mut Lexer(text.chars().peekable()), false)?
    };
    let mut entries = Vec::new();
    for library in message.all("libraries") {
        for module in library.all("modules").filter(|module| module.text("name") == MODULE) {
            let parameter =
                |parameter: &Message| (parameter.text("key").to_owned(), parameter.text("value").to_owned());
            entries.push(Entry {
                file: library.text("file").to_owned(),
                parameters: module.all("parameters").map(parameter).collect(),
            });
        }
    }
    Ok(entries)
}

/// A message of any kind: its fields in order.
#[derive(Debug, Default)]
struct Message(Vec<(String, Field)>);

#[derive(Debug)]
enum Field {
    Text(String),
    Message(Message),
}

impl Message {
    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Message> {
        self.0.iter().filter_map(move |(field, value)| match value {
            Field::Message(message) if field == name => Some(message),
            _ => None,
        })
    }

    fn text(&self, name: &str) -> &str {
        let found = self.0.iter().find_map(|(field, value)| match value {
            Field::Text(text) if field == name => Some(text.as_str()),
            _ => None,
        });
        found.unwrap_or_default()
    }
}

fn from_json(value: &Value) -> Message {
    let mut fields = Vec::new();
    for (name, value) in value.as_object().into_iter().flatten() {
        let values = match value {
            Value::Array(values) => values.as_slice(),
            one => std::slice::from_ref(one),
        };
        for value in values {
            let field = match value {
                Value::String(text) => Field::Text(text.clone()),
                other => Field::Message(from_json(other)),
            };
            fields.push((name.clone(), field));
        }
    }
    Message(fields)
}

fn parse(lexer: &mut Lexer<'_>, nested: bool) -> Result<Message, String> {
    let mut fields = Vec::new();
    loop {
        let name = match lexer.next()? {
            Some(Token::Word(name)) => name,
            Some(Token::Sign('}')) if nested => break,
            None if !nested => break,
            other => return Err(format!("a field's name was expected, not {other:?}")),
        };
        let field = match lexer.next()? {
            Some(Token::Sign('{')) => Field::Message(parse(lexer, true)?),
            Some(Token::Sign(':')) => match lexer.next()? {
                Some(Token::Text(text) | Token::Word(text)) => Field::Text(text),
                other => return Err(format!("a value of '{name}' was expected, not {other:?}")),
            },
            other => return Err(format!("':' or '{{' was expected after '{name}', not {other:?}")),
        };
        fields.push((name, field));
    }
    Ok(Message(fields))
}

#[derive(Debug)]
enum Token {
    Word(String),
    Text(String),
    Sign(char),
}

struct Lexer<'a>(Peekable<Chars<'a>>);

impl Lexer<'_> {
    fn next(&mut self) -> Result<Option<Token>, String> {
        while self.0.next_if(|c| c.is_whitespace()).is_some() {}
        match self.0.next() {
            None => Ok(None),
            Some('"') => self.quoted().map(Some),
            Some(sign @ ('{' | '}' | ':')) => Ok(Some(Token::Sign(sign))),
            Some(first) => {
                let mut word = String::from(first);
                while let Some(c) = self
                    .0
                    .next_if(|c| !c.is_whitespace() && !matches!(c, '{' | '}' | ':' | '"'))
                {
                    word.push(c);
                }
                Ok(Some(Token::Word(word)))
            }
        }
    }

    /// Bytes that do not print are escaped in octal, three digits each.
    fn quoted(&mut self) -> Result<Token, String> {
        let mut bytes: Vec<u8> = Vec::new();
        let end = || "a quoted text has no end".to_owned();
        loop {
            match self.0.next().ok_or_else(end)? {
                '"' => break,
                '\\' => match self.0.next().ok_or_else(end)? {
                    'n' => bytes.push(b'\n'),
                    'r' => bytes.push(b'\r'),
                    't' => bytes.push(b'\t'),
                    first @ '0'..='7' => {
                        let mut octal = String::from(first);
                        while octal.len() < 3
                            && let Some(digit) = self.0.next_if(|c| ('0'..='7').contains(c))
                        {
                            octal.push(digit);
                        }
                        bytes.push(u8::from_str_radix(&octal, 8).map_err(|error| error.to_string())?);
                    }
                    other => bytes.extend(other.encode_utf8(&mut [0; 4]).bytes()),
                },
                other => bytes.extend(other.encode_utf8(&mut [0; 4]).bytes()),
            }
        }
        Ok(Token::Text(String::from_utf8_lossy(&bytes).into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn the_flag_as_an_agent_shows_it() {
        let flag = "libraries {\n  file: \"/usr/lib/other.so\"\n  modules {\n    name: \"org_other\"\n  }\n}\n\
                    libraries {\n  file: \"/usr/lib/v.so\"\n  modules {\n    name: \"mesos_external_volumes\"\n    parameters {\n      \
                    key: \"drivers\"\n      value: \"{\\\"a\\\": \\'\\303\\244\\'}\\n\"\n    }\n    parameters {\n      key: \"k\"\n      \
                    value: \"\"\n    }\n  }\n}\n";
        let expected = Entry {
            file: "/usr/lib/v.so".into(),
            parameters: vec![pair("drivers", "{\"a\": 'ä'}\n"), pair("k", "")],
        };
        assert_eq!(ours(flag), Ok(vec![expected]));
        assert_eq!(ours(""), Ok(vec![]));
    }

    #[test]
    fn a_file_of_the_modules_folder() {
        let file = r#"{"libraries": [{"file": "/v.so", "modules": [{"name": "mesos_external_volumes",
            "parameters": [{"key": "state_dir", "value": "/s"}]}]}]}"#;
        let expected = Entry {
            file: "/v.so".into(),
            parameters: vec![pair("state_dir", "/s")],
        };
        assert_eq!(ours(file), Ok(vec![expected]));
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        for text in ["libraries {", "libraries }", "a: \"x", "a b", "{\"libraries\": ", ": x"] {
            assert!(ours(text).is_err(), "{text}");
        }
    }
}
