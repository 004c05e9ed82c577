//! The scheduler's connection.

use std::time::Duration;

use mesos_http::scheduler::{Call, Config, Connection, Event, Notice};
use mesos_http::types::{FrameworkInfo, TaskState};
use mesos_http::{Action, Error};
use serde_json::{Value, json};

use crate::peer::{Events, LIMIT, Peer, Request};

const STREAM: &str = "Mesos-Stream-Id: stream-1\r\n";

fn config(masters: &str) -> Config {
    Config::new(masters, FrameworkInfo::new("test", "root")).unwrap()
}

fn subscribed(heartbeat: f64) -> Value {
    json!({"type": "SUBSCRIBED", "subscribed": {"framework_id": {"value": "F"},
        "heartbeat_interval_seconds": heartbeat, "master_info": {"id": "m", "ip": 0, "port": 5050}}})
}

#[track_caller]
fn next(connection: &Connection) -> Notice {
    connection.notices().recv_timeout(LIMIT).expect("no notice came")
}

/// Lets the connection subscribe.
#[track_caller]
fn accept(peer: &Peer, connection: &Connection, headers: &str) -> Events {
    let mut events = peer.call("SUBSCRIBE").open(headers);
    events.send(&subscribed(15.0));
    let notice = next(connection);
    assert!(matches!(notice, Notice::Connected(_)), "{notice:?}");
    events
}

/// Has the connection call, and gives the request to answer and what the call will say.
fn call(peer: &Peer, connection: &Connection, call: Call) -> (Request, impl FnOnce() -> Result<(), Error>) {
    let caller = connection.caller();
    let thread = std::thread::spawn(move || caller.call(&call));
    (peer.request(), move || thread.join().unwrap())
}

#[test]
fn events_cut_into_single_bytes_arrive_whole() {
    let peer = Peer::start();
    let connection = Connection::open(config(&peer.address));
    let mut events = accept(&peer, &connection, STREAM);
    let update = json!({"type": "UPDATE", "update": {"status": {"task_id": {"value": "t"}, "state": "TASK_RUNNING"}}});
    let heartbeat = json!({"type": "HEARTBEAT"});
    let rescind = json!({"type": "RESCIND", "rescind": {"offer_id": {"value": "O"}}});
    for event in [update, heartbeat, rescind] {
        for byte in mesos_http::recordio::encode(event.to_string().as_bytes()) {
            events.send_bytes(&[byte]);
        }
    }
    assert!(matches!(next(&connection), Notice::Event(Event::Update(s)) if s.state == TaskState::Running));
    assert_eq!(next(&connection), Notice::Event(Event::Rescind("O".into())));
}

#[test]
fn an_event_nobody_can_read_does_not_end_the_stream() {
    let peer = Peer::start();
    let connection = Connection::open(config(&peer.address));
    let mut events = accept(&peer, &connection, STREAM);
    events.send(&json!({"type": "FROM_THE_FUTURE", "x": 1}));
    events.send(&json!({"type": "OFFERS", "offers": 7}));
    events.send(&json!({"type": "RESCIND", "rescind": {"offer_id": {"value": "O"}}}));
    for kind in ["FROM_THE_FUTURE", "OFFERS"] {
        let notice = next(&connection);
        assert!(
            matches!(&notice, Notice::Event(Event::Other { kind: k, .. }) if k == kind),
            "{notice:?}"
        );
    }
    assert_eq!(next(&connection), Notice::Event(Event::Rescind("O".into())));
}

