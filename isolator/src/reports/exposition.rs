//! The metrics for others to read: a file for node_exporter's textfile collector, and a unix socket
//! that answers HTTP.

use std::fs::{self, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use durable_files::Durability;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};
use tracing::{error, info};

use super::Reports;
use crate::config::Config;
use crate::ledger::{Ledger, VolumeState};
use crate::ledger_reader::LedgerReader;

/// The file is not written more often than this.
const PAUSE: Duration = Duration::from_secs(2);
/// It is written this often even when nothing changes, so that its age shows whether the agent
/// runs.
const KEEP_FRESH: Duration = Duration::from_secs(60);
/// How long a client may take to send its request, and to read the response.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of a request. A longer one does not ask for metrics.
const MAX_REQUEST: usize = 4096;

/// The threads that show metrics; dropping it ends them.
#[derive(Default)]
pub(crate) struct Exposition {
    file: Option<(Sender<()>, JoinHandle<()>)>,
    socket: Option<(PathBuf, Arc<AtomicBool>, JoinHandle<()>)>,
}

impl Exposition {
    /// Starts what the configuration asks for. What cannot be started is logged, and the agent
    /// starts all the same.
    pub(crate) fn start(config: &Config, reports: &Arc<Reports>, ledger: &LedgerReader) -> Self {
        let source = Source {
            reports: Arc::clone(reports),
            ledger: ledger.clone(),
            quarantine: config.state_dir.join("quarantine"),
            counting: Arc::default(),
        };
        let mut exposition = Self::default();
        if let Some(path) = config.metrics_file.clone() {
            let (stop, stopped) = bounded(0);
            let source = source.clone();
            match spawn("mev-metrics", move || keep_file(&path, &source, &stopped)) {
                Ok(thread) => exposition.file = Some((stop, thread)),
                Err(error) => error!(%error, "cannot start the thread that writes the metrics file"),
            }
        }
        if let Some(path) = config.metrics_socket.clone() {
            let stop = Arc::new(AtomicBool::new(false));
            let stopped = Arc::clone(&stop);
            let started =
                listen(&path).and_then(|listener| spawn("mev-scrape", move || serve(&listener, &source, &stopped)));
            match started {
                Ok(thread) => exposition.socket = Some((path, stop, thread)),
                Err(error) => error!(socket = %path.display(), %error, "cannot serve metrics"),
            }
        }
        exposition
    }
}

impl Drop for Exposition {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.file.take() {
            drop(stop);
            ended(thread);
        }
        if let Some((path, stop, thread)) = self.socket.take() {
            stop.store(true, Ordering::Relaxed);
            // The thread waits for a client, and this is the last one. A thread that cannot be
            // reached is left alone.
            if is_answering(&path) {
                ended(thread);
            }
            // The socket may have been removed already.
            let _ = fs::remove_file(&path);
        }
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.into()).spawn(body)
}

fn ended(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        error!("a thread that shows metrics had failed");
    }
}

/// Where the numbers come from.
#[derive(Clone)]
struct Source {
    reports: Arc<Reports>,
    ledger: LedgerReader,
    quarantine: PathBuf,
    /// Held from the reset of the gauges until they are shown: the file and the socket have a
    /// thread each.
    counting: Arc<Mutex<()>>,
}

impl Source {
    /// The metrics as they are now. Gauges of a ledger that has ended keep their last values.
    fn text(&self) -> String {
        let metrics = &self.reports.metrics;
        // Nothing is kept under the lock that a panic could leave half done.
        let _counting = self.counting.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |ledger: &Ledger| {
            let states: Vec<(String, VolumeState)> = ledger
                .volumes()
                .map(|(volume, state)| (volume.driver.clone(), state))
                .collect();
            let having = ledger.containers().filter(|(_, has)| *has).count();
            (states, having)
        };
        if let Some((states, having)) = self.ledger.read(count) {
            metrics.volumes.reset();
            for (driver, state) in states {
                metrics
                    .volumes
                    .with_label_values(&[driver.as_str(), &state.to_string()])
                    .inc();
            }
            metrics.containers.set(i64::try_from(having).unwrap_or(i64::MAX));
        }
        let quarantined = fs::read_dir(&self.quarantine).map(Iterator::count).unwrap_or_default();
        metrics.quarantined.set(i64::try_from(quarantined).unwrap_or(i64::MAX));
        metrics.text()
    }
}

fn keep_file(path: &Path, source: &Source, stopped: &Receiver<()>) {
    let mut written: Option<Instant> = None;
    let mut failing = false;
    loop {
        let old = written.is_none_or(|written| written.elapsed() >= KEEP_FRESH);
        if source.reports.changed.swap(false, Ordering::Relaxed) || old {
            written = Some(Instant::now());
            match replace(path, &source.text()) {
                Ok(()) => failing = false,
                Err(error) if !std::mem::replace(&mut failing, true) => {
                    error!(file = %path.display(), %error, "cannot write the metrics file; it is tried again, and this is logged once");
                }
                Err(_) => {}
            }
        }
        if stopped.recv_timeout(PAUSE) != Err(crossbeam_channel::RecvTimeoutError::Timeout) {
            return;
        }
    }
}

