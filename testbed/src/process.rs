//! Child processes whose output is kept in a file and that do not outlive this process.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::error::ClusterError;

/// How often a state that is waited for is looked at.
pub(crate) const POLL: Duration = Duration::from_millis(10);

/// A program that is started, killed and started again, with one log file for all its lives.
///
/// The kernel kills it (SIGKILL) when this process ends, however it ends.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    life: Mutex<Life>,
}

/// What changes from start to start.
#[derive(Debug, Default)]
struct Life {
    child: Option<Child>,
    command: String,
    /// Where in the log the present life begins.
    log_start: u64,
}

impl Process {
    /// A process that does not run yet. `name` is for messages; the log at `log` is appended to.
    pub(crate) fn new(name: impl Into<String>, log: PathBuf) -> Process {
        Process {
            name: name.into(),
            log,
            life: Mutex::default(),
        }
    }

    /// What it is called in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file with its stdout and stderr, of all its lives.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// The process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        let mut life = self.life();
        let child = life.child.as_mut()?;
        matches!(child.try_wait(), Ok(None)).then(|| child.id())
    }

    /// The command line of the present or last life, as a shell would take it.
    pub fn command_line(&self) -> String {
        self.life().command.clone()
    }

    /// Starts `command`. Its standard input is empty and its process group its own, so that Ctrl-C in a terminal
    /// reaches only this process.
    pub(crate) fn start(&self, command: &Command) -> Result<(), ClusterError> {
        let mut life = self.life();
        let io_error = |action: &'static str| ClusterError::io(action, &self.log);
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .map_err(io_error("open the log"))?;
        let log_start = log.metadata().map_err(io_error("read the log"))?.len();

        // setpriv execs the program, so that the process id stays the same.
        let mut started = Command::new("setpriv");
        started
            .args(["--pdeathsig", "KILL"])
            .arg(command.get_program())
            .args(command.get_args());
        // Flags for the agents of somebody else, and for this crate.
        for (name, _) in std::env::vars_os() {
            let foreign = ["MESOS_", "LIBPROCESS_"];
            if name
                .to_str()
                .is_some_and(|name| foreign.iter().any(|prefix| name.starts_with(prefix)))
            {
                started.env_remove(name);
            }
        }
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => started.env(name, value),
                None => started.env_remove(name),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            started.current_dir(folder);
        }
        let copy = log.try_clone().map_err(io_error("open the log"))?;
        started.stdin(Stdio::null()).stdout(copy).stderr(log).process_group(0);

        let text = shell_line(command);
        let child = spawn(started).map_err(|source| ClusterError::Spawn {
            name: self.name.clone(),
            source,
        })?;
        *life = Life {
            child: Some(child),
            command: text,
            log_start,
        };
        Ok(())
    }

    /// Sends `signal`, without waiting for what comes of it. Does nothing when the process does not run.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn signal(&self, signal: Signal) -> Result<(), ClusterError> {
        let Some(pid) = self.pid().and_then(|pid| Pid::from_raw(pid as i32)) else {
            return Ok(());
        };
        kill_process(pid, signal).map_err(|errno| ClusterError::Signal {
            name: self.name.clone(),
            source: io::Error::from(errno),
        })
    }

    /// Kills it (SIGKILL) and waits until it is gone.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn kill(&self) -> Result<(), ClusterError> {
        self.signal(Signal::KILL)?;
        if let Some(child) = self.life().child.as_mut() {
            child.wait().map_err(|source| ClusterError::Signal {
                name: self.name.clone(),
                source,
            })?;
        }
        Ok(())
    }

    /// Waits until it has ended by itself or by a signal sent before.
    ///
    /// # Errors
    /// It still runs after `limit`, or was never started.
    pub fn wait_for_exit(&self, limit: Duration) -> Result<ExitStatus, ClusterError> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.exit_status() {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                return Err(self.timed_out("to exit", limit));
            }
            thread::sleep(POLL);
        }
    }

    /// How it ended, if it did.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.life()
            .child
            .as_mut()
            .and_then(|child| child.try_wait().ok().flatten())
    }

    /// What it has written, in all its lives.
    pub fn log(&self) -> String {
        self.log_from(0)
    }

    /// What it has written since it was last started.
    pub fn log_since_start(&self) -> String {
        self.log_from(self.life().log_start)
    }

    /// The end of the log so far, to be given to [`Process::wait_for_log_after`].
    pub fn log_mark(&self) -> u64 {
        self.log.metadata().map(|metadata| metadata.len()).unwrap_or(0)
    }

    /// Waits for a line with `text` in the log of the present life, and gives the first such line.
    ///
    /// # Errors
    /// There is none after `limit`, or the process has ended without one. The error has the log's last lines.
    pub fn wait_for_log(&self, text: &str, limit: Duration) -> Result<String, ClusterError> {
        let mark = self.life().log_start;
        self.wait_for_log_after(mark, text, limit)
    }

    /// As [`Process::wait_for_log`], from a mark in the log on.
    ///
    /// # Errors
    /// As there.
    pub fn wait_for_log_after(&self, mark: u64, text: &str, limit: Duration) -> Result<String, ClusterError> {
        let deadline = Instant::now() + limit;
        loop {
            // Looked at first: what a process wrote before it ended is in the log by then.
            let ended = self.exit_status();
            if let Some(line) = self.log_from(mark).lines().find(|line| line.contains(text)) {
                return Ok(line.to_owned());
            }
            if let Some(status) = ended {
                return Err(self.exited(status));
            }
            if Instant::now() >= deadline {
                return Err(self.timed_out(&format!("to log '{text}'"), limit));
            }
            thread::sleep(POLL);
        }
    }

    pub(crate) fn exited(&self, status: ExitStatus) -> ClusterError {
        ClusterError::Exited {
            name: self.name.clone(),
            status,
            log: self.log.clone(),
            tail: self.tail(12),
        }
    }

    pub(crate) fn timed_out(&self, what: &str, limit: Duration) -> ClusterError {
        ClusterError::TimedOut {
            what: format!("{} {what}", self.name),
            limit,
            tail: self.tail(12),
        }
    }

    /// The last `lines` lines of the log.
    pub(crate) fn tail(&self, lines: usize) -> String {
        let log = self.log();
        let all: Vec<&str> = log.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    fn log_from(&self, mark: u64) -> String {
        let mut bytes = Vec::new();
        // A log that is not there yet is empty.
        if let Ok(mut file) = File::open(&self.log)
            && file.seek(SeekFrom::Start(mark)).is_ok()
        {
            let _ = file.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        // A panic while it was held changed nothing half-way: the state is replaced as a whole.
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

type Request = (Command, Sender<io::Result<Child>>);

/// Spawns on a thread that lives as long as this process: the kernel's parent death signal is sent when the *thread*
/// that made the child ends, and a test's thread may end before the test.
fn spawn(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<Mutex<Sender<Request>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (requests, received) = channel::<Request>();
        thread::Builder::new()
            .name("testbed-spawner".into())
            .spawn(move || {
                for (mut command, answer) in received {
                    let _ = answer.send(command.spawn());
                }
            })
            .expect("a thread can be started");
        Mutex::new(requests)
    });
    let (answer, answered) = channel();
    let gone = || io::Error::other("the spawner thread is gone");
    spawner
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .send((command, answer))
        .map_err(|_| gone())?;
    answered.recv().map_err(|_| gone())?
}

/// `command` as a line for a shell.
fn shell_line(command: &Command) -> String {
    let environment = command.get_envs().filter_map(|(name, value)| {
        value.map(|value| format!("{}={}", name.to_string_lossy(), quoted(&value.to_string_lossy())))
    });
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    environment
        .chain(words.map(|word| quoted(&word.to_string_lossy())))
        .collect::<Vec<_>>()
        .join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:@,%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_log_holds_all_lives_and_waiting_looks_at_the_present_one() {
        let folder = tempfile::tempdir().unwrap();
        let process = Process::new("sh", folder.path().join("log"));
        process.start(&shell("echo first; sleep 60")).unwrap();
        process.wait_for_log("first", LIMIT).unwrap();
        process.kill().unwrap();
        assert_eq!(process.pid(), None);

        process.start(&shell("echo second; exit 3")).unwrap();
        process.wait_for_log("second", LIMIT).unwrap();
        assert_eq!(process.wait_for_exit(LIMIT).unwrap().code(), Some(3));
        assert_eq!(
            (process.log().as_str(), process.log_since_start().as_str()),
            ("first\nsecond\n", "second\n")
        );
        let error = process.wait_for_log("first", LIMIT).unwrap_err().to_string();
        assert!(
            error.contains("sh ended with exit status: 3") && error.contains("second"),
            "{error}"
        );
    }

    #[test]
    fn a_process_started_by_a_thread_outlives_the_thread() {
        let folder = tempfile::tempdir().unwrap();
        let process = Process::new("sh", folder.path().join("log"));
        thread::scope(|scope| {
            scope
                .spawn(|| process.start(&shell("sleep 60")).unwrap())
                .join()
                .unwrap()
        });
        let error = process.wait_for_exit(Duration::from_millis(200)).unwrap_err();
        assert!(matches!(error, ClusterError::TimedOut { .. }), "{error}");
    }

    #[test]
    fn command_lines_can_be_pasted() {
        let mut command = Command::new("agent");
        command.args(["--resources=cpus:2;mem:64", "it's"]).env("A", "b c");
        assert_eq!(
            shell_line(&command),
            r"A='b c' agent '--resources=cpus:2;mem:64' 'it'\''s'"
        );
    }
}
