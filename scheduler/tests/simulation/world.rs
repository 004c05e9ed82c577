//! A master, agents and a disk around a scheduler that may die between any two of its effects.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mesos_http::resources::Resources;
use mesos_http::scheduler::{Call, Event as MasterEvent, Operation};
use mesos_http::types::{Offer, OfferId, Resource, TaskInfo, TaskState, TaskStatus, UpdateId};
use scheduler::job::Job;
use scheduler::plan::Plan;
use scheduler::run::Rules;
use scheduler::service::{Effects, Event, Service};
use scheduler::state::{Attempt, JobState, Millis, Verdict};

use crate::action::Action;
use crate::invariants::{
    invariant_no_task_runs_twice_or_again, invariant_no_volume_has_two_tasks, invariant_readers_share_an_agent,
    invariant_what_runs_is_on_disk,
};

/// Two agents offer the same volumes; `c` and `d` share one with `a`, `e` needs both. The readers of `vol-3` share an agent,
/// where the first of them holds the item.
pub(crate) const JOB: &str = "version: 1
name: j
tasks:
  a: {command: x, volumes: {v: vol-1}}
  b: {command: x, volumes: {v: vol-2}}
  c: {command: x, after: a, volumes: {v: vol-1}, agent: {not-same-as: a}}
  d: {command: x, volumes: {v: vol-1}}
  e: {command: x, after: [b, d], volumes: {v: vol-1, w: vol-2}}
  r: {command: x, volumes: {v: {volume: vol-3, mode: ro}}}
  s: {command: x, volumes: {v: {volume: vol-3, mode: ro}}}
  t: {command: x, after: b, volumes: {v: {volume: vol-3, mode: ro}}}
  u: {command: x, after: a, volumes: {v: {volume: vol-3, mode: ro}}}
";
pub(crate) const AGENTS: [&str; 2] = ["s1", "s2"];
pub(crate) const VOLUMES: [&str; 3] = ["vol-1", "vol-2", READ];
/// The volume that is only read.
pub(crate) const READ: &str = "vol-3";

/// Faults that are planted between scheduler and master, to show that the histories would notice them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Planted {
    Nothing,
    /// The state on disk does not say which readers have no item.
    ItemsAreForgotten,
    /// The state on disk does not say which volumes a task uses.
    ClaimsAreForgotten,
    /// A task that the agent does not know is reported as failed.
    GoneIsFailed,
    /// No update reports that a task runs.
    BeginningsAreUnreported,
    /// A KILL that follows from an update is lost.
    LateKillsAreLost,
    /// An attempt is made before it is on disk.
    LaunchBeforeDisk,
    /// The connection stays as it is when a call is lost.
    LostCallsStayLost,
}

/// What is lost of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    Call,
    Answer,
}

/// A task as it really is, whatever the scheduler thinks.
pub(crate) struct Real {
    pub(crate) name: String,
    pub(crate) agent: String,
    pub(crate) claims: BTreeSet<String>,
    pub(crate) reads: bool,
    pub(crate) state: TaskState,
    pub(crate) unacknowledged: VecDeque<TaskState>,
}

impl Real {
    pub(crate) fn runs(&self) -> bool {
        !self.state.is_terminal()
    }
}

pub(crate) struct World {
    plan: Plan,
    service: Service,
    disk: JobState,
    now: Millis,
    crash: Option<usize>,
    /// Of the next call: whether it or only its answer is lost.
    lose: Option<Lost>,
    /// Whether the master has a SUPPRESS from the framework.
    suppressed: bool,
    /// The offers that the master believes the scheduler to think about, with their agents.
    outstanding: BTreeMap<OfferId, String>,
    tasks: BTreeMap<String, Real>,
    vanished: BTreeSet<String>,
    /// Answers on their way to the scheduler.
    answers: VecDeque<TaskStatus>,
    offers: u32,
    over: bool,
    planted: Planted,
    /// The agents where another framework has the item of the volume that is only read.
    taken: BTreeSet<String>,
}

