//! Which container uses what, for lines and metrics only; the ledger decides without it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::ephemeral;
use crate::ledger::{Event, Record, RemoveOutcome, UnmountOutcome, VolumeRequest};
use crate::origin::Origin;
use crate::types::{ContainerId, ContainerLaunch, VolumeKey, Workload};

#[derive(Default)]
pub(super) struct UsageTracker(Mutex<State>);

#[derive(Default)]
struct State {
    containers: BTreeMap<ContainerId, Container>,
    /// Of a volume that is mounted or may be, who left it last.
    last_users: BTreeMap<VolumeKey, ContainerId>,
}

/// One container.
#[derive(Clone, Debug, Default)]
pub(super) struct Container {
    pub(super) who: LaunchedBy,
    /// When it asked; unknown of one from before the agent's restart, like the rest of who it is.
    pub(super) asked: Option<Instant>,
    /// When it got its volumes.
    pub(super) granted: Option<Instant>,
    /// It has them, be it from before the agent's restart.
    has: bool,
    pub(super) uses: Vec<VolumeUse>,
}

/// Whose container it is.
#[derive(Clone, Debug, Default)]
pub(super) struct LaunchedBy {
    pub(super) workload: Workload,
    pub(super) user: Option<String>,
}

/// One volume in it.
#[derive(Clone, Debug)]
pub(super) struct VolumeUse {
    pub(super) origin: Origin,
    pub(super) volume: VolumeKey,
    pub(super) target: PathBuf,
    pub(super) read_only: bool,
}

impl VolumeUse {
    pub(super) fn mode(&self) -> &'static str {
        if self.read_only { "ro" } else { "rw" }
    }
}

impl From<&VolumeRequest> for VolumeUse {
    fn from(request: &VolumeRequest) -> Self {
        Self {
            origin: request.origin.clone(),
            volume: request.volume.clone(),
            target: request.target.clone(),
            read_only: request.read_only,
        }
    }
}

impl State {
    fn last_user(&mut self, volume: &VolumeKey, forget: bool) -> Vec<ContainerId> {
        let last = if forget {
            self.last_users.remove(volume)
        } else {
            self.last_users.get(volume).cloned()
        };
        last.into_iter().collect()
    }
}

impl UsageTracker {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No invariant spans a panic here.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A container asks for volumes. A second prepare of one that has them changes nothing: it will
    /// be refused.
    pub(super) fn begin(&self, id: &ContainerId, launch: &ContainerLaunch) {
        self.lock().containers.entry(id.clone()).or_insert_with(|| Container {
            who: LaunchedBy {
                workload: launch.workload.clone(),
                user: launch.user.clone(),
            },
            asked: Some(Instant::now()),
            ..Container::default()
        });
    }

    pub(super) fn wants(&self, id: &ContainerId, requests: &[VolumeRequest]) {
        if let Some(container) = self.lock().containers.get_mut(id) {
            container.uses = requests.iter().map(VolumeUse::from).collect();
        }
    }

    /// A prepare is answered; a container that is refused is forgotten.
    pub(super) fn answered(&self, id: &ContainerId, granted: bool) -> Option<Container> {
        let mut state = self.lock();
        if !granted {
            return match state.containers.get(id) {
                Some(container) if container.has => None,
                _ => state.containers.remove(id),
            };
        }
        let container = state.containers.get_mut(id)?;
        container.granted = Some(Instant::now());
        container.has = true;
        Some(container.clone())
    }

    /// A record of an earlier life of the agent.
    pub(super) fn restore(&self, record: &Record) {
        let mut state = self.lock();
        let uses: Vec<VolumeUse> = record
            .volumes
            .iter()
            .map(|volume| VolumeUse::from(&volume.request))
            .collect();
        if record.released {
            let left = uses.into_iter().map(|used| (used.volume, record.container.clone()));
            state.last_users.extend(left);
        } else {
            let container = Container {
                has: true,
                uses,
                ..Container::default()
            };
            state.containers.insert(record.container.clone(), container);
        }
    }

    /// A container has left. What it was, when it had its volumes.
    pub(super) fn end(&self, id: &ContainerId) -> Option<Container> {
        let mut state = self.lock();
        let container = state.containers.get(id)?;
        if !container.has {
            // The answer to its prepare is still to come.
            return None;
        }
        let container = state.containers.remove(id)?;
        let left = container.uses.iter().map(|used| (used.volume.clone(), id.clone()));
        state.last_users.extend(left);
        Some(container)
    }

    /// Whose sake a call to a driver was for: of a Create or a Mount those that want the volume, of
    /// an Unmount or a Remove the one that left it last. Those of a Create or a Mount are looked
    /// for only when they are `wanted`.
    pub(super) fn users(&self, volume: &VolumeKey, event: &Event, wanted: bool) -> Vec<ContainerId> {
        let mut state = self.lock();
        match event {
            Event::UnmountDone { outcome, .. } => {
                let is_last_call = *outcome == UnmountOutcome::Unmounted && ephemeral::spelled(&volume.name).is_none();
                state.last_user(volume, is_last_call)
            }
            Event::RemoveDone { outcome, .. } => {
                let is_last_call = matches!(outcome, RemoveOutcome::Removed | RemoveOutcome::Missing);
                state.last_user(volume, is_last_call)
            }
            _ if !wanted => Vec::new(),
            _ => {
                let wants = |container: &Container| container.uses.iter().any(|used| used.volume == *volume);
                let users = state.containers.iter().filter(|(_, container)| wants(container));
                users.map(|(id, _)| id.clone()).collect()
            }
        }
    }

    pub(super) fn who(&self, id: &ContainerId) -> LaunchedBy {
        let state = self.lock();
        state
            .containers
            .get(id)
            .map(|container| container.who.clone())
            .unwrap_or_default()
    }
}
