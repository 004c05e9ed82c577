//! The service without its I/O, with a clock of its own.

use label_mapper::Spelling;
use mesos_http::resources::Resources;
use mesos_http::scheduler::{Call, Event, Operation};
use mesos_http::types::{Offer, Resource, TaskState, TaskStatus};
use scheduler::ledger::Ledger;
use scheduler::machine::{Input, Rules};
use scheduler::progress::Progress;
use scheduler::service::{Cause, RunRecord, Service, ServiceRecord, Settings, Step};

struct World {
    service: Service,
    now: u64,
    /// All that a restarted service knows.
    disk: (ServiceRecord, Ledger, Vec<RunRecord>),
    launched: Vec<String>,
    told: Vec<Progress>,
    offers: u32,
    /// How often the master was asked for all tasks.
    all_asked: u32,
    killed: Vec<String>,
}

fn settings() -> Settings {
    Settings {
        rules: Rules::default(),
        storage: false,
        spelling: Spelling::Id,
        keep: 2,
    }
}

impl World {
    /// On 2026-01-01, at midnight.
    fn new() -> Self {
        let now = 1_767_225_600_000;
        let service = Service::new(settings(), ServiceRecord::default(), Ledger::default(), Vec::new(), now)
            .expect("nothing was kept");
        let mut world = Self {
            service,
            now,
            disk: (ServiceRecord::default(), Ledger::default(), Vec::new()),
            launched: Vec::new(),
            told: Vec::new(),
            offers: 0,
            all_asked: 0,
            killed: Vec::new(),
        };
        world.connect();
        world
    }

    fn connect(&mut self) {
        self.input(Input::Connected {
            framework_id: "F".to_owned(),
        });
    }

    fn take(&mut self, step: Step) {
        if step.save_service {
            self.disk.0 = self.service.record().clone();
        }
        if step.save_claims {
            self.disk.1 = self.service.ledger().clone();
        }
        for id in step.save_runs.iter().chain(&step.forget) {
            self.disk.2.retain(|run| format!("{}.{}", run.job, run.number) != *id);
            self.disk.2.extend(self.service.runs().get(id).map(|run| run.record()));
        }
        for call in step.calls {
            if let Call::Accept(accept) = &call {
                for operation in &accept.operations {
                    let Operation::Launch(tasks) = operation else {
                        panic!("{operation:?}")
                    };
                    for task in tasks {
                        let id = &task.task_id.0;
                        let on_disk = self.disk.2.iter().flat_map(|run| run.state.tasks.values());
                        let mut attempts = on_disk.flat_map(|record| &record.attempts);
                        assert!(attempts.any(|attempt| attempt.task_id == *id), "{id} is not on disk");
                        let items = task.resources.items("ebsvolumes");
                        let claimed = |item: &&str| {
                            self.disk
                                .1
                                .claims()
                                .any(|(v, claim)| v == *item && claim.holder.task == *id)
                        };
                        assert!(items.iter().all(claimed), "the claims of {id} are not on disk");
                        self.launched.push(id.clone());
                    }
                }
            }
            match &call {
                Call::Reconcile { tasks } if tasks.is_empty() => self.all_asked += 1,
                Call::Kill(kill) => self.killed.push(kill.task_id.0.clone()),
                _ => {}
            }
            self.service.sent(&call, self.now);
        }
        self.told.extend(step.tell.into_iter().map(|(_, progress)| progress));
    }

    fn input(&mut self, input: Input) {
        let step = self.service.handle(input, self.now);
        self.take(step);
    }

    fn pass(&mut self, millis: u64) {
        let end = self.now + millis;
        while self.now < end {
            self.now = (self.now + 1_000).min(end);
            self.input(Input::Tick);
        }
    }

    fn give(&mut self, text: &str) -> String {
        let (name, step) = self
            .service
            .put(text.to_owned(), false, self.now)
            .expect("the job is good");
        self.take(step);
        name
    }

    fn begin(&mut self, text: &str) -> String {
        let name = self.give(text);
        let (id, step) = self
            .service
            .begin(&name, Cause::Request, self.now)
            .expect("it has no run");
        self.take(step);
        id
    }

    fn offer(&mut self, agent: &str, cpus: f64, volumes: &[&str]) -> Vec<String> {
        self.offers += 1;
        let mut offer: Offer = serde_json::from_value(serde_json::json!({
            "id": {"value": format!("O{}", self.offers)}, "framework_id": {"value": "F"},
            "agent_id": {"value": agent}, "hostname": agent, "attributes": [],
        }))
        .expect("the offer is one of Mesos");
        offer.resources = Resources::from_iter([
            Resource::scalar("cpus", cpus),
            Resource::scalar("mem", 8192.0),
            Resource::set("ebsvolumes", volumes.iter().copied()),
        ]);
        self.launched.clear();
        self.input(Input::Event(Box::new(Event::Offers(vec![offer]))));
        std::mem::take(&mut self.launched)
    }

    fn update(&mut self, task: &str, state: TaskState) {
        self.input(Input::Event(Box::new(Event::Update(TaskStatus::new(
            task.into(),
            state,
        )))));
    }

    /// SIGKILL.
    fn restart(&mut self) {
        let (record, ledger, runs) = self.disk.clone();
        self.service = Service::new(settings(), record, ledger, runs, self.now).expect("what was kept is good");
        self.connect();
    }
}

