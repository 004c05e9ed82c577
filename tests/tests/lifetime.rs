//! `lifetime=container`: a volume that is created for its container and removed after it, whatever fails or dies in between,
//! while no other volume is ever removed. And `create=if-missing`: a volume that stays.

use std::time::Duration;

use ebs_emulator::{Action, EventKind, FaultRule, Manner, Manners, Operation};
use mesos_http::types::TaskState;
use serde_json::{Value, json};
use testbed::{AgentSpec, Job, Pod, built};
use tests::{Site, Tasks, end, eventually, finished, module, running};

/// The labels of a volume for the task alone.
fn scratch(command: &str) -> Job {
    Job::shell(command)
        .label("volume.data", "scratch")
        .label("volume.data.lifetime", "container")
        .label("volume.data.options.size", "1")
}

/// An agent's storage with a volume on it that is none of ours to remove.
fn site(spec: &AgentSpec) -> Site {
    let site = Site::with_agents(1, spec);
    site.volume("bystander");
    site
}

/// The names of those that were made for containers.
fn made(site: &Site) -> Vec<String> {
    let mut names = site.volumes();
    names.retain(|name| name.starts_with("scratch-mev-"));
    names
}

/// Waits until every record is gone, and looks: what was made is too, and nothing else is.
fn only_the_bystander_is_left(site: &Site) {
    site.wait_until_nothing_is_left();
    assert_eq!(site.volumes(), ["bystander"]);
}

/// How often the driver was asked for this.
fn asked(site: &Site, operation: Operation) -> usize {
    let is_it = |event: &ebs_emulator::Event| event.kind == EventKind::Request && event.operation == Some(operation);
    site.events().iter().filter(|event| is_it(event)).count()
}

fn fails(operation: Operation) -> FaultRule {
    let message = "not now".to_owned();
    FaultRule::new(operation, Action::Fail { message })
}

#[test]
fn a_task_has_a_volume_of_its_own_that_is_gone_after_it() {
    let audit = module().parameter("audit_log", "{agent}/audit.jsonl");
    let site = site(&AgentSpec::default().module(audit));
    let tasks = Tasks::connect(site.cluster());
    let task = tasks.launch(
        site.agent(0),
        scratch("mountpoint data && touch data/file; until [ -e data/stop ]; do sleep 0.05; done"),
    );
    running(&task);
    let made = made(&site);
    assert_eq!(made.len(), 1, "{:?}", site.volumes());
    let mount = site.mounts().pop().expect("it is mounted");
    eventually("the task has written", || {
        std::fs::metadata(mount.target.join("data/file")).map_err(|error| error.to_string())
    });
    std::fs::write(mount.target.join("data/stop"), "").expect("the volume can be written");
    finished(&task);
    only_the_bystander_is_left(&site);

    let log = std::fs::read_to_string(site.agent(0).folder().join("audit.jsonl")).unwrap_or_default();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).expect("each line is JSON"))
        .collect();
    for event in ["create", "mount", "unmount", "remove"] {
        let told = lines
            .iter()
            .find(|line| line["event"] == event && line["volume"] == made[0].as_str() && line["outcome"] == "ok");
        let told = told.unwrap_or_else(|| panic!("no '{event}' in\n{log}"));
        assert_eq!(told["containers"].as_array().map(Vec::len), Some(1), "{told}");
    }
}

#[test]
fn tasks_with_the_same_labels_have_a_volume_each() {
    let site = site(&AgentSpec::default().module(module()));
    let tasks = Tasks::connect(site.cluster());
    // A file of another task would end it.
    let command = "[ ! -e data/file ] && touch data/file && sleep 1000";
    let both = tasks.launch_all(site.agent(0), [scratch(command), scratch(command)]);
    both.iter().for_each(running);
    assert_eq!(made(&site).len(), 2, "{:?}", site.volumes());
    for task in &both {
        task.kill().unwrap();
        end(task);
    }
    only_the_bystander_is_left(&site);
}

