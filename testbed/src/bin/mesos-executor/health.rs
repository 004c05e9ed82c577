//! What the results of a health check amount to, without any I/O.

use std::time::{Duration, Instant};

/// Counts failures.
#[derive(Debug)]
pub(crate) struct Health {
    /// Until then failures do not count, as long as there was no success.
    grace_ends: Instant,
    limit: u32,
    failures: u32,
    had_success: bool,
}

/// Something to report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) healthy: bool,
    /// Whether the task has to be killed.
    pub(crate) kill: bool,
}

impl Health {
    /// The task started at `start`.
    pub(crate) fn new(start: Instant, grace: Duration, limit: u32) -> Health {
        Health {
            grace_ends: start + grace,
            limit,
            failures: 0,
            had_success: false,
        }
    }

    /// Takes one result. Successes are reported when they are news, failures always.
    pub(crate) fn result(&mut self, healthy: bool, now: Instant) -> Option<Verdict> {
        if healthy {
            let news = !self.had_success || self.failures > 0;
            self.had_success = true;
            self.failures = 0;
            return news.then_some(Verdict {
                healthy: true,
                kill: false,
            });
        }
        if !self.had_success && now <= self.grace_ends {
            return None;
        }
        self.failures += 1;
        Some(Verdict {
            healthy: false,
            kill: self.failures >= self.limit,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SICK: Option<Verdict> = Some(Verdict {
        healthy: false,
        kill: false,
    });
    const DEADLY: Option<Verdict> = Some(Verdict {
        healthy: false,
        kill: true,
    });
    const WELL: Option<Verdict> = Some(Verdict {
        healthy: true,
        kill: false,
    });

    #[test]
    fn only_failures_in_a_row_kill() {
        let start = Instant::now();
        let mut health = Health::new(start, Duration::ZERO, 2);
        let later = start + Duration::from_secs(1);
        let results = [false, true, true, false, false].map(|healthy| health.result(healthy, later));
        assert_eq!(results, [SICK, WELL, None, SICK, DEADLY]);
    }

    #[test]
    fn failures_in_the_grace_period_count_only_after_a_success() {
        let start = Instant::now();
        let mut health = Health::new(start, Duration::from_secs(10), 1);
        assert_eq!(health.result(false, start + Duration::from_secs(9)), None);
        assert_eq!(health.result(true, start + Duration::from_secs(9)), WELL);
        assert_eq!(health.result(false, start + Duration::from_secs(9)), DEADLY);
        let mut health = Health::new(start, Duration::from_secs(10), 1);
        assert_eq!(health.result(false, start + Duration::from_secs(11)), DEADLY);
    }
}
