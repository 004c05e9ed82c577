//! The scheduler as a service (`scheduler serve`), a child process: its events as they come, and its API.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use testbed::built;

use super::DemoError;
use super::site::Site;

/// What the scheduler tells while it runs; only what is used here.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// It is subscribed.
    Connected {
        /// The framework's id.
        framework_id: String,
    },
    /// A task is being launched.
    Launched {
        /// The task.
        task: String,
        /// The attempt.
        task_id: String,
        /// Where.
        agent: Agent,
        /// Its volumes, as a person reads them.
        volumes: Vec<String>,
    },
    /// A task's state has changed.
    State {
        /// The task.
        task: String,
        /// The new state.
        state: String,
        /// In whose words.
        message: Option<String>,
    },
    /// A task that may run has no agent.
    Waiting {
        /// The task.
        task: String,
        /// Each reason with the agents it is the reason of.
        reasons: Vec<(String, Vec<String>)>,
    },
    /// Anything else.
    #[serde(other)]
    Other,
}

/// An agent, as the scheduler names it.
#[derive(Debug, Clone, Deserialize)]
pub struct Agent {
    /// Its host.
    pub hostname: String,
    /// Its zone.
    pub zone: Option<String>,
}

impl Event {
    /// One line for a person, if it is worth one.
    pub fn human(&self) -> Option<String> {
        match self {
            Event::Connected { framework_id } => Some(format!("scheduler subscribed as {framework_id}")),
            Event::Launched {
                task, agent, volumes, ..
            } => Some(format!(
                "{task:<12} launched on {} with {}",
                agent.hostname,
                volumes.join(", ")
            )),
            Event::State { task, state, message } => {
                let message = message
                    .as_ref()
                    .map(|message| format!(": {message}"))
                    .unwrap_or_default();
                Some(format!("{task:<12} {state}{message}"))
            }
            Event::Waiting { task, reasons } => {
                let why = reasons
                    .iter()
                    .map(|(reason, agents)| format!("{}: {reason}", agents.join(", ")));
                Some(format!("{task:<12} waits: {}", why.collect::<Vec<_>>().join("; ")))
            }
            Event::Other => None,
        }
    }
}

/// A run in the scheduler's API; only what is used here.
#[derive(Debug, Clone, Deserialize)]
pub struct JobReport {
    /// `running`, `finished` or `failed`.
    pub status: String,
    /// Why it failed or stopped.
    pub message: Option<String>,
    /// When the job began, in milliseconds since 1970.
    pub started_ms: u64,
    /// When it ended, if it has.
    pub ended_ms: Option<u64>,
    /// The tasks, in the order of the job file.
    pub tasks: Vec<JobTask>,
}

/// A task of a run.
#[derive(Debug, Clone, Deserialize)]
pub struct JobTask {
    /// Its name.
    pub name: String,
    /// Its volumes.
    pub volumes: Vec<JobVolume>,
    /// When all it runs after was finished.
    pub ready_ms: Option<u64>,
    /// Where its last attempt ran.
    pub agent: Option<Agent>,
    /// When that was launched, in milliseconds since 1970.
    pub launched_ms: Option<u64>,
    /// Its state.
    pub status: Option<String>,
    /// Its words.
    pub message: Option<String>,
    /// When which state came.
    pub times: Vec<JobTime>,
    /// All attempts.
    pub attempts: Vec<JobAttempt>,
}

/// One launch of a task.
#[derive(Debug, Clone, Deserialize)]
pub struct JobAttempt {
    /// Its task id.
    pub task_id: String,
    /// Where.
    pub agent: Agent,
    /// When it was decided, in milliseconds since 1970.
    pub intended_ms: u64,
    /// The volumes it has, by id.
    pub claims: Vec<String>,
    /// Its states.
    pub changes: Vec<JobTime>,
    /// What its end meant: `finished` and others; none while it may run.
    pub verdict: Option<String>,
    /// In whose words it is as it is.
    pub message: Option<String>,
}

