//! `mesos-volumes agents` at a real master: every agent is shown with its volumes, and the one that
//! needs attention comes first.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::thread;

use serde_json::Value;
use testbed::{Agent, AgentSpec, Cluster, Job, built};
use tests::{Site, Tasks, eventually, module, running};

/// Serves the agents' metrics sockets at one TCP address, each below the port of its agent, as socat or a
/// reverse proxy does.
fn serve_metrics(agents: &[Agent]) -> String {
    let port = |agent: &Agent| agent.address().rsplit_once(':').map(|(_, port)| port.to_owned());
    let sockets: BTreeMap<String, PathBuf> = agents
        .iter()
        .map(|agent| {
            (
                port(agent).expect("an agent has a port"),
                agent.folder().join("metrics.sock"),
            )
        })
        .collect();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // A client whose agent has no socket gets no answer.
            let _ = forward(client, &sockets);
        }
    });
    format!("http://{address}/{{port}}")
}

fn forward(mut client: TcpStream, sockets: &BTreeMap<String, PathBuf>) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        request.push(byte[0]);
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let path = request.split_whitespace().nth(1).unwrap_or_default();
    let missing = || std::io::Error::other(format!("no agent at {path}"));
    let mut socket = UnixStream::connect(sockets.get(path.trim_start_matches('/')).ok_or_else(missing)?)?;
    socket.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
    std::io::copy(&mut socket, &mut client)?;
    Ok(())
}

fn agents(master: &str, more: &[&str]) -> Output {
    let program = built("mesos-volumes", "mesos-volumes").unwrap_or_else(|error| panic!("{error}"));
    let mut command = Command::new(program);
    command.args(["agents", "--master", master]).args(more);
    command.output().expect("the program runs")
}

#[test]
fn each_agent_of_a_master_is_shown_with_its_volumes_and_those_that_do_not_answer_with_the_cause() {
    let with_module = AgentSpec::default().module(module().parameter("metrics_socket", "{agent}/metrics.sock"));
    let cluster = Cluster::builder().agents(2, &with_module).agent(AgentSpec::default());
    let site = Site::of_cluster(cluster);
    let master = site.cluster().master().address();
    let metrics = serve_metrics(&site.cluster().agents()[..2]);
    let id = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    running(&tasks.launch(site.agent(0), Job::shell("sleep 1000").label("volume.data", &id)));

    let seen = |more: &[&str]| -> (Option<i32>, Value) {
        let output = agents(&master, &[&["--json"], more].concat());
        let json = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        (output.status.code(), json)
    };
    let (code, json) = seen(&["--metrics-url", &metrics]);
    assert_eq!(code, Some(0), "{json:#}");
    assert_eq!(
        (&json["healthy"], &json["expected"], &json["without_module"]),
        (&2.into(), &2.into(), &1.into())
    );
    let mounted: Vec<&Value> = json["agents"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|agent| &agent["drivers"]["ebs"]["mounted"])
        .collect();
    assert_eq!(
        mounted.iter().filter(|count| **count == &Value::from(1)).count(),
        1,
        "{json:#}"
    );
    let text = agents(&master, &["--metrics-url", &metrics]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(
        text.starts_with("healthy 2 of 2; 1 more without the module\n"),
        "{text}"
    );
    assert!(text.contains("ebs 1 (1 mounted)"), "{text}");

    let (code, json) = seen(&["--metrics-url", "http://127.0.0.1:1/metrics"]);
    assert_eq!((code, &json["healthy"]), (Some(1), &0.into()), "{json:#}");
    let problem = json["agents"][0]["problems"][0].as_str().unwrap_or_default();
    assert!(
        problem.starts_with("no metrics from http://127.0.0.1:1/metrics: "),
        "{problem}"
    );

    site.agent(1).terminate().unwrap_or_else(|error| panic!("{error}"));
    let (code, json) = eventually("the agent that has ended does not answer", || {
        let (code, json) = seen(&[]);
        match json["agents"][0]["state"].as_str() {
            Some("no_answer") => Ok((code, json)),
            _ => Err(format!("{json:#}")),
        }
    });
    assert_eq!(
        (code, &json["healthy"], &json["expected"]),
        (Some(1), &1.into(), &2.into()),
        "{json:#}"
    );
    let cause = json["agents"][0]["problems"][0].as_str().unwrap_or_default();
    let address = site.agent(1).address();
    assert!(cause.contains(&address), "{address} is not in '{cause}'");
}
