//! A master and a disk in a few lines, around a service with a clock of its own.

use label_mapper::Spelling;
use mesos_http::operator::ClusterEvent;
use mesos_http::resources::Resources;
use mesos_http::scheduler::{Call, Event as MasterEvent, Operation};
use mesos_http::types::{Offer, Resource, TaskState, TaskStatus};
use scheduler::ledger::Ledger;
use scheduler::progress::Progress;
use scheduler::run::Rules;
use scheduler::service::{Cause, Effects, Event, RunRecord, Service, ServiceRecord, Settings};
use scheduler::state::Standing;

pub(crate) struct World {
    pub(crate) service: Service,
    pub(crate) now: u64,
    /// All that a restarted service knows.
    pub(crate) disk: (ServiceRecord, Ledger, Vec<RunRecord>),
    pub(crate) launched: Vec<String>,
    pub(crate) reports: Vec<Progress>,
    settings: Settings,
    offers: u32,
    /// How often the master was asked for all tasks.
    pub(crate) all_asked: u32,
    pub(crate) killed: Vec<String>,
    /// Of the next offer's agent.
    pub(crate) attributes: serde_json::Value,
}

pub(crate) fn settings() -> Settings {
    Settings {
        rules: Rules::default(),
        storage: false,
        source: "test".to_owned(),
        spelling: Spelling::Id,
        keep: 2,
        release_alarm: 300_000,
        commands: true,
    }
}

impl World {
    /// On 2026-01-01, at midnight.
    pub(crate) fn new() -> Self {
        Self::with(settings())
    }

    pub(crate) fn with(settings: Settings) -> Self {
        let now = 1_767_225_600_000;
        let service = Service::new(
            settings.clone(),
            ServiceRecord::default(),
            Ledger::default(),
            Vec::new(),
            now,
        )
        .expect("nothing was kept");
        let mut world = Self {
            service,
            now,
            disk: (ServiceRecord::default(), Ledger::default(), Vec::new()),
            launched: Vec::new(),
            reports: Vec::new(),
            settings,
            offers: 0,
            all_asked: 0,
            killed: Vec::new(),
            attributes: serde_json::json!([]),
        };
        world.connect();
        world
    }

    pub(crate) fn connect(&mut self) {
        self.event(Event::Connected {
            framework_id: "F".to_owned(),
        });
    }

