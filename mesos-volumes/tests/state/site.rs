//! A state folder, the program, and a driver that does as it is told.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use isolator::ledger::{MountSpec, Record, RecordedState, RecordedVolume, VolumeRequest};
use isolator::records::{Change, Store};
use isolator::{ContainerId, Containerizer, VolumeKey};
use serde_json::Value;
use tempfile::TempDir;
use volume_driver_client::MountId;
use volume_labels::Access;

/// Longest wait for a state that must come.
const LIMIT: Duration = Duration::from_secs(30);

/// What the program did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.stdout
    }
}

/// A folder for one test.
pub(crate) struct Site(TempDir);

impl Site {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    pub(crate) fn store(&self) -> Store {
        Store::open(&self.state()).unwrap()
    }

    /// `mesos-volumes ARGUMENTS --state-dir ..`.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        let output = Command::new(env!("CARGO_BIN_EXE_mesos-volumes"))
            .args(arguments)
            .arg("--state-dir")
            .arg(self.state())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ran {
            code: output.status.code().unwrap(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// `mesos-volumes ls --json`.
    pub(crate) fn ls(&self) -> Value {
        let ran = self.run(&["ls", "--json"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.json()
    }

    /// The one volume of `ls --json`, once that holds of it.
    pub(crate) fn volume_once(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + LIMIT;
        loop {
            let seen = self.ls();
            let volumes = seen["volumes"].as_array().unwrap();
            if let [volume] = volumes.as_slice()
                && holds(volume)
            {
                return volume.clone();
            }
            assert!(Instant::now() < end, "waited {LIMIT:?} in vain: {what}: {seen:#}");
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// A record of a container with such volumes of driver `ebs`.
pub(crate) fn record<const N: usize>(container: &str, volumes: [(&str, RecordedState); N]) -> Record {
    let volumes = volumes.map(|(name, state)| RecordedVolume {
        request: VolumeRequest {
            origin: "data".into(),
            volume: VolumeKey::new("ebs", name),
            mount_id: MountId::derive("host", "ebs", name),
            target: format!("/sandboxes/{container}/data").into(),
            read_only: false,
            access: Access::Shared,
            spec: MountSpec::default(),
        },
        state,
    });
    Record {
        container: ContainerId::root(container),
        containerizer: Containerizer::Mesos,
        released: false,
        volumes: volumes.into(),
    }
}

pub(crate) fn mounted(at: &str) -> RecordedState {
    RecordedState::Mounted(at.into())
}

pub(crate) fn write(store: &Store, record: Record) {
    assert_eq!(store.commit(&[Change::Write(record)]), [Ok(())]);
}

/// A driver `told` of plain folders, which unmounts unless it was told not to.
pub(crate) struct Driver {
    pub(crate) refuses_unmount: Arc<AtomicBool>,
}

impl Driver {
    /// Listens in the folder `run` of the site until the test is over.
    pub(crate) fn start(site: &Site) -> Self {
        let (run, volume) = (site.path("run"), site.path("volume"));
        fs::create_dir(&run).unwrap();
        fs::create_dir(&volume).unwrap();
        let listener = UnixListener::bind(run.join("told.sock")).unwrap();
        let refuses_unmount = Arc::new(AtomicBool::new(false));
        let refuses = Arc::clone(&refuses_unmount);
        thread::spawn(move || {
            for connection in listener.incoming() {
                let (refuses, volume) = (Arc::clone(&refuses), volume.clone());
                thread::spawn(move || serve(&connection.unwrap(), &refuses, &volume));
            }
        });
        Self { refuses_unmount }
    }
}

fn serve(connection: &UnixStream, refuses: &AtomicBool, volume: &Path) {
    let mut reader = BufReader::new(connection);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).is_ok_and(|read| read == 0) {
                return;
            }
        }
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse().ok())?
        });
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body).unwrap();
        let call = head.split_whitespace().nth(1).unwrap();
        let (status, answer) = match call {
            "/Plugin.Activate" => (200, r#"{"Implements":["VolumeDriver"]}"#.to_owned()),
            "/VolumeDriver.Get" => (200, r#"{"Volume":{"Name":"vol-1"}}"#.to_owned()),
            "/VolumeDriver.Mount" | "/VolumeDriver.Path" => {
                (200, format!(r#"{{"Mountpoint":"{}"}}"#, volume.display()))
            }
            "/VolumeDriver.Unmount" if refuses.load(Ordering::SeqCst) => {
                (500, r#"{"Err":"device is busy"}"#.to_owned())
            }
            _ => (200, "{}".to_owned()),
        };
        let answer = format!(
            "HTTP/1.1 {status} As told\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{answer}",
            answer.len()
        );
        (&*connection).write_all(answer.as_bytes()).unwrap();
    }
}
