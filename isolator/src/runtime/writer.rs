//! The thread that writes records. Changes that arrive while it writes go into the next batch,
//! which shares one fsync of the folder.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crossbeam_channel::Receiver;

use super::crash_point::crash_point;
use crate::records::{Change, CommitError};
use crate::types::ContainerId;

/// One change of a record.
pub(crate) struct RecordWrite {
    pub(crate) change: Change,
    /// The ledger's number of this version of the record; none for a removal.
    pub(crate) revision: Option<u64>,
}

/// The change is on disk, or failed.
pub(crate) struct Written {
    pub(crate) container: ContainerId,
    pub(crate) revision: Option<u64>,
    pub(crate) result: Result<(), CommitError>,
}

/// Commits changes until every sender of `writes` is gone. A panic in `commit` fails its batch and
/// nothing else.
pub(crate) fn run(
    commit: impl Fn(&[Change]) -> Vec<Result<(), CommitError>>,
    writes: &Receiver<RecordWrite>,
    report: impl Fn(Written),
) {
    while let Ok(first) = writes.recv() {
        let mut batch = vec![first];
        batch.extend(writes.try_iter());
        let (changes, revisions): (Vec<Change>, Vec<Option<u64>>) =
            batch.into_iter().map(|write| (write.change, write.revision)).unzip();
        crash_point("record-begin");
        let results = catch_unwind(AssertUnwindSafe(|| commit(&changes)))
            .unwrap_or_else(|_| vec![Err(CommitError::Panic); changes.len()]);
        crash_point("record-end");
        for ((change, revision), result) in changes.into_iter().zip(revisions).zip(results) {
            let container = match change {
                Change::Write(record) => record.container,
                Change::Remove(container) => container,
            };
            report(Written {
                container,
                revision,
                result,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::unbounded;

    use super::*;

    #[test]
    fn a_panic_while_a_record_is_written_fails_that_record_and_the_next_one_is_written() {
        let (tx, writes) = unbounded();
        let (report, written) = unbounded();
        let commit = |changes: &[Change]| {
            let Change::Remove(container) = &changes[0] else {
                unreachable!("the test sends removals only")
            };
            assert!(*container != ContainerId::root("a"), "as the test demands");
            vec![Ok(()); changes.len()]
        };
        let thread = std::thread::spawn(move || run(commit, &writes, |written| report.send(written).unwrap()));
        let mut results = Vec::new();
        for id in ["a", "b"] {
            let change = Change::Remove(ContainerId::root(id));
            tx.send(RecordWrite { change, revision: None }).unwrap();
            let written = written.recv().unwrap();
            results.push((written.container, written.result.is_ok()));
        }
        assert_eq!(
            results,
            [(ContainerId::root("a"), false), (ContainerId::root("b"), true)]
        );
        drop(tx);
        thread.join().unwrap();
    }
}
