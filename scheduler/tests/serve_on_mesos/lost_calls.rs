//! Calls that are lost on their way to a real master while the stream of events stays up.
//!
//! A gateway between scheduler and master answers one call of a type with 500: either instead of passing it on, or after the
//! master has taken it.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use super::{Service, cluster, held, wait};

/// What the gateway does with the next call of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    /// The master never sees it.
    Call,
    /// The master carries it out, and the scheduler does not hear of it.
    Answer,
}

/// The type of the next call to lose.
type Next = Arc<Mutex<Option<(&'static str, Loss)>>>;

struct Gateway {
    address: String,
    next: Next,
}

impl Gateway {
    fn before(master: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a port left");
        let address = listener.local_addr().expect("it is bound").to_string();
        let next = Next::default();
        let lose = next.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (master, lose) = (master.clone(), lose.clone());
                // A connection that breaks is one that the scheduler makes again.
                thread::spawn(move || pass_on(client, &master, &lose));
            }
        });
        Self { address, next }
    }

    fn lose(&self, call: &'static str, loss: Loss) {
        *self.next.lock().expect("no thread has panicked with it") = Some((call, loss));
    }

    fn has_lost(&self) -> bool {
        self.next.lock().expect("no thread has panicked with it").is_none()
    }
}

/// Passes one request on, and its answer back until that ends.
fn pass_on(client: TcpStream, master: &str, lose: &Next) -> io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut head = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let lower = line.to_ascii_lowercase();
        if let Some(given) = lower.strip_prefix("content-length:") {
            length = given.trim().parse().unwrap_or(0);
        }
        if line == "\r\n" {
            break;
        }
        if !lower.starts_with("connection:") {
            head += &line;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let call: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let loss = lose
        .lock()
        .expect("no thread has panicked with it")
        .take_if(|(kind, _)| call["type"] == *kind)
        .map(|(_, loss)| loss);
    let lost = |mut client: &TcpStream| {
        client.write_all(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    };
    if loss == Some(Loss::Call) {
        return lost(&client);
    }
    let mut upstream = TcpStream::connect(master)?;
    upstream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes())?;
    upstream.write_all(&body)?;
    if loss == Some(Loss::Answer) {
        io::copy(&mut upstream, &mut io::sink())?;
        return lost(&client);
    }
    // The scheduler ends the stream of events; the master has to notice.
    let ended = upstream.try_clone()?;
    let watched = client.try_clone()?;
    thread::spawn(move || {
        let _ = io::copy(&mut &watched, &mut io::sink());
        let _ = ended.shutdown(Shutdown::Both);
    });
    io::copy(&mut upstream, &mut &client)?;
    client.shutdown(Shutdown::Both)
}

const QUICK: &str = "tasks:\n  a: {command: 'true', volumes: {v: vol-1}}\n";
const TOO_LARGE: &str = "version: 1\nname: large\ntasks:\n  a: {command: 'true', cpus: 9999}\n";

#[test]
fn a_lost_call_hangs_no_job_and_launches_no_task_twice() {
    let (cluster, folder) = cluster(1);
    let gateway = Gateway::before(cluster.master().address());
    let service = Service::start_with(&gateway.address, folder.path(), "one", &[]);
    let count = folder.path().join("count");
    let mut launched = 0;
    for loss in [Loss::Call, Loss::Answer] {
        for call in ["REVIVE", "ACCEPT", "SUPPRESS", "ACKNOWLEDGE"] {
            let name = format!("{}-{loss:?}", call.to_lowercase()).to_lowercase();
            let command = format!("echo {name} >> {}", count.display());
            let job = format!(
                "version: 1\nname: {name}\n{}",
                QUICK.replace("'true'", &format!("'{command}'"))
            );
            gateway.lose(call, loss);
            let run = service.begin(&name, &job);
            service.wait_for(&run, "finished");
            wait(&format!("the {call} is lost"), || gateway.has_lost());
            launched += 1;
            let written = fs::read_to_string(&count).unwrap_or_default();
            assert_eq!(written.lines().count(), launched, "{call} {loss:?}: {written}");
        }
    }
}

#[test]
fn an_offer_whose_decline_is_lost_comes_back_and_a_lost_kill_is_repeated() {
    let (cluster, folder) = cluster(1);
    let gateway = Gateway::before(cluster.master().address());
    let service = Service::start_with(&gateway.address, folder.path(), "one", &[]);
    gateway.lose("DECLINE", Loss::Call);
    let large = service.begin("large", TOO_LARGE);
    wait("the DECLINE is lost", || gateway.has_lost());
    // Its only offer is that which the master believes to be thought about.
    let go = folder.path().join("go");
    let holder = service.begin("holder", &held("holder", "vol-1", &go));
    wait("its task runs", || service.why(&holder).contains("TASK_RUNNING"));
    gateway.lose("KILL", Loss::Call);
    let (status, answer) = service.post(&format!("/v1/runs/{holder}/cancel"), "");
    assert_eq!(status, 202, "{answer}");
    service.wait_for(&holder, "failed");
    assert!(gateway.has_lost());
    assert_eq!(service.status(&large), "running");
}
