//! Who may use which volume, cluster-wide: one writer, or readers where the volume lets them.
//!
//! ```text
//! FREE ──intend──> INTENT ──launched──> LAUNCHED ──runs──> IN_USE ──terminal update──> RELEASING ──let go──> FREE
//!                    │ never launched      │                 │                             ▲
//!                    └──────> FREE         └── unreachable, lost, unknown ──> SUSPECT ─────┘ terminal update after all
//!                                                                               │
//!                                              agent gone, or storage detached ─┴─> FENCED ──let go──> FREE
//! ```
//!
//! The master gives a claim back as soon as it hears of a task's end, and of an agent that it cannot reach; the agent
//! unmounts later, or not at all. So the ledger needs a proof that no task writes any more:
//!
//! * a terminal update makes a claim RELEASING: on the same agent the volume may be used at once, since that agent counts
//!   its users; on another one when the storage says that it is detached. Where no storage is asked, a short time
//!   after the end, since the storage attaches a volume to one host at a time;
//! * a task that is unreachable, lost or unknown is SUSPECT for as long as it takes. It becomes FENCED when an operator
//!   or the agent says that it is gone, or when the storage lists the volume it used as attached to
//!   no host. The latter proves nothing for a task that had not begun (it may yet attach), nor for a volume
//!   that several hosts may attach;
//! * a listing of the storage counts from the moment it was asked for, not from when it came. A volume that a later listing
//!   of the same source omits was deleted, and only what is attached to no host can be.
//!
//! The ledger does no I/O and is given the time. It has to be durable before a launch that it allowed is made.

pub mod file;
mod observe;
mod refusal;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use mesos_http::types::TaskState;
use serde::{Deserialize, Serialize};

use crate::state::Millis;
pub(crate) use observe::has_run;
pub use refusal::{ClaimRequest, Refusal};
pub use view::{VolumeView, table};

/// The version of the format on disk.
pub const VERSION: u32 = 2;
/// How many changes of a volume are kept.
const HISTORY: usize = 50;

/// The task that holds a claim.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Holder {
    /// The id of its framework.
    pub framework: String,
    /// The task's id.
    pub task: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {} of framework {}", self.task, self.framework)
    }
}

/// What a holder does with a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Reads, and lets others read.
    Read,
    /// Writes, or wants to be alone.
    Write,
}

/// The state of a claim. A volume without a claim is FREE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ClaimState {
    /// The launch is decided; the master may not know it yet.
    Intent,
    /// The master has the launch; the task may be starting.
    Launched,
    /// The task runs.
    InUse,
    /// The task has ended; its agent unmounts the volume.
    Releasing,
    /// It is not known whether the task runs.
    Suspect,
    /// The task is proven not to run; the volume may still be attached.
    Fenced,
}

impl fmt::Display for ClaimState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Intent => "INTENT",
            Self::Launched => "LAUNCHED",
            Self::InUse => "IN_USE",
            Self::Releasing => "RELEASING",
            Self::Suspect => "SUSPECT",
            Self::Fenced => "FENCED",
        })
    }
}

/// One use of one volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The task that holds it.
    pub holder: Holder,
    /// The id of the agent.
    pub agent: String,
    /// Whether the task reads or writes.
    pub mode: Mode,
    /// Its state.
    pub state: ClaimState,
    /// Since when, in milliseconds since the epoch.
    pub since_ms: Millis,
    /// Whether the task was seen to run, so that it had the volume.
    pub used: bool,
    /// The names under which the storage may know the agent's host; empty for tasks of other frameworks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instances: Vec<String>,
    /// Whether the task reads the volume without its item of `ebsvolumes`, which another reader on
    /// the agent held when it was launched.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub without_item: bool,
}

/// The latest listing of a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// When it was asked.
    pub asked_ms: Millis,
    /// The hosts it is attached to, or on its way to or from.
    pub instances: Vec<String>,
    /// Those of them that it is being detached from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leaving: Vec<String>,
    /// Whether several hosts may attach it.
    pub multi_attach: bool,
    /// Its Name tag.
    pub name: Option<String>,
    /// Its availability zone; `None` when it is not known.
    pub zone: Option<String>,
    /// The fingerprints of the sources whose listings have named it. Only one of these can say that it was deleted.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub sources: BTreeSet<String>,
}

