//! Claims that stand still: only the storage or an operator ends them, so somebody has to be told.

use std::collections::BTreeMap;

use super::{Service, Step};
use crate::ledger::Holder;
use crate::progress::Progress;
use crate::state::Millis;

/// Which overdue claims were told of, by volume and holder, and when last.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    told: BTreeMap<(String, Holder), Millis>,
}

impl Service {
    /// Tells of each overdue claim, at first and then as often as the limit is long.
    pub(super) fn alarm(&mut self, now: Millis, step: &mut Step) {
        let limit = self.settings.release_alarm;
        let mut told = BTreeMap::new();
        for (volume, claim) in self.ledger.overdue(limit, now) {
            let key = (volume.to_owned(), claim.holder.clone());
            let before = self.alarm.told.get(&key).copied();
            if before.is_some_and(|before| now < before + limit) {
                told.extend(before.map(|before| (key, before)));
                continue;
            }
            told.insert(key, now);
            let progress = Progress::Overdue {
                volume: volume.to_owned(),
                state: claim.state.to_string(),
                holder: claim.holder.to_string(),
                agent: self.agents.name(&claim.agent).to_owned(),
                for_ms: now.saturating_sub(claim.since_ms),
            };
            step.tell.push((None, progress));
        }
        self.alarm.told = told;
    }
}
