//! Java properties, as Spark's `spark-defaults.conf` and `--properties-file` are written, edited in
//! place.

use std::ops::Range;

/// A properties text and where its entries stand.
#[derive(Clone, Debug)]
pub(crate) struct Properties {
    text: String,
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    key: String,
    value: String,
    /// Between key and value, as written.
    separator: String,
    value_span: Range<usize>,
    /// The whole lines of it.
    lines: Range<usize>,
}

impl Properties {
    /// Every text is one; a line without a separator is a key with an empty value, as in Java.
    pub(crate) fn parse(text: &str) -> Self {
        let mut entries = Vec::new();
        let mut start = 0;
        while start < text.len() {
            let end = logical_end(text, start);
            entries.extend(entry(text, start..end));
            start = end;
        }
        Self {
            text: text.to_owned(),
            entries,
        }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The value of the key; of several the last, as Java takes it.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.last(key).map(|entry| entry.value.as_str())
    }

    /// Gives the key this value: in its place, or on a line of its own at the end.
    pub(crate) fn set(&mut self, key: &str, value: &str) {
        let text = match self.last(key) {
            Some(entry) => {
                let mut text = self.text.clone();
                let separator = if entry.separator.is_empty() { "=" } else { "" };
                text.replace_range(entry.value_span.clone(), &format!("{separator}{}", escaped(value)));
                text
            }
            None => {
                let newline = if self.text.contains("\r\n") { "\r\n" } else { "\n" };
                let open = !self.text.is_empty() && !self.text.ends_with('\n');
                let separator = self.entries.last().map_or("=", |last| {
                    // A column of blanks is alignment for another key.
                    if last.separator.trim().is_empty() && !last.separator.is_empty() {
                        " "
                    } else {
                        "="
                    }
                });
                let gap = if open { newline } else { "" };
                format!("{}{gap}{key}{separator}{}{newline}", self.text, escaped(value))
            }
        };
        *self = Self::parse(&text);
    }

    /// Every key, in the order of the text.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.key.as_str())
    }

    /// Takes every line of the key out.
    pub(crate) fn remove(&mut self, key: &str) {
        let mut text = self.text.clone();
        for entry in self.entries.iter().rev().filter(|entry| entry.key == key) {
            text.replace_range(entry.lines.clone(), "");
        }
        *self = Self::parse(&text);
    }

    fn last(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().rfind(|entry| entry.key == key)
    }
}

/// Behind the end of the line, and of those that continue it. Comments are never continued.
fn logical_end(text: &str, start: usize) -> usize {
    let mut end = start;
    loop {
        let line_end = text[end..].find('\n').map_or(text.len(), |newline| end + newline + 1);
        let comment = text[start..line_end].trim_start().starts_with(['#', '!']);
        let line = text[end..line_end].trim_end_matches(['\n', '\r']);
        let backslashes = line.len() - line.trim_end_matches('\\').len();
        end = line_end;
        if comment || backslashes.is_multiple_of(2) || end == text.len() {
            return end;
        }
    }
}

fn entry(text: &str, line: Range<usize>) -> Option<Entry> {
    let content = text[line.clone()].trim_end_matches(['\n', '\r']);
    let blank = content.len() - content.trim_start().len();
    if content[blank..].is_empty() || content[blank..].starts_with(['#', '!']) {
        return None;
    }
    let bytes = content.as_bytes();
    let mut key_end = blank;
    while key_end < bytes.len() && !matches!(bytes[key_end], b'=' | b':' | b' ' | b'\t' | b'\x0c') {
        // An escaped character may be any, of several bytes too: those are no separators, and are
        // passed one by one.
        key_end += if bytes[key_end] == b'\\' && key_end + 1 < bytes.len() {
            2
        } else {
            1
        };
    }
    let key_end = key_end.min(bytes.len());
    let mut value = key_end;
    let mut sign = false;
    while value < bytes.len() {
        match bytes[value] {
            b' ' | b'\t' | b'\x0c' => {}
            b'=' | b':' if !sign => sign = true,
            _ => break,
        }
        value += 1;
    }
    let at = |range: Range<usize>| content.get(range).unwrap_or_default();
    Some(Entry {
        key: unescaped(at(blank..key_end)),
        value: unescaped(at(value..content.len())),
        separator: at(key_end..value).to_owned(),
        value_span: line.start + value..line.start + content.len(),
        lines: line.clone(),
    })
}

fn unescaped(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match rest.next() {
            Some('n') => plain.push('\n'),
            Some('t') => plain.push('\t'),
            Some('r') => plain.push('\r'),
            Some('f') => plain.push('\x0c'),
            Some('u') => {
                let digits: String = rest.by_ref().take(4).collect();
                plain.extend(u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32));
            }
            // The line goes on: its end and the blanks that begin the next are not part of it.
            Some('\r' | '\n') => while rest.next_if(|c| matches!(c, '\n' | ' ' | '\t')).is_some() {},
            Some(other) => plain.push(other),
            None => {}
        }
    }
    plain
}

/// Backslashes mean themselves only when doubled, and a leading blank would be taken for separator.
fn escaped(value: &str) -> String {
    let text = value
        .replace('\\', "\\\\")
        .replace('\n', "\\n")
        .replace('\r', "\\r")
        .replace('\t', "\\t");
    if text.starts_with(' ') {
        format!("\\{text}")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "# defaults\nspark.master   mesos://leader:5050\nspark.a=1\n! c\\\nspark.long = x,\\\n   y\nspark.e:\\\\d\n";

    #[test]
    fn every_way_to_write_an_entry_is_read() {
        let properties = Properties::parse(TEXT);
        for (key, value) in [
            ("spark.master", "mesos://leader:5050"),
            ("spark.a", "1"),
            ("spark.long", "x,y"),
            ("spark.e", "\\d"),
        ] {
            assert_eq!(properties.get(key), Some(value), "{key}");
        }
        assert_eq!(properties.get("c"), None);
    }

    #[test]
    fn an_edit_touches_its_line_alone() {
        let mut properties = Properties::parse(TEXT);
        properties.set("spark.a", "b\\:c");
        assert_eq!(properties.text(), TEXT.replace("spark.a=1", "spark.a=b\\\\:c"));
        assert_eq!(properties.get("spark.a"), Some("b\\:c"));
        properties.set("spark.a", "1");
        properties.set("spark.new", "n");
        assert_eq!(properties.text(), format!("{TEXT}spark.new=n\n"));
    }

    #[test]
    fn a_text_without_a_last_newline_gets_one() {
        let mut properties = Properties::parse("a 1");
        properties.set("b", "2");
        assert_eq!(properties.text(), "a 1\nb 2\n");
    }
}
