//! What an operator sees when the module loads, or refuses to; and that every kind of container reaches it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use ebs_emulator::{Action, FaultRule, Operation};
use serde_json::{Value, json};
use testbed::{AgentSpec, Cluster, Job, Module};
use tests::{MODULE, Site, Tasks, end, finished, module, running};

const LIMIT: Duration = Duration::from_secs(30);

/// A cluster of one agent with this module, which runs.
fn loaded(module: Module) -> Cluster {
    Cluster::builder()
        .agent(AgentSpec::default().module(module))
        .start()
        .unwrap_or_else(|error| panic!("{error}"))
}

/// How an agent with this module ends that does not start, and what it says.
fn refused(module: Module) -> (ExitStatus, String) {
    let cluster = Cluster::builder()
        .agent(AgentSpec::default().module(module))
        .create()
        .unwrap_or_else(|error| panic!("{error}"));
    let agent = cluster.agent(0);
    agent.start().unwrap_or_else(|error| panic!("{error}"));
    let status = agent
        .wait_for_exit(LIMIT)
        .unwrap_or_else(|error| panic!("{error}\n{}", cluster.report()));
    (status, agent.log())
}

/// The only line with these words.
fn line<'a>(log: &'a str, words: &str) -> &'a str {
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(words)).collect();
    match lines.as_slice() {
        [line] => line,
        other => panic!("not one line with '{words}' but {}:\n{log}", other.len()),
    }
}

#[test]
fn the_module_s_lines_stand_in_the_agent_s_log_in_its_own_format() {
    let cluster = loaded(module());
    let log = cluster.agent(0).log();
    let recovered = line(&log, "external-volumes:restored.rs:");
    // Severity, date, time, thread, and where it was said.
    let fields: Vec<&str> = recovered.split_whitespace().collect();
    assert!(fields[0].len() == 5 && fields[0].starts_with('I'), "{recovered}");
    assert!(fields[2].parse::<u32>().is_ok(), "{recovered}");
    assert!(
        fields[3].starts_with("external-volumes:") && fields[3].ends_with(']'),
        "{recovered}"
    );
    assert!(recovered.ends_with("records=0 running=0 orphans=0"), "{recovered}");
    assert!(line(&log, "Using isolation {").contains(MODULE));
}

#[test]
fn log_level_keeps_lines_out_of_the_agent_s_log() {
    let cluster = loaded(module().parameter("log_level", "error"));
    let log = cluster.agent(0).log();
    assert!(!log.contains("external-volumes:"), "{log}");
}

#[test]
fn a_parameter_that_is_not_accepted_stops_the_agent_and_is_named() {
    for (key, value, told) in [
        ("log_level", "loud", ["'loud'", "error, warn, info"]),
        ("prepare_timeout", "soon", ["'soon'", "as in '45secs'"]),
        (
            "prepare_timeuot",
            "50secs",
            ["unknown", "did you mean 'prepare_timeout'?"],
        ),
    ] {
        let (status, log) = refused(module().parameter(key, value));
        assert_eq!(status.code(), Some(1), "{log}");
        let line = line(&log, "Cannot start mesos_external_volumes: ");
        assert!(line.starts_with('E'), "{line}");
        for words in [key].iter().chain(&told) {
            assert!(line.contains(words), "'{words}' is not in: {line}");
        }
    }
}

#[test]
fn a_second_agent_on_the_same_state_folder_is_refused() {
    let cluster = loaded(module());
    let taken = cluster.agent(0).state_dir().display().to_string();
    let mut second = module();
    second.parameters.retain(|(key, _)| key != "state_dir");
    let (status, log) = refused(second.parameter("state_dir", &taken));
    assert_eq!(status.code(), Some(1), "{log}");
    let line = line(&log, "Cannot start mesos_external_volumes: ");
    assert!(line.contains(&taken), "{line}");
}

#[test]
fn the_built_library_shows_two_symbols() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/check-symbols");
    let output = Command::new(script).arg(module().library).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The container of a command task.
fn container_of(site: &Site, task: &str) -> Value {
    let containers = site.agent(0).containers().unwrap_or_else(|error| panic!("{error}"));
    let container = containers
        .iter()
        .find(|container| container.executor.as_deref() == Some(task));
    json!({"value": container.expect("a running task has a container").id})
}

