//! Who looks at mountpoints: threads that may hang with one, while the others of the same driver go on.
//!
//! A driver's volumes are looked at in turn by one thread. When a look takes longer than [`PATIENCE`], the rest is given to another
//! thread; [`STUCK`] of a driver's threads may hang like that, and a volume with a look still under way gets no second one. So
//! no driver keeps another's volumes waiting, and the number of threads is bounded by the drivers installed.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use rustix::io::Errno;

use super::monitor::Patient;
use super::probe::{Vitals, examine};
use crate::types::VolumeKey;

/// A look that takes longer hangs.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// Threads of one driver that may hang at a time. Beyond them its volumes are no longer looked at, until one is back.
const STUCK: usize = 8;

/// A look is over.
pub(super) struct Seen {
    pub(super) patient: Patient,
    pub(super) result: Result<Vitals, Errno>,
}

/// The volumes to look at, by driver.
pub(super) struct Prober {
    desks: Arc<Mutex<BTreeMap<String, Desk>>>,
    seen: Sender<Seen>,
    patience: Duration,
}

#[derive(Default)]
struct Desk {
    waiting: VecDeque<Patient>,
    /// Looks under way, and since when.
    under_way: BTreeMap<VolumeKey, Instant>,
    threads: usize,
}

impl Prober {
    /// What is seen goes to `seen`.
    pub(super) fn new(seen: Sender<Seen>, patience: Duration) -> Self {
        Self {
            desks: Arc::default(),
            seen,
            patience,
        }
    }

    /// Has a volume looked at, unless a look at it is still under way or waits its turn.
    pub(super) fn look(&self, patient: Patient) {
        let mut desks = lock(&self.desks);
        let desk = desks.entry(patient.volume.driver.clone()).or_default();
        let waits = desk.waiting.iter().any(|waiting| waiting.volume == patient.volume);
        if !waits && !desk.under_way.contains_key(&patient.volume) {
            desk.waiting.push_back(patient);
        }
    }

    /// Gives what waits to threads that do not hang, as long as there may be more. Returns the volumes whose look hangs.
    ///
    /// # Errors
    /// When no thread can be started; what waits stays.
    pub(super) fn staff(&self) -> io::Result<Vec<VolumeKey>> {
        let mut desks = lock(&self.desks);
        desks.retain(|_, desk| desk.threads > 0 || !desk.waiting.is_empty());
        let mut stuck = Vec::new();
        for (driver, desk) in desks.iter_mut() {
            let hangs = |(_, since): &(&VolumeKey, &Instant)| since.elapsed() > self.patience;
            let hanging = desk.under_way.iter().filter(hangs).map(|(volume, _)| volume.clone());
            let before = stuck.len();
            stuck.extend(hanging);
            let hanging = stuck.len() - before;
            if !desk.waiting.is_empty() && desk.threads == hanging && hanging < STUCK {
                self.start(driver.clone())?;
                desk.threads += 1;
            }
        }
        Ok(stuck)
    }

    /// Whether nothing is looked at or waits.
    pub(super) fn is_idle(&self) -> bool {
        lock(&self.desks)
            .values()
            .all(|desk| desk.threads == 0 && desk.waiting.is_empty())
    }

    fn start(&self, driver: String) -> io::Result<()> {
        let (desks, seen, patience) = (Arc::clone(&self.desks), self.seen.clone(), self.patience);
        // Not joined at the end: it may hang.
        let work = move || work(&driver, &desks, &seen, patience);
        thread::Builder::new().name("mev-probe".into()).spawn(work).map(drop)
    }
}

fn work(driver: &str, desks: &Mutex<BTreeMap<String, Desk>>, seen: &Sender<Seen>, patience: Duration) {
    let mut late = false;
    loop {
        let patient = {
            let mut desks = lock(desks);
            let desk = desks.get_mut(driver).expect("a desk with a thread is kept");
            // One that was late has been replaced.
            let patient = if late { None } else { desk.waiting.pop_front() };
            let Some(patient) = patient else {
                desk.threads -= 1;
                return;
            };
            desk.under_way.insert(patient.volume.clone(), Instant::now());
            patient
        };
        let result = examine(&patient.mountpoint, patient.directory_backed);
        let mut desks = lock(desks);
        let desk = desks.get_mut(driver).expect("a desk with a thread is kept");
        let began = desk.under_way.remove(&patient.volume);
        late = began.is_none_or(|began| began.elapsed() > patience);
        drop(desks);
        // Nobody listens any more only when the agent goes away.
        let _ = seen.send(Seen { patient, result });
    }
}

fn lock(desks: &Mutex<BTreeMap<String, Desk>>) -> MutexGuard<'_, BTreeMap<String, Desk>> {
    // No invariant spans a panic here.
    desks.lock().unwrap_or_else(PoisonError::into_inner)
}
