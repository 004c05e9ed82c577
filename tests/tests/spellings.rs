//! One volume is one volume on a real agent, however its labels spell it.

use mesos_http::types::TaskState;
use testbed::{AgentSpec, Job};
use tests::{Site, Tasks, end, module};

/// The name, the storage's id, and the name through a second driver name that leads to the same socket.
#[test]
fn three_spellings_of_one_exclusive_volume_let_one_container_in_at_a_time() {
    let drivers = r#"{"addresses": {"fast": {"address": "{drivers}/ebs.sock"}}}"#;
    let spec = AgentSpec::default().module(module().parameter("drivers", drivers));
    let site = Site::with_agents(1, &spec);
    let id = site.volume("ledgers");
    let tasks = Tasks::connect(site.cluster());
    // A second container that is let in finds the folder of the first.
    let command = "mkdir data/alone && sleep 2 && rmdir data/alone";
    let job = |(name, driver): &(String, &str)| {
        Job::shell(command)
            .label("volume.data", name)
            .label("volume.data.driver", *driver)
            .label("volume.data.access", "exclusive")
    };
    let mut waiting = vec![
        ("ledgers".to_owned(), "ebs"),
        (id, "ebs"),
        ("ledgers".to_owned(), "fast"),
    ];
    let mut rounds = 0;
    while !waiting.is_empty() {
        rounds += 1;
        assert!(rounds <= 3, "each round lets at least one in: {waiting:?}");
        let launched = tasks.launch_all(site.agent(0), waiting.iter().map(job));
        let ends: Vec<_> = launched.iter().map(end).collect();
        let mut refused = Vec::new();
        for (spelling, status) in waiting.iter().zip(ends) {
            match status.state {
                TaskState::Finished => {}
                // Only the mount table tells that the id is the same volume, so its container is refused and not kept waiting.
                _ => {
                    let message = status.message.unwrap_or_default();
                    assert!(message.contains("the same volume as"), "{spelling:?}: {message}");
                    refused.push(spelling.clone());
                }
            }
        }
        waiting = refused;
    }
    site.wait_until_nothing_is_left();
}
