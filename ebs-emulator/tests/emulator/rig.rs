//! What the tests share: an emulator on a folder of its own, drivers spoken to over their sockets, the kernel's word
//! on loop devices and mounts.
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ebs_emulator::{Client, Emulator, EmulatorOptions, EventKind};
use serde_json::{Value, json};

/// An emulator on a folder of its own; all gone when dropped.
pub(crate) struct Rig {
    pub(crate) emulator: Emulator,
    pub(crate) folder: tempfile::TempDir,
}

impl Rig {
    /// Hosts `a` and `b` in zone `z1`, `c` in zone `z2`. Their bases are shared, so that no mount namespace that is made
    /// on this machine meanwhile keeps a device busy.
    pub(crate) fn new() -> Rig {
        Rig::with_hosts(["a=z1,shared", "b=z1,shared", "c=z2,shared"])
    }

    pub(crate) fn with_hosts<const N: usize>(hosts: [&str; N]) -> Rig {
        let folder = tempfile::Builder::new().prefix("ebs-emulator-").tempdir().unwrap();
        let emulator = Emulator::start(EmulatorOptions {
            program: Some(env!("CARGO_BIN_EXE_ebs-emulator").into()),
            state: folder.path().join("state"),
            hosts: hosts.into_iter().map(|host| host.parse().unwrap()).collect(),
        });
        Rig {
            emulator: emulator.unwrap(),
            folder,
        }
    }

    pub(crate) fn client(&self) -> &Client {
        self.emulator.client()
    }

    pub(crate) fn driver(&self, host: &str) -> Driver {
        Driver {
            socket: self.emulator.driver(host).unwrap(),
        }
    }

    /// What happened to the volumes, as `host:event`, without the driver calls.
    pub(crate) fn steps(&self) -> Vec<String> {
        let calls = [EventKind::Request, EventKind::Answer, EventKind::Start, EventKind::Stop];
        let events = self
            .client()
            .log()
            .unwrap()
            .into_iter()
            .filter(|event| !calls.contains(&event.kind));
        events
            .map(|event| format!("{}:{}", event.host.as_deref().unwrap_or("-"), event.kind.as_str()))
            .collect()
    }

    /// The loop devices of this emulator's images, as the kernel shows them.
    pub(crate) fn loop_devices(&self) -> Vec<PathBuf> {
        let volumes = self.emulator.state().canonicalize().unwrap().join("volumes");
        let mut devices = Vec::new();
        for entry in fs::read_dir("/sys/block").unwrap().flatten() {
            let Ok(file) = fs::read_to_string(entry.path().join("loop/backing_file")) else {
                continue;
            };
            if Path::new(file.trim()).starts_with(&volumes) {
                devices.push(Path::new("/dev").join(entry.file_name()));
            }
        }
        devices
    }

    /// The mounts of loop devices below the state folder, as the kernel shows them.
    pub(crate) fn mounts(&self) -> Vec<String> {
        let state = self.emulator.state().canonicalize().unwrap().display().to_string();
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
        table
            .lines()
            .filter(|line| line.contains(&state) && line.contains("/dev/loop"))
            .map(str::to_owned)
            .collect()
    }

    /// Nothing is attached or mounted, by the emulator's word and by the kernel's.
    pub(crate) fn assert_nothing_left(&self) {
        assert_eq!(self.loop_devices(), Vec::<PathBuf>::new());
        assert_eq!(self.mounts(), Vec::<String>::new());
        for volume in self.client().describe().unwrap().volumes {
            assert_eq!(
                (volume.state.as_str(), volume.attachments.len()),
                ("available", 0),
                "{volume:?}"
            );
        }
    }
}

/// A host's driver, spoken to in bytes.
#[derive(Clone)]
pub(crate) struct Driver {
    pub(crate) socket: PathBuf,
}

impl Driver {
    /// Sends one call. `None` when the connection closed without an answer.
    pub(crate) fn raw(&self, call: &str, body: &str) -> Option<(u16, Value)> {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        let length = body.len();
        write!(
            stream,
            "POST /{call} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        if answer.is_empty() {
            return None;
        }
        let text = String::from_utf8(answer).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Some((status, serde_json::from_str(body).unwrap_or(Value::Null)))
    }

    /// Sends one call of the volume driver; an error is the driver's words.
    pub(crate) fn call(&self, call: &str, body: Value) -> Result<Value, String> {
        let (status, answer) = self
            .raw(&format!("VolumeDriver.{call}"), &body.to_string())
            .ok_or("no answer".to_owned())?;
        match (status, answer["Err"].as_str().unwrap_or_default()) {
            (200, "") => Ok(answer),
            (_, words) => Err(words.to_owned()),
        }
    }

    pub(crate) fn mount(&self, name: &str, id: &str) -> Result<PathBuf, String> {
        let answer = self.call("Mount", json!({"Name": name, "ID": id}))?;
        Ok(PathBuf::from(answer["Mountpoint"].as_str().unwrap()))
    }

    pub(crate) fn unmount(&self, name: &str, id: &str) -> Result<(), String> {
        self.call("Unmount", json!({"Name": name, "ID": id})).map(drop)
    }
}

/// Waits until `done` says so, with a limit.
pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < limit, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A process in a mount namespace of its own, with a copy of every mount there is now; it follows unmounts of shared
/// mounts, as a container does.
pub(crate) fn mount_namespace() -> Child {
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "--propagation",
        "slave",
        "sh",
        "-c",
        "echo in; exec sleep 600",
    ]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0; 3]).unwrap();
    child
}
