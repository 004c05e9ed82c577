//! Programs that nobody here wrote: installed from PyPI, pinned by version and digest, and ended with everything they started.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use testbed::package::PythonPrograms;
use testbed::{built, mounts_below};

use crate::site::eventually;

/// Programs of a section of `testbed/third-party.pins`.
///
/// # Panics
/// When they cannot be installed.
pub fn programs(section: &str) -> PythonPrograms {
    PythonPrograms::ensure(section).unwrap_or_else(|error| panic!("{error}"))
}

/// A running program in a process group of its own, which is killed when this is dropped.
#[derive(Debug)]
pub struct Program {
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts it with its output in `log`.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(command: &mut Command, log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log).expect("a log file");
        let child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a file descriptor"))
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self {
            child,
            log: log.to_owned(),
        }
    }

    /// Waits until it has ended well.
    ///
    /// # Panics
    /// When it ends otherwise, or does not end, with the end of its log.
    pub fn finish(&mut self) {
        let status = eventually("a program ends", || match self.child.try_wait() {
            Ok(Some(status)) => Ok(status),
            other => Err(format!("{other:?}\n{}", tail(&self.log()))),
        });
        assert!(status.success(), "{status}\n{}", tail(&self.log()));
    }

    /// What it has printed.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if kill_process_group(Pid::from_child(&self.child), Signal::KILL).is_ok() {
            // Reaped, so that nothing of it is left in the process table.
            drop(self.child.wait());
        }
    }
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

/// A volume driver in Python, started by a script that a restart runs again.
#[derive(Debug)]
pub struct PythonDriver {
    folder: PathBuf,
    socket: PathBuf,
}

impl PythonDriver {
    /// docker-volume-easyfuse: whatever `mount -t fuse` mounts, here bindfs.
    ///
    /// # Panics
    /// When it cannot be installed or started.
    pub fn easyfuse(folder: &Path, sockets: &Path) -> Self {
        let programs = programs("easyfuse");
        let arguments = format!(
            "{} -m easyfuse -s {}/easyfuse.sock -m {folder}/mounts -d {folder}/volumes.json",
            programs.program("python").display(),
            sockets.display(),
            folder = folder.display(),
        );
        Self::start(folder, sockets.join("easyfuse.sock"), &arguments)
    }

    /// wolphin-driver: plain folders of one base folder.
    ///
    /// # Panics
    /// When it cannot be installed or started.
    pub fn wolphin(folder: &Path, sockets: &Path) -> Self {
        let programs = programs("wolphin");
        let arguments = format!(
            "env BASE_DIR={}/base {} --umask 077 --workers 1 --bind unix:{}/wolphin-driver.sock wolphin_driver.wsgi:app",
            folder.display(),
            programs.program("gunicorn").display(),
            sockets.display(),
        );
        Self::start(folder, sockets.join("wolphin-driver.sock"), &arguments)
    }

    /// buttervolume on a btrfs that is mounted in the folder.
    ///
    /// # Panics
    /// When it cannot be installed or started.
    pub fn buttervolume(folder: &Path, sockets: &Path) -> Self {
        let programs = programs("buttervolume");
        let made = format!(
            "mkdir -p {folder}/btrfs && truncate -s 256M {folder}/image && mkfs.btrfs -q {folder}/image && \
             mount -o loop {folder}/image {folder}/btrfs && mkdir {folder}/btrfs/volumes {folder}/btrfs/snapshots",
            folder = folder.display()
        );
        fs::create_dir_all(folder).expect("a folder");
        shell(&made);
        let arguments = format!(
            "env BUTTERVOLUME_SOCKET={}/btrfs.sock BUTTERVOLUME_VOLUMES_PATH={folder}/btrfs/volumes/ \
             BUTTERVOLUME_SNAPSHOTS_PATH={folder}/btrfs/snapshots/ BUTTERVOLUME_SCHEDULE={folder}/schedule.csv \
             BUTTERVOLUME_RUNPATH={folder} {} run",
            sockets.display(),
            programs.program("buttervolume").display(),
            folder = folder.display(),
        );
        Self::start(folder, sockets.join("btrfs.sock"), &arguments)
    }

