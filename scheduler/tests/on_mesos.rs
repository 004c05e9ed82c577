//! The scheduler on a real master with real agents. Volumes are claims only: no agent here has the isolator, which the
//! workspace's end-to-end tests are for.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use testbed::{AgentSpec, Cluster, MasterSpec};

/// Nothing here takes half as long.
const LIMIT: Duration = Duration::from_secs(120);

struct Site {
    cluster: Cluster,
    folder: tempfile::TempDir,
}

/// A scheduler that was started; killed if the test ends before it does.
struct Run {
    child: Child,
    folder: PathBuf,
}

impl Site {
    fn start(agents: &[AgentSpec]) -> Self {
        let builder = agents
            .iter()
            .fold(Cluster::builder(), |builder, agent| builder.agent(agent.clone()));
        let cluster = builder.start().unwrap_or_else(|error| panic!("{error}"));
        let folder = tempfile::tempdir().expect("there is room for a folder");
        Self { cluster, folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn scheduler(&self, job: &str, arguments: &[&str]) -> Run {
        let file = |name: &str| self.path().join(name);
        fs::write(file("job.yml"), job).expect("the folder is ours");
        let output = |name: &str| fs::File::create(file(name)).expect("the folder is ours");
        let child = Command::new(env!("CARGO_BIN_EXE_scheduler"))
            .args(["run", "job.yml", "--state", "state", "--report", "report.json"])
            .args(["--master", &self.cluster.master().address()])
            .args(arguments)
            .current_dir(self.path())
            .stdin(Stdio::null())
            .stdout(output("out"))
            .stderr(output("err"))
            .spawn()
            .expect("the scheduler starts");
        Run {
            child,
            folder: self.path().to_owned(),
        }
    }

    fn report(&self) -> Value {
        let text = fs::read_to_string(self.path().join("report.json")).expect("there is a report");
        serde_json::from_str(&text).expect("the report is JSON")
    }
}

impl Run {
    /// What is on stdout and stderr so far.
    fn said(&self) -> String {
        ["out", "err"]
            .map(|name| fs::read_to_string(self.folder.join(name)).unwrap_or_default())
            .concat()
    }

    fn wait_for(&mut self, what: &str) {
        let begin = Instant::now();
        while !self.said().contains(what) {
            assert!(begin.elapsed() < LIMIT, "'{what}' is not said:\n{}", self.said());
            sleep(Duration::from_millis(20));
        }
    }

    /// The exit code.
    fn end(mut self) -> Option<i32> {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the scheduler is ours") {
                return status.code();
            }
            assert!(begin.elapsed() < LIMIT, "the scheduler does not end:\n{}", self.said());
            sleep(Duration::from_millis(20));
        }
    }

    /// SIGKILL.
    fn kill(mut self) {
        self.child.kill().expect("the scheduler is ours");
        self.child.wait().expect("the scheduler is ours");
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn agent() -> AgentSpec {
    AgentSpec::default().volumes(["vol-1", "vol-2"])
}

fn task<'a>(report: &'a Value, name: &str) -> &'a Value {
    let tasks = report["tasks"].as_array().expect("tasks are a list");
    tasks
        .iter()
        .find(|task| task["name"] == name)
        .expect("the task is in the report")
}

fn time(task: &Value, state: &str) -> u64 {
    let times = task["times"].as_array().expect("times are a list");
    let change = times.iter().find(|change| change["state"] == state);
    change
        .and_then(|change| change["at_ms"].as_u64())
        .unwrap_or_else(|| panic!("{state} is not in {task}"))
}

#[test]
fn a_dag_runs_in_order_on_the_agents_it_asks_for() {
    let site = Site::start(&[agent(), agent()]);
    let job = "version: 1
name: dag
tasks:
  a: {command: 'test $SCHEDULER_TASK = a', volumes: {v: vol-1}}
  b: {command: [sh, -c, 'sleep 0.2'], after: a, volumes: {v: vol-1}, agent: {not-same-as: a}}
  c: {command: 'sleep 0.2', after: a, volumes: {v: vol-2}}
  d: {command: 'true', after: [b, c], agent: {same-as: b}}
";
    let run = site.scheduler(job, &[]);
    assert_eq!(run.end(), Some(0));
    let report = site.report();
    assert_eq!(report["status"], "finished");
    let (a, b, c, d) = (
        task(&report, "a"),
        task(&report, "b"),
        task(&report, "c"),
        task(&report, "d"),
    );
    assert_ne!(a["agent"]["id"], b["agent"]["id"]);
    assert_ne!(a["agent"]["address"], b["agent"]["address"]);
    assert_eq!(b["agent"]["id"], d["agent"]["id"]);
    for later in [b, c] {
        assert!(later["launched_ms"].as_u64() >= a["ready_ms"].as_u64());
        assert!(later["launched_ms"].as_u64().expect("it was launched") >= time(a, "TASK_FINISHED"));
        assert!(d["launched_ms"].as_u64().expect("it was launched") >= time(later, "TASK_FINISHED"));
    }
    let listed = a["volumes"][0].clone();
    assert_eq!((&listed["slot"], &listed["id"]), (&"v".into(), &"vol-1".into()));

    // The same state again: nothing is left to do, and nothing is done.
    let again = site.scheduler(job, &[]);
    assert_eq!(again.end(), Some(0));
    assert_eq!(site.report()["tasks"], report["tasks"]);
}

