//! The ledger's promises about volumes that are made for a container: created for it, removed after
//! it, and nothing else ever.

use isolator::ledger::{
    CreateOutcome, Effect, Event, LOOKS_FOR_A_LATE_CREATE, Ledger, MountOutcome, MountSpec, Op, Presence, Record,
    RecordedState, RecordedVolume, RemoveOutcome, Restored, UnmountOutcome, VolumeRequest, VolumeState,
};
use isolator::{ContainerId, Containerizer, VolumeKey};
use volume_driver_client::MountId;
use volume_labels::{Access, Lifetime};

const NAME: &str = "scratch-mev-0123456789abcdef";

fn scratch() -> VolumeRequest {
    VolumeRequest {
        origin: "data".into(),
        volume: VolumeKey::new("ebs", NAME),
        mount_id: MountId::derive("host", "ebs", NAME),
        target: "/sandbox/data".into(),
        read_only: false,
        access: Access::Shared,
        spec: MountSpec {
            create: Some([("size".to_owned(), "1".to_owned())].into()),
            lifetime: Lifetime::Container,
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

    /// A container asks for the volume, and its Create is answered so.
    fn created(outcome: CreateOutcome) -> Self {
        let mut agent = Self::default();
        agent.acquire("a").answer_create(outcome);
        agent
    }

    /// A container has the volume.
    fn holding() -> Self {
        let mut agent = Self::created(CreateOutcome::Created);
        agent.answer_mount(MountOutcome::Mounted("/volumes/v".into()));
        assert!(agent.granted("a"));
        agent
    }

    fn acquire(&mut self, container: &str) -> &mut Self {
        self.tell(Event::Acquire {
            container: ContainerId::root(container),
            containerizer: Containerizer::Mesos,
            requests: vec![scratch()],
        })
    }

    fn release(&mut self, container: &str) -> &mut Self {
        self.tell(Event::Release {
            container: ContainerId::root(container),
        })
    }

    fn call(&mut self, what: &str) -> Op {
        let found = self.seen.iter().position(|effect| match effect {
            Effect::Create { .. } => what == "create",
            Effect::Mount { .. } => what == "mount",
            Effect::Unmount { .. } => what == "unmount",
            Effect::Remove { .. } => what == "remove",
            _ => false,
        });
        match found.map(|index| self.seen.remove(index)) {
            Some(
                Effect::Create { op, .. }
                | Effect::Mount { op, .. }
                | Effect::Unmount { op, .. }
                | Effect::Remove { op, .. },
            ) => op,
            _ => panic!("no {what} was asked for: {:?}", self.seen),
        }
    }

    fn answer_create(&mut self, outcome: CreateOutcome) -> &mut Self {
        let op = self.call("create");
        self.tell(Event::CreateDone { op, outcome })
    }

    fn answer_mount(&mut self, outcome: MountOutcome) -> &mut Self {
        let op = self.call("mount");
        self.tell(Event::MountDone { op, outcome })
    }

    fn answer_unmount(&mut self, outcome: UnmountOutcome) -> &mut Self {
        let op = self.call("unmount");
        self.tell(Event::UnmountDone { op, outcome })
    }

    fn answer_remove(&mut self, outcome: RemoveOutcome) -> &mut Self {
        let op = self.call("remove");
        self.tell(Event::RemoveDone { op, outcome })
    }

    fn granted(&mut self, container: &str) -> bool {
        self.prepared(container).is_some_and(|refusal| refusal.is_empty())
    }

    /// Why the container was refused; the empty text when it was not.
    fn prepared(&mut self, name: &str) -> Option<String> {
        let answers = |effect: &Effect| matches!(effect, Effect::AnswerPrepare { container, .. } if *container == ContainerId::root(name));
        let index = self.seen.iter().position(answers)?;
        match self.seen.remove(index) {
            Effect::AnswerPrepare { result, .. } => {
                Some(result.err().map(|error| error.to_string()).unwrap_or_default())
            }
            _ => None,
        }
    }

    fn cleaned(&mut self, name: &str) -> bool {
        let answers = |effect: &Effect| matches!(effect, Effect::AnswerCleanup { container } if *container == ContainerId::root(name));
        let index = self.seen.iter().position(answers);
        index.map(|index| self.seen.remove(index)).is_some()
    }

    /// The delay asked for is over.
    fn wait(&mut self) -> &mut Self {
        let delayed = self
            .seen
            .iter()
            .position(|effect| matches!(effect, Effect::RetryAfter { .. }));
        match delayed.map(|index| self.seen.remove(index)) {
            Some(Effect::RetryAfter { volume, attempt, .. }) => self.tell(Event::RetryDue { volume, attempt }),
            _ => panic!("nothing is to be tried again: {:?}", self.seen),
        }
    }

    fn state(&self) -> VolumeState {
        self.ledger.volume_state(&scratch().volume)
    }

    fn nothing_is_left(&self) -> bool {
        self.records.is_empty() && self.seen.is_empty() && self.ledger.volumes().count() == 0
    }
}

#[test]
fn it_is_created_mounted_unmounted_and_removed_in_this_order() {
    let mut agent = Agent::holding();
    agent.release("a");
    assert!(!agent.cleaned("a"), "the cleanup waits for the Unmount");
    agent.answer_unmount(UnmountOutcome::Unmounted);
    assert_eq!(agent.state(), VolumeState::Removing);
    assert!(!agent.cleaned("a"), "and for the first Remove");
    assert_eq!(agent.records.len(), 1, "the record stays as long as the volume");
    agent.answer_remove(RemoveOutcome::Removed);
    assert!(agent.cleaned("a") && agent.nothing_is_left());
}

#[test]
fn what_exists_already_is_refused_and_never_removed() {
    let mut agent = Agent::created(CreateOutcome::Failed("volume 'scratch' exists".into()));
    let problem = agent.prepared("a").unwrap();
    assert!(
        problem.contains("'volume.data'") && problem.contains("exists"),
        "{problem}"
    );
    assert!(agent.nothing_is_left());
}

#[test]
fn a_refused_create_may_have_left_something_which_is_removed() {
    let mut agent = Agent::created(CreateOutcome::Refused("mkfs failed".into()));
    assert!(agent.prepared("a").unwrap().contains("mkfs failed"));
    agent.answer_remove(RemoveOutcome::Missing);
    assert!(agent.nothing_is_left());
}

#[test]
fn a_create_without_an_answer_is_looked_for_until_it_cannot_come_any_more() {
    let mut agent = Agent::created(CreateOutcome::Uncertain("no answer".into()));
    assert!(agent.prepared("a").unwrap().contains("no answer"));
    for _ in 1..LOOKS_FOR_A_LATE_CREATE {
        agent.answer_remove(RemoveOutcome::Missing);
        assert_eq!(agent.state(), VolumeState::Unremoved);
        assert_eq!(agent.records.len(), 1);
        agent.wait();
    }
    agent.answer_remove(RemoveOutcome::Missing);
    assert!(agent.nothing_is_left());
}

#[test]
fn a_create_that_came_late_is_removed_and_then_no_more_is_looked_for() {
    let mut agent = Agent::created(CreateOutcome::Uncertain("no answer".into()));
    agent.prepared("a").unwrap();
    agent.answer_remove(RemoveOutcome::Missing).wait();
    agent.answer_remove(RemoveOutcome::Removed);
    assert!(agent.nothing_is_left());
}

#[test]
fn a_remove_that_fails_is_retried_and_the_cleanup_does_not_wait_for_it() {
    let mut agent = Agent::holding();
    agent.release("a").answer_unmount(UnmountOutcome::Unmounted);
    agent.answer_remove(RemoveOutcome::Failed("busy".into()));
    assert!(agent.cleaned("a"));
    assert_eq!(agent.state(), VolumeState::Unremoved);
    agent.wait().answer_remove(RemoveOutcome::NotSent("no driver".into()));
    agent.wait().answer_remove(RemoveOutcome::Uncertain("no answer".into()));
    agent.wait().answer_remove(RemoveOutcome::Missing);
    assert!(agent.nothing_is_left());
}

#[test]
fn a_volume_that_cannot_be_mounted_is_removed() {
    let mut agent = Agent::created(CreateOutcome::Created);
    agent.answer_mount(MountOutcome::Failed("no".into()));
    assert!(agent.prepared("a").unwrap().contains("no"));
    agent.answer_remove(RemoveOutcome::Removed);
    assert!(agent.nothing_is_left());
}

#[test]
fn a_container_that_is_gone_before_its_volume_is_there_leaves_none() {
    let mut agent = Agent::default();
    agent.acquire("a").tell(Event::PrepareDeadline {
        container: ContainerId::root("a"),
    });
    assert!(agent.prepared("a").unwrap().contains("Create"));
    agent.answer_create(CreateOutcome::Created);
    agent.answer_remove(RemoveOutcome::Removed);
    agent.seen.retain(|effect| !matches!(effect, Effect::Withdraw { .. }));
    assert!(agent.nothing_is_left());
}

#[test]
fn the_members_of_a_pod_share_it_and_the_last_one_takes_it_with_it() {
    let mut agent = Agent::holding();
    agent.acquire("a.member");
    assert!(agent.granted("a.member"));
    agent.release("a");
    assert!(agent.cleaned("a"));
    assert!(agent.seen.is_empty(), "a member still uses it");
    agent.release("a.member").answer_unmount(UnmountOutcome::Unmounted);
    agent.answer_remove(RemoveOutcome::Removed);
    assert!(agent.cleaned("a.member") && agent.nothing_is_left());
}

#[test]
fn a_new_user_gets_a_new_volume_never_what_another_left() {
    let mut agent = Agent::holding();
    agent.release("a").answer_unmount(UnmountOutcome::Unmounted);
    agent.acquire("b").answer_remove(RemoveOutcome::Removed);
    agent.answer_create(CreateOutcome::Created);
    agent.answer_mount(MountOutcome::Mounted("/volumes/v".into()));
    assert!(agent.granted("b"));
}

#[test]
fn what_the_driver_refused_to_unmount_is_not_taken_over_by_a_new_user() {
    let mut agent = Agent::holding();
    agent.release("a").answer_unmount(UnmountOutcome::Failed("busy".into()));
    agent.acquire("b").answer_unmount(UnmountOutcome::Unmounted);
    agent.answer_remove(RemoveOutcome::Removed);
    agent.answer_create(CreateOutcome::Created);
}

fn found(state: RecordedState, rebooted: bool) -> Event {
    let volumes = vec![RecordedVolume {
        request: scratch(),
        state,
    }];
    Event::Restore(vec![Restored {
        record: Record {
            container: ContainerId::root("a"),
            containerizer: Containerizer::Mesos,
            released: true,
            volumes,
        },
        presence: Presence::Gone,
        rebooted,
        lost: [].into(),
    }])
}

#[test]
fn at_restart_what_may_have_been_made_is_unmounted_and_removed() {
    let mounted = || Some("/volumes/v".into());
    for (state, rebooted) in [
        (RecordedState::Mounting, false),
        (RecordedState::Unmounting(None), false),
        (RecordedState::Unmounting(mounted()), false),
        (RecordedState::Unmounting(mounted()), true),
    ] {
        let mut agent = Agent::default();
        agent.tell(found(state, rebooted));
        agent.answer_unmount(UnmountOutcome::Unmounted);
        agent.answer_remove(RemoveOutcome::Removed);
        assert!(agent.nothing_is_left());
    }
}

#[test]
fn at_restart_only_what_was_never_mounted_may_still_come_late() {
    let mut agent = Agent::default();
    agent.tell(found(RecordedState::Unmounting(Some("/volumes/v".into())), false));
    agent.answer_unmount(UnmountOutcome::Unmounted);
    agent.answer_remove(RemoveOutcome::Missing);
    assert!(agent.nothing_is_left());
    let mut agent = Agent::default();
    agent.tell(found(RecordedState::Mounting, false));
    agent.answer_unmount(UnmountOutcome::Unmounted);
    agent.answer_remove(RemoveOutcome::Missing);
    assert_eq!(agent.state(), VolumeState::Unremoved);
}
