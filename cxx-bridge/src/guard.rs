//! What must not leave Rust: panics, and errors that lost their causes.

use std::any::Any;
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `call` and turns a panic into its message. The process stays as it is: what the panicking
/// call held is dropped, and shared state is behind locks that the isolator treats as poisoned.
pub(crate) fn contain<T>(what: &str, call: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| {
        format!(
            "internal error in {what}: {} (a bug; the agent's log says where)",
            words(panic.as_ref())
        )
    })
}

/// The error and its causes on one line, since only one text crosses to C++. A cause that its error
/// already quotes is not repeated.
pub(crate) fn one_line(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !line.contains(&words) {
            line.push_str(": ");
            line.push_str(&words);
        }
        cause = error.source();
    }
    line
}

/// Longer texts are cut: glog drops what lies beyond 30,000 bytes, and a task's status is meant to
/// be read.
const LONGEST: usize = 8_000;

/// One line of bounded length. Control characters become blanks and what is not seen becomes
/// visible, so that the words of a label or a driver cannot look like lines of the agent's own log.
pub(crate) fn flat(text: &str) -> String {
    let mut line = foreign_text::one_line(text);
    if line.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|&end| line.is_char_boundary(end));
        line.truncate(end.unwrap_or_default());
        line.push_str("...");
    }
    line
}

/// The text of a panic, when it has one.
pub(crate) fn words(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without words")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read the parameters")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("byte 7 is odd")]
    struct Inner;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read the parameters: {0}")]
    struct Quoting(#[source] Inner);

    #[test]
    fn causes_are_joined_on_one_line() {
        assert_eq!(one_line(&Outer(Inner)), "cannot read the parameters: byte 7 is odd");
    }

    #[test]
    fn a_cause_already_quoted_is_not_repeated() {
        assert_eq!(one_line(&Quoting(Inner)), "cannot read the parameters: byte 7 is odd");
    }

    #[test]
    fn a_text_is_one_line_whatever_it_holds() {
        assert_eq!(
            flat("gone\r\nE0101 slave.cpp:1] lost\u{1b}[31m"),
            "gone  E0101 slave.cpp:1] lost [31m"
        );
    }

    #[test]
    fn a_text_without_end_is_cut_between_characters() {
        let line = flat(&"€".repeat(20_000));
        assert!(line.ends_with("€..."));
        assert!(line.len() <= LONGEST + 3);
    }

    #[test]
    fn a_panic_becomes_an_error_with_its_words() {
        let error = contain("prepare", || -> () { panic!("slot {} is taken", 3) }).unwrap_err();
        assert_eq!(
            error,
            "internal error in prepare: slot 3 is taken (a bug; the agent's log says where)"
        );
    }

    #[test]
    fn a_call_that_returns_is_left_alone() {
        assert_eq!(contain("prepare", || 7), Ok(7));
    }
}
