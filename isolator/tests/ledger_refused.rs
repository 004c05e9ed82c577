//! The ledger's promises about calls that a driver refuses: what a refused Mount may have left is
//! undone, and what is not there is not undone for ever.

use isolator::ledger::{
    CreateOutcome, Effect, Event, Ledger, MountOutcome, MountSpec, Op, Record, RecordedState, RemoveOutcome,
    UNMOUNTS_OF_NOTHING, UnmountOutcome, VolumeRequest, VolumeState,
};
use isolator::{ContainerId, Containerizer, VolumeKey};
use volume_driver_client::MountId;
use volume_labels::{Access, Lifetime};

const MADE: &str = "scratch-mev-0123456789abcdef";

fn key(name: &str) -> VolumeKey {
    VolumeKey::new("ebs", name)
}

fn wants(name: &str) -> VolumeRequest {
    let lifetime = if name == MADE {
        Lifetime::Container
    } else {
        Lifetime::Persistent
    };
    VolumeRequest {
        origin: "data".into(),
        volume: key(name),
        mount_id: MountId::derive("host", "ebs", name),
        target: "/sandbox/data".into(),
        read_only: false,
        access: Access::Shared,
        spec: MountSpec {
            create: (name == MADE).then(Default::default),
            lifetime,
            ..MountSpec::default()
        },
    }
}

/// A ledger whose disk always works, with what it asked for last.
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

    fn acquire(&mut self, container: &str, volume: &str) -> &mut Self {
        self.tell(Event::Acquire {
            container: ContainerId::root(container),
            containerizer: Containerizer::Mesos,
            requests: vec![wants(volume)],
        })
    }

    fn release(&mut self, container: &str) -> &mut Self {
        self.tell(Event::Release {
            container: ContainerId::root(container),
        })
    }

    /// The call to the driver that was asked for last, and its kind; everything asked for before is
    /// forgotten.
    fn call(&mut self) -> Option<(&'static str, Op)> {
        let seen = std::mem::take(&mut self.seen);
        seen.iter().rev().find_map(|effect| match effect {
            Effect::Create { op, .. } => Some(("create", *op)),
            Effect::Mount { op, .. } => Some(("mount", *op)),
            Effect::Unmount { op, .. } => Some(("unmount", *op)),
            Effect::Remove { op, .. } => Some(("remove", *op)),
            _ => None,
        })
    }

    fn expect(&mut self, kind: &str) -> Op {
        match self.call() {
            Some((asked, op)) if asked == kind => op,
            other => panic!("expected a {kind}, got {other:?}"),
        }
    }

    fn mount_ends(&mut self, outcome: MountOutcome) -> &mut Self {
        let op = self.expect("mount");
        self.tell(Event::MountDone { op, outcome })
    }

    fn unmount_ends(&mut self, outcome: UnmountOutcome) -> &mut Self {
        let op = self.expect("unmount");
        self.tell(Event::UnmountDone { op, outcome })
    }

    fn remove_ends(&mut self, outcome: RemoveOutcome) -> &mut Self {
        let op = self.expect("remove");
        self.tell(Event::RemoveDone { op, outcome })
    }

    /// The delay that was asked for last is over.
    fn wait(&mut self) -> &mut Self {
        let retry = self.seen.iter().rev().find_map(|effect| match effect {
            Effect::RetryAfter { volume, attempt, .. } => Some((volume.clone(), *attempt)),
            _ => None,
        });
        let (volume, attempt) = retry.expect("a retry was asked for");
        self.seen.clear();
        self.tell(Event::RetryDue { volume, attempt })
    }

    fn state(&self, volume: &str) -> VolumeState {
        self.ledger.volume_state(&key(volume))
    }

    fn tells_of_settlement(&self) -> bool {
        self.seen
            .iter()
            .any(|effect| matches!(effect, Effect::TellSettled { .. }))
    }
}

#[test]
fn an_unmount_follows_a_refused_mount_and_the_record_stays_until_it_is_answered() {
    let mut agent = Agent::default();
    agent
        .acquire("a", "v")
        .mount_ends(MountOutcome::Refused("error mounting directory".into()));
    assert_eq!(agent.state("v"), VolumeState::Unmounting);
    assert_eq!(agent.records.len(), 1, "an attachment may be there");
    agent.unmount_ends(UnmountOutcome::Unmounted);
    assert_eq!(agent.state("v"), VolumeState::Absent);
    agent.release("a");
    assert!(agent.records.is_empty());
}

#[test]
fn what_was_made_for_a_container_is_unmounted_after_a_refused_mount_and_then_removed() {
    let mut agent = Agent::default();
    let op = agent.acquire("a", MADE).expect("create");
    agent.tell(Event::CreateDone {
        op,
        outcome: CreateOutcome::Created,
    });
    agent
        .mount_ends(MountOutcome::Refused("error mounting directory".into()))
        .unmount_ends(UnmountOutcome::Unmounted)
        .remove_ends(RemoveOutcome::Removed);
    assert_eq!(agent.state(MADE), VolumeState::Absent);
    assert!(agent.records.is_empty());
}

