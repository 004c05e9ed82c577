//! A run's number, and so the ids of its tasks, is used once: an agent or a master that remembers
//! an id means that task. The same histories of crashes show that the notifications about a run are
//! not forgotten before they are sent.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex};

use fastrand::Rng;
use mesos_http::resources::Resources;
use mesos_http::scheduler::{Call, Event as MasterEvent, Operation};
use mesos_http::types::{Offer, Resource, TaskState, TaskStatus};
use scheduler::ledger::Ledger;
use scheduler::service::Event;
use scheduler::service::storage::{self, Saved, Storage};
use scheduler::service::{Cause, Effects, JobRecord, RequestError, RunId, RunRecord, Service, ServiceRecord, Settings};
use scheduler::store::StoreError;

use crate::world::{World, job, settings};

#[test]
fn a_run_that_was_saved_while_its_job_was_not_keeps_its_number() {
    let mut world = World::new();
    world.begin(&job("j", ""));
    world.disk.0.jobs.get_mut("j").expect("the job is on disk").runs = 0;
    world.restart();
    world.cancel("j.1");
    assert_eq!(world.begin_again("j"), "j.2");
}

#[test]
fn a_job_that_is_deleted_and_given_again_goes_on_with_the_next_number() {
    for restarts in [false, true] {
        let mut world = World::new();
        world.begin(&job("j", ""));
        world.cancel("j.1");
        let effects = world.service.delete("j").expect("its run is over");
        world.take(effects);
        if restarts {
            world.restart();
        }
        assert_eq!(world.begin(&job("j", "")), "j.2", "restarts: {restarts}");
        assert_eq!(world.offer("s1", 4.0, &[]), ["j.2.a.1"]);
        world.update("j.2.a.1", TaskState::Finished);
        assert_eq!(world.begin(&job("other", "")), "other.1");
    }
}

/// What is on disk, and after how many further writes the power fails.
#[derive(Clone, Default)]
struct Disk(Arc<Mutex<Written>>);

#[derive(Default)]
struct Written {
    record: ServiceRecord,
    ledger: Ledger,
    runs: BTreeMap<String, RunRecord>,
    left: Option<usize>,
}

impl Disk {
    /// So many further writes succeed; `None`: all of them.
    fn has_room(&self, writes: Option<usize>) {
        self.0.lock().expect("no test thread has failed with the lock").left = writes;
    }

    fn load(&self) -> Saved {
        let disk = self.0.lock().expect("no test thread has failed with the lock");
        Saved {
            service: disk.record.clone(),
            ledger: disk.ledger.clone(),
            runs: disk.runs.values().cloned().collect(),
        }
    }

    fn write(&self, change: impl FnOnce(&mut Written)) -> Result<(), StoreError> {
        let mut disk = self.0.lock().expect("no test thread has failed with the lock");
        if disk.left == Some(0) {
            let (path, source) = ("disk".into(), io::ErrorKind::StorageFull.into());
            return Err(StoreError::Write { path, source });
        }
        disk.left = disk.left.map(|left| left - 1);
        change(&mut disk);
        Ok(())
    }
}

impl Storage for Disk {
    fn save_service(&mut self, record: &ServiceRecord) -> Result<(), StoreError> {
        self.write(|disk| {
            let jobs = std::mem::take(&mut disk.record.jobs);
            disk.record = ServiceRecord { jobs, ..record.clone() };
        })
    }
    fn save_job(&mut self, name: &str, job: Option<&JobRecord>) -> Result<(), StoreError> {
        self.write(|disk| match job {
            Some(job) => drop(disk.record.jobs.insert(name.to_owned(), job.clone())),
            None => drop(disk.record.jobs.remove(name)),
        })
    }
    fn save_claims(&mut self, ledger: &Ledger, _: &BTreeSet<String>) -> Result<(), StoreError> {
        self.write(|disk| disk.ledger = ledger.clone())
    }
    fn save_runs(&mut self, runs: Vec<RunRecord>) -> Result<(), StoreError> {
        runs.into_iter()
            .try_for_each(|run| self.write(|disk| drop(disk.runs.insert(format!("{}.{}", run.job, run.number), run))))
    }
    fn remove_run(&mut self, id: &RunId) -> Result<(), StoreError> {
        self.write(|disk| drop(disk.runs.remove(id)))
    }
}

