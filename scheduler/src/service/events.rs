//! What comes to a service: from the master, the operator stream and the storage.

use label_mapper::Catalogue;
use mesos_http::operator::ClusterEvent;
use mesos_http::scheduler::{Call, Event as MasterEvent, Operation};
use mesos_http::types::{FrameworkId, InverseOffer, Reason, Task, TaskState, TaskStatus};

use super::{Effects, RunId, Service};
use crate::ledger::{Holder, has_run};
use crate::progress::Progress;
use crate::run;
use crate::state::Millis;

/// What has happened: the input of a service.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Subscribed, for the first time or again, as the framework with this id.
    Connected {
        /// The framework's id.
        framework_id: String,
    },
    /// Not subscribed any more; the connection tries again by itself.
    Disconnected {
        /// The cause, in one line.
        reason: String,
    },
    /// An event of the subscription.
    Master(Box<MasterEvent>),
    /// An operator has declared that the task with this id does not run.
    DeclaredDead {
        /// The task's id.
        task_id: String,
    },
    /// Time has passed.
    Tick,
}

impl Service {
    /// The storage's listing, asked for at `asked_ms`.
    pub fn listed(&mut self, catalogue: Catalogue, asked_ms: Millis, now: Millis) -> Effects {
        let mut effects = Effects::default();
        self.ledger.stored(&catalogue, asked_ms, now);
        self.ledger.complete(&self.settings.source, &catalogue, asked_ms, now);
        self.catalogue = Some(catalogue);
        self.end_detached(now, &mut effects);
        self.advance(now, &mut effects);
        effects
    }

    /// The operator stream.
    pub fn cluster(&mut self, event: ClusterEvent, now: Millis) -> Effects {
        self.cluster_all([event], now)
    }

    /// Several of its events that came together.
    pub fn cluster_all(&mut self, events: impl IntoIterator<Item = ClusterEvent>, now: Millis) -> Effects {
        let mut effects = Effects::default();
        for event in events {
            self.agents.take(&event);
            self.operator_stream.take(&event, now);
            self.report_stream(&event, now, &mut effects);
            for task_id in self.shown_running(&event) {
                self.seen_running(&task_id, now, &mut effects);
            }
            let names = self.catalogue.as_ref();
            match event {
                ClusterEvent::Snapshot(snapshot) => self.ledger.snapshot(&snapshot.tasks, names, now),
                ClusterEvent::TaskAdded(task) => self.ledger.observe(&task, names, now),
                ClusterEvent::TaskUpdated {
                    framework_id,
                    status,
                    state,
                } => {
                    let holder = Holder {
                        framework: framework_id.0,
                        task: status.task_id.0,
                    };
                    self.ledger.task(&holder, &meant(&state, status.reason.as_ref()), now)
                }
                ClusterEvent::AgentRemoved(agent) => self.ledger.agent_lost(agent.as_str(), now),
                _ => false,
            };
        }
        self.advance(now, &mut effects);
        effects
    }

    /// Reports that the operator stream is closed. While there is no subscription either, both have
    /// one cause, which is reported already.
    fn report_stream(&mut self, event: &ClusterEvent, now: Millis, effects: &mut Effects) {
        match event {
            ClusterEvent::Snapshot(_) => self.stream_outage.is_over(),
            ClusterEvent::Disconnected(error) if self.connected => {
                if let Some(for_ms) = self.stream_outage.failed(now) {
                    let reason = error.to_string();
                    let progress = Progress::OperatorStreamClosed { reason, for_ms };
                    effects.progress.push((None, progress));
                }
            }
            _ => {}
        }
    }

    /// The tasks of this framework that an event of the operator stream shows to run, or to have
    /// run.
    fn shown_running(&self, event: &ClusterEvent) -> Vec<String> {
        let own = |framework: &FrameworkId| self.record.framework_id.as_deref() == Some(framework.as_str());
        match event {
            ClusterEvent::Snapshot(snapshot) => {
                let tasks = &snapshot.tasks;
                let tasks = tasks
                    .tasks
                    .iter()
                    .chain(&tasks.unreachable_tasks)
                    .chain(&tasks.completed_tasks);
                let ran = |task: &&Task| own(&task.framework_id) && (is_running(&task.state) || has_run(task));
                tasks.filter(ran).map(|task| task.task_id.0.clone()).collect()
            }
            ClusterEvent::TaskUpdated {
                framework_id,
                status,
                state,
            } if own(framework_id) && (is_running(state) || is_running(&status.state)) => {
                vec![status.task_id.0.clone()]
            }
            _ => Vec::new(),
        }
    }

    fn seen_running(&mut self, task_id: &str, now: Millis, effects: &mut Effects) {
        let Some(id) = self.run_of(task_id) else { return };
        if let Some(entry) = self.runs.get_mut(&id) {
            let task_id = task_id.to_owned();
            let done = entry.run.handle(run::Event::SeenRunning { task_id }, now);
            self.take(&id, done, effects);
        }
    }

    /// One event, at `now`.
    pub fn handle(&mut self, event: Event, now: Millis) -> Effects {
        self.handle_all([event], now)
    }

    /// Several events that came together, at `now`. What follows from all of them is worked out
    /// once.
    pub fn handle_all(&mut self, events: impl IntoIterator<Item = Event>, now: Millis) -> Effects {
        let mut effects = Effects::default();
        for event in events {
            self.take_event(event, now, &mut effects);
        }
        self.advance(now, &mut effects);
        effects
    }

