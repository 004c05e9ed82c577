//! What the engine has to do with the health of volumes: whom the monitor looks at, and who is ended for what it finds.

use std::collections::{BTreeMap, BTreeSet};

use super::{Alarm, Engine, State};
use crate::effects::monitor::{Cause, Finding, Patient};
use crate::ledger::Held;
use crate::request::spoken;
use crate::types::{ContainerId, Limitation, VolumeKey};

impl Engine {
    /// Sends the monitor to every volume that a container holds. While one is held, nothing of ours unmounts it.
    pub(super) fn make_round(&self, state: &mut State) {
        let mut patients: BTreeMap<&VolumeKey, Patient> = BTreeMap::new();
        for held in state.ledger.held() {
            let patient = patients.entry(held.volume).or_insert_with(|| Patient {
                volume: held.volume.clone(),
                mountpoint: held.mountpoint.clone(),
                directory_backed: self.config.is_directory_backed(&held.volume.driver),
                holders: BTreeSet::new(),
            });
            patient.holders.insert(held.container.clone());
        }
        // A monitor that has not begun its last round is not given another: news of the past helps nobody.
        if self.monitor.is_empty() {
            let _ = self.monitor.send(patients.into_values().collect());
        }
        let lost: Vec<_> = state
            .ledger
            .lost()
            .map(|(held, why)| (owned(&held), held.volume.clone(), why.to_owned()))
            .collect();
        for (holder, volume, why) in lost {
            self.end(state, holder, &volume, Cause::Gone, &why);
        }
        if let Some(interval) = self.config.health_interval {
            state.set(interval, Alarm::Health);
        }
    }

    /// Has every container ended that held the volume when it was looked at and still does, unless the finding is nothing to it.
    pub(super) fn limit(&self, state: &mut State, finding: &Finding) {
        let Finding {
            patient,
            cause,
            problem,
        } = finding;
        let holders: Vec<(ContainerId, String)> = state
            .ledger
            .held()
            .filter(|held| *held.volume == patient.volume && *held.mountpoint == patient.mountpoint)
            .filter(|held| patient.holders.contains(held.container))
            .filter(|held| !(held.read_only && *cause == Cause::ReadOnly))
            .map(|held| owned(&held))
            .collect();
        for holder in holders {
            self.end(state, holder, &patient.volume, *cause, problem);
        }
    }

    fn end(&self, state: &mut State, holder: (ContainerId, String), volume: &VolumeKey, cause: Cause, problem: &str) {
        let (container, slot) = holder;
        // Without a watcher Mesos has not asked yet, or has its answer already. The next round finds the same.
        if let Some(watcher) = state.watchers.remove(&container) {
            let message = format!("{}: volume {volume}: {problem}", spoken(&slot));
            self.reports.limited(&container, &slot, volume, cause, problem);
            self.answer(Box::new(move || watcher(Limitation { message })));
        }
    }
}

fn owned(held: &Held<'_>) -> (ContainerId, String) {
    (held.container.clone(), held.slot.to_owned())
}
