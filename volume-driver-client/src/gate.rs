//! How many calls a driver gets at once, and how soon after a changing call the next one may begin.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::locks::{HeldLock, Limits, LockFiles};

/// Limits the calls to one driver: how many are in flight, and the pause between two changing
/// calls.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
    /// The same limits for all processes of this host. None: this process counts its own calls
    /// only.
    locks: Option<LockFiles>,
}

#[derive(Debug, Default)]
struct State {
    in_flight: usize,
    /// Until when no changing call may begin.
    quiet_until: Option<Instant>,
}

/// Why a call got no turn.
#[derive(Debug)]
pub(crate) enum NoTurn {
    /// Too many calls were in flight until the deadline.
    Late,
    /// The lock files cannot be used.
    Locks(io::Error),
}

/// The turn of one call; ends when dropped.
pub(crate) struct Turn {
    /// The lock is released before the turn in this process ends. Otherwise the next caller here
    /// would find it taken.
    held: Option<HeldLock>,
    gate: Arc<Gate>,
    is_change: bool,
    pause: Duration,
}

impl Gate {
    /// A gate that other processes share through lock files in a folder.
    pub(crate) fn shared(locks: LockFiles) -> Gate {
        Gate {
            locks: Some(locks),
            ..Gate::default()
        }
    }

    /// Waits for a turn until `end`.
    pub(crate) fn enter(self: &Arc<Gate>, is_change: bool, limits: Limits, end: Instant) -> Result<Turn, NoTurn> {
        let mut turn = self.enter_here(is_change, limits, end)?;
        if let Some(locks) = &self.locks {
            let held = locks.acquire(is_change, limits, end).map_err(NoTurn::Locks)?;
            turn.held = Some(held.ok_or(NoTurn::Late)?);
        }
        Ok(turn)
    }

    /// Waits for a turn among the threads of this process.
    fn enter_here(self: &Arc<Gate>, is_change: bool, limits: Limits, end: Instant) -> Result<Turn, NoTurn> {
        let mut state = self.state();
        loop {
            let now = Instant::now();
            let quiet = state.quiet_until.filter(|until| is_change && *until > now);
            if state.in_flight < limits.in_flight && quiet.is_none() {
                state.in_flight += 1;
                return Ok(Turn {
                    held: None,
                    gate: self.clone(),
                    is_change,
                    pause: limits.pause,
                });
            }
            if now >= end {
                return Err(NoTurn::Late);
            }
            // The end of a turn wakes a caller at a full gate. The clock wakes one that waits for
            // the pause.
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

impl std::fmt::Debug for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turn")
            .field("is_change", &self.is_change)
            .finish_non_exhaustive()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        drop(self.held.take());
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
    fn a_full_gate_lets_the_next_call_in_when_a_turn_ends() {
        let gate = Arc::new(Gate::default());
        let limits = limits(2, Duration::ZERO);
        let first = gate.enter(true, limits, Instant::now() + LONG).unwrap();
        let _second = gate.enter(false, limits, Instant::now() + LONG).unwrap();
        assert!(matches!(gate.enter(false, limits, Instant::now()), Err(NoTurn::Late)));
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
