use crate::rig::Job;

#[test]
fn all_flights_go_through_and_every_figure_is_right() {
    let job = Job::whole();
    assert_eq!(job.run("seed").rows_seeded, Some(336_776));
    assert_eq!(job.run("extract").rows_extracted, Some(336_776));
    assert_eq!(job.run("transform").rejected, Some(8_255));
    assert_eq!(job.run("load").rows_loaded, Some(336_776 - 8_255));
    let verified = job.run("verify");
    assert_eq!(
        (verified.rows_extracted, verified.rejected),
        (Some(336_776), Some(8_255))
    );
    assert_eq!(verified.mismatches, Some(0));
    assert!(verified.figures_compared > Some(4_000_000), "{verified:?}");
    assert!(!job.database_runs("src") && !job.database_runs("dst"));
}