/// A reader sees the old file or the new one. It is not fsynced: after a crash of the host old
/// metrics are worth nothing.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    durable_files::replace(path, 0o644, Durability::Unsynced, |file| {
        file.write_all(text.as_bytes())
    })
}

/// Takes the place of a socket that a killed agent left, and of nothing else.
fn listen(path: &Path) -> io::Result<UnixListener> {
    if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        if is_answering(path) {
            return Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                "another process answers there",
            ));
        }
        fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    give_to_group(path)?;
    info!(socket = %path.display(), "serving metrics");
    Ok(listener)
}

/// Whether a process listens on the socket. Never waits, also when that process takes no more
/// connections.
fn is_answering(path: &Path) -> bool {
    let connect = || -> rustix::io::Result<()> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)
    };
    matches!(connect(), Ok(()) | Err(Errno::AGAIN | Errno::INPROGRESS))
}

/// Lets the group of the socket connect to it. What another user may have put in its place is not
/// touched.
fn give_to_group(path: &Path) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let found = rustix::fs::open(path, flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&found)?;
    let is_ours = stat.st_uid == rustix::process::geteuid().as_raw();
    if !is_ours || FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
        return Err(io::Error::other(
            "another user has replaced it: choose a folder that only root can write",
        ));
    }
    // The kernel has no call that changes the mode of a descriptor like this one, other than by its
    // name in /proc.
    let name = format!("/proc/self/fd/{}", found.as_raw_fd());
    fs::set_permissions(name, Permissions::from_mode(0o660))
}

/// Serves one client at a time. A slow one delays the others for a few seconds at most.
fn serve(listener: &UnixListener, source: &Source, stop: &AtomicBool) {
    for client in listener.incoming() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        match client {
            // A client that disconnects early is no problem.
            Ok(client) => drop(respond(client, source)),
            // Out of descriptors, most likely: no reason to spin.
            Err(_) => thread::sleep(PATIENCE),
        }
    }
}

