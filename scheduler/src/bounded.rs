//! Commands with a time limit: whatever a command starts ends with it.
//!
//! ```text
//! scheduler ──> supervisor (this program, `scheduler supervise`) ──> the command ──> whatever it starts
//! ```
//!
//! The supervisor adopts every orphan below it (`PR_SET_CHILD_SUBREAPER`). A process that leaves its group, its session or
//! its parent so becomes a child of the supervisor, and is killed with the rest when the command has ended or its time is
//! over.

use std::io::{self, Read, Seek, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::User;
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, kill_process_group, set_child_subreaper, wait};
use thiserror::Error;

/// The programs a command finds without a path, unless it runs in the environment of the scheduler's caller.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How often a running command is looked at.
const POLL: Duration = Duration::from_millis(20);
/// How much longer than the command's own limit its supervisor may take before it is given up.
const GRACE: Duration = Duration::from_secs(15);
/// How long the supervisor kills what a command has left behind. Each round kills a generation of processes.
const KILLING: Duration = Duration::from_secs(10);
/// The largest output that is accepted, in bytes: 256 MiB. A listing of a million volumes is smaller.
const MAX_OUTPUT: u64 = 256 << 20;
/// How many bytes of a command's stderr are read; their last line explains a failure.
const MAX_WORDS: u64 = 1 << 20;
/// The exit code for a command that was killed at its limit, as that of timeout(1).
const KILLED_AT_LIMIT: u8 = 124;
/// The exit code for a command that cannot be run, as that of shells.
const CANNOT_RUN: u8 = 126;

/// Why a command has failed.
#[derive(Debug, Error)]
pub enum CommandError {
    /// It was not started.
    #[error("cannot run it: {0}")]
    Start(#[from] io::Error),
    /// It was killed with everything it had started.
    #[error("it did not end within {} s and was killed", .0.as_secs_f64())]
    Limit(Duration),
    /// It says so by its status.
    #[error("{status}{}", .said.as_deref().map(|said| format!(": {said}")).unwrap_or_default())]
    Failed {
        /// The status, in the system's words.
        status: String,
        /// The last line it wrote to stderr.
        said: Option<String>,
    },
    /// It printed too much.
    #[error("it printed more than {MAX_OUTPUT} bytes")]
    Output,
}

/// A user of this host that commands run as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandUser {
    /// The name.
    pub name: String,
    /// The user's id.
    pub uid: u32,
    /// The id of the user's own group. Commands are in no other group.
    pub gid: u32,
    home: PathBuf,
}

/// Why no command can run as a user.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CommandUserError {
    /// The host's user database cannot be asked.
    #[error("cannot look up the user '{0}': {1}")]
    Lookup(String, String),
    /// There is none of this name.
    #[error("there is no user '{0}' on this host")]
    Unknown(String),
}

impl CommandUser {
    /// Looks a user up by name in the host's user database.
    ///
    /// # Errors
    /// There is none of this name, or the database cannot be asked.
    pub fn find(name: &str) -> Result<Self, CommandUserError> {
        let found =
            User::from_name(name).map_err(|error| CommandUserError::Lookup(name.to_owned(), error.to_string()))?;
        let user = found.ok_or_else(|| CommandUserError::Unknown(name.to_owned()))?;
        Ok(Self {
            name: user.name,
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
            home: user.dir,
        })
    }
}

/// How commands are run.
#[derive(Clone, Debug)]
pub struct Commands {
    /// This program, which also is the supervisor.
    supervisor: PathBuf,
    limit: Duration,
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    /// As the scheduler's own user, with its environment and in its folder.
    Caller,
    /// In `/`, with an environment that has nothing of the scheduler's. `None`: as the scheduler's own user.
    Apart(Option<CommandUser>),
}

impl Commands {
    /// Commands of the scheduler's caller: they run as it, with its environment and in its folder.
    pub fn of_caller(limit: Duration) -> Self {
        Self::new(limit, Place::Caller)
    }

    /// Commands that job files name: they see nothing of the scheduler's environment and run in
    /// `/`, as `user` or, without one, as the scheduler's own user.
    pub fn apart(user: Option<CommandUser>, limit: Duration) -> Self {
        Self::new(limit, Place::Apart(user))
    }

    fn new(limit: Duration, place: Place) -> Self {
        Self {
            // The running program, even when another version lies in its place by now.
            supervisor: PathBuf::from("/proc/self/exe"),
            limit,
            place,
        }
    }

    /// The program that is run as `PROGRAM supervise ...`, for callers that are not the scheduler's own program.
    pub fn supervised_by(self, program: PathBuf) -> Self {
        Self {
            supervisor: program,
            ..self
        }
    }

