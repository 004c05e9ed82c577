//! `mesos-executor` under a real agent: what it reports, how it kills, and what it survives.

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use crate::support::{EXECUTOR, LIMIT, alive, cluster, wait_until};
use mesos_http::scheduler::Call;
use mesos_http::types::{
    CheckKind, CommandInfo, DurationInfo, FrameworkInfo, HealthCheck, Reason, StatusSource, TaskState,
};
use testbed::{Agent, AgentSpec, Cluster, Framework, Image, Job, LaunchedTask, MasterSpec};

fn one_agent(spec: AgentSpec) -> (Cluster, Framework) {
    let cluster = cluster().agent(spec).start().unwrap();
    let framework = Framework::subscribe(&cluster.master().address()).unwrap();
    (cluster, framework)
}

/// A file in the sandbox of a task.
fn sandbox_file(agent: &Agent, framework: &Framework, task: &LaunchedTask, name: &str) -> String {
    let sandbox = agent.sandbox(framework.id().as_str(), task.id().as_str()).unwrap();
    fs::read_to_string(sandbox.join(name)).unwrap_or_default()
}

/// Waits until the task has written `text` to its stdout.
#[track_caller]
fn wait_for_output(agent: &Agent, framework: &Framework, task: &LaunchedTask, text: &str) {
    wait_until(&format!("{} writes {text:?}", task.id()), || {
        sandbox_file(agent, framework, task, "stdout").contains(text)
    });
}

#[test]
fn the_end_of_a_command_is_reported_in_mesos_words() {
    let (cluster, framework) = one_agent(AgentSpec::default());
    let cases = [
        ("true", TaskState::Finished, "Command exited with status 0"),
        ("exit 3", TaskState::Failed, "Command exited with status 3"),
        ("kill -9 $$", TaskState::Failed, "Command terminated with signal Killed"),
        (
            "kill -SEGV $$",
            TaskState::Failed,
            "Command terminated with signal Segmentation fault",
        ),
    ];
    for (command, state, message) in cases {
        let task = framework.launch(Job::shell(command));
        let end = task.wait_for_end(LIMIT).unwrap();
        assert_eq!(
            (&end.state, end.message.as_deref()),
            (&state, Some(message)),
            "{command}"
        );
        assert_eq!(end.source, Some(StatusSource::Executor));
        assert_eq!(task.states(), [TaskState::Starting, TaskState::Running, state]);
    }
    drop(framework);
    cluster.tear_down().unwrap();
}

#[test]
fn a_command_gets_its_environment_its_user_and_its_sandbox() {
    let (cluster, framework) = one_agent(AgentSpec::default());
    let agent = cluster.agent(0);
    let script = "id -un; echo \"$GREETING\"; echo \"$MESOS_ALLOCATION_ROLE\"; pwd; touch written; echo error >&2";
    let task = framework.launch(Job::shell(script).env("GREETING", "a  b").user("nobody"));
    assert_eq!(task.wait_for_end(LIMIT).unwrap().state, TaskState::Finished);
    let sandbox = agent.sandbox(framework.id().as_str(), task.id().as_str()).unwrap();
    let run = fs::canonicalize(&sandbox).unwrap();
    let stdout = sandbox_file(agent, &framework, &task, "stdout");
    assert_eq!(stdout, format!("nobody\na  b\n*\n{}\n", run.display()));
    assert!(sandbox_file(agent, &framework, &task, "stderr").contains("error\n"));
    assert!(run.join("written").exists());

    let program = Job::command(CommandInfo::program(["printf", "%s|", "a b", "$HOME"]));
    let task = framework.launch(program);
    assert_eq!(task.wait_for_end(LIMIT).unwrap().state, TaskState::Finished);
    assert_eq!(sandbox_file(agent, &framework, &task, "stdout"), "a b|$HOME|");
    drop(framework);
    cluster.tear_down().unwrap();
}