/// Runs a command in a container made with the agent's operator API, and gives its exit status.
fn run_container(site: &Site, id: &Value, command: &str) -> Value {
    let command = json!({"shell": true, "value": command});
    let resources = json!([{"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}}]);
    let (mut launch, wait) = if id.get("parent").is_some() {
        (json!({"container_id": id, "command": command}), "WAIT_NESTED_CONTAINER")
    } else {
        (
            json!({"container_id": id, "command": command, "resources": resources}),
            "WAIT_CONTAINER",
        )
    };
    let launch_type = wait.replace("WAIT", "LAUNCH");
    launch["container"] = json!({"type": "MESOS"});
    let call = |kind: &str, what: Value| {
        let answer = site.agent(0).call(&json!({"type": kind, kind.to_lowercase(): what}));
        answer.unwrap_or_else(|error| panic!("{error}\n{}", site.cluster().report()))
    };
    call(&launch_type, launch);
    call(wait, json!({"container_id": id}))[wait.to_lowercase()]["exit_status"].clone()
}

#[test]
fn a_container_nested_in_a_task_has_the_task_s_volume_and_one_without_labels_has_none() {
    let site = Site::start(1);
    let volume = site.volume("shared");
    let tasks = Tasks::connect(site.cluster());
    let task = tasks.launch(
        site.agent(0),
        Job::shell("echo of the task > data/said; until test -e data/heard; do sleep 0.1; done")
            .label("volume.data", &volume),
    );
    running(&task);

    // Its ids have a parent, its labels are those of the root's executor, and its sandbox is its own.
    let nested = json!({"value": "nested", "parent": container_of(&site, &task.id().0)});
    let read = "until grep -q 'of the task' data/said; do sleep 0.1; done; touch data/heard";
    assert_eq!(run_container(&site, &nested, read), json!(0));

    // A standalone container has no framework, no executor and no labels.
    let standalone = json!({"value": "standalone"});
    assert_eq!(run_container(&site, &standalone, "test ! -e data"), json!(0));

    end(&task);
    site.wait_until_nothing_is_left();
}

#[test]
fn what_a_task_holds_is_told_again_after_a_restart() {
    let mut told = module();
    told.parameters.push(("log_level".to_owned(), "debug".to_owned()));
    let spec = AgentSpec::default().volumes(["vol-a", "vol-b"]).module(told);
    let site = Site::with_agents(1, &spec);
    let tasks = Tasks::connect(site.cluster());
    let task = tasks.launch(
        site.agent(0),
        Job::shell("sleep 600")
            .items("ebsvolumes", ["vol-b"])
            .items("ebsvolumes", ["vol-a"]),
    );
    running(&task);

    let agent = site.agent(0);
    agent.restart().unwrap();

    // update() carries the resources as a C++ class, not as a message; here they are, read by the isolator.
    let words = r#"set_resources=[("ebsvolumes", {"vol-a", "vol-b"})]"#;
    agent
        .wait_for_log(words, LIMIT)
        .unwrap_or_else(|error| panic!("{error}\n{}", site.cluster().report()));
    task.kill().unwrap();
    end(&task);
}

/// What the agent answers to a GET.
fn get(site: &Site, path: &str) -> String {
    let address = site.agent(0).address();
    let mut agent = TcpStream::connect(&address).expect("the agent listens");
    write!(agent, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").expect("the agent reads");
    let mut answer = String::new();
    agent.read_to_string(&mut answer).expect("the agent answers");
    answer
}

#[test]
fn a_driver_that_hangs_holds_up_its_own_container_and_not_the_agent() {
    let mut site = Site::start(1);
    let volume = site.volume("slow");
    let hang = FaultRule::new(Operation::Mount, Action::Hang).on(&volume);
    site.emulator().client().fault(&hang).unwrap();
    let tasks = Tasks::connect(site.cluster());
    let held_up = tasks.launch(site.agent(0), Job::shell("true").label("volume.data", &volume));
    let deadline = Instant::now() + LIMIT;
    while !site
        .events()
        .iter()
        .any(|event| event.operation == Some(Operation::Mount))
    {
        assert!(Instant::now() < deadline, "no Mount came\n{}", site.cluster().report());
        thread::sleep(Duration::from_millis(20));
    }

    tasks.finish(site.agent(0), Job::shell("true"));
    // Mesos tracks the promise that the module gave it.
    let pending = get(&site, "/containerizer/debug");
    assert!(pending.contains(&format!("{MODULE}::prepare")), "{pending}");
    assert_eq!(held_up.updates(), []);

    site.emulator().client().clear_faults(None).unwrap();
    finished(&held_up);
    let pending = get(&site, "/containerizer/debug");
    assert!(!pending.contains(&format!("{MODULE}::prepare")), "{pending}");
    site.wait_until_nothing_is_left();
}
