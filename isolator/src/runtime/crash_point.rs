//! Named places where a test ends the agent, as a power cut would.
//!
//! | point | where |
//! |---|---|
//! | `record-begin`, `record-end` | around a batch of records: of a lone container the first is the intent, the second the mountpoint, the third the release, the fourth the removal |
//! | `mount-begin`, `mount-end` | around the driver's Mount |
//! | `create-begin`, `create-end` | around the driver's Create of a volume that is made for a container |
//! | `remove-begin`, `remove-end` | around the driver's Remove |
//! | `unmount-begin`, `unmount-end` | around the driver's Unmount |

/// In debug builds, ends the process with SIGKILL when the environment variable `MESOS_EXTERNAL_VOLUMES_CRASH_AT` names this
/// point, as `point` or, for the n-th time it is passed, as `point:n`. Release builds have none of it.
pub(crate) fn crash_point(name: &str) {
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

    pub(crate) fn end_at(name: &str) {
        let Ok(wanted) = std::env::var("MESOS_EXTERNAL_VOLUMES_CRASH_AT") else {
            return;
        };
        let (point, nth) = match wanted.split_once(':') {
            Some((point, nth)) => (point, nth.parse().unwrap_or(1)),
            None => (wanted.as_str(), 1),
        };
        if point == name && PASSED.fetch_add(1, Ordering::Relaxed) + 1 == nth {
            tracing::error!(
                point = wanted,
                "ending the agent at the point that MESOS_EXTERNAL_VOLUMES_CRASH_AT names"
            );
            if kill_process(getpid(), Signal::KILL).is_err() {
                std::process::abort();
            }
        }
    }
}