/// A change that is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// In milliseconds since the epoch.
    pub at_ms: Millis,
    /// The task that holds the claim.
    pub holder: Holder,
    /// The agent's id.
    pub agent: String,
    /// The new state; `None` is FREE.
    pub state: Option<ClaimState>,
}

/// One volume with its claims and its listing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The claims, in the order in which they were made.
    pub claims: Vec<Claim>,
    /// The latest listing by the storage.
    pub stored: Option<Stored>,
    /// The latest changes, the last one last.
    pub history: Vec<Change>,
}

/// How the ledger decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Whether the storage is asked from time to time.
    pub storage: bool,
    /// How long an agent gets to unmount a volume when no storage is asked, in milliseconds.
    pub let_go: Millis,
}

/// Every volume that a task has claimed or the storage has listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// The version of this format.
    pub version: u32,
    /// The volumes by their ids.
    pub volumes: BTreeMap<String, Entry>,
    /// The volumes that have changed since [`take_changed`](Ledger::take_changed) was last called.
    #[serde(skip)]
    changed: BTreeSet<String>,
    /// Only listings that were asked for then or later prove that a volume is detached.
    #[serde(skip)]
    listings_count_from: Millis,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            version: VERSION,
            volumes: BTreeMap::new(),
            changed: BTreeSet::new(),
            listings_count_from: 0,
        }
    }
}

impl Ledger {
    /// A listing from before this moment proves nothing from now on. Claims were entered by processes whose clocks may have
    /// been behind, so that an older listing looks newer than a claim that it cannot know of.
    pub fn count_listings_from(&mut self, since: Millis) {
        self.listings_count_from = since;
    }

    /// Why the request cannot be granted now; `None` when it can.
    pub fn refusal(&self, request: &ClaimRequest<'_>, rules: Rules, now: Millis) -> Option<Refusal> {
        request.volumes.iter().find_map(|(volume, mode)| {
            let entry = self.volumes.get(*volume)?;
            entry.refusal(volume, *mode, request, rules, now)
        })
    }

    /// Claims every volume of the request, or none. The ledger has to be durable before the launch
    /// is made.
    ///
    /// # Errors
    /// Why not; nothing has changed.
    pub fn intend(&mut self, request: &ClaimRequest<'_>, rules: Rules, now: Millis) -> Result<(), Refusal> {
        if let Some(refusal) = self.refusal(request, rules, now) {
            return Err(refusal);
        }
        for (volume, mode) in request.volumes {
            let claim = Claim {
                holder: request.holder.clone(),
                agent: request.agent.to_owned(),
                mode: *mode,
                state: ClaimState::Intent,
                since_ms: now,
                used: false,
                instances: request.instances.iter().map(|name| (*name).to_owned()).collect(),
                without_item: request.without_item.contains(volume),
            };
            self.volumes.entry((*volume).to_owned()).or_default().add(claim);
            self.changed.insert((*volume).to_owned());
        }
        Ok(())
    }