#[test]
fn a_program_that_is_not_there_fails_the_task_with_its_name() {
    let (cluster, framework) = one_agent(AgentSpec::default());
    let task = framework.launch(Job::command(CommandInfo::program(["/no/such/program"])));
    let end = task.wait_for_end(LIMIT).unwrap();
    assert_eq!(end.state, TaskState::Failed);
    let message = end.message.unwrap();
    assert!(
        message.starts_with("Failed to execute '/no/such/program': No such file"),
        "{message}"
    );
    drop(framework);
    cluster.tear_down().unwrap();
}

#[test]
fn twenty_tasks_of_one_launch_all_finish() {
    let (cluster, framework) = one_agent(AgentSpec::default());
    let tasks = framework.launch_all((0..20).map(|i| Job::shell(format!("echo {i}"))));
    for (i, task) in tasks.iter().enumerate() {
        assert_eq!(task.wait_for_end(LIMIT).unwrap().state, TaskState::Finished);
        assert_eq!(
            sandbox_file(cluster.agent(0), &framework, task, "stdout"),
            format!("{i}\n")
        );
    }
    drop(framework);
    cluster.tear_down().unwrap();
}

#[test]
fn a_kill_lets_the_task_clean_up() {
    let (cluster, framework) = one_agent(AgentSpec::default());
    let agent = cluster.agent(0);
    let script = "trap 'echo cleaned; exit 0' TERM; echo ready; while :; do sleep 1000 & wait; done";
    let task = framework.launch(Job::shell(script).kill_grace(LIMIT));
    wait_for_output(agent, &framework, &task, "ready");
    task.kill().unwrap();
    let end = task.wait_for_end(LIMIT).unwrap();
    assert_eq!(
        (&end.state, end.message.as_deref()),
        (&TaskState::Killed, Some("Command exited with status 0"))
    );
    assert!(sandbox_file(agent, &framework, &task, "stdout").contains("cleaned"));
    assert!(task.states().contains(&TaskState::Killing), "{:?}", task.states());
    drop(framework);
    cluster.tear_down().unwrap();
}

#[test]
fn a_task_that_ignores_sigterm_is_killed_after_the_grace() {
    let (cluster, framework) = one_agent(AgentSpec::default());
    let agent = cluster.agent(0);
    // The task has an hour; the kill says one second.
    let script = "trap 'echo ignored' TERM; echo ready; while :; do sleep 0.1; done";
    let task = framework.launch(Job::shell(script).kill_grace(Duration::from_secs(3600)));
    wait_for_output(agent, &framework, &task, "ready");
    task.kill_within(Duration::from_secs(1)).unwrap();
    let end = task.wait_for_end(LIMIT).unwrap();
    let message = end.message.as_deref();
    assert_eq!(
        (&end.state, message),
        (&TaskState::Killed, Some("Command terminated with signal Killed"))
    );
    assert!(sandbox_file(agent, &framework, &task, "stdout").contains("ignored"));
    drop(framework);
    cluster.tear_down().unwrap();
}

#[test]
fn a_kill_reaches_children_in_sessions_of_their_own() {
    let (cluster, framework) = one_agent(AgentSpec::default());
    let agent = cluster.agent(0);
    // The task's first process waits for its child: with its end the container ends, and everything in it.
    let script = "trap : TERM; setsid sh -c \"trap 'echo child got it; exit' TERM; echo ready; \
        while :; do sleep 0.1; done\" & wait; wait";
    let task = framework.launch(Job::shell(script).kill_grace(LIMIT));
    wait_for_output(agent, &framework, &task, "ready");
    task.kill().unwrap();
    task.wait_for_end(LIMIT).unwrap();
    wait_for_output(agent, &framework, &task, "child got it");
    drop(framework);
    cluster.tear_down().unwrap();
}

