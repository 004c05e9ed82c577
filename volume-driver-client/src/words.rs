//! Words of a driver made fit for a log line: one line, no control characters, bounded.

use foreign_text::is_visible;

/// Longest text of a driver that is kept, in characters.
pub(crate) const WORDS_LIMIT: usize = 400;
/// Longest name that is repeated in a message, in characters.
pub(crate) const NAME_LIMIT: usize = 128;

/// Strips escape sequences, control and invisible formatting characters, folds white space, and cuts at `limit`.
///
/// local-persist wraps names in ANSI colours, and a label's text comes back in error messages: neither may
/// reach a log as it is.
pub(crate) fn clean(text: &str, limit: usize) -> String {
    let mut out = String::with_capacity(text.len().min(limit * 4));
    let mut kept = 0;
    let mut pending_space = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            skip_escape(&mut chars);
            continue;
        }
        if c.is_whitespace() || c.is_control() {
            pending_space = kept > 0;
            continue;
        }
        // Characters without a shape of their own change how a log line reads without being seen.
        if !is_visible(c) {
            continue;
        }
        let needed = 1 + usize::from(pending_space);
        if kept + needed > limit {
            out.push('…');
            break;
        }
        if pending_space {
            out.push(' ');
            pending_space = false;
        }
        out.push(c);
        kept += needed;
    }
    out
}

/// Cleans bytes that should be text and may be anything.
pub(crate) fn clean_bytes(bytes: &[u8], limit: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    if looks_like_html(&text) {
        clean(&without_tags(&text), limit)
    } else {
        clean(&text, limit)
    }
}

/// Consumes what follows ESC: `[` up to a final byte (CSI), `]` up to BEL or ST (OSC), else one character.
fn skip_escape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match chars.peek() {
        Some('[') => {
            chars.next();
            while let Some(&c) = chars.peek() {
                // A sequence holds only 0x20..=0x3f before its final byte; anything else means it was cut off.
                match c {
                    ' '..='?' => {
                        chars.next();
                    }
                    '@'..='~' => {
                        chars.next();
                        break;
                    }
                    _ => break,
                }
            }
        }
        Some(']') => {
            for c in chars.by_ref() {
                if c == '\u{7}' || c == '\u{1b}' {
                    break;
                }
            }
            if chars.peek() == Some(&'\\') {
                chars.next();
            }
        }
        Some(c) if !c.is_control() => {
            chars.next();
        }
        _ => {}
    }
}

fn looks_like_html(text: &str) -> bool {
    let start = text.trim_start();
    let start = start.get(..start.len().min(64)).unwrap_or(start);
    let start = start.to_ascii_lowercase();
    start.starts_with("<!doctype html") || start.starts_with("<html")
}

/// The text of a web page: the inside of `<style>` and `<script>` and every tag removed, the commonest entities read.
fn without_tags(html: &str) -> String {
    let mut out = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(open) = rest.find('<') {
        out.push_str(&rest[..open]);
        out.push(' ');
        let tag = &rest[open..];
        let lower: String = tag.chars().take(8).collect::<String>().to_ascii_lowercase();
        let end = if lower.starts_with("<style") {
            tag.find("</style>").map(|at| at + "</style>".len())
        } else if lower.starts_with("<script") {
            tag.find("</script>").map(|at| at + "</script>".len())
        } else {
            tag.find('>').map(|at| at + 1)
        };
        match end {
            Some(end) => rest = &tag[end..],
            None => {
                rest = "";
                break;
            }
        }
    }
    out.push_str(rest);
    for (entity, text) in [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#039;", "'"),
        ("&amp;", "&"),
    ] {
        out = out.replace(entity, text);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_control_characters_and_direction_marks_are_removed() {
        assert_eq!(
            clean("no \u{1b}[31mdb\u{1b}[0m\r\n\tvol\0ume\u{202e}x", 80),
            "no db vol umex"
        );
    }

    #[test]
    fn an_escape_that_is_cut_off_swallows_nothing_after_it() {
        assert_eq!(clean("a\u{1b}", 80), "a");
        assert_eq!(clean("a\u{1b}[3é", 80), "aé");
        assert_eq!(clean("a\u{1b}]0;title\u{7}b", 80), "ab");
    }

    #[test]
    fn long_words_are_cut_at_a_character() {
        assert_eq!(clean("ééééé", 3), "ééé…");
        assert_eq!(clean("abc", 3), "abc");
    }

    #[test]
    fn a_web_page_is_reduced_to_its_text() {
        let page = b"<!DOCTYPE HTML><html><head><style>b{}</style></head><body><h1>Error: 500</h1>it&#039;s</body>";
        assert_eq!(clean_bytes(page, 80), "Error: 500 it's");
    }
}