/// A volume of a task.
#[derive(Debug, Clone, Deserialize)]
pub struct JobVolume {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
}

/// A state with its time.
#[derive(Debug, Clone, Deserialize)]
pub struct JobTime {
    /// The state.
    pub state: String,
    /// In milliseconds since 1970.
    pub at_ms: u64,
}

/// Why a task is not further than it is.
#[derive(Debug, Clone, Deserialize)]
pub struct Explained {
    /// The task.
    pub task: String,
    /// A line each.
    pub why: Vec<String>,
}

/// Who has a volume, by the scheduler's ledger.
#[derive(Debug, Clone, Deserialize)]
pub struct Held {
    /// The volume's id.
    pub volume: String,
    /// Its state: `FREE`, or that of its first claim.
    pub state: String,
}

/// How long the scheduler may take until it serves.
const START_LIMIT: Duration = Duration::from_secs(30);

/// How long a request may take: it comes back when its change is on disk and the master was told.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// The running scheduler. Dropping it kills it.
#[derive(Debug)]
pub struct Service {
    child: Child,
    events: Receiver<String>,
    folder: PathBuf,
    address: String,
    http: ureq::Agent,
}

impl Service {
    /// Starts it and waits until the master has it subscribed. On the folder of an earlier one it goes on where that one
    /// stopped. `crash_at` names a point at which it ends as if killed; debug builds have those.
    ///
    /// # Errors
    /// [`DemoError`].
    pub fn start(site: &Site, crash_at: Option<&str>) -> Result<Service, DemoError> {
        let program = built("scheduler", "scheduler")?;
        let folder = site.cluster().folder().join("scheduler");
        fs::create_dir_all(&folder).map_err(DemoError::io("make", &folder))?;
        let address_file = folder.join("address");
        match fs::remove_file(&address_file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(DemoError::io("remove", &address_file)(error));
            }
            _ => {}
        }
        let log = folder.join("log");
        let errors = fs::File::options().create(true).append(true).open(&log);
        let mut command = Command::new(&program);
        command
            // In the cluster's folder, so that whoever cleans up after a killed demonstration finds it.
            .current_dir(&folder)
            .args(["serve", "--json", "--state", "state", "--listen", "127.0.0.1:0"])
            .args(["--master", &site.cluster().master().address()])
            .args(["--address-file", "address", "--catalogue-every", "0.3"])
            .args(["--catalogue-command", &site.catalogue_command()?])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors.map_err(DemoError::io("open", &log))?);
        if let Some(point) = crash_at {
            command.env("SCHEDULER_CRASH_AT", point);
        }
        let mut child = command.spawn().map_err(DemoError::io("run", program))?;
        let (send, events) = channel();
        if let Some(output) = child.stdout.take() {
            thread::spawn(move || {
                let lines = BufReader::new(output).lines().map_while(Result::ok);
                // The receiver goes when the scheduler is dropped.
                lines.into_iter().try_for_each(|line| send.send(line))
            });
        }
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(REQUEST_LIMIT));
        let mut service = Service {
            child,
            events,
            folder,
            address: String::new(),
            http: config.build().into(),
        };
        service.wait_until_subscribed(&address_file)?;
        Ok(service)
    }

    fn wait_until_subscribed(&mut self, address_file: &Path) -> Result<(), DemoError> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            if let Some(status) = self.status()? {
                let words = self.last_words();
                return Err(DemoError::Scheduler { status, words });
            }
            if let Ok(address) = fs::read_to_string(address_file)
                && !address.is_empty()
            {
                self.address = address;
                if self.ask("GET", "/health", "").is_ok() {
                    return Ok(());
                }
            }
            if Instant::now() > deadline {
                let words = format!("it is not subscribed after {START_LIMIT:?}: {}", self.last_words());
                return Err(DemoError::Refused(words));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// `http://` and its address: the page and the API.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The folder with its state.
    pub fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// The next event; none when there is none just now.
    ///
    /// # Errors
    /// [`DemoError::Unreadable`].
    pub fn event(&mut self) -> Result<Option<Event>, DemoError> {
        match self.events.try_recv() {
            Ok(line) => {
                let event = serde_json::from_str(&line);
                event
                    .map(Some)
                    .map_err(|source| DemoError::Unreadable { what: "event", source })
            }
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => Ok(None),
        }
    }

    /// Gives it a job and begins a run; returns the run's id.
    ///
    /// # Errors
    /// [`DemoError::Refused`] with its words when the job is wrong.
    pub fn begin(&self, job: &str) -> Result<String, DemoError> {
        #[derive(Deserialize)]
        struct Created {
            name: String,
        }
        #[derive(Deserialize)]
        struct Begun {
            run: String,
        }
        let created: Created = self.parsed("answer", &self.ask("POST", "/v1/jobs", job)?)?;
        let begun: Begun = self.parsed(
            "answer",
            &self.ask("POST", &format!("/v1/jobs/{}/run", created.name), "")?,
        )?;
        Ok(begun.run)
    }

    /// How a run stands.
    ///
    /// # Errors
    /// [`DemoError`] when it does not answer.
    pub fn run(&self, id: &str) -> Result<JobReport, DemoError> {
        self.parsed("run", &self.ask("GET", &format!("/v1/runs/{id}"), "")?)
    }

    /// Why the tasks of a run are not further.
    ///
    /// # Errors
    /// [`DemoError`] when it does not answer.
    pub fn explain(&self, id: &str) -> Result<Vec<Explained>, DemoError> {
        #[derive(Deserialize)]
        struct Answer {
            tasks: Vec<Explained>,
        }
        let answer: Answer = self.parsed("explanation", &self.ask("GET", &format!("/v1/runs/{id}/explain"), "")?)?;
        Ok(answer.tasks)
    }

    /// Who has which volume.
    ///
    /// # Errors
    /// [`DemoError`] when it does not answer.
    pub fn claims(&self) -> Result<Vec<Held>, DemoError> {
        #[derive(Deserialize)]
        struct Answer {
            volumes: Vec<Held>,
        }
        let answer: Answer = self.parsed("claims", &self.ask("GET", "/v1/claims", "")?)?;
        Ok(answer.volumes)
    }

    fn parsed<T: DeserializeOwned>(&self, what: &'static str, text: &str) -> Result<T, DemoError> {
        serde_json::from_str(text).map_err(|source| DemoError::Unreadable { what, source })
    }

    fn ask(&self, method: &'static str, path: &str, body: &str) -> Result<String, DemoError> {
        #[derive(Deserialize)]
        struct Problem {
            error: String,
        }
        let url = format!("{}{path}", self.url());
        let sent = match method {
            "GET" => self.http.get(&url).call(),
            _ => self.http.post(&url).send(body),
        };
        let no_answer = |source: ureq::Error| DemoError::NoAnswer {
            url: url.clone(),
            source: Box::new(source),
        };
        let mut response = sent.map_err(no_answer)?;
        let good = response.status().is_success();
        let text = response.body_mut().read_to_string().map_err(no_answer)?;
        match good {
            true => Ok(text),
            false => Err(DemoError::Refused(
                serde_json::from_str(&text).map_or(text, |problem: Problem| problem.error),
            )),
        }
    }

    /// How it ended, if it did.
    ///
    /// # Errors
    /// [`DemoError::Io`].
    pub fn status(&mut self) -> Result<Option<ExitStatus>, DemoError> {
        self.child
            .try_wait()
            .map_err(DemoError::io("wait for", "the scheduler"))
    }

    /// The last line it wrote on standard error.
    pub fn last_words(&self) -> String {
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        log.lines().next_back().unwrap_or("no message").to_owned()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Both fail only when it has ended and been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
