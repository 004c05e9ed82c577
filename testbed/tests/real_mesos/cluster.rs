//! A cluster runs real Mesos, its parts can be killed and started again, and several do not disturb each other.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use crate::support::{LIMIT, alive, cluster, knows, run_container, wait_until};
use serde_json::json;
use testbed::{AgentSpec, MasterSpec, Signal};

#[test]
fn agents_register_with_what_they_were_given() {
    let spec = AgentSpec::default()
        .resources("cpus:3;mem:512;disk:64")
        .volumes(["vol-1", "vol-2"])
        .attribute("rack", "r7");
    let cluster = cluster()
        .agent(spec.clone().zone("a"))
        .agent(spec.zone("b"))
        .start()
        .unwrap();

    let listed = cluster.master().agents().unwrap();
    assert_eq!(listed.len(), 2, "{listed:#?}");
    for (agent, zone) in cluster.agents().iter().zip(["a", "b"]) {
        let id = agent.id().unwrap();
        let entry = listed.iter().find(|entry| entry["id"] == json!(id)).unwrap();
        assert_eq!(entry["pid"], json!(format!("slave(1)@{}", agent.address())));
        assert_eq!(entry["active"], json!(true));
        assert_eq!(entry["version"], json!(cluster.install().version()));
        assert_eq!(entry["resources"]["cpus"], json!(3.0));
        assert_eq!(entry["resources"]["ebsvolumes"], json!("{vol-1, vol-2}"));
        assert_eq!(entry["attributes"], json!({"rack": "r7", "zone": zone}));
        assert_eq!(entry["domain"]["fault_domain"]["zone"]["name"], json!(zone));
    }
    cluster.tear_down().unwrap();
}

#[test]
fn a_killed_agent_comes_back_with_its_id_and_its_containers() {
    let cluster = cluster().agent(AgentSpec::default()).start().unwrap();
    let agent = cluster.agent(0);
    let id = agent.id().unwrap();
    run_container(agent, "sleeper", "exec sleep 600");
    let before = agent.container_processes();

    agent.kill().unwrap();
    assert!(agent.pid().is_none());
    assert!(!before.is_empty() && before.iter().all(|&pid| alive(pid)), "{before:?}");

    agent.restart().unwrap();
    assert_eq!(agent.id().unwrap(), id);
    assert!(knows(agent, "sleeper"));
    assert_eq!(agent.container_processes(), before);
    cluster.tear_down().unwrap();
}

#[test]
fn a_restarted_agent_leaves_the_containers_of_another_alone() {
    let cluster = cluster().agents(2, &AgentSpec::default()).start().unwrap();
    run_container(cluster.agent(1), "neighbour", "exec sleep 600");
    let before = cluster.agent(1).container_processes();

    cluster.agent(0).restart().unwrap();

    assert!(knows(cluster.agent(1), "neighbour"));
    assert_eq!(cluster.agent(1).container_processes(), before);
    cluster.tear_down().unwrap();
}

#[test]
fn a_killed_master_comes_back_and_knows_its_agents() {
    let master = MasterSpec::default().pings(Duration::from_secs(1), 2);
    let cluster = cluster().master(master).agent(AgentSpec::default()).start().unwrap();
    let agent = cluster.agent(0);
    let id = agent.id().unwrap();
    let mark = agent.log_mark();

    cluster.master().restart().unwrap();

    agent
        .wait_for_log_after(mark, "Re-registered with master", LIMIT)
        .unwrap();
    let listed = cluster.master().agents().unwrap();
    assert_eq!((listed.len(), &listed[0]["id"]), (1, &json!(id)));
    cluster.tear_down().unwrap();
}

#[test]
fn an_agent_that_gets_sigusr1_unregisters_and_exits_with_zero() {
    let cluster = cluster().agent(AgentSpec::default()).start().unwrap();
    cluster.agent(0).signal(Signal::USR1).unwrap();
    assert_eq!(cluster.agent(0).wait_for_exit(LIMIT).unwrap().code(), Some(0));
    wait_until("the master has forgotten the agent", || {
        cluster.master().agents().unwrap().is_empty()
    });
    cluster.tear_down().unwrap();
}

#[test]
fn an_agent_that_gets_sigterm_ends_by_it_and_leaves_its_containers() {
    let cluster = cluster().agent(AgentSpec::default()).start().unwrap();
    let agent = cluster.agent(0);
    run_container(agent, "sleeper", "exec sleep 600");
    let status = agent.terminate().unwrap();
    assert_eq!(status.signal(), Some(Signal::TERM.as_raw()));
    assert!(agent.log().contains("Received signal SIGTERM"));
    assert!(agent.container_processes().len() >= 2);
    cluster.tear_down().unwrap();
}

#[test]
fn an_agent_that_cannot_start_says_why() {
    let cluster = cluster()
        .agent(AgentSpec::default().isolator("no/such-isolator"))
        .create()
        .unwrap();
    let error = cluster.start().unwrap_err().to_string();
    assert!(error.starts_with("agent 0 ended with exit status: 1"), "{error}");
    assert!(error.contains("no/such-isolator"), "{error}");
    cluster.tear_down().unwrap();
}

#[test]
fn a_changed_flag_holds_from_the_next_start_on() {
    let cluster = cluster()
        .agent(AgentSpec::default().volumes(["vol-1"]))
        .start()
        .unwrap();
    let agent = cluster.agent(0);
    agent.set_flag("reconfiguration_policy", "additive");
    agent.respecify(|spec| spec.volumes.push("vol-2".to_owned()));
    agent.restart().unwrap();
    let listed = cluster.master().agents().unwrap();
    assert_eq!(listed[0]["resources"]["ebsvolumes"], json!("{vol-1, vol-2}"));
    cluster.tear_down().unwrap();
}
