//! The scheduler without its I/O: an [`Event`] goes in, and [`Effects`] come out, which the caller
//! carries out. It reads no clock, no file and no socket.

mod doubt;
mod launch;
pub(crate) mod placement;
pub(crate) mod pool;
mod reconcile;
mod rules;
mod updates;
mod waiting;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use mesos_http::scheduler::{Call, Event as MasterEvent};
use mesos_http::types::{InverseOffer, Offer, OfferId};

use crate::plan::{Plan, PlannedTask};
use crate::progress::Progress;
use crate::state::{Attempt, End, JobState, Millis, Standing, Verdict};
use reconcile::Reconciliation;
pub use rules::Rules;
pub(crate) use updates::failure;
pub use waiting::Explanation;
use waiting::Waiting;

/// What has happened: the input of a machine and of a service.
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
    /// A call was not accepted and will not be sent again.
    CallFailed {
        /// The call that the master did not accept.
        call: Call,
        /// The cause, in one line.
        reason: String,
    },
    /// An operator has declared that the task with this id does not run.
    DeclaredDead {
        /// The task's id.
        task_id: String,
    },
    /// Time has passed.
    Tick,
}

/// What the caller has to do, in this order: save, report, call, end. A call must not be made
/// before the state it follows from is on disk: an ACCEPT after a crash that forgot it would launch
/// a task twice, an ACKNOWLEDGE would make the agent forget an update that is recorded nowhere
/// else.
#[derive(Debug, Default, PartialEq)]
pub struct Effects {
    /// Whether [`Machine::state`] has to be made durable first.
    pub save: bool,
    /// What to report, in order.
    pub progress: Vec<Progress>,
    /// The calls to the master, in order.
    pub calls: Vec<Call>,
    /// Whether the job is over, once the calls are made.
    pub end: bool,
}

/// The state of one job, and what follows from each event.
///
/// Calling order: every event goes to [`handle`](Self::handle), and the [`Effects`] are carried out
/// as their documentation says before the next event. When nothing has come by
/// [`deadline`](Self::deadline), [`Event::Tick`] goes in. `now` never goes backwards. Events that
/// do not fit the state change nothing.
#[derive(Debug)]
pub struct Machine {
    plan: Plan,
    rules: Rules,
    state: JobState,
    connected: bool,
    /// Whether the master has a SUPPRESS from this framework; `None` when this is not known.
    suppressed: Option<bool>,
    /// The tasks that were to be launched when offers were last asked for.
    asked_for: BTreeSet<String>,
    /// Offers that are not answered yet. Empty after every event while connected.
    offers: BTreeMap<OfferId, Offer>,
    /// The agent that had a claim last, and when its task ended.
    freed: BTreeMap<String, (String, Millis)>,
    reconciliation: Reconciliation,
    waiting: Waiting,
    /// The first part of every task id.
    prefix: String,
    /// Whether the service asks for offers, distributes them and ends the framework.
    hosted: bool,
}

/// The volumes of tasks that may still run.
struct HeldVolumes<'a> {
    all: BTreeSet<&'a str>,
    written: BTreeSet<&'a str>,
}

impl<'a> HeldVolumes<'a> {
    fn of(state: &'a JobState) -> Self {
        let live = || state.live().map(|(_, attempt)| attempt);
        Self {
            all: live().flat_map(|attempt| &attempt.claims).map(String::as_str).collect(),
            written: live().flat_map(Attempt::writes).collect(),
        }
    }

    /// Whether the task may run next to the tasks that hold volumes: one writer alone, or several
    /// readers.
    fn leaves_room_for(&self, task: &PlannedTask) -> bool {
        let reads = task.reads();
        let free = |claim: &&str| match reads.contains(claim) {
            true => !self.written.contains(claim),
            false => !self.all.contains(claim),
        };
        task.claims().iter().all(free)
    }
}

