//! The task's health check and check, each repeated by a thread of its own while the task runs.

use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use mesos_http::types::{CheckKind, CheckStatus, CommandResult, HttpResult, TaskInfo, TcpResult};

use crate::health::{Health, Verdict};
use crate::probe::{Probe, Sight};

/// The longest wait this program computes with; a check without a limit gets this one.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// A result worth a status update.
#[derive(Debug)]
pub(crate) enum CheckResult {
    Health(Verdict),
    Check(CheckStatus),
}

/// What is checked while a task runs.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    health: Option<(Probe, Rhythm, Health)>,
    check: Option<(Probe, Rhythm, CheckStatus)>,
}

/// Ends the checks when it is dropped.
#[derive(Debug)]
pub(crate) struct RunningChecks {
    _stop: Sender<()>,
}

#[derive(Debug, Clone, Copy)]
struct Rhythm {
    delay: Duration,
    interval: Duration,
    timeout: Duration,
}

impl Rhythm {
    fn new(delay: f64, interval: f64, timeout: f64) -> Rhythm {
        let seconds = |s: f64| {
            Duration::try_from_secs_f64(s.max(0.0))
                .unwrap_or(FOR_EVER)
                .min(FOR_EVER)
        };
        let timeout = if timeout > 0.0 { seconds(timeout) } else { FOR_EVER };
        Rhythm {
            delay: seconds(delay),
            interval: seconds(interval),
            timeout,
        }
    }
}

impl Checks {
    /// What the task asks for. The error, for what is not supported, fails the task: a check that
    /// is silently left out would let a sick task live on.
    pub(crate) fn of(task: &TaskInfo, namespace_of: Option<i32>) -> Result<Checks, String> {
        let mut checks = Checks::default();
        if let Some(check) = &task.health_check {
            let rhythm = Rhythm::new(check.delay_seconds, check.interval_seconds, check.timeout_seconds);
            let grace = Rhythm::new(check.grace_period_seconds, 0.0, 0.0).delay;
            let health = Health::new(Instant::now(), grace, check.consecutive_failures);
            checks.health = Some((Probe::of_health_check(check, namespace_of)?, rhythm, health));
        }
        if let Some(check) = &task.check {
            let rhythm = Rhythm::new(check.delay_seconds, check.interval_seconds, check.timeout_seconds);
            let status = no_result_yet(check.kind.clone());
            checks.check = Some((Probe::of_check(check, namespace_of)?, rhythm, status));
        }
        Ok(checks)
    }

    /// The state of the check before its first result. Mesos wants it in every update of a task
    /// that has a check.
    pub(crate) fn first_status(task: &TaskInfo) -> Option<CheckStatus> {
        task.check.as_ref().map(|check| no_result_yet(check.kind.clone()))
    }

    /// Begins to check. Results go to `results` until what is returned is dropped.
    pub(crate) fn start(self, results: Sender<CheckResult>) -> RunningChecks {
        let (stop, stopped) = crossbeam_channel::bounded(0);
        if let Some((probe, rhythm, mut health)) = self.health {
            let (results, stopped) = (results.clone(), stopped.clone());
            repeat("health-check", probe, rhythm, stopped, move |sight| {
                let healthy = sight.is_ok_and(|sight| sight.is_healthy());
                if let Some(verdict) = health.result(healthy, Instant::now()) {
                    let _ = results.send(CheckResult::Health(verdict));
                }
            });
        }
        if let Some((probe, rhythm, mut last)) = self.check {
            let kind = last.kind.clone();
            repeat("check", probe, rhythm, stopped, move |sight| {
                let status = status(kind.clone(), sight.ok());
                if status != last {
                    last = status.clone();
                    let _ = results.send(CheckResult::Check(status));
                }
            });
        }
        RunningChecks { _stop: stop }
    }
}

/// Looks again and again until the other end of `stopped` is dropped.
fn repeat(
    name: &'static str,
    probe: Probe,
    rhythm: Rhythm,
    stopped: Receiver<()>,
    mut seen: impl FnMut(Result<Sight, String>) + Send + 'static,
) {
    let work = move || {
        let mut pause = rhythm.delay;
        while let Err(error) = stopped.recv_timeout(pause)
            && error.is_timeout()
        {
            let sight = probe.look(rhythm.timeout);
            if let Err(reason) = &sight {
                tracing::warn!(name, %reason, "nothing seen");
            }
            seen(sight);
            pause = rhythm.interval;
        }
    };
    thread::Builder::new()
        .name(name.to_string())
        .spawn(work)
        .expect("the system has no thread left for a check");
}

fn no_result_yet(kind: Option<CheckKind>) -> CheckStatus {
    status(kind, None)
}

/// Without a sight the result is empty, as Mesos wants it.
fn status(kind: Option<CheckKind>, sight: Option<Sight>) -> CheckStatus {
    let mut status = CheckStatus {
        kind,
        ..CheckStatus::default()
    };
    match status.kind {
        Some(CheckKind::Command) => status.command = Some(CommandResult::default()),
        Some(CheckKind::Http) => status.http = Some(HttpResult::default()),
        Some(CheckKind::Tcp) => status.tcp = Some(TcpResult::default()),
        _ => {}
    }
    match sight {
        Some(Sight::Exit(exit_code)) => status.command = Some(CommandResult { exit_code }),
        Some(Sight::Status(code)) => {
            status.http = Some(HttpResult {
                status_code: Some(code.into()),
            })
        }
        Some(Sight::Connected(succeeded)) => {
            status.tcp = Some(TcpResult {
                succeeded: Some(succeeded),
            })
        }
        None => {}
    }
    status
}

#[cfg(test)]
mod tests {
    use mesos_http::types::{CommandInfo, HealthCheck};

    use super::*;

    fn task_with(check: HealthCheck) -> TaskInfo {
        let mut task = TaskInfo::command("t", "S".into(), CommandInfo::shell("true"), Default::default());
        task.health_check = Some(check);
        task
    }

    #[test]
    fn failures_in_a_row_ask_for_the_kill() {
        let mut check = HealthCheck::command(CommandInfo::shell("false"));
        check.delay_seconds = 0.0;
        check.interval_seconds = 0.01;
        check.grace_period_seconds = 0.0;
        let (sender, results) = crossbeam_channel::unbounded();
        let running = Checks::of(&task_with(check), None).unwrap().start(sender);
        let verdicts: Vec<bool> = results
            .iter()
            .take(3)
            .map(|result| {
                matches!(
                    result,
                    CheckResult::Health(Verdict {
                        healthy: false,
                        kill: true
                    })
                )
            })
            .collect();
        assert_eq!(verdicts, [false, false, true]);
        drop(running);
        // The thread ends, and with it the last sender.
        while results.recv().is_ok() {}
    }

    #[test]
    fn a_check_that_is_not_supported_is_an_error() {
        let check = HealthCheck {
            kind: None,
            ..HealthCheck::command(CommandInfo::shell("true"))
        };
        assert!(Checks::of(&task_with(check), None).unwrap_err().contains("no type"));
    }
}
