//! Agents that go away on a real master: back under another id, and drained. What `explain` tells an operator to do is done
//! here, word by word.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output};
use std::time::Duration;

use serde_json::json;
use testbed::{Agent, AgentSpec, Cluster};

use super::{Service, cluster, held, wait};

/// What an operator does who has changed an agent's resources: the agent starts with a new id, and
/// does not know the tasks that it ran.
fn comes_back_under_another_id(agent: &Agent) {
    let old = agent.id().expect("the agent is registered");
    agent.terminate().expect("the agent ends");
    fs::remove_file(agent.work_dir().join("meta/slaves/latest")).expect("the agent keeps its state there");
    agent.start().expect("the agent starts");
    agent
        .wait_registered(Duration::from_secs(60))
        .expect("the master takes it");
    assert_ne!(agent.id().expect("the agent is registered"), old);
}

fn declare_dead(folder: &Path, task: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_scheduler"))
        .args(["declare-dead", "--state", "state", task])
        .current_dir(folder)
        .output()
        .expect("the command starts")
}

/// The command line that a text names.
fn named_command(text: &str) -> String {
    let begin = text.find("scheduler declare-dead").expect("a command is named");
    let end = text[begin..]
        .find(['"', '\n', ';'])
        .map_or(text.len(), |end| begin + end);
    text[begin..end].to_owned()
}

fn list(folder: &Path, hosts: &[&str]) {
    let attachments: Vec<_> = hosts
        .iter()
        .map(|host| json!({"InstanceId": host, "State": "attached"}))
        .collect();
    let state = if hosts.is_empty() { "available" } else { "in-use" };
    let volume = json!({"VolumeId": "vol-1", "AvailabilityZone": "za", "State": state, "Attachments": attachments});
    let file = folder.join("listing.new");
    fs::write(&file, json!({ "Volumes": [volume] }).to_string()).expect("the folder is ours");
    fs::rename(file, folder.join("listing.json")).expect("the folder is ours");
}

#[test]
fn a_task_whose_agent_is_back_under_another_id_ends_when_the_storage_has_detached_its_volume() {
    let agent = AgentSpec::default().volumes(["vol-1"]).attribute("instance_id", "i-1");
    let cluster = Cluster::builder()
        .agent(agent)
        .start()
        .unwrap_or_else(|error| panic!("{error}"));
    let folder = tempfile::tempdir().unwrap();
    let go = folder.path().join("go");
    list(folder.path(), &[]);
    let arguments = ["--catalogue", "listing.json", "--catalogue-every", "0.2"];
    let service = Service::start(&cluster, folder.path(), "one", &arguments);
    let run = service.begin("first", &held("first", "vol-1", &go));
    wait("its task runs", || service.why(&run).contains("TASK_RUNNING"));
    list(folder.path(), &["i-1"]);

    comes_back_under_another_id(cluster.agent(0));
    wait("it is said what ends the task", || {
        let why = service.why(&run);
        why.contains("which may be back under another id")
            && why.contains("it ends by itself when the storage lists vol-1")
    });
    assert_eq!(
        service.post("/v1/jobs/first/run", "").0,
        409,
        "the volume is attached, and the task may run"
    );
    assert_eq!(service.status(&run), "running");

    fs::write(&go, "").unwrap();
    list(folder.path(), &[]);
    service.wait_for(&run, "failed");
    let (_, shown) = service.get(&format!("/v1/runs/{run}"));
    let message = shown["tasks"][0]["message"].as_str().unwrap();
    assert!(message.contains("the storage has detached vol-1"), "{message}");
    let (status, answer) = service.post("/v1/jobs/first/run", "");
    assert_eq!(status, 202, "{answer}");
    service.wait_for("first.2", "finished");
}

#[test]
fn a_task_whose_agent_is_back_under_another_id_ends_when_an_operator_declares_it_dead() {
    let (cluster, folder) = cluster(1);
    let go = folder.path().join("go");
    let service = Service::start(&cluster, folder.path(), "one", &[]);
    let run = service.begin("first", &held("first", "vol-1", &go));
    wait("its task runs", || service.why(&run).contains("TASK_RUNNING"));
    let refused = declare_dead(folder.path(), "first.1.a.1");
    assert_eq!(refused.status.code(), Some(2), "its agent can be reached");

    comes_back_under_another_id(cluster.agent(0));
    wait("the remedy is named", || {
        service.why(&run).contains("scheduler declare-dead")
    });
    assert_eq!(
        named_command(&service.why(&run)),
        "scheduler declare-dead --state DIR first.1.a.1"
    );
    let second = service.begin("second", &held("second", "vol-1", &go));
    wait("the volume is not given away", || {
        service.why(&second).contains("SUSPECT by task first.1.a.1")
    });

    // Another scheduler has the folder by the time it is declared, and another one after that.
    drop(service);
    let service = Service::start(&cluster, folder.path(), "two", &[]);
    wait("the task is in doubt again", || {
        service.why(&run).contains("scheduler declare-dead")
    });
    let declared = declare_dead(folder.path(), "first.1.a.1");
    assert!(declared.status.success(), "{declared:?}");
    service.wait_for(&run, "failed");
    let (status, answer) = service.post("/v1/tasks/first.1.a.1/declare-dead", "");
    assert!([404, 409].contains(&status), "it has ended: {answer}");
    fs::write(&go, "").unwrap();
    service.wait_for(&second, "finished");
    drop(service);
    let service = Service::start(&cluster, folder.path(), "three", &[]);
    assert_eq!(service.status(&run), "failed");
    assert_eq!(service.post("/v1/jobs/first/run", "").0, 202);
    service.wait_for("first.2", "finished");
}

