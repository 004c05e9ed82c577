//! An emulator as a child process, for tests and demonstrations: started, killed, restarted, and gone without a trace.

use std::env;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use thiserror::Error;

use crate::client::Client;
use crate::host::{Host, HostSpec};
use crate::release;

/// How long an emulator may take until it answers.
const START_LIMIT: Duration = Duration::from_secs(20);

/// How long it may take to end after SIGTERM: longer than it waits for steps under way.
const STOP_LIMIT: Duration = Duration::from_secs(15);

/// How an emulator is started.
#[derive(Debug, Clone)]
pub struct EmulatorOptions {
    /// The program `ebs-emulator`; looked for beside the running program unless given.
    pub program: Option<PathBuf>,
    /// The state folder; made if missing. Its output goes to `emulator.log` in it.
    pub state: PathBuf,
    /// The hosts.
    pub hosts: Vec<HostSpec>,
}

/// Why an emulator could not be started or stopped.
#[derive(Debug, Error)]
pub enum EmulatorError {
    /// The program is not where it was looked for.
    #[error("there is no ebs-emulator program in {}: build it with 'cargo build -p ebs-emulator'", looked.join(", "))]
    NoProgram {
        /// The folders.
        looked: Vec<String>,
    },
    /// It could not be run or waited for.
    #[error("{action}: {source}")]
    Io {
        /// What was being done.
        action: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// It ended at once, or did not answer in time.
    #[error("the emulator on {} {what}; its last words: {last_words}", state.display())]
    NotUp {
        /// The state folder.
        state: PathBuf,
        /// What happened.
        what: String,
        /// The end of its output.
        last_words: String,
    },
}

/// A running emulator. Dropping it ends the process, unmounts its mounts and frees its loop devices; the state folder
/// stays.
#[derive(Debug)]
pub struct Emulator {
    options: EmulatorOptions,
    child: Option<Child>,
    client: Client,
}

impl Emulator {
    /// Starts an emulator and returns when it answers.
    ///
    /// # Errors
    /// [`EmulatorError`]; then no process is left.
    pub fn start(options: EmulatorOptions) -> Result<Emulator, EmulatorError> {
        let client = Client::of_state(&options.state);
        let mut emulator = Emulator {
            options,
            child: None,
            client,
        };
        emulator.restart()?;
        Ok(emulator)
    }

    /// A client of its control socket.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The state folder.
    pub fn state(&self) -> &Path {
        &self.options.state
    }

    /// The driver socket of a host; none if there is no such host.
    pub fn driver(&self, host: &str) -> Option<PathBuf> {
        let spec = self.options.hosts.iter().find(|spec| spec.name == host)?;
        let state = self
            .options
            .state
            .canonicalize()
            .unwrap_or_else(|_| self.options.state.clone());
        Some(Host::new(spec, &state).socket)
    }

    /// The process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Ends the process with SIGKILL; mounts, loop devices and the stale sockets stay.
    ///
    /// # Errors
    /// [`EmulatorError::Io`].
    pub fn kill(&mut self) -> Result<(), EmulatorError> {
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        child
            .kill()
            .and_then(|()| child.wait())
            .map(drop)
            .map_err(io_error("kill the emulator"))
    }

    /// Ends the process with SIGTERM and returns its exit status; mounts and attachments stay.
    ///
    /// # Errors
    /// [`EmulatorError::Io`]; when it does not end in time it is killed.
    pub fn stop(&mut self) -> Result<Option<ExitStatus>, EmulatorError> {
        let Some(mut child) = self.child.take() else {
            return Ok(None);
        };
        let stopped = terminate(&mut child);
        if stopped.is_err() {
            let _ = child.kill();
            let _ = child.wait();
        }
        stopped.map(Some).map_err(io_error("stop the emulator"))
    }

    /// Waits until the process ends by itself, as a crash fault makes it.
    ///
    /// # Errors
    /// [`EmulatorError::Io`] when it still runs after `limit`.
    pub fn wait_for_end(&mut self, limit: Duration) -> Result<(), EmulatorError> {
        let Some(child) = &mut self.child else { return Ok(()) };
        wait(child, limit).map_err(io_error("wait for the emulator to end"))?;
        self.child = None;
        Ok(())
    }

