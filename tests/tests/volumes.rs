//! A label becomes a mounted volume: shared by its users, moved between agents, and let go.

use ebs_emulator::EventKind;
use ebs_emulator::faults::Operation;
use testbed::{AgentSpec, Job};
use tests::{Site, Tasks, end, eventually, finished, module, running};

#[test]
fn what_one_task_writes_a_later_task_on_the_other_agent_reads() {
    let site = Site::start(2);
    let id = site.volume("flights");
    let tasks = Tasks::connect(site.cluster());

    tasks.finish(
        site.agent(0),
        Job::shell("echo one > data/file").label("volume.data", &id),
    );
    tasks.finish(
        site.agent(1),
        Job::shell("grep one data/file").label("volume.data", &id),
    );

    site.wait_until_nothing_is_left();
    let of = |host: &str| ["attach", "mount", "unmount", "detach"].map(|step| format!("{host}: {step}"));
    assert_eq!(site.steps(&id), [of("host-0"), of("host-1")].concat());
}

#[test]
fn two_tasks_of_one_agent_share_one_mount_under_one_id() {
    let site = Site::start(1);
    let id = site.volume("shared");
    let tasks = Tasks::connect(site.cluster());
    let wait_for = |file: &str| format!("until [ -e data/{file} ]; do sleep 0.05; done");

    let first = Job::shell(wait_for("go")).label("volume.data", &id);
    let second = Job::shell(format!("touch data/second; {}", wait_for("go"))).label("volume.data", &id);
    let (first, second) = (tasks.launch(site.agent(0), first), tasks.launch(site.agent(0), second));
    running(&first);
    running(&second);
    tasks.finish(
        site.agent(0),
        Job::shell("ls data/second && touch data/go").label("volume.data", &id),
    );
    end(&first);
    end(&second);

    site.wait_until_nothing_is_left();
    let calls: Vec<(Operation, Option<String>)> = site
        .events()
        .into_iter()
        .filter(|event| event.kind == EventKind::Request)
        .filter_map(|event| Some((event.operation?, event.mount_id)))
        .filter(|(operation, _)| matches!(operation, Operation::Mount | Operation::Unmount))
        .collect();
    let [(Operation::Mount, Some(mounted)), (Operation::Unmount, Some(unmounted))] = calls.as_slice() else {
        panic!("one Mount and one Unmount: {calls:?}")
    };
    assert_eq!(mounted, unmounted);
    assert_eq!(mounted.len(), 64);
}

#[test]
fn a_task_waits_for_the_volume_of_one_that_has_just_ended() {
    let site = Site::start(1);
    let id = site.volume("busy");
    let tasks = Tasks::connect(site.cluster());
    for _ in 0..10 {
        // The master offers the volume again long before it is unmounted.
        tasks.finish(site.agent(0), Job::shell("date >> data/log").label("volume.data", &id));
    }
    tasks.finish(
        site.agent(0),
        Job::shell("[ $(wc -l < data/log) = 10 ]").label("volume.data", &id),
    );
    site.wait_until_nothing_is_left();
}

#[test]
fn a_read_only_volume_cannot_be_written() {
    let site = Site::start(1);
    let id = site.volume("ro");
    let tasks = Tasks::connect(site.cluster());
    let read_only = |command: &str| {
        Job::shell(command)
            .label("volume.data", &id)
            .label("volume.data.mode", "ro")
    };
    tasks.finish(
        site.agent(0),
        Job::shell("echo x > data/file").label("volume.data", &id),
    );
    tasks.finish(site.agent(0), read_only("grep x data/file && ! touch data/other"));
    tasks.finish(
        site.agent(0),
        read_only("! mount -o remount,bind,rw data || touch data/file"),
    );
    site.wait_until_nothing_is_left();
}

