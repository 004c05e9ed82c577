//! The ledger as people and programs read it.

use serde::Serialize;

use super::{Claim, Entry, Ledger};
use crate::state::Millis;

/// One volume with its claims and its listing.
#[derive(Debug, Serialize)]
pub struct VolumeView<'a> {
    /// Its id.
    pub volume: &'a str,
    /// Its Name tag.
    pub name: Option<&'a str>,
    /// Its availability zone; `None` when it is not known.
    pub zone: Option<&'a str>,
    /// The state of its first claim; without one `FREE`, or `ATTACHED` when the storage has attached it all the same.
    pub state: String,
    /// The hosts it is attached to, by the storage; `None` when the storage was not asked.
    pub attached: Option<&'a [String]>,
    /// Its claims; none when the volume is FREE.
    pub claims: &'a [Claim],
}

impl Ledger {
    /// Every volume, by id.
    pub fn view(&self) -> Vec<VolumeView<'_>> {
        self.volumes
            .iter()
            .map(|(volume, entry)| {
                let stored = entry.stored.as_ref();
                VolumeView {
                    volume,
                    name: stored.and_then(|stored| stored.name.as_deref()),
                    zone: stored.and_then(|stored| stored.zone.as_deref()),
                    state: entry.word(),
                    attached: stored.map(|stored| stored.instances.as_slice()),
                    claims: &entry.claims,
                }
            })
            .collect()
    }
}

impl Entry {
    /// As in [`VolumeView::state`].
    pub fn word(&self) -> String {
        let attached = self.stored.as_ref().is_some_and(|stored| !stored.instances.is_empty());
        match self.claims.first() {
            Some(claim) => claim.state.to_string(),
            None if attached => "ATTACHED".to_owned(),
            None => "FREE".to_owned(),
        }
    }
}

/// A table for a terminal: a line for each claim, one for each volume that has none.
pub fn table(ledger: &Ledger, now: Millis) -> String {
    let head = ["VOLUME", "NAME", "STATE", "FOR", "MODE", "HOLDER", "AGENT", "ATTACHED"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for view in ledger.view() {
        let attached = match view.attached {
            None => "?".to_owned(),
            Some([]) => "-".to_owned(),
            Some(instances) => instances.join(","),
        };
        let name = view.name.unwrap_or("-");
        let row = |state: String, since: String, mode: &str, holder: String, agent: &str| {
            vec![
                view.volume.to_owned(),
                name.to_owned(),
                state,
                since,
                mode.to_owned(),
                holder,
                agent.to_owned(),
                attached.clone(),
            ]
        };
        if view.claims.is_empty() {
            rows.push(row(view.state.clone(), "-".to_owned(), "-", "-".to_owned(), "-"));
        }
        for claim in view.claims {
            let mode = match claim.mode {
                super::Mode::Read => "read",
                super::Mode::Write => "write",
            };
            let since = format!("{} s", now.saturating_sub(claim.since_ms) / 1000);
            rows.push(row(
                claim.state.to_string(),
                since,
                mode,
                claim.holder.task.clone(),
                &claim.agent,
            ));
        }
    }
    foreign_text::columns(&rows)
}