#[test]
fn only_calls_carry_the_stream_id_and_the_framework_id() {
    let peer = Peer::start();
    let connection = Connection::open(config(&peer.address));
    assert_eq!(connection.call(&Call::Teardown), Err(Error::NotSubscribed(None)));
    let subscribe = peer.call("SUBSCRIBE");
    assert_eq!(subscribe.path, "/api/v1/scheduler");
    assert_eq!(
        (subscribe.header("Accept"), subscribe.header("Content-Type")),
        (Some("application/json"), Some("application/json"))
    );
    assert_eq!(subscribe.header("Mesos-Stream-Id"), None);
    assert_eq!(subscribe.body.get("framework_id"), None);
    let mut events = subscribe.open(STREAM);
    events.send(&subscribed(15.0));
    next(&connection);
    let (request, result) = call(&peer, &connection, Call::decline(["O".into()], 1.0));
    assert_eq!(request.header("Mesos-Stream-Id"), Some("stream-1"));
    assert_eq!(request.body["framework_id"], json!({"value": "F"}));
    request.accept();
    assert_eq!(result(), Ok(()));
}

#[test]
fn credentials_go_with_every_request() {
    let peer = Peer::start();
    let config = Config {
        credential: Some(("etl".into(), "secret".into())),
        ..config(&peer.address)
    };
    let connection = Connection::open(config);
    let subscribe = peer.call("SUBSCRIBE");
    assert_eq!(subscribe.header("Authorization"), Some("Basic ZXRsOnNlY3JldA=="));
    subscribe.answer("401 Unauthorized", "", "wrong");
    assert!(matches!(
        next(&connection),
        Notice::Failed(Error::Unauthenticated { .. })
    ));
    assert!(
        connection.notices().recv_timeout(LIMIT).is_err(),
        "nothing comes after the failure"
    );
}

#[test]
fn a_redirect_without_a_scheme_leads_to_the_leader() {
    let (follower, leader) = (Peer::start(), Peer::start());
    let connection = Connection::open(config(&follower.address));
    let location = format!("Location: //{}/api/v1/scheduler\r\n", leader.address);
    follower
        .call("SUBSCRIBE")
        .answer("307 Temporary Redirect", &location, "");
    let _events = accept(&leader, &connection, STREAM);
    let (request, result) = call(&leader, &connection, Call::Revive { roles: vec![] });
    request.accept();
    assert_eq!(result(), Ok(()));
    assert!(follower.is_quiet());
}

#[test]
fn a_master_that_still_recovers_is_asked_again() {
    let peer = Peer::start();
    let connection = Connection::open(config(&peer.address));
    peer.call("SUBSCRIBE")
        .answer("503 Service Unavailable", "", "Master has not finished recovery");
    let notice = next(&connection);
    let Notice::Disconnected {
        error: Error::NotReady {
            status: 503, message, ..
        },
        ..
    } = &notice
    else {
        panic!("{notice:?}")
    };
    assert_eq!(message, "Master has not finished recovery");
    accept(&peer, &connection, STREAM);
}

#[test]
fn after_a_break_it_comes_back_as_the_same_framework() {
    let peer = Peer::start();
    let connection = Connection::open(config(&peer.address));
    drop(accept(&peer, &connection, STREAM));
    assert!(matches!(
        next(&connection),
        Notice::Disconnected {
            error: Error::Closed { .. },
            ..
        }
    ));
    assert_eq!(connection.call(&Call::Teardown), Err(Error::NotSubscribed(None)));
    let again = peer.call("SUBSCRIBE");
    assert_eq!(again.header("Mesos-Stream-Id"), None);
    assert_eq!(again.body["framework_id"], json!({"value": "F"}));
    assert_eq!(again.body["subscribe"]["framework_info"]["id"], json!({"value": "F"}));
    let mut events = again.open("Mesos-Stream-Id: stream-2\r\n");
    events.send(&subscribed(15.0));
    next(&connection);
    let (request, result) = call(&peer, &connection, Call::Revive { roles: vec![] });
    assert_eq!(request.header("Mesos-Stream-Id"), Some("stream-2"));
    request.accept();
    result().unwrap();
}

