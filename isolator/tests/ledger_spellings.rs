//! One volume is one volume, however it is spelled: exclusive stays exclusive, and nothing is
//! unmounted under a container that uses it by another name.

use std::collections::BTreeSet;

use isolator::ledger::{
    Effect, Event, Ledger, MountOutcome, MountSpec, Op, Presence, Record, RecordedState, RecordedVolume, Restored,
    UnmountOutcome, VolumeRequest, VolumeState,
};
use isolator::{ContainerId, Containerizer, Identity, MountIdentity, Mountpoint, VolumeKey};
use volume_driver_client::MountId;
use volume_labels::Access;

/// A driver that ignores the letter case and listens where `fast` leads to as well.
fn identities(volume: &VolumeKey) -> BTreeSet<Identity> {
    let name = volume.name.to_lowercase();
    let places = [format!("driver {}", volume.driver), "unix:///run/ebs.sock".to_owned()];
    places.map(|place| Identity::new(place, &*name)).into()
}

fn key(spelled: &str) -> VolumeKey {
    let (driver, name) = spelled.split_once('/').expect("DRIVER/NAME");
    VolumeKey::new(driver, name)
}

fn wants(spelled: &str, access: Access) -> VolumeRequest {
    let volume = key(spelled);
    VolumeRequest {
        origin: "data".into(),
        mount_id: MountId::derive("host", &volume.driver, &volume.name),
        volume,
        target: "/sandbox/data".into(),
        read_only: false,
        access,
        spec: MountSpec::default(),
    }
}

/// What is mounted for a spelling: every spelling of one number is one device.
fn at(spelled: &str, number: u32) -> Mountpoint {
    let path = std::path::PathBuf::from(format!("/volumes/{spelled}"));
    Mountpoint {
        mount: Some(MountIdentity {
            id: 7,
            namespace: None,
            device: format!("7:{number}"),
            root: "/".into(),
            kind: "ext4".into(),
            source: format!("/dev/loop{number}"),
            target: path.clone(),
        }),
        path,
    }
}

#[derive(Default)]
struct Agent {
    ledger: Ledger,
    seen: Vec<Effect>,
    records: Vec<Record>,
}