#[test]
fn a_container_nested_in_a_task_has_the_task_s_volume_which_outlives_it() {
    let site = site(&AgentSpec::default().module(module()));
    let tasks = Tasks::connect(site.cluster());
    let task = tasks.launch(
        site.agent(0),
        scratch("echo of the task > data/said; until [ -e data/heard ]; do sleep 0.05; done; sleep 1000"),
    );
    running(&task);
    let call = |kind: &str, what: Value| {
        let answer = site.agent(0).call(&json!({"type": kind, kind.to_lowercase(): what}));
        answer.unwrap_or_else(|error| panic!("{error}\n{}", site.cluster().report()))
    };
    let containers = site.agent(0).containers().unwrap();
    let nested = json!({"value": "nested", "parent": {"value": containers[0].id}});
    let read = "until grep -q 'of the task' data/said; do sleep 0.05; done; touch data/heard";
    let launch = json!({
        "container_id": nested,
        "command": {"value": read},
        "container": {"type": "MESOS"},
    });
    call("LAUNCH_NESTED_CONTAINER", launch);
    let ended = call("WAIT_NESTED_CONTAINER", json!({"container_id": nested}));
    assert_eq!(ended["wait_nested_container"]["exit_status"], json!(0), "{ended}");
    assert_eq!(made(&site).len(), 1, "{:?}", site.volumes());
    task.kill().unwrap();
    end(&task);
    only_the_bystander_is_left(&site);
}

/// A pod with a volume that is made for it.
fn pod(members: [&str; 2]) -> Pod {
    Pod::of(members.map(Job::shell))
        .label("volume.data", "scratch")
        .label("volume.data.lifetime", "container")
        .label("volume.data.options.size", "1")
}

#[test]
fn the_members_of_a_pod_share_the_pods_own_volume() {
    let site = site(&AgentSpec::default().module(module()));
    let tasks = Tasks::connect(site.cluster());
    let reader = "until grep -q one data/file; do sleep 0.05; done";
    let members = tasks.launch_pod(site.agent(0), pod(["echo one > data/file", reader]));
    members.iter().for_each(finished);
    only_the_bystander_is_left(&site);
    assert_eq!(asked(&site, Operation::Create), 1);
}

#[test]
fn members_of_a_pod_that_want_it_exclusively_have_a_volume_each() {
    let site = site(&AgentSpec::default().module(module()));
    let tasks = Tasks::connect(site.cluster());
    // Both at once: a volume of the other one's would be waited for until the time is over.
    let alone = "mountpoint data && [ ! -e data/file ] && touch data/file && sleep 2";
    let pod = pod([alone, alone]).label("volume.data.access", "exclusive");
    let members = tasks.launch_pod(site.agent(0), pod);
    members.iter().for_each(finished);
    only_the_bystander_is_left(&site);
    assert_eq!(
        (asked(&site, Operation::Create), asked(&site, Operation::Remove)),
        (2, 2)
    );
}

#[test]
fn a_task_keeps_its_own_volume_while_its_agent_is_killed_and_started_again() {
    let site = site(&AgentSpec::default().module(module()));
    let tasks = Tasks::connect(site.cluster());
    let command = "touch data/file; until [ -e data/stop ]; do sleep 0.05; done; [ -e data/file ]";
    let task = tasks.launch(site.agent(0), scratch(command));
    running(&task);
    for _ in 0..2 {
        site.agent(0).kill().unwrap();
        site.agent(0).restart().unwrap_or_else(|error| panic!("{error}"));
    }
    assert_eq!(asked(&site, Operation::Remove), 0);
    let mount = site.mounts().pop().expect("it is mounted");
    std::fs::write(mount.target.join("data/stop"), "").expect("the volume can be written");
    finished(&task);
    only_the_bystander_is_left(&site);
    assert_eq!(asked(&site, Operation::Remove), 1);
}

#[test]
fn a_volume_that_exists_is_refused_and_stays_as_it_is() {
    let site = site(&AgentSpec::default().module(module()));
    let id = site.volume("scratch");
    let tasks = Tasks::connect(site.cluster());
    tasks.finish(
        site.agent(0),
        Job::shell("echo precious > data/file").label("volume.data", "scratch"),
    );
    site.wait_until_nothing_is_left();
    let before = site.steps(&id);
    let message = tasks.fail(site.agent(0), scratch("rm -r data/*"));
    for words in ["'volume.data'", "'scratch'", "exists", "remove the label 'lifetime'"] {
        assert!(message.contains(words), "{words}: {message}");
    }
    site.wait_until_nothing_is_left();
    assert_eq!(site.steps(&id), before);
    assert_eq!(site.volumes(), ["bystander", "scratch"]);
    tasks.finish(
        site.agent(0),
        Job::shell("grep precious data/file").label("volume.data", "scratch"),
    );
}

