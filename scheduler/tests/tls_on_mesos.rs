//! `scheduler run` with a master behind TLS: socat stands before a real one.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use testbed::{AgentSpec, Cluster};

/// Nothing here takes half as long.
const LIMIT: Duration = Duration::from_secs(60);

const JOB: &str = "version: 1\nname: safe\ntasks:\n  a: {command: 'true'}\n";

/// Ends the process with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .output()
        .expect("openssl is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments}: {said}");
}

/// `ca.pem`, `server.pem` for 127.0.0.1 signed by it, and `stranger.pem`, which is not signed by
/// it.
fn certificates(folder: &Path) {
    for authority in ["ca", "stranger"] {
        let arguments = format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN={authority} \
             -addext basicConstraints=critical,CA:TRUE -keyout {authority}.key -out {authority}.pem"
        );
        openssl(folder, &arguments);
    }
    fs::write(folder.join("ext"), "subjectAltName=IP:127.0.0.1").expect("the folder is ours");
    let request = "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=server -keyout server.key -out server.csr";
    openssl(folder, request);
    let sign = "x509 -req -days 2 -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile ext -out server.pem";
    openssl(folder, sign);
}

/// socat on a port of its own, in front of `master`.
fn front(folder: &Path, master: &str) -> (Ended, String) {
    let free = TcpListener::bind("127.0.0.1:0").expect("there is a port left");
    let address = free.local_addr().expect("it is bound");
    drop(free);
    let port = address.port();
    let socat = Command::new("socat")
        .arg(format!(
            "OPENSSL-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork,cert=server.pem,key=server.key,verify=0"
        ))
        .arg(format!("TCP:{master}"))
        .current_dir(folder)
        .stderr(Stdio::null())
        .spawn()
        .expect("socat is installed");
    let begin = Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(begin.elapsed() < LIMIT, "socat does not listen");
        sleep(Duration::from_millis(20));
    }
    (Ended(socat), format!("https://{address}"))
}

fn scheduler(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scheduler"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_job_runs_by_tls_and_a_master_nobody_vouches_for_is_told_and_not_asked() {
    let cluster = Cluster::builder()
        .agent(AgentSpec::default())
        .start()
        .unwrap_or_else(|error| panic!("{error}"));
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    certificates(folder);
    fs::write(folder.join("job.yml"), JOB).unwrap();
    let (_socat, url) = front(folder, &cluster.master().address());

    let run = ["run", "job.yml", "--master", &url, "--state"];
    let output = scheduler(folder, &[&run[..], &["state", "--ca-file", "ca.pem"]].concat())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));

    // Tried again and again, since certificates are renewed; so it has to be ended.
    let log = folder.join("log");
    let refused = scheduler(folder, &[&run[..], &["other", "--ca-file", "stranger.pem"]].concat())
        .stderr(fs::File::create(&log).unwrap())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut refused = Ended(refused);
    let begin = Instant::now();
    let line = loop {
        let text = fs::read_to_string(&log).unwrap();
        if let Some((line, _)) = text.split_once('\n') {
            break line.to_owned();
        }
        assert!(begin.elapsed() < LIMIT, "it says nothing");
        sleep(Duration::from_millis(20));
    };
    assert!(
        line.contains(&format!("no TLS with {url}")) && line.contains("no authority that is believed here"),
        "{line}"
    );
    assert_eq!(refused.0.try_wait().unwrap(), None);

    let missing = scheduler(folder, &[&run[..], &["third", "--ca-file", "nowhere.pem"]].concat())
        .output()
        .unwrap();
    assert_eq!(missing.status.code(), Some(2));
    assert!(said(&missing).contains("nowhere.pem"), "{}", said(&missing));
    drop(refused);
    cluster.tear_down().unwrap_or_else(|error| panic!("{error}"));
}
