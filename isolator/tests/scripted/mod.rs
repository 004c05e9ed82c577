//! An isolator and a driver that does exactly what a test says.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use isolator::{Config, ContainerId, ContainerLaunch, Isolator, RecoveredContainer};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Far longer than anything here takes; only a hang reaches it.
const LIMIT: Duration = Duration::from_secs(60);

/// Waits until it is so.
pub(crate) fn eventually(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < deadline, "not in {LIMIT:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

type Deed = Arc<dyn Fn(&str) + Send + Sync>;

#[derive(Default)]
struct Script {
    mountpoint: PathBuf,
    by_name: bool,
    calls: Vec<String>,
    deeds: BTreeMap<String, Deed>,
    refusals: BTreeMap<String, String>,
}

/// A driver with any volume.
pub(crate) struct Driver {
    name: String,
    folder: TempDir,
    script: Arc<Mutex<Script>>,
}

impl Driver {
    /// One that answers this mountpoint and does nothing.
    pub(crate) fn start(name: &str, mountpoint: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let listener = UnixListener::bind(folder.path().join(format!("{name}.sock"))).expect("a socket");
        let script = Arc::new(Mutex::new(Script {
            mountpoint: mountpoint.to_owned(),
            ..Script::default()
        }));
        let served = Arc::clone(&script);
        thread::spawn(move || {
            // A test that takes the process's file descriptors away makes single connections fail.
            for stream in listener.incoming().filter_map(Result::ok) {
                let script = Arc::clone(&served);
                thread::spawn(move || serve(stream, &script));
            }
        });
        Self {
            name: name.to_owned(),
            folder,
            script,
        }
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().expect("no test panics with it")
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its address.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join(format!("{}.sock", self.name))
    }

    /// What it does at a call before it answers.
    pub(crate) fn on(&self, call: &str, deed: impl Fn() + Send + Sync + 'static) {
        self.on_named(call, move |_| deed());
    }

    /// The same with the volume's name.
    pub(crate) fn on_named(&self, call: &str, deed: impl Fn(&str) + Send + Sync + 'static) {
        self.script().deeds.insert(call.to_owned(), Arc::new(deed));
    }

    /// It answers these words from now on, and does nothing.
    pub(crate) fn refuse(&self, call: &str, words: &str) {
        self.script().refusals.insert(call.to_owned(), words.to_owned());
    }

    /// It does again what it is asked for.
    pub(crate) fn accept(&self, call: &str) {
        self.script().refusals.remove(call);
    }

    pub(crate) fn answer_mountpoint(&self, mountpoint: &Path) {
        mountpoint.clone_into(&mut self.script().mountpoint);
    }

    /// Each volume is at a folder of its name below this one.
    pub(crate) fn by_name(&self, base: &Path) {
        self.answer_mountpoint(base);
        self.script().by_name = true;
    }

    /// How often it was called.
    pub(crate) fn calls(&self, call: &str) -> usize {
        self.script().calls.iter().filter(|seen| *seen == call).count()
    }
}

fn serve(stream: UnixStream, script: &Mutex<Script>) {
    // When the test is over, or out of file descriptors.
    let Ok(mut answers) = stream.try_clone() else { return };
    let mut reader = BufReader::new(stream);
    while let Some((call, body)) = request(&mut reader) {
        let name = body["Name"].as_str().unwrap_or_default().to_owned();
        let (deed, refusal, mountpoint) = {
            let mut script = script.lock().expect("no test panics with it");
            script.calls.push(call.clone());
            let mountpoint = if script.by_name {
                script.mountpoint.join(&name)
            } else {
                script.mountpoint.clone()
            };
            (
                script.deeds.get(&call).cloned(),
                script.refusals.get(&call).cloned(),
                mountpoint,
            )
        };
        let answer = match (refusal, call.as_str()) {
            (Some(words), _) => json!({ "Err": words }),
            (None, call) => {
                if let Some(deed) = deed {
                    deed(&name);
                }
                match call {
                    "Get" => json!({ "Volume": { "Name": name } }),
                    "Mount" => json!({ "Mountpoint": mountpoint }),
                    _ => json!({}),
                }
            }
        };
        let text = answer.to_string();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", text.len());
        if answers.write_all(format!("{head}{text}").as_bytes()).is_err() {
            return;
        }
    }
}

/// The method and the body; `None` when there is no more.
fn request(reader: &mut impl BufRead) -> Option<(String, Value)> {
    let (mut line, mut length) = (String::new(), 0);
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        if let Some((_, value)) = header.to_lowercase().split_once("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if header.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let call = line.split('.').nth(1)?.split(' ').next()?.to_owned();
    Some((call, serde_json::from_slice(&body).unwrap_or_default()))
}

/// An isolator with a state folder of its own, and the driver as its default one.
pub(crate) struct Agent {
    // Dropped before the folder it works in.
    isolator: Option<Isolator>,
    parameters: Vec<(String, String)>,
    folder: TempDir,
}

impl Agent {
    pub(crate) fn start(driver: &Driver, more: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let sockets = driver.folder.path().display().to_string();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let mut parameters: Vec<(String, String)> = [
            ("state_dir", path("state")),
            ("driver_sockets", sockets.clone()),
            ("driver_specs", sockets),
            ("driver_locks", path("locks")),
            ("default_driver", driver.name.clone()),
            ("cleanup_wait", "5secs".to_owned()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into();
        parameters.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let isolator = Some(begin(&parameters, &[]));
        Self {
            isolator,
            parameters,
            folder,
        }
    }

    fn isolator(&self) -> &Isolator {
        self.isolator.as_ref().expect("it runs")
    }

    /// Ends it and starts it again, with these containers still running.
    pub(crate) fn restart(self, running: &[&str], more: &[(&str, &str)]) -> Self {
        let mut agent = self;
        agent
            .parameters
            .extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        agent.restart_after(running, || {})
    }

    /// The same, and meanwhile something happens.
    pub(crate) fn restart_after(mut self, running: &[&str], meanwhile: impl FnOnce()) -> Self {
        drop(self.isolator.take());
        // Of the life before.
        fs::remove_file(self.folder.path().join("state/status.json")).ok();
        meanwhile();
        self.isolator = Some(begin(&self.parameters, running));
        self
    }

    /// A container with this volume: where the volume is, or why the container does not get it.
    pub(crate) fn prepare(&self, id: &str, volume: &str) -> Result<PathBuf, String> {
        self.prepare_labelled(id, &[("volume.data", volume)])
    }

    /// The same with these labels.
    pub(crate) fn prepare_labelled(&self, id: &str, labels: &[(&str, &str)]) -> Result<PathBuf, String> {
        let directory = self.folder.path().join("sandboxes").join(id);
        fs::create_dir_all(&directory).expect("a sandbox");
        let launch = ContainerLaunch {
            directory,
            task_labels: labels
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            ..ContainerLaunch::default()
        };
        let (answer, answered) = channel();
        self.isolator()
            .prepare(ContainerId::root(id), launch, move |result| drop(answer.send(result)));
        let answer = answered.recv_timeout(LIMIT).expect("prepare is answered");
        match answer {
            Ok(mounts) => Ok(mounts.expect("a volume was asked for")[0].source.clone()),
            Err(error) => Err(error.to_string()),
        }
    }

    pub(crate) fn cleanup(&self, id: &str) {
        let (answer, answered) = channel();
        self.isolator()
            .cleanup(ContainerId::root(id), move || answer.send(()).expect("the test waits"));
        answered.recv_timeout(LIMIT).expect("cleanup is answered");
    }

    pub(crate) fn cleanup_without_waiting(&self, id: &str) {
        self.isolator().cleanup(ContainerId::root(id), || {});
    }

    /// Whether it has let go of everything.
    pub(crate) fn nothing_is_recorded(&self) -> bool {
        let records = fs::read_dir(self.folder.path().join("state/containers")).expect("the folder of the records");
        records.count() == 0
    }

    /// The status file, which follows within a second or two.
    pub(crate) fn status(&self) -> String {
        fs::read_to_string(self.folder.path().join("state/status.json")).unwrap_or_default()
    }
}

fn begin(parameters: &[(String, String)], running: &[&str]) -> Isolator {
    let config = Config::from_parameters(parameters).expect("good parameters");
    let isolator = Isolator::start(config).expect("a state folder of its own");
    let running = running.iter().map(|id| RecoveredContainer {
        id: ContainerId::root(*id),
        executor_labels: Vec::new(),
    });
    let (answer, answered) = channel();
    isolator.recover(running.collect(), Vec::new(), move || {
        answer.send(()).expect("the test waits")
    });
    answered.recv_timeout(LIMIT).expect("recover is answered");
    isolator
}
