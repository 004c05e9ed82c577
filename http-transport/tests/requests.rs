//! What a caller learns when a peer does not behave, and that no request is sent twice.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use http_transport::{Cause, Client, CompleteResponse, Connection, Failure, Limits, Method, Request, Reuse, Route};

/// Nothing here takes half as long.
const LIMIT: Duration = Duration::from_secs(20);
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A peer on a unix socket that reads the head of a request and then does as `respond` says, until
/// that returns false. Returns the first line of each request.
fn peer(path: &Path, mut respond: impl FnMut(usize, &mut UnixStream) -> bool + Send + 'static) -> Receiver<String> {
    let listener = UnixListener::bind(path).expect("the folder is ours");
    let (tx, rx) = channel();
    thread::spawn(move || {
        let mut number = 0;
        for stream in listener.incoming() {
            let mut stream = stream.expect("a client connects");
            while let Some(line) = head(&stream) {
                // The test is over when the receiver is gone.
                let _ = tx.send(line);
                number += 1;
                if !respond(number, &mut stream) {
                    break;
                }
            }
        }
    });
    rx
}

/// The first line of a request, which is read up to the end of its head.
fn head(stream: &UnixStream) -> Option<String> {
    let mut lines = BufReader::with_capacity(1, stream).lines().map_while(Result::ok);
    let first = lines.next()?;
    lines.find(String::is_empty)?;
    Some(first)
}

fn route(socket: &Path) -> Route {
    Route {
        socket: Some(socket.to_owned()),
        ..Route::default()
    }
}

fn get(url: &str) -> Request<'_> {
    Request {
        method: Method::Get,
        url,
        headers: &[],
        body: &[],
    }
}

fn call(client: &Client, limit: Duration, reuse: Reuse) -> Result<CompleteResponse, Failure> {
    client.call(&get("http://peer/x"), &Limits::within(limit), 100, reuse)
}

#[test]
fn of_a_request_to_a_port_on_which_nothing_listens_nothing_was_sent() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = Client::new(Route::default(), "test");
    let failure = client
        .call(
            &get(&format!("http://{address}/")),
            &Limits::within(LIMIT),
            100,
            Reuse::Never,
        )
        .unwrap_err();
    assert!(!failure.sent && !failure.reused, "{failure:?}");
    assert!(
        matches!(&failure.cause, Cause::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused),
        "{failure:?}"
    );
}

#[test]
fn of_a_request_to_a_host_without_an_address_nothing_was_sent() {
    let client = Client::new(Route::default(), "test");
    let failure = client
        .call(
            &get("http://nowhere.invalid:1/"),
            &Limits::within(LIMIT),
            100,
            Reuse::Never,
        )
        .unwrap_err();
    assert!(!failure.sent, "{failure:?}");
    assert!(
        matches!(failure.cause, Cause::HostNotFound | Cause::ConnectTimeout),
        "{failure:?}"
    );
}

#[test]
fn a_request_that_the_peer_read_and_did_not_respond_to_may_have_been_carried_out() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let requests = peer(&socket, |_, _| false);
    let failure = call(&Client::new(route(&socket), "test"), LIMIT, Reuse::Never).unwrap_err();
    assert!(failure.sent && !failure.reused, "{failure:?}");
    assert!(matches!(failure.cause, Cause::Io(_)), "{failure:?}");
    assert_eq!(requests.recv_timeout(LIMIT).unwrap(), "GET /x HTTP/1.1");
    assert!(requests.try_recv().is_err(), "the request was repeated");
}

#[test]
fn an_idle_connection_is_used_again_and_only_where_that_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    // Every connection says which request of its own this is.
    let listener = UnixListener::bind(&socket).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || {
                let mut stream = stream.unwrap();
                let mut number = 0;
                while head(&stream).is_some() {
                    number += 1;
                    let response = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}");
                    stream.write_all(response.as_bytes()).unwrap();
                }
            });
        }
    });
    let client = Client::new(route(&socket), "test");
    let number = |reuse| String::from_utf8(call(&client, LIMIT, reuse).unwrap().body).unwrap();
    assert_eq!(number(Reuse::Idle), "1");
    assert_eq!(number(Reuse::Never), "1");
    assert_eq!(number(Reuse::Idle), "2");
    assert_eq!(number(Reuse::Idle), "3");
}

#[test]
fn a_failure_on_an_idle_connection_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    // The second request on the same connection gets no response.
    let _requests = peer(&socket, |number, stream| number == 1 && stream.write_all(OK).is_ok());
    let client = Client::new(route(&socket), "test");
    assert_eq!(call(&client, LIMIT, Reuse::Idle).unwrap().body, b"ok");
    let failure = call(&client, LIMIT, Reuse::Idle).unwrap_err();
    assert!(failure.reused && failure.sent, "{failure:?}");
}