/// Ends the agent at a named point of a task's way, starts it again without, and looks at what is left.
fn killed_at(point: &str, ends: &[TaskState]) {
    let spec = AgentSpec::default()
        .module(module())
        .env("MESOS_EXTERNAL_VOLUMES_CRASH_AT", point);
    let site = site(&spec);
    let tasks = Tasks::connect(site.cluster());
    let task = tasks.launch(site.agent(0), scratch("touch data/file"));
    site.agent(0)
        .wait_for_exit(Duration::from_secs(60))
        .unwrap_or_else(|error| panic!("{point}: {error}"));
    site.agent(0).respecify(|spec| spec.environment.clear());
    site.agent(0).restart().unwrap_or_else(|error| panic!("{error}"));
    let status = end(&task);
    assert!(ends.contains(&status.state), "{point}: {status:?}");
    only_the_bystander_is_left(&site);
    tasks.finish(site.agent(0), scratch("[ ! -e data/file ]"));
    only_the_bystander_is_left(&site);
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
    killed_when_the_intent_is_on_disk_no_volume_is_left: "record-end:1", NEVER_RAN;
    killed_before_the_drivers_create_no_volume_is_left: "create-begin", NEVER_RAN;
    killed_after_the_drivers_create_no_volume_is_left: "create-end", NEVER_RAN;
    killed_between_create_and_mount_no_volume_is_left: "mount-begin", NEVER_RAN;
    killed_after_the_drivers_mount_no_volume_is_left: "mount-end", NEVER_RAN;
    killed_before_the_mountpoint_is_on_disk_no_volume_is_left: "record-begin:2", NEVER_RAN;
    killed_when_the_mountpoint_is_on_disk_no_volume_is_left: "record-end:2", NEVER_RAN;
    killed_before_the_release_is_on_disk_no_volume_is_left: "record-begin:3", RAN;
    killed_when_the_release_is_on_disk_no_volume_is_left: "record-end:3", RAN;
    killed_before_the_drivers_unmount_no_volume_is_left: "unmount-begin", RAN;
    killed_after_the_drivers_unmount_no_volume_is_left: "unmount-end", RAN;
    killed_before_the_drivers_remove_no_volume_is_left: "remove-begin", RAN;
    killed_after_the_drivers_remove_no_volume_is_left: "remove-end", RAN;
    killed_before_the_record_is_removed_no_volume_is_left: "record-begin:4", RAN;
}

#[test]
fn a_create_that_is_carried_out_after_its_agent_died_leaves_no_volume() {
    let mut site = site(&AgentSpec::default().module(module()));
    let client = site.emulator().client().clone();
    client.fault(&FaultRule::new(Operation::Create, Action::Hang)).unwrap();
    let tasks = Tasks::connect(site.cluster());
    let task = tasks.launch(site.agent(0), scratch("true"));
    eventually("the driver is asked to create", || {
        match asked(&site, Operation::Create) {
            0 => Err("not yet".to_owned()),
            _ => Ok(()),
        }
    });
    site.agent(0).kill().unwrap();
    site.agent(0).restart().unwrap_or_else(|error| panic!("{error}"));
    end(&task);
    eventually("the driver was asked to remove what is not there", || {
        match asked(&site, Operation::Remove) {
            0 => Err("not yet".to_owned()),
            _ => Ok(()),
        }
    });
    client.clear_faults(None).unwrap();
    eventually("the driver creates it late", || {
        let is_made = |event: &ebs_emulator::Event| {
            event.kind == EventKind::Create && event.name.as_deref().is_some_and(|name| name.starts_with("scratch"))
        };
        let made = site.events().iter().any(is_made);
        made.then_some(()).ok_or_else(|| "not yet".to_owned())
    });
    only_the_bystander_is_left(&site);
}

