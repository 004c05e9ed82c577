//! What comes to a service: from the master, the operator stream and the storage.

use label_mapper::Catalogue;
use mesos_http::operator::ClusterEvent;
use mesos_http::scheduler::{Call, Event, Operation};
use mesos_http::types::{InverseOffer, TaskState, TaskStatus};

use super::{RunId, Service, Step};
use crate::ledger::Holder;
use crate::machine::Input;
use crate::progress::Progress;
use crate::state::Millis;

/// How often things that depend on time alone are looked at.
const TICK: Millis = 250;

impl Service {
    /// The storage's listing, asked for at `asked_ms`.
    pub fn listed(&mut self, catalogue: Catalogue, asked_ms: Millis, now: Millis) -> Step {
        let mut step = Step::default();
        self.ledger.stored(&catalogue, asked_ms, now);
        self.catalogue = Some(catalogue);
        self.advance(now, &mut step);
        step
    }

    /// The operator stream.
    pub fn cluster(&mut self, event: ClusterEvent, now: Millis) -> Step {
        self.cluster_all([event], now)
    }

    /// Several of its events that came together.
    pub fn cluster_all(&mut self, events: impl IntoIterator<Item = ClusterEvent>, now: Millis) -> Step {
        let mut step = Step::default();
        for event in events {
            self.agents.take(&event);
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
                    self.ledger.task(&holder, &state, now)
                }
                ClusterEvent::AgentRemoved(agent) => self.ledger.agent_lost(agent.as_str(), now),
                _ => false,
            };
        }
        self.advance(now, &mut step);
        step
    }

    /// One input, at `now`.
    pub fn handle(&mut self, input: Input, now: Millis) -> Step {
        self.handle_all([input], now)
    }

    /// Several inputs that came together, at `now`. What follows from all of them is worked out once.
    pub fn handle_all(&mut self, inputs: impl IntoIterator<Item = Input>, now: Millis) -> Step {
        let mut step = Step::default();
        for input in inputs {
            self.input_of_all(input, now, &mut step);
        }
        self.advance(now, &mut step);
        step
    }

    fn input_of_all(&mut self, input: Input, now: Millis, step: &mut Step) {
        match input {
            Input::Connected { framework_id } => {
                self.connected = true;
                self.ask_for_all_tasks_soon(now);
                self.suppressed = None;
                self.offers.clear();
                step.tell.push((
                    None,
                    Progress::Connected {
                        framework_id: framework_id.clone(),
                    },
                ));
                if self.record.framework_id.as_ref() != Some(&framework_id) {
                    self.record.framework_id = Some(framework_id.clone());
                    step.save_service = true;
                }
                self.each_run(&Input::Connected { framework_id }, now, step);
            }
            Input::Disconnected { reason } => {
                self.connected = false;
                self.offers.clear();
                step.tell
                    .push((None, Progress::Disconnected { reason: reason.clone() }));
                self.each_run(&Input::Disconnected { reason }, now, step);
            }
            Input::Event(event) => self.event(*event, now, step),
            Input::CallFailed { call, reason } => {
                let call = call.kind().to_owned();
                step.tell.push((None, Progress::CallFailed { call, reason }));
            }
            Input::Tick if now >= self.ticked + TICK => {
                self.ticked = now;
                // Pauses may be over.
                self.stale = true;
                self.ledger.tick(self.ledger_rules(), now);
                self.alarm(now, step);
                self.begin_due(now, step);
                self.ask_for_all_tasks(now, step);
                self.each_run(&Input::Tick, now, step);
            }
            Input::Tick => {}
        }
    }

    fn event(&mut self, event: Event, now: Millis, step: &mut Step) {
        match event {
            Event::Offers(offers) => self
                .offers
                .extend(offers.into_iter().map(|offer| (offer.id.clone(), offer))),
            Event::Rescind(offer) => {
                self.offers.remove(&offer);
            }
            Event::InverseOffers(offers) => self.answer_inverse(offers, step),
            Event::Update(status) => self.update(status, now, step),
            _ => {}
        }
    }

    fn update(&mut self, status: TaskStatus, now: Millis, step: &mut Step) {
        let framework = self.record.framework_id.clone().unwrap_or_default();
        let holder = Holder {
            framework,
            task: status.task_id.0.clone(),
        };
        self.ledger.task(&holder, &status.state, now);
        self.counters.update(&status);
        match self.run_of(status.task_id.as_str()) {
            Some(id) => self.input(&id, Input::Event(Box::new(Event::Update(status))), now, step),
            None => {
                // A run that was forgotten, or another scheduler's with the same id: it must not go on unwatched.
                if matches!(
                    status.state,
                    TaskState::Staging | TaskState::Starting | TaskState::Running
                ) {
                    step.call(Call::kill(status.task_id.clone(), status.agent_id.clone()));
                    step.tell.push((
                        None,
                        Progress::Stray {
                            task_id: status.task_id.0.clone(),
                            state: status.state.clone(),
                        },
                    ));
                }
                step.calls.extend(Call::acknowledge(&status));
            }
        }
    }

    pub(super) fn run_of(&self, task_id: &str) -> Option<RunId> {
        let mut dots = task_id.match_indices('.').map(|(at, _)| at);
        let id = &task_id[..dots.nth(1)?];
        self.runs.contains_key(id).then(|| id.to_owned())
    }

    fn answer_inverse(&self, offers: Vec<InverseOffer>, step: &mut Step) {
        for offer in offers {
            let used = match &offer.agent_id {
                Some(agent) => self
                    .active
                    .iter()
                    .any(|id| self.runs[id].machine.uses_agent(agent.as_str())),
                None => true,
            };
            let inverse_offer_ids = vec![offer.id];
            step.calls.push(match used {
                true => Call::DeclineInverseOffers { inverse_offer_ids },
                false => Call::AcceptInverseOffers { inverse_offer_ids },
            });
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
