//! Clocks that are set back, and listings that are older than they look.

use label_mapper::Catalogue;
use mesos_http::types::TaskState;
use scheduler::ledger::ClaimState;
use scheduler::service::Settings;

use crate::world::{World, job, settings};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

fn hourly(name: &str) -> String {
    format!("schedule: '0 * * * *'\n{}", job(name, ""))
}

#[test]
fn a_schedule_follows_the_wall_clock_when_that_is_set_back() {
    let mut world = World::new();
    world.pass(50 * MINUTE);
    world.give(&hourly("j"));
    // Set back by 20 minutes: 30 minutes are missing to the full hour.
    world.service.set_lead(20 * MINUTE, world.now);
    world.pass(29 * MINUTE);
    assert!(world.service.runs().is_empty(), "it is not yet the hour");
    world.pass(MINUTE);
    assert_eq!(world.service.runs().len(), 1);
}

#[test]
fn what_has_run_does_not_run_again_when_the_clock_is_set_back_a_little() {
    let mut world = World::new();
    world.give(&hourly("j"));
    world.pass(HOUR);
    assert_eq!(world.service.runs().len(), 1);
    world.offer("s1", 4.0, &[]);
    world.update("j.1.a.1", TaskState::Finished);
    world.service.set_lead(10 * MINUTE, world.now);
    world.pass(30 * MINUTE);
    assert_eq!(world.service.runs().len(), 1);
}

#[test]
fn a_clock_that_was_wrong_by_days_does_not_stop_schedules_for_days() {
    let mut world = World::new();
    let (right, wrong) = (world.now, world.now + 48 * HOUR);
    world.now = wrong;
    world.give(&hourly("j"));
    // Set right while it runs.
    world.service.set_lead(wrong - right, world.now);
    let next = world.service.jobs()["j"].next_ms;
    assert_eq!(next, Some(right + HOUR));
    // Or before the next start.
    let mut world = World::new();
    world.now = wrong;
    world.give(&hourly("j"));
    world.now = right;
    world.restart();
    assert_eq!(world.service.jobs()["j"].next_ms, Some(right + HOUR));
}

/// The process before had a clock that was ten minutes behind, on another host: its claim looks older than the listing,
/// which was made before the volume was attached.
#[test]
fn a_listing_from_before_the_start_frees_no_claim() {
    let mut world = World::with(Settings {
        storage: true,
        ..settings()
    });
    world.begin(&job("j", ", volumes: {v: vol-1}"));
    world.offer("s1", 4.0, &["vol-1"]);
    world.update("j.1.a.1", TaskState::Running);
    world.update("j.1.a.1", TaskState::Finished);
    let claims = |world: &World| {
        let states = world.service.ledger().claims().map(|(_, claim)| claim.state);
        states.collect::<Vec<_>>()
    };
    assert_eq!(claims(&world), [ClaimState::Releasing]);
    let started = world.now + 10 * MINUTE;
    let listed = started - 5 * MINUTE;
    world.now = started;
    world.restart();
    let detached = r#"{"Volumes": [{"VolumeId": "vol-1", "AvailabilityZone": "za", "State": "available"}]}"#;
    let mut list = |asked: u64| {
        let catalogue = Catalogue::from_describe_volumes(detached).expect("it is a listing");
        let effects = world.service.listed(catalogue, asked, world.now);
        world.take(effects);
        claims(&world)
    };
    assert_eq!(list(listed), [ClaimState::Releasing], "it proves nothing");
    assert_eq!(list(started), [], "it was asked for since");
}
