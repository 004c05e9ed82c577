//! Named places where a test ends the scheduler, as a power cut would.
//!
//! | point | where |
//! |---|---|
//! | `accept-begin` | a launch is on disk and the master has not heard of it |
//! | `accept-end` | the master has the launch and the scheduler has noted nothing of that |

use crash_points::CrashPoints;
use mesos_http::scheduler::Call;

static POINTS: CrashPoints = CrashPoints::new("SCHEDULER_CRASH_AT");

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

/// In debug builds, ends the process with SIGKILL when `SCHEDULER_CRASH_AT` names this point.
fn crash_point(name: &str) {
    POINTS.pass(name, |sentence| eprintln!("scheduler: {sentence}"));
}
