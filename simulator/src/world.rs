//! Everything but the ledger and the records: the disk, the driver and Mesos, as simple as they can
//! be and still be wrong in every way that real ones are.

mod alarms;
mod lives;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;

use isolator::ledger::{
    CreateOutcome, Effect, Event, Ledger, MountOutcome, MountSpec, Op, Phase, RemoveOutcome, UnmountOutcome,
    VolumeRequest, VolumeState,
};
use isolator::records::Change;
use isolator::{ContainerId, Containerizer, PrepareError, VolumeKey};
use volume_driver_client::MountId;
use volume_labels::{Access, Lifetime};

use crate::action::{Action, Work};
use crate::disk::Fault;
use crate::driver::{Backing, Call, Kind, NOT_SEEN, STILL_MOUNTED, is_made, refuses_what_is_not_mounted};
use crate::mutant::Mutant;
use crate::records::Records;
use crate::spelling;

/// What a history ended with, for figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The states that each volume was in at some time of the history.
    pub states: BTreeMap<VolumeKey, BTreeSet<VolumeState>>,
    /// From which state to which a volume went in one step of the ledger, starts of the agent
    /// apart.
    pub transitions: BTreeSet<(VolumeState, VolumeState)>,
    /// The same of containers; none before the ledger knows one and after it has forgotten it.
    pub steps: BTreeSet<(Option<Phase>, Option<Phase>)>,
    /// Prepares that succeeded.
    pub granted: u32,
    /// Agent crashes and reboots.
    pub crashes: u32,
}

/// What is true apart from what the ledger believes.
#[derive(Debug, Default)]
pub struct World {
    pub(crate) ledger: Ledger,
    pub(crate) disk: Records,
    pub(crate) orders: VecDeque<Order>,
    pub(crate) driver: BTreeMap<VolumeKey, Backing>,
    pub(crate) calls: Vec<Call>,
    retries: Vec<(VolumeKey, u32)>,
    /// Containers that have left, with the versions of the records that the disk refused, to be written
    /// again after a delay.
    departures: Vec<(ContainerId, u64)>,
    /// Containers whose records the disk did not remove, to be removed again after a delay.
    removals: Vec<ContainerId>,
    /// How many alarms of prepares have yet to ring for earlier containers with this id.
    earlier_alarms: BTreeMap<ContainerId, u32>,
    pub(crate) containers: BTreeMap<ContainerId, Life>,
    outcome: Outcome,
    /// A fault between the ledger and everything else.
    mutant: Option<Mutant>,
    /// What the ledger has heard of calls and records, to be said again.
    told: Vec<Event>,
}

/// A change to the records, with the revision of one that is written.
pub(crate) type Order = (Change, Option<u64>);

/// A container as Mesos sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Life {
    pub(crate) volumes: BTreeSet<VolumeKey>,
    pub(crate) exclusive: bool,
    pub(crate) preparing: bool,
    /// The alarm of its prepare has not rung.
    has_alarm: bool,
    /// The alarm of its prepare rang before it was answered.
    is_overdue: bool,
    /// Its prepare succeeded and its processes may run.
    pub(crate) running: bool,
    pub(crate) cleaning: bool,
    /// Nothing more is expected of it or for it.
    pub(crate) over: bool,
}

impl World {
    /// A world with a fault in it.
    pub fn with(mutant: Mutant) -> Self {
        let world = Self {
            mutant: Some(mutant),
            ..Self::default()
        };
        world
            .disk
            .leave_out_syncs(mutant == Mutant::FileNotSynced, mutant == Mutant::FolderNotSynced);
        world
    }