impl World {
    pub(crate) fn new(planted: Planted) -> Self {
        let plan = Plan::new(Job::parse(JOB).expect("the job is good"), None).expect("the plan is good");
        let disk = JobState::new(&plan, 0);
        let service = Service::of_one_job(plan.clone(), disk.clone(), rules(), 1_000);
        let mut world = Self {
            plan,
            service,
            disk,
            now: 1_000,
            crash: None,
            lose: None,
            suppressed: false,
            outstanding: BTreeMap::new(),
            tasks: BTreeMap::new(),
            vanished: BTreeSet::new(),
            answers: VecDeque::new(),
            offers: 0,
            over: false,
            planted,
            taken: BTreeSet::new(),
        };
        world.connect();
        world
    }

    /// A new subscription: the master withdraws all offers, and goes by what it has accepted of whether some are wanted.
    fn connect(&mut self) {
        self.answers.clear();
        self.outstanding.clear();
        self.event(Event::Connected {
            framework_id: "F".into(),
        });
    }

    /// Carries out effects as their documentation says, or as far as the crash lets it.
    fn event(&mut self, event: Event) {
        let update = matches!(&event, Event::Master(event) if matches!(**event, MasterEvent::Update(_)));
        let mut effects = self.service.handle(event, self.now);
        if update && self.planted == Planted::LateKillsAreLost {
            effects.calls.retain(|call| !matches!(call, Call::Kill(_)));
        }
        self.carry_out(effects);
    }

    fn state(&self) -> &JobState {
        self.service.only_run().expect("there is one job").state()
    }

    fn carry_out(&mut self, effects: Effects) {
        let Effects { save_runs, calls, .. } = effects;
        let (save, end) = (!save_runs.is_empty(), calls.contains(&Call::Teardown));
        let crash = self.crash.take();
        let launches = calls.iter().any(|call| matches!(call, Call::Accept(_)));
        let late = self.planted == Planted::LaunchBeforeDisk && launches;
        if crash != Some(0) && save && !late {
            self.disk = self.state().clone();
            let attempts = self.disk.tasks.values_mut().flat_map(|record| &mut record.attempts);
            match self.planted {
                Planted::ItemsAreForgotten => attempts.for_each(|attempt| attempt.without_item.clear()),
                Planted::ClaimsAreForgotten => attempts.for_each(|attempt| attempt.claims.clear()),
                _ => {}
            }
        }
        let made = crash.map_or(calls.len(), |at| at.saturating_sub(1).min(calls.len()));
        let mut is_connected = true;
        for call in calls.into_iter().take(made) {
            let lost = self.lose.take();
            if is_connected && lost != Some(Lost::Call) {
                self.call(call.clone());
            }
            if lost.is_none() && is_connected {
                self.service.sent(&call, self.now);
            } else {
                is_connected = self.planted == Planted::LostCallsStayLost;
            }
        }
        self.check();
        if crash.is_some() {
            self.service = Service::of_one_job(self.plan.clone(), self.disk.clone(), rules(), self.now);
            self.connect();
        } else if end {
            self.over = true;
        } else if !is_connected {
            self.reconnect();
        }
    }

    fn reconnect(&mut self) {
        self.event(Event::Disconnected {
            reason: "broken".into(),
        });
        self.connect();
    }

