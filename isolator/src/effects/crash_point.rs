//! Named places where a test ends the agent, as a power cut would.

/// In debug builds, ends the process with SIGKILL when the environment variable
/// `MESOS_EXTERNAL_VOLUMES_CRASH_AT` names this point. Release builds have none of it.
pub(super) fn crash_point(name: &str) {
    #[cfg(debug_assertions)]
    if std::env::var("MESOS_EXTERNAL_VOLUMES_CRASH_AT").is_ok_and(|wanted| wanted == name) {
        use rustix::process::{Signal, getpid, kill_process};
        tracing::error!(
            point = name,
            "ending the agent at the point that MESOS_EXTERNAL_VOLUMES_CRASH_AT names"
        );
        if kill_process(getpid(), Signal::KILL).is_err() {
            std::process::abort();
        }
    }
    #[cfg(not(debug_assertions))]
    let _ = name;
}
