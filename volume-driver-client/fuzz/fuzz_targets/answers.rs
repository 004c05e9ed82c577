//! Any bytes as a driver's answer, through a real socket: each call ends in a value or an error by the rules.
//!
//! The first byte of the input says how the rest is sent (as it is, or as the body of an answer with status 200 or 500) and to which
//! call. Run from `volume-driver-client`:
//!
//! ```text
//! RUSTC_BOOTSTRAP=1 cargo fuzz run answers fuzz/corpus/answers fuzz/seeds/answers -- -max_total_time=60
//! ```
#![no_main]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{LazyLock, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use volume_driver_client::{Driver, Endpoint, Error, ErrorKind, MountId, Profiles, Timeouts};

const LIMIT: Duration = Duration::from_secs(5);

static ANSWER: Mutex<Vec<u8>> = Mutex::new(Vec::new());

static ENDPOINT: LazyLock<Endpoint> = LazyLock::new(|| {
    let path = tempfile::tempdir().expect("a folder").keep().join("fuzz.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    thread::spawn(move || {
        for connection in listener.incoming() {
            serve(&connection.expect("a connection"));
        }
    });
    Endpoint::Unix(path)
});

/// Reads the whole request, or closing would reset the connection, and answers.
fn serve(mut connection: &UnixStream) {
    let mut request = BufReader::new(connection);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if request.read_line(&mut line).is_err() || line.is_empty() || line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("our own header");
        }
    }
    let mut body = vec![0; length];
    let _ = request.read_exact(&mut body);
    let answer = ANSWER.lock().expect("no thread panics with it").clone();
    // The client may have seen enough.
    let _ = connection.write_all(&answer);
}

fuzz_target!(|input: &[u8]| {
    let Some((&how, bytes)) = input.split_first() else { return };
    let framed = |status: &str| {
        let mut answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", bytes.len()).into_bytes();
        answer.extend(bytes);
        answer
    };
    *ANSWER.lock().expect("no thread panics with it") = match how % 3 {
        0 => bytes.to_vec(),
        1 => framed("200 OK"),
        _ => framed("500 Oops"),
    };
    let mut profile = Profiles::builtin().for_driver("fuzz");
    profile.timeouts = Timeouts::all(LIMIT);
    let driver = Driver::at("fuzz", ENDPOINT.clone(), profile);
    let id = MountId::derive("host", "fuzz", "v");
    let start = Instant::now();
    let result: Result<(), Error> = match how / 3 % 9 {
        0 => driver.activate().map(drop),
        1 => driver.capabilities().map(drop),
        2 => driver.get("v").map(drop),
        3 => driver.list().map(drop),
        4 => driver.path("v").map(|path| assert!(path.is_none_or(|path| path.is_absolute()))),
        5 => driver.create("v", &BTreeMap::new()),
        6 => driver.remove("v"),
        7 => driver.mount("v", &id).map(|path| assert!(path.is_absolute())),
        _ => driver.unmount("v", &id),
    };
    assert!(start.elapsed() < LIMIT * 2, "took {:?}", start.elapsed());
    if let Err(error) = result {
        let message = error.to_string();
        assert!(!message.chars().any(char::is_control), "{message:?}");
        assert!(message.chars().count() < 800, "{message:?}");
        assert!(!matches!(error.kind(), ErrorKind::NotInstalled | ErrorKind::Misconfigured), "{message}");
        // Uncertain is for calls that change something, and only they are.
        let no_answer = matches!(error.kind(), ErrorKind::Unreachable);
        assert!(!(no_answer && error.operation().is_mutating()), "the request was sent: {message}");
        assert!(!error.may_have_happened() || error.operation().is_mutating(), "{message}");
    }
});
