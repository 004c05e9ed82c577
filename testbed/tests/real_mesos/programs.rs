//! The programs behave as an operator of Mesos expects of their names.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::{assert_nothing_left, cluster, wait_until};
use serde_json::json;
use testbed::package::{DEFAULT_VERSION, MesosInstall};
use testbed::{AgentSpec, Framework, Image, Job};

fn mesos(program: &str, arguments: &[&str]) -> Output {
    let install = MesosInstall::ensure(DEFAULT_VERSION).unwrap();
    Command::new(install.program(program)).args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn versions_and_flags_are_told() {
    for program in ["mesos-master", "mesos-agent"] {
        let version = mesos(program, &["--version"]);
        assert_eq!(
            String::from_utf8_lossy(&version.stdout),
            format!("mesos {DEFAULT_VERSION}\n")
        );
        let help = mesos(program, &["--help"]);
        assert!(help.status.success());
        assert!(String::from_utf8_lossy(&help.stdout).contains("--modules_dir=VALUE"));
    }
}

#[test]
fn an_unknown_flag_is_refused() {
    for program in ["mesos-master", "mesos-agent"] {
        let output = mesos(program, &["--nosuch=1"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(
            said(&output).starts_with("Failed to load unknown flag 'nosuch'"),
            "{}",
            said(&output)
        );
    }
}

#[test]
fn an_agent_wants_a_master() {
    let folder = tempfile::tempdir().unwrap();
    let output = mesos("mesos-agent", &[&format!("--work_dir={}", folder.path().display())]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("Missing required option `--master`"),
        "{}",
        said(&output)
    );
}

#[test]
fn a_module_that_cannot_be_loaded_ends_the_agent() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = r#"{"libraries": [{"file": "/no/such.so", "modules": [{"name": "org_example_None"}]}]}"#;
    let file = folder.path().join("modules.json");
    fs::write(&file, manifest).unwrap();
    for modules in [manifest.to_owned(), format!("file://{}", file.display())] {
        let output = mesos(
            "mesos-agent",
            &[
                "--master=127.0.0.1:1",
                "--ip=127.0.0.1",
                "--port=0",
                &format!("--work_dir={}", folder.path().display()),
                &format!("--modules={modules}"),
            ],
        );
        assert_eq!(output.status.code(), Some(1));
        let said = said(&output);
        assert!(
            said.contains("Error loading modules: Error opening library: '/no/such.so'"),
            "{said}"
        );
    }
}

#[test]
fn a_flag_that_would_have_no_effect_is_refused() {
    let output = mesos("mesos-master", &["--zk=zk://127.0.0.1:2181/mesos", "--quorum=1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("--zk is not supported by this mesos-master"),
        "{}",
        said(&output)
    );
}

#[test]
fn a_container_with_an_image_runs() {
    let registry = tempfile::tempdir().unwrap();
    Image::shell().folder("/data").save(registry.path(), "tiny").unwrap();
    let cluster = cluster()
        .agent(AgentSpec::default().images(registry.path()))
        .start()
        .unwrap();
    let agent = cluster.agent(0);
    let image = json!({"type": "DOCKER", "docker": {"name": "tiny"}});
    let launch = json!({
        "container_id": {"value": "pictured"},
        "command": {"value": "ls / > /mnt/mesos/sandbox/root; touch /mnt/mesos/sandbox/done; sleep 600"},
        "container": {"type": "MESOS", "mesos": {"image": image}},
        "resources": [{"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}}],
    });
    agent
        .call(&json!({"type": "LAUNCH_CONTAINER", "launch_container": launch}))
        .unwrap();
    let sandbox = agent.work_dir().join("containers/pictured");
    wait_until("the command ran", || sandbox.join("done").exists());
    let root = fs::read_to_string(sandbox.join("root")).unwrap();
    assert!(root.contains("data\n") && !root.contains("home\n"), "{root}");

    let folder = cluster.folder().to_owned();
    cluster.tear_down().unwrap();
    assert_nothing_left(&folder);
}

#[test]
fn a_session_under_a_task_sees_the_mounts_of_the_task() {
    let cluster = cluster().agent(AgentSpec::default()).start().unwrap();
    let agent = cluster.agent(0);
    let framework = Framework::subscribe(&cluster.master().address()).unwrap();
    let job =
        Job::shell("mkdir /tmp/$$; mount -t tmpfs none /tmp/$$; touch /tmp/$$/seen; echo /tmp/$$ > where; sleep 600");
    let task = framework.launch(job);
    let sandbox = agent.sandbox(framework.id().as_str(), task.id().as_str());
    let mounted = sandbox.unwrap().join("where");
    wait_until("the task has its mount", || {
        fs::read_to_string(&mounted).is_ok_and(|text| text.ends_with('\n'))
    });
    let mounted = fs::read_to_string(&mounted).unwrap();
    let parent = agent.containers().unwrap().remove(0).id;

    let session = json!({
        "container_id": {"value": "session", "parent": {"value": parent}},
        "command": {"value": format!("ls {mounted}")},
    });
    let call = json!({"type": "LAUNCH_NESTED_CONTAINER_SESSION", "launch_nested_container_session": session});
    let mut answer = ureq::post(format!("{}/api/v1", agent.url()))
        .header("Content-Type", "application/json")
        .header("Accept", "application/recordio")
        .header("Message-Accept", "application/json")
        .send(call.to_string())
        .unwrap();
    let output = answer.body_mut().read_to_string().unwrap();
    // "seen" and its line end, in Base64.
    assert!(output.contains(r#""data":"c2Vlbgo=""#), "{output}");

    assert!(
        !Path::new(mounted.trim()).join("seen").exists(),
        "the mount is the task's own"
    );
    fs::remove_dir(mounted.trim()).unwrap();
    drop(framework);
    cluster.tear_down().unwrap();
}

#[test]
fn a_containerizer_runs_a_command_with_its_mounts_but_not_a_missing_sysrq_trigger() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    for name in ["rootfs", "source", "target"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    fs::write(folder.path().join("source/file"), "of the \\\"volume\\\" {[").unwrap();
    // MS_BIND. The mount of /proc/sysrq-trigger is the one that Mesos makes for a task with an image.
    let info = format!(
        r#"{{"mounts": [
            {{"source": "/proc/sysrq-trigger", "target": "{}", "flags": 4096}},
            {{"source": "{}", "target": "{}", "flags": 4096, "options": "}}]\""}}],
            "clone_namespaces": [131072],
            "command": {{"shell": true, "value": "cat {}/file"}}}}"#,
        at("rootfs/proc/sysrq-trigger"),
        at("source"),
        at("target"),
        at("target"),
    );
    let install = MesosInstall::ensure(DEFAULT_VERSION).unwrap();
    let output = Command::new("unshare")
        .arg("-m")
        .arg(install.program("mesos-containerizer"))
        .arg("launch")
        .env("MESOS_CONTAINERIZER_LAUNCH_INFO", info)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "of the \\\"volume\\\" {[");
}

#[test]
fn a_mount_can_be_made_a_slave_and_nothing_else() {
    let install = MesosInstall::ensure(DEFAULT_VERSION).unwrap();
    let containerizer = install.program("mesos-containerizer").display().to_string();
    // A shared mount that is alone in its group would become private: so there are two namespaces.
    let inner = format!("{containerizer} mount --operation=make-rslave --path=/ && findmnt -no PROPAGATION /");
    let script = format!("mount --make-rshared / && unshare -m --propagation unchanged sh -c '{inner}'");
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", &script])
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        "private,slave",
        "{}",
        said(&output)
    );

    let output = mesos("mesos-containerizer", &["mount", "--operation=make-shared", "--path=/"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(said(&output), "Unsupported mount operation 'make-shared'\n");
}

#[test]
fn an_agent_tells_what_its_containerizer_waits_for() {
    let folder = tempfile::tempdir().unwrap();
    let slow = folder.path().join("dvdcli");
    fs::write(&slow, "#!/bin/sh\nsleep 600\n").unwrap();
    fs::set_permissions(&slow, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let spec = AgentSpec::default().isolator("docker/volume").env("PATH", path);
    let cluster = cluster().agent(spec).start().unwrap();
    let agent = cluster.agent(0);
    let pending = || {
        let url = format!("{}/containerizer/debug", agent.url());
        ureq::get(url).call().unwrap().body_mut().read_to_string().unwrap()
    };
    assert_eq!(pending(), r#"{"pending":[]}"#);

    let source = json!({"type": "DOCKER_VOLUME", "docker_volume": {"driver": "slow", "name": "v"}});
    let volume = json!({"mode": "RW", "container_path": "v", "source": source});
    let cpus = json!({"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}});
    let launch = json!({
        "container_id": {"value": "waiting"},
        "command": {"value": "true"},
        "container": {"type": "MESOS", "volumes": [volume]},
        "resources": [cpus],
    });
    // Answered only once the container is launched: never.
    std::thread::scope(|scope| {
        scope.spawn(|| agent.call(&json!({"type": "LAUNCH_CONTAINER", "launch_container": launch})));
        wait_until("the volume is waited for", || {
            pending().contains(r#""operation":"docker/volume::prepare""#)
        });
        assert!(pending().contains(r#""containerId":"waiting""#), "{}", pending());
        agent.kill().unwrap();
    });
    cluster.tear_down().unwrap();
}