#[test]
fn a_peer_that_sends_a_byte_now_and_then_gains_no_time() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let _requests = peer(&socket, |_, stream| {
        let mut response = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n".to_vec();
        response.resize(1_000_000, b'x');
        response.iter().all(|byte| {
            thread::sleep(Duration::from_millis(20));
            stream.write_all(&[*byte]).is_ok()
        });
        false
    });
    let begin = Instant::now();
    let failure = call(
        &Client::new(route(&socket), "test"),
        Duration::from_millis(300),
        Reuse::Never,
    )
    .unwrap_err();
    assert!(failure.sent, "{failure:?}");
    assert!(matches!(failure.cause, Cause::ResponseTimeout(_)), "{failure:?}");
    assert!(begin.elapsed() < LIMIT, "it took {:?}", begin.elapsed());
}

#[test]
fn a_peer_that_takes_no_connections_is_given_up_on_and_got_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let listener = UnixListener::bind(&socket).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    // One waits to be accepted, and the queue has room for no other.
    let _waiting = UnixStream::connect(&socket).unwrap();
    let failure = call(
        &Client::new(route(&socket), "test"),
        Duration::from_millis(200),
        Reuse::Never,
    )
    .unwrap_err();
    assert!(!failure.sent, "{failure:?}");
    assert!(failure.to_string().contains("takes no connections"), "{failure}");
}

#[test]
fn a_redirect_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let requests = peer(&socket, |_, stream| {
        let response = b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://peer/y\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(response).is_ok()
    });
    let response = call(&Client::new(route(&socket), "test"), LIMIT, Reuse::Never).unwrap();
    assert_eq!(response.status, 307);
    assert_eq!(response.headers["Location"], "http://peer/y");
    assert_eq!(requests.recv_timeout(LIMIT).unwrap(), "GET /x HTTP/1.1");
    assert!(requests.recv_timeout(Duration::from_millis(100)).is_err());
}

#[test]
fn of_a_refusal_the_words_that_came_are_enough_and_of_a_success_they_are_not() {
    let folder = tempfile::tempdir().unwrap();
    for (status, is_enough) in [(500, true), (404, true), (200, false)] {
        let socket = folder.path().join(status.to_string());
        let _requests = peer(&socket, move |_, stream| {
            let response = format!("HTTP/1.1 {status} X\r\nContent-Length: 100\r\n\r\nno volume");
            stream.write_all(response.as_bytes()).unwrap();
            false
        });
        let response = call(&Client::new(route(&socket), "test"), LIMIT, Reuse::Never);
        match response {
            Ok(response) => assert!(is_enough && response.body == b"no volume", "{response:?}"),
            Err(failure) => assert!(!is_enough && failure.sent, "{failure:?}"),
        }
    }
}

#[test]
fn a_response_that_is_longer_than_allowed_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let _requests = peer(&socket, |_, stream| {
        let mut response = b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n".to_vec();
        response.extend([b'x'; 101]);
        stream.write_all(&response).is_ok()
    });
    let failure = call(&Client::new(route(&socket), "test"), LIMIT, Reuse::Never).unwrap_err();
    assert!(matches!(failure.cause, Cause::TooLong(100)), "{failure:?}");
}

#[test]
fn a_silent_stream_is_read_on_until_another_thread_stops_it() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let _requests = peer(&socket, |_, stream| {
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n";
        stream.write_all(head).unwrap();
        // Waits until the other side is closed.
        stream.read_exact(&mut [0]).is_ok()
    });
    let mut connection = Connection::new(&route(&socket), "test");
    let stopper = connection.stopper();
    let limits = Limits {
        connect: LIMIT,
        total: None,
        read: Some(Duration::from_millis(50)),
        write: Some(LIMIT),
    };
    let mut response = connection.send(&get("http://peer/x"), &limits).unwrap();
    let mut buffer = [0; 16];
    assert_eq!(response.read(&mut buffer).unwrap(), 3);
    for _ in 0..3 {
        let failure = response.read(&mut buffer).unwrap_err();
        assert!(matches!(failure.cause, Cause::Silent), "{failure:?}");
    }
    stopper.stop();
    match response.read(&mut buffer) {
        Err(Failure {
            cause: Cause::Silent, ..
        }) => panic!("the stream goes on"),
        Ok(amount) => assert_eq!(amount, 0),
        Err(_) => {}
    }
}
