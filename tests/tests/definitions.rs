//! One job in three spellings: Marathon's, dcos-commons', and a job file with a schedule. Each mounts the same volume.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use ebs_emulator::EventKind;
use testbed::{AgentSpec, Cluster, Job, built};
use tests::{Site, Tasks, eventually, module};

/// dcos-commons appends the pod's index to a volume's name.
const VOLUME: &str = "orders_0";

const MARATHON: &str = r#"{
  "id": "/orders/import",
  "cmd": "echo $FROM >> data/log && cat data/log",
  "cpus": 0.1, "mem": 32, "instances": 1,
  "env": {"FROM": "marathon"},
  "container": {"type": "MESOS", "volumes": [
    {"containerPath": "data", "mode": "RW",
     "external": {"name": "orders_0", "provider": "dvdi", "options": {"dvdi/driver": "ebs"}}}
  ]}
}"#;

const DCOS_COMMONS: &str = "name: orders
pods:
  import:
    count: 1
    external-volumes:
      stage: {type: DOCKER, driver-name: ebs, volume-name: orders, container-path: data}
    tasks:
      once:
        goal: FINISH
        cmd: 'echo $FROM >> data/log && cat data/log'
        cpus: 0.1
        memory: 32
        env: {FROM: dcos-commons}
";

const CRON: &str = "version: 1
name: orders-cron
schedule: '* * * * *'
tasks:
  import:
    command: echo $FROM >> data/log && cat data/log
    mem: 32
    environment: {FROM: cron}
    volumes: {data: {volume: orders_0, driver: ebs}}
";

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn program(name: &'static str) -> Command {
    Command::new(built(name, name).unwrap_or_else(|error| panic!("{error}")))
}

fn done(mut command: Command) -> Output {
    let output = command.stdin(Stdio::null()).output().expect("the program starts");
    assert!(output.status.success(), "{command:?}: {output:?}");
    output
}

/// Makes a job file of the definition and runs it.
fn run_converted(cluster: &Cluster, folder: &Path, framework: &str, definition: &str) {
    let file = |name: &str| folder.join(format!("{framework}{name}"));
    fs::write(file(""), definition).expect("the folder is ours");
    let mut convert = program("label-mapper");
    convert.args(["job-file", "--from", framework]).arg(file(""));
    fs::write(file(".yml"), done(convert).stdout).expect("the folder is ours");
    let mut run = program("scheduler");
    run.arg("run")
        .arg(file(".yml"))
        .args(["--master", &cluster.master().address(), "--state"])
        .arg(file(".state"));
    done(run);
}

/// Serves the job until its schedule has run it once.
fn run_by_schedule(cluster: &Cluster, folder: &Path) {
    let address = folder.join("address");
    let served = program("scheduler")
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--master",
            &cluster.master().address(),
        ])
        .arg("--state")
        .arg(folder.join("state"))
        .arg("--address-file")
        .arg(&address)
        .stdout(Stdio::null())
        .spawn()
        .expect("the scheduler starts");
    let _served = Killed(served);
    let address = eventually("the API is served", || {
        let address = fs::read_to_string(&address).map_err(|error| error.to_string())?;
        address
            .contains(':')
            .then_some(address)
            .ok_or_else(|| "no address".to_owned())
    });
    let created = ureq::post(format!("http://{address}/v1/jobs")).send(CRON);
    assert_eq!(created.expect("it is a good job").status().as_u16(), 201);
    eventually("its schedule has run it", || {
        let answer = ureq::get(format!("http://{address}/v1/runs/orders-cron.1")).call();
        let mut answer = answer.map_err(|error| error.to_string())?;
        let run = answer.body_mut().read_to_string().map_err(|error| error.to_string())?;
        let run: serde_json::Value = serde_json::from_str(&run).map_err(|error| error.to_string())?;
        (run["status"] == "finished")
            .then_some(())
            .ok_or_else(|| run.to_string())
    });
}

#[test]
fn a_job_mounts_the_same_volume_whether_marathon_dcos_commons_or_cron_describe_it() {
    let spec = AgentSpec::default().module(module()).volumes([VOLUME]);
    let site = Site::with_agents(1, &spec);
    let id = site.volume(VOLUME);
    let folder = tempfile::tempdir().expect("there is room for a folder");
    // Each finds the volume unmounted, or it would share the mount of the one before.
    for (framework, definition) in [("marathon", MARATHON), ("dcos-commons", DCOS_COMMONS)] {
        run_converted(site.cluster(), folder.path(), framework, definition);
        site.wait_until_nothing_is_left();
    }
    run_by_schedule(site.cluster(), folder.path());
    site.wait_until_nothing_is_left();

    let tasks = Tasks::connect(site.cluster());
    let expected = "[ \"$(head -n 3 data/log | tr '\\n' ' ')\" = 'marathon dcos-commons cron ' ]";
    tasks.finish(site.agent(0), Job::shell(expected).label("volume.data", VOLUME));
    site.wait_until_nothing_is_left();
    let mounts = site
        .events()
        .into_iter()
        .filter(|event| event.kind == EventKind::Mount && event.volume.as_deref() == Some(id.as_str()));
    // The schedule may have come round again meanwhile.
    assert!(mounts.count() >= 4);
}
