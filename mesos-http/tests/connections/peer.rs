//! A master or agent played by the test: it hands over each request, and the test answers it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::Value;

/// How long anything may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// A listening peer.
pub(crate) struct Peer {
    /// `127.0.0.1:PORT`.
    pub(crate) address: String,
    requests: Receiver<Request>,
}

/// One request, still to be answered.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) path: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Value,
    stream: TcpStream,
}

/// An open stream of events.
pub(crate) struct Events(TcpStream);

impl Peer {
    pub(crate) fn start() -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (sender, requests) = channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let sender = sender.clone();
                thread::spawn(move || {
                    if let Some(request) = read(stream.unwrap()) {
                        // The test is over when the receiver is gone.
                        let _ = sender.send(request);
                    }
                });
            }
        });
        Peer { address, requests }
    }

    /// The next request.
    #[track_caller]
    pub(crate) fn request(&self) -> Request {
        self.requests.recv_timeout(LIMIT).expect("no request came")
    }

    /// The next request, which has to be of this type.
    #[track_caller]
    pub(crate) fn call(&self, kind: &str) -> Request {
        let request = self.request();
        assert_eq!(request.body["type"], kind, "{request:?}");
        request
    }

    /// A request that has come already.
    pub(crate) fn waiting(&self) -> Option<Request> {
        self.requests.try_recv().ok()
    }

    /// Whether no request has come that was not taken.
    pub(crate) fn is_quiet(&self) -> bool {
        self.waiting().is_none()
    }
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Answers and closes the connection.
    pub(crate) fn answer(mut self, status: &str, headers: &str, body: &str) {
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n");
        self.stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    }

    /// Answers `202 Accepted`.
    pub(crate) fn accept(self) {
        self.answer("202 Accepted", "", "");
    }

    /// Begins a stream of events.
    pub(crate) fn open(mut self, headers: &str) -> Events {
        let head =
            format!("HTTP/1.1 200 OK\r\n{headers}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
        self.stream.write_all(head.as_bytes()).unwrap();
        Events(self.stream)
    }
}

impl Events {
    /// Sends one event in one chunk.
    pub(crate) fn send(&mut self, event: &Value) {
        self.send_bytes(&mesos_http::recordio::encode(event.to_string().as_bytes()));
    }

    /// Sends bytes in one chunk.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        let chunk = [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
        self.0.write_all(&chunk).unwrap();
    }

    /// Whether the other side has closed the stream, within the limit.
    pub(crate) fn is_closed_by_peer(&mut self) -> bool {
        self.0.set_read_timeout(Some(LIMIT)).unwrap();
        !matches!(self.0.read(&mut [0]), Ok(1..))
    }
}

/// `None` when the connection brings no request.
fn read(stream: TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
    let path = line.split(' ').nth(1)?.to_string();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.push((name.to_string(), value.to_string()));
    }
    let length = headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let mut body = vec![0; length.map_or(0, |(_, length)| length.parse().unwrap())];
    reader.read_exact(&mut body).ok()?;
    Some(Request {
        path,
        headers,
        body: serde_json::from_slice(&body).unwrap(),
        stream,
    })
}
