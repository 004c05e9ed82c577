//! The thread that owns the ledger: takes in what happens, carries out what the ledger asks for,
//! keeps the time.

mod health;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use tracing::warn;
use volume_driver_client::{Code, Drivers};

use super::calls::Call;
use super::driver_call::{CallKind, DriverCall};
use super::gone_mounts::gone_mounts;
use super::message::{Message, PrepareAnswer, Turn, Watcher};
use super::queues::Queues;
use super::restored::restored;
use super::writer::{RecordWrite, Written};
use crate::config::Config;
use crate::docker::Watch;
use crate::error::{PrepareError, Problem};
use crate::health::WatchedVolume;
use crate::health::baseline::Baselines;
use crate::identity;
use crate::ledger::{Effect, Event, Ledger, Phase, Restored};
use crate::records::{Change, Store};
use crate::reports::Reports;
use crate::status::StatusChanges;
use crate::types::{Answer, BindMount, ContainerId, VolumeKey};

/// A record that could not be removed is tried again after this; until then it names volumes that
/// need nothing.
const REMOVE_AGAIN: Duration = Duration::from_secs(5);

/// What the engine works with; the threads at its other ends are started by the isolator.
pub(crate) struct Engine {
    pub(crate) config: Arc<Config>,
    pub(crate) drivers: Drivers,
    pub(crate) store: Arc<Store>,
    pub(crate) inbox: Receiver<Message>,
    pub(crate) outbox: Sender<Message>,
    pub(crate) writer: Sender<RecordWrite>,
    pub(crate) answers: Sender<Answer>,
    pub(crate) monitor: Sender<Vec<WatchedVolume>>,
    pub(crate) baselines: Baselines,
    pub(crate) reports: Arc<Reports>,
    pub(crate) status: StatusChanges,
    pub(crate) docker: Watch,
}

