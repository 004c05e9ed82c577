//! Frameworks that others wrote, started as their documentation says: their tasks get volumes, and where a task is refused the
//! framework hears why.
#![allow(clippy::unwrap_used, reason = "what cannot be set up fails its test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use testbed::{AgentSpec, Job};
use tests::third_party::{Program, programs};
use tests::{DRIVER, Site, Tasks, module};

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("third_party").join(name)
}

/// Toil passes neither labels nor volumes: the agent's `--default_container_info` gives its executor the volume.
#[test]
fn third_party_toil_runs_an_unmodified_workflow_on_the_volume_of_default_container_info() {
    let toil = programs("toil");
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().display().to_string();
    let volume = json!({
        "container_path": &folder,
        "mode": "RW",
        "source": { "type": "DOCKER_VOLUME", "docker_volume": { "driver": DRIVER, "name": "etl" } },
    });
    let path = format!("{}:{}", toil.programs().display(), std::env::var("PATH").unwrap());
    let spec = AgentSpec::default()
        .module(
            module()
                .parameter("docker_volume_source", "true")
                .parameter("allowed_host_paths", &folder),
        )
        .flag(
            "default_container_info",
            json!({ "type": "MESOS", "volumes": [volume] }).to_string(),
        )
        .flag("executor_environment_variables", json!({ "PATH": &path }).to_string());
    let site = Site::with_agents(1, &spec);
    let id = site.volume("etl");
    let work = site.cluster().folder();
    let mut command = Command::new(toil.program("python"));
    command
        .arg(script("toil_workflow.py"))
        .args([
            "--batchSystem",
            "mesos",
            "--mesosEndpoint",
            &site.cluster().master().address(),
        ])
        .args(["--disableCaching", "--logInfo"])
        .arg(work.join("job-store"))
        .arg(&folder)
        .env("PATH", &path)
        .env("HOME", work);
    let mut workflow = Program::start(&mut command, &work.join("toil.log"));
    workflow.finish();
    assert!(workflow.log().contains("result 5050"), "{}", workflow.log());
    assert_eq!(
        fs::read_dir(&folder).unwrap().count(),
        0,
        "nothing was written beside the volume"
    );
    drop(workflow);
    site.wait_until_nothing_is_left();
    assert!(!site.steps(&id).is_empty(), "the volume was attached");
}

/// The end of each task as the framework printed it.
fn ends(log: &str) -> Vec<Value> {
    log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[test]
fn third_party_pymesos_passes_labels_and_hears_why_a_task_is_refused() {
    let pymesos = programs("toil");
    let site = Site::with_agents(1, &AgentSpec::default().module(module()));
    let id = site.volume("orders");
    let tasks = json!([
        { "name": "writes", "command": "echo pymesos > data/file", "labels": { "volume.data": &id } },
        { "name": "reads", "command": "grep pymesos data/file", "labels": { "volume.data": "orders" } },
        { "name": "misspelt", "command": "true", "labels": { "volume.data": "orders", "volume.data.moed": "ro" } },
        { "name": "unknown", "command": "true", "labels": { "volume.data": "nobody" } },
        { "name": "no-driver", "command": "true", "labels": { "volume.data": "orders", "volume.data.driver": "nfs" } },
    ]);
    let mut command = Command::new(pymesos.program("python"));
    command
        .arg(script("pymesos_framework.py"))
        .arg(site.cluster().master().address())
        .arg(tasks.to_string());
    let mut framework = Program::start(&mut command, &site.cluster().folder().join("pymesos.log"));
    framework.finish();
    let ends = ends(&framework.log());
    let end = |name: &str| {
        ends.iter()
            .find(|end| end["name"] == name)
            .unwrap_or_else(|| panic!("{}", framework.log()))
    };
    for name in ["writes", "reads"] {
        assert_eq!(end(name)["state"], "TASK_FINISHED", "{:#}", end(name));
    }
    for (name, words) in [
        ("misspelt", "volume.data.moed"),
        ("unknown", "does not know this volume"),
        ("no-driver", "'nfs'"),
    ] {
        let end = end(name);
        assert_eq!(end["state"], "TASK_FAILED", "{end:#}");
        assert!(end["message"].to_string().contains(words), "{end:#}");
    }
    site.wait_until_nothing_is_left();
    Tasks::connect(site.cluster()).finish(
        site.agent(0),
        Job::shell("grep pymesos data/file").label("volume.data", &id),
    );
    site.wait_until_nothing_is_left();
}
