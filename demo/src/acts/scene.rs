//! What an act plays on.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use scheduler::timeline::Mark;
use testbed::Agent;

use crate::demonstration::service::{JobReport, JobTask};
use crate::demonstration::stage::Stage;
use crate::demonstration::{DemoError, drawing};
use crate::etl::hold::HOLDS;

/// How long anything may take that is waited for.
pub(super) const LIMIT: Duration = Duration::from_secs(120);

/// A stage, and what was seen on it.
#[derive(Debug)]
pub struct Scene<'a> {
    stage: Stage<'a>,
    runs: Vec<String>,
    marks: Vec<Mark>,
    seen: Vec<String>,
    problems: Vec<String>,
}

/// An attempt that was caught half way.
#[derive(Debug, Clone)]
pub(super) struct Caught {
    pub(super) task_id: String,
    /// The host of its agent.
    pub(super) host: String,
}

impl<'a> Scene<'a> {
    pub(super) fn new(stage: Stage<'a>) -> Scene<'a> {
        Scene {
            stage,
            runs: Vec::new(),
            marks: Vec::new(),
            seen: Vec::new(),
            problems: Vec::new(),
        }
    }

    pub(super) fn end(self) -> (Stage<'a>, Vec<String>, Vec<String>) {
        (self.stage, self.seen, self.problems)
    }

    pub(super) fn stage(&mut self) -> &mut Stage<'a> {
        &mut self.stage
    }

    /// Notes what was just done to the cluster, in a few words for the drawing.
    pub(super) fn mark(&mut self, text: &str) {
        let now = Timestamp::now().as_millisecond();
        self.marks.push(Mark {
            at_ms: u64::try_from(now).unwrap_or(0),
            text: text.to_owned(),
        });
    }

    /// The runs and the marks as a picture; none when the scheduler does not tell.
    pub(super) fn drawing(&self, title: &str) -> Option<String> {
        let service = self.stage.service();
        let runs: Vec<JobReport> = self.runs.iter().filter_map(|run| service.run(run).ok()).collect();
        (!runs.is_empty()).then(|| drawing::draw(title, &runs, self.marks.clone()))
    }

    /// Notes what was seen.
    pub(super) fn see(&mut self, text: impl Into<String>) {
        let text = text.into();
        self.stage.say(format_args!("seen: {text}"));
        self.seen.push(text);
    }

    /// Notes what is wrong.
    pub(super) fn problem(&mut self, text: impl Into<String>) {
        let text = text.into();
        self.stage.say(format_args!("PROBLEM: {text}"));
        self.problems.push(text);
    }

    /// Notes `text` as seen if it holds, as wrong if not.
    pub(super) fn check(&mut self, holds: bool, text: impl Into<String>) {
        match holds {
            true => self.see(text),
            false => self.problem(format!("not so: {}", text.into())),
        }
    }

    /// Gives the scheduler a job and begins it.
    pub(super) fn begin(&mut self, job: &str) -> Result<String, DemoError> {
        let run = self.stage.service().begin(job)?;
        self.runs.push(run.clone());
        Ok(run)
    }

    /// The file that steps wait for that hold half way.
    pub(super) fn go(&self) -> PathBuf {
        self.stage.site().cluster().folder().join("go")
    }

    /// Lets them go.
    pub(super) fn let_go(&self) -> Result<(), DemoError> {
        let file = self.go();
        fs::write(&file, "").map_err(DemoError::io("write", file))
    }

    /// Waits until the task's latest attempt holds half way.
    pub(super) fn catch(&mut self, run: &str, task: &str) -> Result<Caught, DemoError> {
        self.stage
            .until(&format!("{task} of {run} holds half way"), LIMIT, |stage| {
                let report = stage.service().run(run)?;
                if report.status != "running" {
                    let why = report.message.unwrap_or_default();
                    return Err(DemoError::Refused(format!("{run} is over before {task} holds: {why}")));
                }
                let attempt = find(&report, task).and_then(|task| task.attempts.last());
                let caught = attempt.filter(|attempt| stage.follower().has_said(&attempt.task_id, HOLDS));
                Ok(caught.map(|attempt| Caught {
                    task_id: attempt.task_id.clone(),
                    host: attempt.agent.hostname.clone(),
                }))
            })
    }

    /// Waits until it is said of a task, why it is not further, with these words; returns the line.
    pub(super) fn why(&mut self, run: &str, task: &str, words: &[&str]) -> Result<String, DemoError> {
        let what = format!("it is said of {task} of {run}: {}", words.join(", "));
        self.stage.until(&what, LIMIT, |stage| {
            let explained = stage.service().explain(run)?;
            let of_task = explained.into_iter().find(|explained| explained.task == task);
            let mut lines = of_task.map(|explained| explained.why).unwrap_or_default().into_iter();
            Ok(lines.find(|line| words.iter().all(|word| line.contains(word))))
        })
    }

    /// Waits until the ledger says this of each of the volumes.
    pub(super) fn until_claims_are(&mut self, volumes: &[&str], state: &str) -> Result<(), DemoError> {
        let ids: Vec<String> = volumes.iter().map(|name| self.volume(name)).collect::<Result<_, _>>()?;
        let what = format!("the claims of {} are {state}", volumes.join(", "));
        self.stage.until(&what, LIMIT, |stage| {
            let claims = stage.service().claims()?;
            let is_so = |id: &String| claims.iter().any(|held| held.volume == *id && held.state == state);
            Ok(ids.iter().all(is_so).then_some(()))
        })?;
        self.see(format!("ledger: {} {state}", volumes.join(", ")));
        Ok(())
    }

    /// Waits until a run is over, and notes whether it went well.
    pub(super) fn finish(&mut self, run: &str) -> Result<JobReport, DemoError> {
        let report = self.stage.until_over(run, LIMIT)?;
        let why = report.message.clone().unwrap_or_default();
        self.check(report.status == "finished", format!("{run} is {}{why}", report.status));
        Ok(report)
    }

    /// The agent of a host.
    pub(super) fn agent(&self, host: &str) -> Result<&Agent, DemoError> {
        let agent = self.stage.site().agent(host);
        agent.ok_or_else(|| DemoError::Refused(format!("there is no agent on {host}")))
    }

    /// The id of a volume.
    pub(super) fn volume(&self, name: &str) -> Result<String, DemoError> {
        let volume = self.stage.site().volume(name);
        let volume = volume.ok_or_else(|| DemoError::Refused(format!("there is no volume {name}")))?;
        Ok(volume.id.clone())
    }
}

/// A task of a run.
pub(super) fn find<'a>(report: &'a JobReport, task: &str) -> Option<&'a JobTask> {
    report.tasks.iter().find(|own| own.name == task)
}

/// How often a task was launched.
pub(super) fn attempts(report: &JobReport, task: &str) -> usize {
    find(report, task).map_or(0, |task| task.attempts.len())
}
