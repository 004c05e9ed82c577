//! Named places at which a test ends a program, as a power cut would. Release builds have none.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Signal, getpid, kill_process};

/// The crash points of one program.
#[derive(Debug)]
pub struct CrashPoints {
    variable: &'static str,
    passed: AtomicU32,
}

impl CrashPoints {
    /// The environment variable `variable` names the point at which the program ends, as `point`
    /// or, for the n-th time that it is passed, as `point:n`.
    pub const fn new(variable: &'static str) -> CrashPoints {
        CrashPoints {
            variable,
            passed: AtomicU32::new(0),
        }
    }

    /// In debug builds, ends the process with SIGKILL when the environment names this point.
    /// `announce` gets the sentence for the log before that.
    pub fn pass(&self, point: &str, announce: impl FnOnce(&str)) {
        if !cfg!(debug_assertions) {
            return;
        }
        let Ok(wanted) = std::env::var(self.variable) else {
            return;
        };
        let (name, nth) = match wanted.split_once(':') {
            Some((name, nth)) => (name, nth.parse().unwrap_or(1)),
            None => (wanted.as_str(), 1),
        };
        if name != point || self.passed.fetch_add(1, Ordering::Relaxed) + 1 != nth {
            return;
        }
        announce(&format!(
            "ending the process at the point {wanted} that {} names",
            self.variable
        ));
        if kill_process(getpid(), Signal::KILL).is_err() {
            std::process::abort();
        }
    }
}