    /// The volumes of which something has changed since this was asked last: what has to be made durable.
    pub fn take_changed(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.changed)
    }

    /// The launch of the holder's task was sent to the master. Returns whether anything changed.
    pub fn launched(&mut self, holder: &Holder, now: Millis) -> bool {
        self.each(
            holder,
            |claim| (claim.state == ClaimState::Intent).then_some(Some(ClaimState::Launched)),
            now,
        )
    }

    /// The master, an agent or an operator has reported the task's state. Returns whether anything
    /// changed.
    pub fn task(&mut self, holder: &Holder, state: &TaskState, now: Millis) -> bool {
        self.each(holder, |claim| next(claim, state), now)
    }

    /// The master has lost the agent; what ran there may still run.
    pub fn agent_lost(&mut self, agent: &str, now: Millis) -> bool {
        self.turn_all(|entry| {
            entry.turn(
                |claim| {
                    let may_run = !matches!(
                        claim.state,
                        ClaimState::Releasing | ClaimState::Fenced | ClaimState::Suspect
                    );
                    (claim.agent == agent && may_run).then_some(Some(ClaimState::Suspect))
                },
                now,
            )
        })
    }

    /// What is due by time alone. Returns whether anything changed.
    pub fn tick(&mut self, rules: Rules, now: Millis) -> bool {
        self.turn_all(|entry| entry.free(|claim, _| !rules.storage && now >= claim.since_ms + rules.let_go, now))
    }

    /// The volumes that take an attachment of the agent's host: those claimed there, whatever the state, and those that the
    /// storage has attached to one of these names.
    pub fn on_host(&self, agent: &str, instances: &[&str]) -> BTreeSet<&str> {
        let here = |entry: &Entry| {
            let claimed = entry.claims.iter().any(|claim| claim.agent == agent);
            claimed || entry.is_attached_to(instances)
        };
        let volumes = self.volumes.iter().filter(|(_, entry)| here(entry));
        volumes.map(|(volume, _)| volume.as_str()).collect()
    }

    /// Claims that have stood still for longer than `limit`, in a state that only the storage or an operator ends.
    pub fn overdue(&self, limit: Millis, now: Millis) -> impl Iterator<Item = (&str, &Claim)> {
        self.claims().filter(move |(_, claim)| {
            let waits = matches!(
                claim.state,
                ClaimState::Releasing | ClaimState::Suspect | ClaimState::Fenced
            );
            waits && now >= claim.since_ms + limit
        })
    }

    /// The claims of one holder, with their volumes.
    pub fn of<'a>(&'a self, holder: &'a Holder) -> impl Iterator<Item = (&'a str, &'a Claim)> {
        self.claims().filter(move |(_, claim)| claim.holder == *holder)
    }

    /// All claims, with their volumes.
    pub fn claims(&self) -> impl Iterator<Item = (&str, &Claim)> {
        self.volumes
            .iter()
            .flat_map(|(volume, entry)| entry.claims.iter().map(move |claim| (volume.as_str(), claim)))
    }

    fn each(&mut self, holder: &Holder, next: impl Fn(&Claim) -> Option<Option<ClaimState>>, now: Millis) -> bool {
        self.turn_all(|entry| {
            let turned = entry.turn(|claim| (claim.holder == *holder).then(|| next(claim)).flatten(), now);
            turned | entry.supersede(now)
        })
    }

    /// Lets `turn` change every entry that has claims, and notes those that it did change.
    fn turn_all(&mut self, mut turn: impl FnMut(&mut Entry) -> bool) -> bool {
        let mut any = false;
        for (volume, entry) in self.volumes.iter_mut().filter(|(_, entry)| !entry.claims.is_empty()) {
            if turn(entry) {
                any = true;
                self.changed.insert(volume.clone());
            }
        }
        any
    }
}

/// The state a claim goes to when its task is said to be in `state`: `None` for no change, `Some(None)` for FREE.
fn next(claim: &Claim, state: &TaskState) -> Option<Option<ClaimState>> {
    let began = claim.used || !matches!(claim.state, ClaimState::Intent | ClaimState::Launched);
    let to = match state {
        TaskState::Staging if !claim.used => Some(ClaimState::Launched),
        TaskState::Staging => Some(ClaimState::InUse),
        TaskState::Starting | TaskState::Running | TaskState::Killing => Some(ClaimState::InUse),
        TaskState::Finished | TaskState::Failed | TaskState::Killed => Some(ClaimState::Releasing),
        // The master has refused the launch, or the agent has never had it.
        TaskState::Error | TaskState::Dropped if !claim.used => None,
        TaskState::Error => Some(ClaimState::Releasing),
        // Nothing is known to have begun. Had it begun all the same, then its agent, which does not know the task any
        // more, lets go of the volume as after any end.
        TaskState::Gone if !began => Some(ClaimState::Releasing),
        TaskState::Gone | TaskState::GoneByOperator => Some(ClaimState::Fenced),
        _ => Some(ClaimState::Suspect),
    };
    let over = matches!(claim.state, ClaimState::Releasing | ClaimState::Fenced);
    let ends = !matches!(to, Some(ClaimState::Launched | ClaimState::InUse | ClaimState::Suspect));
    match to {
        // An end is final, except that a fenced task which is seen to run does run.
        _ if over && ends => None,
        Some(ClaimState::Suspect | ClaimState::Launched) if over => None,
        Some(_) if claim.state == ClaimState::Releasing => None,
        to if to == Some(claim.state) => None,
        to => Some(to),
    }
}

