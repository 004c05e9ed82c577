//! The ledger at agent start: records and what Mesos says of their containers become containers and
//! volumes again.

use std::collections::BTreeSet;

use super::Ledger;
use super::container::{Container, Phase};
use super::event::{Presence, Record, RecordedState, RecordedVolume, Restored};
use super::kinship::marks_of;
use super::made::Made;
use super::volume::State;
use crate::error::Problem;
use crate::mountpoint::Mountpoint;
use crate::types::{ContainerId, VolumeKey};
use volume_driver_client::Code;

impl Ledger {
    pub(super) fn restore(&mut self, restored: Vec<Restored>) {
        let mut left = Vec::new();
        // Taken apart one by one: an agent may come back to very many.
        for entry in restored {
            if !entry.is_held() {
                let is_recorded = entry.record.released || entry.rebooted;
                left.push((entry.record.container.clone(), is_recorded));
            }
            self.restore_container(entry);
        }
        for (id, is_recorded) in &left {
            self.restore_debt(id, *is_recorded);
        }
        let keys: Vec<VolumeKey> = self.volumes.keys().cloned().collect();
        for key in keys {
            self.settle_covered(&key);
            self.advance(&key);
        }
    }

    fn restore_container(&mut self, entry: Restored) {
        let phase = if entry.is_held() { Phase::Held } else { Phase::Left };
        for recorded in &entry.record.volumes {
            self.restore_volume(&entry, recorded, phase);
        }
        let Record {
            container,
            containerizer,
            volumes,
            ..
        } = entry.record;
        let requests = volumes.into_iter().map(|volume| volume.request).collect();
        self.containers
            .insert(container, Container::restored(containerizer, requests, phase));
    }

    fn restore_volume(&mut self, entry: &Restored, recorded: &RecordedVolume, phase: Phase) {
        let volume = self.volumes.entry(recorded.request.volume.clone()).or_default();
        volume.mount_id = Some(recorded.request.mount_id.clone());
        volume.made = volume.made.max(Made::by_record(recorded));
        if phase == Phase::Held {
            volume.users.insert(entry.record.container.clone());
            if recorded.request.access == volume_labels::Access::Exclusive {
                volume.exclusive = Some(entry.record.container.clone());
            }
        }
        let seen = |mountpoint: &Mountpoint| !entry.rebooted && !entry.lost.contains(&mountpoint.path);
        // A mount that is gone says nothing any more: its device number may be that of another
        // volume by now.
        if let Some(at) = recorded.state.mountpoint().filter(|at| seen(at)) {
            self.kinship.add(&recorded.request.volume, marks_of(at));
        }
        match &recorded.state {
            // The mount table shows what a container that stands for the volume had mounted: no
            // driver is called. When the container has left, an earlier life of the agent may have
            // sent an Unmount that is carried out only later.
            RecordedState::Mounted(mountpoint) if phase == Phase::Held && seen(mountpoint) => {
                volume.state = State::Mounted {
                    mountpoint: mountpoint.clone(),
                };
            }
            state if volume.state == State::Absent => {
                volume.state = State::Uncertain {
                    why: Problem::new(Code::Uncertain, doubt(entry, state)),
                    mountpoint: state.mountpoint().cloned(),
                    refused: false,
                };
            }
            _ => {}
        }
    }

    /// Takes up what a container has left to do. Unless its record says that it has left, or is from
    /// before a reboot, that is written before anything is unmounted: a later start of the agent may
    /// find the record once more, and take it for that of a new container with the same id.
    fn restore_debt(&mut self, id: &ContainerId, is_recorded: bool) {
        let container = &self.containers[id];
        let owed: BTreeSet<VolumeKey> = container
            .volumes()
            .into_iter()
            .filter(|key| !self.covered(key))
            .collect();
        for key in &owed {
            self.volumes
                .get_mut(key)
                .expect("just restored")
                .leavers
                .insert(id.clone());
        }
        let container = self.containers.get_mut(id).expect("just looked up");
        container.owed.clone_from(&owed);
        container.unattempted = owed;
        if container.owed.is_empty() {
            self.forget(id, true);
        } else if !is_recorded {
            self.write_record(id, Phase::Departing);
        }
    }
}

impl Restored {
    /// Whether the container still stands for its volumes. A running one does, whatever its record
    /// says: nothing may be unmounted under it. One left over does until Mesos has ended it, unless
    /// its prepare never succeeded.
    pub(crate) fn is_held(&self) -> bool {
        let mounted = |volume: &RecordedVolume| matches!(volume.state, RecordedState::Mounted(_));
        !self.rebooted
            && !self.record.released
            && match self.presence {
                Presence::Running => true,
                Presence::Orphan => self.record.volumes.iter().all(mounted),
                Presence::Gone => false,
            }
    }
}

fn doubt(entry: &Restored, state: &RecordedState) -> String {
    if entry.rebooted {
        return "the host rebooted since it was mounted".into();
    }
    match state {
        RecordedState::Mounting => "the agent ended while it was being mounted".into(),
        RecordedState::Mounted(mountpoint) if entry.lost.contains(&mountpoint.path) => {
            format!(
                "its mount at {} disappeared while a container used it",
                mountpoint.path.display()
            )
        }
        RecordedState::Mounted(_) | RecordedState::Unmounting(_) => "the agent ended before it was unmounted".into(),
    }
}
