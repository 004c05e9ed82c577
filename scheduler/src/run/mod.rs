//! One run of a job: the state of its DAG, without I/O, clock or offers. An [`Event`] goes in, and
//! [`Effects`] come out, which the caller carries out.
//!
//! A run says which tasks are to be launched ([`candidates`](Run::candidates)). Which offer a task
//! gets, and whether its volumes are free, is decided by the service (`placement` and
//! [`ledger`](crate::ledger)), which then notes the launch in the run.

mod doubt;
mod explain;
mod launch;
mod reconcile;
mod rules;
mod updates;

use std::cmp::Reverse;

use mesos_http::scheduler::Call;
use mesos_http::types::TaskStatus;

use crate::plan::{Plan, PlannedTask};
use crate::progress::Progress;
use crate::state::{End, JobState, Millis, Standing, Verdict};
pub use explain::Explanation;
use reconcile::Reconciliation;
pub use rules::Rules;
pub(crate) use updates::failure;

/// What has happened to a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Subscribed, for the first time or again, as the framework with this id.
    Connected {
        /// The framework's id.
        framework_id: String,
    },
    /// Not subscribed any more.
    Disconnected,
    /// The master, an agent or an executor has reported the state of a task.
    Update(Box<TaskStatus>),
    /// The operator stream has shown that a task runs.
    SeenRunning {
        /// The task's id.
        task_id: String,
    },
    /// The storage has detached every volume that a task ran with, and the master does not know the
    /// task's agent any more.
    Detached {
        /// The task's id.
        task_id: String,
    },
    /// An operator has declared that the task with this id does not run.
    DeclaredDead {
        /// The task's id.
        task_id: String,
    },
    /// The run is to start nothing more, and to kill what may run.
    Cancelled,
    /// The notifications about the end of the job were sent, or have failed.
    Notified,
    /// The master has accepted the end of the framework: there is nothing left to come back for.
    TornDown,
    /// Time has passed.
    Tick,
}

/// What the caller has to do, in this order: save, report, call. A call must not be made before the
/// state that it follows from is on disk: an ACCEPT after a crash that forgot it would launch a
/// task twice, an ACKNOWLEDGE would make the agent forget an update that is recorded nowhere else.
#[derive(Debug, Default, PartialEq)]
pub struct Effects {
    /// Whether [`Run::state`] has to be made durable first.
    pub save: bool,
    /// What to report, in order.
    pub progress: Vec<Progress>,
    /// The calls to the master, in order.
    pub calls: Vec<Call>,
    /// Whether the job is over with this event.
    pub end: bool,
}

/// The state of one run of a job, and what follows from each event.
///
/// Calling order: every event goes to [`handle`](Self::handle), and the [`Effects`] are carried out
/// as their documentation says before the next event. When nothing has come by
/// [`deadline`](Self::deadline), [`Event::Tick`] goes in. `now` never goes backwards. Events that
/// do not fit the state change nothing.
#[derive(Debug)]
pub struct Run {
    /// The first part of every task id.
    id: String,
    plan: Plan,
    rules: Rules,
    state: JobState,
    connected: bool,
    reconciliation: Reconciliation,
}

