//! The least a volume driver can be: a measuring instrument that answers at once, or holds back its answers to Mount.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// A driver in this process. Every volume exists and is mounted at `BASE/NAME`; nothing is done about it. Its threads end
/// with the process.
pub(crate) struct Plugin {
    socket: PathBuf,
    shared: Arc<Shared>,
}

struct Shared {
    base: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    hangs: bool,
    hanging: usize,
    /// The last request for each call, byte for byte.
    requests: Vec<(String, Vec<u8>)>,
}

impl Plugin {
    /// Listens at `FOLDER/NAME.sock` with so many threads, each of which has one connection at a time: none is started when
    /// a call comes.
    pub(crate) fn start(folder: &Path, name: &str, base: &Path, threads: usize) -> Result<Plugin> {
        let socket = folder.join(format!("{name}.sock"));
        let listener = Arc::new(UnixListener::bind(&socket)?);
        // Sockets that others may write to are refused.
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o600))?;
        let shared = Arc::new(Shared {
            base: base.to_owned(),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        for _ in 0..threads {
            let (listener, shared) = (Arc::clone(&listener), Arc::clone(&shared));
            thread::Builder::new().name(format!("plugin-{name}")).spawn(move || {
                for stream in listener.incoming().filter_map(Result::ok) {
                    serve(stream, &shared);
                }
            })?;
        }
        Ok(Plugin { socket, shared })
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// From now on every Mount waits until [`Plugin::release`].
    pub(crate) fn hang(&self) {
        self.shared.lock().hangs = true;
    }

    /// Has every Mount that hangs fail, and later ones succeed.
    pub(crate) fn release(&self) {
        self.shared.lock().hangs = false;
        self.shared.changed.notify_all();
    }

    /// Waits until so many Mounts hang.
    pub(crate) fn wait_until_hanging(&self, count: usize, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        let mut state = self.shared.lock();
        while state.hanging < count {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("only {} of {count} calls hang after {limit:?}", state.hanging);
            }
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }

    /// The bytes of the last request for `call` (`VolumeDriver.Get`), as they came.
    pub(crate) fn request(&self, call: &str) -> Option<Vec<u8>> {
        let state = self.shared.lock();
        let found = state.requests.iter().find(|(known, _)| known == call);
        found.map(|(_, bytes)| bytes.clone())
    }
}

impl Shared {
    /// Plain values, whole also after a panic elsewhere.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, call: &str, request: &[u8]) {
        let mut state = self.lock();
        match state.requests.iter_mut().find(|(known, _)| known == call) {
            Some((_, bytes)) => request.clone_into(bytes),
            None => state.requests.push((call.to_owned(), request.to_owned())),
        }
    }

    /// False when it was held back and let go.
    fn may_answer(&self) -> bool {
        let mut state = self.lock();
        if !state.hangs {
            return true;
        }
        state.hanging += 1;
        self.changed.notify_all();
        while state.hangs {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.hanging -= 1;
        false
    }
}

/// Answers until the caller closes the connection or says that this was all.
fn serve(mut stream: UnixStream, shared: &Shared) {
    let mut buffer = Vec::new();
    while let Ok(Some(length)) = read_request(&mut stream, &mut buffer) {
        let request: Vec<u8> = buffer.drain(..length).collect();
        let text = String::from_utf8_lossy(&request);
        let call = text.split([' ', '?']).nth(1).unwrap_or("").trim_start_matches('/');
        shared.remember(call, &request);
        let answer = answer(call, &text, shared);
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.plugins.v1.1+json\r\nContent-Length: {}\r\n\r\n{answer}",
            answer.len()
        );
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn answer(call: &str, request: &str, shared: &Shared) -> String {
    let name = request
        .split("\"Name\":\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .unwrap_or("");
    match call {
        "Plugin.Activate" => r#"{"Implements":["VolumeDriver"]}"#.to_owned(),
        "VolumeDriver.Get" => format!(r#"{{"Volume":{{"Name":"{name}"}},"Err":""}}"#),
        "VolumeDriver.Mount" if !shared.may_answer() => r#"{"Err":"let go"}"#.to_owned(),
        "VolumeDriver.Mount" | "VolumeDriver.Path" => {
            format!(r#"{{"Mountpoint":"{}/{name}","Err":""}}"#, shared.base.display())
        }
        "VolumeDriver.Capabilities" => r#"{"Capabilities":{"Scope":"local"}}"#.to_owned(),
        _ => r#"{"Err":""}"#.to_owned(),
    }
}

/// The length of the next whole request at the beginning of `buffer`; none when the connection ended.
fn read_request(stream: &mut UnixStream, buffer: &mut Vec<u8>) -> io::Result<Option<usize>> {
    let mut chunk = [0; 4096];
    loop {
        if let Some(length) = whole_request(buffer) {
            return Ok(Some(length));
        }
        match stream.read(&mut chunk)? {
            0 => return Ok(None),
            read => buffer.extend_from_slice(&chunk[..read]),
        }
    }
}

fn whole_request(buffer: &[u8]) -> Option<usize> {
    let head = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&buffer[..head]).ok()?.to_ascii_lowercase();
    let body: usize = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .and_then(|length| length.trim().parse().ok())
        .unwrap_or(0);
    (buffer.len() >= head + body).then_some(head + body)
}