    /// Lets one action happen; it does nothing where it does not apply.
    ///
    /// # Errors
    /// The promise that it broke.
    pub fn act(&mut self, action: &Action) -> Result<(), String> {
        match *action {
            Action::Prepare {
                container,
                volumes,
                exclusive,
            } => self.prepare(container, volumes, exclusive),
            Action::PrepareDeadline { container } => self.prepare_alarm_rings(id(container)),
            Action::Cleanup { container } => self.cleanup(&id(container)),
            Action::CleanupDeadline { container } => self.tell(Event::CleanupDeadline {
                container: id(container),
            }),
            Action::Disk { orders, fails } => self.commit(orders, fails.then_some((Fault::Full, 0))),
            Action::DiskBreaks { orders, after } => self.commit(orders, Some((Fault::Broken, after))),
            Action::Begin { call } => {
                if let Some(index) = self.pick(call, false) {
                    self.calls[index].begun = true;
                }
                Ok(())
            }
            Action::Answer { call } => self.answer(call),
            Action::Refuse { call } => self.refuse(call),
            Action::RefuseWithoutCause { call } => self.refuse_without_cause(call),
            Action::PretendUnmount { call } => self.pretend_unmount(call),
            Action::PretendMount { call } => self.pretend_mount(call),
            Action::Lose { call, work } => self.lose(call, work),
            Action::Elsewhere { call } => self.end_call(call, true, |call| match call.kind {
                Kind::Mount => call.mounted(MountOutcome::AttachedElsewhere("attached to another host".into())),
                _ => call.refused("attached to another host"),
            }),
            Action::Again { nth } => self.say_again(nth),
            Action::NotSent { call } => self.end_call(call, true, Call::not_sent),
            Action::Retry { nth } => self.retry(nth),
            Action::Crash {
                known,
                orders,
                operations,
            } => {
                self.die(orders, operations);
                self.crash(known)
            }
            Action::Reboot {
                lost,
                orders,
                operations,
            } => {
                self.die(orders, operations);
                self.reboot(lost)
            }
            Action::LateWork { volume } => self.catch_up(&spelling::key(volume, false)),
            Action::Umount { volume } => {
                let backing = self.driver.entry(spelling::key(volume, false)).or_default();
                backing.unmounted_by_hand |= backing.mounted;
                backing.mounted = false;
                backing.mounted_as.clear();
                Ok(())
            }
        }
    }

    fn prepare(&mut self, container: u8, volumes: u8, exclusive: bool) -> Result<(), String> {
        let id = id(container);
        if self.containers.get(&id).is_some_and(|earlier| !earlier.over) {
            return Ok(());
        }
        self.keep_alarm_of_earlier(&id);
        let spelled = spelling::spelled(volumes);
        let requests = spelled.iter().map(|volume| request(volume, exclusive)).collect();
        let life = Life {
            volumes: spelled.iter().map(spelling::real).collect(),
            exclusive,
            preparing: true,
            has_alarm: true,
            ..Life::default()
        };
        self.containers.insert(id.clone(), life);
        self.identify(&spelled)?;
        self.tell(Event::Acquire {
            container: id,
            containerizer: Containerizer::Mesos,
            requests,
        })
    }

    /// The agent looks up what is known of the spellings.
    pub(crate) fn identify(&mut self, spelled: &BTreeSet<VolumeKey>) -> Result<(), String> {
        for volume in spelled {
            self.tell(Event::Identified {
                volume: volume.clone(),
                identities: spelling::identities(volume),
            })?;
        }
        Ok(())
    }

    fn cleanup(&mut self, id: &ContainerId) -> Result<(), String> {
        match self.containers.get_mut(id) {
            Some(life) if !life.cleaning && !life.over => {
                // Mesos calls cleanup only when all processes are gone.
                life.running = false;
                life.cleaning = true;
                self.tell(Event::Release { container: id.clone() })
            }
            _ => Ok(()),
        }
    }

    /// The oldest orders in one commit, as the writer carries them out.
    fn commit(&mut self, orders: u8, trouble: Option<(Fault, u8)>) -> Result<(), String> {
        let (changes, revisions) = self.take_orders(orders);
        if let Some((fault, after)) = trouble {
            self.disk.fail(fault, after);
        }
        let results = self.disk.commit(&changes);
        self.disk.repair();
        for ((change, revision), result) in changes.into_iter().zip(revisions).zip(results) {
            match (change, revision) {
                (Change::Write(record), Some(revision)) => self.tell(Event::RecordWritten {
                    container: record.container,
                    revision,
                    result,
                })?,
                // The engine tries again later.
                (Change::Remove(container), _) if result.is_err() => self.removals.push(container),
                _ => {}
            }
        }
        Ok(())
    }

    fn take_orders(&mut self, orders: u8) -> (Vec<Change>, Vec<Option<u64>>) {
        let count = usize::from(orders).min(self.orders.len());
        self.orders.drain(..count).unzip()
    }