    /// Runs a program, and gives what it printed. `input` is its standard input. When this returns, nothing that the
    /// program has started runs any more.
    ///
    /// # Errors
    /// The program does not start, fails, prints too much or does not end within the limit.
    pub fn run(&self, argv: &[String], variables: &[(&str, &str)], input: &[u8]) -> Result<Vec<u8>, CommandError> {
        let begun = Instant::now();
        let mut child = self.command(argv, variables, input)?.spawn()?;
        let output = collect(child.stdout.take(), MAX_OUTPUT + 1);
        let words = collect(child.stderr.take(), MAX_WORDS);
        let end = begun + self.limit + GRACE;
        let both = receive(&output, end).and_then(|output| Ok((output, receive(&words, end)?)));
        let Ok((output, words)) = both else {
            // The supervisor itself was killed, and the programs that it watched still write.
            let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
            let _ = child.wait();
            return Err(CommandError::Limit(self.limit));
        };
        let status = child.wait()?;
        if status.code() == Some(KILLED_AT_LIMIT.into()) && begun.elapsed() >= self.limit {
            return Err(CommandError::Limit(self.limit));
        }
        if output.len() as u64 > MAX_OUTPUT {
            return Err(CommandError::Output);
        }
        match status.success() {
            true => Ok(output),
            false => Err(failed(status, &words)),
        }
    }

    fn command(&self, argv: &[String], variables: &[(&str, &str)], input: &[u8]) -> io::Result<Command> {
        let mut stdin = tempfile::tempfile()?;
        stdin.write_all(input)?;
        stdin.rewind()?;
        let mut command = Command::new(&self.supervisor);
        command
            .arg("supervise")
            .arg("--limit-ms")
            .arg(self.limit.as_millis().to_string())
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        if let Place::Apart(user) = &self.place {
            command.current_dir("/").env_clear().env("PATH", PATH);
            if let Some(user) = user {
                command
                    .args(["--uid", &user.uid.to_string(), "--gid", &user.gid.to_string()])
                    .env("HOME", &user.home)
                    .env("USER", &user.name)
                    .env("LOGNAME", &user.name);
            }
        }
        command.envs(variables.iter().copied()).arg("--").args(argv);
        Ok(command)
    }
}

fn failed(status: ExitStatus, words: &[u8]) -> CommandError {
    let words = String::from_utf8_lossy(words);
    let last = words.trim().lines().last();
    CommandError::Failed {
        status: status.to_string(),
        said: last.map(|line| volume_labels::cleaned(line).to_string()),
    }
}

/// Reads a pipe on a thread of its own, up to a number of bytes; a program that writes more gets
/// SIGPIPE.
fn collect(pipe: Option<impl Read + Send + 'static>, limit: u64) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut read = Vec::new();
        if let Some(pipe) = pipe {
            // What was read before an error still explains.
            let _ = pipe.take(limit).read_to_end(&mut read);
        }
        // The receiver is gone when the command was given up.
        let _ = sender.send(read);
    });
    receiver
}

fn receive(bytes: &Receiver<Vec<u8>>, end: Instant) -> Result<Vec<u8>, RecvTimeoutError> {
    bytes.recv_timeout(end.saturating_duration_since(Instant::now()))
}

/// What `scheduler supervise` does: runs a program as this user, kills it at the limit and everything it has started in any
/// case, and gives the exit code.
pub fn supervise(limit: Duration, ids: Option<(u32, u32)>, argv: &[String]) -> u8 {
    let Some((program, arguments)) = argv.split_first() else {
        eprintln!("a program to run is missing");
        return CANNOT_RUN;
    };
    if let Err(error) = set_child_subreaper(Some(getpid())) {
        eprintln!("cannot watch over what '{program}' starts: {error}");
        return CANNOT_RUN;
    }
    let mut command = Command::new(program);
    // A group of its own: a command that signals its group does not hit its supervisor.
    command.args(arguments).process_group(0);
    if let Some((uid, gid)) = ids {
        // With an id of a user the standard library also drops the other groups.
        command.uid(uid).gid(gid);
    }
    let begun = Instant::now();
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            eprintln!("cannot run '{program}': {error}");
            return CANNOT_RUN;
        }
    };
    let code = match watch(&mut child, begun, limit) {
        Ok(Some(status)) => status
            .code()
            .unwrap_or_else(|| 128 + status.signal().unwrap_or_default()),
        Ok(None) => KILLED_AT_LIMIT.into(),
        Err(error) => {
            eprintln!("cannot wait for '{program}': {error}");
            CANNOT_RUN.into()
        }
    };
    kill_children();
    u8::try_from(code).unwrap_or(u8::MAX)
}

/// The status of a command that has ended by the limit.
fn watch(child: &mut Child, begun: Instant, limit: Duration) -> io::Result<Option<ExitStatus>> {
    loop {
        match child.try_wait()? {
            Some(status) => return Ok(Some(status)),
            None if begun.elapsed() >= limit => return Ok(None),
            None => thread::sleep(POLL.min(limit)),
        }
    }
}

/// Kills every child until there is none. The children of a killed one are this process's next.
fn kill_children() {
    let begun = Instant::now();
    while begun.elapsed() < KILLING {
        for child in children() {
            // Only this process takes its children's ends, so the id still is the child's.
            let _ = kill_process(child, Signal::KILL);
        }
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some(_)) => {}
                Ok(None) => break,
                // There is no child any more.
                Err(_) => return,
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// The processes whose parent is this one.
fn children() -> Vec<Pid> {
    let own = getpid().as_raw_nonzero().get();
    let processes = procfs::process::all_processes().into_iter().flatten().flatten();
    let children = processes.filter(|process| process.stat().is_ok_and(|stat| stat.ppid == own));
    children.filter_map(|process| Pid::from_raw(process.pid())).collect()
}
