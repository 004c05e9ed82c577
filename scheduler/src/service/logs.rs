//! What a task wrote: the end of a file in its sandbox, read from its agent.

use std::time::Duration;

use mesos_http::endpoint::Endpoint;
use mesos_http::operator;
use mesos_http::tls::Tls;

use super::Service;

/// The files that can be read: those to which Mesos writes a task's standard output and error.
pub const FILES: [&str; 2] = ["stderr", "stdout"];
/// How much of the end of a file is read, in bytes.
const MOST: u64 = 64 << 10;
/// How long an agent may take to answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// How agents are asked.
#[derive(Clone, Debug, Default)]
pub struct AgentAccess {
    /// Whether agents speak TLS: those of a cluster do when its masters do.
    pub https: bool,
    /// The certificates; `None` for the authorities that this host trusts.
    pub tls: Option<Tls>,
}

/// Where the last attempt of a task wrote.
#[derive(Debug)]
pub struct Sandbox {
    /// Host and port of the agent.
    address: String,
    /// The virtual path of the sandbox in the agent's files API (Mesos 1.5 and newer).
    path: String,
}

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// There is no such run, or it has no such task.
    #[error("there is no {0}")]
    Unknown(String),
    /// No attempt of the task was launched yet.
    #[error("task '{task}' of run {run} has written nothing: it was not launched yet")]
    NotLaunched {
        /// The run's id.
        run: String,
        /// The task's name.
        task: String,
    },
    /// The agent does not answer, or does not have the file any more.
    #[error(
        "the agent {address} does not give the file {path}: {error}; an agent removes the sandbox of an ended task after \
         a time (its --gc_delay), and shows files without credentials only when it has no --authenticate_http_readonly"
    )]
    Agent {
        /// Host and port of the agent.
        address: String,
        /// The file in the agent's files API.
        path: String,
        /// What went wrong.
        error: String,
    },
}

impl Service {
    /// Where the last attempt of a task writes.
    ///
    /// # Errors
    /// There is no such run or task, or the task was not launched yet.
    pub fn sandbox(&self, run: &str, task: &str) -> Result<Sandbox, LogError> {
        let found = self.runs().get(run);
        let state = found.ok_or_else(|| LogError::Unknown(format!("run '{run}'")))?.state();
        let record = state.tasks.get(task);
        let record = record.ok_or_else(|| LogError::Unknown(format!("task '{task}' in run {run}")))?;
        let framework = self.record().framework_id.as_deref().or(state.framework_id.as_deref());
        let last = record.attempts.last();
        let known = last.and_then(|last| Some((last, last.agent.address.clone()?, framework?)));
        let (last, address, framework) = known.ok_or_else(|| LogError::NotLaunched {
            run: run.to_owned(),
            task: task.to_owned(),
        })?;
        // The executor of a task that names none has the id of the task.
        let path = format!("/frameworks/{framework}/executors/{}/runs/latest", last.task_id);
        Ok(Sandbox { address, path })
    }
}

impl Sandbox {
    /// The last lines of a file, at most 64 KiB. Blocks until the agent answers, at most 20 s.
    ///
    /// # Errors
    /// The agent does not answer, or does not have the file.
    pub fn tail(&self, access: &AgentAccess, file: &str) -> Result<String, LogError> {
        let path = format!("{}/{file}", self.path);
        let failed = |error: String| LogError::Agent {
            address: self.address.clone(),
            path: path.clone(),
            error,
        };
        let scheme = if access.https { "https" } else { "http" };
        let endpoint: Endpoint = format!("{scheme}://{}", self.address)
            .parse()
            .map_err(|error: mesos_http::endpoint::EndpointError| failed(error.to_string()))?;
        let mut agent = operator::Agent::new(endpoint, DEADLINE);
        if let Some(tls) = access.tls.clone() {
            agent = agent.with_tls(tls);
        }
        let size = agent
            .read_file(&path, 0, 0)
            .map_err(|error| failed(error.to_string()))?
            .size;
        let begin = size.saturating_sub(MOST);
        let read = agent
            .read_file(&path, begin, MOST)
            .map_err(|error| failed(error.to_string()))?;
        let text = String::from_utf8_lossy(&read.data.0).into_owned();
        Ok(match (begin, text.split_once('\n')) {
            // The first line is cut.
            (1.., Some((_, rest))) => rest.to_owned(),
            _ => text,
        })
    }
}
