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
    /// Of the next offer's agent.
    attributes: serde_json::Value,
}

fn settings() -> Settings {
    Settings {
        rules: Rules::default(),
        storage: false,
        spelling: Spelling::Id,
        keep: 2,
        release_alarm: 300_000,
    }
}

impl World {
    /// On 2026-01-01, at midnight.
    fn new() -> Self {
        Self::with(settings())
    }

    fn with(settings: Settings) -> Self {
        let now = 1_767_225_600_000;
        let service = Service::new(settings, ServiceRecord::default(), Ledger::default(), Vec::new(), now)
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
            attributes: serde_json::json!([]),
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
        if step.save_service || !step.save_jobs.is_empty() {
            self.disk.0 = self.service.record().clone();
        }
        if !step.save_claims.is_empty() {
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

    fn made_offer(&mut self, agent: &str, cpus: f64, volumes: &[&str]) -> Offer {
        self.offers += 1;
        let mut offer: Offer = serde_json::from_value(serde_json::json!({
            "id": {"value": format!("O{}", self.offers)}, "framework_id": {"value": "F"},
            "agent_id": {"value": agent}, "hostname": agent, "attributes": self.attributes,
        }))
        .expect("the offer is one of Mesos");
        offer.resources = Resources::from_iter([
            Resource::scalar("cpus", cpus),
            Resource::scalar("mem", 8192.0),
            Resource::set("ebsvolumes", volumes.iter().copied()),
        ]);
        offer
    }

    fn offer(&mut self, agent: &str, cpus: f64, volumes: &[&str]) -> Vec<String> {
        let offer = self.made_offer(agent, cpus, volumes);
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

/// An offer with attributes.
fn with_attributes(world: &mut World, agent: &str, volumes: &[&str], attributes: &serde_json::Value) -> Vec<String> {
    world.attributes = attributes.clone();
    let launched = world.offer(agent, 8.0, volumes);
    world.attributes = serde_json::json!([]);
    launched
}

fn text_attribute(name: &str, value: &str) -> serde_json::Value {
    serde_json::json!({"name": name, "type": "TEXT", "text": {"value": value}})
}

#[test]
fn an_agent_whose_host_has_no_attachment_left_gets_no_further_volume() {
    let mut world = World::new();
    for (name, volume) in [("j1", "v1"), ("j2", "v2"), ("j3", "v3"), ("j4", "v1")] {
        world.begin(&job(name, &format!(", volumes: {{v: {volume}}}")));
    }
    let limit = serde_json::json!([{"name": "attach_limit", "type": "SCALAR", "scalar": {"value": 2}}]);
    let all = ["v1", "v2", "v3"];
    // Several jobs in one offer, up to the limit.
    assert_eq!(
        with_attributes(&mut world, "a1", &all, &limit),
        ["j1.1.a.1", "j2.1.a.1"]
    );
    let why = world.service.explain("j3.1", world.now).unwrap()[0].why.join("; ");
    assert!(
        why.contains("2 volumes are attached to its host or claimed there, 1 more are wanted, and its limit is 2"),
        "{why}"
    );
    // A volume that it has takes no further attachment, and one that was let go makes room.
    world.update("j1.1.a.1", TaskState::Running);
    world.update("j1.1.a.1", TaskState::Finished);
    assert_eq!(with_attributes(&mut world, "a1", &all, &limit), ["j4.1.a.1"]);
    world.update("j2.1.a.1", TaskState::Finished);
    world.pass(1_000);
    assert_eq!(with_attributes(&mut world, "a1", &all, &limit), ["j3.1.a.1"]);
}

#[test]
fn the_storages_own_attachments_count_and_draw_tasks_to_their_host() {
    let listing = r#"{"Volumes": [
        {"VolumeId": "v1", "AvailabilityZone": "za", "State": "in-use", "Attachments": [{"InstanceId": "i-2", "State": "attached"}]},
        {"VolumeId": "v2", "AvailabilityZone": "za", "State": "available"}]}"#;
    let mut world = World::with(Settings {
        storage: true,
        ..settings()
    });
    let catalogue = label_mapper::Catalogue::from_describe_volumes(listing).unwrap();
    let step = world.service.listed(catalogue, world.now, world.now);
    world.take(step);
    world.begin(&job("one", ", volumes: {v: v2}"));
    let of_host = |limit: &str| {
        serde_json::json!([
            text_attribute("attach_limit", limit),
            text_attribute("instance_id", "i-2")
        ])
    };
    let launched = with_attributes(&mut world, "a2", &["v1", "v2"], &of_host("1"));
    assert!(launched.is_empty(), "v1 is attached there");
    // Its own volume is there already.
    world.begin(&job("two", ", volumes: {v: v1}"));
    let launched = with_attributes(&mut world, "a2", &["v1", "v2"], &of_host("1"));
    assert_eq!(launched, ["two.1.a.1"]);
}

#[test]
fn a_run_goes_to_the_agent_that_had_its_volume_in_the_run_before() {
    let mut world = World::new();
    world.begin(&job("j", ", volumes: {v: v1}"));
    assert_eq!(world.offer("a1", 2.0, &["v1"]), ["j.1.a.1"]);
    world.update("j.1.a.1", TaskState::Running);
    world.update("j.1.a.1", TaskState::Finished);
    world.pass(2_000);
    let (_, step) = world.service.begin("j", Cause::Request, world.now).unwrap();
    world.take(step);
    // The other agent has more to give.
    let offers = [("a2", 8.0), ("a1", 2.0)].map(|(agent, cpus)| world.made_offer(agent, cpus, &["v1"]));
    world.input(Input::Event(Box::new(Event::Offers(offers.to_vec()))));
    let task = &world.service.runs()["j.2"].machine().state().tasks["a"];
    assert_eq!(task.attempts[0].agent.id, "a1");
}

#[test]
fn readers_of_several_jobs_share_an_agent_unless_it_wants_a_claim_of_each() {
    let reader = ", volumes: {v: {volume: v1, mode: ro}}";
    let mut world = World::new();
    world.begin(&job("one", reader));
    world.begin(&job("two", reader));
    assert_eq!(world.offer("a1", 8.0, &["v1"]), ["one.1.a.1", "two.1.a.1"]);

    let mut world = World::new();
    world.begin(&job("one", reader));
    world.begin(&job("two", reader));
    let strict = serde_json::json!([text_attribute("require_claim", "true")]);
    assert_eq!(with_attributes(&mut world, "a1", &["v1"], &strict), ["one.1.a.1"]);
    let why = world.service.explain("two.1", world.now).unwrap()[0].why.join("; ");
    assert!(why.contains("it does not offer volume 'v1'"), "{why}");
    world.update("one.1.a.1", TaskState::Running);
    assert!(with_attributes(&mut world, "a1", &[], &strict).is_empty());
    world.update("one.1.a.1", TaskState::Finished);
    assert_eq!(with_attributes(&mut world, "a1", &["v1"], &strict), ["two.1.a.1"]);
}

#[test]
fn a_claim_that_nobody_ends_is_told_again_and_again_and_counted() {
    let mut world = World::with(Settings {
        storage: true,
        release_alarm: 60_000,
        ..settings()
    });
    world.begin(&job("j", ", volumes: {v: v1}"));
    world.offer("a1", 8.0, &["v1"]);
    world.update("j.1.a.1", TaskState::Running);
    world.pass(100_000);
    let overdue = |world: &World| {
        let told = world
            .told
            .iter()
            .filter(|told| matches!(told, Progress::Overdue { .. }));
        told.map(ToString::to_string).collect::<Vec<_>>()
    };
    assert!(overdue(&world).is_empty(), "a task may run as long as it likes");
    world.update("j.1.a.1", TaskState::Finished);
    world.pass(59_000);
    assert!(overdue(&world).is_empty());
    world.pass(62_000);
    let told = overdue(&world);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].starts_with("volume v1 has been RELEASING for 60 s by task j.1.a.1 of framework F on agent a1: "),
        "{told:?}"
    );
    let metrics = scheduler::service::metrics::text(&world.service, world.now);
    for line in [
        "scheduler_claims_overdue 1",
        "scheduler_claim_age_seconds{state=\"RELEASING\"} 121",
    ] {
        assert!(metrics.lines().any(|own| own == line), "{line} is not in\n{metrics}");
    }
}

#[test]
fn aliases_are_found_in_job_files_and_survive_a_crash() {
    let texts = [
        r#"{"Volumes": [{"VolumeId": "vol-1", "AvailabilityZone": "za", "State": "available"}]}"#,
        "aliases: {plan: vol-1}",
    ];
    let mut world = World::new();
    let listed = |world: &mut World| {
        let catalogue = label_mapper::Catalogue::from_texts(texts).unwrap();
        let step = world.service.listed(catalogue, world.now, world.now);
        world.take(step);
    };
    listed(&mut world);
    world.begin(&job("j", ", volumes: {v: plan}"));
    world.restart();
    assert_eq!(world.offer("a1", 8.0, &["vol-1"]), ["j.1.a.1"]);
}