impl Machine {
    /// Takes up a job where `state` left it. `state` is that of `plan`.
    pub fn new(plan: Plan, state: JobState, rules: Rules) -> Self {
        Self {
            prefix: plan.job.clone(),
            hosted: false,
            plan,
            rules,
            state,
            connected: false,
            suppressed: None,
            asked_for: BTreeSet::new(),
            offers: BTreeMap::new(),
            freed: BTreeMap::new(),
            reconciliation: Reconciliation::default(),
            waiting: Waiting::default(),
        }
    }

    /// One job of several in one framework. The service distributes the offers. `prefix` begins
    /// every task id of this job.
    pub(crate) fn hosted(plan: Plan, state: JobState, rules: Rules, prefix: String) -> Self {
        Self {
            prefix,
            hosted: true,
            ..Self::new(plan, state, rules)
        }
    }

    /// Starts nothing more, and kills every task that may run: at once, after each subscription,
    /// and when a task whose agent could not be reached is heard of again.
    pub fn cancel(&mut self, now: Millis) -> Effects {
        let mut effects = Effects::default();
        if self.state.end.is_none() {
            self.state.cancelled = true;
            effects.save = true;
            self.kill_cancelled(&mut effects);
            self.advance(now, &mut effects);
        }
        effects
    }

    fn kill_cancelled(&self, effects: &mut Effects) {
        for (_, attempt) in self.state.live().filter(|_| self.state.cancelled) {
            let agent = Some(attempt.agent.id.clone().into());
            effects.calls.push(Call::kill(attempt.task_id.clone().into(), agent));
        }
    }

    /// How many tasks are to be launched as far as the job goes, at once or after a pause.
    pub(crate) fn ready_count(&self) -> usize {
        match self.state.end {
            None => self.ready().count(),
            Some(_) => 0,
        }
    }

    /// The tasks that could be launched now, with their priorities.
    pub(crate) fn candidates(&self, now: Millis) -> Vec<(i32, String)> {
        let priority = |name: &str| self.plan.task(name).map_or(0, |task| task.task.priority);
        self.launchable(now)
            .map(|name| (priority(name), name.to_owned()))
            .collect()
    }

    /// Whether the task with this id, by its own prefix, was launched by this machine and may still run on the agent.
    pub(crate) fn uses_agent(&self, agent: &str) -> bool {
        self.state.live().any(|(_, attempt)| attempt.agent.id == agent)
    }

    /// The operator stream has shown that the task runs.
    pub(crate) fn seen_running(&mut self, task_id: &str) -> Effects {
        let attempts = self.state.tasks.values_mut().flat_map(|record| &mut record.attempts);
        let mut unseen = attempts.filter(|attempt| attempt.task_id == task_id && !attempt.has_begun());
        let mut effects = Effects::default();
        if let Some(attempt) = unseen.next() {
            attempt.seen_running = true;
            effects.save = true;
        }
        effects
    }

