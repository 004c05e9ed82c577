//! The pages whose commands are executed.

use std::fs;
use std::process::Command;

use ebs_emulator::Manners;
use testbed::{Job, LaunchedTask};
use tests::{Tasks, eventually, finished, running};

use crate::blocks::workspace;
use crate::host::{Host, execute_alone};

/// One test for each page.
macro_rules! pages {
    ($($test:ident: $page:literal, $execute:expr;)*) => {
        /// The pages that a test executes.
        pub(crate) const EXECUTED: &[&str] = &[$($page),*];
        $(
            #[test]
            fn $test() {
                let execute: fn(&str) = $execute;
                execute($page);
            }
        )*
    };
}

pages! {
    the_first_cluster_of_the_readme_mounts_a_volume: "README.md", |page| execute_alone(page, &[]);
    the_commands_of_the_page_on_definitions_are_those_of_label_mapper: "label-mapper/ADAPTERS.md", |page| execute_alone(page, DEFINITIONS);
    the_commands_of_the_page_on_installing_make_a_volume_appear_in_a_task: "docs/install.md", on_a_bare_agent;
    the_commands_of_the_page_on_upgrading_leave_a_running_task_and_its_volume_alone: "docs/upgrading.md", upgraded_under_a_task;
    the_commands_of_the_page_on_the_state_folder_keep_the_hosts_id_and_the_task_its_volume: "docs/state-folder.md", lost_under_a_task;
    the_commands_of_the_page_on_hardening_find_nothing_wrong: "docs/hardening.md", on_an_agent;
    the_commands_of_the_page_on_monitoring_show_metrics_and_rotate_the_audit_log: "docs/monitoring.md", with_reports;
    the_commands_of_the_page_on_rexray_mount_a_volume_by_its_id: "docs/rex-ray.md", with_rexray;
}

/// What the page on definitions works on.
const DEFINITIONS: &[(&str, &str)] = &[
    ("app.json", include_str!("files/app.json")),
    ("volumes.json", include_str!("files/volumes.json")),
    ("slaves.json", include_str!("files/slaves.json")),
];

fn on_a_bare_agent(page: &str) {
    let host = Host::bare();
    host.execute(page);
    host.site().wait_until_nothing_is_left();
}

fn on_an_agent(page: &str) {
    let host = Host::installed(&Manners::default(), &[]);
    host.execute(page);
    host.site().wait_until_nothing_is_left();
}

/// The page's `aws ec2 describe-volumes` prints the volumes of the emulator.
fn with_rexray(page: &str) {
    let host = Host::installed(&Manners::rexray(), &[]);
    host.provide(
        "aws",
        &format!(
            "[ \"$*\" = \"ec2 describe-volumes\" ] && exec ebs-emulator describe --state {}",
            host.storage()
        ),
    );
    host.execute(page);
    let steps = host.site().steps(host.volume());
    assert!(steps.iter().any(|step| step.ends_with(": mount")), "{steps:?}");
    host.site().wait_until_nothing_is_left();
}

/// A task that runs until somebody makes the file `stop` in its volume.
fn task_with_the_volume(host: &Host, tasks: &Tasks) -> LaunchedTask {
    let job = Job::shell("until [ -e data/stop ]; do sleep 0.05; done").label("volume.data", host.volume());
    let task = tasks.launch(host.agent(), job);
    running(&task);
    task
}

fn stop(host: &Host, task: &LaunchedTask) {
    let mounts = host.site().mounts();
    fs::write(mounts[0].target.join("data/stop"), "").expect("the volume is mounted");
    finished(task);
}

/// A task with the volume runs before, during and after the page, and the storage sees one mount.
fn upgraded_under_a_task(page: &str) {
    let host = Host::installed(&Manners::default(), &[]);
    let tasks = Tasks::connect(host.site().cluster());
    let task = task_with_the_volume(&host, &tasks);
    let before = host.site().steps(host.volume());
    host.execute(page);
    assert_eq!(host.site().steps(host.volume()), before, "no driver was called");
    stop(&host, &task);
    host.site().wait_until_nothing_is_left();
}

/// The folder is lost while a task runs. With the id of the host from the backup, the driver, which compares ids, lets the
/// volume be unmounted after the task.
fn lost_under_a_task(page: &str) {
    let host = Host::installed(&Manners::default(), &[]);
    let id = || fs::read_to_string(host.path("/var/lib/mesos-external-volumes/host-id")).expect("the agent made it");
    let before = id();
    let tasks = Tasks::connect(host.site().cluster());
    let task = task_with_the_volume(&host, &tasks);
    host.execute(page);
    assert_eq!(id(), before);
    assert_eq!(host.site().mounts().len(), 1, "the task has its volume");
    stop(&host, &task);
    host.site().wait_until_no_container_is_left(host.agent());
    assert_eq!(host.site().mounts().len(), 1, "no record names the volume");
    let unmount = "mesos-volumes driver unmount ebs vol-7bca078f";
    host.run(unmount, &[]);
    host.site().wait_until_nothing_is_left();
}