/// Faults that are planted between service and disk, to show that the histories would notice them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Planted {
    Nothing,
    /// Runs are saved before the jobs whose numbers they have.
    RunsBeforeJobs,
    /// The numbers of deleted jobs are not on disk.
    NumbersAreForgotten,
    /// A job is removed before the number of its last run is kept.
    NumberAfterRemoval,
    /// A process whose write has failed goes on and writes again when the disk has room.
    GoesOnAfterAFailedWrite,
    /// A run that is over is forgotten although its notifications are not sent.
    ForgottenBeforeItsNotifications,
}

/// A job of which somebody wants to hear when it fails.
fn watched(name: &str) -> String {
    format!(
        "notify: {{failure: {{webhook: 'http://127.0.0.1:1/'}}}}\n{}",
        job(name, "")
    )
}

struct History {
    service: Service,
    disk: Disk,
    planted: Planted,
    launched: BTreeSet<String>,
    now: u64,
    offers: u32,
    /// The runs whose failure is on disk and of which nobody has heard yet.
    untold: BTreeSet<RunId>,
    /// What the process that runs is about to notify.
    to_notify: BTreeSet<RunId>,
    told: usize,
}

impl History {
    fn start(disk: &mut Disk, planted: Planted, now: u64) -> Service {
        let mut saved = disk.load();
        if planted == Planted::NumbersAreForgotten {
            saved.service.last_numbers.clear();
        }
        // No run is kept once it is over: what was is known by the numbers alone.
        let settings = Settings { keep: 0, ..settings() };
        Service::new(settings, saved.service, saved.ledger, saved.runs, now).expect("what was kept is good")
    }

    /// Saves as the service does, then calls the master. A write that fails ends the process, and the next one begins.
    fn carry_out(&mut self, effects: Effects) -> Result<(), String> {
        let (service, disk) = (&self.service, &mut self.disk);
        let early = match self.planted {
            Planted::RunsBeforeJobs => Effects {
                save_runs: effects.save_runs.clone(),
                ..Effects::default()
            },
            Planted::NumberAfterRemoval => Effects {
                save_jobs: effects.save_jobs.clone(),
                ..Effects::default()
            },
            _ => Effects::default(),
        };
        let saved = storage::save(disk, service, &early).and_then(|()| storage::save(disk, service, &effects));
        if saved.is_err() {
            self.disk.has_room(None);
            if self.planted != Planted::GoesOnAfterAFailedWrite {
                return self.restart();
            }
        }
        for id in &effects.ended {
            self.untold.insert(id.clone());
            self.to_notify.insert(id.clone());
            if self.planted == Planted::ForgottenBeforeItsNotifications {
                let _ = self.disk.remove_run(id);
            }
        }
        for call in effects.calls {
            self.service.sent(&call, self.now);
            let Call::Accept(accept) = call else { continue };
            for operation in accept.operations {
                let Operation::Launch(tasks) = operation else { continue };
                for task in tasks {
                    if !self.launched.insert(task.task_id.0.clone()) {
                        return Err(format!("{} is launched twice", task.task_id));
                    }
                }
            }
        }
        Ok(())
    }

    fn event(&mut self, event: Event) -> Result<(), String> {
        let effects = self.service.handle(event, self.now);
        self.carry_out(effects)
    }

    /// The process is gone, and the next one sends the notifications of the runs that it finds.
    fn restart(&mut self) -> Result<(), String> {
        self.service = Self::start(&mut self.disk, self.planted, self.now);
        let untold = self.service.runs().iter().filter(|(_, run)| {
            let end = run.state().end.as_ref();
            end.is_some_and(|end| !end.notified)
        });
        self.to_notify = untold.map(|(id, _)| id.clone()).collect();
        if let Some(forgotten) = self.untold.difference(&self.to_notify).next() {
            return Err(format!("nobody will hear that {forgotten} has failed"));
        }
        self.connect()
    }

    fn connect(&mut self) -> Result<(), String> {
        let framework_id = "F".to_owned();
        self.event(Event::Connected { framework_id })
    }