#[test]
fn a_volume_is_given_to_its_owner_so_that_a_task_without_privilege_can_write() {
    let site = Site::start(1);
    let id = site.volume("owned");
    let tasks = Tasks::connect(site.cluster());
    let task = Job::shell("[ $(id -u) != 0 ] && echo mine > data/file")
        .user("nobody")
        .label("volume.data", &id);
    tasks.finish(site.agent(0), task.label("volume.data.owner", "nobody"));
    site.wait_until_nothing_is_left();
}

#[test]
fn a_task_that_asks_for_another_owner_of_a_volume_in_use_is_refused_and_both_owners_are_named() {
    let site = Site::start(1);
    let id = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let owned = |command: &str, owner: &str| {
        let job = Job::shell(command).label("volume.data", &id);
        job.label("volume.data.owner", owner)
    };
    let holder = tasks.launch(
        site.agent(0),
        owned("until [ -e data/stop ]; do sleep 0.05; done", "nobody"),
    );
    running(&holder);
    let message = tasks.fail(site.agent(0), owned("true", "1:1"));
    for words in ["label 'volume.data'", "[busy]", "owner 1:1", "owner 65534:65534"] {
        assert!(message.contains(words), "'{words}' is not in: {message}");
    }
    tasks.finish(site.agent(0), owned("touch data/stop", "65534:65534"));
    finished(&holder);
    site.wait_until_nothing_is_left();
    tasks.finish(site.agent(0), owned("[ $(stat -c %u:%g data) = 1:1 ]", "1:1"));
    site.wait_until_nothing_is_left();
}

/// As docs/launch-paths.md says. The users need not exist on the host: the numbers count.
#[test]
fn two_users_write_to_one_volume_when_their_group_owns_it_and_new_files_inherit_the_group() {
    let site = Site::start(1);
    let id = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let job = |command: &str| {
        let job = Job::shell(command).label("volume.data", &id);
        job.label("volume.data.owner", "0:5000")
    };
    let user = |uid: u32, command: &str| {
        let user = format!("setpriv --reuid {uid} --regid {uid} --groups 5000");
        job(&format!("cd data && umask 002 && {user} sh -c '{command}'"))
    };
    let agent = site.agent(0);
    tasks.finish(agent, job("chmod 775 data"));
    tasks.finish(agent, user(1001, "echo one > before"));
    tasks.finish(agent, user(1002, "! echo two >> before"));
    tasks.finish(agent, job("chmod 2775 data"));
    tasks.finish(agent, user(1001, "echo one > file && mkdir folder"));
    tasks.finish(agent, user(1002, "echo two >> file && echo two > folder/file"));
    tasks.finish(agent, user(1001, "echo one >> folder/file && [ $(wc -l < file) = 2 ]"));
    site.wait_until_nothing_is_left();
}

#[test]
fn several_volumes_go_to_the_paths_their_labels_name_one_inside_the_other() {
    let site = Site::start(1);
    let (outer, inner) = (site.volume("outer"), site.volume("inner"));
    let tasks = Tasks::connect(site.cluster());
    let both = |command: &str| {
        Job::shell(command)
            .label("volume.b", &inner)
            .label("volume.b.path", "deep/down/inner")
            .label("volume.a", &outer)
            .label("volume.a.path", "deep/down")
    };
    tasks.finish(
        site.agent(0),
        both("echo in > deep/down/inner/file && echo out > deep/down/file"),
    );
    tasks.finish(
        site.agent(0),
        Job::shell("grep in data/file").label("volume.data", &inner),
    );
    tasks.finish(
        site.agent(0),
        Job::shell("grep out data/file && [ ! -e data/inner/file ]").label("volume.data", &outer),
    );
    site.wait_until_nothing_is_left();
}

#[test]
fn a_missing_volume_is_created_with_its_options_when_the_label_allows_it() {
    let site = Site::start(1);
    let tasks = Tasks::connect(site.cluster());
    let task = Job::shell("echo new > data/file")
        .label("volume.data", "made-on-demand")
        .label("volume.data.create", "if-missing")
        .label("volume.data.options.size", "1");
    tasks.finish(site.agent(0), task);
    tasks.finish(
        site.agent(0),
        Job::shell("grep new data/file").label("volume.data", "made-on-demand"),
    );
    site.wait_until_nothing_is_left();
    assert_eq!(
        site.events()
            .iter()
            .filter(|event| event.kind == EventKind::Create)
            .count(),
        1
    );
}