#[test]
fn a_remove_that_fails_because_the_volume_is_in_use_is_resolved_by_an_unmount() {
    let mut agent = Agent::default();
    let op = agent.acquire("a", MADE).expect("create");
    agent.tell(Event::CreateDone {
        op,
        outcome: CreateOutcome::Created,
    });
    agent.mount_ends(MountOutcome::Mounted("/volumes/v".into()));
    agent.release("a").unmount_ends(UnmountOutcome::Unmounted);
    let mut delays = Vec::new();
    for _ in 0..3 {
        agent.remove_ends(RemoveOutcome::InUse("VolumeInUse".into()));
        delays.extend(agent.seen.iter().find_map(|effect| match effect {
            Effect::RetryAfter { delay, .. } => Some(*delay),
            _ => None,
        }));
        agent.wait().unmount_ends(UnmountOutcome::Unmounted);
    }
    assert!(delays.is_sorted() && delays[0] < delays[2], "{delays:?}");
    agent.remove_ends(RemoveOutcome::Removed);
    assert!(agent.records.is_empty());
}

#[test]
fn a_driver_that_refuses_to_unmount_what_is_not_mounted_is_not_asked_for_ever() {
    let mut agent = Agent::default();
    agent
        .acquire("a", "v")
        .mount_ends(MountOutcome::Mounted("/volumes/v".into()));
    agent.release("a");
    for _ in 1..UNMOUNTS_OF_NOTHING {
        agent
            .unmount_ends(UnmountOutcome::NothingMounted("exit status 32".into()))
            .wait();
        assert_eq!(agent.records.len(), 1, "an attachment may be there");
    }
    agent.unmount_ends(UnmountOutcome::NothingMounted("exit status 32".into()));
    assert!(agent.tells_of_settlement());
    assert_eq!(agent.state("v"), VolumeState::Absent);
    assert!(agent.records.is_empty());
}

#[test]
fn a_busy_volume_in_between_begins_the_count_of_refusals_again() {
    let mut agent = Agent::default();
    agent
        .acquire("a", "v")
        .mount_ends(MountOutcome::Mounted("/volumes/v".into()));
    agent.release("a");
    let refusal = || UnmountOutcome::NothingMounted("exit status 32".into());
    for _ in 1..UNMOUNTS_OF_NOTHING {
        agent.unmount_ends(refusal()).wait();
    }
    agent
        .unmount_ends(UnmountOutcome::Failed("device is busy".into()))
        .wait();
    agent.unmount_ends(refusal());
    assert_eq!(agent.state("v"), VolumeState::Stuck);
    assert!(!agent.tells_of_settlement());
}

#[test]
fn a_driver_that_refuses_both_the_mount_and_the_unmount_keeps_nobody_waiting() {
    let mut agent = Agent::default();
    let refused = || MountOutcome::Refused("error mounting directory".into());
    agent
        .acquire("a", "v")
        .mount_ends(refused())
        .unmount_ends(UnmountOutcome::Failed("no".into()));
    // Its file system was repaired meanwhile.
    agent.acquire("b", "v").mount_ends(refused());
    agent.unmount_ends(UnmountOutcome::Failed("no".into()));
    agent
        .acquire("c", "v")
        .mount_ends(MountOutcome::Mounted("/volumes/v".into()));
    assert_eq!(agent.state("v"), VolumeState::Mounted);
}

#[test]
fn the_mountpoint_is_kept_when_taking_over_a_stuck_volume_fails_or_is_withdrawn() {
    for withdrawn in [false, true] {
        let mut agent = Agent::default();
        agent
            .acquire("a", "v")
            .mount_ends(MountOutcome::Mounted("/volumes/v".into()));
        agent
            .release("a")
            .unmount_ends(UnmountOutcome::Failed("device is busy".into()));
        let op = agent.acquire("b", "v").expect("mount");
        if withdrawn {
            agent.release("b").tell(Event::Withdrawn { op });
        } else {
            let outcome = MountOutcome::Uncertain("no answer".into());
            agent.tell(Event::MountDone { op, outcome });
        }
        let left = &agent.records[0];
        assert!(
            matches!(&left.volumes[0].state, RecordedState::Unmounting(Some(_))),
            "withdrawn: {withdrawn}: {left:?}"
        );
        agent.unmount_ends(UnmountOutcome::Failed("device is busy".into()));
        agent.acquire("c", "v");
        assert!(
            agent
                .seen
                .iter()
                .any(|effect| matches!(effect, Effect::Mount { adopt: Some(_), .. })),
            "withdrawn: {withdrawn}: c can take over what is still mounted: {:?}",
            agent.seen
        );
    }
}