/// The audit log has lines of a task, and the port of the page is free.
fn with_reports(page: &str) {
    let reports = [
        ("metrics_socket", "/run/mesos-external-volumes/metrics.sock"),
        ("audit_log", "/var/log/mesos-external-volumes/audit.jsonl"),
    ];
    let host = Host::installed(&Manners::default(), &reports);
    let job = Job::shell("touch data/file").label("volume.data", host.volume());
    Tasks::connect(host.site().cluster()).finish(host.agent(), job);
    host.site().wait_until_nothing_is_left();
    let logrotate = workspace().join("target/packages/logrotate/usr/sbin/logrotate");
    host.provide("logrotate", &format!("exec {} \"$@\"", logrotate.display()));
    host.execute(page);
    let rotated = fs::read_to_string(host.path("/var/log/mesos-external-volumes/audit.jsonl.1"));
    assert!(rotated.expect("it was rotated").contains("\"granted\""));
    let job = Job::shell("touch data/file").label("volume.data", host.volume());
    Tasks::connect(host.site().cluster()).finish(host.agent(), job);
    eventually("lines go to a new file", || {
        let new = fs::read_to_string(host.path("/var/log/mesos-external-volumes/audit.jsonl"));
        let new = new.map_err(|error| error.to_string())?;
        new.contains("\"granted\"").then_some(()).ok_or(new)
    });
    host.site().wait_until_nothing_is_left();
}

/// The play of the page on rolling out brings the module to an agent; a second run changes nothing.
#[test]
fn the_play_of_the_page_on_rolling_out_installs_the_module_and_changes_nothing_a_second_time() {
    let host = Host::bare();
    let play = file("docs/rollout.md", "rollout.yml");
    let folder = host.path("/etc/ansible");
    fs::create_dir_all(&folder).expect("the folder is ours");
    fs::write(folder.join("rollout.yml"), host.local(&play)).expect("the folder is ours");
    fs::write(folder.join("modules.json"), host.modules(&[])).expect("the folder is ours");
    let inventory = "[mesos_agents]\nagent-1 ansible_connection=local ansible_python_interpreter=/usr/bin/python3\n";
    fs::write(folder.join("inventory.ini"), inventory).expect("the folder is ours");
    let run = "HOME=$TMPDIR ansible-playbook -i /etc/ansible/inventory.ini /etc/ansible/rollout.yml\n";
    let places = |sample: &str| vec![("docs/rollout.md".to_owned(), sample.to_owned())];
    host.run(run, &places("agent-1 …changed=5 …unreachable=0 …failed=0…"));
    let job = Job::shell("touch data/file").label("volume.data", host.volume());
    Tasks::connect(host.site().cluster()).finish(host.agent(), job);
    let pid = host.agent().pid();
    host.run(run, &places("agent-1 …changed=0 …unreachable=0 …failed=0…"));
    assert_eq!(host.agent().pid(), pid, "the agent was not restarted");
    host.site().wait_until_nothing_is_left();
}

#[test]
fn the_units_of_the_page_on_systemd_are_accepted_by_systemd() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for unit in ["mesos-agent.service", "mesos-volume-scheduler.service"] {
        // The programs are not where the units name them on this machine.
        let text = file("docs/systemd.md", unit)
            .replace("/usr/sbin/mesos-agent", "/bin/true")
            .replace("/usr/local/bin/scheduler", "/bin/true")
            .replace("User=scheduler", "User=root");
        let path = folder.path().join(unit);
        fs::write(&path, text).expect("the folder is ours");
        let verified = Command::new("systemd-analyze")
            .arg("verify")
            .arg("--man=no")
            .arg(&path)
            .output();
        let verified = verified.expect("systemd-analyze is installed");
        let said = String::from_utf8_lossy(&verified.stderr);
        assert!(verified.status.success() && said.trim().is_empty(), "{unit}: {said}");
    }
}

/// A block of a page that is a file of this name.
fn file(page: &str, name: &str) -> String {
    let blocks = crate::blocks::page(page).blocks();
    let found = blocks
        .into_iter()
        .find(|block| block.info.ends_with(&format!(" file {name}")));
    found.unwrap_or_else(|| panic!("{page} has the file {name}")).text
}
