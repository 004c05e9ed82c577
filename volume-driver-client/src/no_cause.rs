//! Refusals in which the driver gives no cause.

use crate::error::ErrorKind;
use crate::operation::Operation;

/// What a refusal means when its words give no cause. If the call changes something, its outcome is
/// unknown.
///
/// REX-Ray stops waiting for a task after its own time limit, answers `Mount: v7: failed: ` with nothing behind the colon,
/// and goes on with the attachment.
pub(crate) fn weigh(kind: ErrorKind, operation: Operation, words: &str) -> ErrorKind {
    let gives_no_cause = words.trim().is_empty() || words.trim_end().ends_with(':');
    if kind == ErrorKind::Rejected && gives_no_cause && operation.is_mutating() {
        ErrorKind::Uncertain
    } else {
        kind
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_change_without_a_cause_is_uncertain_and_one_with_a_cause_is_refused() {
        for words in ["Mount: v7: failed: ", "Mount: v7: failed:", "", " \n"] {
            let kind = weigh(ErrorKind::Rejected, Operation::Mount, words);
            assert_eq!(kind, ErrorKind::Uncertain, "'{words}'");
        }
        let kind = weigh(
            ErrorKind::Rejected,
            Operation::Mount,
            "Mount: v7: failed: no space left",
        );
        assert_eq!(kind, ErrorKind::Rejected);
    }

    #[test]
    fn a_lookup_without_a_cause_changed_nothing_and_stays_refused() {
        let kind = weigh(ErrorKind::Rejected, Operation::Get, "Get: v7: failed: ");
        assert_eq!(kind, ErrorKind::Rejected);
    }
}
