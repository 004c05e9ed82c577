//! Debian's rclone as a volume driver: real FUSE mounts, and a driver that refuses a second Mount under one id and
//! deadlocks with two calls at once.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use testbed::{Mount, Signal, mounts_below};

use crate::site::eventually;

/// A running `rclone serve docker`. Dropping it ends it and unmounts what it left.
pub struct Rclone {
    child: Child,
    folder: PathBuf,
    socket: PathBuf,
}

impl Rclone {
    /// Starts one with its socket at `sockets/rclone.sock` and everything else below `folder`.
    ///
    /// # Panics
    /// When it cannot be started or does not open its socket.
    pub fn start(folder: &Path, sockets: &Path) -> Self {
        Self::start_as(folder, sockets, Command::new("rclone"))
    }

    /// The same in a mount namespace of its own, which shows its mounts to nobody else: as a service with `PrivateMounts=`, or
    /// in a container without propagation.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub fn start_out_of_sight(folder: &Path, sockets: &Path) -> Self {
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--propagation", "private", "rclone"]);
        Self::start_as(folder, sockets, unshare)
    }

    fn start_as(folder: &Path, sockets: &Path, program: Command) -> Self {
        for name in ["cache", "base", "data"] {
            std::fs::create_dir_all(folder.join(name)).expect("a folder for rclone");
        }
        std::fs::write(folder.join("rclone.conf"), "").expect("rclone's configuration");
        let socket = sockets.join("rclone.sock");
        let child = serve(program, folder, &socket);
        let rclone = Self {
            child,
            folder: folder.to_owned(),
            socket: socket.clone(),
        };
        wait_for(&socket);
        rclone
    }

    /// Kills it (SIGKILL): its mounts are dead from then on.
    ///
    /// # Panics
    /// When it cannot be killed.
    pub fn kill(&mut self) {
        self.child
            .kill()
            .and_then(|()| self.child.wait())
            .expect("rclone can be killed");
    }

    /// Stops it (SIGSTOP): whoever asks it or one of its mounts waits until [`Self::resume`].
    ///
    /// # Panics
    /// When it cannot be stopped.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on after [`Self::pause`].
    ///
    /// # Panics
    /// When it cannot be told.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("rclone can be told");
    }

    /// Starts it again after [`Self::kill`]. It does not remember volumes made with `type` and `path`.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn restart(&mut self) {
        self.child = serve(Command::new("rclone"), &self.folder, &self.socket);
        wait_for(&self.socket);
    }

    /// A folder for a volume's data, as the driver option `path` wants it.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn data(&self, volume: &str) -> PathBuf {
        let path = self.folder.join("data").join(volume);
        std::fs::create_dir_all(&path).expect("a folder for the volume");
        path
    }

    /// What it has mounted.
    ///
    /// # Panics
    /// When the mount table cannot be read.
    pub fn mounts(&self) -> Vec<Mount> {
        mounts_below(&self.folder.join("base")).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Waits until it has nothing mounted.
    ///
    /// # Panics
    /// When something is still mounted after two minutes.
    pub fn wait_until_nothing_is_mounted(&self) {
        eventually("rclone has nothing mounted", || match self.mounts() {
            left if left.is_empty() => Ok(()),
            left => Err(format!("{left:?}")),
        });
    }
}

impl Drop for Rclone {
    fn drop(&mut self) {
        let mounts = mounts_below(&self.folder.join("base")).unwrap_or_default();
        for ended in [self.child.kill(), self.child.wait().map(drop)] {
            if let Err(error) = ended {
                eprintln!("rclone: {error}");
            }
        }
        for mount in mounts.iter().rev() {
            let unmounted = Command::new("umount").arg("-l").arg(&mount.target).status();
            if !unmounted.is_ok_and(|status| status.success()) {
                eprintln!("rclone left {} mounted", mount.target.display());
            }
        }
    }
}

fn serve(mut program: Command, folder: &Path, socket: &Path) -> Child {
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(folder.join("rclone.log"))
        .expect("rclone's log");
    program
        .args(["serve", "docker", "-v", "--config"])
        .arg(folder.join("rclone.conf"))
        .arg("--cache-dir")
        .arg(folder.join("cache"))
        .arg("--base-dir")
        .arg(folder.join("base"))
        .arg("--socket-addr")
        .arg(socket)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("Debian's packages rclone and fuse3 are installed")
}

fn wait_for(socket: &Path) {
    eventually("rclone opens its socket", || {
        std::os::unix::net::UnixStream::connect(socket).map_err(|error| error.to_string())
    });
}
