//! The scheduler without its I/O: what comes from the master goes in, what is to be written, said and called comes out.
//! It reads no clock, no file and no socket.

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

use mesos_http::scheduler::{Call, Event};
use mesos_http::types::{InverseOffer, Offer, OfferId};

use crate::plan::{Plan, PlannedTask};
use crate::progress::Progress;
use crate::state::{Attempt, End, JobState, Millis, Standing, Verdict};
use reconcile::Reconciliation;
pub use rules::Rules;
pub(crate) use updates::failure;
pub use waiting::Explanation;
use waiting::Waiting;

/// What happens to a scheduler.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Subscribed, for the first time or again, as the framework with this id.
    Connected {
        /// The framework's id.
        framework_id: String,
    },
    /// Not subscribed any more; the connection tries again by itself.
    Disconnected {
        /// Why.
        reason: String,
    },
    /// An event of the subscription.
    Event(Box<Event>),
    /// A call was not accepted and will not be sent again.
    CallFailed {
        /// The call.
        call: Call,
        /// Why.
        reason: String,
    },
    /// An operator has declared that the task with this id does not run.
    DeclaredDead {
        /// The id.
        task_id: String,
    },
    /// Nothing but time.
    Tick,
}

/// What is to be done, in this order: save, tell, call, end. A call must not be made before the state it follows from is
/// on disk: an ACCEPT after a crash that forgot it would launch a task twice, an ACKNOWLEDGE would make
/// the agent forget an update that nobody remembers.
#[derive(Debug, Default, PartialEq)]
pub struct Step {
    /// Whether [`Machine::state`] has to be made durable first.
    pub save: bool,
    /// For people.
    pub tell: Vec<Progress>,
    /// For the master, in order.
    pub calls: Vec<Call>,
    /// Whether the job is over, once the calls are made.
    pub end: bool,
}

/// A job on its way through a cluster.
///
/// Calling order: every input goes to [`handle`](Self::handle), and the [`Step`] is carried out as its documentation says
/// before the next input. When nothing has come by [`deadline`](Self::deadline), [`Input::Tick`] goes in.
/// `now` never goes backwards. Inputs that make no sense are no-ops.
#[derive(Debug)]
pub struct Machine {
    plan: Plan,
    rules: Rules,
    state: JobState,
    connected: bool,
    /// Whether the master was told that no offers are wanted; `None` when what it thinks is not known.
    suppressed: Option<bool>,
    /// The tasks that were to be launched when offers were last asked for.
    asked_for: BTreeSet<String>,
    /// Offers not yet answered. Empty after every step while connected.
    offers: BTreeMap<OfferId, Offer>,
    /// The agent that had a claim last, and when its task ended.
    freed: BTreeMap<String, (String, Millis)>,
    reconciliation: Reconciliation,
    waiting: Waiting,
    /// The first part of every task id.
    prefix: String,
    /// Whether somebody else asks for offers, shares them out and ends the framework.
    hosted: bool,
}

/// The volumes of tasks that may still run.
struct Held<'a> {
    all: BTreeSet<&'a str>,
    written: BTreeSet<&'a str>,
}

impl<'a> Held<'a> {
    fn of(state: &'a JobState) -> Self {
        let live = || state.live().map(|(_, attempt)| attempt);
        Self {
            all: live().flat_map(|attempt| &attempt.claims).map(String::as_str).collect(),
            written: live().flat_map(Attempt::writes).collect(),
        }
    }

    /// One writes alone, several read.
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

    /// One job of several in one framework: offers are shared out by whoever has them all. `prefix` tells its task ids apart.
    pub(crate) fn hosted(plan: Plan, state: JobState, rules: Rules, prefix: String) -> Self {
        Self {
            prefix,
            hosted: true,
            ..Self::new(plan, state, rules)
        }
    }

    /// Begins nothing more, and kills what may run: at once, after each subscription, and when a task whose agent could not be
    /// reached is heard of again.
    pub fn cancel(&mut self, now: Millis) -> Step {
        let mut step = Step::default();
        if self.state.end.is_none() {
            self.state.cancelled = true;
            step.save = true;
            self.kill_cancelled(&mut step);
            self.advance(now, &mut step);
        }
        step
    }