#[test]
fn a_create_whose_answer_is_lost_leaves_no_volume() {
    let mut site = site(&AgentSpec::default().module(module()));
    let rule = FaultRule::new(Operation::Create, Action::Drop).after().times(1);
    site.emulator().client().fault(&rule).unwrap();
    let tasks = Tasks::connect(site.cluster());
    let message = tasks.fail(site.agent(0), scratch("true"));
    assert!(
        message.contains("'volume.data'") && message.contains("Create"),
        "{message}"
    );
    only_the_bystander_is_left(&site);
}

#[test]
fn a_create_that_is_refused_after_it_made_the_volume_leaves_none() {
    let mut site = site(&AgentSpec::default().module(module()));
    let rule = fails(Operation::Create).after().times(1);
    site.emulator().client().fault(&rule).unwrap();
    let tasks = Tasks::connect(site.cluster());
    let message = tasks.fail(site.agent(0), scratch("true"));
    assert!(message.contains("not now"), "{message}");
    only_the_bystander_is_left(&site);
}

#[test]
fn a_volume_that_cannot_be_mounted_is_removed() {
    let mut site = site(&AgentSpec::default().module(module()));
    site.emulator()
        .client()
        .fault(&fails(Operation::Mount).times(1))
        .unwrap();
    let tasks = Tasks::connect(site.cluster());
    let message = tasks.fail(site.agent(0), scratch("true"));
    assert!(message.contains("not now"), "{message}");
    only_the_bystander_is_left(&site);
}

#[test]
fn a_volume_that_is_not_mounted_in_time_is_removed_when_its_mount_is_over() {
    let mut site = site(&AgentSpec::default().module(module().parameter("prepare_timeout", "2secs")));
    let client = site.emulator().client().clone();
    client.fault(&FaultRule::new(Operation::Mount, Action::Hang)).unwrap();
    let tasks = Tasks::connect(site.cluster());
    let message = tasks.fail(site.agent(0), scratch("true"));
    assert!(message.contains("not ready in time"), "{message}");
    assert_eq!(made(&site).len(), 1);
    client.clear_faults(None).unwrap();
    only_the_bystander_is_left(&site);
}

#[test]
fn a_remove_that_the_driver_refuses_is_retried_until_it_is_done() {
    let mut site = site(&AgentSpec::default().module(module()));
    let client = site.emulator().client().clone();
    client.fault(&fails(Operation::Remove)).unwrap();
    let tasks = Tasks::connect(site.cluster());
    tasks.finish(site.agent(0), scratch("touch data/file"));
    let listed = eventually("the volume is listed as not removed", || {
        let output = std::process::Command::new(built("mesos-volumes", "mesos-volumes").map_err(|e| e.to_string())?)
            .args(["ls", "--state", "unremoved", "--state-dir"])
            .arg(site.agent(0).state_dir())
            .output()
            .map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if text.contains("not now") { Ok(text) } else { Err(text) }
    });
    assert!(listed.contains("scratch-mev-"), "{listed}");
    assert_eq!(made(&site).len(), 1);
    client.clear_faults(None).unwrap();
    only_the_bystander_is_left(&site);
    assert!(asked(&site, Operation::Remove) > 1);
}

#[test]
fn a_refused_remove_is_tried_again_by_the_next_agent() {
    let mut site = site(&AgentSpec::default().module(module()));
    let client = site.emulator().client().clone();
    client.fault(&fails(Operation::Remove)).unwrap();
    let tasks = Tasks::connect(site.cluster());
    tasks.finish(site.agent(0), scratch("touch data/file"));
    eventually("the driver was asked", || match asked(&site, Operation::Remove) {
        0 => Err("not yet".to_owned()),
        _ => Ok(()),
    });
    site.agent(0).kill().unwrap();
    client.clear_faults(None).unwrap();
    site.agent(0).restart().unwrap_or_else(|error| panic!("{error}"));
    only_the_bystander_is_left(&site);
}

#[test]
fn a_remove_that_hangs_holds_no_container_up() {
    let mut site = site(&AgentSpec::default().module(module().parameter("cleanup_wait", "1secs")));
    let client = site.emulator().client().clone();
    client.fault(&FaultRule::new(Operation::Remove, Action::Hang)).unwrap();
    let tasks = Tasks::connect(site.cluster());
    tasks.finish(site.agent(0), scratch("touch data/file"));
    site.wait_until_no_container_is_left(site.agent(0));
    assert_eq!(made(&site).len(), 1);
    client.clear_faults(None).unwrap();
    only_the_bystander_is_left(&site);
}