fn job(name: &str, extra: &str) -> String {
    format!("version: 1\nname: {name}\ntasks:\n  a: {{command: x, cpus: 1{extra}}}\n")
}

#[test]
fn a_job_with_a_schedule_begins_when_it_is_due_and_not_twice_at_once() {
    let mut world = World::new();
    world.give(&format!("schedule: '*/10 * * * * Europe/Zurich'\n{}", job("tenly", "")));
    world.pass(599_000);
    assert!(world.service.runs().is_empty());
    world.pass(1_000);
    assert_eq!(world.offer("s1", 4.0, &[]), ["tenly.1.a.1"]);
    world.update("tenly.1.a.1", TaskState::Running);
    world.pass(600_000);
    assert_eq!(world.service.runs().len(), 1);
    assert!(world.told.iter().any(|told| matches!(told, Progress::Skipped { .. })));
    world.update("tenly.1.a.1", TaskState::Finished);
    // A service that was down when it was due begins it when it is back, once.
    world.now += 3_600_000;
    world.restart();
    world.pass(1_000);
    assert!(world.service.active_run("tenly").is_some());
    assert_eq!(world.service.runs().len(), 2);
    assert!(world.service.jobs()["tenly"].next_ms.unwrap() > world.now);
}

#[test]
fn several_jobs_share_one_offer_by_priority() {
    let mut world = World::new();
    for (name, extra) in [("low", ""), ("high", ", priority: 3"), ("mid", ", priority: 1")] {
        world.begin(&job(name, extra));
    }
    assert_eq!(world.offer("s1", 2.0, &[]), ["high.1.a.1", "mid.1.a.1"]);
    assert_eq!(world.offer("s1", 2.0, &[]), ["low.1.a.1"]);
}

#[test]
fn a_volume_has_one_writer_over_all_jobs_and_none_beside_a_lost_one() {
    let mut world = World::new();
    world.begin(&job("one", ", volumes: {v: vol-1}"));
    let two = world.begin(&job("two", ", volumes: {v: vol-1}"));
    assert_eq!(world.offer("s1", 4.0, &["vol-1"]), ["one.1.a.1"]);
    world.update("one.1.a.1", TaskState::Running);
    world.update("one.1.a.1", TaskState::Unreachable);
    world.pass(3_600_000);
    assert!(world.offer("s2", 4.0, &["vol-1"]).is_empty());
    let why = world.service.explain(&two, world.now).unwrap();
    assert!(why[0].why[0].contains("SUSPECT by task one.1.a.1"), "{why:?}");
    world.restart();
    assert!(world.offer("s2", 4.0, &["vol-1"]).is_empty(), "nor after a crash");
    world.update("one.1.a.1", TaskState::GoneByOperator);
    world.pass(1_000);
    assert_eq!(world.offer("s2", 4.0, &["vol-1"]), ["two.1.a.1"]);
}

#[test]
fn a_cancelled_run_is_killed_and_begins_nothing_more() {
    let mut world = World::new();
    let text =
        "version: 1\nname: j\ntasks:\n  a: {command: x, retries: 5}\n  b: {command: x}\n  c: {command: x, after: a}\n";
    let id = world.begin(text);
    assert_eq!(world.offer("s1", 0.1, &[]), ["j.1.a.1"]);
    let step = world.service.cancel(&id, world.now).unwrap();
    assert!(
        step.calls
            .iter()
            .any(|call| matches!(call, Call::Kill(kill) if kill.task_id.as_str() == "j.1.a.1"))
    );
    world.take(step);
    assert!(world.offer("s1", 4.0, &[]).is_empty());
    world.update("j.1.a.1", TaskState::Killed);
    let end = world.service.runs()[&id].machine().state().end.clone().unwrap();
    assert_eq!(end.blocked, ["b", "c"]);
    assert!(end.failures.iter().any(|what| what == "the run was cancelled"));
}

#[test]
fn the_master_is_asked_for_tasks_of_no_run_which_are_killed() {
    let mut world = World::new();
    world.pass(59_000);
    assert_eq!(world.all_asked, 0, "agents need a while to come back to a new master");
    world.pass(2_000);
    assert_eq!(world.all_asked, 1);
    world.update("forgotten.7.a.1", TaskState::Running);
    assert_eq!(world.killed, ["forgotten.7.a.1"]);
    world.pass(14 * 60_000);
    assert_eq!(world.all_asked, 1);
    world.pass(60_000);
    assert_eq!(world.all_asked, 2);
    world.input(Input::Disconnected {
        reason: "the master is away".to_owned(),
    });
    world.pass(3_600_000);
    assert_eq!(world.all_asked, 2);
}

#[test]
fn only_the_latest_ended_runs_are_kept() {
    let mut world = World::new();
    world.begin(&job("j", ""));
    for number in 1..=4 {
        world.offer("s1", 1.0, &[]);
        world.update(&format!("j.{number}.a.1"), TaskState::Finished);
        let (_, step) = world.service.begin("j", Cause::Request, world.now).unwrap();
        world.take(step);
    }
    let kept: Vec<&String> = world.service.runs().keys().collect();
    assert_eq!(kept, ["j.3", "j.4", "j.5"]);
    assert_eq!(world.disk.2.len(), 3);
}
