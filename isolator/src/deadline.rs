//! Whether our own time limits leave Mesos room before its own, after which a framework hears
//! nothing of the cause.
//!
//! The agent's `--executor_registration_timeout` counts from the launch of an executor. When a
//! container does not get its volumes, our answer comes after `prepare_timeout` at the latest; then
//! Mesos destroys the container, which takes up to `cleanup_wait`, and only then passes the reason
//! on to the framework.

use std::fs;
use std::time::Duration;

use tracing::{info, warn};

use crate::config::Config;

/// The flag's default (Mesos 1.4 to 1.11).
const DEFAULT: Duration = Duration::from_secs(60);

/// What Mesos needs besides: to fetch files, to start the executor, to destroy a container.
const ROOM: Duration = Duration::from_secs(5);

/// How the module's time limits stand to the agent's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeadlineFit {
    /// The framework hears the reason.
    Fits,
    /// Less than five seconds are left; one line with the figures.
    Tight(String),
    /// Mesos gives the container up first; one line with the figures.
    TooLate(String),
}

/// What to do about [`DeadlineFit::Tight`] and [`DeadlineFit::TooLate`].
pub const DEADLINE_REMEDY: &str =
    "raise the agent's --executor_registration_timeout, or lower prepare_timeout and cleanup_wait (module parameters)";

impl Config {
    /// Holds `prepare_timeout` and `cleanup_wait` against the agent's
    /// `--executor_registration_timeout`.
    pub fn deadline_fit(&self, registration: Duration) -> DeadlineFit {
        let ours = self.prepare_timeout + self.cleanup_wait;
        let figures = format!(
            "prepare_timeout ({}) and cleanup_wait ({}) take {} together, --executor_registration_timeout is {}",
            mesos_durations::format(self.prepare_timeout),
            mesos_durations::format(self.cleanup_wait),
            mesos_durations::format(ours),
            mesos_durations::format(registration)
        );
        if ours >= registration {
            DeadlineFit::TooLate(format!(
                "{figures}: when a driver hangs, Mesos gives the container up first, and its framework does not learn why"
            ))
        } else if ours + ROOM > registration {
            DeadlineFit::Tight(format!(
                "{figures}: less than {} s are left to fetch and start what needs a volume",
                ROOM.as_secs()
            ))
        } else {
            DeadlineFit::Fits
        }
    }

    /// How long Mesos may take from the hook's answer to the registration of an executor, with
    /// twice the agent's own limit, and ten minutes at least.
    pub(crate) fn launch_limit() -> Duration {
        let registration = registration_timeout().unwrap_or(DEFAULT);
        (registration * 2).max(Duration::from_secs(600))
    }

    /// Warns in the log when the limits do not fit those of the agent that this process is.
    pub(crate) fn warn_of_deadline(&self) {
        let registration = match registration_timeout() {
            Ok(timeout) => timeout,
            Err(problem) => {
                info!(
                    %problem,
                    "cannot tell whether prepare_timeout fits the agent's own limit"
                );
                return;
            }
        };
        if let DeadlineFit::Tight(problem) | DeadlineFit::TooLate(problem) = self.deadline_fit(registration) {
            warn!(
                problem,
                remedy = DEADLINE_REMEDY,
                "the time limits do not fit those of the agent"
            );
        }
    }
}

/// Why the agent's `--executor_registration_timeout` is not known.
#[derive(Debug, thiserror::Error)]
enum FlagError {
    #[error("{path}: {cause}")]
    File { path: String, cause: std::io::Error },
    #[error("--executor_registration_timeout={text}: {cause}")]
    Duration {
        text: String,
        cause: mesos_durations::DurationError,
    },
}

/// The agent's `--executor_registration_timeout`. Mesos does not give a module the agent's flags,
/// so they are read where the agent reads them itself: from its command line, else from its
/// environment.
fn registration_timeout() -> Result<Duration, FlagError> {
    let arguments = fs::read("/proc/self/cmdline").map_err(|cause| FlagError::File {
        path: "/proc/self/cmdline".to_owned(),
        cause,
    })?;
    let arguments: Vec<String> = arguments
        .split(|byte| *byte == 0)
        .map(|argument| String::from_utf8_lossy(argument).into_owned())
        .collect();
    timeout_of(&arguments, std::env::var("MESOS_EXECUTOR_REGISTRATION_TIMEOUT").ok())
}

fn timeout_of(arguments: &[String], variable: Option<String>) -> Result<Duration, FlagError> {
    let flag = |argument: &String| {
        argument
            .strip_prefix("--executor_registration_timeout=")
            .map(str::to_owned)
    };
    let Some(value) = arguments.iter().rev().find_map(flag).or(variable) else {
        return Ok(DEFAULT);
    };
    // As Mesos does, for any flag.
    let text = match value.strip_prefix("file://") {
        Some(path) => fs::read_to_string(path).map_err(|cause| FlagError::File {
            path: path.to_owned(),
            cause,
        })?,
        None => value,
    };
    mesos_durations::parse(text.trim()).map_err(|cause| FlagError::Duration {
        text: text.trim().to_owned(),
        cause,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_defaults_leave_room_below_the_agents_default() {
        assert_eq!(Config::default().deadline_fit(DEFAULT), DeadlineFit::Fits);
    }

    #[test]
    fn limits_that_do_not_fit_are_told_with_all_three_figures() {
        let config = Config {
            prepare_timeout: seconds(50),
            cleanup_wait: seconds(10),
            ..Config::default()
        };
        let DeadlineFit::TooLate(problem) = config.deadline_fit(seconds(60)) else {
            panic!("it is too late")
        };
        for words in ["50secs", "10secs", "--executor_registration_timeout is 60secs"] {
            assert!(problem.contains(words), "'{words}' is not in: {problem}");
        }
        assert!(matches!(config.deadline_fit(seconds(61)), DeadlineFit::Tight(_)));
        assert_eq!(config.deadline_fit(seconds(65)), DeadlineFit::Fits);
    }

    #[test]
    fn the_flag_is_read_from_the_command_line_and_else_from_the_environment() {
        let arguments = |text: &str| -> Vec<String> { text.split(' ').map(str::to_owned).collect() };
        let variable = |text: &str| Some(text.to_owned());
        let given = arguments("mesos-agent --executor_registration_timeout=5mins --work_dir=/x");
        assert_eq!(timeout_of(&given, variable("2mins")).unwrap(), seconds(300));
        let bare = arguments("mesos-agent --work_dir=/x");
        assert_eq!(timeout_of(&bare, variable("90secs")).unwrap(), seconds(90));
        assert_eq!(timeout_of(&bare, None).unwrap(), DEFAULT);
        let wrong = timeout_of(&bare, variable("soon")).unwrap_err().to_string();
        assert!(wrong.contains("soon"), "{wrong}");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("timeout");
        fs::write(&file, "3mins\n").unwrap();
        assert_eq!(
            timeout_of(&bare, Some(format!("file://{}", file.display()))).unwrap(),
            seconds(180)
        );
    }
}
