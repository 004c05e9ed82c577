//! `scheduler serve` without a master, which it goes on looking for: its API and page are served all the same.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Nothing here takes half as long.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// A job that tells by a command how it has ended.
pub(crate) fn job_with_command(name: &str, command: &str) -> String {
    let notify = format!("notify:\n  failure: {{command: '{command}'}}\n");
    format!("version: 1\nname: {name}\n{notify}tasks:\n  a: {{command: 'true'}}\n")
}

pub(crate) const JOB: &str = "version: 1\nname: plain\ntasks:\n  a: {command: 'true'}\n";

/// A running `scheduler serve`.
pub(crate) struct Served {
    child: Child,
    /// `HOST:PORT`.
    pub(crate) address: String,
    pub(crate) folder: tempfile::TempDir,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop();
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

pub(crate) fn wait(what: &str, mut until: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !until() {
        assert!(begin.elapsed() < LIMIT, "it does not come to this: {what}");
        sleep(Duration::from_millis(30));
    }
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scheduler"));
    command
        .args([
            "serve",
            "--master",
            "127.0.0.1:1",
            "--state",
            "state",
            "--address-file",
            "address",
        ])
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null());
    command
}

impl Served {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().expect("there is room for a folder"), arguments, &[])
    }

    /// In a folder that the arguments may name files of, with these variables in its environment.
    pub(crate) fn start_in(folder: tempfile::TempDir, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let output = |name: &str| fs::File::create(folder.path().join(name)).expect("the folder is ours");
        let mut command = command(folder.path(), arguments);
        if !arguments.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command.envs(variables.iter().copied());
        let child = command
            .stdout(output("out"))
            .stderr(output("err"))
            .spawn()
            .expect("the scheduler starts");
        let mut served = Self {
            child,
            address: String::new(),
            folder,
        };
        let file = served.path("address");
        wait("the API is served", || {
            let ended = served.child.try_wait().expect("it is ours");
            assert_eq!(ended, None, "{}", served.errors());
            fs::read_to_string(&file).is_ok_and(|text| text.contains(':'))
        });
        served.address = fs::read_to_string(&file).expect("it was there just now");
        served
    }

    /// Another one in its place, on its folder.
    pub(crate) fn again(mut self, arguments: &[&str]) -> Self {
        self.stop();
        let elsewhere = tempfile::tempdir().expect("there is room for a folder");
        let folder = std::mem::replace(&mut self.folder, elsewhere);
        fs::remove_file(folder.path().join("address")).expect("it was served");
        Self::start_in(folder, arguments, &[])
    }

    /// What it says when it does not start.
    pub(crate) fn refused(folder: &Path, arguments: &[&str]) -> Output {
        command(folder, arguments).output().expect("the scheduler starts")
    }

    pub(crate) fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn errors(&self) -> String {
        fs::read_to_string(self.path("err")).unwrap_or_default()
    }

    pub(crate) fn port(&self) -> &str {
        self.address.rsplit(':').next().expect("an address has a port")
    }

    /// A request with these headers, besides the length of its body and, unless one is given, its own address as `Host`.
    pub(crate) fn ask(&self, request: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_read_timeout(Some(LIMIT)).expect("the limit is one");
        let mut text = format!(
            "{request} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n",
            body.len()
        );
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            text += &format!("Host: {}\r\n", self.address);
        }
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        stream
            .write_all(format!("{text}\r\n{body}").as_bytes())
            .expect("it reads");
        read(&mut stream)
    }

    pub(crate) fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask(&format!("GET {path}"), headers, "")
    }

    pub(crate) fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.ask(&format!("POST {path}"), headers, body)
    }

    /// Gives a job whose run ends at once, because it is cancelled.
    pub(crate) fn run_and_cancel(&self, name: &str, text: &str) {
        let given = self.post("/v1/jobs", &[], text);
        assert_eq!(given.status, 201, "{given:?}");
        let begun = self.post(&format!("/v1/jobs/{name}/run"), &[], "");
        assert_eq!(begun.status, 202, "{begun:?}");
        let cancelled = self.post(&format!("/v1/runs/{name}.1/cancel"), &[], "");
        assert_eq!(cancelled.status, 202, "{cancelled:?}");
    }
}

/// Reads an answer up to the end of the connection.
pub(crate) fn read(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    // A peer that was cut off may not have read all that was sent.
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Answer {
        status: status.unwrap_or(0),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}
