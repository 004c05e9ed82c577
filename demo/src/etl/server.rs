//! A PostgreSQL of one's own for the length of a step: on one folder, with a unix socket in it that nobody else reaches.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use postgres::{Client, Config, NoTls};
use rustix::process::{Pid, Signal};

use super::account::Account;
use super::{EtlError, durable, interrupt};

/// Where Debian puts the programs.
pub const DEBIAN_BIN: &str = "/usr/lib/postgresql/15/bin";

/// How long a start may take: after a kill it includes crash recovery.
const START_LIMIT: Duration = Duration::from_secs(120);

/// How long the fast shutdown may take before the immediate one.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// The superuser of the databases.
const ROLE: &str = "postgres";

/// Settings given at every start. The databases are small and used by one client; the volume is small too.
const SETTINGS: [&str; 10] = [
    "listen_addresses=",
    "unix_socket_permissions=0700",
    "max_connections=10",
    "shared_buffers=128MB",
    "max_wal_size=128MB",
    "min_wal_size=32MB",
    "wal_level=minimal",
    "max_wal_senders=0",
    "timezone=UTC",
    "log_timezone=UTC",
];

/// The installed PostgreSQL.
#[derive(Debug, Clone)]
pub struct Postgres {
    bin: PathBuf,
    account: Account,
}

impl Postgres {
    /// The PostgreSQL whose programs lie in `bin`.
    ///
    /// # Errors
    /// [`EtlError::NoAccount`].
    pub fn at(bin: impl Into<PathBuf>) -> Result<Postgres, EtlError> {
        Ok(Postgres {
            bin: bin.into(),
            account: Account::find()?,
        })
    }

    /// Makes an empty database cluster at `volume/pgdata`, unless there is one, and returns its folder. What an initdb
    /// that was cut short left is removed.
    ///
    /// # Errors
    /// [`EtlError`].
    pub fn ensure_cluster(&self, volume: &Path) -> Result<PathBuf, EtlError> {
        let cluster = self.cluster(volume)?;
        if cluster.exists() {
            return Ok(cluster);
        }
        let aside = cluster.with_extension("part");
        durable::remove(&aside)?;
        fs::create_dir(&aside).map_err(EtlError::io("make", &aside))?;
        self.account.own(&aside)?;
        self.account.reach(&aside)?;
        // initdb syncs what it makes.
        let mut initdb = self.account.command(&self.bin.join("initdb"));
        initdb
            .arg("--pgdata")
            .arg(&aside)
            .args(["--username", ROLE, "--encoding=UTF8", "--locale=C"]);
        initdb.args(["--auth-local=trust", "--auth-host=reject"]);
        let output = initdb.current_dir("/").stdin(Stdio::null()).output();
        let output = output.map_err(|source| EtlError::NoProgram {
            program: self.bin.join("initdb"),
            source,
        })?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            return Err(EtlError::Program {
                program: "initdb".into(),
                status: output.status.to_string(),
                words: last_words(&words),
            });
        }
        fs::rename(&aside, &cluster).map_err(EtlError::io("give the name", &cluster))?;
        durable::sync_folder(volume)?;
        Ok(cluster)
    }

    /// The folder of the database cluster on a volume.
    fn cluster(&self, volume: &Path) -> Result<PathBuf, EtlError> {
        let volume = volume.canonicalize().map_err(EtlError::io("find the volume", volume))?;
        Ok(volume.join("pgdata"))
    }

    /// Starts the cluster on `volume`; its log goes to `log`.
    ///
    /// # Errors
    /// [`EtlError`]; then no server is left.
    pub fn start(&self, volume: &Path, log: &Path) -> Result<Server, EtlError> {
        let cluster = self.cluster(volume)?;
        if !cluster.join("PG_VERSION").is_file() {
            let problem = "there is no database here: run the step that makes it first".into();
            return Err(EtlError::Input { path: cluster, problem });
        }
        self.account.reach(&cluster)?;
        remove_stale_locks(&cluster)?;
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .map_err(EtlError::io("open", log))?;
        let errors = output.try_clone().map_err(EtlError::io("open", log))?;

        let program = self.bin.join("postgres");
        let mut command = self.account.command(&program);
        command.arg("-D").arg(&cluster).args(["-k", "."]);
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        command
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors);
        let child = command
            .spawn()
            .map_err(|source| EtlError::NoProgram { program, source })?;
        let mut server = Server {
            child: Some(child),
            log: log.to_owned(),
        };
        interrupt::watch_over(server.pid())?;
        server.wait_until_up()?;
        Ok(server)
    }
}

/// A running server. Dropping it stops it; [`Server::stop`] also says whether that went well.
#[derive(Debug)]
pub struct Server {
    child: Option<Child>,
    log: PathBuf,
}

