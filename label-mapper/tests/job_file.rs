//! Definitions as job files of the scheduler.

use label_mapper::{Framework, job_file};

#[test]
fn a_marathon_app_becomes_a_task_with_its_volumes() {
    let app = r#"{
        "id": "/etl/orders", "cmd": "./import \"all\"", "user": "etl", "cpus": 0.5, "mem": 64, "instances": 2,
        "env": {"SOURCE": "a: b", "N": 1, "KEY": {"secret": "x"}},
        "labels": {"team": "etl", "volume.in": "orders", "volume.in.mode": "ro"},
        "constraints": [["zone", "CLUSTER", "us-east-1a"], ["hostname", "UNIQUE"]],
        "container": {"type": "MESOS", "docker": {"image": "etl:1"}, "volumes": [
            {"containerPath": "/var/out", "mode": "RW", "external": {"name": "clean", "provider": "dvdi",
             "options": {"dvdi/driver": "rexray", "dvdi/size": "5"}}}]},
        "healthChecks": []
    }"#;
    let made = job_file(Framework::Marathon, app).unwrap();
    let expected = r#"version: 1
name: "etl-orders"
tasks:
  "etl-orders":
    command: "./import \"all\""
    cpus: 0.5
    mem: 64
    user: "etl"
    instances: 2
    environment:
      "N": "1"
      "SOURCE": "a: b"
    agent:
      attributes:
        "zone": "us-east-1a"
    volumes:
      "in": {"mode":"ro","volume":"orders"}
      "out": {"create":"if-missing","driver":"rexray","options":{"size":"5"},"path":"/var/out","volume":"clean"}
"#;
    assert_eq!(made.text, expected);
    assert_eq!(
        made.notes,
        [
            "etl-orders: the variable 'KEY' is a secret or no text, and is left out",
            "etl-orders: its constraint [\"hostname\",\"UNIQUE\"] is left out",
            "etl-orders: its image \"etl:1\" is left out: a job's commands run on the agent",
            "etl-orders: left out: healthChecks",
        ]
    );
}

#[test]
fn a_service_of_dcos_commons_becomes_its_pods_tasks_one_after_the_other() {
    let service = "name: hello
pods:
  world:
    count: 2
    user: nobody
    external-volumes:
      v: {type: DOCKER, driver-name: rexray, volume-name: orders, container-path: data, volume-mode: RO}
    tasks:
      first: {goal: ONCE, cmd: ./first, cpus: 0.2, memory: 32, env: {A: b}}
      second: {goal: FINISH, cmd: ./second, cpus: 0.1, memory: 16}
";
    let made = job_file(Framework::DcosCommons, service).unwrap();
    let volume = r#"{"create":"if-missing","driver":"rexray","mode":"ro","path":"data","volume":"orders_{i}"}"#;
    let volume = volume.replace(r#""path":"data","#, "");
    let expected = format!(
        r#"version: 1
name: "hello"
tasks:
  "world-first":
    command: "./first"
    cpus: 0.2
    mem: 32
    user: "nobody"
    instances: 2
    environment:
      "A": "b"
    volumes:
      "data": {volume}
  "world-second":
    command: "./second"
    cpus: 0.1
    mem: 16
    user: "nobody"
    after: "world-first"
    instances: 2
    volumes:
      "data": {volume}
"#
    );
    assert_eq!(made.text, expected);
    assert_eq!(
        made.notes,
        ["world-second: it begins when all instances of the task before it are finished"]
    );
}

#[test]
fn what_a_job_file_cannot_say_is_refused() {
    let error = |framework, text: &str| job_file(framework, text).unwrap_err().to_string();
    let pod = r#"{"id": "/p", "containers": [{"name": "c"}]}"#;
    assert!(error(Framework::Marathon, pod).contains("'/p' is a pod"));
    assert!(error(Framework::Marathon, r#"{"id": "/a"}"#).contains("neither 'cmd' nor 'args'"));
    assert!(error(Framework::Cook, "[]").contains("Marathon's and dcos-commons'"));
    let template = "name: x\npods:\n  a:\n    count: {{COUNT}}\n";
    assert!(error(Framework::DcosCommons, template).contains("fill it in first"));
}
