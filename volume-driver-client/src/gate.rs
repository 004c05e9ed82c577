//! How many calls a driver is given at once, and how soon after a change the next.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Before one driver: lets so many calls through at once, and no changing call too soon after another.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    in_flight: usize,
    /// Until when no changing call may begin.
    quiet_until: Option<Instant>,
}

/// What the driver bears.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) in_flight: usize,
    /// Between the end of a changing call and the beginning of the next.
    pub(crate) pause: Duration,
}

/// The turn of one call; ends when dropped.
pub(crate) struct Turn {
    gate: Arc<Gate>,
    is_change: bool,
    pause: Duration,
}

impl Gate {
    /// Waits for a turn until `end`; past it, how many calls are in flight.
    pub(crate) fn enter(self: &Arc<Gate>, is_change: bool, limits: Limits, end: Instant) -> Result<Turn, usize> {
        let mut state = self.state();
        loop {
            let now = Instant::now();
            let quiet = state.quiet_until.filter(|until| is_change && *until > now);
            if state.in_flight < limits.in_flight && quiet.is_none() {
                state.in_flight += 1;
                return Ok(Turn {
                    gate: self.clone(),
                    is_change,
                    pause: limits.pause,
                });
            }
            if now >= end {
                return Err(state.in_flight);
            }
            // A full gate is woken by the end of a turn, a quiet one by the clock.
            let until = if state.in_flight < limits.in_flight {
                quiet.unwrap_or(end).min(end)
            } else {
                end
            };
            let waited = self.changed.wait_timeout(state, until.saturating_duration_since(now));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The state is two plain values, whole also after a panic in another thread.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.gate.state();
        state.in_flight -= 1;
        if self.is_change && !self.pause.is_zero() {
            state.quiet_until = Some(Instant::now() + self.pause);
        }
        drop(state);
        self.gate.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    fn limits(in_flight: usize, pause: Duration) -> Limits {
        Limits { in_flight, pause }
    }

    #[test]
    fn a_full_gate_lets_nobody_in_before_somebody_leaves() {
        let gate = Arc::new(Gate::default());
        let limits = limits(2, Duration::ZERO);
        let first = gate.enter(true, limits, Instant::now() + LONG).ok().unwrap();
        let _second = gate.enter(false, limits, Instant::now() + LONG).ok().unwrap();
        assert_eq!(gate.enter(false, limits, Instant::now()).err(), Some(2));
        let waiting = {
            let gate = gate.clone();
            std::thread::spawn(move || gate.enter(false, limits, Instant::now() + LONG).is_ok())
        };
        drop(first);
        assert!(waiting.join().unwrap());
    }

    #[test]
    fn after_a_change_the_next_change_waits_and_a_reading_call_does_not() {
        let gate = Arc::new(Gate::default());
        let pause = Duration::from_millis(200);
        let limits = limits(1, pause);
        drop(gate.enter(true, limits, Instant::now() + LONG));
        let start = Instant::now();
        drop(
            gate.enter(false, limits, Instant::now())
                .expect("a reading call need not wait"),
        );
        drop(gate.enter(true, limits, Instant::now() + LONG));
        assert!(
            start.elapsed() >= pause - Duration::from_millis(20),
            "{:?}",
            start.elapsed()
        );
    }
}
