//! The isolator as its caller sees it, with a driver that does exactly what the test says. Real
//! drivers and a real agent are in the workspace's end-to-end tests.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use isolator::{BindMount, Config, ContainerId, ContainerLaunch, Isolator, PrepareError};
use rustix::mount::{UnmountFlags, mount_bind, unmount};
use tempfile::TempDir;

/// Far longer than anything here takes; only a hang reaches it.
const LIMIT: Duration = Duration::from_secs(30);

type Calls = Arc<Mutex<Vec<String>>>;

/// A driver at `sockets/NAME.sock` that answers each call with what `answer` says, or never when
/// that is `None`.
fn driver(folder: &Path, name: &str, answer: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Calls {
    let listener = UnixListener::bind(folder.join(format!("{name}.sock"))).expect("a socket");
    let calls = Calls::default();
    let (seen, answer) = (Arc::clone(&calls), Arc::new(answer));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
            thread::spawn(move || serve(stream.expect("a connection"), &seen, &*answer));
        }
    });
    calls
}

fn serve(mut stream: UnixStream, seen: &Calls, answer: &dyn Fn(&str) -> Option<String>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    loop {
        let (mut request, mut length) = (String::new(), 0);
        if reader.read_line(&mut request).is_ok_and(|read| read == 0) {
            return;
        }
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).expect("a header");
            if let Some((_, value)) = header.to_lowercase().split_once("content-length:") {
                length = value.trim().parse().expect("a length");
            }
            if header.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("a body");
        let method = request
            .split('.')
            .nth(1)
            .and_then(|rest| rest.split(' ').next())
            .unwrap_or_default()
            .to_owned();
        seen.lock().expect("no test panics with it").push(method.clone());
        let Some(text) = answer(&method) else {
            thread::sleep(Duration::from_secs(3600));
            return;
        };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", text.len());
        if stream.write_all(format!("{head}{text}").as_bytes()).is_err() {
            return;
        }
    }
}

/// Answers of a driver with any volume, at this mountpoint.
fn well(mountpoint: &str) -> impl Fn(&str) -> Option<String> + Send + Sync + 'static {
    let mounted = format!(r#"{{"Mountpoint":"{mountpoint}"}}"#);
    move |method| {
        Some(match method {
            "Get" => r#"{"Volume":{"Name":"v"}}"#.to_owned(),
            "Mount" => mounted.clone(),
            _ => "{}".to_owned(),
        })
    }
}

struct Agent {
    // Dropped before the folder it works in.
    isolator: Isolator,
    folder: TempDir,
}

