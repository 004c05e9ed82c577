//! A host for one test: folders of drivers, an rclone when one is wanted, and the program run in
//! it.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;

/// Longest wait for a state that must come.
const LIMIT: Duration = Duration::from_secs(30);

/// Answers every request as Activate is answered. A body is taken for the beginning of the next
/// request.
fn answer_all(mut connection: TcpStream) {
    let body = r#"{"Implements":["VolumeDriver"]}"#;
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let (mut request, mut byte) = (Vec::new(), [0]);
    while connection.read(&mut byte).is_ok_and(|read| read == 1) {
        request.push(byte[0]);
        if request.ends_with(b"\r\n\r\n") && connection.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// Waits until the condition holds.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < end, "waited {LIMIT:?} in vain: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// What the program did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// What it printed, read as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// What it printed; fails the test when it failed.
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.stdout
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ran {
            code: output.status.code().unwrap(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

/// Folders of one test; what is mounted in them is unmounted and what runs is killed at the end.
pub(crate) struct Host {
    rclone: Option<Child>,
    dir: tempfile::TempDir,
}

impl Host {
    pub(crate) fn new() -> Host {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["run", "etc", "base", "bin"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        symlink(env!("CARGO_BIN_EXE_mesos-volumes"), dir.path().join("bin/dvdcli")).unwrap();
        Host { rclone: None, dir }
    }

    /// With rclone as a driver.
    pub(crate) fn with_rclone() -> Host {
        let mut host = Host::new();
        let socket = host.path("run/rclone.sock");
        let log = fs::File::create(host.path("rclone.log")).unwrap();
        let child = Command::new("rclone")
            .args(["serve", "docker", "-vv", "--socket-addr"])
            .arg(&socket)
            .arg("--config")
            .arg(host.path("rclone.conf"))
            .arg("--cache-dir")
            .arg(host.path("cache"))
            .arg("--base-dir")
            .arg(host.path("base"))
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("rclone: {error}: apt-get install rclone fuse3"));
        host.rclone = Some(child);
        eventually("rclone listens", || UnixStream::connect(&socket).is_ok());
        host
    }

    /// With a driver `cut` that reads a request and breaks off.
    pub(crate) fn with_a_driver_that_breaks_off() -> Host {
        let host = Host::new();
        let listener = UnixListener::bind(host.path("run/cut.sock")).unwrap();
        thread::spawn(move || {
            for connection in listener.incoming() {
                // The rest of the request is not read, so the close is a reset.
                let _ = connection.unwrap().read(&mut [0; 16]);
            }
        });
        host
    }

    /// Adds a driver over TCP that answers everything as Activate is answered.
    pub(crate) fn add_tcp_driver(&self, name: &str) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("tcp://{}", listener.local_addr().unwrap());
        fs::write(self.path(&format!("etc/{name}.spec")), address).unwrap();
        thread::spawn(move || {
            for connection in listener.incoming() {
                let connection = connection.unwrap();
                thread::spawn(move || answer_all(connection));
            }
        });
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A folder for the data of a volume, in the form of rclone's option.
    pub(crate) fn data(&self, name: &str) -> String {
        let path = self.path(name);
        fs::create_dir_all(&path).unwrap();
        format!("path={}", path.display())
    }

    pub(crate) fn rclone_log(&self) -> String {
        fs::read_to_string(self.path("rclone.log")).unwrap()
    }

    pub(crate) fn kill_rclone(&mut self) {
        if let Some(mut rclone) = self.rclone.take() {
            // An error means that it has ended by itself.
            let _ = kill_process_group(Pid::from_child(&rclone), Signal::KILL);
            let _ = rclone.wait();
        }
    }

    /// What tells the program about this host.
    pub(crate) fn environment(&self) -> [(&'static str, PathBuf); 4] {
        [
            ("MESOS_VOLUMES_DRIVER_SOCKETS", self.path("run")),
            ("MESOS_VOLUMES_DRIVER_SPECS", self.path("etc")),
            ("MESOS_VOLUMES_RUN_DIR", self.path("notes")),
            ("MESOS_VOLUMES_HOST_ID", "test-host".into()),
        ]
    }

    /// A program in this host's surroundings.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .envs(self.environment())
            // A driver is never reached through a proxy.
            .env("http_proxy", "http://127.0.0.1:1")
            .env("HTTP_PROXY", "http://127.0.0.1:1")
            .env("ALL_PROXY", "http://127.0.0.1:1")
            .stdin(Stdio::null());
        command
    }

    /// `mesos-volumes driver ..`.
    pub(crate) fn driver(&self, arguments: &[&str]) -> Ran {
        let state = self.path("state").display().to_string();
        let mut command = self.command(Path::new(env!("CARGO_BIN_EXE_mesos-volumes")));
        command.arg("driver").args(arguments);
        if matches!(arguments[0], "mount" | "unmount") {
            command.args(["--state-dir", &state]);
        }
        command.output().unwrap().into()
    }

    /// `dvdcli ..`, found by that name as Mesos finds it.
    pub(crate) fn dvdcli(&self, arguments: &[&str]) -> Ran {
        self.command(&self.path("bin/dvdcli"))
            .args(arguments)
            .output()
            .unwrap()
            .into()
    }

    /// What is mounted in this host's folders.
    pub(crate) fn mounts(&self) -> Vec<PathBuf> {
        let mounts = testbed::mounts_below(self.dir.path()).unwrap().into_iter();
        mounts.map(|mount| mount.target).collect()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.kill_rclone();
        for path in self.mounts().iter().rev() {
            if let Err(error) = unmount(path, UnmountFlags::DETACH) {
                eprintln!("{} stays mounted: {error}", path.display());
            }
        }
    }
}
