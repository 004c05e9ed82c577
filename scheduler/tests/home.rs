//! What the home page says of a job that only an older version accepted.

#[expect(dead_code, reason = "the tests of attacks use the rest")]
mod served;

use std::fs;

use served::Served;

#[test]
fn a_job_whose_schedule_never_comes_is_shown_as_never_and_not_as_on_request() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let jobs = folder.path().join("state/jobs");
    fs::create_dir_all(&jobs).expect("the folder is ours");
    let text = "version: 1\nname: old\nschedule: '0 3 31 2 *'\ntasks:\n  a: {command: 'true'}\n";
    let record = serde_json::json!({"text": text, "created_ms": 1, "next_ms": null, "runs": 0});
    fs::write(jobs.join("old.json"), record.to_string()).expect("the folder is ours");
    let served = Served::start_in(folder, &[], &[]);
    let home = served.get("/", &[]).body;
    let row = home.split("<tr>").last().expect("there is a table");
    let next = row
        .split_once("data-label=\"Next run\"")
        .expect("it has a column for the next run")
        .1;
    let next = next.split_once("</td>").expect("the column ends").0;
    assert!(next.contains("never"), "{next}");
    assert!(!home.contains("on request"), "{home}");
}
