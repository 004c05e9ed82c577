//! The lives of an agent: how one ends, and how the next begins with what it finds.

use std::collections::BTreeMap;

use isolator::ContainerId;
use isolator::ledger::{Event, Ledger, Presence, Restored};
use isolator::records::Found;

use super::World;
use crate::disk::Fault;
use crate::driver::Kind;

impl World {
    /// The agent ends while it writes: nobody hears what became of these orders.
    pub(super) fn die(&mut self, orders: u8, operations: u8) {
        let (changes, _) = self.take_orders(orders);
        self.disk.fail(Fault::Killed, operations);
        self.disk.commit(&changes);
        self.disk.repair();
    }

    pub(super) fn crash(&mut self, known: u32) -> Result<(), String> {
        self.outcome.crashes += 1;
        self.orders.clear();
        self.retries.clear();
        self.forget_alarms();
        // The driver goes on with what it was sent; what was only queued is gone with the agent.
        for call in std::mem::take(&mut self.calls) {
            let is_adoption = call.kind == Kind::Mount && call.knows_place;
            if call.begun && !is_adoption && !self.asks_for_place(&call) {
                self.later(&call, known);
            }
        }
        for (index, life) in self.containers.values_mut().filter(|life| !life.over).enumerate() {
            let bits = known >> (2 * (index % 16)) & 3;
            if life.preparing || bits == 3 {
                // Its processes, if any, ended with the agent or while it was away.
                life.running = false;
            }
        }
        self.restart(|index| known >> (2 * (index % 16)) & 3)
    }

    pub(super) fn reboot(&mut self, lost: u64) -> Result<(), String> {
        self.outcome.crashes += 1;
        self.disk.power_cut(lost);
        self.orders.clear();
        self.retries.clear();
        self.forget_alarms();
        self.calls.clear();
        for backing in self.driver.values_mut() {
            backing.mounted = false;
            backing.mounted_as.clear();
            backing.late.clear();
        }
        for life in self.containers.values_mut() {
            life.running = false;
        }
        self.restart(|_| 3)
    }

    /// The agent starts: 0 and 1 of a container still running, 2 of one left over, 3 of one that
    /// Mesos does not know.
    fn restart(&mut self, known: impl Fn(usize) -> u32) -> Result<(), String> {
        let mut presence = BTreeMap::new();
        for (index, (id, life)) in self.containers.iter_mut().filter(|(_, life)| !life.over).enumerate() {
            let known = match known(index) {
                0 | 1 if life.preparing => Presence::Orphan,
                0 | 1 => Presence::Running,
                2 => Presence::Orphan,
                _ => Presence::Gone,
            };
            // Mesos calls cleanup again for what it knows; nobody waits for an earlier answer.
            life.preparing = false;
            life.cleaning = false;
            life.over = known == Presence::Gone;
            presence.insert(id.clone(), known);
        }
        for backing in self.driver.values_mut() {
            backing.gone_at_start = !backing.mounted;
        }
        let found = self.disk.start()?;
        let restored = found.into_iter().map(|found| self.restored(found, &presence));
        let restored: Vec<Restored> = restored.collect();
        self.ledger = Ledger::new();
        self.told.clear();
        let recorded = restored.iter().flat_map(|restored| &restored.record.volumes);
        let spelled = recorded.map(|volume| volume.request.volume.clone()).collect();
        self.identify(&spelled)?;
        self.tell(Event::Restore(restored))
    }

    fn restored(&self, found: Found, presence: &BTreeMap<ContainerId, Presence>) -> Restored {
        let Found { record, rebooted } = found;
        let lost = record.volumes.iter().filter_map(|volume| {
            let at = volume.state.mountpoint()?;
            (!self.shows(&volume.request.volume, at)).then(|| at.path.clone())
        });
        Restored {
            lost: lost.collect(),
            presence: presence.get(&record.container).copied().unwrap_or(Presence::Gone),
            rebooted,
            record,
        }
    }
}