impl Agent {
    fn tell(&mut self, event: Event) -> &mut Self {
        for effect in self.ledger.handle(event) {
            match effect {
                Effect::WriteRecord { revision, record } => {
                    let container = record.container.clone();
                    self.records.retain(|known| known.container != container);
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

    /// A container asks for a volume, whose spelling the driver explains or not.
    fn acquire(&mut self, container: &str, spelled: &str, access: Access, explained: bool) -> &mut Self {
        if explained {
            self.tell(Event::Identified {
                volume: key(spelled),
                identities: identities(&key(spelled)),
            });
        }
        self.tell(Event::Acquire {
            container: ContainerId::root(container),
            containerizer: Containerizer::Mesos,
            requests: vec![wants(spelled, access)],
        })
    }

    fn release(&mut self, container: &str) -> &mut Self {
        self.tell(Event::Release {
            container: ContainerId::root(container),
        })
    }

    /// Every call to the driver that was asked for and not yet looked at, with the spelling it is
    /// for.
    fn calls(&mut self) -> Vec<(&'static str, String, Op)> {
        let mut calls = Vec::new();
        self.seen.retain(|effect| {
            let (kind, volume, op) = match effect {
                Effect::Mount { op, volume, .. } => ("mount", volume, op),
                Effect::Unmount { op, volume, .. } => ("unmount", volume, op),
                _ => return true,
            };
            calls.push((kind, format!("{}/{}", volume.driver, volume.name), *op));
            false
        });
        calls
    }

    fn one_call(&mut self, kind: &str, spelled: &str) -> Op {
        match self.calls().as_slice() {
            [(asked, volume, op)] if *asked == kind && volume == spelled => *op,
            other => panic!("expected one {kind} of {spelled}, got {other:?}"),
        }
    }

    fn mounts(&mut self, spelled: &str, number: u32) -> &mut Self {
        let op = self.one_call("mount", spelled);
        let outcome = MountOutcome::Mounted(at(spelled, number));
        self.tell(Event::MountDone { op, outcome })
    }

    fn unmounts(&mut self, spelled: &str) -> &mut Self {
        let op = self.one_call("unmount", spelled);
        let outcome = UnmountOutcome::Unmounted;
        self.tell(Event::UnmountDone { op, outcome })
    }

    fn has(&self, container: &str) -> bool {
        let id = ContainerId::root(container);
        self.seen
            .iter()
            .any(|effect| matches!(effect, Effect::AnswerPrepare { container, result: Ok(_) } if *container == id))
    }

    fn refusal(&self, container: &str) -> String {
        let id = ContainerId::root(container);
        let refused = self.seen.iter().find_map(|effect| match effect {
            Effect::AnswerPrepare {
                container,
                result: Err(error),
            } if *container == id => Some(error.to_string()),
            _ => None,
        });
        refused.unwrap_or_else(|| panic!("{container} was not refused: {:?}", self.seen))
    }

    fn is_idle(&mut self) -> bool {
        self.calls().is_empty()
    }
}

fn held(container: &str, spelled: &str, number: u32) -> Restored {
    Restored {
        record: Record {
            container: ContainerId::root(container),
            containerizer: Containerizer::Mesos,
            released: false,
            volumes: vec![RecordedVolume {
                request: wants(spelled, Access::Exclusive),
                state: RecordedState::Mounted(at(spelled, number)),
            }],
        },
        presence: Presence::Running,
        rebooted: false,
        lost: BTreeSet::new(),
    }
}

#[test]
fn an_exclusive_volume_is_waited_for_in_another_letter_case_and_through_another_driver_name() {
    let mut agent = Agent::default();
    agent
        .acquire("a", "ebs/w2", Access::Exclusive, true)
        .mounts("ebs/w2", 1);
    assert!(agent.has("a"));
    agent.acquire("b", "ebs/W2", Access::Exclusive, true);
    agent.acquire("c", "fast/w2", Access::Exclusive, true);
    assert!(agent.is_idle(), "both wait");
    agent.release("a");
    assert!(agent.is_idle(), "b takes over the mount");
    assert!(agent.has("b") && !agent.has("c"));
}

#[test]
fn two_spellings_known_as_one_share_a_mount_and_are_unmounted_once_by_the_first_spelling() {
    let mut agent = Agent::default();
    agent.acquire("a", "ebs/w2", Access::Shared, true).mounts("ebs/w2", 1);
    agent.acquire("b", "fast/W2", Access::Shared, true);
    assert!(agent.has("b") && agent.is_idle());
    agent.release("a");
    assert!(agent.is_idle(), "b still uses it");
    agent.release("b").unmounts("ebs/w2");
    assert!(agent.records.is_empty() && agent.is_idle());
    assert_eq!(agent.ledger.volumes().count(), 0);
}

#[test]
fn a_container_that_waits_is_known_by_its_volume_before_that_has_an_entry() {
    let mut agent = Agent::default();
    agent.acquire("a", "ebs/x", Access::Exclusive, true).mounts("ebs/x", 1);
    // It waits for x, and so w2 has no entry.
    agent.tell(Event::Identified {
        volume: key("ebs/w2"),
        identities: identities(&key("ebs/w2")),
    });
    agent.tell(Event::Acquire {
        container: ContainerId::root("b"),
        containerizer: Containerizer::Mesos,
        requests: vec![wants("ebs/x", Access::Shared), wants("ebs/w2", Access::Exclusive)],
    });
    agent.acquire("c", "ebs/W2", Access::Shared, true);
    assert!(agent.is_idle(), "c does not overtake b, whose spelling it uses");
}

#[test]
fn a_second_spelling_that_turns_out_to_be_an_exclusive_volume_is_refused_with_both_names_before_it_starts() {
    let mut agent = Agent::default();
    agent
        .acquire("a", "ebs/w2", Access::Exclusive, false)
        .mounts("ebs/w2", 1);
    agent
        .acquire("b", "ebs/vol-1", Access::Shared, false)
        .mounts("ebs/vol-1", 1);
    assert!(!agent.has("b"));
    let refusal = agent.refusal("b");
    assert!(
        refusal.contains("'w2'") && refusal.contains("'vol-1'") && refusal.contains("container a"),
        "{refusal}"
    );
    agent.release("b");
    assert!(agent.is_idle(), "nothing is unmounted under a");
    agent.release("a");
    let calls = agent.calls();
    assert_eq!(calls.len(), 1, "one call for a volume at a time: {calls:?}");
    let op = calls[0].2;
    agent.tell(Event::UnmountDone {
        op,
        outcome: UnmountOutcome::Unmounted,
    });
    let calls = agent.calls();
    assert_eq!(calls.len(), 1, "each Mount has its Unmount");
    let op = calls[0].2;
    agent.tell(Event::UnmountDone {
        op,
        outcome: UnmountOutcome::Unmounted,
    });
    assert!(agent.records.is_empty());
}

#[test]
fn two_shared_spellings_that_turn_out_to_be_one_are_unmounted_when_neither_is_used() {
    let mut agent = Agent::default();
    agent.acquire("a", "ebs/w2", Access::Shared, false).mounts("ebs/w2", 1);
    agent
        .acquire("b", "ebs/vol-1", Access::Shared, false)
        .mounts("ebs/vol-1", 1);
    assert!(agent.has("a") && agent.has("b"));
    agent.release("a");
    assert!(agent.is_idle());
    agent.acquire("c", "ebs/w2", Access::Exclusive, false);
    assert!(agent.is_idle() && !agent.has("c"), "b uses it under its other name");
    agent.tell(Event::PrepareDeadline {
        container: ContainerId::root("c"),
    });
    let refusal = agent.refusal("c");
    assert!(
        refusal.contains("container b") && refusal.contains("'vol-1'"),
        "{refusal}"
    );
}

#[test]
fn two_folders_of_one_device_are_two_volumes() {
    let folder = |name: &str| {
        let mut at = at(name, 1);
        at.mount.as_mut().expect("it is mounted").root = format!("/{name}");
        at
    };
    let mut agent = Agent::default();
    for (container, name) in [("a", "ebs/one"), ("b", "ebs/two")] {
        agent.acquire(container, name, Access::Exclusive, false);
        let op = agent.one_call("mount", name);
        agent.tell(Event::MountDone {
            op,
            outcome: MountOutcome::Mounted(folder(name)),
        });
        assert!(agent.has(container));
    }
    agent.release("a").unmounts("ebs/one");
}

#[test]
fn records_of_earlier_builds_with_several_spellings_are_one_volume_again() {
    let mut agent = Agent::default();
    for spelled in ["ebs/w2", "ebs/W2"] {
        agent.tell(Event::Identified {
            volume: key(spelled),
            identities: identities(&key(spelled)),
        });
    }
    agent.tell(Event::Restore(vec![held("a", "ebs/w2", 1), held("b", "ebs/W2", 1)]));
    agent.release("a");
    assert!(agent.is_idle(), "b uses it");
    assert!(
        agent
            .seen
            .iter()
            .any(|effect| matches!(effect, Effect::AnswerCleanup { .. })),
        "the cleanup of a does not wait for b"
    );
    agent.acquire("c", "fast/w2", Access::Shared, true);
    assert!(agent.is_idle() && !agent.has("c"), "b has it exclusively");
    agent.release("b");
    // c has the mount that is still there, or gets a new one when all is undone.
    for _ in 0..3 {
        for (kind, spelled, op) in agent.calls() {
            if kind == "mount" {
                let outcome = MountOutcome::Mounted(at(&spelled, 1));
                agent.tell(Event::MountDone { op, outcome });
            } else {
                let outcome = UnmountOutcome::Unmounted;
                agent.tell(Event::UnmountDone { op, outcome });
            }
        }
    }
    assert!(agent.has("c"), "{:?}", agent.seen);
}

/// The answer of a Mount, after a look at the mount table, which shows no mount of any volume that
/// waits for its Unmount.
fn mounts_where_others_are_gone(agent: &mut Agent, spelled: &str, number: u32) {
    let op = agent.one_call("mount", spelled);
    let mountpoint = at(spelled, number);
    for (volume, mountpoint) in agent.ledger.seemingly_the_same(op, &mountpoint) {
        agent.tell(Event::MountGone { volume, mountpoint });
    }
    let outcome = MountOutcome::Mounted(mountpoint);
    agent.tell(Event::MountDone { op, outcome });
}

/// A volume of which the driver has not confirmed the Unmount.
fn unconfirmed(agent: &mut Agent, container: &str, spelled: &str, number: u32) {
    agent
        .acquire(container, spelled, Access::Exclusive, false)
        .mounts(spelled, number);
    agent.release(container);
    let op = agent.one_call("unmount", spelled);
    let outcome = UnmountOutcome::Uncertain("no answer".into());
    agent.tell(Event::UnmountDone { op, outcome });
}

#[test]
fn a_device_number_that_is_used_again_after_an_unconfirmed_unmount_refuses_no_other_volume() {
    let mut agent = Agent::default();
    unconfirmed(&mut agent, "a", "ebs/one", 1);
    agent.acquire("b", "ebs/two", Access::Exclusive, false);
    mounts_where_others_are_gone(&mut agent, "ebs/two", 1);
    assert!(agent.has("b"), "{:?}", agent.seen);
    agent.tell(Event::RetryDue {
        volume: key("ebs/one"),
        attempt: 1,
    });
    let place_is_known = agent.seen.iter().find_map(|effect| match effect {
        Effect::Unmount { is_place_known, .. } => Some(*is_place_known),
        _ => None,
    });
    assert_eq!(place_is_known, Some(false), "the driver is asked for the place first");
    agent.unmounts("ebs/one");
    agent.release("b").unmounts("ebs/two");
    assert!(agent.records.is_empty() && agent.is_idle());
}

#[test]
fn a_device_number_never_gives_a_container_a_volume_in_place_of_the_one_that_it_names() {
    let mut agent = Agent::default();
    agent.acquire("b", "ebs/one", Access::Shared, true).mounts("ebs/one", 1);
    agent.acquire("a", "ebs/two", Access::Shared, true).mounts("ebs/two", 1);
    agent.acquire("c", "ebs/ONE", Access::Shared, true);
    let record = agent
        .records
        .iter()
        .find(|record| record.container == ContainerId::root("c"));
    assert_eq!(record.expect("c is admitted").volumes[0].request.volume, key("ebs/one"));
}

#[test]
fn a_mount_that_is_still_there_after_an_unconfirmed_unmount_shows_that_two_volumes_are_one() {
    let mut agent = Agent::default();
    unconfirmed(&mut agent, "a", "ebs/w2", 1);
    agent.acquire("b", "ebs/vol-1", Access::Exclusive, false);
    let op = agent.one_call("mount", "ebs/vol-1");
    let seemingly_the_same = agent.ledger.seemingly_the_same(op, &at("ebs/vol-1", 1));
    assert_eq!(seemingly_the_same, [(key("ebs/w2"), at("ebs/w2", 1))]);
    agent.tell(Event::MountDone {
        op,
        outcome: MountOutcome::Mounted(at("ebs/vol-1", 1)),
    });
    assert!(agent.refusal("b").contains("'w2'"));
}

#[test]
fn two_names_stay_one_volume_while_a_container_uses_it_even_when_its_mount_is_gone() {
    let mut agent = Agent::default();
    agent
        .acquire("a", "ebs/w2", Access::Exclusive, false)
        .mounts("ebs/w2", 1);
    agent.acquire("b", "ebs/vol-1", Access::Exclusive, false);
    // Somebody unmounted it by hand: the driver still has it attached, so its device number is used
    // by nothing else.
    mounts_where_others_are_gone(&mut agent, "ebs/vol-1", 1);
    assert!(agent.refusal("b").contains("container a"));
}

#[test]
fn what_a_lost_mount_left_is_not_unmounted_when_another_spelling_is_used_there() {
    let mut agent = Agent::default();
    agent.acquire("a", "ebs/w2", Access::Shared, false).mounts("ebs/w2", 1);
    agent.acquire("b", "ebs/vol-1", Access::Shared, false);
    let op = agent.one_call("mount", "ebs/vol-1");
    agent.tell(Event::MountDone {
        op,
        outcome: MountOutcome::Uncertain("no answer".into()),
    });
    let op = agent.one_call("unmount", "ebs/vol-1");
    agent.tell(Event::UnmountDone {
        op,
        outcome: UnmountOutcome::Found(at("ebs/w2", 1)),
    });
    assert!(agent.is_idle(), "a uses what is mounted there");
    agent.release("b").release("a");
    for _ in 0..2 {
        let calls = agent.calls();
        assert!(matches!(calls.as_slice(), [("unmount", ..)]), "{calls:?}");
        let op = calls[0].2;
        agent.tell(Event::UnmountDone {
            op,
            outcome: UnmountOutcome::Unmounted,
        });
    }
    assert!(agent.records.is_empty());
    assert_eq!(agent.ledger.volume_state(&key("ebs/w2")), VolumeState::Absent);
}