#[test]
fn a_shut_down_executor_kills_its_task_and_still_reports_it() {
    let (cluster, framework) = one_agent(AgentSpec::default());
    let task = framework.launch(Job::shell("sleep 1000"));
    task.wait_for_running(LIMIT).unwrap();
    let agent_id = task.agent_id().unwrap();
    let executor_id = task.id().as_str().into();
    framework
        .caller()
        .call(&Call::Shutdown { executor_id, agent_id })
        .unwrap();
    let end = task.wait_for_end(LIMIT).unwrap();
    let message = end.message.as_deref();
    assert_eq!(
        (&end.state, message),
        (&TaskState::Killed, Some("Command terminated with signal Terminated"))
    );
    assert_eq!(end.source, Some(StatusSource::Executor));
    drop(framework);
    cluster.tear_down().unwrap();
}

#[test]
fn a_task_that_runs_too_long_is_ended_for_that_reason() {
    let (cluster, framework) = one_agent(AgentSpec::default());
    let limit = DurationInfo::from(Duration::from_millis(300));
    let task = framework.launch(Job::shell("sleep 1000").with(|task| task.max_completion_time = Some(limit)));
    let end = task.wait_for_end(LIMIT).unwrap();
    assert_eq!(
        (end.state, end.reason),
        (TaskState::Failed, Some(Reason::MaxCompletionTimeReached))
    );
    drop(framework);
    cluster.tear_down().unwrap();
}

#[test]
fn a_task_runs_on_while_its_agent_is_killed_and_started_again() {
    let (cluster, framework) = one_agent(AgentSpec::default());
    let agent = cluster.agent(0);
    let task = framework.launch(Job::shell(
        "echo $$ ready; until [ -e go ]; do sleep 0.05; done; exit 4",
    ));
    wait_for_output(agent, &framework, &task, "ready");
    task.wait_for_running(LIMIT).unwrap();
    let stdout = sandbox_file(agent, &framework, &task, "stdout");
    let pid: u32 = stdout.split_whitespace().next().unwrap().parse().unwrap();

    agent.restart().unwrap();

    assert!(alive(pid));
    assert_eq!(task.states(), [TaskState::Starting, TaskState::Running]);
    let sandbox = agent.sandbox(framework.id().as_str(), task.id().as_str()).unwrap();
    fs::write(sandbox.join("go"), "").unwrap();
    let end = task.wait_for_end(LIMIT).unwrap();
    assert_eq!(end.message.as_deref(), Some("Command exited with status 4"));
    assert_eq!(end.source, Some(StatusSource::Executor));
    wait_until("the container is gone", || agent.container_processes().is_empty());
    drop(framework);
    cluster.tear_down().unwrap();
}

#[test]
fn an_end_that_came_while_the_agent_was_away_is_reported_when_it_is_back() {
    let (cluster, framework) = one_agent(AgentSpec::default());
    let agent = cluster.agent(0);
    let task = framework.launch(Job::shell(
        "echo ready; until [ -e go ]; do sleep 0.05; done; echo over",
    ));
    wait_for_output(agent, &framework, &task, "ready");
    task.wait_for_running(LIMIT).unwrap();
    let sandbox = agent.sandbox(framework.id().as_str(), task.id().as_str()).unwrap();
    let stdout = fs::canonicalize(&sandbox).unwrap().join("stdout");

    agent.kill().unwrap();
    fs::write(sandbox.join("go"), "").unwrap();
    wait_until("the task is over", || {
        fs::read_to_string(&stdout).unwrap().contains("over")
    });
    agent.restart().unwrap();

    let end = task.wait_for_end(LIMIT).unwrap();
    assert_eq!(
        (&end.state, end.source),
        (&TaskState::Finished, Some(StatusSource::Executor))
    );
    wait_until("the container is gone", || agent.container_processes().is_empty());
    drop(framework);
    cluster.tear_down().unwrap();
}

