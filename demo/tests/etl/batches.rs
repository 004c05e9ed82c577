use crate::rig::Job;

/// The steps of a batch after seed.
const STEPS: [&str; 4] = ["extract", "transform", "load", "verify"];

#[test]
fn flights_come_in_three_batches_each_once() {
    let job = Job::of(40_000);
    job.run("seed");
    let mut extracted = Vec::new();
    let mut so_far = None;
    for batch in ["1", "2", "3"] {
        for step in STEPS {
            let outcome = job.run_with(step, &["--batch", batch, "--of", "3"]);
            match step {
                "extract" => extracted.push(outcome.rows_extracted.unwrap()),
                "verify" => so_far = Some(outcome),
                _ => {}
            }
        }
        let so_far = so_far.as_ref().unwrap();
        assert_eq!(so_far.rows_extracted, Some(extracted.iter().sum()));
        assert_eq!(so_far.mismatches, Some(0));
    }
    // January; nothing of May to August is among them; the beginning of October.
    assert_eq!(extracted, [27_004, 0, 12_996]);
    let end = so_far.unwrap();
    assert_eq!(end.rows_loaded.unwrap() + end.rejected.unwrap(), 40_000);
    // A batch once more changes nothing, also when later ones are there.
    assert!(job.run_with("load", &["--batch", "1", "--of", "3"]).already_done);
    assert_eq!(
        job.run_with("verify", &["--batch", "3", "--of", "3"]).mismatches,
        Some(0)
    );
    let audited = job.run_with("audit", &["src", "stage", "dst"]);
    assert_eq!(audited.writers, Some(1 + 3 + 6 + 8));
}

#[test]
fn a_batch_that_was_left_out_is_found() {
    let job = Job::small();
    job.run("seed");
    for step in ["extract", "transform", "load"] {
        job.run_with(step, &["--batch", "2", "--of", "12"]);
    }
    let words = job.fail_with("verify", &["--batch", "2", "--of", "12"]);
    assert!(words.contains("batch 1 is not in the database"), "{words}");
}

#[test]
fn an_extract_cut_otherwise_is_not_taken_for_the_batch() {
    let job = Job::small();
    job.run("seed");
    job.run_with("extract", &["--batch", "1", "--of", "3"]);
    let words = job.fail_with("transform", &["--batch", "1", "--of", "4"]);
    assert!(words.contains("it is of batch 1 of 3, not of batch 1 of 4"), "{words}");
    let words = job.fail_with("extract", &["--batch", "4", "--of", "3"]);
    assert!(words.contains("there is no batch 4 of 3"), "{words}");
}