#[test]
fn a_failing_task_ends_the_job_with_code_1_and_the_names_of_what_it_blocks() {
    let site = Site::start(&[agent()]);
    let job = "version: 1
name: bad
tasks:
  a: {command: 'echo why >&2; exit 3'}
  b: {command: 'true', after: a}
  c: {command: sleep 0.5}
";
    let run = site.scheduler(job, &["--json"]);
    let said = |run: &Run| run.said();
    let mut run = run;
    run.wait_for("\"event\":\"ended\"");
    let text = said(&run);
    assert_eq!(run.end(), Some(1));
    for line in text.lines().filter(|line| line.starts_with('{')) {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert!(event["at_ms"].as_u64() > Some(1_500_000_000_000), "{line}");
    }
    let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let output = events.filter_map(|event| Some(event["output"].as_str()?.to_owned()));
    let output: Vec<String> = output.collect();
    let [output] = output.as_slice() else {
        panic!("one task has failed: {output:?}")
    };
    let work_dir = site.cluster.agent(0).work_dir();
    let sandbox = output
        .split_once("WORK_DIR/")
        .and_then(|(_, rest)| rest.split_once(" on "))
        .map(|(path, _)| work_dir.join(path))
        .unwrap_or_else(|| panic!("no path is in '{output}'"));
    // The executor writes there too.
    let stderr = fs::read_to_string(sandbox.join("stderr")).expect("the sandbox is there");
    assert!(stderr.lines().any(|line| line == "why"), "{stderr}");
    let error = fs::read_to_string(site.path().join("err")).unwrap();
    assert!(
        error.contains("task 'a' (bad.a.1) on agent") && error.contains("TASK_FAILED"),
        "{error}"
    );
    assert!(error.contains("not started because of that: b"), "{error}");
    let report = site.report();
    assert_eq!(report["status"], "failed");
    assert_eq!(
        task(&report, "c")["standing"],
        "finished",
        "what does not depend on it goes on"
    );
    assert_eq!(task(&report, "b")["standing"], "waiting");
}

#[test]
fn the_cause_of_a_failure_is_printed_once_and_the_end_names_the_task() {
    let site = Site::start(&[agent()]);
    let job = "version: 1\nname: bad\ntasks:\n  a: {command: exit 3}\n  b: {command: 'true', after: a}\n";
    let mut run = site.scheduler(job, &[]);
    run.wait_for("not started because of that: b");
    let said = run.said();
    assert_eq!(run.end(), Some(1));
    assert_eq!(said.matches("exited with status 3").count(), 1, "{said}");
    assert!(
        said.contains("; its output is in stdout and stderr of WORK_DIR/slaves/"),
        "{said}"
    );
    assert!(said.contains("scheduler: the job has failed: a\n"), "{said}");

    // Another process only knows the state: it says why.
    let again = site.scheduler(job, &[]);
    assert_eq!(again.end(), Some(1));
    let error = fs::read_to_string(site.path().join("err")).unwrap();
    assert!(
        error.contains("task 'a' (bad.a.1) on agent") && error.contains("exited with status 3"),
        "{error}"
    );
}

