//! The commands for a running scheduler: `job`, `run ls|show|explain|cancel` and `volume`.

#[expect(dead_code, reason = "the tests of attacks use the rest")]
mod served;

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;
use served::{JOB, Served, wait};

const TOKEN: &str = "a-token-of-at-least-sixteen-characters";

/// What the command prints, and how it ends.
fn ask(served: &Served, arguments: &[&str]) -> Output {
    ask_at(&format!("http://{}", served.address), served, arguments)
}

fn ask_at(url: &str, served: &Served, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scheduler"));
    command
        .args(arguments)
        .args(["--url", url])
        .current_dir(served.folder.path());
    command.output().expect("the scheduler starts")
}

fn printed(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{errors}");
    assert_eq!(errors, "");
    String::from_utf8(output.stdout.clone()).expect("it is UTF-8")
}

fn refused(output: &Output) -> (String, Option<i32>) {
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    (
        String::from_utf8_lossy(&output.stderr).into_owned(),
        output.status.code(),
    )
}

#[test]
fn a_job_is_put_run_paused_shown_and_removed_from_the_command_line() {
    let served = Served::start(&[]);
    fs::write(served.path("plain.yml"), JOB).expect("the folder is ours");
    assert_eq!(
        printed(&ask(&served, &["job", "ls"])),
        "no jobs; 'scheduler job put FILE' adds one\n"
    );
    assert_eq!(
        printed(&ask(&served, &["job", "put", "plain.yml"])),
        "job plain is on disk\n"
    );
    // The same again replaces it.
    assert_eq!(
        printed(&ask(&served, &["job", "put", "plain.yml"])),
        "job plain is on disk\n"
    );
    assert_eq!(
        printed(&ask(&served, &["job", "run", "plain"])),
        "run plain.1 is started\n"
    );
    let jobs = printed(&ask(&served, &["job", "ls"]));
    assert_eq!(jobs, "JOB    RUNNING  RUNS  NEXT (UTC)\nplain  plain.1  1     -\n");
    let shown = printed(&ask(&served, &["job", "show", "plain"]));
    assert!(shown.contains("running  plain.1\n"), "{shown}");
    assert!(shown.contains("\nplain.1  running  "), "{shown}");
    assert!(shown.ends_with(JOB), "{shown}");
    let run = printed(&ask(&served, &["run", "show", "plain.1"]));
    assert!(
        run.contains("\nTASK  STATE  AGENT  VOLUMES  LAUNCHES  MESSAGE\na     ready  -      -        0         -\n"),
        "{run}"
    );
    let why = printed(&ask(&served, &["run", "explain", "plain.1"]));
    assert!(why.starts_with("a  ready\n  "), "{why}");
    let (error, code) = refused(&ask(&served, &["job", "rm", "plain"]));
    assert!(error.starts_with("scheduler: plain.1 is still running"), "{error}");
    assert_eq!(code, Some(1));
    assert_eq!(
        printed(&ask(&served, &["run", "cancel", "plain.1"])),
        "run plain.1 is being cancelled\n"
    );
    wait("the run is over", || {
        printed(&ask(&served, &["run", "ls", "--status", "failed"])).contains("plain.1")
    });
    assert_eq!(
        printed(&ask(&served, &["run", "ls", "--status", "running"])),
        "no such runs\n"
    );
    assert_eq!(
        printed(&ask(&served, &["run", "ls", "--job", "other"])),
        "no such runs\n"
    );
    assert_eq!(
        printed(&ask(&served, &["job", "rm", "plain"])),
        "job plain is removed\n"
    );
    assert_eq!(
        printed(&ask(&served, &["volume", "ls"])),
        "no volume is known or held\n"
    );
}

#[test]
fn with_json_the_response_of_the_api_is_printed_as_it_is() {
    let served = Served::start(&[]);
    fs::write(served.path("plain.yml"), JOB).expect("the folder is ours");
    let put: Value =
        serde_json::from_str(&printed(&ask(&served, &["job", "put", "plain.yml", "--json"]))).expect("JSON");
    assert_eq!(put["name"], "plain");
    let jobs: Value = serde_json::from_str(&printed(&ask(&served, &["job", "ls", "--json"]))).expect("JSON");
    let api: Value = serde_json::from_str(&served.ask("GET /v1/jobs", &[], "").body).expect("JSON");
    assert_eq!(jobs, api);
}

#[test]
fn a_refused_command_prints_one_line_that_says_why_and_a_code_that_says_who_refused_it() {
    let served = Served::start(&[]);
    let (error, code) = refused(&ask(&served, &["job", "run", "none"]));
    assert_eq!((error.as_str(), code), ("scheduler: there is no job 'none'\n", Some(1)));
    let (error, code) = refused(&ask(&served, &["run", "show", "../jobs"]));
    assert_eq!(
        (error.as_str(), code),
        ("scheduler: there is no run '../jobs'\n", Some(1))
    );
    let (error, code) = refused(&ask(&served, &["volume", "show", "vol-1"]));
    assert!(error.contains("knows no volume 'vol-1'"), "{error}");
    assert_eq!(code, Some(1));
    fs::write(
        served.path("bad.yml"),
        "version: 1\nname: bad\ntasks:\n  a: {comand: x}\n",
    )
    .expect("the folder is ours");
    let (error, code) = refused(&ask(&served, &["job", "put", "bad.yml"]));
    assert!(error.starts_with("scheduler: bad.yml:4:"), "{error}");
    assert_eq!(code, Some(2));
    let (error, code) = refused(&ask_at("http://127.0.0.1:1", &served, &["job", "ls"]));
    assert!(
        error.contains("no response from the scheduler at http://127.0.0.1:1"),
        "{error}"
    );
    assert!(error.contains("--url"), "{error}");
    assert_eq!(code, Some(3));
}

#[test]
fn a_scheduler_that_wants_a_token_answers_those_who_have_it() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let token = folder.path().join("token");
    fs::write(&token, TOKEN).expect("the folder is ours");
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).expect("it is ours");
    let served = Served::start_in(folder, &["--token-file", "token"], &[]);
    let (error, code) = refused(&ask(&served, &["job", "ls"]));
    assert!(error.contains("wants a token: give --token-file"), "{error}");
    assert_eq!(code, Some(3));
    let jobs = printed(&ask(&served, &["job", "ls", "--token-file", "token"]));
    assert!(jobs.starts_with("no jobs"), "{jobs}");
}

#[test]
fn run_with_a_job_file_is_what_it_was() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let file = folder.path().join("plain.yml");
    fs::write(&file, JOB).expect("the folder is ours");
    let mut command = Command::new(env!("CARGO_BIN_EXE_scheduler"));
    let output = command
        .arg("run")
        .arg(&file)
        .arg("--dry-run")
        .output()
        .expect("the scheduler starts");
    assert!(printed(&output).contains('a'));
    let mut command = Command::new(env!("CARGO_BIN_EXE_scheduler"));
    let output = command.arg("run").arg(&file).output().expect("the scheduler starts");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("--master"), "{error}");
    assert_eq!(output.status.code(), Some(2));
}
