//! An agent that is killed loses no mount and leaks none.

use ebs_emulator::{Action, FaultRule, Operation};
use mesos_http::types::TaskState;
use testbed::{Agent, AgentSpec, Job};
use tests::{Site, Tasks, end, finished, module, running};

/// Restarts the agent and waits until it knows its containers again.
fn restart(agent: &Agent) {
    agent.restart().unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_task_keeps_its_volume_while_its_agent_is_killed_and_started_again() {
    let site = Site::start(1);
    let id = site.volume("kept");
    let tasks = Tasks::connect(site.cluster());
    let command = "while [ ! -e data/stop ]; do date +%s%N >> data/log; sleep 0.05; done; mountpoint data";
    let task = tasks.launch(site.agent(0), Job::shell(command).label("volume.data", &id));
    running(&task);

    site.agent(0).kill().unwrap();
    assert_eq!(site.mounts().len(), 1, "the volume stays while the agent is away");
    restart(site.agent(0));
    assert_eq!(
        site.steps(&id),
        ["host-0: attach", "host-0: mount"],
        "and no driver was called"
    );

    tasks.finish(site.agent(0), Job::shell("touch data/stop").label("volume.data", &id));
    finished(&task);
    site.wait_until_nothing_is_left();
    assert_eq!(
        site.steps(&id),
        ["host-0: attach", "host-0: mount", "host-0: unmount", "host-0: detach"]
    );
}

#[test]
fn a_second_and_a_third_restart_change_nothing() {
    let site = Site::start(1);
    let id = site.volume("kept");
    let tasks = Tasks::connect(site.cluster());
    let wait = || Job::shell("until [ -e data/stop ]; do sleep 0.05; done").label("volume.data", &id);
    let both = tasks.launch_all(site.agent(0), [wait(), wait()]);
    both.iter().for_each(running);
    for _ in 0..3 {
        site.agent(0).kill().unwrap();
        restart(site.agent(0));
    }
    tasks.finish(site.agent(0), Job::shell("touch data/stop").label("volume.data", &id));
    for task in &both {
        finished(task);
    }
    site.wait_until_nothing_is_left();
    assert_eq!(site.steps(&id).len(), 4, "{:?}", site.steps(&id));
}

#[test]
fn the_volume_of_a_task_that_ended_while_the_agent_was_away_is_let_go_when_it_is_back() {
    let site = Site::start(1);
    let id = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let task = Job::shell("until [ -e ../../../../../../../../stop ] || [ -e data/stop ]; do sleep 0.05; done");
    let task = tasks.launch(site.agent(0), task.label("volume.data", &id));
    running(&task);
    site.agent(0).kill().unwrap();
    // The task's own view of the volume is the driver's mount: what is put there, it sees.
    let mount = site.mounts().pop().expect("the volume is mounted");
    std::fs::write(mount.target.join("data/stop"), "").unwrap();
    restart(site.agent(0));
    finished(&task);
    site.wait_until_nothing_is_left();
}

#[test]
fn the_volume_of_a_task_that_does_not_outlive_its_agent_is_let_go() {
    let site = Site::start(1);
    let id = site.volume("v");
    let tasks = Tasks::connect_without_checkpoint(site.cluster());
    let task = tasks.launch(site.agent(0), Job::shell("sleep 1000").label("volume.data", &id));
    running(&task);
    site.agent(0).kill().unwrap();
    restart(site.agent(0));
    // A new task may come before the old one's container is gone; it gets the volume all the same.
    tasks.finish(site.agent(0), Job::shell("touch data/file").label("volume.data", &id));
    site.wait_until_nothing_is_left();
}

/// Ends the agent at a named point of a task's way, starts it again without, and looks at what is left: nothing.
fn killed_at(point: &str, ends: &[TaskState]) {
    let spec = AgentSpec::default()
        .module(module())
        .env("MESOS_EXTERNAL_VOLUMES_CRASH_AT", point);
    let site = Site::with_agents(1, &spec);
    let id = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let task = tasks.launch(site.agent(0), Job::shell("touch data/file").label("volume.data", &id));
    site.agent(0)
        .wait_for_exit(std::time::Duration::from_secs(60))
        .unwrap_or_else(|error| panic!("{point}: {error}"));
    site.agent(0).respecify(|spec| spec.environment.clear());
    restart(site.agent(0));
    let status = end(&task);
    assert!(ends.contains(&status.state), "{point}: {status:?}");
    site.wait_until_nothing_is_left();
    tasks.finish(site.agent(0), Job::shell("touch data/other").label("volume.data", &id));
    site.wait_until_nothing_is_left();
    let steps = site.steps(&id);
    for (up, down) in [("attach", "detach"), ("mount", "unmount")] {
        let count = |step: &str| steps.iter().filter(|line| line.ends_with(&format!(": {step}"))).count();
        assert_eq!(count(up), count(down), "{point}: {steps:?}");
    }
}

const NEVER_RAN: &[TaskState] = &[TaskState::Failed, TaskState::Lost];
const RAN: &[TaskState] = &[TaskState::Finished];

/// One test a point, named by what was done last.
macro_rules! killed {
    ($($name:ident: $point:literal, $ends:expr;)+) => {
        $(#[test]
        fn $name() {
            killed_at($point, $ends);
        })+
    };
}

killed! {
    killed_before_the_intent_is_on_disk_nothing_is_left: "record-begin:1", NEVER_RAN;
    killed_when_the_intent_is_on_disk_nothing_is_left: "record-end:1", NEVER_RAN;
    killed_before_the_drivers_mount_nothing_is_left: "mount-begin", NEVER_RAN;
    killed_between_the_drivers_mount_and_its_record_nothing_is_left: "mount-end", NEVER_RAN;
    killed_before_the_mountpoint_is_on_disk_nothing_is_left: "record-begin:2", NEVER_RAN;
    killed_when_the_mountpoint_is_on_disk_but_mesos_does_not_know_nothing_is_left: "record-end:2", NEVER_RAN;
    killed_before_the_release_is_on_disk_nothing_is_left: "record-begin:3", RAN;
    killed_when_the_release_is_on_disk_nothing_is_left: "record-end:3", RAN;
    killed_before_the_drivers_unmount_nothing_is_left: "unmount-begin", RAN;
    killed_between_the_drivers_unmount_and_its_record_nothing_is_left: "unmount-end", RAN;
    killed_before_the_record_is_removed_nothing_is_left: "record-begin:4", RAN;
    killed_when_the_record_is_removed_nothing_is_left: "record-end:4", RAN;
}

#[test]
fn an_agent_starts_while_the_driver_is_down_and_settles_when_it_is_back() {
    let mut site = Site::start(1);
    let id = site.volume("v");
    let rule = FaultRule::new(
        Operation::Unmount,
        Action::Fail {
            message: "not now".into(),
        },
    );
    site.emulator().client().fault(&rule).unwrap();
    let tasks = Tasks::connect(site.cluster());
    tasks.finish(site.agent(0), Job::shell("touch data/file").label("volume.data", &id));
    site.agent(0).kill().unwrap();
    site.emulator().kill().unwrap();
    restart(site.agent(0));
    site.emulator().restart().unwrap();
    site.emulator().client().clear_faults(None).unwrap();
    site.wait_until_nothing_is_left();
}