impl Server {
    /// A session in the cluster's database.
    ///
    /// # Errors
    /// [`EtlError::Database`].
    pub fn connect(&self) -> Result<Client, EtlError> {
        self.try_connect()
            .map_err(EtlError::database("connect to the database"))
    }

    fn try_connect(&self) -> Result<Client, postgres::Error> {
        // The server makes its socket in its working folder, which is the cluster: only its account and root may enter,
        // and nothing is left elsewhere. Its path would be too long (a unix socket's has at most 107 bytes, a Mesos
        // sandbox alone has more), so the client takes a shorter one.
        let process = self.child.as_ref().map_or(0, Child::id);
        let mut config = Config::new();
        config
            .host_path(format!("/proc/{process}/cwd"))
            .user(ROLE)
            .dbname(ROLE)
            .application_name("flights-etl");
        config.connect(NoTls)
    }

    fn pid(&self) -> Option<Pid> {
        let id = self.child.as_ref()?.id();
        Pid::from_raw(i32::try_from(id).ok()?)
    }

    fn wait_until_up(&mut self) -> Result<(), EtlError> {
        let limit = Instant::now() + START_LIMIT;
        loop {
            let Err(error) = self.try_connect() else { return Ok(()) };
            if interrupt::interrupted() {
                return Err(EtlError::Interrupted);
            }
            let ended = match &mut self.child {
                Some(child) => child
                    .try_wait()
                    .map_err(EtlError::io("wait for PostgreSQL, log", &self.log))?,
                None => None,
            };
            if let Some(status) = ended {
                self.child = None;
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                return Err(EtlError::Program {
                    program: "postgres".into(),
                    status: status.to_string(),
                    words: last_words(&log),
                });
            }
            if Instant::now() >= limit {
                return Err(EtlError::database(format!("no session within {START_LIMIT:?}"))(error));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops the server: sessions are ended, a checkpoint is written.
    ///
    /// # Errors
    /// [`EtlError::Program`] when it did not end in good order; it has ended all the same.
    pub fn stop(mut self) -> Result<(), EtlError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), EtlError> {
        let pid = self.pid();
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        if let Some(pid) = pid {
            interrupt::stop_fast(pid);
        }
        let waiting = |error| EtlError::io("wait for PostgreSQL, log", &self.log)(error);
        let began = Instant::now();
        let mut pressed = false;
        let status = loop {
            if let Some(status) = child.try_wait().map_err(waiting)? {
                break status;
            }
            if began.elapsed() > STOP_LIMIT && !pressed {
                pressed = true;
                if let Some(pid) = pid {
                    // It may just have ended.
                    let _ = rustix::process::kill_process(pid, Signal::QUIT);
                }
            }
            thread::sleep(Duration::from_millis(10));
        };
        interrupt::watch_over(None)?;
        if status.success() {
            return Ok(());
        }
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        Err(EtlError::Program {
            program: "postgres".into(),
            status: status.to_string(),
            words: last_words(&log),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("flights-etl: {error}");
        }
    }
}

/// Removes the lock files of a server that is no more.
///
/// PostgreSQL takes a lock file with the id of any living process for a server's. On a volume that came from another
/// container or host that id means nothing, so the question is asked better: does that process work in this folder?
fn remove_stale_locks(cluster: &Path) -> Result<(), EtlError> {
    let same = |one: &fs::Metadata, other: &fs::Metadata| (one.dev(), one.ino()) == (other.dev(), other.ino());
    let here = fs::metadata(cluster).map_err(EtlError::io("look at", cluster))?;
    for name in ["postmaster.pid", ".s.PGSQL.5432.lock"] {
        let lock = cluster.join(name);
        let Ok(text) = fs::read_to_string(&lock) else { continue };
        let pid = text.lines().next().unwrap_or_default().trim();
        if fs::metadata(format!("/proc/{pid}/cwd")).is_ok_and(|there| same(&here, &there)) {
            let problem = format!("a PostgreSQL (process {pid}) already runs on it");
            return Err(EtlError::Input {
                path: cluster.to_owned(),
                problem,
            });
        }
        fs::remove_file(&lock).map_err(EtlError::io("remove the stale", &lock))?;
    }
    durable::sync_folder(cluster)
}

/// The last line that says what went wrong.
fn last_words(text: &str) -> String {
    let fatal = text
        .lines()
        .rev()
        .find(|line| line.contains("FATAL") || line.contains("error:"));
    let line = fatal.or_else(|| text.lines().rev().find(|line| !line.trim().is_empty()));
    line.unwrap_or("no message").trim().to_owned()
}
