//! Servers that break the rules: each ends in the right kind of error, within the deadline, and is asked only once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use volume_driver_client::{Driver, ErrorKind, MountId, Operation};

use crate::scripted::{Reads, Scripted, Step, answer};

use ErrorKind::{NotFound, Protocol, Rejected, Uncertain, Unreachable, Unsupported};

/// Long enough that no answer that does come is missed on a busy machine.
const PATIENT: Duration = Duration::from_secs(20);
/// For answers that never come.
const SHORT: Duration = Duration::from_millis(300);
/// How late a call may end after its deadline.
const GRACE: Duration = Duration::from_secs(2);

const FOUND: &str = r#"{"Volume":{"Name":"v","Mountpoint":"/mnt/v","Status":{}},"Err":""}"#;
const MOUNTED: &str = r#"{"Mountpoint":"/mnt/v","Err":""}"#;

fn id() -> MountId {
    MountId::derive("host", "scripted", "v")
}

/// How Get and Mount end. Mount is a changing call, Get is not.
fn outcomes(driver: &Driver) -> (Result<(), ErrorKind>, Result<(), ErrorKind>) {
    let get = driver.get("v").map(drop).map_err(|error| error.kind());
    let mount = driver.mount("v", &id()).map(drop).map_err(|error| error.kind());
    (get, mount)
}

/// Both calls against a server that sends these bytes to everything.
fn sending(bytes: impl Into<Vec<u8>>) -> (Result<(), ErrorKind>, Result<(), ErrorKind>) {
    let server = Scripted::sending(bytes);
    outcomes(&server.driver(PATIENT))
}

fn within<T>(limit: Duration, call: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = call();
    let took = start.elapsed();
    assert!(took < limit + GRACE, "took {took:?}, the deadline was {limit:?}");
    result
}

#[test]
fn every_truncation_of_a_valid_answer_is_uncertain_for_mount_and_no_answer_for_get() {
    for (framing, full, call) in [
        ("length", answer("200 OK", FOUND), Operation::Get),
        ("length", answer("200 OK", MOUNTED), Operation::Mount),
        ("chunked", chunked(FOUND), Operation::Get),
        ("chunked", chunked(MOUNTED), Operation::Mount),
        ("close", until_close(FOUND), Operation::Get),
        ("close", until_close(MOUNTED), Operation::Mount),
    ] {
        for cut in 0..=full.len() {
            let server = Scripted::sending(&full[..cut]);
            let driver = server.driver(PATIENT);
            let (kind, complete) = match call {
                Operation::Get => (driver.get("v").map(drop).map_err(|e| e.kind()), Unreachable),
                _ => (driver.mount("v", &id()).map(drop).map_err(|e| e.kind()), Uncertain),
            };
            let shown = String::from_utf8_lossy(&full[..cut]).into_owned();
            match kind {
                // The last bytes of a chunked answer only say that it is over; without them it is whole, too.
                Ok(()) => assert!(full.len() - cut <= 4, "{framing}: read from {shown:?}"),
                Err(kind) if call == Operation::Get => {
                    assert!(
                        [complete, Protocol].contains(&kind),
                        "{framing}: {kind:?} from {shown:?}"
                    );
                }
                Err(kind) => assert_eq!(kind, complete, "{framing}: {shown:?}"),
            }
            assert_eq!(server.requests().len(), 1, "{framing}: sent again after {shown:?}");
        }
    }
}

#[test]
fn a_server_that_drips_gets_no_more_time_than_one_that_is_silent() {
    let second = Duration::from_secs(1);
    let server = Scripted::doing(vec![Step::Drip(answer("200 OK", FOUND), second)]);
    let limit = Duration::from_millis(2500);
    let driver = server.driver(limit);
    let error = within(limit, || driver.get("v").unwrap_err());
    assert_eq!(error.kind(), Unreachable);
    drop(driver);

    let head = answer("200 OK", MOUNTED);
    let (head, body) = head.split_at(head.len() - MOUNTED.len());
    let steps = vec![Step::Send(head.to_vec()), Step::Drip(body.to_vec(), second)];
    let server = Scripted::doing(steps);
    let driver = server.driver(limit);
    assert_eq!(
        within(limit, || driver.mount("v", &id()).unwrap_err()).kind(),
        Uncertain
    );
}