    fn take_event(&mut self, event: Event, now: Millis, effects: &mut Effects) {
        match event {
            Event::Connected { framework_id } => self.subscribed(framework_id, now, effects),
            Event::Disconnected { reason } => {
                self.connected = false;
                self.offers.forget();
                // The master may close the stream before it has answered the end of the framework.
                if !self.is_ending()
                    && let Some(for_ms) = self.outage.failed(now)
                {
                    let progress = Progress::Disconnected { reason, for_ms };
                    effects.progress.push((None, progress));
                }
                self.each_run(&run::Event::Disconnected, now, effects);
            }
            Event::Master(event) => self.master_event(*event, now, effects),
            Event::DeclaredDead { task_id } => match self.declare_dead(&task_id, now) {
                Ok(declared) => effects.join(declared),
                Err(error) => {
                    let reason = error.to_string();
                    effects.progress.push((None, Progress::NotDeclared { task_id, reason }));
                }
            },
            Event::Tick => {
                // Pauses may be over.
                self.stale = true;
                self.ledger.tick(self.ledger_rules(), now);
                self.alarm(now, effects);
                self.begin_due(now, effects);
                self.ask_for_all_tasks(now, effects);
                self.each_run(&run::Event::Tick, now, effects);
            }
        }
    }

    fn subscribed(&mut self, framework_id: String, now: Millis, effects: &mut Effects) {
        self.connected = true;
        self.outage.is_over();
        self.stale = true;
        self.ask_for_all_tasks_soon(now);
        self.offers.forget();
        let id = framework_id.clone();
        effects.progress.push((None, Progress::Connected { framework_id: id }));
        if self.record.framework_id.as_ref() != Some(&framework_id) {
            self.record.framework_id = Some(framework_id.clone());
            effects.save_service = true;
        }
        self.each_run(&run::Event::Connected { framework_id }, now, effects);
        self.subscribed_again();
    }

    fn master_event(&mut self, event: MasterEvent, now: Millis, effects: &mut Effects) {
        match event {
            MasterEvent::Offers(offers) => self.offers.add(offers),
            MasterEvent::Rescind(offer) => self.offers.rescind(&offer),
            MasterEvent::InverseOffers(offers) => self.answer_inverse(offers, effects),
            MasterEvent::Update(status) => self.update(status, now, effects),
            MasterEvent::Other {
                kind,
                unreadable: Some(reason),
                ..
            } => effects.progress.push((None, Progress::Unreadable { kind, reason })),
            // An executor's end and an agent's come as updates too, and those are reliable.
            _ => {}
        }
    }

    fn update(&mut self, status: TaskStatus, now: Millis, effects: &mut Effects) {
        let framework = self.record.framework_id.clone().unwrap_or_default();
        let holder = Holder {
            framework,
            task: status.task_id.0.clone(),
        };
        self.ledger
            .task(&holder, &meant(&status.state, status.reason.as_ref()), now);
        self.counters.update(&status);
        match self.run_of(status.task_id.as_str()) {
            Some(id) => self.event(&id, run::Event::Update(Box::new(status)), now, effects),
            None => {
                // A run that was forgotten, or another scheduler's with the same id: it must not go
                // on unwatched.
                if matches!(
                    status.state,
                    TaskState::Staging | TaskState::Starting | TaskState::Running
                ) {
                    effects.call(Call::kill(status.task_id.clone(), status.agent_id.clone()));
                    effects.progress.push((
                        None,
                        Progress::Stray {
                            task_id: status.task_id.0.clone(),
                            state: status.state.clone(),
                        },
                    ));
                }
                effects.calls.extend(Call::acknowledge(&status));
            }
        }
    }

    /// The run whose id begins the task's id: `<run>.<task>.<attempt>`.
    pub(super) fn run_of(&self, task_id: &str) -> Option<RunId> {
        let (id, _) = task_id.rsplit_once('.')?.0.rsplit_once('.')?;
        self.runs.contains_key(id).then(|| id.to_owned())
    }

    /// Accepts the maintenance of an agent unless a task may run there.
    fn answer_inverse(&self, offers: Vec<InverseOffer>, effects: &mut Effects) {
        let used = |offer: &InverseOffer| {
            let Some(agent) = &offer.agent_id else { return true };
            let mut active = self.active.iter();
            active.any(|id| self.runs[id].run.uses_agent(agent.as_str()))
        };
        let (decline, accept): (Vec<_>, Vec<_>) = offers.into_iter().partition(used);
        let ids = |offers: Vec<InverseOffer>| offers.into_iter().map(|offer| offer.id).collect::<Vec<_>>();
        if !decline.is_empty() {
            let inverse_offer_ids = ids(decline);
            effects.call(Call::DeclineInverseOffers { inverse_offer_ids });
        }
        if !accept.is_empty() {
            let inverse_offer_ids = ids(accept);
            effects.call(Call::AcceptInverseOffers { inverse_offer_ids });
        }
    }

    /// A call was made: what was to be launched is launched.
    pub fn sent(&mut self, call: &Call, now: Millis) {
        let (Call::Accept(accept), Some(framework)) = (call, self.record.framework_id.clone()) else {
            return;
        };
        for operation in &accept.operations {
            let Operation::Launch(tasks) = operation else { continue };
            for task in tasks {
                let holder = Holder {
                    framework: framework.clone(),
                    task: task.task_id.0.clone(),
                };
                self.ledger.launched(&holder, now);
            }
        }
    }
}

fn is_running(state: &TaskState) -> bool {
    matches!(state, TaskState::Starting | TaskState::Running | TaskState::Killing)
}

/// What a state means for the claims. A master that does not know the states of partition-aware
/// frameworks says LOST of a launch that it refuses.
fn meant(state: &TaskState, reason: Option<&Reason>) -> TaskState {
    match (state, reason) {
        (TaskState::Lost, Some(Reason::InvalidOffers)) => TaskState::Dropped,
        (state, _) => state.clone(),
    }
}
