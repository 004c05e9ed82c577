//! Pods: task groups under the default executor.

use std::time::Duration;

use ebs_emulator::EventKind;
use mesos_http::types::{CommandInfo, HealthCheck, TaskState};
use testbed::{Image, Job, LaunchedTask, Pod};
use tests::{end, eventually, finished, running};

use crate::inside::{LOOK, Place, Seen, member_container};

/// Runs on until `data/stop` is there.
const UNTIL_STOPPED: &str = "until [ -e data/stop ]; do sleep 0.05; done";

/// A pod with the volume at `data`.
fn pod(volume: &str, members: impl IntoIterator<Item = Job>) -> Pod {
    Pod::of(members).label("volume.data", volume)
}

/// Where in its sandbox each volume is.
fn below_sandbox(place: &Place, executor: &str, member: &LaunchedTask) -> Vec<String> {
    let sandbox = place.member_sandbox(executor, member);
    let below = |seen: Seen| {
        let inside = seen.target.strip_prefix(&format!("{}/", sandbox.display()));
        inside
            .unwrap_or_else(|| panic!("{seen:?} is not in {}", sandbox.display()))
            .to_owned()
    };
    place.seen(&sandbox).into_iter().map(below).collect()
}

fn granted(place: &Place) -> usize {
    place.site.agent(0).log().matches("volume ready for container").count()
}

#[test]
fn a_member_gets_the_pods_volumes_or_just_those_it_holds() {
    let place = Place::start();
    let (a, b) = (place.site.volume("a"), place.site.volume("b"));
    let held = |item| Job::shell(LOOK).items("ebsvolumes", [item]);
    let members = [held("vol-a"), held("vol-b"), Job::shell(LOOK)];
    let pod = Pod::of(members)
        .label("volume.a", &a)
        .label("volume.a.claim", "vol-a")
        .label("volume.b", &b)
        .label("volume.b.claim", "vol-b");
    let executor = pod.executor_id().to_owned();
    let members = place.tasks.launch_pod(place.site.agent(0), pod);
    members.iter().for_each(finished);
    assert_eq!(below_sandbox(&place, &executor, &members[0]), ["a"]);
    assert_eq!(below_sandbox(&place, &executor, &members[1]), ["b"]);
    assert_eq!(
        below_sandbox(&place, &executor, &members[2]),
        ["a", "b"],
        "who holds none has all"
    );
    place.site.wait_until_nothing_is_left();
}

#[test]
fn members_share_the_pods_volume_and_the_driver_mounts_it_once() {
    let place = Place::start();
    let volume = place.site.volume("v");
    let writer = Job::shell("echo one > data/file");
    let reader = Job::shell("until grep -q one data/file; do sleep 0.05; done");
    let members = place
        .tasks
        .launch_pod(place.site.agent(0), pod(&volume, [writer, reader]));
    members.iter().for_each(finished);
    place.site.wait_until_nothing_is_left();
    assert_eq!(place.site.steps(&volume).len(), 4, "{:?}", place.site.steps(&volume));
    assert_eq!(granted(&place), 3, "the executor and two members");
}

#[test]
fn a_members_own_labels_are_seen_by_no_isolator_and_it_runs_without_the_volume() {
    let place = Place::start();
    let volume = place.site.volume("v");
    let member = Job::shell(format!("{LOOK} && [ ! -e data ]")).label("volume.data", &volume);
    let pod = Pod::of([member]);
    let executor = pod.executor_id().to_owned();
    let members = place.tasks.launch_pod(place.site.agent(0), pod);
    finished(&members[0]);
    assert_eq!(below_sandbox(&place, &executor, &members[0]), [""; 0]);
    assert_eq!(place.site.steps(&volume), [""; 0]);
}

/// The master compares the executors of two launches, but not their labels: those of the first launch stay.
#[test]
fn a_later_group_of_a_running_executor_gets_the_pods_volumes_and_other_labels_do_nothing() {
    let place = Place::start();
    let (volume, other) = (place.site.volume("v"), place.site.volume("other"));
    let first = pod(&volume, [Job::shell(UNTIL_STOPPED)]);
    let executor = first.executor_id().to_owned();
    let earlier = place.tasks.launch_pod(place.site.agent(0), first.clone());
    running(&earlier[0]);
    let same = first.again([Job::shell(LOOK)]);
    let more = first.again([Job::shell(LOOK)]).label("volume.other", &other);
    for later in [same, more] {
        let later = place.tasks.launch_pod(place.site.agent(0), later);
        finished(&later[0]);
        assert_eq!(below_sandbox(&place, &executor, &later[0]), ["data"]);
    }
    let last = place
        .tasks
        .launch_pod(place.site.agent(0), first.again([Job::shell("touch data/stop")]));
    finished(&last[0]);
    finished(&earlier[0]);
    place.site.wait_until_nothing_is_left();
    assert_eq!(place.site.steps(&other), [""; 0]);
}

