//! The operator's event stream.

use std::time::Duration;

use mesos_http::Error;
use mesos_http::operator::{ClusterEvent, Master, Watch};
use serde_json::json;

use crate::peer::{LIMIT, Peer};

fn watch(peer: &Peer) -> Watch {
    Master::any_of(vec![peer.address.parse().unwrap()], Duration::from_secs(5)).watch()
}

#[track_caller]
fn next(watch: &Watch) -> ClusterEvent {
    watch.events().recv_timeout(LIMIT).expect("no event came")
}

#[test]
fn a_stream_that_is_refused_is_opened_again_until_it_is_granted() {
    let peer = Peer::start();
    let watch = watch(&peer);
    for status in ["403 Forbidden", "401 Unauthorized", "400 Bad Request", "418 Teapot"] {
        peer.call("SUBSCRIBE").answer(status, "", "no");
        let event = next(&watch);
        assert!(matches!(event, ClusterEvent::Disconnected(_)), "{status}: {event:?}");
    }
    let mut events = peer.call("SUBSCRIBE").open("");
    events.send(&json!({"type": "SUBSCRIBED", "subscribed": {"get_state": {}}}));
    assert_eq!(next(&watch), ClusterEvent::Snapshot(Box::default()));
}

#[test]
fn a_snapshot_of_more_than_64_mib_is_read() {
    let peer = Peer::start();
    let watch = watch(&peer);
    let mut events = peer.call("SUBSCRIBE").open("");
    let filling = "x".repeat(65 << 20);
    events.send(&json!({"type": "SUBSCRIBED", "subscribed": {"get_state": {}}, "filling": filling}));
    assert_eq!(next(&watch), ClusterEvent::Snapshot(Box::default()));
}

#[test]
fn a_record_without_end_is_refused_before_it_is_read() {
    let peer = Peer::start();
    let watch = watch(&peer);
    let mut events = peer.call("SUBSCRIBE").open("");
    events.send_bytes(b"99999999999\n");
    let event = next(&watch);
    assert!(
        matches!(&event, ClusterEvent::Disconnected(Error::Framing(_))),
        "{event:?}"
    );
}
