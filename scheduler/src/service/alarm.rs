//! Claims that stay in a state which only the storage or an operator ends. They are reported to the
//! operator.

use std::collections::BTreeMap;

use super::{Effects, Service};
use crate::ledger::Holder;
use crate::progress::Progress;
use crate::state::Millis;

/// When each overdue claim was last reported, by volume and holder.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    reported: BTreeMap<(String, Holder), Millis>,
}

impl Service {
    /// Reports each overdue claim, and again each time the limit has passed.
    pub(super) fn alarm(&mut self, now: Millis, effects: &mut Effects) {
        let limit = self.settings.release_alarm;
        let mut reported = BTreeMap::new();
        for (volume, claim) in self.ledger.overdue(limit, now) {
            let key = (volume.to_owned(), claim.holder.clone());
            let before = self.alarm.reported.get(&key).copied();
            if before.is_some_and(|before| now < before + limit) {
                reported.extend(before.map(|before| (key, before)));
                continue;
            }
            reported.insert(key, now);
            let progress = Progress::Overdue {
                volume: volume.to_owned(),
                state: claim.state.to_string(),
                holder: claim.holder.to_string(),
                agent: self.agents.name(&claim.agent).to_owned(),
                for_ms: now.saturating_sub(claim.since_ms),
            };
            effects.progress.push((None, progress));
        }
        self.alarm.reported = reported;
    }
}
