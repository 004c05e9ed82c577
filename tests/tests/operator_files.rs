//! What takes the place of a file that an operator wrote neither blocks nor ends the agent, and is not believed; a corrected file
//! counts for the next container.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{chown, symlink};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use testbed::{Agent, AgentSpec, Job};
use tests::{Site, Tasks, eventually, module, module_with_policy};

fn replace(file: &Path, text: &str) {
    remove(file);
    let new = file.with_extension("new");
    fs::write(&new, text).expect("the test's own file system works");
    fs::rename(new, file).expect("the test's own file system works");
}

fn remove(file: &Path) {
    if fs::symlink_metadata(file).is_ok() {
        fs::remove_file(file).expect("the test's own file system works");
    }
}

fn put_fifo(file: &Path) {
    remove(file);
    let made = Command::new("mkfifo").arg(file).status().expect("mkfifo runs");
    assert!(made.success());
}

fn put_link(file: &Path, target: &str) {
    remove(file);
    symlink(target, file).expect("the test's own file system works");
}

#[test]
fn attack_a_name_map_that_becomes_a_fifo_or_an_endless_device_delays_no_container() {
    let folder = tempfile::tempdir().unwrap();
    let names = folder.path().join("names.json");
    let module = module().parameter("name_map", names.display().to_string());
    let site = Site::with_agents(1, &AgentSpec::default().module(module));
    site.volume("first");
    site.volume("second");
    let tasks = Tasks::connect(site.cluster());
    let agent = site.agent(0);
    let job = |command: &str| Job::shell(command).label("volume.data", "vol-known");
    let message = tasks.fail(agent, job("true"));
    assert!(
        message.contains("name map") && message.contains("names.json"),
        "{message}"
    );
    replace(&names, r#"{"vol-known": "first"}"#);
    tasks.finish(agent, job("touch data/first"));
    // Each of both threads that read labels once held on to such a file.
    put_fifo(&names);
    for _ in 0..4 {
        tasks.finish(agent, job("ls data/first"));
    }
    put_link(&names, "/dev/zero");
    for _ in 0..4 {
        tasks.finish(agent, job("ls data/first"));
    }
    replace(&names, r#"{"vol-known": "first", "vol-known": "second"}"#);
    tasks.finish(agent, job("ls data/first"));
    let log = agent.log();
    for words in ["it is a FIFO", "it is a device", "'vol-known' is given twice"] {
        let told = log.lines().filter(|line| line.contains(words));
        assert_eq!(told.count(), 1, "{words}");
    }
    replace(&names, r#"{"vol-known": "second"}"#);
    tasks.finish(agent, job("touch data/second && [ ! -e data/first ]"));
    site.wait_until_nothing_is_left();
}

#[test]
fn attack_a_policy_that_another_user_wrote_or_leads_to_is_not_believed() {
    const STRANGER: u32 = 4242;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.json");
    let shut = r#"{"version": 1, "default": "deny"}"#;
    let open = r#"{"version": 1, "default": "allow"}"#;
    replace(&file, shut);
    let site = Site::with_agents(1, &AgentSpec::default().module(module_with_policy(&file)));
    let volume = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let agent = site.agent(0);
    let denied = |what: &str| {
        let message = tasks.fail(agent, Job::shell("true").label("volume.data", &volume));
        assert!(message.contains("no rule of this agent's policy"), "{what}: {message}");
    };
    denied("the operator's own");
    replace(&file, open);
    chown(&file, Some(STRANGER), None).unwrap();
    denied("another owner");
    let others = folder.path().join("others.json");
    fs::write(&others, open).unwrap();
    put_link(&file, "others.json");
    std::os::unix::fs::lchown(&file, Some(STRANGER), None).unwrap();
    denied("behind another user's symlink");
    put_fifo(&file);
    denied("a FIFO");
    let way = folder.path().join("way");
    fs::create_dir(&way).unwrap();
    fs::write(way.join("policy.json"), open).unwrap();
    chown(&way, Some(STRANGER), None).unwrap();
    put_link(&file, "way/policy.json");
    denied("in another user's folder");
    let log = agent.log();
    assert!(
        log.contains("belongs to user 4242") && log.contains("it is a FIFO"),
        "{log}"
    );
    replace(&file, open);
    tasks.finish(agent, Job::shell("touch data/file").label("volume.data", &volume));
    site.wait_until_nothing_is_left();
}

fn lost_lines(agent: &Agent) -> Result<u64, String> {
    let ask = || -> std::io::Result<String> {
        let mut socket = UnixStream::connect(agent.folder().join("metrics.sock"))?;
        socket.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let metrics = ask().map_err(|error| error.to_string())?;
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix("mesos_external_volumes_audit_lost_total "));
    let line = line.ok_or("there is no such metric")?;
    line.parse().map_err(|_| format!("'{line}' is no number"))
}

#[test]
fn attack_a_fifo_or_symlink_in_the_place_of_the_audit_log_loses_lines_that_are_counted_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (log, victim) = (folder.path().join("audit.jsonl"), folder.path().join("passwd"));
    fs::write(&victim, "root:x:0:0\n").unwrap();
    let module = module()
        .parameter("metrics_socket", "{agent}/metrics.sock")
        .parameter("audit_log", log.display().to_string());
    let site = Site::with_agents(1, &AgentSpec::default().module(module));
    let volume = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let agent = site.agent(0);
    let job = || Job::shell("touch data/file").label("volume.data", &volume);
    put_fifo(&log);
    tasks.finish(agent, job());
    site.wait_until_nothing_is_left();
    let of_fifo = eventually("the lost lines are counted", || match lost_lines(agent)? {
        0 => Err("none".to_owned()),
        lost => Ok(lost),
    });
    put_link(&log, "passwd");
    tasks.finish(agent, job());
    site.wait_until_nothing_is_left();
    eventually("more lost lines are counted", || match lost_lines(agent)? {
        lost if lost > of_fifo => Ok(()),
        lost => Err(format!("{lost}")),
    });
    assert_eq!(fs::read_to_string(&victim).unwrap(), "root:x:0:0\n");
    remove(&log);
    tasks.finish(agent, job());
    site.wait_until_nothing_is_left();
    eventually("lines are written again", || match fs::read_to_string(&log) {
        Ok(text) if text.contains("\"granted\"") => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let told = agent.log();
    for words in ["it is a FIFO", "the audit log can be written again"] {
        assert!(told.contains(words), "'{words}' is not in the agent's log");
    }
}