impl Run {
    /// Takes up a run where `state` left it. `state` is that of `plan`. `id` begins the id of every
    /// task.
    pub fn new(id: String, plan: Plan, state: JobState, rules: Rules) -> Self {
        Self {
            id,
            plan,
            rules,
            state,
            connected: false,
            reconciliation: Reconciliation::default(),
        }
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

    /// The tasks that could be launched now as far as the job goes, with their priorities: those
    /// with the highest priority first, and among equals in the order of the file.
    pub fn candidates(&self, now: Millis) -> impl Iterator<Item = (i32, &PlannedTask)> {
        self.ready()
            .filter(move |task| self.state.tasks[task.name()].not_before_ms <= now)
            .map(|task| (task.task.priority, task))
    }

    /// The tasks that are to be launched as far as the job goes, but not yet.
    pub(crate) fn paused(&self, now: Millis) -> impl Iterator<Item = &PlannedTask> {
        self.ready()
            .filter(move |task| self.state.tasks[task.name()].not_before_ms > now)
    }

    /// Whether a task of the run may still run on the agent.
    pub(crate) fn uses_agent(&self, agent: &str) -> bool {
        self.state.live().any(|(_, attempt)| attempt.agent.id == agent)
    }

    /// The first part of every task id.
    pub fn id(&self) -> &str {
        &self.id
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
            .map(|task| self.state.tasks[task.name()].not_before_ms)
            .filter(|at| *at > 0);
        launches.chain(self.reconciliation.deadline()).min()
    }

    /// One event, at `now`.
    pub fn handle(&mut self, event: Event, now: Millis) -> Effects {
        let mut effects = Effects::default();
        match event {
            Event::Connected { framework_id } => self.connected(framework_id, now, &mut effects),
            Event::Disconnected => self.connected = false,
            Event::Update(status) => self.update(*status, now, &mut effects),
            Event::SeenRunning { task_id } => self.seen_running(&task_id, &mut effects),
            Event::Detached { task_id } => self.detached(&task_id, now, &mut effects),
            Event::DeclaredDead { task_id } => self.declared_dead(&task_id, now, &mut effects),
            Event::Cancelled if self.state.end.is_none() => {
                self.state.cancelled = true;
                effects.save = true;
                self.kill_cancelled(&mut effects);
            }
            Event::Cancelled => {}
            Event::Notified => self.end(&mut effects, |end| end.notified = true),
            Event::TornDown => self.end(&mut effects, |end| end.torn_down = true),
            Event::Tick => {}
        }
        if self.state.end.is_none() {
            self.advance(now, &mut effects);
        }
        effects
    }

    fn end(&mut self, effects: &mut Effects, note: impl FnOnce(&mut End)) {
        if let Some(end) = &mut self.state.end {
            note(end);
            effects.save = true;
        }
    }

    fn seen_running(&mut self, task_id: &str, effects: &mut Effects) {
        let attempts = self.state.tasks.values_mut().flat_map(|record| &mut record.attempts);
        let mut unseen = attempts.filter(|attempt| attempt.task_id == task_id && !attempt.has_begun());
        if let Some(attempt) = unseen.next() {
            attempt.seen_running = true;
            effects.save = true;
        }
    }

    fn connected(&mut self, framework_id: String, now: Millis, effects: &mut Effects) {
        self.connected = true;
        if self.state.framework_id.as_ref() != Some(&framework_id) {
            self.state.framework_id = Some(framework_id);
            effects.save = true;
        }
        let live = self.state.live().map(|(_, attempt)| attempt.task_id.clone());
        self.reconciliation.begin(live.collect(), now);
        self.kill_cancelled(effects);
    }

    /// Does everything that the state of the job allows now.
    fn advance(&mut self, now: Millis, effects: &mut Effects) {
        self.make_ready(now, effects);
        if self.end_if_over(now, effects) || !self.connected {
            return;
        }
        self.reconcile(now, effects);
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

    /// The tasks that are to be launched as far as the job goes, at once or after a pause, by
    /// priority.
    fn ready(&self) -> impl Iterator<Item = &PlannedTask> {
        // The sort keeps the order of the file among equals.
        let mut tasks: Vec<&PlannedTask> = self.plan.tasks.iter().collect();
        tasks.sort_by_key(|task| Reverse(task.task.priority));
        let is_ready = |task: &&PlannedTask| self.state.tasks[task.name()].standing() == Standing::Ready;
        tasks
            .into_iter()
            .filter(move |task| !self.state.cancelled && is_ready(task))
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
        let failed = names().filter(|name| standing(name) == Standing::Failed);
        effects.progress.push(Progress::Ended {
            failures: failures.clone(),
            failed: failed.map(str::to_owned).collect(),
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
        true
    }

    /// Delays the next launch of the task. Returns the pause in milliseconds.
    fn pause(&mut self, name: &str, verdict: Verdict, now: Millis) -> Millis {
        let Some(record) = self.state.tasks.get_mut(name) else {
            return 0;
        };
        let attempt = record.in_a_row(verdict);
        let own = self.plan.task(name).and_then(|task| task.task.retry_pause_ms);
        let pause = match verdict {
            Verdict::FailedOnce => {
                let first = own.unwrap_or(self.rules.retry_pause);
                backoff::doubled_ms(attempt, first, first.max(self.rules.longest_retry_pause))
            }
            _ => backoff::doubled_ms(attempt, self.rules.pause, self.rules.longest_pause),
        };
        record.not_before_ms = now + pause;
        pause
    }
}
