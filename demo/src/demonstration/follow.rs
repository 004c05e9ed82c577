//! What the tasks say: their standard output, read in their sandboxes while they run.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::say;
use super::service::Event;
use super::site::Site;
use crate::etl::Outcome;

/// The words with which a step begins its lines.
const STEPS: [&str; 7] = ["seed", "extract", "transform", "load", "verify", "sign", "audit"];

/// The tasks launched so far.
#[derive(Debug)]
pub struct Follower {
    began: Instant,
    framework: String,
    tasks: Vec<Followed>,
}

/// One attempt of a task.
#[derive(Debug)]
struct Followed {
    task: String,
    task_id: String,
    sandbox: PathBuf,
    read: u64,
    said: Vec<String>,
    /// A line that has no end yet.
    rest: String,
    outcome: Option<Outcome>,
}

impl Follower {
    /// A follower of nothing yet.
    pub fn new(began: Instant) -> Follower {
        Follower {
            began,
            framework: String::new(),
            tasks: Vec::new(),
        }
    }

    /// Notes what the scheduler tells about tasks.
    pub fn heed(&mut self, site: &Site, event: &Event) {
        match event {
            Event::Connected { framework_id } => self.framework.clone_from(framework_id),
            Event::Launched {
                task, task_id, agent, ..
            } => {
                let agent = site.agent(&agent.hostname);
                let Some(Ok(sandbox)) = agent.map(|agent| agent.sandbox(&self.framework, task_id)) else {
                    return;
                };
                self.tasks.push(Followed {
                    task: task.clone(),
                    task_id: task_id.clone(),
                    sandbox,
                    read: 0,
                    said: Vec::new(),
                    rest: String::new(),
                    outcome: None,
                });
            }
            _ => {}
        }
    }

    /// Shows what is new.
    pub fn show(&mut self) {
        for task in &mut self.tasks {
            for line in task.new_lines() {
                match serde_json::from_str(&line) {
                    Ok(outcome) => task.outcome = Some(outcome),
                    // The executor says things of its own there.
                    Err(_) => {
                        let of_step = |step: &&str| line.strip_prefix(*step)?.strip_prefix(": ");
                        if let Some(text) = STEPS.iter().find_map(of_step) {
                            say(self.began, format_args!("{:<12} | {text}", task.task));
                            task.said.push(text.to_owned());
                        }
                    }
                }
            }
        }
    }

    /// The figures of a task's last attempt that succeeded.
    pub fn outcome(&self, task: &str) -> Option<&Outcome> {
        self.tasks
            .iter()
            .rev()
            .filter(|followed| followed.task == task)
            .find_map(|followed| followed.outcome.as_ref())
    }

    /// The figures of every task whose last attempt was this step, in the order in which they were launched.
    pub fn outcomes(&self, step: &str) -> Vec<&Outcome> {
        let mut names: Vec<&str> = Vec::new();
        for followed in &self.tasks {
            if !names.contains(&followed.task.as_str()) {
                names.push(&followed.task);
            }
        }
        let outcomes = names.into_iter().filter_map(|task| self.outcome(task));
        outcomes.filter(|outcome| outcome.step == step).collect()
    }

    /// Whether an attempt has said a line with these words.
    pub fn has_said(&self, task_id: &str, words: &str) -> bool {
        let mut attempts = self.tasks.iter().filter(|followed| followed.task_id == task_id);
        attempts.any(|followed| followed.said.iter().any(|line| line.contains(words)))
    }

    /// The sandbox of an attempt; none before it is launched.
    pub fn sandbox(&self, task_id: &str) -> Option<&Path> {
        let followed = self.tasks.iter().find(|followed| followed.task_id == task_id)?;
        Some(&followed.sandbox)
    }

    /// The end of what a task's last attempt said on standard error.
    pub fn last_words(&self, task: &str) -> Option<String> {
        let followed = self.tasks.iter().rev().find(|followed| followed.task == task)?;
        let text = std::fs::read_to_string(followed.sandbox.join("stderr")).ok()?;
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let ours = lines.iter().rev().find(|line| line.starts_with("flights-etl: "));
        ours.or(lines.last()).map(|line| (*line).to_owned())
    }
}

impl Followed {
    /// The whole lines that came since the last call. There is no file before the container runs.
    fn new_lines(&mut self) -> Vec<String> {
        let mut new = String::new();
        let read = File::open(self.sandbox.join("stdout")).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.read))?;
            file.read_to_string(&mut new)
        });
        // A character cut in the middle is read whole the next time.
        let Ok(amount) = read else { return Vec::new() };
        self.read += amount as u64;
        self.rest.push_str(&new);
        let Some(end) = self.rest.rfind('\n') else {
            return Vec::new();
        };
        let rest = self.rest.split_off(end + 1);
        let whole = std::mem::replace(&mut self.rest, rest);
        whole.lines().map(str::to_owned).collect()
    }
}
