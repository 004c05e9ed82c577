//! A Docker daemon for the agents of a cluster, with images that are made of this machine's own programs.
//!
//! It is Debian's `docker.io`, with data, sockets and cgroups of its own, without systemd and without a network: containers run
//! with the host's network. It shares the mount namespace of the agents unless a test asks for another one, and containers outlive
//! it (`--live-restore`).

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::cluster::Cluster;
use crate::error::ClusterError;
use crate::image::tar;
use crate::process::{POLL, Process};

/// Debian's client. Another one may come first in `PATH`.
pub(crate) const CLIENT: &str = "/usr/bin/docker";
/// Its folder in the cluster's folder, which is also the name of its log's folder.
pub(crate) const FOLDER: &str = "docker";
/// How long it may take to answer after it was started. It takes half a second on an idle machine.
const START: Duration = Duration::from_secs(60);
/// The programs of an image, all of them busybox.
const APPLETS: &[&str] = &[
    "cat",
    "chmod",
    "cp",
    "dd",
    "df",
    "echo",
    "false",
    "find",
    "grep",
    "head",
    "id",
    "ls",
    "mkdir",
    "mountpoint",
    "mv",
    "rm",
    "seq",
    "sh",
    "sleep",
    "sort",
    "stat",
    "sync",
    "tail",
    "test",
    "touch",
    "tr",
    "true",
    "wc",
];

/// A Docker daemon that belongs to a cluster. It ends with the cluster, and its containers end too.
#[derive(Debug)]
pub struct Dockerd {
    process: Arc<Process>,
    folder: PathBuf,
    cgroup: String,
    namespace: Namespace,
}

/// Which mount namespace the daemon and its containers' mounts are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Namespace {
    /// The agents'.
    Shared,
    /// One of its own, where no mount that an agent makes later is seen.
    Private,
}

impl Dockerd {
    /// Starts the daemon of a cluster, and waits until it answers. Agents find it by
    /// [`AgentSpec::docker`](crate::AgentSpec::docker); there is one for each cluster. It can be started before the cluster.
    ///
    /// # Errors
    /// Debian's docker.io is not installed, or the daemon ends or does not answer within a minute.
    pub fn start(cluster: &Cluster, namespace: Namespace) -> Result<Dockerd, ClusterError> {
        let folder = cluster.folder().join(FOLDER);
        fs::create_dir_all(&folder).map_err(ClusterError::io("create", &folder))?;
        // This machine's own configuration, if it has one, is for another daemon.
        let configuration = folder.join("daemon.json");
        fs::write(&configuration, "{}").map_err(ClusterError::io("write", &configuration))?;
        let cgroup = cgroup(cluster.folder());
        let command = command(&folder, &cgroup, namespace);
        let process = cluster.run_beside(FOLDER, command)?;
        let dockerd = Dockerd {
            process,
            folder,
            cgroup,
            namespace,
        };
        dockerd.wait_until_it_answers()?;
        Ok(dockerd)
    }

