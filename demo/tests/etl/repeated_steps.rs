use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use demo::etl::server::{DEBIAN_BIN, Postgres};
use rustix::process::Signal;

use crate::rig::{Job, entries};

#[test]
fn every_step_can_be_run_again() {
    let job = Job::small();
    for _ in 0..2 {
        for step in ["seed", "extract", "transform", "load", "verify"] {
            job.run(step);
        }
    }
    assert!(job.run("seed").already_done);
    assert!(job.run("load").already_done);
    assert_eq!(entries(&job.path("stage/batch-1")), ["extract", "transform"]);
}

#[test]
fn a_figure_that_was_changed_is_found() {
    let job = Job::small();
    for step in ["seed", "extract", "transform", "load"] {
        job.run(step);
    }
    change(
        &job,
        "update carrier_day_airport set dep_delay_sum = dep_delay_sum + 1
        where carrier = 'UA' and day = '2013-01-02' and origin = 'EWR'",
    );
    let words = job.fail("verify");
    assert!(
        words.contains("1 rows of carrier_day_airport differ: expected (UA"),
        "{words}"
    );
    change(
        &job,
        "delete from flights where carrier = 'UA' and flight = 1545 and day = '2013-01-01'",
    );
    let words = job.fail("verify");
    assert!(
        words.contains("1 rows of flights differ") && words.contains("loaded no row"),
        "{words}"
    );
}

fn change(job: &Job, statement: &str) {
    let server = Postgres::at(DEBIAN_BIN)
        .unwrap()
        .start(&job.path("dst"), &job.path("change.log"))
        .unwrap();
    assert_eq!(server.connect().unwrap().execute(statement, &[]).unwrap(), 1);
    server.stop().unwrap();
}

#[test]
fn a_load_killed_in_the_middle_leaves_nothing_and_is_repeated() {
    let job = Job::small();
    for step in ["seed", "extract", "transform"] {
        job.run(step);
    }
    assert_eq!(job.interrupt("load", "flights: 19", Signal::KILL), None);
    // PostgreSQL is told of the death and ends by itself.
    let limit = Instant::now() + Duration::from_secs(60);
    while job.database_runs("dst") {
        assert!(Instant::now() < limit, "PostgreSQL outlives its task");
        std::thread::sleep(Duration::from_millis(20));
    }
    let words = job.fail("verify");
    assert!(
        words.contains("batch 1 is not in the database") || words.contains("does not exist"),
        "{words}"
    );
    assert!(!job.run("load").already_done);
    job.run("verify");
}

#[test]
fn a_signal_stops_the_database_and_the_step_is_repeated() {
    let job = Job::small();
    assert_eq!(job.interrupt("seed", "PostgreSQL runs", Signal::TERM), Some(143));
    assert!(!job.database_runs("src"));
    assert!(!job.path("src/pgdata/postmaster.pid").exists());
    assert_eq!(job.run("seed").rows_seeded, Some(20_000));
}

#[test]
fn a_lock_file_from_another_container_is_no_obstacle() {
    let job = Job::small();
    job.run("seed");
    // The id of a process that lives, and is no PostgreSQL.
    let lock = format!(
        "{}\n/elsewhere/pgdata\n1\n5432\n/tmp\n\n0 0\nready\n",
        std::process::id()
    );
    fs::write(job.path("src/pgdata/postmaster.pid"), lock).unwrap();
    assert_eq!(job.run("extract").rows_extracted, Some(20_000));
}

#[test]
fn damaged_input_is_refused_with_the_file() {
    let job = Job::small();
    let words = job.fail("extract");
    assert!(words.contains("there is no database here"), "{words}");
    let words = job.fail("transform");
    assert!(
        words.contains("there is no manifest: run the step before first"),
        "{words}"
    );
    job.run("seed");
    job.run("extract");
    let path = job.path("stage/batch-1/extract/planes.csv");
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    fs::write(&path, bytes).unwrap();
    let words = job.fail("transform");
    assert!(
        words.contains("planes.csv") && words.contains("the manifest says"),
        "{words}"
    );
    assert_eq!(entries(&job.path("stage/batch-1")), ["extract"]);
}

#[test]
fn a_sandbox_only_root_may_enter_is_opened_for_the_database() {
    let job = Job::small();
    fs::set_permissions(job.folder.path(), fs::Permissions::from_mode(0o750)).unwrap();
    fs::set_permissions(job.path("src"), fs::Permissions::from_mode(0o700)).unwrap();
    job.run("seed");
    assert_eq!(
        fs::metadata(job.path("src")).unwrap().permissions().mode() & 0o777,
        0o701
    );
}

#[test]
fn a_folder_above_the_sandbox_that_is_closed_is_named() {
    let job = Job::small();
    let sandbox = job.path("sandbox");
    fs::create_dir_all(sandbox.join("src")).unwrap();
    fs::set_permissions(job.folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let output = job.step("seed").current_dir(&sandbox).output().unwrap();
    let words = String::from_utf8(output.stderr).unwrap();
    let at = job.folder.path().canonicalize().unwrap();
    assert!(words.contains(&format!("chmod o+x {}", at.display())), "{words}");
}
