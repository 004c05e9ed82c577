//! Named places where a test ends the scheduler, as a power cut would.
//!
//! | point | where |
//! |---|---|
//! | `accept-begin` | a launch is on disk and the master has not heard of it |
//! | `accept-end` | the master has the launch and the scheduler has noted nothing of that |

use mesos_http::scheduler::Call;

/// Sends a call, with the points around it.
pub(crate) fn around<T>(call: &Call, send: impl FnOnce() -> T) -> T {
    let launches = matches!(call, Call::Accept(_));
    if launches {
        crash_point("accept-begin");
    }
    let sent = send();
    if launches {
        crash_point("accept-end");
    }
    sent
}

/// In debug builds, ends the process with SIGKILL when the environment variable `SCHEDULER_CRASH_AT` names this point, as
/// `point` or, for the n-th time it is passed, as `point:n`. Release builds have none of it.
fn crash_point(name: &str) {
    #[cfg(debug_assertions)]
    wanted::end_at(name);
    #[cfg(not(debug_assertions))]
    let _ = name;
}

#[cfg(debug_assertions)]
mod wanted {
    use std::sync::atomic::{AtomicU32, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    static PASSED: AtomicU32 = AtomicU32::new(0);

    pub(super) fn end_at(name: &str) {
        let Ok(wanted) = std::env::var("SCHEDULER_CRASH_AT") else {
            return;
        };
        let (point, nth) = match wanted.split_once(':') {
            Some((point, nth)) => (point, nth.parse().unwrap_or(1)),
            None => (wanted.as_str(), 1),
        };
        if point == name && PASSED.fetch_add(1, Ordering::Relaxed) + 1 == nth {
            eprintln!("scheduler: ending at the point {wanted} that SCHEDULER_CRASH_AT names");
            if kill_process(getpid(), Signal::KILL).is_err() {
                std::process::abort();
            }
        }
    }
}