    fn refuse(&mut self, nth: u8) -> Result<(), String> {
        let Some(call) = self.take_begun(nth)? else {
            return Ok(());
        };
        self.catch_up(&call.volume)?;
        match call.kind {
            // A driver that makes a volume and cannot format it refuses and leaves it behind.
            Kind::Create if nth.is_multiple_of(2) => drop(self.work(&call.volume, Kind::Create)?),
            // A driver that attaches a volume and cannot mount it refuses and leaves it attached.
            Kind::Mount if nth.is_multiple_of(3) => {
                self.driver.entry(spelling::real(&call.volume)).or_default().attached = true;
            }
            // After the refusals of some drivers no Unmount may follow; they leave nothing behind.
            Kind::Mount if nth % 3 == 1 => return self.tell(call.mounted(MountOutcome::Failed("refused".into()))),
            Kind::Unmount => {
                return match self.refuse_unmount(&call) {
                    Some(event) => self.tell(event),
                    None => self.carried_out(&call),
                };
            }
            _ => {}
        }
        self.tell(call.refused("refused"))
    }

    fn refuse_without_cause(&mut self, nth: u8) -> Result<(), String> {
        let Some(call) = self.take_begun(nth)? else {
            return Ok(());
        };
        self.later(&call, nth.into());
        self.tell(call.refused_without_cause())
    }

    /// Of a mount the agent sees that it is still there. Of an attachment alone it sees nothing,
    /// but a driver does not remove a volume that is attached; with other volumes such a driver is
    /// not to be helped.
    fn pretend_unmount(&mut self, nth: u8) -> Result<(), String> {
        let Some(index) = self.pick(nth, true) else {
            return Ok(());
        };
        if self.calls[index].kind != Kind::Unmount {
            return Ok(());
        }
        let Some(call) = self.take_begun(nth)? else {
            return Ok(());
        };
        self.catch_up(&call.volume)?;
        let backing = self.driver.entry(spelling::real(&call.volume)).or_default();
        let outcome = if backing.mounted {
            UnmountOutcome::Unproven(STILL_MOUNTED.into())
        } else if backing.attached && is_made(&call.volume) {
            backing.pretended = true;
            UnmountOutcome::Unmounted
        } else {
            return self.carried_out(&call);
        };
        self.tell(Event::UnmountDone { op: call.op, outcome })
    }

    /// The mount table does not show the volume to the agent.
    fn pretend_mount(&mut self, nth: u8) -> Result<(), String> {
        let Some(index) = self.pick(nth, true) else {
            return Ok(());
        };
        let call = self.calls[index].clone();
        let backing = self.driver.get(&spelling::real(&call.volume));
        let is_mounted = backing.is_some_and(|backing| backing.mounted);
        if call.kind != Kind::Mount || is_mounted {
            return Ok(());
        }
        self.calls.remove(index);
        self.tell(call.mounted(MountOutcome::Uncertain(NOT_SEEN.into())))
    }

    fn answer(&mut self, nth: u8) -> Result<(), String> {
        match self.take_begun(nth)? {
            Some(call) => self.carried_out(&call),
            None => Ok(()),
        }
    }

    /// A call that goes out to the driver. Before an Unmount of what is mounted nobody knows where,
    /// the agent asks the driver for the place: another volume may be mounted there.
    fn take_begun(&mut self, nth: u8) -> Result<Option<Call>, String> {
        let Some(call) = self.pick(nth, true).map(|index| self.calls.remove(index)) else {
            return Ok(None);
        };
        if self.asks_for_place(&call) {
            let outcome = UnmountOutcome::Found(spelling::mountpoint(&call.volume));
            self.tell(Event::UnmountDone { op: call.op, outcome })?;
            return Ok(None);
        }
        Ok(Some(call))
    }

    /// Whether the answer to the agent's question for the place keeps it from sending this Unmount.
    fn asks_for_place(&self, call: &Call) -> bool {
        let is_mounted = self
            .driver
            .get(&spelling::real(&call.volume))
            .is_some_and(|backing| backing.mounted);
        let asks = self.mutant != Some(Mutant::PlaceNotAsked);
        call.kind == Kind::Unmount && !call.knows_place && is_mounted && asks
    }