#[test]
fn a_call_that_shows_the_subscription_is_gone_brings_a_new_one() {
    for (status, body) in [
        (
            "400 Bad Request",
            "The stream ID 'stream-1' included in this request didn't match the stream ID",
        ),
        ("400 Bad Request", "Framework cannot be found"),
        ("403 Forbidden", "Framework is not subscribed"),
        ("307 Temporary Redirect", ""),
    ] {
        let peer = Peer::start();
        let connection = Connection::open(config(&peer.address));
        let mut old = accept(&peer, &connection, STREAM);
        let (request, result) = call(&peer, &connection, Call::Revive { roles: vec![] });
        request.answer(status, "", body);
        assert_eq!(result().unwrap_err().action(), Action::Resubscribe, "{status} {body}");
        assert!(matches!(next(&connection), Notice::Disconnected { .. }));
        assert!(old.is_closed_by_peer());
        accept(&peer, &connection, "Mesos-Stream-Id: stream-2\r\n");
    }
}

/// The stream stays up in each of these cases: only the failed call tells that both sides disagree from now on.
#[test]
fn a_call_whose_outcome_nobody_knows_brings_a_new_subscription() {
    for status in ["500 Internal Server Error", "502 Bad Gateway", "599 Whatever"] {
        let peer = Peer::start();
        let connection = Connection::open(config(&peer.address));
        let mut old = accept(&peer, &connection, STREAM);
        let (request, result) = call(&peer, &connection, Call::Revive { roles: vec![] });
        request.answer(status, "", "");
        assert_eq!(result().unwrap_err().action(), Action::Reconcile, "{status}");
        assert!(matches!(next(&connection), Notice::Disconnected { .. }), "{status}");
        assert!(old.is_closed_by_peer());
        accept(&peer, &connection, "Mesos-Stream-Id: stream-2\r\n");
    }
}

#[test]
fn a_call_that_is_delivered_is_repeated_and_then_brings_a_new_subscription() {
    let peer = Peer::start();
    let connection = Connection::open(config(&peer.address));
    let mut old = accept(&peer, &connection, STREAM);
    let deliver = || {
        let caller = connection.caller();
        std::thread::spawn(move || caller.deliver(&Call::Revive { roles: vec![] }))
    };
    let busy = || peer.call("REVIVE").answer("503 Service Unavailable", "", "");
    let delivered = deliver();
    (0..4).for_each(|_| busy());
    peer.call("REVIVE").accept();
    assert_eq!(delivered.join().unwrap(), Ok(()));

    let lost = deliver();
    (0..5).for_each(|_| busy());
    assert_eq!(lost.join().unwrap().unwrap_err().action(), Action::Retry);
    assert!(matches!(next(&connection), Notice::Disconnected { .. }));
    assert!(old.is_closed_by_peer());
    let again = accept(&peer, &connection, "Mesos-Stream-Id: stream-2\r\n");

    // A call that the master finds wrong is as lost as any other: its offer stays where the master believes it is.
    let refused = deliver();
    peer.call("REVIVE")
        .answer("400 Bad Request", "", "Failed to validate scheduler::Call");
    assert_eq!(refused.join().unwrap().unwrap_err().action(), Action::GiveUp);
    assert!(matches!(next(&connection), Notice::Disconnected { .. }));
    drop(again);
    accept(&peer, &connection, "Mesos-Stream-Id: stream-3\r\n");
}

#[test]
fn a_call_that_is_wrong_leaves_the_subscription_alone() {
    let peer = Peer::start();
    let connection = Connection::open(config(&peer.address));
    let mut events = accept(&peer, &connection, STREAM);
    let (request, result) = call(&peer, &connection, Call::decline([], 1.0));
    request.answer("400 Bad Request", "", "Failed to validate scheduler::Call");
    assert!(matches!(result(), Err(Error::Invalid { status: 400, .. })));
    events.send(&json!({"type": "RESCIND", "rescind": {"offer_id": {"value": "O"}}}));
    assert_eq!(next(&connection), Notice::Event(Event::Rescind("O".into())));
}

#[test]
fn a_call_without_an_answer_ends_at_its_deadline_with_its_outcome_unknown() {
    let peer = Peer::start();
    let config = Config {
        call_deadline: Duration::from_millis(200),
        ..config(&peer.address)
    };
    let connection = Connection::open(config);
    let _events = accept(&peer, &connection, STREAM);
    let (_request, result) = call(&peer, &connection, Call::Revive { roles: vec![] });
    let error = result().unwrap_err();
    assert!(matches!(error, Error::Uncertain { .. }), "{error}");
    assert_eq!(error.action(), Action::Reconcile);
}