#[test]
fn a_server_that_says_nothing_is_given_up_at_the_deadline() {
    for steps in [
        vec![Step::Hang],
        vec![Step::Send(b"HTTP/1.1 200 OK\r\n".to_vec()), Step::Hang],
    ] {
        let server = Scripted::doing(steps);
        let driver = server.driver(SHORT);
        let (get, mount) = within(SHORT * 2, || outcomes(&driver));
        assert_eq!((get, mount), (Err(Unreachable), Err(Uncertain)));
        assert_eq!(server.requests().len(), 2);
    }
}

#[test]
fn a_server_that_sends_without_end_is_cut_off() {
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let chunk = [b"10000\r\n".to_vec(), vec![b' '; 0x10000], b"\r\n".to_vec()].concat();
    for steps in [
        vec![Step::Send(head), Step::Flood(chunk)],
        vec![
            Step::Send(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()),
            Step::Flood(vec![b' '; 0x10000]),
        ],
        vec![
            Step::Send(b"HTTP/1.1 200 OK\r\n".to_vec()),
            Step::Flood(b"X: y\r\n".to_vec()),
        ],
        vec![
            Step::Send(b"HTTP/1.1 200 OK\r\nX: ".to_vec()),
            Step::Flood(vec![b'y'; 4096]),
        ],
        vec![Step::Flood(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec())],
    ] {
        let limit = Duration::from_secs(3);
        let server = Scripted::doing(steps.clone());
        let driver = server.driver(limit);
        let (get, mount) = within(limit * 2, || outcomes(&driver));
        assert!(matches!(get, Err(Protocol | Unreachable)), "{steps:?}: {get:?}");
        assert_eq!(mount, Err(Uncertain), "{steps:?}");
    }
}

#[test]
fn an_answer_longer_than_the_limit_is_refused_and_one_at_the_limit_is_read() {
    let padding = " ".repeat(16 * 1024 * 1024 - FOUND.len());
    let at_limit = format!("{FOUND}{padding}");
    assert_eq!(sending(answer("200 OK", &at_limit)).0, Ok(()));
    let (get, mount) = sending(answer("200 OK", &format!("{at_limit} ")));
    assert_eq!((get, mount), (Err(Protocol), Err(Uncertain)));
}

#[test]
fn a_request_cut_off_by_the_server_is_uncertain_and_not_repeated() {
    for taken in [1, 20, 100] {
        for server in [
            Scripted::reading(Reads::Bytes(taken), vec![]),
            Scripted::tcp(Reads::Bytes(taken), vec![]),
        ] {
            let driver = server.driver(PATIENT);
            assert_eq!(driver.mount("v", &id()).unwrap_err().kind(), Uncertain);
            assert_eq!(driver.create("v", &BTreeMap::new()).unwrap_err().kind(), Uncertain);
            assert_eq!(driver.unmount("v", &id()).unwrap_err().kind(), Uncertain);
            assert_eq!(driver.remove("v").unwrap_err().kind(), Uncertain);
            assert_eq!(driver.get("v").unwrap_err().kind(), Unreachable);
            assert_eq!(server.requests().len(), 5, "one request a call");
        }
    }
}

#[test]
fn an_answer_that_ends_in_a_reset_is_uncertain() {
    let full = answer("200 OK", MOUNTED);
    for sent in [0, 10, full.len() - 1] {
        // Nothing of the body is read, so closing resets the connection.
        let server = Scripted::tcp(Reads::Bytes(10), vec![Step::Send(full[..sent].to_vec())]);
        let driver = server.driver(PATIENT);
        assert_eq!(
            driver.mount("v", &id()).unwrap_err().kind(),
            Uncertain,
            "after {sent} bytes"
        );
        assert_eq!(server.requests().len(), 1);
    }
}

#[test]
fn a_lying_content_length_is_noticed() {
    let with_length =
        |length: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{MOUNTED}").into_bytes();
    for length in ["5", "0005", "1000", "-1", "18446744073709551616", "abc", "", "33, 34"] {
        let server = Scripted::sending(with_length(length));
        let kind = server.driver(PATIENT).mount("v", &id()).map_err(|error| error.kind());
        assert_eq!(kind, Err(Uncertain), "Content-Length: {length}");
    }
    let twice = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: {}\r\n\r\n{MOUNTED}",
        MOUNTED.len()
    );
    assert_eq!(sending(twice).1, Err(Uncertain));
}

