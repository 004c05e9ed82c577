//! How a command ended, in the words Mesos uses.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// The signals 1 to 31 of Linux as the C library describes them.
const SIGNALS: [&str; 31] = [
    "Hangup",
    "Interrupt",
    "Quit",
    "Illegal instruction",
    "Trace/breakpoint trap",
    "Aborted",
    "Bus error",
    "Floating point exception",
    "Killed",
    "User defined signal 1",
    "Segmentation fault",
    "User defined signal 2",
    "Broken pipe",
    "Alarm clock",
    "Terminated",
    "Stack fault",
    "Child exited",
    "Continued",
    "Stopped (signal)",
    "Stopped",
    "Stopped (tty input)",
    "Stopped (tty output)",
    "Urgent I/O condition",
    "CPU time limit exceeded",
    "File size limit exceeded",
    "Virtual timer expired",
    "Profiling timer expired",
    "Window changed",
    "I/O possible",
    "Power failure",
    "Bad system call",
];

/// `exited with status 1` or `terminated with signal Killed`.
pub(crate) fn describe(status: ExitStatus) -> String {
    if let Some(code) = status.code() {
        return format!("exited with status {code}");
    }
    let Some(signal) = status.signal() else {
        return format!("wait status {}", status.into_raw());
    };
    let name = usize::try_from(signal - 1).ok().and_then(|index| SIGNALS.get(index));
    let dumped = if status.core_dumped() { " (core dumped)" } else { "" };
    match name {
        Some(name) => format!("terminated with signal {name}{dumped}"),
        None => format!("terminated with signal {signal}{dumped}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_mesos() {
        for (wait_status, words) in [
            (0, "exited with status 0"),
            (1 << 8, "exited with status 1"),
            (127 << 8, "exited with status 127"),
            (9, "terminated with signal Killed"),
            (15, "terminated with signal Terminated"),
            (11 | 0x80, "terminated with signal Segmentation fault (core dumped)"),
            (40, "terminated with signal 40"),
        ] {
            assert_eq!(describe(ExitStatus::from_raw(wait_status)), words);
        }
    }
}
