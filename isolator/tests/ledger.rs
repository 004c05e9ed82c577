//! The ledger's promises, told one by one. Random histories with crashes are the simulator's.

use std::collections::BTreeSet;

use isolator::ledger::{
    Effect, Event, Ledger, MountOutcome, MountSpec, Op, Presence, Record, RecordedState, RecordedVolume, Restored,
    UnmountOutcome, VolumeRequest, VolumeState,
};
use isolator::{ContainerId, Containerizer, PrepareError, VolumeKey};
use volume_driver_client::{Code, MountId};
use volume_labels::{Access, Owner};

fn key(name: &str) -> VolumeKey {
    VolumeKey::new("ebs", name)
}

fn wants(volume: &str) -> VolumeRequest {
    VolumeRequest {
        origin: "data".into(),
        volume: key(volume),
        mount_id: MountId::derive("host", "ebs", volume),
        target: format!("/sandbox/{volume}").into(),
        read_only: false,
        access: Access::Shared,
        spec: MountSpec::default(),
    }
}

/// A ledger whose disk always works, so that a test tells only of containers and the driver.
#[derive(Default)]
struct Agent {
    ledger: Ledger,
    /// Effects but for records, in order, not yet looked at.
    seen: Vec<Effect>,
    records: Vec<Record>,
}

impl Agent {
    fn tell(&mut self, event: Event) -> &mut Self {
        for effect in self.ledger.handle(event) {
            match effect {
                Effect::WriteRecord { revision, record } => {
                    self.records.retain(|known| known.container != record.container);
                    let container = record.container.clone();
                    self.records.push(record);
                    self.tell(Event::RecordWritten {
                        container,
                        revision,
                        result: Ok(()),
                    });
                }
                Effect::RemoveRecord { container } => self.records.retain(|known| known.container != container),
                other => self.seen.push(other),
            }
        }
        self
    }

    fn acquire(&mut self, container: &str, requests: Vec<VolumeRequest>) -> &mut Self {
        self.tell(Event::Acquire {
            container: ContainerId::root(container),
            containerizer: Containerizer::Mesos,
            requests,
        })
    }

    fn release(&mut self, container: &str) -> &mut Self {
        self.tell(Event::Release {
            container: ContainerId::root(container),
        })
    }

    fn take(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.seen)
    }

    /// The one Mount that was asked for, and nothing else.
    fn mount(&mut self, volume: &str) -> Op {
        match self.take().as_slice() {
            [Effect::Mount { op, volume: asked, .. }] if *asked == key(volume) => *op,
            other => panic!("expected one Mount of {volume}, got {other:?}"),
        }
    }

    fn unmount(&mut self, volume: &str) -> Op {
        match self.take().as_slice() {
            [Effect::Unmount { op, volume: asked, .. }] if *asked == key(volume) => *op,
            other => panic!("expected one Unmount of {volume}, got {other:?}"),
        }
    }

    fn mounted(&mut self, op: Op) -> &mut Self {
        self.tell(Event::MountDone {
            op,
            outcome: MountOutcome::Mounted("/volumes/v".into()),
        })
    }

    fn unmounted(&mut self, op: Op) -> &mut Self {
        self.tell(Event::UnmountDone {
            op,
            outcome: UnmountOutcome::Unmounted,
        })
    }

    /// A ledger in which `containers` hold `volume`.
    fn with_holders(volume: &str, containers: &[&str]) -> Self {
        let mut agent = Self::default();
        for (index, container) in containers.iter().enumerate() {
            agent.acquire(container, vec![wants(volume)]);
            if index == 0 {
                let op = agent.mount(volume);
                agent.mounted(op);
            }
        }
        for (effect, container) in agent.take().iter().zip(containers) {
            assert!(granted(effect, container), "{effect:?}");
        }
        agent
    }
}

fn granted(effect: &Effect, name: &str) -> bool {
    matches!(effect, Effect::AnswerPrepare { container, result: Ok(_) } if *container == ContainerId::root(name))
}

fn refused<'a>(effect: &'a Effect, name: &str) -> &'a PrepareError {
    match effect {
        Effect::AnswerPrepare {
            container,
            result: Err(error),
        } if *container == ContainerId::root(name) => error,
        other => panic!("expected a refusal of {name}, got {other:?}"),
    }
}

fn cleaned(effect: &Effect, name: &str) -> bool {
    matches!(effect, Effect::AnswerCleanup { container } if *container == ContainerId::root(name))
}