/// Mesos calls no isolator for the health check of a command task, whose executor forks it; for a member's it makes a DEBUG
/// container each time, and asks the isolators. (A session that comes before the member's launcher has mounted anything sees
/// the folder below; so the check waits for a file of the member's.)
#[test]
fn health_checks_and_sessions_see_the_members_volume_and_get_none_of_their_own() {
    let place = Place::start();
    let volume = place.site.volume("v");
    let check = HealthCheck {
        delay_seconds: 0.0,
        interval_seconds: 0.1,
        grace_period_seconds: 0.0,
        consecutive_failures: 1000,
        ..HealthCheck::command(CommandInfo::shell("[ -e data/ready ] && date >> data/checks"))
    };
    let member = Job::shell(format!("touch data/ready; {UNTIL_STOPPED}")).health_check(check);
    let members = place.tasks.launch_pod(place.site.agent(0), pod(&volume, [member]));
    let healthy = members[0].wait_for("be healthy", Duration::from_secs(60), |status| {
        status.healthy == Some(true)
    });
    healthy.unwrap_or_else(|error| panic!("{error}"));

    let inside = member_container(&members[0]);
    let executor = inside.parent.clone().expect("a member has an executor");
    let sandbox = place.site.agent(0).work_dir();
    let find = format!(
        "cd $(find {} -path '*/containers/{}' -type d -print -quit)",
        sandbox.display(),
        inside.value
    );
    let command = format!("{find} && until [ $(wc -l < data/checks) -gt 3 ]; do sleep 0.05; done");
    assert_eq!(place.session(inside, "look", &command), Some(0), "in the member");
    assert_eq!(
        place.session(*executor, "look", &format!("{find}; [ ! -e data/checks ]")),
        Some(0),
        "in the executor"
    );
    let others = place
        .tasks
        .launch_pod(place.site.agent(0), pod(&volume, [Job::shell("touch data/stop")]));
    finished(&others[0]);
    finished(&members[0]);
    place.site.wait_until_nothing_is_left();
    assert_eq!(granted(&place), 4, "two executors and two members");
    assert_eq!(place.site.steps(&volume).len(), 4, "{:?}", place.site.steps(&volume));
}

/// The executor, without an image, can have the volume there; the member's image has a program in its place.
#[test]
fn a_member_whose_volume_has_no_place_fails_with_the_reason_and_its_pod_with_it() {
    let place = Place::start();
    let volume = place.site.volume("v");
    let folder = place.host_folder("shells");
    let image = Image::shell().link(&folder, "/bin/sh");
    place.add_image("taken", &image);
    let good = Job::shell("sleep 1000");
    let bad = Job::shell("true").image("taken");
    let pod = pod(&volume, [good, bad]).label("volume.data.path", folder.display().to_string());
    let members = place.tasks.launch_pod(place.site.agent(0), pod);
    let (good, bad) = (end(&members[0]), end(&members[1]));
    let message = bad.message.unwrap_or_default();
    assert_eq!(bad.state, TaskState::Failed, "{message}");
    assert!(
        message.contains("'volume.data'") && message.contains("Not a directory"),
        "{message}"
    );
    assert_eq!(good.state, TaskState::Killed, "{:?}", good.message);
    place.site.wait_until_nothing_is_left();
}

#[test]
fn a_member_has_an_exclusive_volume_of_the_pod_for_itself_and_the_other_one_waits() {
    let place = Place::start();
    let volume = place.site.volume("v");
    let alone = || Job::shell("mkdir data/alone && sleep 0.2 && rmdir data/alone");
    let pod = pod(&volume, [alone(), alone()]).label("volume.data.access", "exclusive");
    place
        .tasks
        .launch_pod(place.site.agent(0), pod)
        .iter()
        .for_each(finished);
    place.site.wait_until_nothing_is_left();
}

#[test]
fn a_volume_made_for_the_pod_is_all_its_members_and_goes_with_it() {
    let place = Place::start();
    let writer = Job::shell("echo one > data/file");
    let reader = Job::shell("until grep -q one data/file; do sleep 0.05; done");
    let pod = pod("scratch", [writer, reader])
        .label("volume.data.lifetime", "container")
        .label("volume.data.options.size", "1");
    let members = place.tasks.launch_pod(place.site.agent(0), pod);
    members.iter().for_each(finished);
    place.site.wait_until_nothing_is_left();
    let count = |kind| place.site.events().iter().filter(|event| event.kind == kind).count();
    eventually("it is gone", || {
        match (count(EventKind::Create), count(EventKind::Delete)) {
            (1, 1) => Ok(()),
            other => Err(format!("created and deleted: {other:?}")),
        }
    });
}
