//! The threads that probe mountpoints. A probe can hang, so one thread may hang while others of the
//! same driver go on.
//!
//! One thread probes a driver's volumes in turn. When a probe takes longer than [`PROBE_LIMIT`],
//! another thread takes over the rest. At most [`MAX_HANGING`] threads of a driver hang like that,
//! and a volume whose probe is still under way gets no second one. So a driver never delays the
//! volumes of another, and the number of installed drivers bounds the number of threads.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use rustix::io::Errno;

use super::probe::{Health, probe};
use super::watched_volume::WatchedVolume;
use crate::types::VolumeKey;

/// A probe that takes longer than this hangs.
pub(super) const PROBE_LIMIT: Duration = Duration::from_secs(2);
/// Threads of one driver that may hang at a time. Beyond them its volumes are not probed, until one
/// of the threads is back.
const MAX_HANGING: usize = 8;

/// What a probe found out: the volume's health, or the kernel's error.
pub(super) struct ProbeResult {
    pub(super) watched: WatchedVolume,
    pub(super) result: Result<Health, Errno>,
}

/// Has one queue for each driver.
pub(super) struct Prober {
    queues: Arc<Mutex<BTreeMap<String, Queue>>>,
    results: Sender<ProbeResult>,
    limit: Duration,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<WatchedVolume>,
    /// The probes under way, and when they began.
    under_way: BTreeMap<VolumeKey, Instant>,
    threads: usize,
}

impl Prober {
    /// A probe that takes longer than `limit` hangs.
    pub(super) fn new(results: Sender<ProbeResult>, limit: Duration) -> Self {
        Self {
            queues: Arc::default(),
            results,
            limit,
        }
    }

    /// Queues a probe of the volume, unless one is under way or queued already.
    pub(super) fn enqueue(&self, watched: WatchedVolume) {
        let mut queues = lock(&self.queues);
        let queue = queues.entry(watched.volume.driver.clone()).or_default();
        let waits = queue.waiting.iter().any(|waiting| waiting.volume == watched.volume);
        if !waits && !queue.under_way.contains_key(&watched.volume) {
            queue.waiting.push_back(watched);
        }
    }

    /// Starts a thread for each queue whose threads all hang, up to the limit. Returns the volumes
    /// whose probe hangs.
    ///
    /// # Errors
    /// When no thread can be started; the volumes stay in their queues.
    pub(super) fn spawn_workers(&self) -> io::Result<Vec<VolumeKey>> {
        let mut queues = lock(&self.queues);
        queues.retain(|_, queue| queue.threads > 0 || !queue.waiting.is_empty());
        let mut hung = Vec::new();
        for (driver, queue) in queues.iter_mut() {
            let hangs = |(_, since): &(&VolumeKey, &Instant)| since.elapsed() > self.limit;
            let hanging = queue.under_way.iter().filter(hangs).map(|(volume, _)| volume.clone());
            let before = hung.len();
            hung.extend(hanging);
            let hanging = hung.len() - before;
            if !queue.waiting.is_empty() && queue.threads == hanging && hanging < MAX_HANGING {
                self.start(driver.clone())?;
                queue.threads += 1;
            }
        }
        Ok(hung)
    }

    /// No probe is under way or queued.
    pub(super) fn is_idle(&self) -> bool {
        lock(&self.queues)
            .values()
            .all(|queue| queue.threads == 0 && queue.waiting.is_empty())
    }

    fn start(&self, driver: String) -> io::Result<()> {
        let (queues, results, limit) = (Arc::clone(&self.queues), self.results.clone(), self.limit);
        // The thread is not joined at the end, because it may hang.
        let work = move || work(&driver, &queues, &results, limit);
        thread::Builder::new().name("mev-probe".into()).spawn(work).map(drop)
    }
}

fn work(driver: &str, queues: &Mutex<BTreeMap<String, Queue>>, results: &Sender<ProbeResult>, limit: Duration) {
    let mut late = false;
    loop {
        let watched = {
            let mut queues = lock(queues);
            let queue = queues.get_mut(driver).expect("a queue with a thread is kept");
            // Another thread has taken the place of one that was late.
            let watched = if late { None } else { queue.waiting.pop_front() };
            let Some(watched) = watched else {
                queue.threads -= 1;
                return;
            };
            queue.under_way.insert(watched.volume.clone(), Instant::now());
            watched
        };
        let result = probe(&watched.mountpoint, watched.directory_backed);
        let mut queues = lock(queues);
        let queue = queues.get_mut(driver).expect("a queue with a thread is kept");
        let began = queue.under_way.remove(&watched.volume);
        late = began.is_none_or(|began| began.elapsed() > limit);
        drop(queues);
        // The monitor stops listening only when the agent goes away.
        let _ = results.send(ProbeResult { watched, result });
    }
}

fn lock(queues: &Mutex<BTreeMap<String, Queue>>) -> MutexGuard<'_, BTreeMap<String, Queue>> {
    // No invariant spans a panic here.
    queues.lock().unwrap_or_else(PoisonError::into_inner)
}
