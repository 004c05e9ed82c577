//! The disk refuses the record that a container has left: nothing is unmounted until it is written, so
//! that no later life of the agent takes the container for one that has its volumes.

use std::collections::BTreeSet;

use isolator::ledger::{
    Effect, Event, Ledger, MountOutcome, MountSpec, Op, Phase, Presence, Record, RecordedState, RecordedVolume,
    Restored, Usage, VolumeRequest, VolumeState,
};
use isolator::{ContainerId, Containerizer, MountIdentity, Mountpoint, VolumeKey};
use volume_driver_client::MountId;
use volume_labels::Access;

const FULL: &str = "no space left on device";

fn key(name: &str) -> VolumeKey {
    VolumeKey::new("ebs", name)
}

fn id(container: &str) -> ContainerId {
    ContainerId::root(container)
}

fn wants(volume: &str) -> VolumeRequest {
    VolumeRequest {
        origin: "data".into(),
        volume: key(volume),
        mount_id: MountId::derive("host", "ebs", volume),
        target: "/sandbox/data".into(),
        read_only: false,
        access: Access::Shared,
        spec: MountSpec::default(),
    }
}

/// Where every volume is mounted: the mount table shows one device for all names.
fn place() -> Mountpoint {
    let path = std::path::PathBuf::from("/volumes/v");
    Mountpoint {
        mount: Some(MountIdentity {
            id: 7,
            namespace: None,
            device: "7:0".into(),
            root: "/".into(),
            kind: "ext4".into(),
            source: "/dev/loop0".into(),
            target: path.clone(),
        }),
        path,
    }
}

/// A ledger whose disk refuses records while it is full.
#[derive(Default)]
struct Agent {
    ledger: Ledger,
    is_disk_full: bool,
    /// Effects other than records, in order.
    seen: Vec<Effect>,
}

impl Agent {
    fn tell(&mut self, event: Event) {
        for effect in self.ledger.handle(event) {
            match effect {
                Effect::WriteRecord { revision, record } => {
                    let result = if self.is_disk_full {
                        Err(FULL.to_owned())
                    } else {
                        Ok(())
                    };
                    self.tell(Event::RecordWritten {
                        container: record.container,
                        revision,
                        result,
                    });
                }
                Effect::RemoveRecord { .. } => {}
                other => self.seen.push(other),
            }
        }
    }

    fn take(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.seen)
    }

    fn acquire(&mut self, container: &str, volume: &str) {
        let requests = vec![wants(volume)];
        self.tell(Event::Acquire {
            container: id(container),
            containerizer: Containerizer::Mesos,
            requests,
        });
    }

    fn release(&mut self, container: &str) {
        self.tell(Event::Release {
            container: id(container),
        });
    }

    /// A container gets a volume for which the driver is asked.
    fn mount(&mut self, container: &str, volume: &str) {
        self.acquire(container, volume);
        let [Effect::Mount { op, .. }] = self.take()[..] else {
            panic!("a Mount was expected")
        };
        let outcome = MountOutcome::Mounted(place());
        self.tell(Event::MountDone { op, outcome });
        assert!(matches!(self.take()[..], [Effect::AnswerPrepare { result: Ok(_), .. }]));
    }

    fn unmounts(effects: &[Effect]) -> Vec<Op> {
        let op = |effect: &Effect| match effect {
            Effect::Unmount { op, .. } => Some(*op),
            _ => None,
        };
        effects.iter().filter_map(op).collect()
    }

    /// The delay after which the record is written again is over.
    fn record_retry(effects: &[Effect]) -> (Event, std::time::Duration) {
        let retry = |effect: &Effect| match effect {
            Effect::RetryRecordAfter {
                container,
                revision,
                cause,
                delay,
            } => {
                assert_eq!(cause, FULL);
                let (container, revision) = (container.clone(), *revision);
                Some((Event::RecordRetryDue { container, revision }, *delay))
            }
            _ => None,
        };
        effects.iter().find_map(retry).expect("the record is written again")
    }
}