#[derive(Default)]
struct State {
    ledger: Ledger,
    queues: Queues,
    prepares: BTreeMap<ContainerId, (Turn, PrepareAnswer)>,
    /// Of those, the ones whose targets are being resolved: the ledger does not know them yet.
    resolving: BTreeMap<ContainerId, Turn>,
    /// With the number of the timer that answers them at the latest.
    cleanups: BTreeMap<ContainerId, (u64, Vec<Answer>)>,
    watchers: BTreeMap<ContainerId, Watcher>,
    timers: BinaryHeap<Reverse<Timer>>,
    timers_set: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Timer {
    due: Instant,
    number: u64,
    alarm: Alarm,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Alarm {
    Prepare(ContainerId, Turn),
    Cleanup(ContainerId),
    Retry(VolumeKey, u32),
    RetryRecord(ContainerId, u64),
    Remove(ContainerId),
    Health,
}

impl Engine {
    /// Runs until [`Message::Stop`] arrives, or all senders are gone.
    pub(crate) fn run(self) {
        let mut state = State::default();
        if let Some(interval) = self.config.health_interval {
            state.set(interval, Alarm::Health);
        }
        loop {
            let message = match state.timers.peek() {
                Some(Reverse(timer)) => self.inbox.recv_deadline(timer.due),
                None => self.inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match message {
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(message) => self.take(&mut state, message),
                Err(RecvTimeoutError::Timeout) => {
                    if let Some(Reverse(timer)) = state.timers.pop() {
                        self.timer_due(&mut state, timer.number, timer.alarm);
                    }
                }
            }
        }
        for (_, answer) in state.prepares.into_values() {
            self.answer(Box::new(move || answer(Err(PrepareError::Stopped))));
        }
    }

    fn take(&self, state: &mut State, message: Message) {
        match message {
            Message::Recover {
                running,
                orphans,
                answer,
            } => {
                let is_folder = |driver: &str| self.config.is_directory_backed(driver);
                let restored = restored(&self.store, &running, &orphans, &self.baselines, is_folder);
                let records = restored.iter().map(|restored| &restored.record);
                for (volume, identities) in identity::of_records(records, &self.drivers) {
                    self.handle(state, Event::Identified { volume, identities });
                }
                self.follow(state, &restored);
                self.handle(state, Event::Restore(restored));
                self.answer(answer);
            }
            Message::Prepare { id, turn, answer } => {
                if state.prepares.contains_key(&id) {
                    let error = PrepareError::Repeated(id.to_string());
                    return self.answer(Box::new(move || answer(Err(error))));
                }
                state.prepares.insert(id.clone(), (turn, answer));
                state.resolving.insert(id.clone(), turn);
                state.set(self.config.prepare_timeout, Alarm::Prepare(id, turn));
            }
            Message::Resolved {
                id,
                turn,
                containerizer,
                result,
            } => {
                // Gone when the container was destroyed, or its time ran out, meanwhile.
                if state.resolving.get(&id) == Some(&turn) {
                    state.resolving.remove(&id);
                    match result {
                        Ok(requests) => self.handle(
                            state,
                            Event::Acquire {
                                container: id,
                                containerizer,
                                requests,
                            },
                        ),
                        Err(error) => self.finish_prepare(state, &id, Err(error)),
                    }
                }
            }
            Message::Cleanup { id, answer } => {
                state.watchers.remove(&id);
                let number = state.set(self.config.cleanup_wait, Alarm::Cleanup(id.clone()));
                let (_, answers) = state.cleanups.entry(id.clone()).or_insert_with(|| (number, Vec::new()));
                answers.push(answer);
                if state.resolving.remove(&id).is_some() {
                    self.finish_prepare(state, &id, Err(PrepareError::Destroyed));
                }
                self.handle(state, Event::Release { container: id });
            }
            Message::Event(event) => {
                for gone in gone_mounts(&state.ledger, &event) {
                    self.handle(state, gone);
                }
                self.handle(state, event);
            }
            Message::Written(Written {
                container,
                revision,
                result,
            }) => match revision {
                Some(revision) => self.handle(
                    state,
                    Event::RecordWritten {
                        container,
                        revision,
                        result: result.map_err(|error| error.to_string()),
                    },
                ),
                None => {
                    if let Err(problem) = result {
                        warn!(%container, %problem, "cannot remove the record of a container that has left; it is tried again");
                        state.set(REMOVE_AGAIN, Alarm::Remove(container));
                    }
                }
            },
            Message::Health(report) => self.limit(state, &report),
            Message::Read(read) => read(&state.ledger),
            Message::Watch { id, watcher } => {
                state.watchers.insert(id, watcher);
            }
            Message::Stop => {}
        }
    }

    /// Docker containers that were running when an earlier life of the agent ended are let go when
    /// Docker says that they have ended.
    fn follow(&self, state: &mut State, restored: &[Restored]) {
        let held = restored.iter().filter(|restored| restored.is_held());
        for Restored { record, .. } in held.filter(|restored| restored.record.containerizer.is_docker()) {
            let targets = record.volumes.iter().map(|volume| volume.request.target.clone());
            let id = record.container.clone();
            self.docker.recorded(&id, record.containerizer, targets.collect());
            let docker = self.docker.clone();
            let watcher = Box::new({
                let id = id.clone();
                move |limitation| docker.limit(&id, &limitation)
            });
            state.watchers.insert(id, watcher);
        }
    }

    fn timer_due(&self, state: &mut State, number: u64, alarm: Alarm) {
        match alarm {
            // The prepare was answered long ago, and there may be a later one with the same id.
            Alarm::Prepare(container, turn)
                if state
                    .prepares
                    .get(&container)
                    .is_none_or(|(waiting, _)| *waiting != turn) => {}
            Alarm::Prepare(container, _) => {
                if state.resolving.remove(&container).is_some() {
                    let error = PrepareError::Unresolved(self.config.prepare_timeout);
                    return self.finish_prepare(state, &container, Err(error));
                }
                self.handle(state, Event::PrepareDeadline { container });
            }
            Alarm::Cleanup(container)
                if state
                    .cleanups
                    .get(&container)
                    .is_none_or(|(waiting, _)| *waiting != number) => {}
            Alarm::Cleanup(container) => self.handle(state, Event::CleanupDeadline { container }),
            Alarm::Health => self.make_round(state),
            Alarm::Remove(container) => match state.ledger.phase(&container) {
                None => self.write(RecordWrite {
                    change: Change::Remove(container),
                    revision: None,
                }),
                // A new container with the same id, which may leave without having written a record
                // of its own.
                Some(Phase::Waiting) => {
                    state.set(REMOVE_AGAIN, Alarm::Remove(container));
                }
                // The record is that of the new one.
                Some(_) => {}
            },
            Alarm::RetryRecord(container, revision) => {
                self.handle(state, Event::RecordRetryDue { container, revision });
            }
            Alarm::Retry(volume, attempt) => self.handle(state, Event::RetryDue { volume, attempt }),
        }
    }

    fn handle(&self, state: &mut State, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            self.reports.event(&event);
            for effect in state.ledger.handle(event) {
                events.extend(self.carry_out(state, effect));
            }
        }
        self.status.change();
    }

    /// Starts an effect; what is known at once comes back as an event.
    fn carry_out(&self, state: &mut State, effect: Effect) -> Option<Event> {
        match effect {
            Effect::WriteRecord { revision, record } => {
                self.write(RecordWrite {
                    change: Change::Write(record),
                    revision: Some(revision),
                });
            }
            Effect::RemoveRecord { container } => {
                self.write(RecordWrite {
                    change: Change::Remove(container),
                    revision: None,
                });
            }
            Effect::Mount {
                op,
                volume,
                mount_id,
                spec,
                adopt,
            } => {
                let kind = CallKind::Mount { mount_id, spec, adopt };
                return self.submit(state, DriverCall { op, volume, kind });
            }
            Effect::Unmount {
                op,
                volume,
                mount_id,
                mountpoint,
                was_confirmed,
                is_place_known,
                is_last,
            } => {
                let kind = CallKind::Unmount {
                    mount_id,
                    mountpoint,
                    was_confirmed,
                    is_place_known,
                    is_last,
                };
                return self.submit(state, DriverCall { op, volume, kind });
            }
            Effect::Create { op, volume, options } => {
                let kind = CallKind::Create { options };
                return self.submit(state, DriverCall { op, volume, kind });
            }
            Effect::Remove { op, volume } => {
                let kind = CallKind::Remove;
                return self.submit(state, DriverCall { op, volume, kind });
            }
            Effect::Withdraw { op } => return state.queues.withdraw(op).then_some(Event::Withdrawn { op }),
            Effect::RetryAfter { volume, attempt, delay } => {
                self.status.retry(&volume, delay);
                state.set(delay, Alarm::Retry(volume, attempt));
            }
            Effect::RetryRecordAfter {
                container,
                revision,
                cause,
                delay,
            } => {
                warn!(
                    %container, problem = cause, retry_after = ?delay,
                    "cannot write the record that a container has left, so its volumes are not unmounted yet; trying again"
                );
                state.set(delay, Alarm::RetryRecord(container, revision));
            }
            Effect::TellSettled { volume, refusal } => self.reports.settled(&volume, &refusal),
            Effect::AnswerPrepare { container, result } => self.finish_prepare(state, &container, result),
            Effect::AnswerCleanup { container } => {
                for answer in state
                    .cleanups
                    .remove(&container)
                    .map(|(_, answers)| answers)
                    .unwrap_or_default()
                {
                    self.answer(answer);
                }
            }
        }
        None
    }

    /// Queues a call on its driver's workers. A call that cannot be queued is over at once, and its
    /// event is returned.
    fn submit(&self, state: &mut State, call: DriverCall) -> Option<Event> {
        let call = Arc::new(call);
        let job = {
            let (call, drivers, outbox) = (Arc::clone(&call), self.drivers.clone(), self.outbox.clone());
            let (config, reports, baselines) = (
                Arc::clone(&self.config),
                Arc::clone(&self.reports),
                self.baselines.clone(),
            );
            move || {
                let begun = Instant::now();
                let volume = &call.volume;
                let profile = config.profiles.for_driver(&volume.driver);
                let context = Call {
                    drivers: &drivers,
                    volume,
                    directory_backed: config.is_directory_backed(&volume.driver),
                    baselines: &baselines,
                    agents_folders: &config.agents_folders,
                    folder_in_mount: profile.folder_in_mount.as_deref(),
                };
                let event = catch_unwind(AssertUnwindSafe(|| call.run(&context))).unwrap_or_else(|_| {
                    let words = format!("the module failed while it called the driver of volume {volume}");
                    call.uncertain(Problem::new(Code::Uncertain, words))
                });
                reports.called(volume, &event, begun.elapsed());
                // The engine stops listening only when the agent goes away; the record tells the
                // next one.
                let _ = outbox.send(Message::Event(event));
            }
        };
        let driver = &call.volume.driver;
        let (queue, limit) = self.drivers.turns(driver);
        let queued = state
            .queues
            .submit(&queue, limit, call.op, call.urgency(), Box::new(job));
        let error = queued.err()?;
        let words = format!("cannot start a thread for driver '{driver}': {error}");
        let event = call.not_sent(Problem::new(Code::Unreachable, words));
        self.reports.called(&call.volume, &event, Duration::ZERO);
        Some(event)
    }

    fn finish_prepare(&self, state: &mut State, id: &ContainerId, result: Result<Vec<BindMount>, PrepareError>) {
        let result = result.and_then(|mounts| self.still_there(state, id).map(|()| mounts));
        self.reports.prepared(id, &result);
        if let Some((_, answer)) = state.prepares.remove(id) {
            self.answer(Box::new(move || answer(result.map(Some))));
        }
    }

    /// Looks at the volumes that a container is about to get: one that another container holds may
    /// have been unmounted by hand meanwhile, and what lies below its mountpoint is the host's.
    fn still_there(&self, state: &State, id: &ContainerId) -> Result<(), PrepareError> {
        let volumes = state.ledger.held_by(id);
        for held in volumes.filter(|held| !self.config.is_directory_backed(&held.volume.driver)) {
            self.baselines
                .check_mounted(held.volume)
                .map_err(|cause| PrepareError::Mount {
                    origin: held.origin.clone(),
                    volume: held.volume.clone(),
                    cause: cause.to_string().into(),
                })?;
        }
        Ok(())
    }

    fn answer(&self, answer: Answer) {
        // The answering thread outlives this one; see `Isolator`.
        let _ = self.answers.send(answer);
    }

    fn write(&self, write: RecordWrite) {
        // The writing thread outlives this one as well.
        let _ = self.writer.send(write);
    }
}

impl State {
    /// The timer's number.
    fn set(&mut self, delay: Duration, alarm: Alarm) -> u64 {
        self.timers_set += 1;
        // A delay beyond the clock's range is never over.
        if let Some(due) = Instant::now().checked_add(delay) {
            self.timers.push(Reverse(Timer {
                due,
                number: self.timers_set,
                alarm,
            }));
        }
        self.timers_set
    }
}