impl Entry {
    /// Whether the storage has attached the volume to a host of one of these names.
    pub fn is_attached_to(&self, instances: &[&str]) -> bool {
        let stored = self.stored.as_ref();
        stored.is_some_and(|stored| stored.instances.iter().any(|on| instances.contains(&on.as_str())))
    }

    /// Whether the holder's claim was proven not to be in use, and it has none that may be.
    pub(crate) fn was_fenced(&self, holder: &Holder) -> bool {
        let over = |claim: &Claim| matches!(claim.state, ClaimState::Releasing | ClaimState::Fenced);
        let may_run = self.claims.iter().any(|claim| claim.holder == *holder && !over(claim));
        let fenced = |change: &Change| change.holder == *holder && change.state == Some(ClaimState::Fenced);
        !may_run && self.history.iter().any(fenced)
    }

    /// The agent that had the volume last, as far as is remembered.
    pub fn last_agent(&self) -> Option<&str> {
        self.history.last().map(|change| change.agent.as_str())
    }

    fn add(&mut self, claim: Claim) {
        self.note(claim.since_ms, &claim, Some(claim.state));
        self.claims.push(claim);
    }

    fn note(&mut self, at_ms: Millis, claim: &Claim, state: Option<ClaimState>) {
        if self.history.len() >= HISTORY {
            self.history.remove(0);
        }
        self.history.push(Change {
            at_ms,
            holder: claim.holder.clone(),
            agent: claim.agent.clone(),
            state,
        });
    }

    /// Changes the state of every claim for which `next` has another one.
    fn turn(&mut self, next: impl Fn(&Claim) -> Option<Option<ClaimState>>, now: Millis) -> bool {
        let mut noted = Vec::new();
        self.claims.retain_mut(|claim| {
            let Some(to) = next(claim) else { return true };
            noted.push((claim.clone(), to));
            if let Some(state) = to {
                claim.state = state;
                claim.since_ms = now;
                claim.used |= state == ClaimState::InUse;
            }
            to.is_some()
        });
        for (claim, to) in &noted {
            self.note(now, claim, *to);
        }
        !noted.is_empty()
    }

    /// Frees the claims of tasks that do not run any more for which `gone` is true.
    fn free(&mut self, gone: impl Fn(&Claim, Option<&Stored>) -> bool, now: Millis) -> bool {
        let stored = self.stored.clone();
        self.turn(
            |claim| {
                let over = matches!(claim.state, ClaimState::Releasing | ClaimState::Fenced);
                (over && gone(claim, stored.as_ref())).then_some(None)
            },
            now,
        )
    }

    /// A task that runs with the volume proves that those before it have let go: on its own agent, which goes on with the
    /// mount, and anywhere when the volume is attached to one host at a time.
    fn supersede(&mut self, now: Millis) -> bool {
        if self.claims.len() < 2 {
            return false;
        }
        let multi_attach = self.stored.as_ref().is_some_and(|stored| stored.multi_attach);
        let users: Vec<(String, Holder)> = self
            .claims
            .iter()
            .filter(|claim| claim.state == ClaimState::InUse)
            .map(|claim| (claim.agent.clone(), claim.holder.clone()))
            .collect();
        self.free(
            |claim, _| {
                users
                    .iter()
                    .any(|(agent, holder)| *holder != claim.holder && (*agent == claim.agent || !multi_attach))
            },
            now,
        )
    }
}
