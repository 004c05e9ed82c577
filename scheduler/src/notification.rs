//! Notifications about the end of a job: by a command, or by a webhook.

use std::thread;
use std::time::Duration;

use http_transport::{Connection, Limits, Method, Request, Route};
use serde::Serialize;

use crate::bounded::Commands;
use crate::job::{Command, Notify, Target};
use crate::plan::Plan;
use crate::state::{JobState, Millis, Standing};

/// How long one notification may take.
pub const LIMIT: Duration = Duration::from_secs(30);
/// How many notifications of a job are sent at the same time.
const AT_ONCE: usize = 8;
/// What happens to a command that is not allowed.
pub const COMMANDS_REFUSED: &str =
    "this scheduler runs no commands of job files; its operator allows them with --allow-commands";

/// The message, as JSON.
#[derive(Debug, Serialize)]
pub struct Message<'a> {
    version: u32,
    job: &'a str,
    /// `finished` or `failed`.
    status: &'static str,
    failures: Vec<Failure<'a>>,
    framework_id: Option<&'a str>,
    started_ms: Millis,
    ended_ms: Millis,
}

/// A task that failed, and the tasks that were not started because of that.
#[derive(Debug, Serialize)]
struct Failure<'a> {
    task: &'a str,
    what: String,
    blocks: Vec<&'a str>,
}

impl<'a> Message<'a> {
    /// The message on the job of `plan`; `None` as long as it is not over.
    pub fn new(plan: &'a Plan, state: &'a JobState) -> Option<Self> {
        let end = state.end.as_ref()?;
        let failed = plan.tasks.iter().map(|task| task.name()).filter_map(|name| {
            let record = state.tasks.get(name)?;
            let last = record.attempts.last()?;
            (record.standing() == Standing::Failed).then(|| Failure {
                task: name,
                what: crate::run::failure(name, last),
                blocks: plan.blocked_by(name).into_iter().collect(),
            })
        });
        Some(Self {
            version: 1,
            job: &plan.job,
            status: if end.failures.is_empty() { "finished" } else { "failed" },
            failures: failed.collect(),
            framework_id: state.framework_id.as_deref(),
            started_ms: state.started_ms,
            ended_ms: end.at_ms,
        })
    }
}

/// Sends notifications about the end of jobs.
#[derive(Clone, Debug)]
pub struct Notifier {
    /// How commands are run; `None`: they are not.
    commands: Option<Commands>,
}

impl Notifier {
    /// Commands of job files run as `commands` says; without it they are refused, and webhooks alone are sent.
    pub fn new(commands: Option<Commands>) -> Self {
        Self { commands }
    }

    /// Sends all notifications that the job file names for this end, several at once, each within
    /// its own time limit. Returns those that failed, with the cause.
    pub fn send(&self, plan: &Plan, state: &JobState) -> Vec<(String, String)> {
        let Some(message) = Message::new(plan, state) else {
            return Vec::new();
        };
        let body = serde_json::to_vec(&message).expect("a message has text keys only, so it is JSON");
        let mut failed = Vec::new();
        for together in targets(plan, message.status == "finished").chunks(AT_ONCE) {
            thread::scope(|scope| {
                let (message, body) = (&message, &body);
                let sending = |target| scope.spawn(move || self.notify(target, message, body));
                let sent: Vec<_> = together.iter().map(|target| (target, sending(target))).collect();
                for (target, outcome) in sent {
                    let outcome = outcome
                        .join()
                        .unwrap_or_else(|_| Err("the thread that sent it panicked".to_owned()));
                    failed.extend(outcome.err().map(|error| (shown(target), error)));
                }
            });
        }
        failed
    }

    fn notify(&self, target: &Target, message: &Message<'_>, body: &[u8]) -> Result<(), String> {
        let argv = match target {
            Target::Webhook(url) => return post(url, body),
            Target::Command(Command::Shell(line)) => vec!["sh".to_owned(), "-c".to_owned(), line.clone()],
            Target::Command(Command::Argv(argv)) => argv.clone(),
        };
        let commands = self.commands.as_ref().ok_or_else(|| COMMANDS_REFUSED.to_owned())?;
        let variables = [("SCHEDULER_JOB", message.job), ("SCHEDULER_STATUS", message.status)];
        let done = commands.run(&argv, &variables, body);
        done.map(|_| ()).map_err(|error| error.to_string())
    }
}

/// The notifications of a job file for success or for failure.
pub fn targets(plan: &Plan, is_finished: bool) -> &[Target] {
    match is_finished {
        true => &plan.notify.success,
        false => &plan.notify.failure,
    }
}

/// The command of a job file's notifications, if it has one, as an operator recognises it.
pub fn command_in(notify: &Notify) -> Option<String> {
    let mut targets = notify.success.iter().chain(&notify.failure);
    targets.find(|target| matches!(target, Target::Command(_))).map(shown)
}

fn shown(target: &Target) -> String {
    match target {
        Target::Webhook(url) => url.clone(),
        Target::Command(Command::Shell(line)) => line.clone(),
        Target::Command(Command::Argv(argv)) => argv.join(" "),
    }
}

fn post(url: &str, body: &[u8]) -> Result<(), String> {
    let request = Request {
        method: Method::Post,
        url,
        headers: &[("content-type", "application/json")],
        body,
    };
    // A receiver may be in the outside world. It must not choose which address this host calls
    // next: redirects are not followed.
    let route = Route {
        through_proxy: true,
        ..Route::default()
    };
    let mut connection = Connection::new(&route, concat!("scheduler/", env!("CARGO_PKG_VERSION")));
    let response = connection
        .send(&request, &Limits::within(LIMIT))
        .map_err(|failure| failure.to_string())?;
    match response.status {
        200..300 => Ok(()),
        300..400 => Err(format!("http status: {}; redirects are not followed", response.status)),
        status => Err(format!("http status: {status}")),
    }
}
