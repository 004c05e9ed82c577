//! The engine's alarms, which are about containers by their ids: Mesos uses some ids again, and
//! what was set for an earlier container touches no later one.

use isolator::ContainerId;
use isolator::ledger::{Event, Phase};
use isolator::records::Change;

use super::World;
use crate::mutant::Mutant;

impl World {
    /// A new container has the id of one that is over, whose alarm may not have rung.
    pub(super) fn keep_alarm_of_earlier(&mut self, id: &ContainerId) {
        if self.containers.get(id).is_some_and(|earlier| earlier.has_alarm) {
            *self.earlier_alarms.entry(id.clone()).or_default() += 1;
        }
    }

    pub(super) fn forget_alarms(&mut self) {
        self.removals.clear();
        self.departures.clear();
        self.earlier_alarms.clear();
        for life in self.containers.values_mut() {
            life.has_alarm = false;
        }
    }

    /// The oldest alarm of a container's prepare rings.
    pub(super) fn prepare_alarm_rings(&mut self, container: ContainerId) -> Result<(), String> {
        if let Some(earlier) = self.earlier_alarms.get_mut(&container).filter(|alarms| **alarms > 0) {
            *earlier -= 1;
            if self.mutant != Some(Mutant::EarlierDeadlineHeeded) {
                return Ok(());
            }
        } else if let Some(life) = self.containers.get_mut(&container) {
            life.has_alarm = false;
            life.is_overdue |= life.preparing;
        }
        self.tell(Event::PrepareDeadline { container })
    }

    /// The disk did not remove a record, and now the delay is over.
    pub(super) fn remove_again(&mut self, container: ContainerId) {
        let phase = self.ledger.phase(&container);
        match phase {
            None => self.orders.push_back((Change::Remove(container), None)),
            Some(_) if self.mutant == Some(Mutant::EarlierRemovalRepeated) => {
                self.orders.push_back((Change::Remove(container), None));
            }
            // A new container with the same id, which may leave without having written a record.
            Some(Phase::Waiting) => self.removals.push(container),
            // The record is that of the new one.
            Some(_) => {}
        }
    }
}