#[test]
fn without_checkpointing_the_executor_ends_with_its_agent() {
    let cluster = cluster().agent(AgentSpec::default()).start().unwrap();
    let framework = FrameworkInfo {
        checkpoint: false,
        ..FrameworkInfo::new("fleeting", "root")
    };
    let framework = Framework::subscribe_as(&cluster.master().address(), framework).unwrap();
    let agent = cluster.agent(0);
    let script = "trap 'echo told; exit' TERM; echo ready; while :; do sleep 0.05; done";
    let task = framework.launch(Job::shell(script));
    wait_for_output(agent, &framework, &task, "ready");
    let sandbox = agent.sandbox(framework.id().as_str(), task.id().as_str()).unwrap();
    let stdout = fs::canonicalize(&sandbox).unwrap().join("stdout");

    agent.kill().unwrap();

    wait_until("everything has ended", || agent.container_processes().is_empty());
    assert!(fs::read_to_string(&stdout).unwrap().contains("told"));
    agent.start().unwrap();
    drop(framework);
    cluster.tear_down().unwrap();
}

#[test]
fn an_agent_that_does_not_come_back_is_waited_for_only_so_long() {
    let (cluster, framework) = one_agent(AgentSpec::default().flag("recovery_timeout", "2secs"));
    let agent = cluster.agent(0);
    let task = framework.launch(Job::shell("sleep 1000"));
    task.wait_for_running(LIMIT).unwrap();
    agent.kill().unwrap();
    wait_until("everything has ended", || agent.container_processes().is_empty());
    drop(framework);
    cluster.tear_down().unwrap();
}

#[test]
fn a_task_survives_the_restart_of_the_master() {
    let master = MasterSpec::default().pings(Duration::from_secs(1), 2);
    let cluster = cluster().master(master).agent(AgentSpec::default()).start().unwrap();
    let framework = Framework::subscribe(&cluster.master().address()).unwrap();
    let id = framework.id().clone();
    let agent = cluster.agent(0);
    let task = framework.launch(Job::shell("echo ready; until [ -e go ]; do sleep 0.05; done; exit 5"));
    wait_for_output(agent, &framework, &task, "ready");

    cluster.master().restart().unwrap();
    framework.wait_for_subscription(2, LIMIT).unwrap();

    assert_eq!(framework.caller().framework_id(), Some(id));
    let sandbox = agent.sandbox(framework.id().as_str(), task.id().as_str()).unwrap();
    fs::write(sandbox.join("go"), "").unwrap();
    let end = task.wait_for_end(LIMIT).unwrap();
    assert_eq!(end.message.as_deref(), Some("Command exited with status 5"));
    // And the framework can launch again.
    let next = framework.launch(Job::shell("true"));
    assert_eq!(next.wait_for_end(LIMIT).unwrap().state, TaskState::Finished);
    drop(framework);
    cluster.tear_down().unwrap();
}

#[test]
fn a_failing_health_check_kills_the_task() {
    let (cluster, framework) = one_agent(AgentSpec::default());
    let check = HealthCheck {
        delay_seconds: 0.0,
        interval_seconds: 0.05,
        grace_period_seconds: 0.0,
        consecutive_failures: 2,
        ..HealthCheck::command(CommandInfo::shell("test ! -e sick"))
    };
    let task = framework.launch(Job::shell("sleep 1000").health_check(check));
    task.wait_for("be healthy", LIMIT, |status| status.healthy == Some(true))
        .unwrap();
    let sandbox = cluster
        .agent(0)
        .sandbox(framework.id().as_str(), task.id().as_str())
        .unwrap();
    fs::write(sandbox.join("sick"), "").unwrap();
    let end = task.wait_for_end(LIMIT).unwrap();
    assert_eq!((end.state, end.healthy), (TaskState::Killed, Some(false)));
    drop(framework);
    cluster.tear_down().unwrap();
}

