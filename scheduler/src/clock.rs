//! The time, for what is kept on disk, for schedules and for pauses alike.
//!
//! Times are compared with those of files and of other processes, so they are the host's wall clock; and pauses, ages and
//! state machines need a time that never goes backwards. The clock therefore follows the wall clock, at once when that is
//! ahead (after a suspend, after a step of NTP), and when the wall clock was set back, it goes on at a tenth of the speed
//! until the wall clock has caught up.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::state::Millis;

/// How much slower than the time itself a clock goes that is ahead of the wall clock.
const SLOWER: u64 = 10;

/// A clock; its clones are the same clock.
#[derive(Clone, Debug)]
pub struct Clock {
    begun: Instant,
    steady: Arc<Mutex<Steady>>,
}

impl Clock {
    /// A clock set by the host's.
    pub fn start() -> Self {
        Self {
            begun: Instant::now(),
            steady: Arc::new(Mutex::new(Steady::new(wall(), 0))),
        }
    }

    /// Now, in milliseconds since the epoch; never less than before.
    pub fn now(&self) -> Millis {
        self.look().0
    }

    /// By how much [`now`](Self::now) is ahead of the wall clock, in milliseconds: 0 unless that was set back.
    pub fn lead(&self) -> Millis {
        let (now, wall) = self.look();
        now.saturating_sub(wall)
    }

    fn look(&self) -> (Millis, Millis) {
        let (wall, passed) = (wall(), millis(self.begun.elapsed()));
        // Each look leaves a whole state behind.
        let mut steady = self.steady.lock().unwrap_or_else(PoisonError::into_inner);
        (steady.look(wall, passed), wall)
    }
}

fn wall() -> Millis {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}

/// The rule of a [`Clock`], without a clock.
#[derive(Clone, Debug)]
pub struct Steady {
    now: Millis,
    /// Up to where the time that has passed is counted in `now`.
    counted: Millis,
}

impl Steady {
    /// At `wall`, when `passed` has passed since whenever.
    pub fn new(wall: Millis, passed: Millis) -> Self {
        Self {
            now: wall,
            counted: passed,
        }
    }

    /// What time it is when the wall clock says `wall` and `passed` has passed since whenever.
    pub fn look(&mut self, wall: Millis, passed: Millis) -> Millis {
        if wall >= self.now {
            (self.now, self.counted) = (wall, passed);
            return self.now;
        }
        let slow = passed.saturating_sub(self.counted) / SLOWER;
        self.now += slow;
        self.counted += slow * SLOWER;
        self.now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspend_and_a_step_forward_are_followed_at_once() {
        let mut steady = Steady::new(1_000_000, 0);
        assert_eq!(steady.look(1_000_010, 10), 1_000_010);
        // The time that has passed does not count a suspend; the wall clock does.
        assert_eq!(steady.look(1_600_020, 20), 1_600_020);
    }

    #[test]
    fn a_clock_that_is_set_back_is_waited_for_without_standing_still() {
        let mut steady = Steady::new(1_000_000, 0);
        let mut before = 1_000_000;
        for passed in 1..=700_000 {
            // Set back by ten minutes.
            let now = steady.look(400_000 + passed, passed);
            assert!(now >= before, "it goes backwards");
            before = now;
            if passed == 100_000 {
                assert_eq!(now, 1_010_000);
            }
        }
        assert_eq!(before, 1_100_000, "after eleven minutes both agree again");
    }
}
