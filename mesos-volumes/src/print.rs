//! Output: words of drivers are data, so a terminal never gets their control characters.

use std::io::{self, Write};

use serde_json::Value;

use crate::failure::Failure;

/// What a command has to say: to programs and to people.
pub(crate) struct Said {
    pub(crate) json: Value,
    pub(crate) text: String,
}

/// Prints what a command has to say.
pub(crate) fn said(said: &Said, as_json: bool) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    if as_json {
        writeln!(out, "{}", json(&said.json))?;
    } else {
        write!(out, "{}", said.text)?;
    }
    out.flush()?;
    Ok(())
}

/// Prints a failure for programs; that it cannot be printed is said by what follows on stderr and
/// by the exit code.
pub(crate) fn failure(failure: &Failure) {
    let _ = writeln!(io::stdout().lock(), "{}", json(&failure.to_json()));
}

/// A text of a driver or a file for people: characters that are not seen are shown, not sent.
pub(crate) fn plain(text: &str) -> String {
    foreign_text::escaped(text)
}

/// JSON in which characters that are not seen are escaped: a terminal may be what reads it.
pub(crate) fn json(value: &Value) -> String {
    foreign_text::json(&format!("{value:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_and_not_sent() {
        assert_eq!(plain("a\u{1b}[2Jb\n\u{202e}"), "a\\u{1b}[2Jb\\n\\u{202e}");
    }
}
