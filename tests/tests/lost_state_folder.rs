//! The state folder of an agent is lost while tasks with volumes run. The agent does not unmount
//! their volumes afterwards: `mesos-volumes doctor` and `mesos-volumes ls` show them, each with a
//! command that releases it.

use std::fs;
use std::process::{Command, Output};

use ebs_emulator::Manners;
use serde_json::Value;
use testbed::{Agent, AgentSpec, Job, LaunchedTask, built};
use tests::{Rclone, Site, Tasks, finished, module, running};

const WAIT: &str = "until [ -e data/stop ]; do sleep 0.05; done";

/// The folders of `mount_bases` may have any name.
fn spec() -> AgentSpec {
    AgentSpec::default().module(module().parameter("mount_bases", "{agent}/base:{agent}/other base"))
}

/// A driver that refuses an Unmount for another id, as rclone does, needs an unmount by hand before
/// it detaches the volume.
#[test]
fn volumes_of_drivers_that_refuse_another_id_are_shown_and_released_after_the_tasks() {
    let site = Site::with_agents(1, &spec());
    let id = site.volume("forgotten");
    let rclone = Rclone::start(&site.cluster().folder().join("rclone"), site.agent(0).drivers());
    let tasks = Tasks::connect(site.cluster());
    let ebs = tasks.launch(site.agent(0), Job::shell(WAIT).label("volume.data", &id));
    let remote = Job::shell(WAIT)
        .label("volume.data", "remote")
        .label("volume.data.driver", "rclone")
        .label("volume.data.create", "if-missing")
        .label("volume.data.options.type", "local")
        .label("volume.data.options.path", rclone.data("remote").display().to_string());
    let remote = tasks.launch(site.agent(0), remote);
    let stop = || {
        fs::write(site.mounts()[0].target.join("data/stop"), "").unwrap();
        fs::write(rclone.mounts()[0].target.join("stop"), "").unwrap();
    };
    state_folder_is_lost_and_volumes_are_released(&site, &[ebs, remote], stop);
    rclone.wait_until_nothing_is_mounted();
    let again = Job::shell("test -e data/stop").label("volume.data", &id);
    tasks.finish(site.agent(0), again);
    site.wait_until_nothing_is_left();
}

#[test]
fn a_volume_of_a_driver_that_ignores_ids_is_shown_and_released_after_the_task() {
    let site = Site::with_manners(&Manners::rexray(), &spec());
    site.volume("forgotten");
    let tasks = Tasks::connect(site.cluster());
    let task = tasks.launch(site.agent(0), Job::shell(WAIT).label("volume.data", "forgotten"));
    let stop = || fs::write(site.mounts()[0].target.join("data/stop"), "").unwrap();
    state_folder_is_lost_and_volumes_are_released(&site, &[task], stop);
    let again = Job::shell("test -e data/stop").label("volume.data", "forgotten");
    tasks.finish(site.agent(0), again);
    site.wait_until_nothing_is_left();
}

/// Each of the tasks has one volume; `stop` ends them.
fn state_folder_is_lost_and_volumes_are_released(site: &Site, tasks: &[LaunchedTask], stop: impl Fn()) {
    let agent = site.agent(0);
    for task in tasks {
        running(task);
    }
    assert_eq!(commands(agent), [] as [String; 0], "every volume is in a record");
    let refusal = shell(&unrecorded_command(agent, &site.volumes()[0]));
    assert!(
        stderr(&refusal).contains("the agent unmounts the volume when the container has ended"),
        "{refusal:?}"
    );

    agent.kill().expect("the agent runs");
    fs::remove_dir_all(agent.state_dir()).expect("the agent has a state folder");
    agent.restart().unwrap_or_else(|error| panic!("{error}"));
    let found = commands(agent);
    assert_eq!(found.len(), tasks.len(), "{found:?}");
    for command in &found {
        let refusal = shell(command);
        assert!(
            !refusal.status.success() && stderr(&refusal).contains("in a container"),
            "a volume that a task uses stays mounted: {refusal:?}"
        );
    }

    stop();
    for task in tasks {
        finished(task);
    }
    site.wait_until_no_container_is_left(agent);
    let warnings = warnings(agent);
    assert_eq!(warnings.len(), tasks.len(), "{warnings:#?}");
    for warning in &warnings {
        let found = warning["found"].as_str().unwrap_or_default();
        assert_eq!(warning["check"], "mounts", "{warning:#}");
        assert!(found.contains("no record of the agent names it"), "{warning:#}");
    }
    for command in commands(agent) {
        let output = shell(&command);
        assert!(output.status.success(), "{command}: {output:?}");
    }
    assert_eq!(commands(agent), [] as [String; 0]);
    assert_eq!(self::warnings(agent), [] as [Value; 0]);
    site.wait_until_nothing_is_left();
}

/// The commands that `mesos-volumes ls --json` names for volumes without a record.
fn commands(agent: &Agent) -> Vec<String> {
    let output = mesos_volumes()
        .args(["ls", "--json", "--state-dir"])
        .arg(agent.state_dir())
        .arg("--driver-sockets")
        .arg(agent.drivers())
        .arg("--driver-specs")
        .arg(agent.drivers())
        .output()
        .expect("the program runs");
    let report = json(&output);
    assert_eq!(report["unanswered"], Value::Array(Vec::new()), "{report:#}");
    let unrecorded = report["unrecorded"].as_array().expect("a list");
    let commands = unrecorded.iter().map(|it| it["command"].as_str().unwrap_or_default());
    commands.map(str::to_owned).collect()
}

/// The command for a volume of the emulator, whether or not it has a record.
fn unrecorded_command(agent: &Agent, volume: &str) -> String {
    let state_dir = agent.state_dir();
    let (sockets, state) = (agent.drivers().display(), state_dir.display());
    format!(
        "mesos-volumes driver unmount --driver-sockets '{sockets}' --state-dir '{state}' --unrecorded -- {} {volume}",
        tests::DRIVER
    )
}

/// What `mesos-volumes doctor` finds that is not well.
fn warnings(agent: &Agent) -> Vec<Value> {
    let output = mesos_volumes()
        .args(["doctor", "--json", "--agent-url", &agent.url()])
        .output()
        .expect("the program runs");
    let checks = json(&output)["checks"].as_array().cloned().unwrap_or_default();
    // The profile of REX-Ray, which the emulator's driver has, works on a call for less time than the module waits.
    let faults = checks.into_iter().filter(|check| check["state"] != "ok");
    faults.filter(|check| check["check"] != "time limits").collect()
}

fn mesos_volumes() -> Command {
    Command::new(built("mesos-volumes", "mesos-volumes").unwrap_or_else(|error| panic!("{error}")))
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs a command as an operator pastes it.
fn shell(command: &str) -> Output {
    let program = built("mesos-volumes", "mesos-volumes").unwrap_or_else(|error| panic!("{error}"));
    let folder = program.parent().expect("a program lies in a folder");
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).env("PATH", path);
    shell.output().expect("a shell runs")
}