#[test]
fn a_check_nobody_can_do_fails_the_task_with_a_message() {
    let (cluster, framework) = one_agent(AgentSpec::default());
    let http = Some(mesos_http::types::HttpCheck {
        port: 80,
        scheme: Some("https".into()),
        ..Default::default()
    });
    let check = HealthCheck {
        kind: Some(CheckKind::Http),
        command: None,
        http,
        ..HealthCheck::command(CommandInfo::default())
    };
    let task = framework.launch(Job::shell("sleep 1000").health_check(check));
    let end = task.wait_for_end(LIMIT).unwrap();
    assert_eq!(end.state, TaskState::Failed);
    let message = end.message.unwrap();
    assert!(
        message.contains("health_check is not supported") && message.contains("https"),
        "{message}"
    );
    drop(framework);
    cluster.tear_down().unwrap();
}

#[test]
fn an_image_task_runs_in_the_image_as_its_user() {
    let registry = tempfile::tempdir().unwrap();
    let image = Image::shell().program("/usr/bin/id");
    image.save(registry.path(), "tiny").unwrap();
    let spec = AgentSpec::default().images(registry.path());
    let (cluster, framework) = one_agent(spec);
    // The check sees the image, too: on the host that file is there.
    let check = HealthCheck {
        delay_seconds: 0.2,
        ..HealthCheck::command(CommandInfo::shell("[ ! -e /etc/debian_version ]"))
    };
    let script = "id -u; pwd; echo \"$MESOS_SANDBOX\"; [ -e /etc/debian_version ] || echo no host; \
        echo x > mine; until [ -e go ]; do sleep 0.05; done";
    let job = Job::shell(script).image("tiny").user("nobody").health_check(check);
    let task = framework.launch(job);
    task.wait_for("be healthy", LIMIT, |status| status.healthy == Some(true))
        .unwrap();
    let sandbox = cluster
        .agent(0)
        .sandbox(framework.id().as_str(), task.id().as_str())
        .unwrap();
    fs::write(sandbox.join("go"), "").unwrap();
    let end = task.wait_for_end(LIMIT).unwrap();
    let stderr = sandbox_file(cluster.agent(0), &framework, &task, "stderr");
    assert_eq!(end.state, TaskState::Finished, "{end:?}\n{stderr}");
    let stdout = sandbox_file(cluster.agent(0), &framework, &task, "stdout");
    assert_eq!(
        stdout, "65534\n/mnt/mesos/sandbox\n/mnt/mesos/sandbox\nno host\n",
        "{stderr}"
    );
    drop(framework);
    cluster.tear_down().unwrap();
}

#[test]
fn the_executors_secret_is_wiped_from_where_its_task_could_read_it() {
    let agent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut executor = Command::new(EXECUTOR)
        .env("MESOS_FRAMEWORK_ID", "F")
        .env("MESOS_EXECUTOR_ID", "t")
        .env("MESOS_AGENT_ENDPOINT", agent.local_addr().unwrap().to_string())
        .env("MESOS_EXECUTOR_AUTHENTICATION_TOKEN", "s3cret")
        .spawn()
        .unwrap();
    let (mut request, _) = agent.accept().unwrap();
    let mut head = [0; 4096];
    let count = request.read(&mut head).unwrap();
    let environment = fs::read(format!("/proc/{}/environ", executor.id())).unwrap();
    executor.kill().unwrap();
    executor.wait().unwrap();
    let head = String::from_utf8_lossy(&head[..count]).to_ascii_lowercase();
    assert!(head.contains("authorization: bearer s3cret"), "{head}");
    let environment = String::from_utf8_lossy(&environment);
    assert!(environment.contains("MESOS_EXECUTOR_ID=t") && !environment.contains("s3cret"));
}

#[test]
fn started_by_hand_it_says_what_it_misses() {
    let output = Command::new(EXECUTOR).env_clear().output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8(output.stderr).unwrap();
    let expected =
        "mesos-executor: MESOS_FRAMEWORK_ID is not set in the environment: an executor is started by a Mesos agent\n";
    assert_eq!(message, expected);
}
