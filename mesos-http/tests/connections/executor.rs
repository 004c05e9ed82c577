//! The executor's connection.

use std::time::Duration;

use mesos_http::Error;
use mesos_http::executor::{Connection, Ending, Environment, Event, Notice};
use mesos_http::types::{TaskState, TaskStatus};
use serde_json::{Value, json};

use crate::peer::{Events, LIMIT, Peer};

fn environment(peer: &Peer) -> Environment {
    Environment {
        framework_id: "F".into(),
        executor_id: "t".into(),
        url: format!("http://{}/slave(1)/api/v1/executor", peer.address),
        domain_socket: None,
        sandbox: None,
        checkpoint: true,
        recovery_timeout: LIMIT,
        subscription_backoff_max: Duration::from_millis(100),
        shutdown_grace_period: Duration::from_secs(5),
        token: None,
    }
}

fn subscribed() -> Value {
    json!({"type": "SUBSCRIBED", "subscribed": {
        "executor_info": {"executor_id": {"value": "t"}},
        "framework_info": {"user": "root", "name": "f", "capabilities": [{"type": "TASK_KILLING_STATE"}]},
        "agent_info": {"hostname": "h", "id": {"value": "S"}}, "container_id": {"value": "c"}}})
}

fn launch() -> Value {
    json!({"type": "LAUNCH", "launch": {"task": {"name": "t", "task_id": {"value": "t"},
        "agent_id": {"value": "S"}, "command": {"value": "true"}}}})
}

#[track_caller]
fn next(connection: &Connection) -> Notice {
    connection.notices().recv_timeout(LIMIT).expect("no notice came")
}

#[track_caller]
fn accept(peer: &Peer, connection: &Connection) -> Events {
    let mut events = peer.call("SUBSCRIBE").open("");
    events.send(&subscribed());
    let notice = next(connection);
    assert!(matches!(notice, Notice::Subscribed(_)), "{notice:?}");
    events
}

fn acknowledge(status: &Value) -> Value {
    json!({"type": "ACKNOWLEDGED", "acknowledged": {"task_id": {"value": "t"}, "uuid": status["uuid"]}})
}

fn running() -> TaskStatus {
    TaskStatus::new("t".into(), TaskState::Running)
}

#[test]
fn an_update_has_all_the_agent_asks_for_and_goes_until_it_is_acknowledged() {
    let peer = Peer::start();
    let connection = Connection::open(environment(&peer));
    let subscribe = peer.call("SUBSCRIBE");
    assert_eq!(subscribe.path, "/slave(1)/api/v1/executor");
    assert_eq!(
        (
            &subscribe.body["framework_id"]["value"],
            &subscribe.body["executor_id"]["value"]
        ),
        (&json!("F"), &json!("t"))
    );
    assert!(subscribe.body["subscribe"].is_object());
    let mut events = subscribe.open("");
    events.send(&subscribed());
    next(&connection);
    connection.update(running());
    let update = peer.call("UPDATE");
    let status = update.body["update"]["status"].clone();
    assert_eq!(
        (&status["state"], &status["source"]),
        (&json!("TASK_RUNNING"), &json!("SOURCE_EXECUTOR"))
    );
    assert_eq!(status["executor_id"], json!({"value": "t"}));
    assert_eq!(status["uuid"].as_str().unwrap().len(), 24, "16 bytes in base64");
    assert!(status["timestamp"].is_f64());
    update.accept();
    assert!(!connection.is_all_acknowledged());
    events.send(&acknowledge(&status));
    assert!(matches!(next(&connection), Notice::Event(Event::Acknowledged { .. })));
    assert!(connection.is_all_acknowledged());
}

#[test]
fn updates_go_one_after_the_other_and_a_failed_one_goes_again_first() {
    let peer = Peer::start();
    let connection = Connection::open(environment(&peer));
    let _events = accept(&peer, &connection);
    connection.update(TaskStatus::new("t".into(), TaskState::Starting));
    connection.update(running());
    let first = peer.call("UPDATE");
    let body = first.body.clone();
    first.answer("503 Service Unavailable", "", "Agent has not finished recovery");
    let again = peer.call("UPDATE");
    assert_eq!(again.body, body);
    assert!(peer.is_quiet());
    again.accept();
    let second = peer.call("UPDATE");
    assert_eq!(second.body["update"]["status"]["state"], "TASK_RUNNING");
    second.accept();
}

