//! `mesos-volumes doctor` at real agents: nothing to say of a good one, and each fault named with what to do about it.

use std::collections::BTreeMap;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output};
use std::time::Duration;

use serde_json::Value;
use testbed::{Agent, AgentSpec, Cluster, Image, Job, Pod, built};
use tests::{DRIVER, Site, Tasks, eventually, finished, module, with_docker_volume_isolator};

fn doctor(url: &str, more: &[&str]) -> Output {
    let program = built("mesos-volumes", "mesos-volumes").unwrap_or_else(|error| panic!("{error}"));
    let mut command = Command::new(program);
    command.args(["doctor", "--agent-url", url]).args(more);
    command.output().expect("the program runs")
}

/// The exit code, and of each check that is not well its state and what was found; of several the worst.
fn diagnosed(agent: &Agent) -> (Option<i32>, BTreeMap<String, (String, String)>) {
    let output = doctor(&agent.url(), &["--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut ill: BTreeMap<String, (String, String)> = BTreeMap::new();
    for check in report["checks"].as_array().into_iter().flatten() {
        let state = text(&check["state"]);
        assert_eq!(
            state == "ok",
            check["mend"].is_null(),
            "only what is ill can be mended: {check}"
        );
        let known = ill
            .get(&text(&check["check"]))
            .is_some_and(|(known, _)| known == "fail");
        if state != "ok" && !known {
            ill.insert(text(&check["check"]), (state, text(&check["found"])));
        }
    }
    (output.status.code(), ill)
}

fn names(ill: &BTreeMap<String, (String, String)>, state: &str) -> Vec<String> {
    let ill = ill.iter().filter(|(_, (found, _))| found == state);
    ill.map(|(check, _)| check.clone()).collect()
}

#[test]
fn a_good_agent_is_well_until_its_driver_is_not() {
    let module = module()
        .parameter("mount_bases", "{agent}/base")
        // The emulator has no time limit of its own, and its name is one of those of REX-Ray.
        .parameter("drivers", r#"{"profiles": {"ebs": {"own_limit": 300}}}"#);
    let mut site = Site::with_agents(1, &AgentSpec::default().module(module));
    let (code, ill) = diagnosed(site.agent(0));
    assert_eq!((code, &ill), (Some(0), &BTreeMap::new()));
    let output = doctor(&site.agent(0).url(), &[]);
    let text = String::from_utf8_lossy(&output.stdout);
    for words in [
        "ok    agent",
        "runs Mesos 1.11.0",
        "'ebs' answers",
        "checks: 0 failed, 0 with a warning",
    ] {
        assert!(text.contains(words), "'{words}' is not in:\n{text}");
    }

    let socket = site.agent(0).drivers().join(format!("{DRIVER}.sock"));
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
    let (code, ill) = diagnosed(site.agent(0));
    assert_eq!((code, names(&ill, "fail")), (Some(1), vec!["driver".to_owned()]));
    assert!(ill["driver"].1.contains("ebs"), "{ill:?}");

    fs::set_permissions(&socket, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(diagnosed(site.agent(0)).0, Some(0));
    site.emulator().kill().unwrap();
    let (code, ill) = diagnosed(site.agent(0));
    assert_eq!((code, names(&ill, "fail")), (Some(1), vec!["driver".to_owned()]));
    site.emulator().restart().unwrap();
}

#[test]
fn a_driver_that_gives_up_before_the_module_does_is_named_with_the_setting_to_change() {
    let drivers = r#"{"profiles": {"ebs": {"timeouts": {"create": 60, "remove": 60, "unmount": 60}}}}"#;
    let module = module()
        .parameter("mount_bases", "{agent}/base")
        .parameter("drivers", drivers);
    let site = Site::with_agents(1, &AgentSpec::default().module(module));
    let (code, ill) = diagnosed(site.agent(0));
    assert_eq!((code, names(&ill, "warn")), (Some(0), vec!["time limits".to_owned()]));
    assert!(
        ill["time limits"].1.contains("'ebs' (mount 300 s)") && ill["time limits"].1.contains("(60 s)"),
        "{ill:?}"
    );
    let output = doctor(&site.agent(0).url(), &[]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("raise libstorage.server.tasks.exeTimeout"), "{text}");
}

#[test]
fn every_fault_of_a_misconfigured_agent_is_named_at_once() {
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.json");
    fs::write(&policy, "{\n\"version\": 1,\n\"default\": \"maybe\"}").unwrap();
    let module = module()
        .parameter("state_dir", memory.path().display().to_string())
        .parameter("policy", policy.display().to_string())
        .parameter("require_claim", "true")
        .parameter("sandbox_directory", "/sandbox")
        .parameter("audit_log", "/nonexistent/audit.jsonl");
    let module = testbed::Module {
        parameters: last_of_each(module.parameters),
        ..module
    };
    let spec = AgentSpec::default()
        .module(module)
        .executor_registration_timeout(Duration::from_secs(30))
        // Loads the module and does not use it.
        .flag("isolation", "filesystem/posix")
        .flag("launcher", "posix");
    let cluster = Cluster::builder()
        .agent(spec)
        .start()
        .unwrap_or_else(|error| panic!("{error}"));
    let (code, ill) = diagnosed(cluster.agent(0));
    assert_eq!(code, Some(1));
    assert_eq!(
        names(&ill, "fail"),
        [
            "deadline",
            "driver",
            "files",
            "isolation",
            "launcher",
            "sandbox",
            "state folder"
        ]
    );
    for (check, words) in [
        ("deadline", "--executor_registration_timeout is 30secs"),
        ("driver", "default driver 'ebs'"),
        ("files", "field 'default'"),
        (
            "isolation",
            "mesos_external_volumes is loaded but not in --isolation, so no task gets a volume",
        ),
        ("filesystem", "containers with an image fail"),
        ("launcher", "--launcher=posix"),
        ("state folder", "in memory"),
        ("claims", "ebsvolumes"),
        ("reports", "/nonexistent/audit.jsonl"),
    ] {
        assert!(ill[check].1.contains(words), "{check}: {ill:?}");
    }
}

#[test]
fn without_filesystem_linux_volumes_are_mounted_and_images_are_what_breaks() {
    let registry = tempfile::tempdir().unwrap();
    Image::shell().save(registry.path(), "tiny").unwrap();
    let mut spec = AgentSpec::default().module(module().parameter("mount_bases", "{agent}/base"));
    spec.isolation = vec!["posix/cpu".to_owned()];
    for release in ["1.4.3", "1.11.0"] {
        let site = Site::on_mesos(release, &spec);
        let tasks = Tasks::connect(site.cluster());
        let id = site.volume("v");
        let job = |command| Job::shell(command).label("volume.data", &id);
        tasks.finish(site.agent(0), job("mountpoint -q data && touch data/file"));
        let pod = Pod::of([Job::shell("mountpoint -q data && [ -e data/file ]")]).label("volume.data", &id);
        tasks.launch_pod(site.agent(0), pod).iter().for_each(finished);
        site.wait_until_nothing_is_left();
        let message = tasks.fail(site.agent(0), job("true").image("tiny"));
        assert!(
            message.contains("Unsupported container image type: DOCKER"),
            "{release}: {message}"
        );

        let (code, ill) = diagnosed(site.agent(0));
        assert_eq!((code, names(&ill, "fail")), (Some(0), Vec::new()), "{release}: {ill:?}");
        let (state, found) = &ill["filesystem"];
        assert_eq!(state, "warn");
        assert!(found.contains("containers with an image fail"), "{found}");

        site.agent(0)
            .respecify(|spec| *spec = spec.clone().images(registry.path()));
        let error = site.agent(0).restart().map(|_| ()).unwrap_err().to_string();
        assert!(
            error.contains("'filesystem/linux' isolator must be enabled for container image support"),
            "{release}: {error}"
        );
    }
}

#[test]
fn a_source_that_another_isolator_mounts_too_is_a_fault() {
    let programs = tempfile::tempdir().unwrap();
    let spec = AgentSpec::default().module(module().parameter("docker_volume_source", "true"));
    let site = Site::with_agents(1, &with_docker_volume_isolator(spec, programs.path()));
    let (code, ill) = diagnosed(site.agent(0));
    assert_eq!((code, names(&ill, "fail")), (Some(1), vec!["sources".to_owned()]));
    assert!(
        ill["sources"].1.contains("docker_volume_source is on") && ill["sources"].1.contains("docker/volume"),
        "{ill:?}"
    );
    site.agent(0)
        .respecify(|spec| spec.isolation.retain(|name| name != "docker/volume"));
    site.agent(0).restart().unwrap();
    assert_eq!(names(&diagnosed(site.agent(0)).1, "fail"), Vec::<String>::new());
}

/// A later parameter of the same key wins.
fn last_of_each(parameters: Vec<(String, String)>) -> Vec<(String, String)> {
    parameters.into_iter().collect::<BTreeMap<_, _>>().into_iter().collect()
}

#[test]
fn an_agent_without_the_module_and_no_agent_at_all_are_told_apart() {
    let cluster = Cluster::builder()
        .agent(AgentSpec::default())
        .start()
        .unwrap_or_else(|error| panic!("{error}"));
    let (code, ill) = diagnosed(cluster.agent(0));
    assert_eq!(
        (code, names(&ill, "fail")),
        (Some(1), vec!["isolation".to_owned(), "modules".to_owned()])
    );
    assert!(ill["modules"].1.contains("--modules"), "{ill:?}");

    let agent = cluster.agent(0);
    agent.kill().unwrap();
    let (code, ill) = diagnosed(agent);
    assert_eq!((code, names(&ill, "fail")), (Some(1), vec!["agent".to_owned()]));
    let address = agent.url().replace("http://", "");
    assert_eq!(ill["agent"].1, format!("nothing listens on {address}"));
}

/// The check that failed, what was found, and the remedy, when this is the one failure.
fn only_failure(url: &str, more: &[&str]) -> (String, String, String) {
    let output = doctor(url, &[more, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report in JSON");
    let failed = report["checks"].as_array().into_iter().flatten();
    let failed: Vec<&Value> = failed.filter(|check| check["state"] == "fail").collect();
    let [check] = failed.as_slice() else { panic!("{report}") };
    let text = |field: &str| check[field].as_str().unwrap_or_default().to_owned();
    (text("check"), text("found"), text("mend"))
}

#[test]
fn an_agent_with_basic_authentication_is_asked_with_the_credential_of_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let written = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.display().to_string()
    };
    let known = r#"{"credentials": [{"principal": "operator", "secret": "correct-horse"}]}"#;
    let known = written("known.json", known);
    let module = module()
        .parameter("mount_bases", "{agent}/base")
        .parameter("drivers", r#"{"profiles": {"ebs": {"own_limit": 300}}}"#);
    let spec = AgentSpec::default()
        .module(module)
        .flag("authenticate_http_readwrite", "true")
        .flag("http_credentials", known);
    let site = Site::with_agents(1, &spec);
    let agent = site.agent(0).url();
    let wrong = written("wrong", "operator battery-staple\n");
    for more in [&[][..], &["--credential", &wrong]] {
        let (check, found, mend) = only_failure(&agent, more);
        assert_eq!(check, "agent", "{found}");
        assert!(mend.contains("--credential"), "{found}: {mend}");
    }
    let right = written("right", "operator correct-horse\n");
    let output = doctor(&agent, &["--credential", &right]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    for words in ["runs Mesos 1.11.0", "checks: 0 failed, 0 with a warning"] {
        assert!(text.contains(words), "'{words}' is not in:\n{text}");
    }
}

#[test]
fn a_master_is_recognised_and_the_only_remedy_is_the_agents_address() {
    let cluster = Cluster::builder()
        .agent(AgentSpec::default())
        .start()
        .unwrap_or_else(|error| panic!("{error}"));
    let master = format!("http://{}", cluster.master().address());
    let (check, found, mend) = only_failure(&master, &[]);
    assert_eq!(check, "agent");
    assert_eq!(found, format!("{master} is a Mesos master, not an agent"));
    let host = master.rsplit_once(':').unwrap().0;
    assert_eq!(mend, format!("give the agent's address, usually {host}:5051"));
}

#[test]
fn each_reason_why_an_agent_cannot_be_asked_has_a_remedy_of_its_own() {
    let cluster = Cluster::builder()
        .agent(AgentSpec::default())
        .start()
        .unwrap_or_else(|error| panic!("{error}"));
    let agent = cluster.agent(0).url();
    let folder = tempfile::tempdir().unwrap();
    let credential = folder.path().join("credential");
    fs::write(&credential, "principal-alone\n").unwrap();
    let credential = credential.display().to_string();

    let (check, found, mend) = only_failure(&agent, &["--credential", &credential]);
    assert_eq!(check, "credential");
    assert_eq!(
        found,
        format!("{credential}: expected one line 'PRINCIPAL SECRET'; found 1 word")
    );
    assert_eq!(mend, "correct the file");

    let (check, found, mend) = only_failure(&agent, &["--credential", "/nonexistent/credential"]);
    assert_eq!(check, "credential");
    assert!(found.contains("/nonexistent/credential"), "{found}");
    assert!(mend.contains("--credential"), "{mend}");

    let (_, found, mend) = only_failure("http://no-such-host.invalid:5051", &[]);
    assert_eq!(found, "cannot find the host 'no-such-host.invalid' (DNS)");
    assert!(mend.contains("name resolution"), "{mend}");

    let (_, found, mend) = only_failure("10.0.0.7", &[]);
    assert!(found.contains("it has no port"), "{found}");
    assert!(mend.starts_with("correct --agent-url"), "{mend}");

    let (_, found, mend) = only_failure(&agent.replace("http://", "https://"), &[]);
    assert!(found.contains("no TLS"), "{found}");
    assert!(mend.contains("for an agent without TLS write http://"), "{mend}");

    // The scheme may be left out.
    let output = doctor(&agent.replace("http://", ""), &[]);
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("runs Mesos 1.11.0"),
        "{output:?}"
    );
}

fn openssl(folder: &Path, arguments: &str) {
    let mut command = Command::new("openssl");
    let output = command.args(arguments.split(' ')).current_dir(folder).output();
    let output = output.expect("openssl is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments}: {said}");
}

/// TLS before an agent, with a certificate for `localhost` of an authority of its own (`ca.pem`).
struct Tls {
    folder: tempfile::TempDir,
    socat: Child,
    port: u16,
}

impl Tls {
    fn before(agent: &Agent) -> Tls {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path();
        fs::write(path.join("names"), "subjectAltName=DNS:localhost").expect("the folder is writable");
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        openssl(
            path,
            &format!("req -x509 {key} -subj /CN=authority -days 2 -keyout ca.key -out ca.pem"),
        );
        openssl(
            path,
            &format!("req {key} -subj /CN=agent -keyout agent.key -out agent.csr"),
        );
        openssl(
            path,
            "x509 -req -in agent.csr -CA ca.pem -CAkey ca.key -days 2 -extfile names -out agent.crt",
        );
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = free.expect("a free port").port();
        let listen =
            format!("OPENSSL-LISTEN:{port},bind=127.0.0.1,cert=agent.crt,key=agent.key,verify=0,fork,reuseaddr");
        let agent = agent.url().replace("http://", "TCP:");
        let socat = Command::new("socat").args([listen, agent]).current_dir(path).spawn();
        let socat = socat.expect("socat is installed");
        eventually("socat listens", || {
            TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string())
        });
        Tls { folder, socat, port }
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        // An error means that it has ended by itself.
        let _ = self.socat.kill();
        let _ = self.socat.wait();
    }
}

#[test]
fn an_agent_behind_tls_of_a_private_authority_is_asked_with_the_authoritys_file() {
    let site = Site::start(1);
    let tls = Tls::before(site.agent(0));
    let url = format!("https://localhost:{}", tls.port);
    let authority = tls.folder.path().join("ca.pem").display().to_string();

    let output = doctor(&url, &["--ca", &authority]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("runs Mesos 1.11.0"), "{text}");

    let output = doctor(&url, &[]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("no authority") && text.contains("--ca"), "{text}");
    assert_eq!(output.status.code(), Some(1));

    let output = doctor(&url, &["--ca", "/nonexistent/ca.pem"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("/nonexistent/ca.pem"), "{text}");
}
