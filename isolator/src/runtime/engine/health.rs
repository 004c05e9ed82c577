//! The engine's part in the health of volumes: it tells the monitor which volumes to probe, and
//! ends containers whose volume has a fault.

use std::collections::{BTreeMap, BTreeSet};

use super::{Alarm, Engine, State};
use crate::error::Problem;
use crate::health::{HealthReport, WatchedVolume};
use crate::ledger::Held;
use crate::origin::Origin;
use crate::types::{ContainerId, Limitation, VolumeFault, VolumeKey};

impl Engine {
    /// Sends the monitor every volume that a container holds. As long as a container holds a
    /// volume, the module does not unmount it.
    pub(super) fn make_round(&self, state: &mut State) {
        let mut watched: BTreeMap<&VolumeKey, WatchedVolume> = BTreeMap::new();
        for held in state.ledger.held() {
            let volume = watched.entry(held.volume).or_insert_with(|| WatchedVolume {
                volume: held.volume.clone(),
                mountpoint: held.mountpoint.clone(),
                directory_backed: self.config.is_directory_backed(&held.volume.driver),
                holders: BTreeSet::new(),
            });
            volume.holders.insert(held.container.clone());
        }
        // A monitor that has not begun its last round gets no second one: the first would be
        // outdated.
        if self.monitor.is_empty() {
            let _ = self.monitor.send(watched.into_values().collect());
        }
        let lost: Vec<_> = state
            .ledger
            .lost()
            .map(|(held, why)| (owned(&held), held.volume.clone(), why.to_owned()))
            .collect();
        for (holder, volume, why) in lost {
            self.end(state, holder, &volume, VolumeFault::Gone, &why);
        }
        if let Some(interval) = self.config.health_interval {
            state.set(interval, Alarm::Health);
        }
    }

    /// Ends every container that held the volume when the round began and still holds it, except
    /// those to which the fault does not matter.
    pub(super) fn limit(&self, state: &mut State, report: &HealthReport) {
        let HealthReport {
            watched,
            fault,
            problem,
        } = report;
        let holders: Vec<(ContainerId, Origin)> = state
            .ledger
            .held()
            .filter(|held| *held.volume == watched.volume && *held.mountpoint == watched.mountpoint)
            .filter(|held| watched.holders.contains(held.container))
            .filter(|held| !(held.read_only && *fault == VolumeFault::ReadOnly))
            .map(|held| owned(&held))
            .collect();
        for holder in holders {
            self.end(state, holder, &watched.volume, *fault, problem);
        }
    }

    fn end(
        &self,
        state: &mut State,
        holder: (ContainerId, Origin),
        volume: &VolumeKey,
        fault: VolumeFault,
        problem: &str,
    ) {
        let (container, origin) = holder;
        // Without a watcher, Mesos has not called `watch` yet or has its answer already. In the
        // first case the next round finds the same fault.
        if let Some(watcher) = state.watchers.remove(&container) {
            let message = fault
                .code()
                .in_message(&format!("{origin}: volume {volume}: {problem}"));
            state.ledger.found(volume, Problem::new(fault.code(), problem));
            self.reports.limited(&container, &origin, volume, fault, problem);
            self.answer(Box::new(move || watcher(Limitation { message })));
        }
    }
}

fn owned(held: &Held<'_>) -> (ContainerId, Origin) {
    (held.container.clone(), held.origin.clone())
}
