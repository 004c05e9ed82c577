//! A server that follows a script byte by byte, whatever the protocol says.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use volume_driver_client::{Driver, Endpoint, Profiles, Timeouts};

/// One thing the server does on a connection, after it has read what it is to read of the request.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Writes all at once.
    Send(Vec<u8>),
    /// Writes one byte at a time.
    Drip(Vec<u8>, Duration),
    /// Writes this again and again until the client goes away.
    Flood(Vec<u8>),
    /// Does nothing until the client goes away.
    Hang,
    /// Serves the next request on the same connection, with the same script.
    Again,
}

/// How much of a request is read before the script runs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reads {
    /// Headers and body.
    Request,
    /// So many bytes. What is left unread makes the close a reset.
    Bytes(usize),
}

/// A running server; stops when dropped.
pub(crate) struct Scripted {
    endpoint: Endpoint,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
    _dir: tempfile::TempDir,
}

#[derive(Default)]
struct State {
    stop: AtomicBool,
    connections: AtomicUsize,
    requests: Mutex<Vec<String>>,
}

impl Scripted {
    /// Answers every request with these bytes and closes.
    pub(crate) fn sending(bytes: impl Into<Vec<u8>>) -> Scripted {
        Scripted::doing(vec![Step::Send(bytes.into())])
    }

    /// Does this for every connection, then closes it.
    pub(crate) fn doing(steps: Vec<Step>) -> Scripted {
        Scripted::reading(Reads::Request, steps)
    }

    /// Reads only so much of each request first.
    pub(crate) fn reading(reads: Reads, steps: Vec<Step>) -> Scripted {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("scripted.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let serve = move |state: &Arc<State>| {
            let (connection, _) = listener.accept().unwrap();
            if !state.stop.load(Ordering::SeqCst) {
                // A thread each: a client may keep one connection idle and make another. It ends when the client leaves.
                let (steps, state) = (steps.clone(), state.clone());
                thread::spawn(move || run(connection, reads, &steps, &state));
            }
        };
        Scripted::start(Endpoint::Unix(path), dir, serve)
    }

    /// Answers the first request with the first of these, the next with the next, each on a connection of its own.
    pub(crate) fn in_turn(answers: Vec<Vec<u8>>) -> Scripted {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("scripted.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let next = AtomicUsize::new(0);
        let serve = move |state: &Arc<State>| {
            let (connection, _) = listener.accept().unwrap();
            if let Some(answer) = answers.get(next.fetch_add(1, Ordering::SeqCst)) {
                run(connection, Reads::Request, &[Step::Send(answer.clone())], state);
            }
        };
        Scripted::start(Endpoint::Unix(path), dir, serve)
    }

    /// The same over TCP, where a close with unread bytes is an RST.
    pub(crate) fn tcp(reads: Reads, steps: Vec<Step>) -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("tcp://{}", listener.local_addr().unwrap());
        let serve = move |state: &Arc<State>| {
            let (connection, _) = listener.accept().unwrap();
            if !state.stop.load(Ordering::SeqCst) {
                // A thread each: a client may keep one connection idle and make another. It ends when the client leaves.
                let (steps, state) = (steps.clone(), state.clone());
                thread::spawn(move || run(connection, reads, &steps, &state));
            }
        };
        Scripted::start(
            Endpoint::parse(&address, None).unwrap(),
            tempfile::tempdir().unwrap(),
            serve,
        )
    }

    fn start(endpoint: Endpoint, dir: tempfile::TempDir, serve: impl Fn(&Arc<State>) + Send + 'static) -> Scripted {
        let state = Arc::new(State::default());
        let shared = state.clone();
        let thread = thread::spawn(move || {
            while !shared.stop.load(Ordering::SeqCst) {
                serve(&shared);
            }
        });
        Scripted {
            endpoint,
            state,
            thread: Some(thread),
            _dir: dir,
        }
    }

    /// A client whose every deadline is `limit`.
    pub(crate) fn driver(&self, limit: Duration) -> Driver {
        let mut profile = Profiles::builtin().for_driver("scripted");
        profile.timeouts = Timeouts::all(limit);
        Driver::at("scripted", self.endpoint.clone(), profile)
    }

    /// Where it listens, when that is a socket in the file system.
    pub(crate) fn socket(&self) -> Option<&Path> {
        match &self.endpoint {
            Endpoint::Unix(path) => Some(path),
            _ => None,
        }
    }

    /// The requests as they came, in order; one that was cut off is there with what was read of it.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.state.requests.lock().unwrap().clone()
    }

    /// How many connections were made.
    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::SeqCst);
        // The server waits in accept: one more connection wakes it.
        match &self.endpoint {
            Endpoint::Unix(path) => drop(UnixStream::connect(path)),
            Endpoint::Tcp { authority } => drop(TcpStream::connect(authority)),
            _ => {}
        }
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn run(mut connection: impl Read + Write, reads: Reads, steps: &[Step], state: &State) {
    state.connections.fetch_add(1, Ordering::SeqCst);
    'serving: loop {
        let request = match reads {
            Reads::Request => read_request(&mut connection),
            Reads::Bytes(count) => read_bytes(&mut connection, count),
        };
        if request.is_empty() {
            return;
        }
        state
            .requests
            .lock()
            .unwrap()
            .push(String::from_utf8_lossy(&request).into_owned());
        for step in steps {
            let done = match step {
                Step::Send(bytes) => connection.write_all(bytes),
                Step::Drip(bytes, pause) => bytes.iter().try_for_each(|byte| {
                    thread::sleep(*pause);
                    connection.write_all(&[*byte])
                }),
                Step::Flood(bytes) => loop {
                    if let Err(error) = connection.write_all(bytes) {
                        break Err(error);
                    }
                },
                Step::Hang => {
                    let mut rest = Vec::new();
                    connection.read_to_end(&mut rest).map(drop)
                }
                Step::Again => continue 'serving,
            };
            // The client is allowed to leave whenever it wants.
            if done.is_err() {
                return;
            }
        }
        return;
    }
}

fn read_bytes(connection: &mut impl Read, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    let mut filled = 0;
    while filled < count {
        match connection.read(&mut bytes[filled..]) {
            Ok(0) | Err(_) => break,
            Ok(read) => filled += read,
        }
    }
    bytes.truncate(filled);
    bytes
}

/// Reads headers and as much body as they announce; less when the client goes away.
fn read_request(connection: &mut impl Read) -> Vec<u8> {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        match connection.read(&mut byte) {
            Ok(1) => request.push(byte[0]),
            _ => return request,
        }
    }
    let head = String::from_utf8_lossy(&request).to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .map_or(0, |length| length.trim().parse().unwrap());
    request.extend(read_bytes(connection, length));
    request
}

/// A well-formed answer.
pub(crate) fn answer(status: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
