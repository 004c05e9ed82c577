//! Offers: what agents offer, which task goes to which agent, and when the master is asked for
//! offers. This is the only place that handles them, for `scheduler run` and `scheduler serve`.
//!
//! ```text
//! OFFERS ──> Offers ──pools──> place: agent fits? ──> ledger: claim ──> Run: attempt ──> ACCEPT
//!              │                       └─ no: the reason is kept ─┐
//!              └─ nothing is to be launched: SUPPRESS             └──> Waiting, explain
//! ```

mod fit;
mod launch;
mod pool;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};

use mesos_http::scheduler::Call;
use mesos_http::types::{Offer, OfferId};

use crate::ledger::{self, Ledger};
use crate::run::{self, Run};
use crate::state::{Agent, Millis};
pub(crate) use fit::Unfit;
use fit::{Claims, Fit};
pub(crate) use pool::{Pool, REFUSE_WHILE_IDLE, ZONE_ATTRIBUTES, answers};
pub(crate) use waiting::Waiting;

/// A task of a run: the run's id and the task's name in the job file.
pub(crate) type RunTask = (String, String);

/// The offers that are open, and what the master was last asked for.
#[derive(Debug, Default)]
pub(crate) struct Offers {
    /// Not answered yet. Empty after every event while connected.
    open: BTreeMap<OfferId, Offer>,
    /// Whether the master has a SUPPRESS from this framework; `None` when this is not known.
    suppressed: Option<bool>,
    /// The tasks that were to be launched when offers were last asked for.
    asked_for: BTreeSet<RunTask>,
}

impl Offers {
    /// A subscription has begun or ended: its offers are void.
    pub(crate) fn forget(&mut self) {
        self.open.clear();
        self.suppressed = None;
    }

    pub(crate) fn add(&mut self, offers: Vec<Offer>) {
        self.open
            .extend(offers.into_iter().map(|offer| (offer.id.clone(), offer)));
    }

    pub(crate) fn rescind(&mut self, offer: &OfferId) {
        self.open.remove(offer);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// The open offers by agent. They have to be answered with [`answers`].
    pub(crate) fn take(&mut self) -> Vec<Pool> {
        pool::pools(std::mem::take(&mut self.open))
    }

    /// Asks for offers when a task has come to need some, and for none when no task does. `None`:
    /// the master need not be asked.
    pub(crate) fn ask(&mut self, wanted: BTreeSet<RunTask>, role: &str) -> Option<Call> {
        let roles = vec![role.to_owned()];
        let call = if wanted.is_empty() {
            (self.suppressed != Some(true)).then_some(Call::Suppress { roles })
        } else {
            // Offers that were declined for other tasks may fit new ones.
            let is_new = self.suppressed != Some(false) || !wanted.is_subset(&self.asked_for);
            is_new.then_some(Call::Revive { roles })
        };
        if call.is_some() {
            self.suppressed = Some(wanted.is_empty());
        }
        self.asked_for = wanted;
        call
    }
}

/// How tasks are placed, and the ledger that every launch is entered in.
pub(crate) struct Placement<'a> {
    pub(crate) ledger: &'a mut Ledger,
    pub(crate) ledger_rules: ledger::Rules,
    /// The framework's id.
    pub(crate) framework: &'a str,
    pub(crate) rules: &'a run::Rules,
}

impl Placement<'_> {
    /// Launches the task on the best agent of `pools`, if one is right for it and its volumes are
    /// free. The claims, and then the run's state, have to be on disk before the pools are
    /// answered.
    ///
    /// # Errors
    /// Why each agent is unfit. Nothing is claimed then; a task that waits for a volume to be let
    /// go is delayed until then.
    pub(crate) fn place(
        &mut self,
        run: &mut Run,
        name: &str,
        pools: &mut [Pool],
        now: Millis,
    ) -> Result<run::Effects, Vec<(Agent, Unfit)>> {
        let Some(task) = run.plan().task(name) else {
            return Err(Vec::new());
        };
        let task_id = run.next_task_id(name);
        let Fit {
            index,
            share,
            left,
            without_item,
        } = match fit::choose(run, task, &task_id, pools, self, now) {
            Ok(fit) => fit,
            Err(unfit) => {
                let free_again = unfit.iter().filter_map(|(_, reason)| match reason {
                    Unfit::Claim(refusal) => Some(refusal.free_at().unwrap_or(now + self.rules.let_go)),
                    _ => None,
                });
                if let Some(until) = free_again.min() {
                    run.delay(name, until);
                }
                return Err(unfit);
            }
        };
        let pool = &mut pools[index];
        let task = task.clone();
        let claims = Claims::new(&task, &task_id, pool, self.framework);
        claims
            .with(&without_item, |request| {
                self.ledger.intend(request, self.ledger_rules, now)
            })
            .map_err(|refusal| vec![(pool.agent.clone(), Unfit::Claim(refusal))])?;
        // What is claimed is launched: nothing can fail from here on.
        pool.left = left;
        let mut effects = run::Effects::default();
        let (attempt, number) = run.launch(&task, pool.agent.clone(), &without_item, now, &mut effects);
        let info = launch::task_info(run.plan(), &task, &attempt, number, share);
        pool.launches.push(info);
        Ok(effects)
    }
}
