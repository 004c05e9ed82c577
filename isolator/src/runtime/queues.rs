//! One queue for each driver, whatever its names, with as many workers as the driver can handle
//! calls at a time. A driver that hangs blocks its own workers and no others.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::ledger::Op;

/// A worker without work ends after this.
const IDLE: Duration = Duration::from_secs(10);

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
pub(super) struct Queues(BTreeMap<String, Arc<Queue>>);

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    wake: Condvar,
}

/// What waits for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    /// A container that is being prepared.
    Container,
    /// Nothing, or a cleanup, which does not wait for long.
    Background,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<(Op, Urgency, Job)>,
    workers: usize,
    idle: usize,
    /// How many background calls are under way, and how many may be.
    background: usize,
    background_limit: usize,
}

impl State {
    /// The oldest call that may begin. Background calls leave one worker to the others, so that a
    /// few volumes whose Unmount hangs do not delay every container of the driver.
    fn next(&mut self) -> Option<(Urgency, Job)> {
        let has_room = self.background < self.background_limit;
        let next = self
            .jobs
            .iter()
            .position(|(_, urgency, _)| has_room || *urgency == Urgency::Container)?;
        let (_, urgency, job) = self.jobs.remove(next)?;
        self.background += usize::from(urgency == Urgency::Background);
        Some((urgency, job))
    }
}

impl Queues {
    /// Queues a call to the driver with this address, or with this name when its address is not
    /// known. The driver can handle `limit` calls at a time.
    ///
    /// # Errors
    /// When there is no worker and no thread can be started for one. The call is not made then.
    pub(super) fn submit(&mut self, driver: &str, limit: usize, op: Op, urgency: Urgency, job: Job) -> io::Result<()> {
        let queue = self.0.entry(driver.to_owned()).or_default();
        let mut state = queue.lock();
        state.background_limit = limit.saturating_sub(1).max(1);
        state.jobs.push_back((op, urgency, job));
        if state.jobs.len() > state.idle && state.workers < limit.max(1) {
            let worker = Arc::clone(queue);
            // `unix:///run/docker/plugins/rexray.sock` becomes `rexray`. The kernel shows 15 bytes
            // of a thread's name.
            let file = driver.rsplit('/').next().unwrap_or(driver);
            let name = file.strip_suffix(".sock").unwrap_or(file);
            match thread::Builder::new()
                .name(format!("mev-{name}"))
                .spawn(move || worker.work())
            {
                Ok(_) => state.workers += 1,
                Err(error) if state.workers == 0 => {
                    state.jobs.pop_back();
                    return Err(error);
                }
                // The existing workers will make the call.
                Err(_) => {}
            }
        }
        drop(state);
        queue.wake.notify_one();
        Ok(())
    }

    /// Takes a call out of its queue. Returns false when the call has begun, or is not there.
    pub(super) fn withdraw(&self, op: Op) -> bool {
        self.0.values().any(|queue| {
            let mut state = queue.lock();
            let before = state.jobs.len();
            state.jobs.retain(|(queued, ..)| *queued != op);
            state.jobs.len() < before
        })
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Jobs run outside the lock, so that a poisoned state is still consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut state = self.lock();
        loop {
            if let Some((urgency, job)) = state.next() {
                drop(state);
                job();
                state = self.lock();
                state.background -= usize::from(urgency == Urgency::Background);
                continue;
            }
            state.idle += 1;
            let (woken, wait) = self
                .wake
                .wait_timeout(state, IDLE)
                .unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if wait.timed_out() && state.jobs.is_empty() {
                state.workers -= 1;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::{bounded, unbounded};

    use super::*;

    #[test]
    fn a_hung_driver_delays_only_its_own_calls() {
        let mut queues = Queues::default();
        let (release, hang) = bounded::<()>(0);
        let (done, finished) = unbounded();
        queues
            .submit(
                "hung",
                1,
                Op(1),
                Urgency::Container,
                Box::new(move || {
                    let _ = hang.recv();
                }),
            )
            .unwrap();
        let later = done.clone();
        queues
            .submit(
                "hung",
                1,
                Op(2),
                Urgency::Container,
                Box::new(move || later.send(2).unwrap()),
            )
            .unwrap();
        queues
            .submit(
                "healthy",
                1,
                Op(3),
                Urgency::Container,
                Box::new(move || done.send(3).unwrap()),
            )
            .unwrap();
        assert_eq!(finished.recv().unwrap(), 3);
        assert!(queues.withdraw(Op(2)), "what has not begun can be taken back");
        assert!(!queues.withdraw(Op(2)));
        drop(release);
        assert!(finished.recv().is_err(), "the withdrawn call was never made");
    }

    #[test]
    fn no_more_calls_are_in_flight_than_the_driver_can_handle() {
        let mut queues = Queues::default();
        let (release, hang) = unbounded::<()>();
        let (begun, started) = unbounded();
        for n in 0..5 {
            let (begun, hang) = (begun.clone(), hang.clone());
            let job = move || {
                begun.send(n).unwrap();
                let _ = hang.recv();
            };
            queues
                .submit("driver", 2, Op(n), Urgency::Container, Box::new(job))
                .unwrap();
        }
        let mut first: Vec<u64> = (0..2).map(|_| started.recv().unwrap()).collect();
        first.sort_unstable();
        assert_eq!(first, [0, 1]);
        assert!(started.is_empty(), "the third waits for one of the two");
        drop(release);
        assert_eq!(started.iter().take(3).count(), 3);
    }

    #[test]
    fn unmounts_that_hang_leave_one_worker_to_what_a_container_waits_for() {
        let mut queues = Queues::default();
        let (release, hang) = unbounded::<()>();
        let (done, finished) = unbounded();
        for n in 0..8 {
            let (hang, done) = (hang.clone(), done.clone());
            let job = move || {
                let _ = hang.recv();
                done.send(n).unwrap();
            };
            queues
                .submit("driver", 4, Op(n), Urgency::Background, Box::new(job))
                .unwrap();
        }
        let mount = done.clone();
        let job = Box::new(move || mount.send(8).unwrap());
        queues.submit("driver", 4, Op(8), Urgency::Container, job).unwrap();
        assert_eq!(finished.recv().unwrap(), 8);
        drop(release);
        assert_eq!(finished.iter().take(8).count(), 8, "the others are made in the end");
    }

    #[test]
    fn a_driver_that_handles_one_call_at_a_time_gets_unmounts_too() {
        let mut queues = Queues::default();
        let (done, finished) = unbounded();
        let job = Box::new(move || done.send(()).unwrap());
        queues.submit("driver", 1, Op(1), Urgency::Background, job).unwrap();
        finished.recv().unwrap();
    }
}
