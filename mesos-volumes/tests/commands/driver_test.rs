//! `driver test` against drivers that behave badly: what it leaves behind, and what it touches.
//! Against drivers that others wrote it is in `tests/tests/third_party_drivers.rs`.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use testbed::mounts_below;

use crate::fixture::{Host, Ran, eventually};

/// What a driver does that another one does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Habit {
    /// A tmpfs for each volume, and nothing else that is odd.
    None,
    /// A Mount of a volume that does not exist creates it (convoy's `--create-on-docker-mount`).
    CreatesOnMount,
    /// All volumes are folders of one mount, which comes with the first Mount and stays.
    SharesOneMount,
    /// A volume whose name has a `:` or a blank stays mounted, although Unmount and Remove report
    /// success.
    KeepsOddNamesMounted,
    /// A Mount takes until the file `go` is there.
    WaitsInMount,
}

/// A driver `odd` that mounts tmpfs below the host's folder `base`.
struct Odd {
    habit: Habit,
    base: PathBuf,
    volumes: Mutex<BTreeSet<String>>,
}

impl Odd {
    fn start(host: &Host, habit: Habit) -> Arc<Odd> {
        let odd = Arc::new(Odd {
            habit,
            base: host.path("base"),
            volumes: Mutex::default(),
        });
        let listener = UnixListener::bind(host.path("run/odd.sock")).unwrap();
        let serving = Arc::clone(&odd);
        thread::spawn(move || {
            for connection in listener.incoming() {
                let odd = Arc::clone(&serving);
                thread::spawn(move || odd.serve(&connection.unwrap()));
            }
        });
        odd
    }

    fn volumes(&self) -> BTreeSet<String> {
        self.volumes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn serve(&self, connection: &UnixStream) {
        let mut reader = BufReader::new(connection);
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if reader.read_line(&mut head).is_ok_and(|read| read == 0) {
                    return;
                }
            }
            let length = head.to_lowercase();
            let length = length
                .lines()
                .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            reader.read_exact(&mut body).unwrap();
            let call = head.split_whitespace().nth(1).unwrap();
            let body: Value = serde_json::from_slice(&body).unwrap_or_default();
            let answer = self.answer(call, body["Name"].as_str().unwrap_or_default());
            let (status, answer) = match answer {
                Ok(answer) => (200, answer),
                Err(words) => (500, json!({ "Err": words })),
            };
            let answer = answer.to_string();
            let head = format!("HTTP/1.1 {status} Odd\r\nContent-Length: {}\r\n\r\n", answer.len());
            if (&*connection).write_all(format!("{head}{answer}").as_bytes()).is_err() {
                return;
            }
        }
    }

    fn answer(&self, call: &str, name: &str) -> Result<Value, String> {
        let mut volumes = self.volumes.lock().unwrap_or_else(PoisonError::into_inner);
        let at = self.base.join(name);
        match call {
            "/Plugin.Activate" => return Ok(json!({ "Implements": ["VolumeDriver"] })),
            "/VolumeDriver.Capabilities" => return Ok(json!({ "Capabilities": { "Scope": "local" } })),
            "/VolumeDriver.List" => return Ok(json!({ "Volumes": [] })),
            "/VolumeDriver.Create" => {
                volumes.insert(name.to_owned());
                return Ok(json!({}));
            }
            "/VolumeDriver.Mount" if self.habit == Habit::CreatesOnMount => drop(volumes.insert(name.to_owned())),
            _ => {}
        }
        if !volumes.contains(name) {
            return Err(format!("volume {name} not found"));
        }
        match call {
            "/VolumeDriver.Get" => Ok(json!({ "Volume": { "Name": name } })),
            "/VolumeDriver.Path" => Ok(json!({ "Mountpoint": at })),
            "/VolumeDriver.Mount" => {
                drop(volumes);
                if self.habit == Habit::WaitsInMount {
                    fs::write(self.base.join("waits"), "").unwrap();
                    eventually("the driver may go on", || self.base.join("go").exists());
                }
                let target = match self.habit {
                    Habit::SharesOneMount => &self.base,
                    _ => &at,
                };
                fs::create_dir_all(target).unwrap();
                if !is_mounted(target) {
                    mount("odd", target, "tmpfs", MountFlags::empty(), None).map_err(|error| error.to_string())?;
                }
                fs::create_dir_all(&at).unwrap();
                Ok(json!({ "Mountpoint": at }))
            }
            "/VolumeDriver.Unmount" => {
                let stays = self.habit == Habit::KeepsOddNamesMounted && name.contains([':', ' ']);
                if !stays && is_mounted(&at) {
                    unmount(&at, UnmountFlags::empty()).map_err(|error| error.to_string())?;
                }
                Ok(json!({}))
            }
            _ => {
                volumes.remove(name);
                Ok(json!({}))
            }
        }
    }
}

