//! The calls with a real isolator behind them, from bytes to bytes.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use prost::Message;
use tempfile::TempDir;

use super::*;
use crate::wire;

/// What a caller of the module hears.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Ready(Vec<u8>),
    Failed(String),
}

/// Sends what it hears, as the C++ side completes its future.
struct Ear(Sender<Heard>);

impl Reply for Ear {
    fn ready(&self, message: &[u8]) {
        self.0.send(Heard::Ready(message.to_vec())).unwrap();
    }

    fn fail(&self, reason: &str) {
        self.0.send(Heard::Failed(reason.to_owned())).unwrap();
    }
}

fn ear() -> (Ear, Receiver<Heard>) {
    let (sender, receiver) = channel();
    (Ear(sender), receiver)
}

fn heard(answers: &Receiver<Heard>) -> Heard {
    answers
        .recv_timeout(Duration::from_secs(20))
        .expect("the isolator answers every call")
}

fn module(folder: &TempDir) -> Module {
    let state_dir = folder.path().join("state").display().to_string();
    Module::of(Arc::new(Instance::new(&[("state_dir".to_owned(), state_dir)]).unwrap()))
}

fn id(value: &str) -> Vec<u8> {
    wire::ContainerId {
        value: Some(value.as_bytes().to_vec()),
        parent: None,
    }
    .encode_to_vec()
}

fn config(folder: &TempDir, labels: &[(&str, &str)]) -> Vec<u8> {
    let labels = labels
        .iter()
        .map(|(key, value)| wire::Label {
            key: Some(key.as_bytes().to_vec()),
            value: Some(value.as_bytes().to_vec()),
        })
        .collect();
    wire::ContainerConfig {
        directory: Some(folder.path().display().to_string().into_bytes()),
        task_info: Some(wire::TaskInfo {
            labels: Some(wire::Labels { labels }),
            ..Default::default()
        }),
        ..Default::default()
    }
    .encode_to_vec()
}

#[test]
fn a_task_without_volumes_is_launched_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (reply, answers) = ear();
    module(&folder).on_prepare(&id("c1"), &config(&folder, &[("team", "etl")]), reply);
    assert_eq!(heard(&answers), Heard::Ready(Vec::new()));
}

#[test]
fn a_bad_label_fails_the_launch_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (reply, answers) = ear();
    let labels = [("volume.data", "vol-1"), ("volume.data.mood", "sad")];
    module(&folder).on_prepare(&id("c1"), &config(&folder, &labels), reply);
    match heard(&answers) {
        Heard::Failed(reason) => assert!(reason.contains("volume.data.mood"), "{reason}"),
        ready => panic!("a bad label was accepted: {ready:?}"),
    }
}

#[test]
fn the_calls_without_a_message_answer_with_no_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let module = module(&folder);
    let (reply, answers) = ear();
    let states: [&[u8]; 0] = [];
    module.on_recover(states.into_iter(), [id("gone").as_slice()].into_iter(), reply);
    assert_eq!(heard(&answers), Heard::Ready(Vec::new()));

    let (reply, answers) = ear();
    module.on_update(&id("c1"), states.into_iter(), reply);
    assert_eq!(heard(&answers), Heard::Ready(Vec::new()));

    // The process is this one, which has the agent's own mount namespace: that of a container
    // without volumes is left alone.
    let (reply, answers) = ear();
    module.on_isolate(&id("c1"), std::process::id().cast_signed(), reply);
    assert_eq!(heard(&answers), Heard::Ready(Vec::new()));

    let (reply, answers) = ear();
    module.on_cleanup(&id("c1"), reply);
    assert_eq!(heard(&answers), Heard::Ready(Vec::new()));
}

#[test]
fn an_unreadable_state_fails_the_recovery_instead_of_letting_go_of_its_volumes() {
    let folder = tempfile::tempdir().unwrap();
    let (reply, answers) = ear();
    let states: [&[u8]; 1] = [b"\x0a\x7fshort"];
    let orphans: [&[u8]; 0] = [];
    module(&folder).on_recover(states.into_iter(), orphans.into_iter(), reply);
    match heard(&answers) {
        Heard::Failed(reason) => assert!(
            reason.starts_with("cannot read Mesos' ContainerState message"),
            "{reason}"
        ),
        ready => panic!("an unreadable state was accepted: {ready:?}"),
    }
}

#[test]
fn an_unreadable_update_or_watch_does_not_end_the_container() {
    let folder = tempfile::tempdir().unwrap();
    let module = module(&folder);
    let (reply, answers) = ear();
    module.on_update(&id("c1"), [b"\x0a\x7f".as_slice()].into_iter(), reply);
    assert_eq!(heard(&answers), Heard::Ready(Vec::new()));

    let (reply, answers) = ear();
    module.on_watch(b"\x0a\x7f", reply);
    // The reply is dropped unanswered, which leaves a watch pending.
    assert!(answers.recv().is_err());
}

#[test]
fn a_panic_in_a_call_fails_the_promise_and_nothing_else() {
    let (reply, answers) = ear();
    settle(&Promise::new(reply), "prepare", || panic!("out of luck"));
    assert_eq!(
        heard(&answers),
        Heard::Failed("internal error in prepare: out of luck (a bug; the agent's log says where)".to_owned())
    );
}

#[test]
fn a_parameter_that_is_not_accepted_is_named() {
    let error = Instance::new(&[("no_such_parameter".to_owned(), "1".to_owned())])
        .err()
        .unwrap();
    assert!(error.to_string().contains("no_such_parameter"), "{error}");
}

#[test]
fn what_is_nested_in_a_recovered_container_has_the_labels_of_its_root() {
    let folder = tempfile::tempdir().unwrap();
    let module = module(&folder);
    let label = wire::Label {
        key: Some(b"volume.data.mode".to_vec()),
        value: Some(b"bad".to_vec()),
    };
    let state = wire::ContainerState {
        container_id: Some(wire::ContainerId {
            value: Some(b"root".to_vec()),
            parent: None,
        }),
        executor_info: Some(wire::ExecutorInfo {
            labels: Some(wire::Labels { labels: vec![label] }),
            ..Default::default()
        }),
    }
    .encode_to_vec();
    let (reply, answers) = ear();
    module.on_recover([state.as_slice()].into_iter(), std::iter::empty(), reply);
    assert_eq!(heard(&answers), Heard::Ready(Vec::new()));

    let nested = wire::ContainerId {
        value: Some(b"nested".to_vec()),
        parent: Some(Box::new(wire::ContainerId {
            value: Some(b"root".to_vec()),
            parent: None,
        })),
    }
    .encode_to_vec();
    let prepare = |id: &[u8]| {
        let (reply, answers) = ear();
        module.on_prepare(id, &config(&folder, &[]), reply);
        heard(&answers)
    };
    let refused = prepare(&nested);
    assert!(
        matches!(&refused, Heard::Failed(reason) if reason.contains("volume.data")),
        "{refused:?}"
    );
    assert_eq!(prepare(&id("other")), Heard::Ready(Vec::new()));

    let (reply, answers) = ear();
    module.on_cleanup(&id("root"), reply);
    assert_eq!(heard(&answers), Heard::Ready(Vec::new()));
    assert_eq!(prepare(&nested), Heard::Ready(Vec::new()), "its root has ended");
}
