//! `scheduler serve` on a real master: the API, claims across frameworks, and one instance taking over from another.

mod agents;
mod logs;
mod lost_calls;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use testbed::{AgentSpec, Cluster, MasterSpec};

/// Nothing here takes half as long.
const LIMIT: Duration = Duration::from_secs(120);

struct Service {
    child: Child,
    address: String,
    http: ureq::Agent,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Service {
    fn start(cluster: &Cluster, folder: &Path, name: &str, arguments: &[&str]) -> Self {
        Self::start_with(&cluster.master().address(), folder, name, arguments)
    }

    /// With a master at this address.
    fn start_with(master: &str, folder: &Path, name: &str, arguments: &[&str]) -> Self {
        let file = folder.join(format!("{name}.address"));
        let output = |kind: &str| fs::File::create(folder.join(format!("{name}.{kind}"))).expect("the folder is ours");
        let child = Command::new(env!("CARGO_BIN_EXE_scheduler"))
            .args(["serve", "--state", "state", "--listen", "127.0.0.1:0"])
            .args(["--master", master])
            .arg("--address-file")
            .arg(&file)
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(output("out"))
            .stderr(output("err"))
            .spawn()
            .expect("the scheduler starts");
        let mut service = Self {
            child,
            address: String::new(),
            http: ureq::Agent::config_builder().http_status_as_error(false).build().into(),
        };
        wait("the API is served", || {
            let ended = service.child.try_wait().expect("it is ours");
            let err = || fs::read_to_string(folder.join(format!("{name}.err"))).unwrap_or_default();
            assert_eq!(ended, None, "{}", err());
            fs::read_to_string(&file).is_ok_and(|text| text.contains(':'))
        });
        service.address = fs::read_to_string(&file).expect("it was there just now");
        wait("it is subscribed", || service.get("/health").0 == 200);
        service
    }

    fn answer(mut response: ureq::http::Response<ureq::Body>) -> (u16, Value) {
        let text = response.body_mut().read_to_string().expect("the answer is text");
        let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        (response.status().as_u16(), value)
    }

    fn get(&self, path: &str) -> (u16, Value) {
        Self::answer(
            self.http
                .get(format!("http://{}{path}", self.address))
                .call()
                .expect("it answers"),
        )
    }

    fn post(&self, path: &str, body: &str) -> (u16, Value) {
        Self::answer(
            self.http
                .post(format!("http://{}{path}", self.address))
                .send(body)
                .expect("it answers"),
        )
    }

    /// Gives a job and begins a run.
    fn begin(&self, name: &str, text: &str) -> String {
        let (status, answer) = self.post("/v1/jobs", text);
        assert_eq!(status, 201, "{answer}");
        let (status, answer) = self.post(&format!("/v1/jobs/{name}/run"), "");
        assert_eq!(status, 202, "{answer}");
        answer["run"].as_str().expect("it has an id").to_owned()
    }

    fn status(&self, run: &str) -> String {
        self.get(&format!("/v1/runs/{run}")).1["status"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    fn wait_for(&self, run: &str, status: &str) {
        wait(&format!("{run} is {status}"), || self.status(run) == status);
    }

    fn why(&self, run: &str) -> String {
        self.get(&format!("/v1/runs/{run}/explain")).1.to_string()
    }
}

fn wait(what: &str, mut until: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !until() {
        assert!(begin.elapsed() < LIMIT, "it does not come to this: {what}");
        sleep(Duration::from_millis(30));
    }
}

fn cluster(agents: usize) -> (Cluster, tempfile::TempDir) {
    let agent = AgentSpec::default().volumes(["vol-1", "vol-2"]);
    let builder = (0..agents).fold(Cluster::builder(), |builder, _| builder.agent(agent.clone()));
    let cluster = builder.start().unwrap_or_else(|error| panic!("{error}"));
    (cluster, tempfile::tempdir().expect("there is room for a folder"))
}

fn held(name: &str, volume: &str, go: &Path) -> String {
    format!(
        "version: 1\nname: {name}\ntasks:\n  a: {{command: 'until [ -e {} ]; do sleep 0.05; done', volumes: {{v: {volume}}}}}\n",
        go.display()
    )
}

#[test]
fn jobs_are_given_run_explained_cancelled_and_removed() {
    let (cluster, folder) = cluster(2);
    let go = folder.path().join("go");
    let service = Service::start(&cluster, folder.path(), "one", &[]);
    let first = service.begin("first", &held("first", "vol-1", &go));
    service.wait_for(&first, "running");
    wait("its task runs", || service.why(&first).contains("TASK_RUNNING"));

    // The same volume for another job, on whatever agent: it waits, and says for whom.
    let second = service.begin(
        "second",
        &held("second", "vol-1", &go).replace("command", "priority: 5, command"),
    );
    wait("it is said who has the volume", || {
        service
            .why(&second)
            .contains("volume vol-1 is IN_USE by task first.1.a.1")
    });
    assert_eq!(service.post("/v1/jobs/first/run", "").0, 409);
    assert_eq!(service.post("/v1/jobs", &held("first", "vol-1", &go)).0, 409);
    let (status, answer) = service.post("/v1/jobs", "version: 1\nname: bad\ntasks: {}\n");
    assert_eq!(status, 422, "{answer}");
    assert_eq!(service.get("/v1/runs/none.1").0, 404);

    assert_eq!(service.post(&format!("/v1/runs/{first}/cancel"), "").0, 202);
    service.wait_for(&first, "failed");
    let (_, run) = service.get(&format!("/v1/runs/{first}"));
    assert!(
        run["message"].as_str().unwrap().contains("the run was cancelled"),
        "{run}"
    );
    fs::write(&go, "").unwrap();
    service.wait_for(&second, "finished");
    wait("the volume is free", || {
        service.get("/v1/claims").1["volumes"][0]["state"] == "FREE"
    });

    let (_, metrics) = service.get("/metrics");
    let metrics = metrics.as_str().unwrap();
    for line in [
        "scheduler_runs_finished_total 1",
        "scheduler_runs_failed_total 1",
        "scheduler_launches_total 2",
    ] {
        assert!(metrics.lines().any(|own| own == line), "{line} is not in\n{metrics}");
    }
    let (_, described) = service.get("/openapi.json");
    for path in described["paths"].as_object().unwrap().keys() {
        let path = path.replace("{name}", "second").replace("{id}", &second);
        let path = path.replace("{task}", "a").replace("{file}", "stderr");
        assert_ne!(service.get(&path).0, 404, "{path} is described and not there");
    }
    the_page_shows(&service, &first, &second);
    let deleted = service
        .http
        .delete(format!("http://{}/v1/jobs/second", service.address))
        .call()
        .unwrap();
    assert_eq!(deleted.status().as_u16(), 204);
    assert_eq!(service.get(&format!("/v1/runs/{second}")).0, 404);
    let from_elsewhere = service
        .http
        .post(format!("http://{}/v1/jobs/first/run", service.address))
        .header("origin", "http://elsewhere.example.org")
        .send("");
    assert_eq!(from_elsewhere.unwrap().status().as_u16(), 403);
}

/// Every page stands without a script, and says what there is.
fn the_page_shows(service: &Service, first: &str, second: &str) {
    let odd = "version: 1\nname: odd\ntasks:\n  a: {command: '<script>', volumes: {v: 'x<b>'}}\n";
    assert_eq!(service.post("/v1/jobs", odd).0, 201);
    let pages = [
        ("/", vec!["/jobs/first", "failed", "Run now"]),
        ("/jobs/odd", vec!["<svg", "&lt;script&gt;", "x&lt;b&gt;"]),
        (
            &format!("/runs/{first}"),
            vec!["the run was cancelled", "<svg", "TASK_KILLED"],
        ),
        (&format!("/runs/{second}"), vec!["finished", "vol-1", "Timeline"]),
        ("/volumes", vec!["vol-1", "FREE", "not asked"]),
        (
            "/volumes/vol-1",
            vec!["INTENT", "LAUNCHED", "IN USE", "RELEASING", "second.1.a.1"],
        ),
        ("/agents", vec!["vol-2", "2.0 GB", "No zone"]),
        ("/style.css", vec!["@media"]),
    ];
    for (path, words) in pages {
        let (status, page) = service.get(path);
        let page = page.as_str().expect("a page is no JSON");
        assert_eq!(status, 200, "{path}");
        assert!(!page.contains("<script"), "{path}: {page}");
        for word in words {
            assert!(page.contains(word), "{path} does not have '{word}': {page}");
        }
    }
    assert_eq!(service.get("/runs/none.1").0, 404);
}

#[test]
fn a_task_of_another_framework_keeps_its_volume() {
    let (cluster, folder) = cluster(2);
    let go = folder.path().join("go");
    let service = Service::start(&cluster, folder.path(), "one", &[]);
    fs::write(folder.path().join("other.yml"), held("other", "vol-2", &go)).unwrap();
    let mut other = Command::new(env!("CARGO_BIN_EXE_scheduler"))
        .args([
            "run",
            "other.yml",
            "--state",
            "other",
            "--master",
            &cluster.master().address(),
        ])
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait("the ledger sees it", || {
        let claims = service.get("/v1/claims").1.to_string();
        claims.contains("other.a.1") && claims.contains("IN_USE")
    });
    let run = service.begin("own", &held("own", "vol-2", &go));
    wait("it is said who has the volume", || {
        service.why(&run).contains("task other.a.1 of framework")
    });
    fs::write(&go, "").unwrap();
    assert_eq!(other.wait().unwrap().code(), Some(0));
    service.wait_for(&run, "finished");
}

#[test]
fn another_instance_takes_over_and_the_first_steps_back() {
    let (cluster, folder) = cluster(1);
    let (go, trace) = (folder.path().join("go"), folder.path().join("trace"));
    let mut first = Service::start(&cluster, folder.path(), "one", &[]);
    let job = held("kept", "vol-1", &go).replace("until", &format!("echo x >> {}; until", trace.display()));
    let run = first.begin("kept", &job);
    wait("its task runs", || first.why(&run).contains("TASK_RUNNING"));

    let second = Service::start(&cluster, folder.path(), "two", &["--take-over"]);
    wait("the first one has stepped back", || {
        first.child.try_wait().unwrap().is_some()
    });
    assert_eq!(first.child.wait().unwrap().code(), Some(3));
    assert!(
        fs::read_to_string(folder.path().join("one.err"))
            .unwrap()
            .contains("; this scheduler ends")
    );
    assert_eq!(second.status(&run), "running");

    // And by SIGKILL: what was on disk is all the next one needs.
    drop(second);
    let third = Service::start(&cluster, folder.path(), "three", &[]);
    fs::write(&go, "").unwrap();
    third.wait_for(&run, "finished");
    assert_eq!(fs::read_to_string(&trace).unwrap(), "x\n", "the task has run once");
}

/// The master loses an agent that is stopped: its task may still write, so no task gets its volume
/// on any agent until an operator has said that the agent is gone.
#[test]
fn the_volume_of_an_unreachable_task_is_not_given_away_until_the_agent_is_marked_gone() {
    let agent = AgentSpec::default().volumes(["vol-1"]);
    let cluster = Cluster::builder()
        .master(MasterSpec::default().pings(Duration::from_secs(1), 2))
        .agents(2, &agent)
        .start()
        .unwrap_or_else(|error| panic!("{error}"));
    let folder = tempfile::tempdir().unwrap();
    let go = folder.path().join("go");
    let service = Service::start(&cluster, folder.path(), "one", &["--release-alarm", "1"]);
    let first = service.begin("first", &held("first", "vol-1", &go));
    wait("its task runs", || service.why(&first).contains("TASK_RUNNING"));
    let (_, shown) = service.get(&format!("/v1/runs/{first}"));
    let id = shown["tasks"][0]["agent"]["id"].as_str().unwrap().to_owned();
    let stopped = cluster
        .agents()
        .iter()
        .find(|agent| agent.id().unwrap().as_str() == id)
        .unwrap();
    stopped.signal(testbed::Signal::STOP).unwrap();

    let volume = |service: &Service| service.get("/v1/claims").1["volumes"][0].to_string();
    wait("the claim is in doubt", || volume(&service).contains("SUSPECT"));
    let second = service.begin("second", &held("second", "vol-1", &go));
    fs::write(&go, "").unwrap();
    wait("it is said who has the volume", || {
        service
            .why(&second)
            .contains("volume vol-1 is SUSPECT by task first.1.a.1")
    });
    let said = || fs::read_to_string(folder.path().join("one.err")).unwrap();
    wait("the operator gets a line", || {
        said().contains("volume vol-1 has been SUSPECT for")
    });
    let (_, metrics) = service.get("/metrics");
    assert!(metrics.as_str().unwrap().contains("\nscheduler_claims_overdue 1\n"));
    assert_eq!(service.status(&second), "running");
    assert!(volume(&service).contains("first.1.a.1"));

    // A scheduler that comes back knows it too.
    drop(service);
    let service = Service::start(&cluster, folder.path(), "two", &[]);
    wait("the claim is still in doubt", || volume(&service).contains("SUSPECT"));
    assert!(!service.why(&second).contains("TASK_"), "{}", service.why(&second));

    let master: mesos_http::endpoint::Endpoint = cluster.master().address().parse().unwrap();
    mesos_http::operator::Master::new(master, Duration::from_secs(30))
        .mark_agent_gone(&id.as_str().into())
        .unwrap();
    service.wait_for(&second, "finished");
    let (_, shown) = service.get(&format!("/v1/runs/{second}"));
    assert_ne!(shown["tasks"][0]["agent"]["id"], id.as_str());
    assert_eq!(service.status(&first), "failed");
}

/// A master that lets only known frameworks in, and agents that keep their volumes for one role.
#[test]
fn a_principal_with_its_secret_is_let_in_and_a_role_gets_the_volumes_that_are_kept_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let credentials = folder.path().join("credentials.json");
    fs::write(
        &credentials,
        r#"{"credentials": [{"principal": "etl", "secret": "open sesame"}]}"#,
    )
    .unwrap();
    let master = MasterSpec::default()
        .flag("authenticate_http_frameworks", "true")
        .flag("http_framework_authenticators", "basic")
        .flag("credentials", credentials.display().to_string());
    let agent = AgentSpec::default().resources("cpus:4;mem:2048;ebsvolumes(etl):{vol-1}");
    let cluster = Cluster::builder()
        .master(master)
        .agent(agent)
        .start()
        .unwrap_or_else(|error| panic!("{error}"));
    fs::write(folder.path().join("secret"), "open sesame\n").unwrap();
    fs::write(folder.path().join("wrong"), "open barley\n").unwrap();
    let identity = ["--principal", "etl", "--secret-file", "secret"];

    let named = ["--principal", "etl", "--secret-file", "wrong"];
    for (wrong, expected) in [
        (&named[..], "rejects the principal 'etl': correct the secret"),
        (
            &[],
            "requires frameworks to authenticate: give --principal and --secret-file",
        ),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_scheduler"));
        command
            .args(["serve", "--state", "refused", "--listen", "127.0.0.1:0"])
            .args(["--master", &cluster.master().address()])
            .args(wrong)
            .current_dir(folder.path());
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains(expected), "{said}");
    }
    let service = Service::start(
        &cluster,
        folder.path(),
        "one",
        &[&identity[..], &["--role", "etl"]].concat(),
    );
    let go = folder.path().join("go");
    fs::write(&go, "").unwrap();
    let run = service.begin("kept", &held("kept", "vol-1", &go));
    service.wait_for(&run, "finished");
    drop(service);

    // Another role is not offered them.
    let other = folder.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::copy(folder.path().join("secret"), other.join("secret")).unwrap();
    let service = Service::start(&cluster, &other, "two", &[&identity[..], &["--role", "web"]].concat());
    let run = service.begin("other", &held("other", "vol-1", &go));
    wait("it is said why", || {
        service.why(&run).contains("it does not offer volume 'vol-1'")
    });
}