fn is_mounted(at: &Path) -> bool {
    mounts_below(at).unwrap().iter().any(|mount| mount.target == at)
}

fn driver_test(host: &Host, more: &[&str]) -> Ran {
    host.driver(&[&["test", "odd", "--yes", "--json"], more].concat())
}

#[test]
fn a_volume_that_the_driver_creates_by_itself_at_a_mount_is_removed_as_well() {
    let host = Host::new();
    let odd = Odd::start(&host, Habit::CreatesOnMount);
    let ran = driver_test(&host, &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.json()["problems"]
            .to_string()
            .contains("does not exist reports success"),
        "{ran:?}"
    );
    assert_eq!(odd.volumes(), BTreeSet::new());
}

#[test]
fn a_mount_that_the_volumes_of_a_driver_share_is_never_unmounted_by_hand() {
    let host = Host::new();
    let odd = Odd::start(&host, Habit::SharesOneMount);
    let ran = driver_test(&host, &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(is_mounted(&host.path("base")), "other volumes of the driver are in it");
    let profile = &ran.json()["profile"]["profiles"]["odd"];
    assert_eq!(profile["directory_backed"], true, "{profile:#}");
    assert_eq!(profile["folder_in_mount"], Value::Null, "{profile:#}");
    assert_eq!(odd.volumes(), BTreeSet::new());
}

#[test]
fn a_volume_with_an_odd_name_that_stays_mounted_is_unmounted_by_hand() {
    let host = Host::new();
    let odd = Odd::start(&host, Habit::KeepsOddNamesMounted);
    let ran = driver_test(&host, &["--names"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(host.mounts(), Vec::<PathBuf>::new());
    assert_eq!(odd.volumes(), BTreeSet::new());
}

#[test]
fn what_the_command_that_restarts_the_driver_prints_is_not_part_of_the_json() {
    let host = Host::new();
    let _odd = Odd::start(&host, Habit::None);
    let ran = driver_test(&host, &["--restart", "echo restarted"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("restarted"), "{ran:?}");
    assert_eq!(ran.json()["driver"], "odd");
}

#[test]
fn a_test_that_is_interrupted_names_its_volume_and_takes_it_away_again() {
    let host = Host::new();
    let odd = Odd::start(&host, Habit::WaitsInMount);
    let mut command = host.command(Path::new(env!("CARGO_BIN_EXE_mesos-volumes")));
    command.args(["driver", "test", "odd", "--yes"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("the test volume is being mounted", || host.path("base/waits").exists());
    let name = odd.volumes().pop_first().unwrap();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    fs::write(host.path("base/go"), "").unwrap();
    let ran: Ran = child.wait_with_output().unwrap().into();
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains(&format!("the test volume is '{name}'")), "{ran:?}");
    assert!(ran.stderr.contains("interrupted"), "{ran:?}");
    assert_eq!(host.mounts(), Vec::<PathBuf>::new());
    assert_eq!(odd.volumes(), BTreeSet::new());
}
