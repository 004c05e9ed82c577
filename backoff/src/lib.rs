//! Growing pauses between the attempts of a retry. Nothing here reads a clock or sleeps.
//!
//! [`doubled`] is for state machines that count their attempts, and [`Backoff`] for clients of a
//! shared server: it spreads the pauses by chance, so that many clients do not come at once.
#![forbid(unsafe_code)]

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// The pause before the attempt after `attempt` ones that failed: `first` after one, then twice as
/// long each time, up to `longest`.
pub fn doubled(attempt: u32, first: Duration, longest: Duration) -> Duration {
    let doublings = attempt.saturating_sub(1);
    first.saturating_mul(2_u32.saturating_pow(doublings)).min(longest)
}

/// As [`doubled`], in milliseconds.
pub fn doubled_ms(attempt: u32, first: u64, longest: u64) -> u64 {
    let pause = doubled(attempt, Duration::from_millis(first), Duration::from_millis(longest));
    u64::try_from(pause.as_millis()).unwrap_or(longest)
}

/// An exponential backoff with a limit.
#[derive(Debug, Clone)]
pub struct Backoff {
    base: Duration,
    limit: Duration,
    attempts: u32,
}

impl Backoff {
    /// The first pause is at most `base`; each further one doubles, up to `limit`.
    pub fn new(base: Duration, limit: Duration) -> Backoff {
        Backoff {
            base,
            limit,
            attempts: 0,
        }
    }

    /// The next pause: between half of the current step and the whole of it, where `chance` in
    /// `0.0..1.0` picks the place.
    pub fn next_pause(&mut self, chance: f64) -> Duration {
        self.attempts = self.attempts.saturating_add(1);
        let step = doubled(self.attempts, self.base, self.limit);
        step.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
    }

    /// Begins again at the shortest pause, after a success.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }
}

/// A number in `0.0..1.0` that differs between calls and processes. Good enough to spread
/// retries, nothing more.
pub fn chance() -> f64 {
    let random = RandomState::new().build_hasher().finish();
    (random >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_limit_and_begin_again_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(3));
        let pauses: Vec<u128> = (0..5).map(|_| backoff.next_pause(1.0).as_millis()).collect();
        assert_eq!(pauses, [500, 1000, 2000, 3000, 3000]);
        backoff.reset();
        assert_eq!(backoff.next_pause(0.0), Duration::from_millis(250));
    }

    #[test]
    fn the_pause_after_the_first_failure_is_the_shortest() {
        let pause = |attempt| doubled(attempt, Duration::from_secs(1), Duration::from_secs(60)).as_secs();
        assert_eq!([0, 1, 2, 3, 7, u32::MAX].map(pause), [1, 1, 2, 4, 60, 60]);
        assert_eq!(
            [1, 2, 9].map(|attempt| doubled_ms(attempt, 250, 30_000)),
            [250, 500, 30_000]
        );
    }

    #[test]
    fn thousands_of_attempts_do_not_overflow() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(15));
        for _ in 0..10_000 {
            assert!(backoff.next_pause(chance()) <= Duration::from_secs(15));
        }
    }

    #[test]
    fn chance_is_spread_over_the_unit_interval() {
        let mean = (0..1000).map(|_| chance()).sum::<f64>() / 1000.0;
        assert!((0.4..0.6).contains(&mean), "{mean}");
    }
}