#[test]
fn a_stream_without_heartbeats_is_given_up() {
    let peer = Peer::start();
    let config = Config {
        subscribe_deadline: Duration::from_millis(100),
        ..config(&peer.address)
    };
    let connection = Connection::open(config);
    let mut events = peer.call("SUBSCRIBE").open(STREAM);
    events.send(&subscribed(0.05));
    next(&connection);
    let notice = next(&connection);
    assert!(
        matches!(
            notice,
            Notice::Disconnected {
                error: Error::Silent { .. },
                ..
            }
        ),
        "{notice:?}"
    );
    assert!(events.is_closed_by_peer());
    peer.call("SUBSCRIBE");
}

#[test]
fn an_error_event_is_the_end() {
    for (text, expected) in [
        (
            "Framework has been removed",
            Error::FrameworkRemoved("Framework has been removed".into()),
        ),
        (
            "Framework failed over",
            Error::TakenOver("Framework failed over".into()),
        ),
        (
            "Role 'x' is not present",
            Error::Refused("Role 'x' is not present".into()),
        ),
    ] {
        let peer = Peer::start();
        let connection = Connection::open(config(&peer.address));
        let mut events = peer.call("SUBSCRIBE").open(STREAM);
        events.send(&json!({"type": "ERROR", "error": {"message": text}}));
        assert_eq!(next(&connection), Notice::Failed(expected));
        assert!(events.is_closed_by_peer());
    }
}

#[test]
fn what_is_suppressed_stays_so_in_the_next_subscription() {
    let peer = Peer::start();
    let connection = Connection::open(config(&peer.address));
    let events = accept(&peer, &connection, STREAM);
    let (request, result) = call(&peer, &connection, Call::Suppress { roles: vec![] });
    request.accept();
    result().unwrap();
    drop(events);
    assert_eq!(
        peer.call("SUBSCRIBE").body["subscribe"]["suppressed_roles"],
        json!(["*"])
    );
}

#[test]
fn closing_ends_the_stream_and_is_told() {
    let peer = Peer::start();
    let connection = Connection::open(config(&peer.address));
    let mut events = accept(&peer, &connection, STREAM);
    let notices = connection.notices().clone();
    let caller = connection.caller();
    drop(connection);
    assert!(events.is_closed_by_peer());
    assert_eq!(notices.recv_timeout(LIMIT), Ok(Notice::Failed(Error::Ended)));
    assert_eq!(caller.call(&Call::Teardown), Err(Error::NotSubscribed(None)));
}

#[test]
fn a_teardown_is_the_end() {
    let peer = Peer::start();
    let connection = Connection::open(config(&peer.address));
    let _events = accept(&peer, &connection, STREAM);
    let (request, result) = call(&peer, &connection, Call::Teardown);
    request.accept();
    result().unwrap();
    assert_eq!(next(&connection), Notice::Failed(Error::Ended));
}

#[test]
fn a_port_nobody_listens_on_is_tried_again() {
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let connection = Connection::open(config(&free.to_string()));
    for _ in 0..2 {
        let notice = next(&connection);
        assert!(
            matches!(
                notice,
                Notice::Disconnected {
                    error: Error::NotListening { .. },
                    ..
                }
            ),
            "{notice:?}"
        );
    }
}

#[test]
fn a_host_that_dns_does_not_know_is_named_and_nothing_was_sent() {
    let connection = Connection::open(config("no-such-host.invalid:5050"));
    let Notice::Disconnected { error, .. } = next(&connection) else {
        panic!("there is no such host")
    };
    assert_eq!(error.to_string(), "cannot find the host 'no-such-host.invalid' (DNS)");
    assert_eq!(error.action(), mesos_http::Action::Retry);
}
