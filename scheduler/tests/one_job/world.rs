//! A master in a few lines, and a clock.

use label_mapper::{Catalogue, Spelling};
use mesos_http::resources::Resources;
use mesos_http::scheduler::{Call, Event as MasterEvent, Operation};
use mesos_http::types::{Offer, Resource, TaskInfo, TaskState, TaskStatus};
use scheduler::job::Job;
use scheduler::plan::{Plan, Volumes};
use scheduler::progress::Progress;
use scheduler::run::Rules;
use scheduler::service::{Event, Service};
use scheduler::state::{JobState, Millis};

/// The service under test, which has one job, and what became of its effects.
pub(crate) struct World {
    service: Service,
    plan: Plan,
    /// What is on disk: all a restarted scheduler knows.
    disk: JobState,
    pub(crate) now: Millis,
    /// Calls made so far that no test has looked at.
    pub(crate) calls: Vec<Call>,
    pub(crate) reports: Vec<Progress>,
    /// Whether the last word to the master was SUPPRESS.
    pub(crate) suppressed: bool,
    offers: u32,
}

/// What follows from an event, as far as the only run is concerned.
pub(crate) struct Effects {
    /// Whether the run's state was made durable first.
    pub(crate) save: bool,
    pub(crate) progress: Vec<Progress>,
    pub(crate) calls: Vec<Call>,
    /// Whether the framework ends.
    pub(crate) end: bool,
}

const START: Millis = 1_000_000;

impl World {
    pub(crate) fn new(job: &str) -> Self {
        Self::of(Plan::new(Job::parse(job).expect("the job is good"), None).expect("the plan is good"))
    }

    /// With a catalogue of one volume.
    pub(crate) fn with_catalogue(job: &str, name: &str, id: &str, zone: &str) -> Self {
        let listing = serde_json::json!({"Volumes": [{"VolumeId": id, "AvailabilityZone": zone, "State": "available",
            "Tags": [{"Key": "Name", "Value": name}]}]});
        let catalogue = Catalogue::from_describe_volumes(&listing.to_string()).expect("the catalogue is good");
        let volumes = Volumes {
            catalogue,
            spelling: Spelling::Id,
        };
        Self::of(Plan::new(Job::parse(job).expect("the job is good"), Some(&volumes)).expect("the plan is good"))
    }

    fn of(plan: Plan) -> Self {
        let disk = JobState::new(&plan, START);
        let service = Service::of_one_job(plan.clone(), disk.clone(), Rules::default(), START);
        Self {
            service,
            plan,
            disk,
            now: START,
            calls: Vec::new(),
            reports: Vec::new(),
            suppressed: false,
            offers: 0,
        }
    }

    pub(crate) fn state(&self) -> &JobState {
        self.service.only_run().expect("there is one job").state()
    }

    /// SIGKILL: what is not on disk is gone.
    pub(crate) fn restart(&mut self) {
        self.service = Service::of_one_job(self.plan.clone(), self.disk.clone(), Rules::default(), self.now);
        self.calls.clear();
    }

    fn event(&mut self, event: Event) -> Effects {
        let effects = self.service.handle(event, self.now);
        let effects = Effects {
            save: !effects.save_runs.is_empty(),
            progress: effects.progress.into_iter().map(|(_, progress)| progress).collect(),
            end: effects.calls.contains(&Call::Teardown),
            calls: effects.calls,
        };
        if effects.save {
            self.disk = self.state().clone();
        }
        for call in &effects.calls {
            match call {
                Call::Suppress { .. } => self.suppressed = true,
                Call::Revive { .. } => self.suppressed = false,
                // What is launched must be found again after a crash at this very moment.
                Call::Accept(_) => assert_eq!(&self.disk, self.state(), "called before it was saved"),
                _ => {}
            }
        }
        for call in &effects.calls {
            self.service.sent(call, self.now);
        }
        self.calls.extend(effects.calls.iter().cloned());
        self.reports.extend(effects.progress.iter().cloned());
        effects
    }

    pub(crate) fn connect(&mut self) -> Effects {
        self.suppressed = false;
        self.event(Event::Connected {
            framework_id: "F".into(),
        })
    }

    pub(crate) fn disconnect(&mut self, reason: &str) {
        let reason = reason.to_owned();
        self.event(Event::Disconnected { reason });
    }

    pub(crate) fn update(&mut self, status: Update) -> Effects {
        self.event(Event::Master(Box::new(MasterEvent::Update(status.0))))
    }

    pub(crate) fn offer(&mut self, agents: &[AgentOffer]) -> Effects {
        let offers = agents.iter().map(|agent| self.made(agent)).collect();
        self.event(Event::Master(Box::new(MasterEvent::Offers(offers))))
    }

    pub(crate) fn offer_while_apart(&mut self, agents: &[AgentOffer]) -> Effects {
        self.offer(agents)
    }