    /// The driver does what it was asked and says so.
    fn carried_out(&mut self, call: &Call) -> Result<(), String> {
        self.catch_up(&call.volume)?;
        let backing = self.driver.entry(spelling::real(&call.volume)).or_default();
        if call.kind == Kind::Unmount && !backing.attached && refuses_what_is_not_mounted(&call.volume) {
            let outcome = UnmountOutcome::NothingMounted("exit status 32".into());
            return self.tell(Event::UnmountDone { op: call.op, outcome });
        }
        if call.kind == Kind::Remove && backing.attached && backing.pretended {
            let outcome = RemoveOutcome::InUse("VolumeInUse".into());
            return self.tell(Event::RemoveDone { op: call.op, outcome });
        }
        let changed = self.work(&call.volume, call.kind)?;
        let op = call.op;
        self.tell(match call.kind {
            Kind::Create => Event::CreateDone {
                op,
                outcome: CreateOutcome::Created,
            },
            Kind::Mount => return self.mounted(call),
            Kind::Unmount => Event::UnmountDone {
                op,
                outcome: UnmountOutcome::Unmounted,
            },
            Kind::Remove => Event::RemoveDone {
                op,
                outcome: if changed {
                    RemoveOutcome::Removed
                } else {
                    RemoveOutcome::Missing
                },
            },
        })
    }

    /// The agent sees the mount, and looks for the mounts of other volumes that seem to be the
    /// same.
    fn mounted(&mut self, call: &Call) -> Result<(), String> {
        let at = spelling::mountpoint(&call.volume);
        for (volume, mountpoint) in self.ledger.seemingly_the_same(call.op, &at) {
            if !self.shows(&volume, &mountpoint) {
                self.tell(Event::MountGone { volume, mountpoint })?;
            }
        }
        self.tell(call.mounted(MountOutcome::Mounted(at)))
    }

    fn lose(&mut self, nth: u8, work: Work) -> Result<(), String> {
        let Some(call) = self.take_begun(nth)? else {
            return Ok(());
        };
        match work {
            Work::Done => drop(self.work(&call.volume, call.kind)?),
            Work::Late => self.later(&call, nth.into()),
            Work::Never => {}
        }
        self.tell(call.lost())
    }

    fn end_call(&mut self, nth: u8, begun: bool, event: impl FnOnce(&Call) -> Event) -> Result<(), String> {
        match self.pick(nth, begun).map(|index| self.calls.remove(index)) {
            Some(call) => self.tell(event(&call)),
            None => Ok(()),
        }
    }

    fn retry(&mut self, nth: u8) -> Result<(), String> {
        let count = self.retries.len() + self.departures.len() + self.removals.len();
        if count == 0 {
            return Ok(());
        }
        let nth = usize::from(nth) % count;
        // A call waits for the record that a container has left, so that record comes first.
        let Some(of_a_call) = nth.checked_sub(self.departures.len()) else {
            let (container, revision) = self.departures.remove(nth);
            return self.tell(Event::RecordRetryDue { container, revision });
        };
        let Some(of_a_removal) = of_a_call.checked_sub(self.retries.len()) else {
            let (volume, attempt) = self.retries.remove(of_a_call);
            return self.tell(Event::RetryDue { volume, attempt });
        };
        let container = self.removals.remove(of_a_removal);
        self.remove_again(container);
        Ok(())
    }

    /// An answer comes twice, or long after it stopped to matter.
    fn say_again(&mut self, nth: u8) -> Result<(), String> {
        if self.told.is_empty() {
            return Ok(());
        }
        let event = self.told[usize::from(nth) % self.told.len()].clone();
        let effects = self.ledger.handle(event.clone());
        if effects.is_empty() {
            return Ok(());
        }
        Err(format!("{event:?}, said a second time, had the effects {effects:?}"))
    }

    fn tell(&mut self, event: Event) -> Result<(), String> {
        let mut events = VecDeque::from([event]);
        while let Some(mut event) = events.pop_front() {
            if let Some(mutant) = self.mutant {
                event = mutant.mutate_event(&self.ledger, event);
            }
            if let Event::MountDone { .. }
            | Event::UnmountDone { .. }
            | Event::CreateDone { .. }
            | Event::RemoveDone { .. }
            | Event::RecordWritten { .. }
            | Event::Withdrawn { .. } = event
            {
                self.told.push(event.clone());
            }
            let before: Vec<(VolumeKey, VolumeState)> =
                self.ledger.volumes().map(|(key, state)| (key.clone(), state)).collect();
            let starts = matches!(event, Event::Restore(_));
            let phases: BTreeMap<ContainerId, Phase> =
                self.ledger.phases().map(|(id, phase)| (id.clone(), phase)).collect();
            let mut effects = self.ledger.handle(event);
            if !starts {
                self.note_transitions(before);
                self.note_steps(phases);
            }
            if let Some(mutant) = self.mutant {
                let more;
                (effects, more) = mutant.mutate_effects(self, effects);
                events.extend(more);
            }
            for effect in effects {
                events.extend(self.carry_out(effect)?);
            }
        }
        for (volume, state) in self.ledger.volumes() {
            match self.outcome.states.get_mut(volume) {
                Some(states) => drop(states.insert(state)),
                None => drop(self.outcome.states.insert(volume.clone(), [state].into())),
            }
        }
        Ok(())
    }