fn run_job(cluster: &Cluster, folder: &Path) -> Child {
    let output = |kind: &str| {
        let mut file = fs::File::options();
        file.create(true)
            .append(true)
            .open(folder.join(kind))
            .expect("the folder is ours")
    };
    Command::new(env!("CARGO_BIN_EXE_scheduler"))
        .args([
            "run",
            "job.yml",
            "--state",
            "state",
            "--master",
            &cluster.master().address(),
        ])
        .current_dir(folder)
        .stdout(output("out"))
        .stderr(output("err"))
        .spawn()
        .expect("the scheduler starts")
}

#[test]
fn a_run_by_command_ends_when_an_operator_declares_its_task_dead_also_while_no_scheduler_runs() {
    for scheduler_runs in [true, false] {
        let (cluster, folder) = cluster(1);
        let job = held("job", "vol-1", &folder.path().join("go"));
        fs::write(folder.path().join("job.yml"), job).unwrap();
        let mut child = run_job(&cluster, folder.path());
        let said = || {
            let text = |kind: &str| fs::read_to_string(folder.path().join(kind)).unwrap_or_default();
            text("out") + &text("err")
        };
        wait("its task runs", || said().contains("a: TASK_RUNNING"));
        comes_back_under_another_id(cluster.agent(0));
        wait("the remedy is named", || said().contains("scheduler declare-dead"));
        assert_eq!(named_command(&said()), "scheduler declare-dead --state DIR job.a.1");
        if !scheduler_runs {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let declared = declare_dead(folder.path(), "job.a.1");
        assert!(declared.status.success(), "{declared:?}");
        if !scheduler_runs {
            child = run_job(&cluster, folder.path());
        }
        let mut code = None;
        wait("the scheduler ends", || {
            code = child.try_wait().unwrap().map(|status| status.code());
            code.is_some()
        });
        assert_eq!(code, Some(Some(1)), "{}", said());
        assert!(said().contains("an operator has declared it dead"), "{}", said());
    }
}

#[test]
fn a_task_whose_agent_is_drained_goes_on_with_its_volume_on_another_agent() {
    let (cluster, folder) = cluster(2);
    let go = folder.path().join("go");
    let service = Service::start(&cluster, folder.path(), "one", &[]);
    let run = service.begin("first", &held("first", "vol-1", &go));
    wait("its task runs", || service.why(&run).contains("TASK_RUNNING"));
    let (_, shown) = service.get(&format!("/v1/runs/{run}"));
    let agent = shown["tasks"][0]["agent"]["id"].clone();

    let master: mesos_http::endpoint::Endpoint = cluster.master().address().parse().unwrap();
    mesos_http::operator::Master::new(master, Duration::from_secs(30))
        .call("DRAIN_AGENT", Some(json!({"agent_id": {"value": agent}})))
        .unwrap();
    let task = || service.get(&format!("/v1/runs/{run}")).1["tasks"][0].clone();
    wait("it runs again", || {
        task()["id"] == "first.1.a.2" && task()["status"] == "TASK_RUNNING"
    });
    assert_ne!(task()["agent"]["id"], agent);
    assert_eq!(task()["attempts"][0]["reason"], "REASON_AGENT_DRAINING");
    fs::write(&go, "").unwrap();
    service.wait_for(&run, "finished");
}

#[test]
fn a_schedule_is_paused_and_resumed_by_the_api_and_a_pause_survives_a_restart() {
    let (cluster, folder) = cluster(1);
    let service = Service::start(&cluster, folder.path(), "one", &[]);
    let file =
        |name: &str, schedule: &str| format!("version: 1\nname: {name}\n{schedule}tasks:\n  a: {{command: 'true'}}\n");
    assert_eq!(
        service
            .post("/v1/jobs", &file("yearly", "schedule: '@yearly Europe/Zurich'\n"))
            .0,
        201
    );
    assert_eq!(service.post("/v1/jobs", &file("plain", "")).0, 201);
    let job = |service: &Service| service.get("/v1/jobs/yearly").1;
    let next = job(&service)["next_ms"].clone();
    assert!(next.is_u64(), "{next}");
    assert_eq!(service.post("/v1/jobs/yearly/pause", "").0, 204);
    drop(service);
    let service = Service::start(&cluster, folder.path(), "two", &[]);
    assert_eq!(
        (job(&service)["paused"].clone(), job(&service)["next_ms"].clone()),
        (json!(true), json!(null))
    );
    assert_eq!(service.post("/v1/jobs/yearly/resume", "").0, 204);
    assert_eq!(
        (job(&service)["paused"].clone(), job(&service)["next_ms"].clone()),
        (json!(false), next)
    );
    assert_eq!(service.post("/v1/jobs/plain/pause", "").0, 409);
    assert_eq!(service.post("/v1/jobs/nothing/resume", "").0, 404);
    assert_eq!(service.post("/v1/tasks/nothing.1.a.1/declare-dead", "").0, 404);
    let (_, document) = service.get("/openapi.json");
    for path in [
        "/v1/jobs/{name}/pause",
        "/v1/jobs/{name}/resume",
        "/v1/tasks/{id}/declare-dead",
    ] {
        assert!(document["paths"][path]["post"].is_object(), "{path}");
    }
}