fn respond(mut client: UnixStream, source: &Source) -> io::Result<()> {
    client.set_write_timeout(Some(PATIENCE))?;
    let request = read_request(&mut client)?;
    let mut words = request.split_whitespace();
    let (status, body) = match (words.next(), words.next()) {
        (Some("GET"), Some("/" | "/metrics")) => ("200 OK", source.text()),
        (Some("GET"), Some(_)) => ("404 Not Found", "the metrics are at /metrics\n".to_owned()),
        _ => ("400 Bad Request", "GET /metrics is all there is\n".to_owned()),
    };
    let head = format!(
        "HTTP/1.0 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    client.write_all(head.as_bytes())?;
    client.write_all(body.as_bytes())
}

/// The head of a request, all of it, so that closing the connection does not cut the answer off.
fn read_request(client: &mut UnixStream) -> io::Result<String> {
    let until = Instant::now() + PATIENCE;
    let mut request = Vec::new();
    let mut part = [0; 512];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < MAX_REQUEST {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        client.set_read_timeout(Some(left))?;
        match client.read(&mut part)? {
            0 => break,
            length => request.extend_from_slice(&part[..length]),
        }
    }
    Ok(String::from_utf8_lossy(&request).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Effect, Event};
    use crate::types::{ContainerId, ContainerLaunch, Containerizer};

    fn config(folder: &Path) -> Config {
        Config {
            state_dir: folder.join("state"),
            metrics_file: Some(folder.join("volumes.prom")),
            metrics_socket: Some(folder.join("metrics.sock")),
            ..Config::default()
        }
    }

    fn parse_request(volume: &str) -> crate::ledger::VolumeRequest {
        crate::ledger::VolumeRequest {
            origin: "data".into(),
            volume: crate::types::VolumeKey::new("d", volume),
            mount_id: volume_driver_client::MountId::derive("host", "d", volume),
            target: "/sandbox/data".into(),
            read_only: false,
            access: volume_labels::Access::Shared,
            spec: crate::ledger::MountSpec::default(),
        }
    }

    fn ask(folder: &Path, request: &str) -> String {
        let mut socket = UnixStream::connect(folder.join("metrics.sock")).unwrap();
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    }

    /// The file and the socket have a thread each.
    #[test]
    fn two_threads_that_count_at_once_count_each_volume_once() {
        let folder = tempfile::tempdir().unwrap();
        let (tx, reads) = crossbeam_channel::unbounded::<crate::ledger_reader::ReadLedger>();
        let ledger = LedgerReader::new(move |read| tx.send(read).is_ok());
        let source = Source {
            reports: Reports::new(&config(folder.path())).unwrap(),
            ledger,
            quarantine: folder.path().join("quarantine"),
            counting: Arc::default(),
        };
        let mut known = Ledger::default();
        let volumes: Vec<_> = (0..200).map(|number| format!("v{number}")).collect();
        let effects = known.handle(Event::Acquire {
            container: ContainerId::root("c"),
            containerizer: Containerizer::Mesos,
            requests: volumes.iter().map(|name| parse_request(name)).collect(),
        });
        for effect in effects {
            if let Effect::WriteRecord { revision, record } = effect {
                known.handle(Event::RecordWritten {
                    container: record.container,
                    revision,
                    result: Ok(()),
                });
            }
        }
        let engine = thread::spawn(move || {
            for read in reads {
                read(&known);
            }
        });
        let counts = |text: &str| -> u64 {
            let lines = text
                .lines()
                .filter(|line| line.starts_with("mesos_external_volumes_volumes{"));
            let counts = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
            counts.sum()
        };
        thread::scope(|threads| {
            for _ in 0..2 {
                threads.spawn(|| (0..200).for_each(|_| assert_eq!(counts(&source.text()), 200)));
            }
        });
        drop(source);
        engine.join().unwrap();
    }

    #[test]
    fn the_socket_answers_a_get_and_refuses_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let isolator = crate::Isolator::start(config(folder.path())).unwrap();
        let metrics = ask(folder.path(), "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(metrics.starts_with("HTTP/1.0 200 OK\r\n"), "{metrics}");
        assert!(metrics.contains("\nmesos_external_volumes_containers 0\n"), "{metrics}");
        assert!(ask(folder.path(), "GET /passwd HTTP/1.0\r\n\r\n").starts_with("HTTP/1.0 404"));
        assert!(ask(folder.path(), "POST / HTTP/1.0\r\n\r\n").starts_with("HTTP/1.0 400"));
        assert!(ask(folder.path(), &"x".repeat(MAX_REQUEST)).starts_with("HTTP/1.0 400"));
        let mode = fs::metadata(folder.path().join("metrics.sock"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o660);
        drop(isolator);
        assert!(!folder.path().join("metrics.sock").exists());
    }

    #[test]
    fn denied_requests_and_quarantined_records_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let policy = folder.path().join("policy.json");
        fs::write(
            &policy,
            r#"{"version": 1, "default": "allow", "rules": [{"name": "no", "effect": "deny"}]}"#,
        )
        .unwrap();
        let config = Config {
            policy: Some(policy),
            default_driver: Some("d".into()),
            ..config(folder.path())
        };
        let isolator = crate::Isolator::start(config).unwrap();
        let launch = ContainerLaunch {
            task_labels: vec![("volume.data".into(), "v".into())],
            ..ContainerLaunch::default()
        };
        let (tell, told) = bounded(1);
        isolator.prepare(ContainerId::root("c"), launch, move |answer| drop(tell.send(answer)));
        let problem = told.recv().unwrap().unwrap_err().to_string();
        assert!(problem.contains("rule 1 'no'"), "{problem}");
        fs::create_dir_all(folder.path().join("state/quarantine")).unwrap();
        fs::write(folder.path().join("state/quarantine/record"), "").unwrap();
        let metrics = ask(folder.path(), "GET / HTTP/1.0\r\n\r\n");
        for line in [
            "denied_total{by=\"rule 1 'no'\"} 1",
            "prepares_total{result=\"refused\"} 1",
            "quarantined_records 1",
        ] {
            assert!(
                metrics.contains(&format!("\nmesos_external_volumes_{line}\n")),
                "{line}\n{metrics}"
            );
        }
    }

    #[test]
    fn a_socket_that_was_left_is_replaced_and_one_in_use_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.sock");
        let first = listen(&path).unwrap();
        assert_eq!(listen(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        assert!(path.exists(), "closing a socket leaves its file");
        listen(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "a file of somebody's").unwrap();
        assert!(listen(&path).is_err());
        assert!(path.is_file());
    }

    #[test]
    fn attack_what_stands_in_the_place_of_the_metrics_is_neither_opened_nor_changed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, victim) = (folder.path().join("volumes.prom"), folder.path().join("victim"));
        fs::write(&victim, "kept").unwrap();
        fs::set_permissions(&victim, Permissions::from_mode(0o600)).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        replace(&path, "one\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\n");
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        replace(&path, "two\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
        let socket = folder.path().join("metrics.sock");
        std::os::unix::fs::symlink(&victim, &socket).unwrap();
        assert!(listen(&socket).is_err());
        assert!(give_to_group(&socket).is_err());
        assert_eq!(fs::read_to_string(&victim).unwrap(), "kept");
        assert_eq!(fs::metadata(&victim).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn attack_a_socket_whose_owner_takes_no_connections_does_not_hold_the_agent_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.sock");
        let _busy = UnixListener::bind(&path).unwrap();
        // As many as the listener's queue takes; each is kept open.
        let mut clients = Vec::new();
        loop {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let client = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
            if rustix::net::connect(&client, &SocketAddrUnix::new(&path).unwrap()).is_err() {
                break;
            }
            clients.push(client);
        }
        assert!(!clients.is_empty());
        assert_eq!(listen(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn the_file_is_replaced_as_a_whole_and_readable_for_the_collector() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("volumes.prom");
        replace(&path, "one\n").unwrap();
        replace(&path, "two\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o004, 0o004);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