    fn note_transitions(&mut self, before: Vec<(VolumeKey, VolumeState)>) {
        let mut before: BTreeMap<VolumeKey, VolumeState> = before.into_iter().collect();
        for (volume, to) in self.ledger.volumes() {
            let from = before.remove(volume).unwrap_or(VolumeState::Absent);
            if from != to {
                self.outcome.transitions.insert((from, to));
            }
        }
        // What the ledger does not list any more is absent.
        let gone = before.into_values().filter(|from| *from != VolumeState::Absent);
        self.outcome
            .transitions
            .extend(gone.map(|from| (from, VolumeState::Absent)));
    }

    fn note_steps(&mut self, mut before: BTreeMap<ContainerId, Phase>) {
        for (id, to) in self.ledger.phases() {
            let from = before.remove(id);
            if from != Some(to) {
                self.outcome.steps.insert((from, Some(to)));
            }
        }
        self.outcome
            .steps
            .extend(before.into_values().map(|from| (Some(from), None)));
    }

    /// Nobody waits for a call any more that the driver still carries out. False when it has not
    /// begun.
    pub(crate) fn abandon(&mut self, op: Op) -> bool {
        let Some(index) = self.calls.iter().position(|call| call.op == op && call.begun) else {
            return false;
        };
        let call = self.calls.remove(index);
        self.later(&call, 0);
        true
    }

    /// What is known at once comes back as an event, to be told when the other effects are under
    /// way.
    fn carry_out(&mut self, effect: Effect) -> Result<Option<Event>, String> {
        match effect {
            Effect::WriteRecord { revision, record } => {
                self.orders.push_back((Change::Write(record), Some(revision)));
            }
            Effect::RemoveRecord { container } => self.orders.push_back((Change::Remove(container), None)),
            Effect::Mount { op, volume, adopt, .. } => self.queue(op, volume, Kind::Mount, adopt.is_some())?,
            Effect::Unmount {
                op,
                volume,
                is_place_known,
                ..
            } => self.queue(op, volume, Kind::Unmount, is_place_known)?,
            Effect::Create { op, volume, .. } => self.queue(op, volume, Kind::Create, false)?,
            Effect::Remove { op, volume } => self.queue(op, volume, Kind::Remove, false)?,
            Effect::Withdraw { op } => {
                if let Some(index) = self.calls.iter().position(|call| call.op == op && !call.begun) {
                    self.calls.remove(index);
                    return Ok(Some(Event::Withdrawn { op }));
                }
            }
            Effect::RetryAfter { volume, attempt, .. } => self.retries.push((volume, attempt)),
            Effect::RetryRecordAfter {
                container, revision, ..
            } => self.departures.push((container, revision)),
            Effect::TellSettled { volume, .. } => {
                if self
                    .driver
                    .get(&spelling::real(&volume))
                    .is_some_and(|backing| backing.attached)
                {
                    return Err(format!("{volume} counts as unmounted and is attached"));
                }
            }
            Effect::AnswerPrepare { container, result } => self.prepared(&container, result.err().as_ref())?,
            Effect::AnswerCleanup { container } => {
                let life = self.containers.entry(container.clone()).or_default();
                if !std::mem::take(&mut life.cleaning) {
                    return Err(format!(
                        "a cleanup of container {container} was answered that nobody waits for"
                    ));
                }
                life.over = true;
            }
        }
        Ok(None)
    }

    fn queue(&mut self, op: Op, volume: VolumeKey, kind: Kind, knows_place: bool) -> Result<(), String> {
        let identities = spelling::identities(&volume);
        let is_one = |call: &Call| !spelling::identities(&call.volume).is_disjoint(&identities);
        if self.calls.iter().any(is_one) {
            return Err(format!("two calls for {volume} at once"));
        }
        self.calls.push(Call {
            op,
            volume,
            kind,
            knows_place,
            begun: false,
        });
        Ok(())
    }

