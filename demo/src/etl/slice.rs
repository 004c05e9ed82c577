//! Which part of the data a batch is: some months of the year.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::EtlError;

/// The months of a year.
const MONTHS: u32 = 12;

/// One of several batches, all of which have the same number of months.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    batch: u32,
    of: u32,
}

impl Slice {
    /// Batch number `batch`, from 1, of `of`.
    ///
    /// # Errors
    /// [`EtlError::Slice`] when the months of a year do not go up in `of` batches, or there is no batch of this number.
    pub fn new(batch: u32, of: u32) -> Result<Slice, EtlError> {
        match (1..=MONTHS).contains(&of) && MONTHS.is_multiple_of(of) && (1..=of).contains(&batch) {
            true => Ok(Slice { batch, of }),
            false => Err(EtlError::Slice { batch, of }),
        }
    }

    /// All the data as one batch.
    pub fn whole() -> Slice {
        Slice { batch: 1, of: 1 }
    }

    /// Its number, from 1.
    pub fn batch(&self) -> u32 {
        self.batch
    }

    /// How many batches there are.
    pub fn of(&self) -> u32 {
        self.of
    }

    /// Its months, from 1.
    pub fn months(&self) -> RangeInclusive<u32> {
        let each = MONTHS / self.of;
        (self.batch - 1) * each + 1..=self.batch * each
    }

    /// The last month that is loaded once this batch is.
    pub fn last_month(&self) -> u32 {
        *self.months().end()
    }

    /// The number of a month's batch in SQL; `month` is an integer expression.
    pub(super) fn batch_in_sql(&self, month: &str) -> String {
        format!("(({month}) - 1) * {} / {MONTHS} + 1", self.of)
    }
}

impl std::fmt::Display for Slice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "batch {} of {}", self.batch, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_every_month_once() {
        for of in [1, 2, 3, 4, 6, 12] {
            let months = (1..=of).flat_map(|batch| Slice::new(batch, of).unwrap().months());
            assert_eq!(months.collect::<Vec<_>>(), (1..=12).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_batch_that_is_none_is_refused() {
        for (batch, of) in [(0, 1), (2, 1), (4, 3), (1, 5), (1, 0), (1, 13)] {
            assert!(Slice::new(batch, of).is_err(), "{batch} of {of}");
        }
    }
}