#[test]
fn an_exclusive_task_has_the_volume_for_itself_and_the_next_one_waits() {
    let site = Site::start(1);
    let id = site.volume("exclusive");
    let tasks = Tasks::connect(site.cluster());
    let alone = || {
        let command = "mkdir data/alone && sleep 1 && rmdir data/alone";
        Job::shell(command)
            .label("volume.data", &id)
            .label("volume.data.access", "exclusive")
    };
    tasks
        .launch_all(site.agent(0), (0..3).map(|_| alone()))
        .iter()
        .for_each(finished);
    site.wait_until_nothing_is_left();
}

#[test]
fn where_a_claim_is_required_only_the_holder_of_the_id_gets_the_volume_the_operator_ties_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let names = folder.path().join("names.json");
    std::fs::write(&names, r#"{"vol-held": "data"}"#).unwrap();
    let strict = module()
        .parameter("require_claim", "true")
        .parameter("name_map", names.display().to_string());
    let site = Site::with_agents(1, &AgentSpec::default().volumes(["vol-held"]).module(strict));
    site.volume("data");
    site.volume("payroll");
    let tasks = Tasks::connect(site.cluster());
    let by_id = || Job::shell("touch data/file").label("volume.data", "vol-held");
    tasks.finish(site.agent(0), by_id().items("ebsvolumes", ["vol-held"]));
    let message = tasks.fail(site.agent(0), by_id());
    assert!(
        message.contains("'volume.data'") && message.contains("'vol-held'") && message.contains("ebsvolumes"),
        "{message}"
    );
    let others = Job::shell("true")
        .label("volume.data", "payroll")
        .label("volume.data.claim", "vol-held");
    let message = tasks.fail(site.agent(0), others.items("ebsvolumes", ["vol-held"]));
    assert!(
        message.contains("'payroll'") && message.contains("name_map"),
        "{message}"
    );
    site.wait_until_nothing_is_left();
}

#[test]
fn a_task_without_labels_runs_as_if_there_were_no_module() {
    let site = Site::start(1);
    let tasks = Tasks::connect(site.cluster());
    tasks.finish(site.agent(0), Job::shell("true").label("team", "etl"));
    assert!(site.events().iter().all(|event| event.kind != EventKind::Request));
}

/// A volume's task ends while another container, started when the volume was mounted, runs on.
fn device_is_freed(spec: &AgentSpec, freed_at_once: bool) {
    let site = Site::with_private_mounts(spec);
    let id = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let command = "until [ -e data/stop ]; do sleep 0.05; done";
    let user = tasks.launch(site.agent(0), Job::shell(command).label("volume.data", &id));
    running(&user);
    let bystander = tasks.launch(site.agent(0), Job::shell("sleep 1000"));
    running(&bystander);
    tasks.finish(site.agent(0), Job::shell("touch data/stop").label("volume.data", &id));
    finished(&user);
    if !freed_at_once {
        eventually("the storage cannot detach the volume", || {
            let log = site.agent(0).log();
            (log.contains("an Unmount failed") && log.contains("mount_bases"))
                .then_some(())
                .ok_or(log)
        });
        bystander.kill().expect("the master takes KILL");
        end(&bystander);
    }
    site.wait_until_nothing_is_left();
}

#[test]
fn below_a_shared_base_the_device_is_free_while_unrelated_containers_run() {
    device_is_freed(
        &AgentSpec::default().module(module().parameter("mount_bases", "{agent}/base")),
        true,
    );
}

#[test]
fn below_a_private_base_the_device_stays_busy_until_unrelated_containers_end_and_the_log_says_so() {
    device_is_freed(&AgentSpec::default().module(module()), false);
}