    fn made(&mut self, agent: &AgentOffer) -> Offer {
        self.offers += 1;
        let mut json = agent.json.clone();
        json["id"] = serde_json::json!({"value": format!("O{}", self.offers)});
        let mut offer: Offer = serde_json::from_value(json).expect("the offer is one of Mesos");
        let mut resources = vec![Resource::scalar("cpus", agent.cpus), Resource::scalar("mem", 1024.0)];
        if !agent.volumes.is_empty() {
            resources.push(Resource::set("ebsvolumes", agent.volumes.clone()));
        }
        offer.resources = Resources::from_iter(resources.into_iter().map(|resource| resource.allocated_to("*")));
        offer
    }

    /// Time passes, with nothing but ticks where they are due.
    pub(crate) fn pass(&mut self, millis: Millis) {
        let end = self.now + millis;
        while let Some(deadline) = self.service.deadline().filter(|deadline| *deadline <= end) {
            assert!(
                deadline > self.now || self.service.deadline() == Some(deadline),
                "ticks do not go backwards"
            );
            self.now = deadline.max(self.now);
            self.event(Event::Tick);
            assert!(
                self.service.deadline().is_none_or(|next| next > self.now),
                "a tick settles what was due"
            );
        }
        self.now = end;
        self.event(Event::Tick);
    }

    pub(crate) fn tick_at_deadline(&mut self) {
        let deadline = self.service.deadline().expect("something is due");
        assert!(deadline > self.now, "a tick settles what was due");
        self.now = deadline;
        self.event(Event::Tick);
    }

    pub(crate) fn wait_until_reported(&mut self) -> Option<Progress> {
        let limit = self.now + 60_000;
        while self.now < limit {
            self.tick_at_deadline();
            let report = self
                .reports
                .iter()
                .find(|progress| matches!(progress, Progress::Waiting { .. }));
            if let Some(report) = report {
                return Some(report.clone());
            }
        }
        None
    }

    /// The tasks launched since this was last asked.
    pub(crate) fn launches(&mut self) -> Vec<TaskInfo> {
        let mut launched = Vec::new();
        for call in std::mem::take(&mut self.calls) {
            let Call::Accept(accept) = call else { continue };
            for operation in accept.operations {
                let Operation::Launch(tasks) = operation else {
                    panic!("{operation:?}")
                };
                launched.extend(tasks);
            }
        }
        launched
    }

    /// The tasks the master was asked about since this was last asked.
    pub(crate) fn reconciled(&mut self) -> Vec<String> {
        let mut asked = Vec::new();
        self.calls.retain(|call| match call {
            // An empty list asks for every task of the framework, so that strays are found.
            Call::Reconcile { tasks } => {
                asked.extend(tasks.iter().map(|task| task.task_id.0.clone()));
                false
            }
            _ => true,
        });
        asked
    }
}

/// A status update in the making.
pub(crate) struct Update(TaskStatus);

pub(crate) fn update(task_id: &str, state: TaskState) -> Update {
    Update(TaskStatus::new(task_id.into(), state))
}

impl Update {
    pub(crate) fn reason(mut self, reason: &str) -> Self {
        self.0.reason = Some(reason.into());
        self
    }

    pub(crate) fn message(mut self, message: &str) -> Self {
        self.0.message = Some(message.into());
        self
    }

    /// From agent or executor, which send it again until it is acknowledged.
    pub(crate) fn acknowledged(mut self) -> Self {
        self.0.agent_id = Some("s1".into());
        self.0.uuid = Some(mesos_http::types::UpdateId::random());
        self
    }
}

/// An agent's offer in the making.
#[derive(Clone)]
pub(crate) struct AgentOffer {
    json: serde_json::Value,
    cpus: f64,
    volumes: Vec<String>,
}

/// An agent with 4 cpus, 1024 MB and no volumes. Of several the last one in the order of ids is
/// preferred.
pub(crate) fn agent(id: &str) -> AgentOffer {
    let json = serde_json::json!({
        "framework_id": {"value": "F"}, "agent_id": {"value": id}, "hostname": format!("host-{id}"),
        "allocation_info": {"role": "*"}, "attributes": [],
    });
    AgentOffer {
        json,
        cpus: 4.0,
        volumes: Vec::new(),
    }
}

impl AgentOffer {
    pub(crate) fn volumes(mut self, ids: &[&str]) -> Self {
        self.volumes = ids.iter().map(|id| (*id).to_owned()).collect();
        self
    }

    pub(crate) fn cpus(mut self, cpus: f64) -> Self {
        self.cpus = cpus;
        self
    }

    pub(crate) fn zone(mut self, zone: &str) -> Self {
        self.json["domain"] = serde_json::json!({"fault_domain": {"region": {"name": "r"}, "zone": {"name": zone}}});
        self
    }

    pub(crate) fn attribute(mut self, name: &str, value: &str) -> Self {
        let attribute = serde_json::json!({"name": name, "type": "TEXT", "text": {"value": value}});
        self.json["attributes"]
            .as_array_mut()
            .expect("attributes are a list")
            .push(attribute);
        self
    }
}