    fn call(&mut self, call: Call) {
        match call {
            Call::Suppress { .. } => self.suppressed = true,
            Call::Revive { .. } => self.suppressed = false,
            Call::Decline { offer_ids, .. } => offer_ids.iter().for_each(|id| {
                self.outstanding.remove(id);
            }),
            Call::Accept(accept) => {
                accept.offer_ids.iter().for_each(|id| {
                    self.outstanding.remove(id);
                });
                for operation in accept.operations {
                    let Operation::Launch(tasks) = operation else {
                        panic!("{operation:?}")
                    };
                    tasks.into_iter().for_each(|task| self.launch(task));
                }
            }
            Call::Acknowledge { task_id, .. } => {
                let known = self.disk.tasks.values().flat_map(|record| &record.attempts);
                let attempt = known.clone().find(|attempt| attempt.task_id == task_id.0);
                let task = self.tasks.get_mut(&task_id.0).expect("acknowledged is what exists");
                let state = task.unacknowledged.pop_front().expect("acknowledged is what was sent");
                let saved = attempt.is_some_and(|attempt| attempt.changes.iter().any(|change| change.state == state));
                let given_up = attempt.is_some_and(|attempt| attempt.verdict.is_some());
                let untold = self.planted == Planted::BeginningsAreUnreported;
                assert!(
                    saved || given_up || untold,
                    "{task_id} {state} is acknowledged and not on disk"
                );
            }
            Call::Kill(kill) => {
                let vanished = &self.vanished;
                let reached = |task: &&mut Real| task.runs() && !vanished.contains(&task.agent);
                if let Some(task) = self.tasks.get_mut(kill.task_id.as_str()).filter(reached) {
                    task.state = TaskState::Killed;
                    task.unacknowledged.push_back(TaskState::Killed);
                }
            }
            Call::Reconcile { tasks } => {
                for reference in tasks {
                    let agent = reference.agent_id.expect("the agent is known").0;
                    let state = match self.tasks.get(&reference.task_id.0) {
                        _ if self.vanished.contains(&agent) => TaskState::Unreachable,
                        Some(task) => task.state.clone(),
                        None => TaskState::Gone,
                    };
                    self.answers.push_back(TaskStatus::new(reference.task_id, state));
                }
            }
            _ => {}
        }
    }

    fn launch(&mut self, task: TaskInfo) {
        if self.vanished.contains(task.agent_id.as_str()) {
            self.answers
                .push_back(TaskStatus::new(task.task_id, TaskState::Dropped));
            return;
        }
        let claims = task
            .resources
            .items("ebsvolumes")
            .into_iter()
            .map(str::to_owned)
            .collect();
        let reads = task.labels.iter().any(|(_, volume)| volume == READ);
        if reads && self.taken.contains(task.agent_id.as_str()) {
            panic!("{} reads while another framework may write", task.task_id);
        }
        let real = Real {
            reads,
            name: task.name,
            agent: task.agent_id.0,
            claims,
            state: TaskState::Staging,
            unacknowledged: VecDeque::new(),
        };
        assert!(
            self.tasks.insert(task.task_id.0.clone(), real).is_none(),
            "{} is launched twice",
            task.task_id
        );
    }

    fn check(&self) {
        invariant_no_volume_has_two_tasks(&self.tasks);
        invariant_readers_share_an_agent(&self.tasks);
        invariant_no_task_runs_twice_or_again(&self.tasks);
        invariant_what_runs_is_on_disk(&self.tasks, &self.disk);
    }

    fn nth(&self, index: usize) -> Option<String> {
        let ids: Vec<&String> = self.tasks.keys().collect();
        (!ids.is_empty()).then(|| ids[index % ids.len()].clone())
    }