#[test]
fn the_driver_gets_one_mount_for_two_users_and_one_unmount_after_the_last() {
    let mut agent = Agent::with_holders("v", &["a", "b"]);
    agent.release("a");
    assert!(
        matches!(agent.take().as_slice(), [answer] if cleaned(answer, "a")),
        "b still uses it"
    );
    agent.release("b");
    let op = agent.unmount("v");
    agent.unmounted(op);
    assert!(matches!(agent.take().as_slice(), [answer] if cleaned(answer, "b")));
    assert!(agent.records.is_empty());
}

#[test]
fn nothing_is_mounted_before_the_intent_is_on_disk() {
    let mut ledger = Ledger::new();
    let container = ContainerId::root("a");
    let effects = ledger.handle(Event::Acquire {
        container: container.clone(),
        containerizer: Containerizer::Mesos,
        requests: vec![wants("v")],
    });
    let [Effect::WriteRecord { revision, record }] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    assert_eq!(record.volumes[0].state, RecordedState::Mounting);
    let result = Err("no space left on device".to_owned());
    let effects = ledger.handle(Event::RecordWritten {
        container,
        revision: *revision,
        result,
    });
    assert!(
        refused(&effects[0], "a")
            .to_string()
            .contains("no space left on device")
    );
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Mount { .. })));
}

#[test]
fn a_container_is_answered_only_when_the_mountpoint_is_on_disk() {
    let mut agent = Agent::default();
    agent.acquire("a", vec![wants("v")]);
    let op = agent.mount("v");
    let effects = agent.ledger.handle(Event::MountDone {
        op,
        outcome: MountOutcome::Mounted("/volumes/v".into()),
    });
    let [Effect::WriteRecord { record, .. }] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    assert_eq!(record.volumes[0].state, RecordedState::Mounted("/volumes/v".into()));
}

#[test]
fn a_refused_mount_needs_no_unmount_and_the_message_names_label_and_cause() {
    let mut agent = Agent::default();
    agent.acquire("a", vec![wants("v")]);
    let op = agent.mount("v");
    agent.tell(Event::MountDone {
        op,
        outcome: MountOutcome::Failed("no such volume".into()),
    });
    let effects = agent.take();
    let message = refused(&effects[0], "a").to_string();
    assert!(
        message.contains("'volume.data'") && message.contains("'v'") && message.contains("no such volume"),
        "{message}"
    );
    assert_eq!(effects.len(), 1);
    assert!(agent.records.is_empty());
    agent.release("a");
    assert!(cleaned(&agent.take()[0], "a"));
}

#[test]
fn an_uncertain_mount_is_settled_by_an_unmount_before_the_next_user_mounts() {
    let mut agent = Agent::default();
    agent.acquire("a", vec![wants("v")]);
    let op = agent.mount("v");
    agent.tell(Event::MountDone {
        op,
        outcome: MountOutcome::Uncertain("no answer".into()),
    });
    refused(&agent.seen.remove(0), "a");
    let op = agent.unmount("v");
    agent.acquire("b", vec![wants("v")]);
    assert!(agent.take().is_empty(), "b waits");
    agent.unmounted(op);
    let op = agent.mount("v");
    agent.mounted(op);
    assert!(granted(&agent.take()[0], "b"));
}

#[test]
fn a_new_user_waits_for_an_unmount_under_way_and_then_mounts_again() {
    let mut agent = Agent::with_holders("v", &["a"]);
    agent.release("a");
    let op = agent.unmount("v");
    agent.acquire("b", vec![wants("v")]);
    let effects = agent.take();
    assert!(cleaned(&effects[0], "a"), "b's record now stands for the volume");
    assert!(
        matches!(&effects[1..], [Effect::Withdraw { op: taken }] if *taken == op),
        "{effects:?}"
    );
    agent.unmounted(op);
    let op = agent.mount("v");
    agent.mounted(op);
    assert!(granted(&agent.take()[0], "b"));
}

#[test]
fn an_unmount_that_has_not_begun_is_taken_back_for_a_new_user() {
    let mut agent = Agent::with_holders("v", &["a"]);
    agent.release("a");
    let op = agent.unmount("v");
    agent.acquire("b", vec![wants("v")]).take();
    agent.tell(Event::Withdrawn { op });
    let effects = agent.take();
    assert!(effects.iter().any(|effect| granted(effect, "b")), "{effects:?}");
    assert!(
        !effects.iter().any(|effect| matches!(effect, Effect::Mount { .. })),
        "it never was unmounted"
    );
}