#[test]
fn chunked_answers_are_read_and_broken_chunks_refused() {
    let mounted = |bytes: Vec<u8>| sending(bytes).1;
    assert_eq!(mounted(chunked(MOUNTED)), Ok(()));
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let trailer = format!(
        "{head}{:x};name=\"x\"\r\n{MOUNTED}\r\n0\r\nX-Trailer: y\r\n\r\n",
        MOUNTED.len()
    );
    assert!(matches!(mounted(trailer.into_bytes()), Ok(()) | Err(Uncertain)));
    for body in [
        "xyz\r\n",
        "-5\r\nabcde\r\n",
        "ffffffffffffffff\r\nabc",
        "5\r\nabcdefgh\r\n0\r\n\r\n",
        "\r\n\r\n",
    ] {
        assert_eq!(
            mounted(format!("{head}{body}").into_bytes()),
            Err(Uncertain),
            "{body:?}"
        );
    }
}

#[test]
fn informational_answers_before_the_real_one_are_passed_over() {
    let continued = [b"HTTP/1.1 100 Continue\r\n\r\n".to_vec(), answer("200 OK", MOUNTED)].concat();
    assert_eq!(sending(continued).1, Ok(()));
    for early in ["102 Processing", "103 Early Hints"] {
        let hinted = [
            format!("HTTP/1.1 {early}\r\nX: y\r\n\r\n").into_bytes(),
            answer("200 OK", MOUNTED),
        ]
        .concat();
        assert_eq!(sending(hinted).1, Ok(()), "{early}");
    }
}

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = Scripted::tcp(Reads::Request, vec![Step::Send(answer("200 OK", MOUNTED))]);
    let target = elsewhere.driver(PATIENT).endpoint().to_string().replace("tcp", "http");
    for status in [
        "301 Moved",
        "302 Found",
        "303 See Other",
        "307 Temporary",
        "308 Permanent",
    ] {
        let redirect =
            format!("HTTP/1.1 {status}\r\nLocation: {target}/VolumeDriver.Mount\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(sending(redirect), (Err(Protocol), Err(Protocol)), "{status}");
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[test]
fn what_is_not_this_protocol_is_told_apart_from_a_refusal() {
    for (bytes, get, mount) in [
        // Not HTTP at all.
        (b"SSH-2.0-OpenSSH_9.2p1\r\n".to_vec(), Protocol, Uncertain),
        (b"\0\0\0\x04\0\0\0\0\0".to_vec(), Protocol, Uncertain),
        (b"HTTP/2 200\r\n\r\n".to_vec(), Protocol, Uncertain),
        (vec![0xff; 400], Protocol, Uncertain),
        // Success that cannot be read.
        (
            answer("200 OK", "<html><body>Welcome to nginx!</body></html>"),
            Protocol,
            Uncertain,
        ),
        (answer("200 OK", "[]"), Protocol, Uncertain),
        (answer("200 OK", "\"ok\""), Protocol, Uncertain),
        (answer("200 OK", "{\"Mountpoint\":"), Protocol, Uncertain),
        (answer("200 OK", &"[".repeat(100_000)), Protocol, Uncertain),
        (
            answer("200 OK", &format!("{{\"Status\":{}", "{\"a\":".repeat(5000))),
            Protocol,
            Uncertain,
        ),
        (answer("204 No Content", ""), Protocol, Uncertain),
        (answer("202 Accepted", MOUNTED), Protocol, Uncertain),
        // Compressed, which was not asked for.
        (
            [
                b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 10\r\n\r\n".to_vec(),
                vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3],
            ]
            .concat(),
            Protocol,
            Uncertain,
        ),
        // A server that is no volume driver.
        (
            answer("404 Not Found", "404 page not found\n"),
            Unsupported,
            Unsupported,
        ),
        (answer("405 Method Not Allowed", ""), Unsupported, Unsupported),
        (
            answer("500 Oops", "Handler not found: POST /VolumeDriver.Get"),
            Unsupported,
            Unsupported,
        ),
        // Refusals, in every form.
        (answer("400 Bad Request", "EOF\n"), Rejected, Rejected),
        (answer("500 Oops", "{\"Err\":\"disk on fire\"}"), Rejected, Rejected),
        (
            answer(
                "500 Oops",
                "<!DOCTYPE html><html><body><h1>Error: 500</h1></body></html>",
            ),
            Rejected,
            Rejected,
        ),
        // Without a cause, a change may still be carried out: REX-Ray answers so when its own time limit is over.
        (answer("500 Oops", ""), Rejected, Uncertain),
        (
            answer("500 Oops", "{\"Err\":\"Mount: v7: failed: \"}"),
            Rejected,
            Uncertain,
        ),
        (answer("503 Busy", "{\"message\":\"try later\"}"), Rejected, Rejected),
        (answer("200 OK", "{\"Err\":\"disk on fire\"}"), Rejected, Rejected),
        (answer("999 What", "{\"Err\":\"odd\"}"), Rejected, Rejected),
    ] {
        let shown = String::from_utf8_lossy(&bytes).chars().take(80).collect::<String>();
        assert_eq!(sending(bytes), (Err(get), Err(mount)), "{shown:?}");
    }
}

#[test]
fn a_refusal_counts_even_when_its_body_is_cut_off_or_endless() {
    let cut = "HTTP/1.1 500 Oops\r\nContent-Length: 1000\r\n\r\n{\"Err\":\"disk";
    assert_eq!(sending(cut).1, Err(Rejected));
    let endless = vec![
        Step::Send(b"HTTP/1.1 500 Oops\r\n\r\n".to_vec()),
        Step::Flood(vec![b'x'; 4096]),
    ];
    let server = Scripted::doing(endless);
    let error = server.driver(PATIENT).mount("v", &id()).unwrap_err();
    assert_eq!(error.kind(), Rejected);
    assert!(error.to_string().len() < 2000);
}

#[test]
fn words_of_a_driver_never_reach_the_message_as_they_are() {
    for body in [
        "{\"Err\":\"no \\u001b[31mred\\u001b[0m \\u0000 volume\\r\\nERROR forged line\"}".to_owned(),
        format!("{{\"Err\":\"{}\"}}", "long ".repeat(10_000)),
        "\u{1b}]0;title\u{7}\u{202e}plain\ntext".to_owned(),
    ] {
        for status in ["200 OK", "500 Oops"] {
            let server = Scripted::sending(answer(status, &body));
            let message = server.driver(PATIENT).get("v\n\u{1b}[2J").unwrap_err().to_string();
            assert!(!message.chars().any(char::is_control), "{message:?}");
            assert!(message.chars().count() < 800, "{message:?}");
        }
    }
    let latin1 = [
        b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\n".to_vec(),
        vec![b'n', 0xe9, 0xff, b'n'],
    ]
    .concat();
    assert_eq!(sending(latin1).1, Err(Rejected));
}

#[test]
fn success_without_a_usable_mountpoint_is_uncertain() {
    for body in [
        "",
        "{}",
        "null",
        r#"{"Mountpoint":""}"#,
        r#"{"Mountpoint":null}"#,
        r#"{"Mountpoint":7}"#,
        r#"{"Mountpoint":"relative/path"}"#,
        r#"{"Mountpoint":"/a/../../etc"}"#,
        r#"{"Mountpoint":"/a\u0000b"}"#,
    ] {
        assert_eq!(sending(answer("200 OK", body)).1, Err(Uncertain), "{body}");
    }
}

#[test]
fn an_empty_answer_is_success_for_calls_that_return_nothing() {
    for body in ["", "null", "{}", r#"{"Err":null}"#, r#"{"Err":"","More":1}"#] {
        let server = Scripted::sending(answer("200 OK", body));
        let driver = server.driver(PATIENT);
        assert!(driver.create("v", &BTreeMap::new()).is_ok(), "{body}");
        assert!(driver.unmount("v", &id()).is_ok(), "{body}");
        assert!(driver.remove("v").is_ok(), "{body}");
        assert_eq!(driver.list().map(|volumes| volumes.len()).ok(), Some(0), "{body}");
        let kind = match body.is_empty() {
            false => NotFound,
            // It may have been cut off: no proof of anything.
            true => Protocol,
        };
        assert_eq!(driver.get("v").unwrap_err().kind(), kind, "{body}");
    }
    assert_eq!(sending(answer("200 OK", r#"{"Volume":null}"#)).0, Err(NotFound));
}

#[test]
fn a_driver_that_accepts_no_connections_is_unreachable_within_the_deadline() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("full.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let _waiting = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let server = Scripted::sending("");
    let profile = server.driver(SHORT).profile().clone();
    let endpoint = volume_driver_client::Endpoint::Unix(path);
    let driver = Driver::at("full", endpoint, profile);
    let (get, mount) = within(SHORT * 2, || outcomes(&driver));
    assert_eq!((get, mount), (Err(Unreachable), Err(Unreachable)));
}

fn chunked(body: &str) -> Vec<u8> {
    let (first, second) = body.split_at(7);
    format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{first}\r\n{:X}\r\n{second}\r\n0\r\n\r\n",
        first.len(),
        second.len()
    )
    .into_bytes()
}

fn until_close(body: &str) -> Vec<u8> {
    format!("HTTP/1.0 200 OK\r\nServer: old\r\n\r\n{body}").into_bytes()
}