impl Agent {
    fn start(folder: TempDir, more: &[(&str, &str)]) -> Self {
        let path = |name: &str| folder.path().join(name).display().to_string();
        let mut parameters: BTreeMap<String, String> = [
            ("state_dir", path("state")),
            ("driver_sockets", folder.path().display().to_string()),
            ("driver_specs", folder.path().display().to_string()),
            ("default_driver", "well".to_owned()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into();
        parameters.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let config = Config::from_parameters(&parameters.into_iter().collect::<Vec<_>>()).expect("good parameters");
        let isolator = Isolator::start(config).expect("a state folder of its own");
        let (answer, answered) = channel();
        isolator.recover(Vec::new(), Vec::new(), move || answer.send(()).expect("the test waits"));
        answered.recv_timeout(LIMIT).expect("recover is answered");
        Self { isolator, folder }
    }

    fn prepare(&self, id: &str, labels: &[(&str, &str)]) -> Receiver<Result<Option<Vec<BindMount>>, PrepareError>> {
        let directory = self.folder.path().join("sandboxes").join(id);
        fs::create_dir_all(&directory).expect("a sandbox");
        let task_labels = labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let launch = ContainerLaunch {
            directory,
            task_labels,
            ..ContainerLaunch::default()
        };
        let (answer, answered) = channel();
        // A test that has seen enough does not listen any more.
        self.isolator
            .prepare(ContainerId::root(id), launch, move |result| drop(answer.send(result)));
        answered
    }

    fn mounts(&self, id: &str, labels: &[(&str, &str)]) -> Vec<BindMount> {
        let answer = self
            .prepare(id, labels)
            .recv_timeout(LIMIT)
            .expect("prepare is answered");
        answer
            .expect("the volume is to be had")
            .expect("a volume was asked for")
    }

    fn refusal(&self, id: &str, labels: &[(&str, &str)]) -> String {
        let answer = self
            .prepare(id, labels)
            .recv_timeout(LIMIT)
            .expect("prepare is answered");
        answer.expect_err("the volume is not to be had").to_string()
    }

    fn cleanup(&self, id: &str) {
        let (answer, answered) = channel();
        self.isolator
            .cleanup(ContainerId::root(id), move || answer.send(()).expect("the test waits"));
        answered.recv_timeout(LIMIT).expect("cleanup is answered");
    }
}

/// A file system that is mounted as long as this lives.
struct Mounted(TempDir);

impl Mounted {
    fn new() -> Self {
        let place = folder();
        let none = rustix::mount::MountFlags::empty();
        rustix::mount::mount("none", place.path(), "tmpfs", none, None).expect("root may mount");
        Self(place)
    }

    fn path(&self) -> &str {
        self.0.path().to_str().expect("a readable path")
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let detach = rustix::mount::UnmountFlags::DETACH;
        rustix::mount::unmount(self.0.path(), detach).expect("it is mounted");
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// Threads of this process with this name; the kernel cuts names at 15 bytes.
fn threads(name: &str) -> usize {
    let tasks = fs::read_dir("/proc/self/task")
        .expect("own threads")
        .filter_map(Result::ok);
    tasks
        .filter(|task| fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name))
        .count()
}

#[test]
fn the_driver_is_asked_once_for_two_containers_and_told_once_when_both_have_left() {
    let mounted = Mounted::new();
    let folder = folder();
    let calls = driver(folder.path(), "well", well(mounted.path()));
    let agent = Agent::start(folder, &[]);
    let labels = [("volume.data", "v"), ("volume.data.mode", "rw")];
    assert_eq!(agent.mounts("a", &labels)[0].source, Path::new(mounted.path()));
    assert_eq!(
        agent.mounts("b", &labels)[0].target,
        agent.folder.path().join("sandboxes/b/data")
    );
    agent.cleanup("a");
    agent.cleanup("b");
    assert_eq!(*calls.lock().unwrap(), ["Get", "Mount", "Unmount"]);
}

#[test]
fn a_container_without_volumes_and_a_debug_container_are_none_of_its_business() {
    let agent = Agent::start(folder(), &[]);
    let answer = agent.prepare("a", &[("team", "etl")]).recv_timeout(LIMIT).unwrap();
    assert_eq!(answer, Ok(None));
}

#[test]
fn a_mountpoint_that_is_no_mount_is_refused_unless_the_operator_says_directory() {
    let plain = tempfile::tempdir_in("/var").unwrap();
    let path = plain.path().to_str().unwrap();
    let other = folder();
    let calls = driver(other.path(), "well", well(path));
    let agent = Agent::start(other, &[]);
    let refusal = agent.refusal("a", &[("volume.data", "v")]);
    assert!(
        refusal.contains("sees no mount") && refusal.contains("directory_backed_drivers"),
        "{refusal}"
    );
    agent.cleanup("a");
    assert_eq!(
        *calls.lock().unwrap(),
        ["Get", "Mount", "Path", "Unmount"],
        "what the driver did is undone, and nobody else has a volume at that place"
    );

    let other = folder();
    driver(other.path(), "well", well(path));
    let agent = Agent::start(other, &[("directory_backed_drivers", "well")]);
    assert_eq!(agent.mounts("a", &[("volume.data", "v")])[0].source, plain.path());
}

#[test]
fn a_state_folder_that_cannot_be_written_fails_the_container_and_not_the_agent() {
    let mounted = Mounted::new();
    let folder = folder();
    let calls = driver(folder.path(), "well", well(mounted.path()));
    let agent = Agent::start(folder, &[]);
    let records = agent.folder.path().join("state/containers");
    fs::rename(&records, agent.folder.path().join("elsewhere")).unwrap();
    let refusal = agent.refusal("a", &[("volume.data", "v")]);
    assert!(
        refusal.contains("state_dir") && refusal.contains("No such file"),
        "{refusal}"
    );
    assert!(
        calls.lock().unwrap().is_empty(),
        "nothing is mounted that could not be remembered"
    );
    fs::rename(agent.folder.path().join("elsewhere"), &records).unwrap();
    agent.mounts("b", &[("volume.data", "v")]);
}

#[test]
fn a_hung_driver_holds_as_many_threads_as_it_bears_calls_and_no_more() {
    let mounted = Mounted::new();
    let folder = folder();
    driver(folder.path(), "hung", |_| None);
    driver(folder.path(), "well", well(mounted.path()));
    let drivers = r#"{"profiles": {"hung": {"max_in_flight": 3}}}"#;
    let agent = Agent::start(folder, &[("drivers", drivers)]);
    let waiting: Vec<_> = (0..50)
        .map(|n| {
            agent.prepare(
                &format!("hung-{n}"),
                &[("volume.data", &format!("v{n}")), ("volume.data.driver", "hung")],
            )
        })
        .collect();
    for n in 0..50 {
        agent.mounts(&format!("well-{n}"), &[("volume.data", "v")]);
    }
    assert_eq!(threads("mev-hung"), 3);
    assert!(waiting.iter().all(|answer| answer.try_recv().is_err()));
}

#[test]
fn it_stops_at_once_though_a_driver_hangs_and_answers_what_waits() {
    let folder = folder();
    driver(folder.path(), "hung", |_| None);
    let agent = Agent::start(folder, &[("default_driver", "hung")]);
    let answered = agent.prepare("a", &[("volume.data", "v")]);
    let begun = Instant::now();
    drop(agent);
    assert!(begun.elapsed() < LIMIT, "the driver's own time limit is longer");
    assert_eq!(answered.recv_timeout(LIMIT).unwrap(), Err(PrepareError::Stopped));
    for name in ["mev-ledger", "mev-records", "mev-resolve", "mev-answers"] {
        assert_eq!(threads(name), 0, "{name}");
    }
}

#[test]
fn the_time_for_prepare_is_kept_though_the_driver_hangs() {
    let folder = folder();
    driver(folder.path(), "hung", |_| None);
    let agent = Agent::start(folder, &[("default_driver", "hung"), ("prepare_timeout", "100ms")]);
    let refusal = agent.refusal("a", &[("volume.data", "v")]);
    assert!(
        refusal.contains("has not answered Mount") && refusal.contains("prepare_timeout"),
        "{refusal}"
    );
}

#[test]
fn two_slots_that_end_in_one_directory_are_refused() {
    let mounted = Mounted::new();
    let folder = folder();
    driver(folder.path(), "well", well(mounted.path()));
    let agent = Agent::start(folder, &[]);
    let sandbox = agent.folder.path().join("sandboxes/a");
    fs::create_dir_all(sandbox.join("real")).unwrap();
    std::os::unix::fs::symlink("real", sandbox.join("alias")).unwrap();
    let labels = [
        ("volume.a", "v"),
        ("volume.a.path", "real"),
        ("volume.b", "w"),
        ("volume.b.path", "alias"),
    ];
    let refusal = agent.refusal("a", &labels);
    assert!(
        refusal.contains("'volume.b'") && refusal.contains("'volume.a'"),
        "{refusal}"
    );
}

#[test]
fn the_time_limit_of_an_earlier_container_does_not_refuse_a_later_one_with_the_same_id() {
    let folder = folder();
    let begun = Instant::now();
    // The second Mount is answered after the first prepare's time is over, and long before the
    // second's.
    let mounted = Mounted::new();
    let answers = well(mounted.path());
    let mounts = Arc::new(Mutex::new(0));
    driver(folder.path(), "well", move |method| {
        if method == "Mount" {
            let mut mounts = mounts.lock().expect("no test panics with it");
            *mounts += 1;
            if *mounts == 2 {
                thread::sleep(Duration::from_millis(10_500).saturating_sub(begun.elapsed()));
            }
        }
        answers(method)
    });
    // This driver unmounts nothing, so its volume counts as a plain directory: no mount has to go.
    let parameters = [("prepare_timeout", "10secs"), ("directory_backed_drivers", "well")];
    let agent = Agent::start(folder, &parameters);
    agent.mounts("a", &[("volume.data", "v")]);
    agent.cleanup("a");
    thread::sleep(Duration::from_secs(6).saturating_sub(begun.elapsed()));
    agent.mounts("a", &[("volume.data", "v")]);
    assert!(
        begun.elapsed() > Duration::from_secs(10),
        "the first time limit is over"
    );
}

#[test]
fn a_record_that_could_not_be_removed_is_not_removed_when_a_new_container_has_its_id() {
    let mounted = Mounted::new();
    let folder = folder();
    driver(folder.path(), "well", well(mounted.path()));
    let agent = Agent::start(folder, &[]);
    let record = agent.folder.path().join("state/containers/a.json");
    agent.mounts("a", &[("volume.data", "v")]);
    // What is mounted on cannot be removed.
    mount_bind("/proc/self/status", &record).expect("a bind on the record");
    agent.cleanup("a");
    agent.mounts("other", &[("volume.data", "v")]);
    unmount(&record, UnmountFlags::DETACH).expect("it is mounted");
    agent.mounts("a", &[("volume.data", "v")]);
    // The removal is tried again after five seconds.
    thread::sleep(Duration::from_secs(7));
    assert!(record.exists(), "the new container has its record");
    agent.cleanup("a");
    let begun = Instant::now();
    while record.exists() && begun.elapsed() < LIMIT {
        thread::sleep(Duration::from_millis(20));
    }
    assert!(!record.exists(), "its own removal is carried out");
}

#[test]
fn the_status_file_is_written_again_when_what_was_in_its_way_is_gone() {
    let folder = folder();
    let state = folder.path().join("state");
    let obstacle = state.join("status.json");
    fs::create_dir_all(&obstacle).unwrap();
    let _agent = Agent::start(folder, &[]);
    thread::sleep(Duration::from_millis(1500));
    fs::remove_dir(&obstacle).unwrap();
    let begun = Instant::now();
    while !obstacle.is_file() && begun.elapsed() < LIMIT {
        thread::sleep(Duration::from_millis(20));
    }
    assert!(obstacle.is_file(), "though nothing changes");
}