#[test]
fn a_restarted_agent_is_told_what_it_has_not_acknowledged() {
    let peer = Peer::start();
    let connection = Connection::open(environment(&peer));
    let mut events = accept(&peer, &connection);
    events.send(&launch());
    assert!(matches!(next(&connection), Notice::Event(Event::Launch(_))));
    connection.update(running());
    peer.call("UPDATE").accept();
    drop(events);
    assert!(matches!(next(&connection), Notice::Disconnected { .. }));
    connection.update(TaskStatus::new("t".into(), TaskState::Finished));
    // It still recovers when it is asked first.
    let mut subscribe = peer.call("SUBSCRIBE");
    while subscribe.body["subscribe"]["unacknowledged_updates"]
        .as_array()
        .unwrap()
        .len()
        < 2
    {
        subscribe.answer("503 Service Unavailable", "", "Agent has not finished recovery");
        subscribe = peer.call("SUBSCRIBE");
    }
    let body = &subscribe.body["subscribe"];
    assert_eq!(body["unacknowledged_tasks"][0]["task_id"]["value"], "t");
    let updates = body["unacknowledged_updates"].as_array().unwrap().clone();
    let states: Vec<&str> = updates.iter().map(|u| u["status"]["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["TASK_RUNNING", "TASK_FINISHED"]);
    let mut events = subscribe.open("");
    events.send(&subscribed());
    for update in &updates {
        events.send(&acknowledge(&update["status"]));
    }
    while !connection.is_all_acknowledged() {
        next(&connection);
    }
    assert!(peer.is_quiet(), "what SUBSCRIBE has carried is not sent again");
}

#[test]
fn an_update_the_agent_will_never_take_does_not_block_the_others() {
    let peer = Peer::start();
    let connection = Connection::open(environment(&peer));
    let _events = accept(&peer, &connection);
    connection.update(TaskStatus::new("t".into(), TaskState::Staging));
    connection.update(running());
    peer.call("UPDATE")
        .answer("400 Bad Request", "", "Received TASK_STAGING which is not allowed");
    let notice = next(&connection);
    let Notice::UpdateRefused { status, error } = notice else {
        panic!("{notice:?}")
    };
    assert_eq!(status.state, TaskState::Staging);
    assert!(error.to_string().contains("not allowed"), "{error}");
    assert_eq!(peer.call("UPDATE").body["update"]["status"]["state"], "TASK_RUNNING");
}

#[test]
fn without_checkpointing_the_end_of_the_agent_is_the_end() {
    let peer = Peer::start();
    let connection = Connection::open(Environment {
        checkpoint: false,
        ..environment(&peer)
    });
    drop(accept(&peer, &connection));
    assert!(matches!(
        next(&connection),
        Notice::Ended {
            ending: Ending::NoCheckpoint,
            ..
        }
    ));
    assert!(connection.notices().recv_timeout(LIMIT).is_err());
}

#[test]
fn an_agent_that_stays_away_is_given_up_after_the_recovery_timeout() {
    let peer = Peer::start();
    let connection = Connection::open(Environment {
        recovery_timeout: Duration::from_millis(300),
        ..environment(&peer)
    });
    drop(accept(&peer, &connection));
    let mut attempts = 0;
    let ending = loop {
        if let Some(request) = peer.waiting() {
            request.answer("503 Service Unavailable", "", "");
        }
        match connection.notices().recv_timeout(Duration::from_millis(5)) {
            Ok(Notice::Disconnected { .. }) => attempts += 1,
            Ok(Notice::Ended { ending, .. }) => break ending,
            _ => {}
        }
    };
    assert_eq!(ending, Ending::RecoveryTimeout);
    assert!(attempts >= 2, "{attempts}");
}

#[test]
fn a_token_goes_with_every_request() {
    let peer = Peer::start();
    let connection = Connection::open(Environment {
        token: Some("jwt".into()),
        ..environment(&peer)
    });
    let subscribe = peer.call("SUBSCRIBE");
    assert_eq!(subscribe.header("Authorization"), Some("Bearer jwt"));
    let mut events = subscribe.open("");
    events.send(&subscribed());
    next(&connection);
    connection.update(running());
    assert_eq!(peer.call("UPDATE").header("Authorization"), Some("Bearer jwt"));
}

#[test]
fn an_agent_that_refuses_the_executor_is_the_end() {
    let peer = Peer::start();
    let connection = Connection::open(environment(&peer));
    peer.call("SUBSCRIBE")
        .answer("403 Forbidden", "", "does not contain an 'eid' claim");
    let notice = next(&connection);
    let Notice::Ended {
        ending: Ending::Refused,
        error: Error::Forbidden { .. },
    } = notice
    else {
        panic!("{notice:?}")
    };
}