#[test]
fn a_master_that_asks_for_credentials_names_the_options_and_the_principal() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let credentials = folder.path().join("credentials");
    fs::write(
        &credentials,
        r#"{"credentials": [{"principal": "etl", "secret": "right"}]}"#,
    )
    .expect("the folder is ours");
    let master = MasterSpec::default()
        .flag("authenticate_http_frameworks", "true")
        .flag("http_framework_authenticators", "basic")
        .flag("credentials", credentials.display().to_string());
    let cluster = Cluster::builder()
        .master(master)
        .start()
        .unwrap_or_else(|error| panic!("{error}"));
    let site = Site { cluster, folder };
    let secret = |text: &str| {
        let path = site.path().join("secret");
        fs::write(&path, text).expect("the folder is ours");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("the folder is ours");
    };
    let refused = |arguments: &[&str]| {
        let run = site.scheduler("version: 1\nname: j\ntasks:\n  a: {command: 'true'}\n", arguments);
        assert_eq!(run.end(), Some(3));
        fs::read_to_string(site.path().join("err")).expect("the folder is ours")
    };
    let error = refused(&[]);
    assert!(
        error.contains("requires frameworks to authenticate: give --principal and --secret-file"),
        "{error}"
    );
    assert_eq!(error.lines().count(), 1, "{error}");
    secret("wrong");
    let error = refused(&["--principal", "etl", "--secret-file", "secret"]);
    assert!(
        error.contains("rejects the principal 'etl': correct the secret"),
        "{error}"
    );
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn a_killed_scheduler_is_taken_over_and_no_task_runs_twice() {
    let site = Site::start(&[agent()]);
    let trace = site.path().join("trace");
    let go = site.path().join("go");
    let trace = trace.display();
    let job = format!(
        "version: 1
name: killed
tasks:
  a: {{command: 'echo a >> {trace}; until [ -e {} ]; do sleep 0.05; done', volumes: {{v: vol-1}}}}
  b: {{command: 'echo b >> {trace}', after: a, volumes: {{v: vol-1}}}}
",
        go.display()
    );
    let mut first = site.scheduler(&job, &[]);
    first.wait_for("a: TASK_RUNNING");
    // Another one is refused while the first one lives.
    let second = site.scheduler(&job, &[]);
    assert_eq!(second.end(), Some(2));
    assert!(
        fs::read_to_string(site.path().join("err"))
            .unwrap()
            .contains("in use by another scheduler")
    );
    first.kill();

    let mut third = site.scheduler(&job, &[]);
    third.wait_for("subscribed as framework");
    fs::write(&go, "").unwrap();
    assert_eq!(third.end(), Some(0));
    assert_eq!(fs::read_to_string(site.path().join("trace")).unwrap(), "a\nb\n");
    let report = site.report();
    for name in ["a", "b"] {
        assert_eq!(
            task(&report, name)["attempts"].as_array().map(Vec::len),
            Some(1),
            "{report}"
        );
    }
}

#[test]
fn a_task_survives_the_death_of_its_agent() {
    let site = Site::start(&[agent()]);
    let go = site.path().join("go");
    let job = format!(
        "version: 1\nname: agent\ntasks:\n  a: {{command: 'until [ -e {} ]; do sleep 0.05; done', volumes: {{v: vol-1}}}}\n",
        go.display()
    );
    let mut run = site.scheduler(&job, &[]);
    run.wait_for("a: TASK_RUNNING");
    site.cluster.agent(0).kill().unwrap();
    site.cluster.agent(0).restart().unwrap();
    fs::write(&go, "").unwrap();
    assert_eq!(run.end(), Some(0));
}

#[test]
fn one_volume_has_one_task_at_a_time_on_all_agents() {
    let site = Site::start(&[agent(), agent()]);
    let tasks: String = (0..6)
        .map(|n| format!("  t{n}: {{command: 'sleep 0.1', volumes: {{v: vol-1}}}}\n"))
        .collect();
    let run = site.scheduler(&format!("version: 1\nname: queue\ntasks:\n{tasks}"), &[]);
    assert_eq!(run.end(), Some(0));
    let report = site.report();
    let mut spans: Vec<(u64, u64)> = (0..6)
        .map(|n| task(&report, &format!("t{n}")))
        .map(|task| {
            (
                task["launched_ms"].as_u64().expect("it was launched"),
                time(task, "TASK_FINISHED"),
            )
        })
        .collect();
    spans.sort_unstable();
    for pair in spans.windows(2) {
        assert!(
            pair[0].1 <= pair[1].0,
            "one begins before the other has ended: {spans:?}"
        );
    }
}

#[test]
fn a_job_whose_volume_is_elsewhere_waits_and_says_why() {
    let site = Site::start(&[agent().zone("zone-b"), AgentSpec::default().zone("zone-a")]);
    let catalogue = r#"{"Volumes": [{"VolumeId": "vol-1", "AvailabilityZone": "zone-a", "State": "available",
        "Tags": [{"Key": "Name", "Value": "orders"}]}]}"#;
    fs::write(site.path().join("volumes.json"), catalogue).unwrap();
    let job = "version: 1\nname: far\ntasks:\n  a: {command: 'true', volumes: {v: orders}}\n";
    let mut run = site.scheduler(job, &["--catalogue", "volumes.json"]);
    run.wait_for("a: waiting for");
    let said = run.said();
    assert!(
        said.contains("it is in zone zone-b, and the volumes are in zone-a"),
        "{said}"
    );
    assert!(
        said.contains("it does not offer volume 'orders' (vol-1 in ebsvolumes)"),
        "{said}"
    );
    run.kill();
}

