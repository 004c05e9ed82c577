//! Commands with a time limit, and what they leave behind.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use scheduler::bounded::{CommandError, Commands};
use scheduler::clock::Clock;
use scheduler::service::listing::Listing;

fn commands(limit: Duration) -> Commands {
    Commands::apart(None, limit).supervised_by(PathBuf::from(env!("CARGO_BIN_EXE_scheduler")))
}

fn shell(line: &str) -> Vec<String> {
    ["sh", "-c", line].map(str::to_owned).to_vec()
}

/// Whether a process has this word in its command line.
fn is_running(word: &str) -> bool {
    let processes = fs::read_dir("/proc").expect("there is one").flatten();
    let mut lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    lines.any(|line| line.split(|byte| *byte == 0).any(|part| part == word.as_bytes()))
}

#[test]
fn what_a_command_prints_is_given_and_why_it_fails_is_told() {
    let commands = commands(Duration::from_secs(60));
    let printed = commands.run(&shell("echo $GREETING; cat"), &[("GREETING", "hello")], b"there");
    assert_eq!(printed.expect("it succeeds"), b"hello\nthere");
    let failed = |line: &str| commands.run(&shell(line), &[], b"").expect_err("it fails").to_string();
    assert_eq!(failed("echo first >&2; echo no >&2; exit 7"), "exit status: 7: no");
    assert_eq!(failed("exit 124"), "exit status: 124");
    let missing = commands
        .run(&["/no/such/program".to_owned()], &[], b"")
        .expect_err("there is none");
    assert!(
        missing.to_string().contains("cannot run '/no/such/program'"),
        "{missing}"
    );
}

/// One leaves its group, one its session, one its parent; two ignore what asks them to end.
#[test]
fn attack_no_process_of_a_command_outlives_its_time_limit() {
    let word = format!("86400.{}", std::process::id());
    let line = format!(
        "setsid sh -c 'trap \"\" TERM HUP; sleep {word} & sleep {word}' & \
         (setsid setsid sleep {word} &) ; nohup sleep {word} & trap '' TERM; sleep {word}"
    );
    let begun = Instant::now();
    let error = commands(Duration::from_secs(2))
        .run(&shell(&line), &[], b"")
        .expect_err("it does not end");
    assert!(matches!(error, CommandError::Limit(_)), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert!(!is_running(&word), "something is left");
}

#[test]
fn attack_nothing_stays_behind_a_command_that_has_ended() {
    let word = format!("86401.{}", std::process::id());
    let line = format!("(setsid sleep {word} &); setsid setsid sleep {word} & exit 0");
    let begun = Instant::now();
    commands(Duration::from_secs(60))
        .run(&shell(&line), &[], b"")
        .expect("it succeeds");
    assert!(begun.elapsed() < Duration::from_secs(30), "it was waited for");
    assert!(!is_running(&word), "something is left");
}

#[test]
fn attack_endless_output_fills_neither_memory_nor_disk() {
    let commands = commands(Duration::from_secs(120));
    assert!(commands.run(&shell("cat /dev/zero"), &[], b"").is_err());
    assert!(commands.run(&shell("yes no >&2"), &[], b"").is_err());
}

#[test]
fn a_catalogue_command_that_hangs_is_ended_and_named() {
    let listing = Listing {
        files: Vec::new(),
        command: Some("sleep infinity".to_owned()),
        commands: commands(Duration::from_millis(300)),
    };
    let begun = Instant::now();
    let error = listing.ask(&Clock::start()).expect_err("it does not end");
    assert_eq!(
        error,
        "catalogue: the command 'sleep infinity' failed: it did not end within 0.3 s and was killed"
    );
    assert!(begun.elapsed() < Duration::from_secs(30));
}