    /// Starts the process (again) on the same state folder and returns when it answers.
    ///
    /// # Errors
    /// [`EmulatorError`]; then no process is left.
    pub fn restart(&mut self) -> Result<(), EmulatorError> {
        self.kill()?;
        let program = match &self.options.program {
            Some(program) => program.clone(),
            None => find_program()?,
        };
        let program = program
            .canonicalize()
            .map_err(io_error(&format!("find {}", program.display())))?;
        let state = &self.options.state;
        let making = || format!("make {}", state.display());
        std::fs::create_dir_all(state).map_err(io_error(&making()))?;
        let state = state.canonicalize().map_err(io_error(&making()))?;
        let log = self.log_path();
        let output = File::options().create(true).append(true).open(&log);
        let output = output.map_err(io_error(&format!("open {}", log.display())))?;
        let errors = output
            .try_clone()
            .map_err(io_error(&format!("open {}", log.display())))?;
        let mut command = Command::new(&program);
        // It works in its folder, so that whoever cleans up there finds it.
        command.current_dir(&state).arg("serve").arg("--state").arg(&state);
        for host in &self.options.hosts {
            command.arg("--host").arg(host.to_string());
        }
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let child = command
            .spawn()
            .map_err(io_error(&format!("run {}", program.display())))?;
        self.child = Some(child);
        self.wait_until_up()
    }

    fn wait_until_up(&mut self) -> Result<(), EmulatorError> {
        let limit = Instant::now() + START_LIMIT;
        while let Err(error) = self.client.hosts() {
            let ended = match &mut self.child {
                Some(child) => child.try_wait().map_err(io_error("wait for the emulator"))?,
                None => None,
            };
            let what = match ended {
                Some(status) => format!("ended at once ({status})"),
                None if Instant::now() >= limit => format!("did not answer within {START_LIMIT:?}: {error}"),
                None => {
                    thread::sleep(Duration::from_millis(5));
                    continue;
                }
            };
            self.kill()?;
            let log = std::fs::read_to_string(self.log_path()).unwrap_or_default();
            let last_words = log.lines().next_back().unwrap_or("none").to_owned();
            return Err(EmulatorError::NotUp {
                state: self.options.state.clone(),
                what,
                last_words,
            });
        }
        Ok(())
    }

    /// The file with its output.
    pub fn log_path(&self) -> PathBuf {
        self.options.state.join("emulator.log")
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("{error}");
        }
        // A container on its way out may still hold a mount for a moment.
        let limit = Instant::now() + Duration::from_secs(5);
        while let Err(error) = release::release(&self.options.state) {
            if Instant::now() >= limit {
                eprintln!(
                    "the emulator on {} leaves something behind: {error}",
                    self.options.state.display()
                );
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}

fn terminate(child: &mut Child) -> io::Result<ExitStatus> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::other("the emulator has no process id"))?;
    rustix::process::kill_process(pid, Signal::TERM)?;
    wait(child, STOP_LIMIT)
}

fn wait(child: &mut Child, limit: Duration) -> io::Result<ExitStatus> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Instant::now() >= deadline {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("it still runs after {limit:?}"),
            ));
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// The program beside the running one; tests run in a folder below it.
fn find_program() -> Result<PathBuf, EmulatorError> {
    let own = env::current_exe().map_err(io_error("find the running program"))?;
    let folders = || own.ancestors().skip(1).take(2);
    let found = folders()
        .map(|folder| folder.join("ebs-emulator"))
        .find(|path| path.is_file());
    found.ok_or_else(|| EmulatorError::NoProgram {
        looked: folders().map(|it| it.display().to_string()).collect(),
    })
}

fn io_error(action: &str) -> impl FnOnce(io::Error) -> EmulatorError {
    let action = action.to_owned();
    move |source| EmulatorError::Io { action, source }
}