#[test]
fn retries_timeouts_and_notifications_work_on_a_real_agent() {
    let site = Site::start(&[agent()]);
    let (trace, notice) = (site.path().join("trace"), site.path().join("notice"));
    let job = format!(
        "version: 1
name: again
notify:
  success: {{command: 'exit 1'}}
  failure: [{{command: 'cat > {notice}'}}, {{command: 'echo no >&2; exit 7'}}]
tasks:
  flaky: {{command: 'echo x >> {trace}; [ $(wc -l < {trace}) = 3 ]', retries: 3, retry-pause: 100ms}}
  slow: {{command: sleep 300, timeout: 1s}}
  later: {{command: 'true', after: slow}}
  last: {{command: 'true', after: [later, flaky]}}
",
        trace = trace.display(),
        notice = notice.display()
    );
    let mut run = site.scheduler(&job, &[]);
    run.wait_for("the notification by 'echo no >&2; exit 7' failed: exit status: 7: no");
    assert_eq!(run.end(), Some(1));
    let report = site.report();
    assert_eq!(
        task(&report, "flaky")["attempts"].as_array().map(Vec::len),
        Some(3),
        "{report}"
    );
    assert_eq!(
        task(&report, "slow")["reason"],
        "REASON_MAX_COMPLETION_TIME_REACHED",
        "{report}"
    );
    let notice: Value = serde_json::from_str(&fs::read_to_string(notice).unwrap()).unwrap();
    assert_eq!((&notice["status"], &notice["job"]), (&"failed".into(), &"again".into()));
    assert_eq!(notice["failures"][0]["task"], "slow");
    assert_eq!(notice["failures"][0]["blocks"], serde_json::json!(["last", "later"]));
}

#[test]
fn claims_are_rebuilt_from_what_the_master_and_the_storage_say() {
    let site = Site::start(&[agent()]);
    let go = site.path().join("go");
    let job = format!(
        "version: 1
name: claims
tasks:
  first: {{command: 'true', volumes: {{v: vol-2}}}}
  second: {{command: 'until [ -e {} ]; do sleep 0.05; done', after: first, volumes: {{v: vol-1}}}}
",
        go.display()
    );
    let mut run = site.scheduler(&job, &[]);
    run.wait_for("second: TASK_RUNNING");
    let rebuild = |listing: &str| -> Value {
        fs::write(site.path().join("listing.json"), listing).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_scheduler"))
            .args([
                "claims",
                "rebuild",
                "--json",
                "--catalogue",
                "listing.json",
                "--state",
                "claims",
            ])
            .args(["--master", &site.cluster.master().address()])
            .current_dir(site.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let volume = |id: &str, attached: bool| {
        let attachments = match attached {
            true => r#"[{"InstanceId": "i-1", "State": "attached"}]"#,
            false => "[]",
        };
        format!(
            r#"{{"VolumeId": "{id}", "AvailabilityZone": "za", "State": "available", "Attachments": {attachments}}}"#
        )
    };
    let listing = |second: bool| {
        let volumes = [volume("vol-1", true), volume("vol-2", second), volume("vol-3", false)];
        format!(r#"{{"Volumes": [{}]}}"#, volumes.join(","))
    };
    let states = |claims: &Value| -> Vec<String> {
        let volumes = claims.as_array().unwrap().iter();
        volumes
            .map(|volume| volume["state"].as_str().unwrap().to_owned())
            .collect()
    };
    let claims = rebuild(&listing(true));
    assert_eq!(states(&claims), ["IN_USE", "RELEASING", "FREE"], "{claims}");
    assert_eq!(claims[0]["claims"][0]["holder"]["task"], "claims.second.1");
    assert_eq!(claims[1]["claims"][0]["holder"]["task"], "claims.first.1");

    // A listing of now in which it is detached: it is free.
    sleep(Duration::from_millis(20));
    assert_eq!(states(&rebuild(&listing(false))), ["IN_USE", "FREE", "FREE"]);
    // A master that forgets is no proof.
    fs::write(&go, "").unwrap();
    assert_eq!(run.end(), Some(0));
    let shown = Command::new(env!("CARGO_BIN_EXE_scheduler"))
        .args(["claims", "ls", "--state", "claims"])
        .current_dir(site.path())
        .output()
        .unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("IN_USE") && shown.contains("claims.second.1"), "{shown}");
}
