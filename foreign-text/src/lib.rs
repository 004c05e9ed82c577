//! Text that somebody else wrote, made fit for a message, a log or a terminal.
//!
//! Labels, drivers, files and frameworks hand over text that is repeated to people. Some characters in it are not seen, or
//! change how the text around them is read: control characters and escape sequences, line separators, marks that reverse the
//! direction of writing (U+202E), characters of no width (U+200B). Every program of this workspace passes foreign text through
//! one of these functions before a person reads it.
//!
//! ```
//! assert_eq!(foreign_text::escaped("pay\u{202e}llor\n"), "pay\\u{202e}llor\\n");
//! assert_eq!(foreign_text::one_line("two\nlines\u{200b}"), "two lines\\u{200b}");
//! ```
#![forbid(unsafe_code)]

/// Whether a character is seen as itself, wherever it stands: no control, formatting, separating or unassigned character.
/// A mark that combines with the letter before it, such as U+0301, is visible.
pub fn is_visible(c: char) -> bool {
    if matches!(c, ' '..='~') {
        return true;
    }
    // The standard library knows what prints. Behind another character it leaves marks that combine as they are.
    let mut pair = [b'a'; 5];
    let length = c.encode_utf8(&mut pair[1..]).len();
    let pair = std::str::from_utf8(&pair[..=length]).unwrap_or_default();
    pair.escape_debug().nth(1) == Some(c) && !is_ignorable(c)
}

/// Characters that Unicode counts as letters or marks and that take no room, so that fonts show nothing for them.
fn is_ignorable(c: char) -> bool {
    matches!(
        c,
        '\u{34f}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{17b4}'
            | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{ffa0}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// The text with every character that is not visible written as an escape: `\n`, `\u{202e}`. So are marks that combine: many of
/// them on one letter cover the lines around it.
pub fn escaped(text: &str) -> String {
    text.chars().flat_map(Escaped::of).collect()
}

/// As [`escaped`], of the first `limit` characters; an ellipsis stands for the rest.
pub fn escaped_and_cut(text: &str, limit: usize) -> String {
    let mut chars = text.chars();
    let mut shown: String = chars.by_ref().take(limit).flat_map(Escaped::of).collect();
    if chars.next().is_some() {
        shown.push('…');
    }
    shown
}

/// The text as one line: a blank for each control character and line separator, an escape for any other character that is not
/// visible. Marks that combine stay, so that names in any script can be read.
pub fn one_line(text: &str) -> String {
    let line = text.chars().flat_map(|c| match c {
        _ if is_visible(c) => Escaped::As(Some(c)),
        _ if c.is_control() || c.is_whitespace() => Escaped::As(Some(' ')),
        _ => Escaped::Code(c.escape_unicode()),
    });
    line.collect()
}

/// JSON with every character that is not visible written as JSON writes escapes: `\u202e`. Such characters stand only inside of
/// JSON's strings, so that the value is the same.
pub fn json(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\n' || is_visible(c) {
            shown.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            shown.push_str(&format!("\\u{unit:04x}"));
        }
    }
    shown
}

/// As [`escaped`], of a text of several lines: line feeds and tabs stay as they are, and the text ends
/// with a line feed unless it is empty.
pub fn escaped_lines(text: &str) -> String {
    let line = |line: &str| line.split('\t').map(escaped).collect::<Vec<_>>().join("\t") + "\n";
    text.lines().map(line).collect()
}

/// Rows of cells as a table for a terminal: each column is as wide as its widest cell, and columns are
/// two blanks apart. Cells are printed as they are.
pub fn columns(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}

/// One character, or what stands for it.
enum Escaped {
    As(Option<char>),
    Debug(std::char::EscapeDebug),
    Code(std::char::EscapeUnicode),
}

impl Escaped {
    fn of(c: char) -> Self {
        // `escape_debug` escapes quotes and backslashes as well, which are harmless.
        match c {
            '\'' | '"' | '\\' => Self::As(Some(c)),
            _ if is_ignorable(c) => Self::Code(c.escape_unicode()),
            _ => Self::Debug(c.escape_debug()),
        }
    }
}

impl Iterator for Escaped {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        match self {
            Self::As(c) => c.take(),
            Self::Debug(escape) => escape.next(),
            Self::Code(escape) => escape.next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each changes how a line reads without being seen.
    const DECEPTIVE: &str = "\0\u{7}\u{1b}\u{7f}\u{85}\u{9b}\u{ad}\u{34f}\u{61c}\u{180e}\u{200b}\u{200c}\u{200d}\u{200e}\u{200f}\u{2028}\
                             \u{2029}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2060}\u{2066}\u{2067}\u{2068}\u{2069}\u{206a}\
                             \u{3164}\u{fe0f}\u{feff}\u{ffa0}\u{fff9}\u{e0001}\u{e0041}\u{e0100}";

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["NAME", "X"], ["é", "longer"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(columns(&rows), "NAME  X\né     longer\n");
    }

    #[test]
    fn lines_and_tabs_of_a_text_stay_and_escape_sequences_do_not() {
        assert_eq!(escaped_lines("a\tb\u{1b}[2J\r\nc"), "a\tb\\u{1b}[2J\nc\n");
        assert_eq!(escaped_lines(""), "");
    }

    #[test]
    fn attack_no_deceptive_character_comes_through_any_function() {
        for c in DECEPTIVE.chars() {
            assert!(!is_visible(c), "{c:?}");
            let text = format!("a{c}b");
            for shown in [escaped(&text), escaped_and_cut(&text, 9), one_line(&text), json(&text)] {
                assert!(!shown.contains(c), "{shown:?}");
                assert!(shown.starts_with('a') && shown.ends_with('b'), "{shown:?}");
            }
        }
    }

    #[test]
    fn text_in_any_script_stays_readable() {
        for text in ["flights", "Prüfung", "日本語", "данные", "שלום", "'a' \"b\" \\c", "🚀"] {
            assert_eq!(escaped(text), text);
            assert_eq!(one_line(text), text);
            assert_eq!(json(text), text);
        }
        assert_eq!(one_line("e\u{301}"), "e\u{301}");
        assert_eq!(escaped("e\u{301}"), "e\\u{301}");
    }

    #[test]
    fn json_keeps_its_value() {
        assert_eq!(
            json("{\n  \"a\": \"\u{202e}\u{e0041}\"\n}"),
            "{\n  \"a\": \"\\u202e\\udb40\\udc41\"\n}"
        );
    }

    #[test]
    fn long_text_is_cut_at_a_character() {
        assert_eq!(escaped_and_cut("ééééé", 3), "ééé…");
        assert_eq!(escaped_and_cut("abc", 3), "abc");
    }
}