    /// The socket of its API.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("docker.sock")
    }

    /// The daemon itself, for its log and signals.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Kills the daemon (SIGKILL) and waits until it is gone. Its containers run on.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn kill(&self) -> Result<(), ClusterError> {
        self.process.kill()
    }

    /// Ends the daemon with SIGTERM and waits for that. Its containers run on.
    ///
    /// # Errors
    /// It still runs after a minute.
    pub fn terminate(&self) -> Result<(), ClusterError> {
        self.process.signal(Signal::TERM)?;
        self.process.wait_for_exit(START).map(|_| ())
    }

    /// Starts it again after it ended, and waits until it answers.
    ///
    /// # Errors
    /// It ends, or does not answer within a minute.
    pub fn start_again(&self) -> Result<(), ClusterError> {
        // Its containerd was killed with it. Where nobody reaps orphans, the process counts as alive, and is waited for.
        let containerd = self.folder.join("exec/containerd/containerd.pid");
        match fs::remove_file(&containerd) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(ClusterError::io("remove", &containerd)(error));
            }
            _ => {}
        }
        self.process
            .start(&command(&self.folder, &self.cgroup, self.namespace))?;
        self.wait_until_it_answers()
    }

    /// Makes an image `name` of busybox, for which no registry is needed.
    ///
    /// # Errors
    /// Debian's busybox-static is not installed, or the daemon refuses the image.
    pub fn make_image(&self, name: &str) -> Result<(), ClusterError> {
        let root = self.folder.join("image");
        let bin = root.join("bin");
        fs::create_dir_all(&bin).map_err(ClusterError::io("create", &bin))?;
        for folder in ["etc", "tmp"] {
            let path = root.join(folder);
            fs::create_dir_all(&path).map_err(ClusterError::io("create", &path))?;
        }
        let busybox = Path::new("/bin/busybox");
        fs::copy(busybox, bin.join("busybox")).map_err(ClusterError::io("copy", busybox))?;
        for applet in APPLETS {
            let link = bin.join(applet);
            if !link.is_symlink() {
                symlink("busybox", &link).map_err(ClusterError::io("create", &link))?;
            }
        }
        let archive = self.folder.join("image.tar");
        tar(&root, &[Path::new(".")], &archive)?;
        let archive = archive.display().to_string();
        self.client(&["import", "--change", "ENV PATH=/bin", &archive, name])?;
        Ok(())
    }

    /// Runs the Docker client and gives what it writes.
    ///
    /// # Errors
    /// It fails; the message has its words.
    pub fn client(&self, arguments: &[&str]) -> Result<String, ClusterError> {
        let said = |output: &Output| String::from_utf8_lossy(&output.stderr).trim().to_owned();
        let path = Path::new(CLIENT);
        let output = Command::new(path)
            .arg("-H")
            .arg(format!("unix://{}", self.socket().display()))
            .args(arguments)
            .output()
            .map_err(ClusterError::io("run", path))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(ClusterError::Docker {
            arguments: arguments.join(" "),
            said: said(&output),
        })
    }

    /// The names of the containers that run.
    ///
    /// # Errors
    /// The daemon does not answer.
    pub fn running(&self) -> Result<Vec<String>, ClusterError> {
        let names = self.client(&["ps", "--format", "{{.Names}}"])?;
        Ok(names.lines().map(str::to_owned).collect())
    }

    fn wait_until_it_answers(&self) -> Result<(), ClusterError> {
        let deadline = Instant::now() + START;
        loop {
            if UnixStream::connect(self.socket()).is_ok() && self.client(&["version"]).is_ok() {
                return Ok(());
            }
            if let Some(status) = self.process.exit_status() {
                return Err(self.process.exited(status));
            }
            if Instant::now() >= deadline {
                return Err(self.process.timed_out("to answer", START));
            }
            thread::sleep(POLL);
        }
    }
}

/// The cgroup of a cluster's Docker containers, at the top of every hierarchy.
pub(crate) fn cgroup(cluster: &Path) -> String {
    let name = cluster.file_name().unwrap_or_default().to_string_lossy();
    format!("{name}-docker")
}

fn command(folder: &Path, cgroup: &str, namespace: Namespace) -> Command {
    let mut command = match namespace {
        Namespace::Shared => Command::new("dockerd"),
        Namespace::Private => {
            let mut command = Command::new("unshare");
            command.args(["--mount", "--propagation", "private", "dockerd"]);
            command
        }
    };
    let path = |name: &str| folder.join(name).display().to_string();
    command
        .arg(format!("--data-root={}", path("data")))
        .arg(format!("--exec-root={}", path("exec")))
        .arg(format!("--pidfile={}", path("pid")))
        .arg(format!("--host=unix://{}", path("docker.sock")))
        .arg(format!("--config-file={}", path("daemon.json")))
        .arg(format!("--cgroup-parent=/{cgroup}"))
        .args([
            "--bridge=none",
            "--iptables=false",
            "--storage-driver=vfs",
            "--live-restore",
        ])
        .current_dir(folder);
    command
}
