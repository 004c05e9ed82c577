//! The thread that writes records. What arrives while it writes goes into the next batch, which shares one fsync of the
//! folder.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};

use super::crash_point::crash_point;
use super::engine::Message;
use crate::records::{Change, Store};
use crate::types::ContainerId;

/// One change to write.
pub(crate) struct Order {
    pub(crate) change: Change,
    /// The revision of a written record, for the answer.
    pub(crate) revision: Option<u64>,
}

/// What became of an order.
pub(crate) struct Written {
    pub(crate) container: ContainerId,
    pub(crate) revision: Option<u64>,
    pub(crate) result: Result<(), String>,
}

/// Writes until nobody can order anything any more.
pub(crate) fn run(store: &Arc<Store>, orders: &Receiver<Order>, outbox: &Sender<Message>) {
    while let Ok(first) = orders.recv() {
        let mut batch = vec![first];
        batch.extend(orders.try_iter());
        let (changes, revisions): (Vec<Change>, Vec<Option<u64>>) =
            batch.into_iter().map(|order| (order.change, order.revision)).unzip();
        crash_point("record-begin");
        let results = catch_unwind(AssertUnwindSafe(|| store.commit(&changes)))
            .unwrap_or_else(|_| vec![Err("the module failed while it wrote the record".to_owned()); changes.len()]);
        crash_point("record-end");
        for ((change, revision), result) in changes.into_iter().zip(revisions).zip(results) {
            let container = match change {
                Change::Write(record) => record.container,
                Change::Remove(container) => container,
            };
            // The engine stops listening only when the agent goes away.
            let _ = outbox.send(Message::Written(Written {
                container,
                revision,
                result,
            }));
        }
    }
}