    fn request(&mut self, done: Result<Effects, RequestError>) -> Result<(), String> {
        // What cannot be done as things are changes nothing.
        done.map_or(Ok(()), |effects| self.carry_out(effects))
    }

    fn act(&mut self, rng: &mut Rng) -> Result<(), String> {
        self.now += 1_000;
        let name = ["j", "k"][rng.usize(0..2)];
        match rng.u8(0..14) {
            0 | 1 => {
                let put = self.service.put(watched(name), true, self.now);
                self.request(put.map(|(_, effects)| effects))
            }
            2 | 3 => {
                let deleted = self.service.delete(name);
                self.request(deleted)
            }
            4..7 => {
                let begun = self.service.begin(name, Cause::Request, self.now);
                self.request(begun.map(|(_, effects)| effects))
            }
            7 => self.event(Event::Tick),
            8 | 9 => {
                self.offers += 1;
                let mut offer: Offer = serde_json::from_value(serde_json::json!({
                    "id": {"value": format!("O{}", self.offers)}, "framework_id": {"value": "F"},
                    "agent_id": {"value": "s1"}, "hostname": "s1",
                }))
                .expect("the offer is one of Mesos");
                let resources = [Resource::scalar("cpus", 8.0), Resource::scalar("mem", 8192.0)];
                offer.resources = Resources::from_iter(resources);
                self.event(Event::Master(Box::new(MasterEvent::Offers(vec![offer]))))
            }
            10 => {
                let active = self.service.active_run(name).map(|id| format!("{id}.a.1"));
                let ended = active.filter(|task| self.launched.contains(task));
                let state = [TaskState::Finished, TaskState::Failed][rng.usize(0..2)].clone();
                let status = ended.map(|task| TaskStatus::new(task.as_str().into(), state));
                status.map_or(Ok(()), |status| {
                    self.event(Event::Master(Box::new(MasterEvent::Update(status))))
                })
            }
            11 => {
                let Some(id) = self.to_notify.pop_first() else {
                    return Ok(());
                };
                self.untold.remove(&id);
                self.told += 1;
                let effects = self.service.notified(&id, self.now);
                self.carry_out(effects)
            }
            12 => self.restart(),
            _ => {
                self.disk.has_room(Some(rng.usize(0..6)));
                Ok(())
            }
        }
    }

    /// How many tasks were launched and how many failures were told in a history.
    fn run(seed: u64, planted: Planted) -> Result<(usize, usize), String> {
        let mut rng = Rng::with_seed(seed);
        let mut disk = Disk::default();
        let service = Self::start(&mut disk, planted, 1_000);
        let mut history = Self {
            service,
            disk,
            planted,
            launched: BTreeSet::new(),
            now: 1_000,
            offers: 0,
            untold: BTreeSet::new(),
            to_notify: BTreeSet::new(),
            told: 0,
        };
        history.connect()?;
        (0..rng.usize(20..120)).try_for_each(|_| history.act(&mut rng))?;
        Ok((history.launched.len(), history.told))
    }
}

const HISTORIES: u64 = 150;

#[test]
fn no_history_of_crashes_and_deletions_uses_a_task_id_twice_or_forgets_a_notification() {
    let (mut launched, mut told) = (0, 0);
    for seed in 0..HISTORIES {
        let counts = History::run(seed, Planted::Nothing).unwrap_or_else(|what| panic!("history {seed}: {what}"));
        launched += counts.0;
        told += counts.1;
    }
    assert!(
        launched > 300 && told > 50,
        "histories in which nothing happens would prove nothing: {launched} launches, {told} notifications"
    );
}

#[test]
fn every_fault_that_is_planted_between_service_and_disk_is_noticed() {
    let planted = [
        Planted::RunsBeforeJobs,
        Planted::NumbersAreForgotten,
        Planted::NumberAfterRemoval,
        Planted::GoesOnAfterAFailedWrite,
        Planted::ForgottenBeforeItsNotifications,
    ];
    for planted in planted {
        let noticed = (0..HISTORIES).find(|seed| History::run(*seed, planted).is_err());
        println!("{planted:?}: history {noticed:?}");
        assert!(noticed.is_some(), "{planted:?} is not noticed");
    }
}