#[test]
fn two_containers_that_want_the_same_two_volumes_exclusively_get_them_one_after_the_other() {
    let both = |first: &str, second: &str| {
        let exclusive = |name| VolumeRequest {
            access: Access::Exclusive,
            ..wants(name)
        };
        vec![exclusive(first), exclusive(second)]
    };
    let mut agent = Agent::default();
    agent.acquire("a", both("v", "w")).acquire("b", both("w", "v"));
    let ops: Vec<Op> = agent
        .take()
        .iter()
        .map(|effect| match effect {
            Effect::Mount { op, .. } => *op,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(ops.len(), 2, "only a was let in");
    for op in ops {
        agent.mounted(op);
    }
    assert!(matches!(agent.take().as_slice(), [answer] if granted(answer, "a")));
    agent.release("a");
    assert!(
        agent.take().iter().any(|effect| granted(effect, "b")),
        "b takes over what is mounted"
    );
}

#[test]
fn a_container_that_wants_a_volume_for_itself_is_not_overtaken_by_sharers() {
    let mut agent = Agent::with_holders("v", &["a"]);
    agent.acquire(
        "b",
        vec![VolumeRequest {
            access: Access::Exclusive,
            ..wants("v")
        }],
    );
    agent.acquire("c", vec![wants("v")]);
    assert!(agent.take().is_empty(), "both wait");
    agent.release("a");
    let answers = agent.take();
    assert!(answers.iter().any(|effect| granted(effect, "b")));
    assert!(!answers.iter().any(|effect| granted(effect, "c")));
}

#[test]
fn a_deadline_fails_the_container_and_an_answer_that_comes_later_is_undone() {
    let mut agent = Agent::default();
    agent.acquire("a", vec![wants("v")]);
    let op = agent.mount("v");
    agent.tell(Event::PrepareDeadline {
        container: ContainerId::root("a"),
    });
    let effects = agent.take();
    let message = refused(&effects[0], "a").to_string();
    assert!(
        message.contains("has not answered Mount") && message.contains("prepare_timeout"),
        "{message}"
    );
    agent.mounted(op);
    let op = agent.unmount("v");
    agent.unmounted(op);
    assert!(agent.records.is_empty());
}

#[test]
fn a_failed_unmount_answers_the_cleanup_and_is_retried_ever_more_slowly() {
    let mut agent = Agent::with_holders("v", &["a"]);
    agent.release("a");
    let mut last = None;
    for _ in 0..12 {
        let op = agent.unmount("v");
        agent.tell(Event::UnmountDone {
            op,
            outcome: UnmountOutcome::Failed("device is busy".into()),
        });
        let effects = agent.take();
        let answered = effects.iter().filter(|effect| cleaned(effect, "a")).count();
        assert_eq!(answered, usize::from(last.is_none()), "once, after the first attempt");
        let Some(Effect::RetryAfter { volume, attempt, delay }) =
            effects.iter().find(|e| matches!(e, Effect::RetryAfter { .. }))
        else {
            panic!("{effects:?}")
        };
        assert!(last.is_none_or(|last| *delay >= last) && delay.as_secs() <= 300);
        last = Some(*delay);
        agent.tell(Event::RetryDue {
            volume: volume.clone(),
            attempt: *attempt,
        });
    }
    assert_eq!(agent.records.len(), 1, "the record stays until it is done");
    let op = agent.unmount("v");
    agent.unmounted(op);
    assert!(agent.records.is_empty());
}

#[test]
fn a_new_user_takes_over_what_a_driver_refused_to_unmount() {
    let mut agent = Agent::with_holders("v", &["a"]);
    agent.release("a");
    let op = agent.unmount("v");
    agent
        .tell(Event::UnmountDone {
            op,
            outcome: UnmountOutcome::Failed("device is busy".into()),
        })
        .take();
    agent.acquire("b", vec![wants("v")]);
    let effects = agent.take();
    let [
        Effect::Mount {
            op, adopt: Some(path), ..
        },
    ] = effects.as_slice()
    else {
        panic!("{effects:?}")
    };
    assert_eq!(path.path.to_str(), Some("/volumes/v"));
    agent.mounted(*op);
    assert!(granted(&agent.take()[0], "b"));
}

#[test]
fn a_volume_that_another_host_still_holds_is_asked_for_again_until_the_deadline() {
    let mut agent = Agent::default();
    agent.acquire("a", vec![wants("v")]);
    let mut delays = Vec::new();
    for _ in 0..3 {
        let op = agent.mount("v");
        let outcome = MountOutcome::AttachedElsewhere("attached to host-0".into());
        agent.tell(Event::MountDone { op, outcome });
        let effects = agent.take();
        let [Effect::RetryAfter { volume, attempt, delay }] = effects.as_slice() else {
            panic!("{effects:?}")
        };
        delays.push(*delay);
        agent.tell(Event::RetryDue {
            volume: volume.clone(),
            attempt: *attempt,
        });
    }
    assert!(delays.is_sorted() && delays[0] < delays[2]);
    let op = agent.mount("v");
    agent
        .tell(Event::MountDone {
            op,
            outcome: MountOutcome::AttachedElsewhere("attached to host-0".into()),
        })
        .take();
    agent.tell(Event::PrepareDeadline {
        container: ContainerId::root("a"),
    });
    let effects = agent.take();
    assert!(refused(&effects[0], "a").to_string().contains("attached to host-0"));
    assert!(agent.records.is_empty(), "nothing was mounted here");
    agent.tell(Event::RetryDue {
        volume: key("v"),
        attempt: 4,
    });
    assert!(agent.take().is_empty());
}

#[test]
fn whoever_asks_for_the_same_gets_the_same_refusal_and_other_options_have_a_try_of_their_own() {
    let mut agent = Agent::default();
    let owned = VolumeRequest {
        spec: MountSpec {
            owner: Some(Owner::Ids { uid: 1, gid: 1 }),
            ..MountSpec::default()
        },
        ..wants("v")
    };
    agent
        .acquire("a", vec![wants("v")])
        .acquire("b", vec![wants("v")])
        .acquire("c", vec![owned]);
    let op = agent.mount("v");
    agent.tell(Event::MountDone {
        op,
        outcome: MountOutcome::Failed("no".into()),
    });
    let effects = agent.take();
    refused(&effects[0], "a");
    refused(&effects[1], "b");
    assert!(
        matches!(&effects[2], Effect::Mount { spec, .. } if spec.owner.is_some()),
        "{effects:?}"
    );
}

/// The volume with this owner, which a label names or the operator's default gives.
fn owned(by: u32, is_owner_named: bool) -> VolumeRequest {
    let spec = MountSpec {
        owner: Some(Owner::Ids { uid: by, gid: by }),
        is_owner_named,
        ..MountSpec::default()
    };
    VolumeRequest { spec, ..wants("v") }
}

#[test]
fn a_label_that_names_another_owner_than_a_users_is_refused_with_both_owners_named() {
    for first_is_named in [true, false] {
        let mut agent = Agent::default();
        agent.acquire("a", vec![owned(1, first_is_named)]);
        let op = agent.mount("v");
        agent.acquire("early", vec![owned(2, true)]);
        refused(&agent.take()[0], "early");
        agent.mounted(op);
        assert!(granted(&agent.take()[0], "a"));

        agent.acquire("b", vec![owned(2, true)]);
        let effects = agent.take();
        let [answer] = effects.as_slice() else {
            panic!("{effects:?}")
        };
        let error = refused(answer, "b");
        let message = error.to_string();
        for words in ["label 'volume.data'", "[busy]", "owner 2:2", "container a", "owner 1:1"] {
            assert!(message.contains(words), "'{words}' is not in: {message}");
        }
        assert_eq!(error.code(), Some(Code::Busy));
        agent.release("b");
        assert!(cleaned(&agent.take()[0], "b"));

        for (name, request) in [
            ("same", owned(1, true)),
            ("default", owned(2, false)),
            ("none", wants("v")),
        ] {
            agent.acquire(name, vec![request]);
            assert!(granted(&agent.take()[0], name), "{name}");
            agent.release(name);
            agent.take();
        }
        let alone = VolumeRequest {
            access: Access::Exclusive,
            ..owned(2, true)
        };
        agent.acquire("alone", vec![alone]);
        assert!(agent.take().is_empty(), "it waits until it has the volume for itself");
    }
}

#[test]
fn a_container_destroyed_in_its_prepare_is_answered_twice_once_for_each_call() {
    let mut agent = Agent::default();
    agent.acquire("a", vec![wants("v")]);
    let op = agent.mount("v");
    agent.release("a");
    assert_eq!(refused(&agent.take()[0], "a"), &PrepareError::Destroyed);
    agent.mounted(op);
    let op = agent.unmount("v");
    agent.unmounted(op);
    assert!(cleaned(&agent.take()[0], "a"));
}

#[test]
fn the_cleanup_of_an_unknown_container_is_answered_at_once() {
    let mut agent = Agent::default();
    agent.release("never-heard-of");
    assert!(cleaned(&agent.take()[0], "never-heard-of"));
}

fn restored(container: &str, state: RecordedState, presence: Presence) -> Restored {
    let volumes = vec![RecordedVolume {
        request: wants("v"),
        state,
    }];
    let record = Record {
        container: ContainerId::root(container),
        containerizer: Containerizer::Mesos,
        released: false,
        volumes,
    };
    Restored {
        record,
        presence,
        rebooted: false,
        lost: BTreeSet::new(),
    }
}

fn at(path: &str) -> RecordedState {
    RecordedState::Mounted(path.into())
}

#[test]
fn at_restart_a_live_mount_of_a_running_container_is_not_touched() {
    for presence in [Presence::Running, Presence::Orphan] {
        let mut agent = Agent::default();
        agent.tell(Event::Restore(vec![restored("a", at("/volumes/v"), presence)]));
        assert!(agent.take().is_empty());
        assert_eq!(agent.ledger.volume_state(&key("v")), VolumeState::Mounted);
        agent.release("a");
        agent.unmount("v");
    }
}

#[test]
fn at_restart_what_a_gone_container_left_is_unmounted_once() {
    for state in [
        at("/volumes/v"),
        RecordedState::Mounting,
        RecordedState::Unmounting(None),
    ] {
        let mut agent = Agent::default();
        agent.tell(Event::Restore(vec![restored("a", state, Presence::Gone)]));
        let op = agent.unmount("v");
        agent.unmounted(op);
        assert!(agent.take().is_empty());
        assert_eq!(agent.ledger.volumes().count(), 0);
    }
}

/// An earlier life of the agent may have sent the Unmount of a container that has left, while its
/// record still says that the volume is mounted. The mount table shows the mount until the driver
/// carries the Unmount out.
#[test]
fn at_restart_a_mount_that_only_a_gone_container_had_is_unmounted_before_the_next_container_gets_the_volume() {
    let mut agent = Agent::default();
    agent.tell(Event::Restore(vec![restored("a", at("/volumes/v"), Presence::Gone)]));
    let op = agent.unmount("v");
    agent.acquire("b", vec![wants("v")]);
    assert_eq!(
        agent.take(),
        [],
        "the Unmount is not taken back, and b waits for its end"
    );
    agent.unmounted(op);
    let op = agent.mount("v");
    agent.mounted(op);
    assert!(granted(&agent.take()[0], "b"));
}

#[test]
fn at_restart_a_gone_container_does_not_take_the_volume_from_a_running_one() {
    let mut agent = Agent::default();
    let records = vec![
        restored("a", RecordedState::Mounting, Presence::Gone),
        restored("b", at("/volumes/v"), Presence::Running),
    ];
    agent.tell(Event::Restore(records));
    assert!(agent.take().is_empty());
}

#[test]
fn a_mount_that_disappeared_under_a_running_container_is_settled_when_it_leaves() {
    let mut agent = Agent::default();
    let mut entry = restored("a", at("/volumes/v"), Presence::Running);
    entry.lost.insert("/volumes/v".into());
    agent.tell(Event::Restore(vec![entry]));
    assert!(
        agent.take().is_empty(),
        "nothing is unmounted under a running container"
    );
    agent.acquire("b", vec![wants("v")]);
    assert!(agent.take().is_empty(), "and nobody else is given it");
    agent.tell(Event::PrepareDeadline {
        container: ContainerId::root("b"),
    });
    assert!(refused(&agent.take()[0], "b").to_string().contains("disappeared"));
    agent.release("a");
    agent.unmount("v");
}

#[test]
fn after_a_reboot_every_attachment_is_let_go_whatever_mesos_says() {
    let mut agent = Agent::default();
    let entry = Restored {
        rebooted: true,
        ..restored("a", at("/volumes/v"), Presence::Running)
    };
    agent.tell(Event::Restore(vec![entry]));
    agent.unmount("v");
}

#[test]
fn a_late_word_about_the_record_of_an_earlier_container_is_not_taken_for_one_with_the_same_id() {
    let mut ledger = Ledger::new();
    let container = ContainerId::root("a");
    let acquire = |ledger: &mut Ledger| {
        let effects = ledger.handle(Event::Acquire {
            container: ContainerId::root("a"),
            containerizer: Containerizer::Mesos,
            requests: vec![wants("v")],
        });
        let [Effect::WriteRecord { revision, .. }] = effects.as_slice() else {
            panic!("{effects:?}")
        };
        *revision
    };
    let earlier = acquire(&mut ledger);
    ledger.handle(Event::Release {
        container: container.clone(),
    });
    let later = acquire(&mut ledger);
    let written = |revision| Event::RecordWritten {
        container: container.clone(),
        revision,
        result: Ok(()),
    };
    assert_eq!(
        ledger.handle(written(earlier)),
        [],
        "the later record is not on disk yet"
    );
    assert!(matches!(
        ledger.handle(written(later)).as_slice(),
        [Effect::Mount { .. }]
    ));
}