    /// The state of the job.
    pub fn state(&self) -> &JobState {
        &self.state
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// When [`Event::Tick`] is due; `None` when nothing depends on time.
    pub fn deadline(&self) -> Option<Millis> {
        if self.state.end.is_some() || !self.connected {
            return None;
        }
        let launches = self
            .ready()
            .map(|name| self.state.tasks[name].not_before_ms)
            .filter(|at| *at > 0);
        let waiting = self.waiting.deadline(self.rules.explain_every);
        launches.chain(waiting).chain(self.reconciliation.deadline()).min()
    }

    /// One event, at `now`.
    pub fn handle(&mut self, event: Event, now: Millis) -> Effects {
        let mut effects = Effects::default();
        match event {
            Event::Connected { framework_id } => self.connected(framework_id, now, &mut effects),
            Event::Disconnected { reason } => self.disconnected(reason, &mut effects),
            Event::Master(event) => self.master_event(*event, now, &mut effects),
            Event::CallFailed { call, reason } => {
                effects.progress.push(Progress::CallFailed {
                    call: call.kind().to_owned(),
                    reason,
                });
            }
            Event::DeclaredDead { task_id } => self.declared_dead(&task_id, now, &mut effects),
            Event::Tick => {}
        }
        if self.state.end.is_none() {
            self.advance(now, &mut effects);
        }
        effects
    }

    /// The master has accepted the end of the framework: there is nothing left to come back for.
    pub fn torn_down(&mut self) {
        if let Some(end) = &mut self.state.end {
            end.torn_down = true;
        }
    }

    /// The notifications about the end of the job were sent, or have failed.
    pub fn notified(&mut self) {
        if let Some(end) = &mut self.state.end {
            end.notified = true;
        }
    }

    fn connected(&mut self, framework_id: String, now: Millis, effects: &mut Effects) {
        effects.progress.push(Progress::Connected {
            framework_id: framework_id.clone(),
        });
        self.connected = true;
        self.suppressed = None;
        self.offers.clear();
        if self.state.framework_id.as_ref() != Some(&framework_id) {
            self.state.framework_id = Some(framework_id);
            effects.save = true;
        }
        if self.state.end.is_some() {
            // An earlier process ended the job but not the framework.
            effects.calls.push(Call::Teardown);
            effects.end = true;
            return;
        }
        let live = self.state.live().map(|(_, attempt)| attempt.task_id.clone());
        self.reconciliation.begin(live.collect(), now);
        self.kill_cancelled(effects);
    }

    fn disconnected(&mut self, reason: String, effects: &mut Effects) {
        effects.progress.push(Progress::Disconnected { reason });
        self.connected = false;
        self.offers.clear();
    }

    fn master_event(&mut self, event: MasterEvent, now: Millis, effects: &mut Effects) {
        match event {
            MasterEvent::Offers(offers) => self
                .offers
                .extend(offers.into_iter().map(|offer| (offer.id.clone(), offer))),
            MasterEvent::Rescind(offer) => {
                self.offers.remove(&offer);
            }
            MasterEvent::InverseOffers(offers) => self.answer_inverse(offers, effects),
            MasterEvent::Update(status) => self.update(status, now, effects),
            MasterEvent::Other {
                kind,
                unreadable: Some(reason),
                ..
            } => {
                effects.progress.push(Progress::Unreadable { kind, reason });
            }
            // An executor's end and an agent's come as updates too, and those are reliable.
            _ => {}
        }
    }

    /// Accepts the maintenance of an agent unless one of the tasks may run there.
    fn answer_inverse(&self, offers: Vec<InverseOffer>, effects: &mut Effects) {
        let used = |offer: &InverseOffer| {
            let agent = offer.agent_id.as_ref().map(|agent| agent.as_str());
            self.state
                .live()
                .any(|(_, attempt)| agent.is_none_or(|agent| agent == attempt.agent.id))
        };
        let (decline, accept): (Vec<_>, Vec<_>) = offers.into_iter().partition(used);
        let ids = |offers: Vec<InverseOffer>| offers.into_iter().map(|offer| offer.id).collect::<Vec<_>>();
        if !decline.is_empty() {
            effects.calls.push(Call::DeclineInverseOffers {
                inverse_offer_ids: ids(decline),
            });
        }
        if !accept.is_empty() {
            effects.calls.push(Call::AcceptInverseOffers {
                inverse_offer_ids: ids(accept),
            });
        }
    }

    /// Does everything that the state of the job allows now.
    fn advance(&mut self, now: Millis, effects: &mut Effects) {
        self.make_ready(now, effects);
        if self.end_if_over(now, effects) || !self.connected {
            return;
        }
        self.reconcile(now, effects);
        if !self.hosted {
            let wanted: Vec<String> = self.launchable(now).map(str::to_owned).collect();
            self.answer_offers(&wanted, now, effects);
            self.ask_for_offers(now, effects);
        }
        self.explain(now, effects);
    }

    fn make_ready(&mut self, now: Millis, effects: &mut Effects) {
        for record in self
            .state
            .tasks
            .values_mut()
            .filter(|record| record.not_before_ms <= now)
        {
            record.not_before_ms = 0;
        }
        for task in &self.plan.tasks {
            let is_ready = task.task.after.iter().all(|name| self.state.is_finished(name));
            let Some(record) = self.state.tasks.get_mut(task.name()) else {
                continue;
            };
            if is_ready && record.ready_ms.is_none() {
                record.ready_ms = Some(now);
                effects.save = true;
            }
        }
    }

    /// The tasks that may be launched as far as the job goes, by priority.
    fn ready(&self) -> impl Iterator<Item = &str> {
        // The sort keeps the order of the file among equals.
        let mut tasks: Vec<&PlannedTask> = self.plan.tasks.iter().collect();
        tasks.sort_by_key(|task| Reverse(task.task.priority));
        let names = tasks.into_iter().map(|task| task.name());
        names.filter(|name| !self.state.cancelled && self.state.tasks[*name].standing() == Standing::Ready)
    }

    /// Those of them that may be launched now: no pause, and no volume that another task of the job may still write to.
    fn launchable(&self, now: Millis) -> impl Iterator<Item = &str> {
        let held = HeldVolumes::of(&self.state);
        self.ready().filter(move |name| {
            let due = self.state.tasks[*name].not_before_ms <= now;
            due && self.plan.task(name).is_some_and(|task| held.leaves_room_for(task))
        })
    }

    /// Asks for offers when a task has come to need some, and for none when no task does.
    fn ask_for_offers(&mut self, now: Millis, effects: &mut Effects) {
        let wanted: BTreeSet<String> = self.launchable(now).map(str::to_owned).collect();
        let roles = || vec![self.rules.role.clone()];
        if wanted.is_empty() {
            if self.suppressed != Some(true) {
                self.suppressed = Some(true);
                effects.calls.push(Call::Suppress { roles: roles() });
            }
        } else if self.suppressed != Some(false) || !wanted.is_subset(&self.asked_for) {
            // Offers that were declined for other tasks may fit these.
            self.suppressed = Some(false);
            self.waiting.forget_agents();
            effects.calls.push(Call::Revive { roles: roles() });
        }
        self.asked_for = wanted;
    }

    /// A job is over when nothing of it runs and nothing can be launched any more.
    fn end_if_over(&mut self, now: Millis, effects: &mut Effects) -> bool {
        let standing = |name: &str| self.state.tasks[name].standing();
        let names = || self.plan.tasks.iter().map(|task| task.name());
        let goes_on = |standing| match standing {
            Standing::Active => true,
            Standing::Ready => !self.state.cancelled,
            _ => false,
        };
        if names().any(|name| goes_on(standing(name))) {
            return false;
        }
        let cancelled = self.state.cancelled.then(|| "the run was cancelled".to_owned());
        let failures: Vec<String> = names()
            .filter(|name| standing(name) == Standing::Failed)
            .filter_map(|name| Some(updates::failure(name, self.state.tasks[name].attempts.last()?)))
            .chain(cancelled)
            .collect();
        let blocked: Vec<String> = names()
            .filter(|name| matches!(standing(name), Standing::Waiting | Standing::Ready))
            .map(str::to_owned)
            .collect();
        effects.progress.push(Progress::Ended {
            failures: failures.clone(),
            blocked: blocked.clone(),
        });
        self.state.end = Some(End {
            at_ms: now,
            failures,
            blocked,
            torn_down: false,
            notified: false,
        });
        effects.save = true;
        effects.end = true;
        if self.connected && !self.hosted {
            effects.calls.push(Call::Teardown);
        }
        true
    }

    /// Delays the next launch of the task. Returns the pause in milliseconds.
    fn pause(&mut self, name: &str, verdict: Verdict, now: Millis) -> Millis {
        let Some(record) = self.state.tasks.get_mut(name) else {
            return 0;
        };
        let doublings = record.in_a_row(verdict).saturating_sub(1).min(20);
        let own = self.plan.task(name).and_then(|task| task.task.retry_pause_ms);
        let pause = match verdict {
            Verdict::FailedOnce => {
                let first = own.unwrap_or(self.rules.retry_pause);
                (first << doublings).min(first.max(self.rules.longest_retry_pause))
            }
            _ => (self.rules.pause << doublings).min(self.rules.longest_pause),
        };
        record.not_before_ms = now + pause;
        pause
    }
}