    fn prepared(&mut self, container: &ContainerId, refusal: Option<&PrepareError>) -> Result<(), String> {
        let life = self.containers.entry(container.clone()).or_default();
        if !std::mem::take(&mut life.preparing) {
            return Err(format!(
                "a prepare of container {container} was answered that nobody waits for"
            ));
        }
        if let Some(refusal) = refusal {
            return self.refused(container, refusal);
        }
        self.outcome.granted += 1;
        life.running = true;
        for volume in life.volumes.clone() {
            // A hand that unmounts meanwhile is nobody's fault; the driver still holds it for us
            // then. Unless the volume has a second name that nobody knows of: with the mount went
            // the only sign that an Unmount by that name detaches it.
            let is_ours = |backing: &Backing| {
                backing.attached || backing.unmounted_by_hand && spelling::has_unknown_name(&volume)
            };
            // What a hand unmounted before the agent started, the agent sees in its mount table.
            if self
                .driver
                .get(&spelling::real(&volume))
                .is_some_and(|backing| backing.gone_at_start)
            {
                return Err(format!(
                    "container {container} was given {volume}, which was not mounted when the agent started, and was not \
                     mounted since"
                ));
            }
            if !self.driver.get(&spelling::real(&volume)).is_some_and(is_ours) {
                return Err(format!(
                    "container {container} was given {volume}, which is not mounted"
                ));
            }
        }
        Ok(())
    }

    /// A refusal is for a reason that is the case.
    fn refused(&self, container: &ContainerId, refusal: &PrepareError) -> Result<(), String> {
        match refusal {
            PrepareError::Deadline { .. } => {
                let is_overdue = self.containers.get(container).is_some_and(|life| life.is_overdue);
                if !is_overdue {
                    return Err(format!(
                        "container {container} was refused because of a time limit that is not its own"
                    ));
                }
            }
            PrepareError::Mount { volume, cause, .. } => {
                for other in self.ledger.volumes().map(|(key, _)| key) {
                    let is_named = cause.words.contains(&format!("same volume as {other},"));
                    let is_called = self.calls.iter().any(|call| call.volume == *other);
                    if is_named && spelling::real(other) != spelling::real(volume) && !is_called {
                        return Err(format!(
                            "container {container} was refused {volume}, which was taken for {other}"
                        ));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Faults stop, every container ends, and everything that was begun is finished.
    pub(crate) fn wind_down(&mut self) -> Result<(), String> {
        for _ in 0..2_000 {
            let waiting: Vec<ContainerId> = self
                .containers
                .iter()
                .filter(|(_, life)| !life.over && !life.cleaning)
                .map(|(id, _)| id.clone())
                .collect();
            for id in &waiting {
                self.cleanup(id)?;
            }
            self.commit(u8::MAX, None)?;
            for call in &mut self.calls {
                call.begun = true;
            }
            self.answer(0)?;
            self.retry(0)?;
            crate::invariants::check(self)?;
            let is_nothing_due = self.retries.is_empty() && self.departures.is_empty() && self.removals.is_empty();
            if self.orders.is_empty() && self.calls.is_empty() && is_nothing_due && waiting.is_empty() {
                return crate::invariants::nothing_is_left(self);
            }
        }
        Err("the ledger never comes to rest".into())
    }

    pub(crate) fn outcome(self) -> Outcome {
        self.outcome
    }

    pub(crate) fn state(&self, volume: &VolumeKey) -> VolumeState {
        self.ledger.volume_state(volume)
    }

    fn pick(&self, nth: u8, begun: bool) -> Option<usize> {
        let ready: Vec<usize> = (0..self.calls.len())
            .filter(|index| self.calls[*index].begun == begun)
            .collect();
        (!ready.is_empty()).then(|| ready[usize::from(nth) % ready.len()])
    }
}

fn id(container: u8) -> ContainerId {
    ContainerId::root(format!("c{container}"))
}

fn request(volume: &VolumeKey, exclusive: bool) -> VolumeRequest {
    VolumeRequest {
        origin: volume.name.as_str().into(),
        volume: volume.clone(),
        mount_id: MountId::derive("host", &volume.driver, &volume.name),
        target: PathBuf::from("/sandbox").join(&volume.name),
        read_only: false,
        access: if exclusive { Access::Exclusive } else { Access::Shared },
        spec: if is_made(volume) {
            MountSpec {
                create: Some(BTreeMap::new()),
                lifetime: Lifetime::Container,
                ..MountSpec::default()
            }
        } else {
            MountSpec::default()
        },
    }
}
