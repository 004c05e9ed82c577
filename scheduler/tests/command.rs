//! The command line, as far as it goes without a master.

use std::path::Path;
use std::process::{Command, Output};

const JOB: &str = "version: 1
name: etl
tasks:
  extract:
    command: extract
    volumes: {src: orders, stage: {volume: staging, mode: rw, path: /stage}}
  load:
    command: load
    cpus: 2
    after: extract
    volumes: {stage: {volume: staging, mode: ro}}
";

const CATALOGUE: &str = r#"{"Volumes": [
  {"VolumeId": "vol-1", "AvailabilityZone": "z1", "State": "available", "Tags": [{"Key": "Name", "Value": "orders"}]},
  {"VolumeId": "vol-2", "AvailabilityZone": "z1", "State": "available", "Tags": [{"Key": "Name", "Value": "staging"}]},
  {"VolumeId": "vol-3", "AvailabilityZone": "z2", "State": "available", "Tags": [{"Key": "Name", "Value": "far"}]}]}"#;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new(job: &str) -> Self {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        std::fs::write(folder.path().join("job.yml"), job).expect("the folder is ours");
        std::fs::write(folder.path().join("volumes.json"), CATALOGUE).expect("the folder is ours");
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn scheduler(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_scheduler"))
            .args(arguments)
            .current_dir(self.path())
            .env_remove("SCHEDULER_MASTER")
            .env_remove("SCHEDULER_CATALOGUE")
            .output()
            .expect("the scheduler starts")
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("output is text")
}

#[test]
fn check_says_that_a_job_is_good() {
    let output = Folder::new(JOB).scheduler(&["check", "job.yml", "--catalogue", "volumes.json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "job.yml: job 'etl', 2 tasks\n");
}

#[test]
fn a_dry_run_tells_what_each_task_asks_for() {
    let output = Folder::new(JOB).scheduler(&[
        "run",
        "job.yml",
        "--catalogue",
        "volumes.json",
        "--spelling",
        "name",
        "--dry-run",
    ]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(
        text(&output.stdout),
        "extract
  resources  cpus:0.1;mem:128;ebsvolumes:{vol-1,vol-2}
  zone       z1
  label      volume.src=orders
  label      volume.src.claim=vol-1
  label      volume.stage=staging
  label      volume.stage.path=/stage
  label      volume.stage.claim=vol-2
load
  after      extract
  resources  cpus:2;mem:128;ebsvolumes:{vol-2}
  zone       z1
  label      volume.stage=staging
  label      volume.stage.mode=ro
  label      volume.stage.claim=vol-2
"
    );
}

#[test]
fn errors_have_file_and_line_and_end_with_code_2() {
    let cases = [
        (
            JOB.replace("orders", "ordres"),
            "job.yml:6:1: task 'extract': slot 'src': no volume has the id or the Name tag 'ordres', did you mean 'orders'?",
        ),
        (
            JOB.replace("orders", "far"),
            "job.yml:4:1: task 'extract': its volumes are in different zones, and an agent is in one: 'far' (vol-3) in z2, 'staging' (vol-2) in z1",
        ),
        (
            JOB.replace("orders", "{volume: orders, claim: vol-9}"),
            "job.yml:6:1: task 'extract': slot 'src': the claim 'vol-9' is not the id of 'orders', vol-1",
        ),
        (
            JOB.replace("after: extract", "after: exract"),
            "job.yml:10:12: 'after' of task 'load' names no task of this job: 'exract', did you mean 'extract'?",
        ),
        (
            JOB.replace("cpus: 2", "cpu: 2"),
            "job.yml:9:5: unknown field 'cpu'; did you mean 'cpus'?",
        ),
    ];
    for (job, expected) in cases {
        let output = Folder::new(&job).scheduler(&["check", "job.yml", "--catalogue", "volumes.json"]);
        assert_eq!(output.status.code(), Some(2), "{job}");
        let error = text(&output.stderr);
        assert!(error.starts_with(&format!("scheduler: {expected}")), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn nothing_is_begun_when_something_is_missing() {
    let folder = Folder::new(JOB);
    for (arguments, expected) in [
        (&["run", "job.yml"][..], "--master"),
        (&["run", "job.yml", "--master", "localhost:1"], "--state"),
        (&["run", "job.yml", "--master", "localhost", "--state", "s"], "no port"),
        (
            &["run", "job.yml", "--master", "zk://z:2181/mesos", "--state", "s"],
            "ZooKeeper",
        ),
        (
            &["run", "job.yml", "--master", "m:1", "--state", "job.yml"],
            "cannot use the state folder job.yml",
        ),
        (
            &["run", "missing.yml", "--master", "m:1", "--state", "s"],
            "cannot read the job file missing.yml",
        ),
        (
            &[
                "run",
                "job.yml",
                "--master",
                "m:1",
                "--state",
                "s",
                "--catalogue",
                "job.yml",
            ],
            "catalogue job.yml: no catalogue file",
        ),
        (
            &["run", "job.yml", "--master", "m:1", "--state", "s", "--principal", "p"],
            "--secret-file",
        ),
    ] {
        let output = folder.scheduler(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output.stderr));
        assert!(
            text(&output.stderr).contains(expected),
            "{arguments:?}: {}",
            text(&output.stderr)
        );
    }
}

#[test]
fn the_next_three_times_of_a_schedule_are_printed_with_their_zone() {
    let job = "version: 1\nname: j\nschedule: '30 3 * * MON Europe/Zurich'\ntasks:\n  a: {command: x}\n";
    let output = Folder::new(job).scheduler(&["check", "job.yml", "--explain"]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let next: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("  next       Mon "))
        .collect();
    assert_eq!(next.len(), 3, "{text}");
    for line in next {
        let shown = line.ends_with(" 03:30 +01:00 Europe/Zurich") || line.ends_with(" 03:30 +02:00 Europe/Zurich");
        assert!(shown, "{line}");
    }
}
