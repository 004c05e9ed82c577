//! Sets of numbers, as ranges.

use crate::types::Range;

/// How many numbers there are; one that is there twice counts once.
pub(super) fn count(ranges: &[Range]) -> u64 {
    normalized(ranges)
        .iter()
        .map(|range| (range.end - range.begin).saturating_add(1))
        .sum()
}

/// Sorted, without overlap, neighbours joined, empty ones dropped.
pub(super) fn normalized(ranges: &[Range]) -> Vec<Range> {
    let mut sorted: Vec<Range> = ranges
        .iter()
        .copied()
        .filter(|range| range.begin <= range.end)
        .collect();
    sorted.sort_unstable();
    let mut joined: Vec<Range> = Vec::with_capacity(sorted.len());
    for range in sorted {
        match joined.last_mut() {
            Some(last) if range.begin <= last.end.saturating_add(1) => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

/// The lowest `wanted` numbers.
pub(super) fn lowest(ranges: &[Range], wanted: u64) -> Vec<Range> {
    let mut missing = wanted;
    let mut part = Vec::new();
    for range in normalized(ranges) {
        if missing == 0 {
            break;
        }
        let end = range.end.min(range.begin.saturating_add(missing - 1));
        missing -= end - range.begin + 1;
        part.push(Range {
            begin: range.begin,
            end,
        });
    }
    part
}

/// What is left of `mine`; `None` if a number of `other` is not in it.
pub(super) fn ranges_minus(mine: &[Range], other: &[Range]) -> Option<Vec<Range>> {
    let mut left = normalized(mine);
    for gone in normalized(other) {
        let place = left
            .iter()
            .position(|range| range.begin <= gone.begin && gone.end <= range.end)?;
        let range = left.remove(place);
        if gone.end < range.end {
            left.insert(
                place,
                Range {
                    begin: gone.end + 1,
                    end: range.end,
                },
            );
        }
        if range.begin < gone.begin {
            left.insert(
                place,
                Range {
                    begin: range.begin,
                    end: gone.begin - 1,
                },
            );
        }
    }
    Some(left)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::resources::{Demand, Resources};
    use crate::types::Resource;

    proptest! {
        #[test]
        fn numbers_taken_and_left_are_what_was_there(
            ranges in prop::collection::vec((0_u64..50, 0_u64..5), 0..10),
            wanted in 0_u64..60,
        ) {
            let ranges = ranges.into_iter().map(|(begin, more)| Range { begin, end: begin + more });
            let resource = Resource::ranges("ports", ranges);
            let expand = |r: &Resources| -> BTreeSet<u64> {
                r.iter().flat_map(|x| x.value.as_ranges().unwrap().to_vec())
                    .flat_map(|range| range.begin..=range.end).collect()
            };
            let mut left = Resources::from_iter([resource]);
            let before = expand(&left);
            match left.take(&Demand::new().numbers("ports", wanted)) {
                Err(_) => prop_assert!((before.len() as u64) < wanted),
                Ok(taken) => {
                    let (taken, left) = (expand(&taken), expand(&left));
                    prop_assert_eq!(taken.len() as u64, wanted);
                    prop_assert!(taken.is_disjoint(&left));
                    prop_assert_eq!(&taken | &left, before);
                }
            }
        }
    }
}
