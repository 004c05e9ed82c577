//! What a check found.

use serde_json::{Value, json};

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    /// As it should be.
    Ok,
    /// It works, and will not in some case that the finding names.
    Warn,
    /// Containers will not get volumes, or not keep them.
    Fail,
}

impl State {
    pub(super) fn word(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Warn => "warn",
            State::Fail => "fail",
        }
    }
}

/// One check.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) check: &'static str,
    pub(super) state: State,
    /// What was seen.
    pub(super) found: String,
    /// What to do about it; empty when it is well.
    pub(super) remedy: String,
}

impl Finding {
    pub(super) fn ok(check: &'static str, found: impl Into<String>) -> Finding {
        Finding {
            check,
            state: State::Ok,
            found: found.into(),
            remedy: String::new(),
        }
    }

    pub(super) fn warn(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding {
            check,
            state: State::Warn,
            found: found.into(),
            remedy: remedy.into(),
        }
    }

    pub(super) fn fail(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding {
            state: State::Fail,
            ..Finding::warn(check, found, remedy)
        }
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "check": self.check,
            "state": self.state.word(),
            "found": self.found,
            "mend": if self.remedy.is_empty() { Value::Null } else { self.remedy.clone().into() },
        })
    }
}