    pub(crate) fn act(&mut self, action: Action) {
        if self.over {
            return;
        }
        match action {
            Action::Offer(index) => self.offer(AGENTS[index]),
            Action::Advance { task, fails } => {
                let Some(id) = self.nth(task) else { return };
                let task = self.tasks.get_mut(&id).expect("the id is one of them");
                let next = match task.state {
                    TaskState::Staging => TaskState::Running,
                    TaskState::Running if fails => TaskState::Failed,
                    TaskState::Running => TaskState::Finished,
                    _ => return,
                };
                task.state = next.clone();
                task.unacknowledged.push_back(next);
            }
            Action::Deliver(index) => {
                if let Some(id) = self.nth(index) {
                    self.deliver(&id);
                }
                self.answer();
            }
            Action::Crash(at) => self.crash = Some(at),
            Action::Reconnect => self.reconnect(),
            Action::LoseCall => self.lose = Some(Lost::Call),
            Action::LoseAnswer => self.lose = Some(Lost::Answer),
            Action::Vanish(index) => {
                self.vanished.insert(AGENTS[index].to_owned());
                self.tell_all(AGENTS[index], &TaskState::Unreachable);
            }
            Action::Return(index) => {
                if self.vanished.remove(AGENTS[index]) {
                    self.tell_all_their_state(AGENTS[index]);
                }
            }
            Action::MarkGone(index) => {
                if self.vanished.remove(AGENTS[index]) {
                    self.tell_all(AGENTS[index], &TaskState::GoneByOperator);
                    for task in self
                        .tasks
                        .values_mut()
                        .filter(|task| task.agent == AGENTS[index] && task.runs())
                    {
                        task.state = TaskState::GoneByOperator;
                        task.unacknowledged.clear();
                    }
                }
            }
            Action::Forget(index) => {
                let Some(id) = self.nth(index) else { return };
                let task = self.tasks.get_mut(&id).expect("the id is one of them");
                // Without an update it cannot be known whether the task had begun.
                let heard = self.disk.tasks.values().flat_map(|record| &record.attempts);
                let heard = heard
                    .filter(|attempt| attempt.task_id == id)
                    .any(|attempt| attempt.has_begun());
                let there = !self.vanished.contains(&task.agent);
                if task.state == TaskState::Running
                    && there
                    && (heard || self.planted == Planted::BeginningsAreUnreported)
                {
                    task.state = TaskState::Gone;
                    task.unacknowledged.clear();
                    self.answers
                        .push_back(TaskStatus::new(id.as_str().into(), TaskState::Gone));
                }
            }
            Action::TakeItem(index) => {
                let agent = AGENTS[index];
                let holds = |task: &Real| task.agent == agent && task.runs() && task.claims.contains(READ);
                // The master reports a task's end before it offers the task's item to a framework.
                let known = |attempt: &Attempt| {
                    let real = self.tasks.get(&attempt.task_id);
                    attempt.agent.id == agent && real.is_none_or(|task| task.claims.contains(READ))
                };
                let in_use = self.tasks.values().any(holds) || self.state().live().any(|(_, attempt)| known(attempt));
                if !in_use && !self.vanished.contains(agent) {
                    self.taken.insert(agent.to_owned());
                }
            }
            Action::GiveItem(index) => drop(self.taken.remove(AGENTS[index])),
            Action::Cancel => {
                let id = self.plan.job.clone();
                if let Ok(effects) = self.service.cancel(&id, self.now) {
                    self.carry_out(effects);
                }
            }
            Action::Pass(millis) => {
                self.now += millis;
                self.event(Event::Tick);
            }
        }
    }

    /// The master's oldest answer arrives.
    fn answer(&mut self) {
        let Some(mut status) = self.answers.pop_front() else {
            return;
        };
        if self.planted == Planted::GoneIsFailed && status.state == TaskState::Gone {
            status.state = TaskState::Failed;
        }
        self.event(Event::Master(Box::new(MasterEvent::Update(status))));
    }

    fn tell_all(&mut self, agent: &str, state: &TaskState) {
        let ids = self.tasks.iter().filter(|(_, task)| task.agent == agent && task.runs());
        self.answers
            .extend(ids.map(|(id, _)| TaskStatus::new(id.as_str().into(), state.clone())));
    }

    fn tell_all_their_state(&mut self, agent: &str) {
        let tasks = self.tasks.iter().filter(|(_, task)| task.agent == agent);
        self.answers
            .extend(tasks.map(|(id, task)| TaskStatus::new(id.as_str().into(), task.state.clone())));
    }

