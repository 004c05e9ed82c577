//! The isolator has the folder and is at work.

use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

use isolator::{Config, ContainerId, ContainerLaunch, Isolator};
use serde_json::json;

use crate::site::{Driver, Site};

fn agent(site: &Site) -> Isolator {
    let text = |name: &str| site.path(name).display().to_string();
    let parameters = [
        ("state_dir", text("state")),
        ("driver_sockets", text("run")),
        ("driver_specs", text("etc")),
        ("driver_locks", text("locks")),
        ("default_driver", "told".to_owned()),
        ("directory_backed_drivers", "told".to_owned()),
    ];
    let parameters = parameters.map(|(key, value)| (key.to_owned(), value));
    let agent = Isolator::start(Config::from_parameters(&parameters).unwrap()).unwrap();
    wait(|done| agent.recover(vec![], vec![], move || done.send(()).unwrap()));
    agent
}

fn wait<T>(call: impl FnOnce(mpsc::Sender<T>)) -> T {
    let (done, answer) = mpsc::channel();
    call(done);
    answer.recv_timeout(Duration::from_secs(30)).unwrap()
}

fn prepare(agent: &Isolator, site: &Site, container: &str) {
    let sandbox = site.path(container);
    std::fs::create_dir(&sandbox).unwrap();
    let launch = ContainerLaunch {
        directory: sandbox,
        task_labels: vec![("volume.data".into(), "vol-1".into())],
        ..ContainerLaunch::default()
    };
    let result = wait(|done| {
        agent.prepare(ContainerId::root(container), launch, move |result| {
            done.send(result).unwrap()
        });
    });
    result.unwrap();
}

fn cleanup(agent: &Isolator, container: &str) {
    wait(|done| agent.cleanup(ContainerId::root(container), move || done.send(()).unwrap()));
}

#[test]
fn a_volume_is_followed_from_its_first_user_to_a_stuck_unmount_and_its_end() {
    let site = Site::new();
    let driver = Driver::start(&site);
    let agent = agent(&site);
    let pid = std::process::id();
    assert_eq!(site.ls()["volumes"], json!([]));

    prepare(&agent, &site, "c-1");
    // The records tell it at once, the status within a second.
    let volume = site.volume_once("the volume is mounted", |volume| volume["since"].is_string());
    assert_eq!(volume["state"], "mounted");
    assert_eq!(volume["mountpoint"], json!(site.path("volume")));
    let user = &volume["users"][0];
    assert_eq!(
        (&user["container"], &user["does"], &user["mode"]),
        (&json!("c-1"), &json!("holds"), &json!("rw"))
    );
    assert_eq!(user["target"], json!(site.path("c-1/data")));
    assert!(volume["since"].is_string() && user["since"].is_string(), "{volume:#}");
    assert_eq!(
        (&volume["last_error"], &volume["next_retry"]),
        (&json!(null), &json!(null))
    );
    assert_eq!(site.ls()["agent"]["pid"], json!(pid));
    let table = site.run(&["ls"]).ok();
    assert!(table.starts_with(&format!("agent: process {pid}, as of ")), "{table}");

    driver.refuses_unmount.store(true, Ordering::SeqCst);
    cleanup(&agent, "c-1");
    let stuck = |volume: &serde_json::Value| volume["state"] == "stuck" && volume["attempt"].as_u64() >= Some(2);
    let volume = site.volume_once("the unmount is stuck", stuck);
    assert!(
        volume["last_error"].as_str().unwrap().contains("device is busy"),
        "{volume:#}"
    );
    assert!(
        volume["next_retry"].as_str().unwrap() > volume["since"].as_str().unwrap(),
        "{volume:#}"
    );
    assert_eq!(volume["users"][0]["does"], "leaving");
    let text = site.run(&["inspect", "vol-1"]).ok();
    assert!(text.contains("next try") && text.contains("device is busy"), "{text}");

    driver.refuses_unmount.store(false, Ordering::SeqCst);
    drop(agent);
    let volume = site.volume_once("the agent is down", |volume| volume["state"] == "unmounting");
    assert_eq!(
        (&volume["users"][0]["does"], &volume["last_error"]),
        (&json!("leaving"), &json!(null))
    );
    assert_eq!(site.ls()["agent"], json!(null));

    let agent = self::agent(&site);
    let end = std::time::Instant::now() + Duration::from_secs(30);
    while site.ls()["volumes"] != json!([]) {
        assert!(std::time::Instant::now() < end, "{:#}", site.ls());
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(agent);
}

#[test]
fn repairs_are_refused_while_the_agent_runs_and_looking_is_not() {
    let site = Site::new();
    let _driver = Driver::start(&site);
    let agent = agent(&site);
    prepare(&agent, &site, "c-1");
    std::fs::write(site.state().join("quarantine/old.json"), "{").unwrap();
    for arguments in [&["release", "c-1"][..], &["release", "--volume", "vol-1"]] {
        let refused = site.run(arguments);
        assert_eq!(refused.code, 1, "{refused:?}");
        let told = format!("the agent (process {}) runs", std::process::id());
        assert!(
            refused.stderr.contains(&told) && refused.stderr.contains("stop the agent first"),
            "{refused:?}"
        );
    }
    let refused = site.run(&["quarantine", "restore", "old.json"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.stderr.contains("stop it, restore, start it again"),
        "{refused:?}"
    );
    site.run(&["quarantine", "show", "old.json"]).ok();
    site.run(&["quarantine", "rm", "old.json"]).ok();
    assert_eq!(site.ls()["quarantined"], 0);
    cleanup(&agent, "c-1");
}

/// A look takes the lock for a moment; an agent that starts just then must not be refused its
/// folder.
#[test]
fn looking_keeps_no_agent_from_starting() {
    let site = Site::new();
    drop(site.store());
    std::thread::scope(|scope| {
        let looking = scope.spawn(|| (0..20).for_each(|_| drop(site.ls())));
        while !looking.is_finished() {
            drop(site.store());
        }
    });
}