    fn start(folder: &Path, socket: PathBuf, arguments: &str) -> Self {
        fs::create_dir_all(folder.join("base")).expect("a folder");
        let at = folder.display();
        // A shell watches: when this test is killed, nothing of the driver stays.
        let script = format!(
            "umask 077\n\
             setsid sh -c '{arguments} & echo $! >{at}/pid; echo $$ >{at}/group\n\
             while [ -d /proc/{test} ]; do sleep 1; done\n\
             grep -o \" {at}[^ ]*\" /proc/self/mounts | sort -r | while read mount; do umount -l $mount; done\n\
             kill -KILL 0' >>{at}/log 2>&1 </dev/null &\n\
             until [ -s {at}/group ]; do sleep 0.05; done\n",
            test = std::process::id()
        );
        fs::write(folder.join("start"), script).expect("a script");
        let driver = Self {
            folder: folder.to_owned(),
            socket,
        };
        shell(&format!("sh {at}/start"));
        eventually("the driver opens its socket", || {
            let connected = UnixStream::connect(&driver.socket);
            connected.map_err(|error| format!("{error}\n{}", tail(&driver.log())))
        });
        let mode = fs::metadata(&driver.socket).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o002, 0, "others may not write to the socket");
        driver
    }

    /// A shell command that ends the driver as a service manager does and starts it again.
    pub fn restart(&self) -> String {
        let at = self.folder.display();
        format!(
            "pid=$(cat {at}/pid); kill $pid; while grep -q '^State:.[^Z]' /proc/$pid/status 2>/dev/null; do sleep 0.1; done; \
             kill -KILL $(cat {at}/group); rm -f {at}/group {}; sh {at}/start",
            self.socket.display()
        )
    }

    fn group(&self) -> Option<Pid> {
        let written = fs::read_to_string(self.folder.join("group")).ok()?;
        Pid::from_raw(written.trim().parse().ok()?)
    }

    /// A file or folder of its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What it has printed.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for PythonDriver {
    fn drop(&mut self) {
        match self.group() {
            // With its workers and the shell that watches: a session is a process group as well.
            Some(group) => match kill_process_group(group, Signal::KILL) {
                Ok(()) => eventually("the driver has ended", || match test_kill_process_group(group) {
                    // Whoever inherits the processes may be slow to reap them.
                    Ok(()) if runs(group) => Err(format!("{group:?} runs")),
                    _ => Ok(()),
                }),
                Err(error) => eprintln!("the driver of {}: {error}", self.folder.display()),
            },
            None => eprintln!("the driver of {} has not been started", self.folder.display()),
        }
        let mounts = mounts_below(&self.folder).unwrap_or_default();
        for mount in mounts.iter().rev() {
            shell(&format!("umount -l '{}'", mount.target.display()));
        }
    }
}

/// Whether the first process of a group runs; one that has ended and is not reaped does not.
fn runs(group: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", group.as_raw_nonzero()));
    status.is_ok_and(|status| !status.contains("State:\tZ"))
}

fn shell(script: &str) {
    let done = Command::new("sh").args(["-c", script]).status();
    let is_done = done.as_ref().is_ok_and(std::process::ExitStatus::success);
    // Also called while a test that failed is unwound.
    if !is_done && std::thread::panicking() {
        eprintln!("{script}: {done:?}");
    } else {
        assert!(is_done, "{script}: {done:?}");
    }
}

/// `mesos-volumes driver test`, with the drivers whose sockets are in `sockets`: its result as JSON.
///
/// # Panics
/// When it fails, with its words.
pub fn driver_test(sockets: &Path, arguments: &[&str]) -> serde_json::Value {
    let program = built("mesos-volumes", "mesos-volumes").unwrap_or_else(|error| panic!("{error}"));
    let run = tempfile::tempdir().expect("a folder");
    let output = Command::new(program)
        .args(["driver", "test", "--json", "--yes"])
        .args(arguments)
        .env("MESOS_VOLUMES_DRIVER_SOCKETS", sockets)
        .env("MESOS_VOLUMES_DRIVER_SPECS", sockets)
        .env("MESOS_VOLUMES_RUN_DIR", run.path())
        .stdin(Stdio::null())
        .output()
        .expect("a built program can be run");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{}\n{text}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}
