//! A driver that does not answer delays its own volumes and nothing else; whatever it does in the end is undone.

use std::time::Duration;

use ebs_emulator::{Action, FaultRule, Operation};
use mesos_http::types::TaskState;
use testbed::{AgentSpec, Job, LaunchedTask};
use tests::{Site, Tasks, end, eventually, finished, module, running};

fn spec() -> AgentSpec {
    AgentSpec::default()
        .resources("cpus:32;mem:8192;disk:4096")
        .module(module().parameter("prepare_timeout", "5secs"))
}

fn hang(site: &mut Site, operation: Operation) {
    let rule = FaultRule::new(operation, Action::Hang);
    site.emulator()
        .client()
        .fault(&rule)
        .expect("the emulator takes the rule");
}

fn job(volume: &str, command: &str) -> Job {
    Job::shell(command).label("volume.data", volume)
}

fn message(task: &LaunchedTask) -> String {
    let status = end(task);
    assert_eq!(status.state, TaskState::Failed, "{status:?}");
    status.message.unwrap_or_default()
}

#[test]
fn fifty_tasks_of_a_hung_driver_do_not_delay_fifty_of_a_healthy_one() {
    const TASKS: usize = 50;
    let mut site = Site::with_agents(1, &spec());
    let healthy = site.second_driver(site.agent(0), "healthy");
    let volumes: Vec<String> = (0..TASKS)
        .map(|number| site.volume(&format!("hung-{number}")))
        .collect();
    for number in 0..TASKS {
        healthy.client().create(&format!("well-{number}"), 1, "zone-a").unwrap();
    }
    hang(&mut site, Operation::Mount);
    let tasks = Tasks::connect(site.cluster());
    let stuck = tasks.launch_all(site.agent(0), volumes.iter().map(|volume| job(volume, "true")));
    let well = (0..TASKS)
        .map(|number| job(&format!("well-{number}"), "touch data/file").label("volume.data.driver", "healthy"));
    tasks.launch_all(site.agent(0), well).iter().for_each(finished);
    for task in &stuck {
        assert!(message(task).contains("prepare_timeout") && message(task).contains(": [timeout] "));
    }
    site.emulator().client().clear_faults(None).unwrap();
    site.wait_until_nothing_is_left();
    tasks.finish(site.agent(0), job(&volumes[0], "touch data/file"));
    site.wait_until_nothing_is_left();
}

#[test]
fn a_task_whose_mount_hangs_fails_in_time_and_says_what_it_waited_for() {
    let mut site = Site::with_agents(1, &spec());
    let id = site.volume("v");
    hang(&mut site, Operation::Mount);
    let tasks = Tasks::connect(site.cluster());
    let words = message(&tasks.launch(site.agent(0), job(&id, "true")));
    for part in ["'volume.data'", &id, "has not answered Mount", "prepare_timeout"] {
        assert!(words.contains(part), "'{part}' is not in: {words}");
    }
    site.emulator().client().clear_faults(None).unwrap();
    site.wait_until_nothing_is_left();
}

