//! A job's folders, and the steps run on them as the tasks run them.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use demo::dataset::Dataset;
use demo::etl::Outcome;

/// The folders of one job.
pub(crate) struct Job {
    pub(crate) folder: tempfile::TempDir,
    data: PathBuf,
}

impl Job {
    /// A job on all the data.
    pub(crate) fn whole() -> Job {
        let data = Dataset::fetch(&Dataset::default_cache().unwrap()).unwrap();
        Job::on(data.folder().to_owned(), tempfile::tempdir().unwrap())
    }

    /// A job on the first 20,000 flights.
    pub(crate) fn small() -> Job {
        Job::of(20_000)
    }

    /// A job on so many flights, the first ones of the file: those of January, then of October.
    pub(crate) fn of(flights: usize) -> Job {
        let data = Dataset::fetch(&Dataset::default_cache().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let small = folder.path().join("data");
        fs::create_dir(&small).unwrap();
        data.excerpt(flights, &small).unwrap();
        Job::on(small, folder)
    }

    fn on(data: PathBuf, folder: tempfile::TempDir) -> Job {
        // PostgreSQL runs as a user of its own and must get through.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for volume in ["src", "stage", "dst"] {
            fs::create_dir(folder.path().join(volume)).unwrap();
        }
        Job { folder, data }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A step, as a task would run it in its sandbox.
    pub(crate) fn step(&self, step: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flights-etl"));
        command
            .arg(step)
            .current_dir(self.folder.path())
            .env("FLIGHTS_DATA", &self.data);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a step that must succeed.
    pub(crate) fn run(&self, step: &str) -> Outcome {
        self.run_with(step, &[])
    }

    /// The same with more arguments.
    pub(crate) fn run_with(&self, step: &str, arguments: &[&str]) -> Outcome {
        let output = self.step(step).args(arguments).output().unwrap();
        let words = words(&output);
        assert!(output.status.success(), "{step}: {words}");
        serde_json::from_str(words.lines().next_back().unwrap()).unwrap()
    }

    /// Runs a step that must fail, and returns its words.
    pub(crate) fn fail(&self, step: &str) -> String {
        self.fail_with(step, &[])
    }

    /// The same with more arguments.
    pub(crate) fn fail_with(&self, step: &str, arguments: &[&str]) -> String {
        let output = self.step(step).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{step}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Runs a step and sends it `signal` when it says `sign`; returns its exit code, none if the signal ended it.
    pub(crate) fn interrupt(&self, step: &str, sign: &str, signal: rustix::process::Signal) -> Option<i32> {
        let mut child = self.step(step).spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains(sign) {
            line.clear();
            assert!(
                said.read_line(&mut line).unwrap() > 0,
                "{step} ended before it said '{sign}'"
            );
        }
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, signal).unwrap();
        said.read_to_string(&mut line).unwrap();
        child.wait().unwrap().code()
    }

    /// True while a PostgreSQL works on a volume.
    pub(crate) fn database_runs(&self, volume: &str) -> bool {
        let cluster = self.path(volume).join("pgdata");
        let processes = fs::read_dir("/proc").unwrap().flatten();
        processes
            .into_iter()
            .any(|process| fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd == cluster))
    }
}

fn words(output: &Output) -> String {
    [&output.stdout[..], &output.stderr[..]]
        .map(String::from_utf8_lossy)
        .concat()
}

/// The entries of a folder.
pub(crate) fn entries(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