    fn kill_cancelled(&self, step: &mut Step) {
        for (_, attempt) in self.state.live().filter(|_| self.state.cancelled) {
            let agent = Some(attempt.agent.id.clone().into());
            step.calls.push(Call::kill(attempt.task_id.clone().into(), agent));
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
        self.wanted(now).map(|name| (priority(name), name.to_owned())).collect()
    }

    /// Whether the task with this id, by its own prefix, was launched by this machine and may still run on the agent.
    pub(crate) fn uses_agent(&self, agent: &str) -> bool {
        self.state.live().any(|(_, attempt)| attempt.agent.id == agent)
    }

    /// Somebody else than the task's own updates has shown that it runs.
    pub(crate) fn seen_running(&mut self, task_id: &str) -> Step {
        let attempts = self.state.tasks.values_mut().flat_map(|record| &mut record.attempts);
        let mut unseen = attempts.filter(|attempt| attempt.task_id == task_id && !attempt.has_begun());
        let mut step = Step::default();
        if let Some(attempt) = unseen.next() {
            attempt.seen_running = true;
            step.save = true;
        }
        step
    }

    /// What is known of the job.
    pub fn state(&self) -> &JobState {
        &self.state
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// When [`Input::Tick`] is due; `None` when nothing depends on time.
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

    /// One input, at `now`.
    pub fn handle(&mut self, input: Input, now: Millis) -> Step {
        let mut step = Step::default();
        match input {
            Input::Connected { framework_id } => self.connected(framework_id, now, &mut step),
            Input::Disconnected { reason } => self.disconnected(reason, &mut step),
            Input::Event(event) => self.event(*event, now, &mut step),
            Input::CallFailed { call, reason } => {
                step.tell.push(Progress::CallFailed {
                    call: call.kind().to_owned(),
                    reason,
                });
            }
            Input::DeclaredDead { task_id } => self.declared_dead(&task_id, now, &mut step),
            Input::Tick => {}
        }
        if self.state.end.is_none() {
            self.advance(now, &mut step);
        }
        step
    }

    /// The master has accepted the end of the framework: there is nothing left to come back for.
    pub fn torn_down(&mut self) {
        if let Some(end) = &mut self.state.end {
            end.torn_down = true;
        }
    }

    /// Those who were to be told how the job ended were told, or could not be.
    pub fn notified(&mut self) {
        if let Some(end) = &mut self.state.end {
            end.notified = true;
        }
    }

    fn connected(&mut self, framework_id: String, now: Millis, step: &mut Step) {
        step.tell.push(Progress::Connected {
            framework_id: framework_id.clone(),
        });
        self.connected = true;
        self.suppressed = None;
        self.offers.clear();
        if self.state.framework_id.as_ref() != Some(&framework_id) {
            self.state.framework_id = Some(framework_id);
            step.save = true;
        }
        if self.state.end.is_some() {
            // An earlier run ended the job and not the framework.
            step.calls.push(Call::Teardown);
            step.end = true;
            return;
        }
        let live = self.state.live().map(|(_, attempt)| attempt.task_id.clone());
        self.reconciliation.begin(live.collect(), now);
        self.kill_cancelled(step);
    }

    fn disconnected(&mut self, reason: String, step: &mut Step) {
        step.tell.push(Progress::Disconnected { reason });
        self.connected = false;
        self.offers.clear();
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
            Event::Other {
                kind,
                unreadable: Some(reason),
                ..
            } => {
                step.tell.push(Progress::Unreadable { kind, reason });
            }
            // An executor's end and an agent's come as updates too, and those are reliable.
            _ => {}
        }
    }

    /// An agent that is to go away for maintenance may do so unless a task may run there.
    fn answer_inverse(&self, offers: Vec<InverseOffer>, step: &mut Step) {
        let used = |offer: &InverseOffer| {
            let agent = offer.agent_id.as_ref().map(|agent| agent.as_str());
            self.state
                .live()
                .any(|(_, attempt)| agent.is_none_or(|agent| agent == attempt.agent.id))
        };
        let (decline, accept): (Vec<_>, Vec<_>) = offers.into_iter().partition(used);
        let ids = |offers: Vec<InverseOffer>| offers.into_iter().map(|offer| offer.id).collect::<Vec<_>>();
        if !decline.is_empty() {
            step.calls.push(Call::DeclineInverseOffers {
                inverse_offer_ids: ids(decline),
            });
        }
        if !accept.is_empty() {
            step.calls.push(Call::AcceptInverseOffers {
                inverse_offer_ids: ids(accept),
            });
        }
    }

    /// Everything that follows from where the job now stands.
    fn advance(&mut self, now: Millis, step: &mut Step) {
        self.make_ready(now, step);
        if self.end_if_over(now, step) || !self.connected {
            return;
        }
        self.reconcile(now, step);
        if !self.hosted {
            let wanted: Vec<String> = self.wanted(now).map(str::to_owned).collect();
            self.answer_offers(&wanted, now, step);
            self.ask_for_offers(now, step);
        }
        self.explain(now, step);
    }

    fn make_ready(&mut self, now: Millis, step: &mut Step) {
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
                step.save = true;
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
    fn wanted(&self, now: Millis) -> impl Iterator<Item = &str> {
        let held = Held::of(&self.state);
        self.ready().filter(move |name| {
            let due = self.state.tasks[*name].not_before_ms <= now;
            due && self.plan.task(name).is_some_and(|task| held.leaves_room_for(task))
        })
    }

    /// Asks for offers when a task has come to need some, and for none when no task does.
    fn ask_for_offers(&mut self, now: Millis, step: &mut Step) {
        let wanted: BTreeSet<String> = self.wanted(now).map(str::to_owned).collect();
        let roles = || vec![self.rules.role.clone()];
        if wanted.is_empty() {
            if self.suppressed != Some(true) {
                self.suppressed = Some(true);
                step.calls.push(Call::Suppress { roles: roles() });
            }
        } else if self.suppressed != Some(false) || !wanted.is_subset(&self.asked_for) {
            // What was declined for the tasks of before may be right for those of now.
            self.suppressed = Some(false);
            self.waiting.forget_agents();
            step.calls.push(Call::Revive { roles: roles() });
        }
        self.asked_for = wanted;
    }

    /// A job is over when nothing of it runs and nothing can be launched any more.
    fn end_if_over(&mut self, now: Millis, step: &mut Step) -> bool {
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
        step.tell.push(Progress::Ended {
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
        step.save = true;
        step.end = true;
        if self.connected && !self.hosted {
            step.calls.push(Call::Teardown);
        }
        true
    }

    /// Notes that the task named so is not to be launched before its pause is over.
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