/// Some drivers carry out a Remove of what is mounted (docker-volume-easyfuse), and then know the volume no more.
#[test]
fn a_volume_that_an_operator_removes_while_it_is_mounted_is_stuck_until_it_is_unmounted_by_hand() {
    let manners = Manners::default().with(Manner::RemovesMounted);
    let site = Site::with_manners(&manners, &AgentSpec::default().module(module()));
    site.volume("bystander");
    let tasks = Tasks::connect(site.cluster());
    let task = tasks.launch(
        site.agent(0),
        scratch("until [ -e data/stop ]; do sleep 0.05; done; touch data/file"),
    );
    running(&task);
    let name = made(&site).remove(0);
    let program = built("mesos-volumes", "mesos-volumes").unwrap_or_else(|error| panic!("{error}"));
    let removed = std::process::Command::new(program)
        .args(["driver", "rm", "ebs", &name])
        .env("MESOS_VOLUMES_DRIVER_SOCKETS", site.agent(0).drivers())
        .env("MESOS_VOLUMES_RUN_DIR", site.cluster().folder().join("notes"))
        .status()
        .unwrap();
    assert!(removed.success(), "the driver removes what is mounted");
    let mount = site.mounts().remove(0).target;
    std::fs::write(mount.join("data/stop"), "").unwrap();
    finished(&task);

    let file = site.agent(0).state_dir().join("status.json");
    eventually("the volume is stuck, with the remedy", || {
        let status = std::fs::read_to_string(&file).map_err(|error| error.to_string())?;
        let is_stuck = status.contains("\"stuck\"") && status.contains("unmount it by hand");
        is_stuck.then_some(()).ok_or(status)
    });
    assert_eq!(
        site.mounts().len(),
        1,
        "nothing takes a mount away that no driver answers for"
    );
    let unmounted = std::process::Command::new("umount").arg(&mount).status().unwrap();
    assert!(unmounted.success());
    only_the_bystander_is_left(&site);
}

#[test]
fn a_name_that_was_made_up_for_a_container_is_nobody_elses() {
    let site = site(&AgentSpec::default().module(module()));
    let tasks = Tasks::connect(site.cluster());
    let task = tasks.launch(site.agent(0), scratch("sleep 1000"));
    running(&task);
    let name = made(&site).remove(0);
    let message = tasks.fail(site.agent(0), Job::shell("true").label("volume.data", &name));
    assert!(message.contains(&name) && message.contains("name another"), "{message}");
    task.kill().unwrap();
    end(&task);
    only_the_bystander_is_left(&site);
}

#[test]
fn a_volume_created_because_it_was_missing_has_its_options_and_stays() {
    let mut site = site(&AgentSpec::default().module(module()));
    let tasks = Tasks::connect(site.cluster());
    let keep = |command: &str| {
        Job::shell(command)
            .label("volume.data", "kept")
            .label("volume.data.create", "if-missing")
            .label("volume.data.options.size", "2")
            .label("volume.data.options.type", "io1")
    };
    // The first Create is carried out, and its answer lost: the next task finds the volume and makes no second one.
    let rule = FaultRule::new(Operation::Create, Action::Drop).after().times(1);
    site.emulator().client().fault(&rule).unwrap();
    tasks.fail(site.agent(0), keep("true"));
    tasks.finish(site.agent(0), keep("echo kept > data/file"));
    tasks.finish(site.agent(0), keep("grep kept data/file"));
    site.wait_until_nothing_is_left();
    assert_eq!(site.volumes(), ["bystander", "kept"]);
    assert_eq!(
        (asked(&site, Operation::Create), asked(&site, Operation::Remove)),
        (1, 0)
    );
    let described = site.emulator().client().describe().unwrap();
    let kept = described
        .volumes
        .iter()
        .find(|volume| volume.tags.iter().any(|tag| tag.value == "kept"))
        .expect("it is there");
    assert_eq!((kept.size, kept.volume_type.as_str()), (2, "io1"));
}