    fn deliver(&mut self, id: &str) {
        let task = &self.tasks[id];
        let Some(state) = task
            .unacknowledged
            .front()
            .filter(|_| !self.vanished.contains(&task.agent))
        else {
            return;
        };
        let mut reported = state.clone();
        if self.planted == Planted::BeginningsAreUnreported && reported == TaskState::Running {
            reported = TaskState::Staging;
        }
        let mut status = TaskStatus::new(id.into(), reported);
        status.agent_id = Some(task.agent.as_str().into());
        status.uuid = Some(UpdateId::random());
        self.event(Event::Master(Box::new(MasterEvent::Update(status))));
    }

    fn offer(&mut self, agent: &str) {
        // What is offered already is not offered again before there is an answer.
        let is_offered = self.outstanding.values().any(|other| other == agent);
        if self.suppressed || is_offered || self.vanished.contains(agent) {
            return;
        }
        let held: BTreeSet<&String> = self
            .tasks
            .values()
            .filter(|task| task.agent == agent && task.runs())
            .flat_map(|task| &task.claims)
            .collect();
        let free = VOLUMES
            .iter()
            .filter(|volume| !held.contains(&(**volume).to_owned()))
            .filter(|volume| **volume != READ || !self.taken.contains(agent))
            .copied();
        self.offers += 1;
        let mut offer: Offer = serde_json::from_value(serde_json::json!({
            "id": {"value": format!("O{}", self.offers)}, "framework_id": {"value": "F"},
            "agent_id": {"value": agent}, "hostname": agent,
        }))
        .expect("the offer is one of Mesos");
        self.outstanding.insert(offer.id.clone(), agent.to_owned());
        offer.resources = Resources::from_iter([
            Resource::scalar("cpus", 8.0),
            Resource::scalar("mem", 8192.0),
            Resource::set("ebsvolumes", free),
        ]);
        self.event(Event::Master(Box::new(MasterEvent::Offers(vec![offer]))));
    }

    /// No more faults: everything is delivered and offered, time passes.
    pub(crate) fn settle(&mut self) {
        self.crash = None;
        self.lose = None;
        for index in 0..AGENTS.len() {
            self.act(Action::Return(index));
            self.act(Action::GiveItem(index));
        }
        if self.state().cancelled {
            // The scheduler hears of every task once more, and asks for all of them after ten minutes.
            for _ in 0..3 {
                self.deliver_all();
                self.act(Action::Pass(600_000));
            }
            self.deliver_all();
            let on: Vec<&String> = self
                .tasks
                .iter()
                .filter(|(_, task)| task.runs())
                .map(|(id, _)| id)
                .collect();
            assert!(on.is_empty(), "the run is cancelled and {on:?} run on");
        }
        for _ in 0..200 {
            if self.over {
                return self.check_end();
            }
            self.deliver_all();
            for index in 0..self.tasks.len() {
                self.act(Action::Advance {
                    task: index,
                    fails: false,
                });
            }
            self.act(Action::Offer(0));
            self.act(Action::Offer(1));
            self.act(Action::Pass(31_000));
        }
        panic!("the job does not end: {:#?}", self.state());
    }

    fn deliver_all(&mut self) {
        while !self.answers.is_empty() && !self.over {
            self.answer();
        }
        for id in self.tasks.keys().cloned().collect::<Vec<_>>() {
            if !self.over {
                self.deliver(&id);
            }
        }
    }

    /// No task is given up that never began, unless the run was cancelled.
    fn check_end(&self) {
        let state = self.state();
        let attempts = state.tasks.values().flat_map(|record| &record.attempts);
        for attempt in attempts.filter(|attempt| attempt.verdict == Some(Verdict::Failed) && !state.cancelled) {
            let real = self.tasks.get(&attempt.task_id);
            assert!(real.is_some(), "{} is given up and never began", attempt.task_id);
        }
    }
}

pub(crate) fn rules() -> Rules {
    // Histories lose more launches in a row than a cluster does.
    Rules {
        launch_retries: 1_000,
        ..Rules::default()
    }
}
