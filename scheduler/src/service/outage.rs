//! When an outage is reported: once, and again from time to time as long as it lasts.

use crate::state::Millis;

/// How often an outage is reported while it lasts, in milliseconds.
const EVERY: Millis = 30_000;

/// An outage, if there is one now.
#[derive(Debug, Default)]
pub(super) struct Outage {
    /// When it began, and when it was last reported.
    times: Option<(Millis, Millis)>,
}

impl Outage {
    /// An attempt has failed. Returns for how long the outage has lasted when it is to be reported
    /// now.
    pub(super) fn failed(&mut self, now: Millis) -> Option<Millis> {
        let (since, reported) = self.times.unwrap_or((now, now));
        let is_due = self.times.is_none() || now >= reported + EVERY;
        self.times = Some((since, if is_due { now } else { reported }));
        is_due.then(|| now - since)
    }

    pub(super) fn is_over(&mut self) {
        self.times = None;
    }
}
