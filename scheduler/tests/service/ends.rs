//! What is kept of a run until its notifications were sent, and what a service reports about
//! itself.

use mesos_http::Error;
use mesos_http::operator::ClusterEvent;
use mesos_http::types::TaskState;
use scheduler::service::{RequestError, Settings};

use crate::world::{World, job, settings};

fn job_with_notifications(name: &str) -> String {
    format!(
        "notify: {{failure: {{webhook: 'http://127.0.0.1:1/'}}}}\n{}",
        job(name, "")
    )
}

#[test]
fn a_run_is_kept_until_everybody_was_told_of_its_end_although_none_is_to_be_kept() {
    let mut world = World::with(Settings { keep: 0, ..settings() });
    let id = world.begin(&job_with_notifications("j"));
    world.offer("s1", 4.0, &[]);
    let effects = world.update_and_give("j.1.a.1", TaskState::Failed);
    assert_eq!(effects.ended, std::slice::from_ref(&id));
    assert!(effects.forget.is_empty());
    world.take(effects);
    assert_eq!(
        world.disk.2.len(),
        1,
        "a crash leaves the notifications that are to be sent"
    );
    world.restart();
    let end = world.service.runs()[&id].state().end.clone();
    assert!(end.is_some_and(|end| !end.notified));
    let effects = world.service.notified(&id, world.now);
    assert_eq!(effects.forget, [id]);
    world.take(effects);
    assert!(world.disk.2.is_empty() && world.service.runs().is_empty());
}

#[test]
fn a_run_of_a_deleted_job_is_kept_until_everybody_was_told_of_its_end() {
    let mut world = World::new();
    let id = world.begin(&job_with_notifications("j"));
    let launched = world.offer("s1", 4.0, &[]);
    world.update(&launched[0], TaskState::Failed);
    let effects = world.service.delete("j").expect("its run is over");
    world.take(effects);
    world.restart();
    assert!(
        world.service.runs().contains_key(&id),
        "a crash loses the notifications"
    );
    let effects = world.service.notified(&id, world.now);
    world.take(effects);
    assert!(world.disk.2.is_empty() && world.service.runs().is_empty());
}

#[test]
fn a_run_whose_end_interests_nobody_is_forgotten_at_once() {
    let mut world = World::with(Settings { keep: 0, ..settings() });
    // Only failures are notified.
    for text in [job("plain", ""), job_with_notifications("good")] {
        world.begin(&text);
        let launched = world.offer("s1", 4.0, &[]);
        world.update(&launched[0], TaskState::Finished);
        assert!(world.service.runs().is_empty() && world.disk.2.is_empty());
    }
}

#[test]
fn a_job_with_a_command_is_refused_in_one_line_where_commands_are_not_allowed() {
    let mut world = World::with(Settings {
        commands: false,
        ..settings()
    });
    for target in ["command: 'rm -r /'", "command: [rm, -r, /]"] {
        let text = format!("notify: {{success: {{{target}}}}}\n{}", job("j", ""));
        let refused = world.service.put(text, false, world.now).map(|_| ());
        let Err(RequestError::Bad(why)) = refused else {
            panic!("{target}: {refused:?}")
        };
        assert!(why.contains("'rm -r /'") && why.contains("--allow-commands"), "{why}");
        assert_eq!(why.lines().count(), 1, "{why}");
    }
    world.give(&job_with_notifications("webhooks-are-good"));
}

#[test]
fn a_service_that_does_not_see_the_cluster_says_so_after_a_minute() {
    let mut world = World::new();
    let watch = |world: &mut World, event: ClusterEvent| {
        let effects = world.service.cluster(event, world.now);
        world.take(effects);
    };
    watch(&mut world, ClusterEvent::Snapshot(Box::default()));
    assert_eq!(world.service.problem(world.now), None);
    let forbidden = Error::Forbidden {
        url: "http://m/".to_owned(),
        message: "no".to_owned(),
    };
    for _ in 0..7 {
        watch(&mut world, ClusterEvent::Disconnected(forbidden.clone()));
        world.pass(10_000);
    }
    let problem = world.service.problem(world.now).expect("it is closed");
    assert!(
        problem.contains("not been open for 70 s") && problem.contains("forbids this: no"),
        "{problem}"
    );
    let metric = "scheduler_operator_stream_open 0";
    assert!(scheduler::service::metrics::text(&world.service, world.now).contains(metric));
    watch(&mut world, ClusterEvent::Snapshot(Box::default()));
    assert_eq!(world.service.problem(world.now), None);
    // A snapshot that cannot be read does not count.
    watch(
        &mut world,
        ClusterEvent::Other {
            kind: "SUBSCRIBED".to_owned(),
            unreadable: Some("a number is a text".to_owned()),
            event: serde_json::json!({}),
        },
    );
    world.pass(61_000);
    let problem = world.service.problem(world.now).expect("it tells nothing");
    assert!(problem.contains("a number is a text"), "{problem}");
}
