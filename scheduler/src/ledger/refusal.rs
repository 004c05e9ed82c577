//! Whether a task may use volumes now, and if not, which task or host prevents it.

use std::collections::BTreeSet;

use thiserror::Error;

use super::{Claim, ClaimState, Entry, Holder, Mode, Rules, Stored};
use crate::state::Millis;

/// Why a volume may not be used.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Error)]
pub enum Refusal {
    /// Another task holds it.
    #[error("volume {volume} is {state} by {holder} on agent {agent}")]
    Held {
        /// The volume's id.
        volume: String,
        /// The task that holds it, with its framework.
        holder: Holder,
        /// The holder's agent.
        agent: String,
        /// The claim's state.
        state: ClaimState,
        /// When the volume is free at the latest, in milliseconds since the epoch; `None` when only
        /// an event can tell.
        free_at: Option<Millis>,
    },
    /// The storage is detaching it from the agent's own host.
    #[error(
        "volume {volume} is being detached from {instance}, and can be attached again when the storage lists it as detached"
    )]
    Leaving {
        /// The volume's id.
        volume: String,
        /// The host, in the storage's words.
        instance: String,
    },
    /// The storage has attached it to a host, and no known task uses it.
    #[error("volume {volume} is attached to {instance}, and no known task uses it there")]
    Foreign {
        /// The volume's id.
        volume: String,
        /// The host, in the storage's words.
        instance: String,
    },
}

impl Refusal {
    /// When the volume is free at the latest; `None` when only an event can tell.
    pub fn free_at(&self) -> Option<Millis> {
        match self {
            Self::Held { free_at, .. } => *free_at,
            _ => None,
        }
    }
}

/// A request of a task for volumes on an agent.
#[derive(Clone, Debug)]
pub struct ClaimRequest<'a> {
    /// The task that requests them.
    pub holder: Holder,
    /// The agent's id.
    pub agent: &'a str,
    /// The names under which the storage may know the agent's host.
    pub instances: &'a [&'a str],
    /// Each volume, and whether the task reads or writes it.
    pub volumes: &'a [(&'a str, Mode)],
    /// Those of them that several hosts may attach, by the task's own catalogue. The storage's
    /// latest listing, when there is one, takes precedence.
    pub multi_attach: &'a [&'a str],
    /// Those of them whose item of `ebsvolumes` another reader on the agent holds.
    pub without_item: &'a [&'a str],
}

impl Entry {
    /// Whether a reader on this agent holds the volume's item of `ebsvolumes`, and no task on any
    /// agent may write. As long as that reader runs no task of another framework is offered the
    /// item there.
    pub(crate) fn is_read_with_item_on(&self, agent: &str) -> bool {
        let live = |claim: &&Claim| !matches!(claim.state, ClaimState::Releasing | ClaimState::Fenced);
        let claims = || self.claims.iter().filter(live);
        claims().all(|claim| claim.mode == Mode::Read)
            && claims().any(|claim| claim.agent == agent && !claim.without_item)
    }

    pub(super) fn refusal(
        &self,
        volume: &str,
        mode: Mode,
        request: &ClaimRequest<'_>,
        rules: Rules,
        now: Millis,
    ) -> Option<Refusal> {
        let by_task = || request.multi_attach.contains(&volume);
        let multi_attach = self.stored.as_ref().map_or_else(by_task, |stored| stored.multi_attach);
        let in_the_way = |claim: &&Claim| {
            let here = claim.agent == request.agent;
            let both_read = mode == Mode::Read && claim.mode == Mode::Read;
            if both_read && (here || multi_attach) {
                return false;
            }
            match claim.state {
                ClaimState::Releasing if here => false,
                ClaimState::Releasing | ClaimState::Fenced => rules.storage || now < claim.since_ms + rules.let_go,
                _ => true,
            }
        };
        if let Some(claim) = self.claims.iter().find(in_the_way) {
            return Some(Refusal::Held {
                volume: volume.to_owned(),
                holder: claim.holder.clone(),
                agent: claim.agent.clone(),
                state: claim.state,
                free_at: match claim.state {
                    ClaimState::Releasing | ClaimState::Fenced if !rules.storage => Some(claim.since_ms + rules.let_go),
                    _ => None,
                },
            });
        }
        let stored = self.stored.as_ref().filter(|_| rules.storage)?;
        if let Some(instance) = self.leaves(stored, request) {
            return Some(Refusal::Leaving {
                volume: volume.to_owned(),
                instance: instance.clone(),
            });
        }
        let mut elsewhere = stored
            .instances
            .iter()
            .filter(|instance| !request.instances.contains(&instance.as_str()));
        let foreign = match (stored.multi_attach, mode) {
            // While a claim exists the only attachment that is possible belongs to it.
            (false, _) => elsewhere.next().filter(|_| self.claims.is_empty()),
            // The storage refuses no second host, so a writer is let in only when no other host has
            // the volume.
            (true, Mode::Write) => elsewhere.next(),
            (true, Mode::Read) => elsewhere
                .filter(|instance| !self.claims.iter().any(|claim| claim.instances.contains(instance)))
                .nth(self.unnamed_hosts(stored, request)),
        };
        Some(Refusal::Foreign {
            volume: volume.to_owned(),
            instance: foreign?.clone(),
        })
    }

    /// The agent's host, when the storage is detaching the volume from it. What happened on the
    /// agent after the storage was asked counts for more: a task that had the volume there since
    /// then proves that the detachment is over.
    fn leaves<'a>(&self, stored: &'a Stored, request: &ClaimRequest<'_>) -> Option<&'a String> {
        let mut later = self.claims.iter().filter(|claim| claim.agent == request.agent);
        let is_over = later.any(|claim| match claim.state {
            ClaimState::Releasing | ClaimState::Fenced => claim.since_ms > stored.asked_ms,
            _ => true,
        });
        let mut leaving = stored.leaving.iter();
        leaving.find(|instance| !is_over && request.instances.contains(&instance.as_str()))
    }

    /// How many of the volume's attachments belong to agents of which the storage's names are not
    /// known: those where tasks of other frameworks have run with it since before the storage was
    /// asked.
    fn unnamed_hosts(&self, stored: &Stored, request: &ClaimRequest<'_>) -> usize {
        let unnamed = |claim: &&Claim| {
            let attached = claim.state == ClaimState::InUse && claim.since_ms < stored.asked_ms;
            attached && claim.instances.is_empty() && claim.agent != request.agent
        };
        let claims = self.claims.iter().filter(unnamed);
        claims.map(|claim| claim.agent.as_str()).collect::<BTreeSet<_>>().len()
    }
}
