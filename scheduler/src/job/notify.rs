//! The notifications of a job file about the end of the job.

use serde_saphyr::{Location, Spanned};

use super::Command;
use super::error::Problem;
use super::shape::{CommandShape, NotifyShape, TargetsShape};

/// The notifications about the end of the job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notify {
    /// When every task is finished.
    pub success: Vec<Target>,
    /// When one has failed.
    pub failure: Vec<Target>,
}

/// One notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Runs where the scheduler runs, with the message as JSON on its standard input.
    Command(Command),
    /// Is sent the message as JSON by POST.
    Webhook(String),
}

pub(super) fn notify(shape: NotifyShape, problems: &mut Vec<Problem>) -> Notify {
    Notify {
        success: targets(shape.success, problems),
        failure: targets(shape.failure, problems),
    }
}

fn targets(shape: TargetsShape, problems: &mut Vec<Problem>) -> Vec<Target> {
    let mut targets = Vec::new();
    for Spanned { value, referenced, .. } in shape.0 {
        match (value.command, value.webhook) {
            (Some(CommandShape::Shell(line)), None) if !line.trim().is_empty() => {
                targets.push(Target::Command(Command::Shell(line)));
            }
            (Some(CommandShape::Argv(argv)), None) if argv.first().is_some_and(|program| !program.is_empty()) => {
                targets.push(Target::Command(Command::Argv(argv)));
            }
            (None, Some(url)) if is_url(&url) => targets.push(Target::Webhook(url)),
            (None, Some(url)) => problems.push(problem(
                referenced,
                format!(
                    "the webhook '{}' is no URL; accepted is http:// or https://, HOST[:PORT] and a path",
                    volume_labels::cleaned(&url)
                ),
            )),
            _ => problems.push(problem(
                referenced,
                "a notification is either 'command: ...' or 'webhook: URL', and not empty".to_owned(),
            )),
        }
    }
    targets
}

fn problem(place: Location, message: String) -> Problem {
    Problem::at(place, message)
}

fn is_url(text: &str) -> bool {
    text.strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"))
        .is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && !text.contains(char::is_whitespace))
}
