//! Reading the ledger from another thread than its own.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::bounded;

use crate::ledger::Ledger;

/// The ledger's thread waits for nothing but memory, so it is ending when it takes longer than
/// this.
const LIMIT: Duration = Duration::from_secs(2);

/// Runs once on the ledger's thread.
pub(crate) type ReadLedger = Box<dyn FnOnce(&Ledger) + Send>;

/// Reads the ledger for the status file and the metrics.
#[derive(Clone)]
pub(crate) struct LedgerReader(Arc<dyn Fn(ReadLedger) -> bool + Send + Sync>);

impl LedgerReader {
    /// `send` hands a function to the ledger's thread, and returns false when that thread has
    /// ended.
    pub(crate) fn new(send: impl Fn(ReadLedger) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(send))
    }

    /// Returns what `read` takes from the ledger; `None` when its thread has ended or does not
    /// answer in time.
    pub(crate) fn read<T: Send + 'static>(&self, read: impl FnOnce(&Ledger) -> T + Send + 'static) -> Option<T> {
        let (tx, rx) = bounded(1);
        let run = move |ledger: &Ledger| {
            // The receiver is gone only when the time was over.
            let _ = tx.send(read(ledger));
        };
        if !(self.0)(Box::new(run)) {
            return None;
        }
        rx.recv_timeout(LIMIT).ok()
    }
}