    pub(crate) fn take(&mut self, effects: Effects) {
        if effects.save_service || !effects.save_jobs.is_empty() {
            self.disk.0 = self.service.record().clone();
        }
        if !effects.save_claims.is_empty() {
            self.disk.1 = self.service.ledger().clone();
        }
        for id in effects.save_runs.iter().chain(&effects.forget) {
            self.disk.2.retain(|run| format!("{}.{}", run.job, run.number) != *id);
            self.disk.2.extend(self.service.runs().get(id).map(|run| run.record()));
        }
        for call in effects.calls {
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
        self.reports
            .extend(effects.progress.into_iter().map(|(_, progress)| progress));
    }

    pub(crate) fn event(&mut self, event: Event) {
        let effects = self.service.handle(event, self.now);
        self.take(effects);
    }

    pub(crate) fn pass(&mut self, millis: u64) {
        let end = self.now + millis;
        while self.now < end {
            self.now = (self.now + 1_000).min(end);
            self.event(Event::Tick);
        }
    }

    pub(crate) fn give(&mut self, text: &str) -> String {
        let (name, effects) = self
            .service
            .put(text.to_owned(), false, self.now)
            .expect("the job is good");
        self.take(effects);
        name
    }

    pub(crate) fn begin(&mut self, text: &str) -> String {
        let name = self.give(text);
        let (id, effects) = self
            .service
            .begin(&name, Cause::Request, self.now)
            .expect("it has no run");
        self.take(effects);
        id
    }

    pub(crate) fn made_offer(&mut self, agent: &str, cpus: f64, volumes: &[&str]) -> Offer {
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

    pub(crate) fn offer(&mut self, agent: &str, cpus: f64, volumes: &[&str]) -> Vec<String> {
        let offer = self.made_offer(agent, cpus, volumes);
        self.launched.clear();
        self.event(Event::Master(Box::new(MasterEvent::Offers(vec![offer]))));
        std::mem::take(&mut self.launched)
    }

    /// An update, and what follows from it, which is not carried out.
    pub(crate) fn update_and_give(&mut self, task: &str, state: TaskState) -> Effects {
        let update = MasterEvent::Update(TaskStatus::new(task.into(), state));
        self.service.handle(Event::Master(Box::new(update)), self.now)
    }

    pub(crate) fn update(&mut self, task: &str, state: TaskState) {
        self.update_with(TaskStatus::new(task.into(), state));
    }

    pub(crate) fn update_with(&mut self, status: TaskStatus) {
        self.event(Event::Master(Box::new(MasterEvent::Update(status))));
    }

    /// The storage answers with what `aws ec2 describe-volumes` prints.
    pub(crate) fn list(&mut self, volumes: &serde_json::Value) {
        let listing = serde_json::json!({ "Volumes": volumes }).to_string();
        let catalogue = label_mapper::Catalogue::from_describe_volumes(&listing).expect("the listing is good");
        // A listing proves what was true when it was asked for, which is after the events before it.
        self.now += 1;
        let effects = self.service.listed(catalogue, self.now, self.now);
        self.take(effects);
    }

    /// The operator stream tells of an update before the scheduler has it.
    pub(crate) fn seen_on_the_operator_stream(&mut self, task: &str, state: TaskState) {
        let event = ClusterEvent::TaskUpdated {
            framework_id: "F".into(),
            status: Box::new(TaskStatus::new(task.into(), state.clone())),
            state,
        };
        let effects = self.service.cluster(event, self.now);
        self.take(effects);
    }

    pub(crate) fn cancel(&mut self, id: &str) {
        let effects = self.service.cancel(id, self.now).expect("the run is not over");
        self.take(effects);
    }

    pub(crate) fn begin_again(&mut self, job: &str) -> String {
        let (id, effects) = self
            .service
            .begin(job, Cause::Request, self.now)
            .expect("the job has no run that is not over");
        self.take(effects);
        id
    }

    /// Why the first task of a run is not further than it is.
    pub(crate) fn why(&self, run: &str) -> String {
        self.service.explain(run, self.now).expect("the run is known")[0]
            .why
            .join("; ")
    }

    pub(crate) fn standing(&self, run: &str, task: &str) -> Standing {
        self.service.runs()[run].state().tasks[task].standing()
    }

    /// SIGKILL.
    pub(crate) fn restart(&mut self) {
        let (record, ledger, runs) = self.disk.clone();
        self.service =
            Service::new(self.settings.clone(), record, ledger, runs, self.now).expect("what was kept is good");
        self.connect();
    }
}

pub(crate) fn job(name: &str, extra: &str) -> String {
    format!("version: 1\nname: {name}\ntasks:\n  a: {{command: x, cpus: 1{extra}}}\n")
}

/// An offer with attributes.
pub(crate) fn with_attributes(
    world: &mut World,
    agent: &str,
    volumes: &[&str],
    attributes: &serde_json::Value,
) -> Vec<String> {
    world.attributes = attributes.clone();
    let launched = world.offer(agent, 8.0, volumes);
    world.attributes = serde_json::json!([]);
    launched
}

pub(crate) fn text_attribute(name: &str, value: &str) -> serde_json::Value {
    serde_json::json!({"name": name, "type": "TEXT", "text": {"value": value}})
}

/// A volume as `aws ec2 describe-volumes` prints it.
pub(crate) fn volume(id: &str, multi_attach: bool, hosts: &[&str]) -> serde_json::Value {
    let attachments: Vec<_> = hosts
        .iter()
        .map(|host| serde_json::json!({"InstanceId": host, "State": "attached"}))
        .collect();
    let state = if hosts.is_empty() { "available" } else { "in-use" };
    serde_json::json!({"VolumeId": id, "AvailabilityZone": "za", "State": state,
        "MultiAttachEnabled": multi_attach, "Attachments": attachments})
}
