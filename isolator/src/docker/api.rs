//! The API of the Docker daemon, as far as it tells which containers run.
//!
//! Requests are of HTTP 1.0: the daemon then sends its answer as it is and closes the connection,
//! also after the last event of a stream.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::sockopt::socket_peercred;
use serde::Deserialize;

/// For how long one read or write may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// A list of containers that is longer than this is not believed.
const LARGEST: u64 = 64 << 20;

/// What Docker says of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It was made and not started.
    Created,
    /// A process of it is there, or may be started without anybody's doing.
    Running,
    /// It has ended.
    Ended,
}

/// One Docker daemon.
#[derive(Clone, Debug)]
pub(crate) struct Daemon {
    socket: PathBuf,
}

#[derive(Deserialize)]
struct Listed {
    #[serde(rename = "Names", default)]
    names: Vec<String>,
    #[serde(rename = "State", default)]
    state: String,
}

impl Daemon {
    /// The daemon that listens at this socket.
    pub(crate) fn new(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
        }
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// All containers by their names, also those that have ended and are not removed.
    ///
    /// # Errors
    /// The daemon does not answer, or not with a list.
    pub(crate) fn containers(&self) -> io::Result<BTreeMap<String, State>> {
        let body = self.request("GET", "/containers/json?all=1")?;
        let listed: Vec<Listed> = serde_json::from_slice(&body)?;
        let by_name = listed.into_iter().flat_map(|container| {
            let state = match container.state.as_str() {
                "created" => State::Created,
                "exited" | "dead" | "removing" => State::Ended,
                // "running", "paused", "restarting", and whatever a later release adds.
                _ => State::Running,
            };
            let names = container.names.into_iter();
            names.map(move |name| (name.trim_start_matches('/').to_owned(), state))
        });
        Ok(by_name.collect())
    }

    /// Has a container end: SIGTERM, and SIGKILL ten seconds later.
    ///
    /// # Errors
    /// The daemon does not answer, or refuses.
    pub(crate) fn stop(&self, name: &str) -> io::Result<()> {
        let mut stream = self.connect()?;
        stream.set_read_timeout(Some(PATIENCE * 3))?;
        send(&mut stream, "POST", &format!("/containers/{name}/stop?t=10"))?;
        answer(stream).map(drop)
    }

    /// Calls `happened` whenever a container starts, ends or goes, as long as the daemon tells and
    /// `happened` says true.
    ///
    /// # Errors
    /// The daemon does not answer, or ends the stream.
    pub(crate) fn follow(&self, happened: impl Fn() -> bool) -> io::Result<()> {
        let mut stream = self.connect()?;
        send(
            &mut stream,
            "GET",
            "/events?filters=%7B%22type%22%3A%5B%22container%22%5D%7D",
        )?;
        let mut reader = BufReader::new(stream);
        accepted(&mut reader)?;
        // What happened before the stream began is seen by the look that follows.
        let mut line = String::new();
        while happened() {
            line.clear();
            match reader.read_line(&mut line) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                // A quiet while: the caller says whether it still wants to know.
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The process that listens at the socket.
    ///
    /// # Errors
    /// Nobody listens there.
    pub(crate) fn process(&self) -> io::Result<i32> {
        let credentials = socket_peercred(self.connect()?)?;
        Ok(credentials.pid.as_raw_nonzero().get())
    }

    fn request(&self, method: &str, path: &str) -> io::Result<Vec<u8>> {
        let mut stream = self.connect()?;
        send(&mut stream, method, path)?;
        answer(stream)
    }

    fn connect(&self) -> io::Result<UnixStream> {
        let stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    }
}

fn send(stream: &mut UnixStream, method: &str, path: &str) -> io::Result<()> {
    let request = format!("{method} {path} HTTP/1.0\r\nHost: docker\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(request.as_bytes())
}

/// The body of a good answer.
fn answer(stream: UnixStream) -> io::Result<Vec<u8>> {
    let mut reader = BufReader::new(stream);
    accepted(&mut reader)?;
    let mut body = Vec::new();
    reader.take(LARGEST).read_to_end(&mut body)?;
    Ok(body)
}

/// Reads the head of an answer.
fn accepted(reader: &mut impl BufRead) -> io::Result<()> {
    let mut status = String::new();
    reader.read_line(&mut status)?;
    let mut header = String::new();
    while reader.read_line(&mut header)? > 2 {
        header.clear();
    }
    let code = status.split(' ').nth(1).and_then(|code| code.parse::<u16>().ok());
    match code {
        // 304: the container has ended already.
        Some(200..=299 | 304) => Ok(()),
        Some(code) => Err(io::Error::other(format!(
            "the Docker daemon answers with status {code}"
        ))),
        None => Err(io::Error::other("the Docker daemon's answer is not HTTP")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;

    fn daemon_that_says(answer: &'static str) -> (tempfile::TempDir, Daemon) {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("docker.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        });
        (folder, Daemon::new(&socket))
    }

    #[test]
    fn containers_are_listed_by_every_name_with_their_state() {
        let (_folder, daemon) = daemon_that_says(
            "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n[{\"Names\":[\"/a\",\"/b\"],\"State\":\"running\"},\
             {\"Names\":[\"/c\"],\"State\":\"exited\"},{\"Names\":[\"/d\"],\"State\":\"created\"},{\"Names\":[\"/e\"],\"State\":\"frozen\"}]",
        );
        let expected = [
            ("a", State::Running),
            ("b", State::Running),
            ("c", State::Ended),
            ("d", State::Created),
            ("e", State::Running),
        ];
        let expected = expected.map(|(name, state)| (name.to_owned(), state));
        assert_eq!(daemon.containers().unwrap(), BTreeMap::from(expected));
    }

    #[test]
    fn an_answer_that_is_cut_off_or_refuses_is_no_list() {
        for answer in [
            "HTTP/1.0 200 OK\r\n\r\n[{\"Names\":[\"/a\"]",
            "HTTP/1.0 500 Internal Server Error\r\n\r\n[]",
            "",
        ] {
            let (_folder, daemon) = daemon_that_says(answer);
            assert!(daemon.containers().is_err(), "{answer}");
        }
    }
}