#[test]
fn a_container_destroyed_while_its_mount_hangs_goes_and_the_late_mount_is_undone() {
    let mut site = Site::with_agents(1, &spec());
    let id = site.volume("v");
    hang(&mut site, Operation::Mount);
    let tasks = Tasks::connect(site.cluster());
    let task = tasks.launch(site.agent(0), job(&id, "true"));
    eventually("the driver is asked", || match site.emulator().client().faults() {
        Ok(faults) if faults.iter().any(|fault| fault.struck > 0) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    task.kill().unwrap();
    assert_eq!(end(&task).state, TaskState::Killed);
    site.wait_until_no_container_is_left(site.agent(0));
    site.emulator().client().clear_faults(None).unwrap();
    site.wait_until_nothing_is_left();
}

#[test]
fn an_agent_killed_while_a_mount_hangs_undoes_it_when_it_is_back() {
    let mut site = Site::with_agents(1, &spec());
    let id = site.volume("v");
    hang(&mut site, Operation::Mount);
    let tasks = Tasks::connect(site.cluster());
    let task = tasks.launch(site.agent(0), job(&id, "true"));
    eventually("the driver is asked", || match site.emulator().client().faults() {
        Ok(faults) if faults.iter().any(|fault| fault.struck > 0) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    site.agent(0).kill().unwrap();
    site.emulator().client().clear_faults(None).unwrap();
    site.agent(0).restart().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(end(&task).state, TaskState::Failed);
    site.wait_until_nothing_is_left();
}

#[test]
fn a_hung_unmount_keeps_neither_its_container_nor_a_restarted_agent_waiting() {
    let spec = AgentSpec::default().module(
        module()
            .parameter("cleanup_wait", "1secs")
            .parameter("prepare_timeout", "30secs"),
    );
    let mut site = Site::with_agents(1, &spec);
    let id = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let task = tasks.launch(site.agent(0), job(&id, "until [ -e data/stop ]; do sleep 0.05; done"));
    running(&task);
    hang(&mut site, Operation::Unmount);
    tasks.finish(site.agent(0), job(&id, "touch data/stop"));
    finished(&task);
    site.wait_until_no_container_is_left(site.agent(0));
    site.agent(0).restart().unwrap_or_else(|error| panic!("{error}"));
    // A new user waits behind the Unmount, as long as its own time allows, and is not refused.
    let next = tasks.launch(site.agent(0), job(&id, "touch data/next"));
    std::thread::sleep(Duration::from_millis(200));
    site.emulator().client().clear_faults(None).unwrap();
    finished(&next);
    site.wait_until_nothing_is_left();
}

#[test]
fn a_driver_killed_under_a_running_task_is_no_loss_even_if_the_agent_restarts_meanwhile() {
    let mut site = Site::start(1);
    let id = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let task = tasks.launch(
        site.agent(0),
        job(&id, "until [ -e data/stop ]; do date > data/log; sleep 0.05; done"),
    );
    running(&task);
    site.emulator().kill().unwrap();
    site.agent(0).kill().unwrap();
    site.agent(0).restart().unwrap_or_else(|error| panic!("{error}"));
    let mount = site.mounts().pop().expect("the volume is still mounted");
    site.emulator().restart().unwrap();
    std::fs::write(mount.target.join("data/stop"), "").unwrap();
    finished(&task);
    site.wait_until_nothing_is_left();
}

#[test]
fn a_call_whose_answer_is_lost_is_settled_whether_it_was_carried_out_or_not() {
    for (operation, after) in [
        (Operation::Mount, false),
        (Operation::Mount, true),
        (Operation::Unmount, false),
        (Operation::Unmount, true),
    ] {
        let mut site = Site::start(1);
        let id = site.volume("v");
        let rule = FaultRule::new(operation, Action::Drop).times(1);
        site.emulator()
            .client()
            .fault(&if after { rule.after() } else { rule })
            .unwrap();
        let tasks = Tasks::connect(site.cluster());
        let first = end(&tasks.launch(site.agent(0), job(&id, "touch data/file")));
        let expected = if operation == Operation::Mount {
            TaskState::Failed
        } else {
            TaskState::Finished
        };
        assert_eq!(first.state, expected, "{operation} {after}: {first:?}");
        tasks.finish(site.agent(0), job(&id, "touch data/file"));
        site.wait_until_nothing_is_left();
    }
}

#[test]
fn a_storage_that_refuses_to_detach_is_asked_again_until_it_does() {
    let mut site = Site::start(1);
    let id = site.volume("v");
    let words = Action::Fail {
        message: "IncorrectState: the volume is busy".into(),
    };
    site.emulator()
        .client()
        .fault(&FaultRule::new(Operation::Detach, words).times(3))
        .unwrap();
    let tasks = Tasks::connect(site.cluster());
    tasks.finish(site.agent(0), job(&id, "touch data/file"));
    site.wait_until_nothing_is_left();
    let log = site.agent(0).log();
    assert!(log.contains("the volume is busy"), "the agent's log quotes the storage");
}

#[test]
fn a_driver_that_crashes_in_its_mount_is_settled_when_it_is_back() {
    let mut site = Site::start(1);
    let id = site.volume("v");
    site.emulator()
        .client()
        .fault(&FaultRule::new(Operation::Mount, Action::Crash).after().times(1))
        .unwrap();
    let tasks = Tasks::connect(site.cluster());
    let words = message(&tasks.launch(site.agent(0), job(&id, "true")));
    assert!(words.contains("'volume.data'"), "{words}");
    site.emulator().restart().unwrap();
    site.wait_until_nothing_is_left();
    tasks.finish(site.agent(0), job(&id, "touch data/file"));
    site.wait_until_nothing_is_left();
}