#[test]
fn a_volume_stays_mounted_until_the_disk_takes_the_record_that_its_container_has_left() {
    let mut agent = Agent::default();
    agent.mount("a", "v");
    agent.is_disk_full = true;
    agent.release("a");
    let mut last = std::time::Duration::ZERO;
    for attempt in 0..8 {
        let effects = agent.take();
        assert_eq!(Agent::unmounts(&effects), [], "after refusal {attempt}");
        let answers = effects.iter().filter(|it| matches!(it, Effect::AnswerCleanup { .. }));
        assert_eq!(
            answers.count(),
            usize::from(attempt == 0),
            "the cleanup does not wait for the disk"
        );
        let (due, delay) = Agent::record_retry(&effects);
        assert!(delay >= last && delay.as_secs() <= 15, "{delay:?} after {last:?}");
        last = delay;
        agent.tell(due);
    }
    assert_eq!(agent.ledger.volume_state(&key("v")), VolumeState::Mounted);
    assert_eq!(agent.ledger.phase(&id("a")), Some(Phase::Departing));

    agent.is_disk_full = false;
    let (due, _) = Agent::record_retry(&agent.take());
    agent.tell(due.clone());
    assert_eq!(
        Agent::unmounts(&agent.take()).len(),
        1,
        "the disk knows that the container has left"
    );
    agent.tell(due);
    assert_eq!(agent.take(), [], "a delay that is over counts once");
}

#[test]
fn the_overview_says_that_a_volume_waits_for_the_disk_and_what_to_do() {
    let mut agent = Agent::default();
    agent.mount("a", "v");
    agent.is_disk_full = true;
    agent.release("a");
    let overview: Vec<_> = agent.ledger.overview().collect();
    let problem = overview[0].problem.expect("what the volume waits for").to_string();
    assert!(
        problem.contains("the record that container a has left")
            && problem.contains(FULL)
            && problem.contains("state_dir"),
        "{problem}"
    );
    assert_eq!(overview[0].users, [(&id("a"), Usage::Leaving)]);
}

#[test]
fn a_container_gets_a_volume_whose_last_container_has_left_as_soon_as_the_disk_takes_its_own_record() {
    let mut agent = Agent::default();
    agent.mount("a", "v");
    agent.is_disk_full = true;
    agent.release("a");
    let (due, _) = Agent::record_retry(&agent.take());
    agent.is_disk_full = false;
    agent.acquire("b", "v");
    assert!(matches!(
        agent.take()[..],
        [Effect::AnswerPrepare { result: Ok(_), .. }]
    ));
    agent.tell(due);
    assert_eq!(agent.take(), [], "the earlier container is no longer of interest");
    assert_eq!(agent.ledger.overview().next().and_then(|volume| volume.problem), None);
}

#[test]
fn the_unmount_under_another_name_waits_for_the_record_as_well() {
    let mut agent = Agent::default();
    agent.mount("a", "by-id");
    agent.mount("b", "by-name");
    agent.is_disk_full = true;
    agent.release("a");
    let (due, _) = Agent::record_retry(&agent.take());
    agent.is_disk_full = false;
    agent.release("b");
    assert_eq!(
        Agent::unmounts(&agent.take()),
        [],
        "it may take the mount from under the name whose container has left only in memory"
    );
    agent.tell(due);
    assert_eq!(Agent::unmounts(&agent.take()).len(), 1);
}

/// The container is gone when the agent starts. Mesos may use its id again, and a later start of the
/// agent would take a record that says that it has the volume for that of the later container.
#[test]
fn an_agent_that_starts_writes_that_a_container_is_gone_before_it_unmounts_anything() {
    let record = Record {
        container: id("a"),
        containerizer: Containerizer::Mesos,
        released: false,
        volumes: vec![RecordedVolume {
            request: wants("v"),
            state: RecordedState::Mounted(place()),
        }],
    };
    let restored = Restored {
        record,
        presence: Presence::Gone,
        rebooted: false,
        lost: BTreeSet::new(),
    };
    let mut agent = Agent {
        is_disk_full: true,
        ..Agent::default()
    };
    agent.tell(Event::Restore(vec![restored]));
    let effects = agent.take();
    assert_eq!(Agent::unmounts(&effects), []);
    agent.is_disk_full = false;
    let (due, _) = Agent::record_retry(&effects);
    agent.tell(due);
    assert_eq!(Agent::unmounts(&agent.take()).len(), 1);
}
