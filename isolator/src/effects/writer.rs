//! The thread that writes records. What arrives while it writes goes into the next batch, which shares one fsync of the
//! folder.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crossbeam_channel::{Receiver, Sender};

use super::crash_point::crash_point;
use super::engine::Message;
use crate::records::Change;
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

/// Commits what is ordered until nobody can order anything any more. A panic in `commit` fails its batch and nothing else.
pub(crate) fn run(
    commit: impl Fn(&[Change]) -> Vec<Result<(), String>>,
    orders: &Receiver<Order>,
    outbox: &Sender<Message>,
) {
    while let Ok(first) = orders.recv() {
        let mut batch = vec![first];
        batch.extend(orders.try_iter());
        let (changes, revisions): (Vec<Change>, Vec<Option<u64>>) =
            batch.into_iter().map(|order| (order.change, order.revision)).unzip();
        crash_point("record-begin");
        let results = catch_unwind(AssertUnwindSafe(|| commit(&changes)))
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

#[cfg(test)]
mod tests {
    use crossbeam_channel::unbounded;

    use super::*;

    #[test]
    fn a_panic_while_a_record_is_written_fails_that_record_and_the_next_one_is_written() {
        let (order, orders) = unbounded();
        let (outbox, written) = unbounded();
        let commit = |changes: &[Change]| {
            let Change::Remove(container) = &changes[0] else {
                unreachable!("only removals are ordered")
            };
            assert!(*container != ContainerId::root("a"), "as the test demands");
            vec![Ok(()); changes.len()]
        };
        let thread = std::thread::spawn(move || run(commit, &orders, &outbox));
        let mut results = Vec::new();
        for id in ["a", "b"] {
            let change = Change::Remove(ContainerId::root(id));
            order.send(Order { change, revision: None }).unwrap();
            let Ok(Message::Written(written)) = written.recv() else {
                panic!("the order of {id} is answered")
            };
            results.push((written.container, written.result.is_ok()));
        }
        assert_eq!(
            results,
            [(ContainerId::root("a"), false), (ContainerId::root("b"), true)]
        );
        drop(order);
        thread.join().unwrap();
    }
}
