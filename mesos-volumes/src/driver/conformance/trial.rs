//! The test volume, the calls on it, and what has to be taken away at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rustix::mount::{UnmountFlags, unmount};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use volume_driver_client::{Driver, Error, ErrorKind, MountId};

use super::observed::Answer;
use super::place::{MountTable, Place, names, place_of};
use super::profile::generalized;
use crate::failure::Failure;

/// How often an Unmount or a Remove is repeated before something counts as left behind.
const TRIES: usize = 5;

/// A test volume of a driver. Everything that [`Trial`] creates or mounts is remembered until it is
/// gone again.
pub(super) struct Trial<'a> {
    driver: &'a Driver,
    name: String,
    options: BTreeMap<String, String>,
    /// Volumes that may exist because of this test.
    created: BTreeSet<String>,
    /// Volumes that may be mounted because of this test, and the ids that may have them.
    mounted: BTreeSet<(String, MountId)>,
    /// Where the volume was mounted when that was seen last.
    seen_at: Option<PathBuf>,
    /// The same, when the volume's mountpoint is the mount itself: no other volume is in it.
    own_mountpoint: Option<PathBuf>,
    /// The driver's words for a volume that does not exist, where no table knows them; `{}` stands
    /// for the name.
    words_for_unknown: BTreeSet<String>,
    /// Set by a signal that asks the program to end.
    interrupted: Arc<AtomicBool>,
}

/// An answered Mount, and what the mount table shows of it.
#[derive(Debug, Clone)]
pub(super) struct Mounted {
    pub(super) path: PathBuf,
    pub(super) place: Place,
}

impl<'a> Trial<'a> {
    /// A trial with a random name, which no other volume has. From now on a signal interrupts the
    /// trial, and a second signal ends the program.
    ///
    /// # Errors
    /// The system gives no random number, or signals cannot be handled.
    pub(super) fn new(driver: &'a Driver, options: BTreeMap<String, String>) -> Result<Trial<'a>, Failure> {
        let random = std::fs::read_to_string("/proc/sys/kernel/random/uuid")?;
        let interrupted = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            // The order matters: the first signal sets the flag after this one has looked at it.
            flag::register_conditional_default(signal, Arc::clone(&interrupted))?;
            flag::register(signal, Arc::clone(&interrupted))?;
        }
        let digits: String = random.chars().filter(char::is_ascii_hexdigit).take(12).collect();
        Ok(Trial {
            driver,
            name: format!("mev-test-{digits}"),
            options,
            created: BTreeSet::new(),
            mounted: BTreeSet::new(),
            seen_at: None,
            own_mountpoint: None,
            words_for_unknown: BTreeSet::new(),
            interrupted,
        })
    }

    /// Becomes true when a signal asks the program to end.
    pub(super) fn interruption(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.interrupted)
    }

    /// Called before something new is tried.
    ///
    /// # Errors
    /// A signal asked the program to end.
    pub(super) fn go_on(&self) -> Result<(), Failure> {
        match self.interrupted.load(Ordering::SeqCst) {
            true => Err(Failure::Interrupted),
            false => Ok(()),
        }
    }

    pub(super) fn driver(&self) -> &'a Driver {
        self.driver
    }

    /// The test volume's name: lower case, digits and `-`.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// A mount id; each word has its own.
    pub(super) fn id(&self, word: &str) -> MountId {
        MountId::derive("mesos-volumes driver test", word, &self.name)
    }

    /// Remembers the words of a refusal for a volume that does not exist.
    pub(super) fn learn_unknown(&mut self, answer: &Answer) {
        if let Some(words) = answer.unknown_words() {
            self.words_for_unknown.insert(generalized(words));
        }
    }

    /// Whether the driver says that there is no such volume, in words that are known or that it
    /// used for one that does not exist.
    fn says_unknown(&self, error: &Error) -> bool {
        error.kind() == ErrorKind::NotFound
            || error.kind() == ErrorKind::Rejected && self.words_for_unknown.contains(&generalized(error.words()))
    }

    /// Creates a volume with the operator's options.
    pub(super) fn create(&mut self, name: &str) -> Answer {
        let start = Instant::now();
        let result = self.driver.create(name, &self.options);
        if result.as_ref().map_or_else(Error::may_have_happened, |()| true) {
            self.created.insert(name.to_owned());
        }
        Answer::of(&result, start)
    }

    /// Removes a volume.
    pub(super) fn remove(&mut self, name: &str) -> Answer {
        let start = Instant::now();
        let result = self.driver.remove(name);
        if result.is_ok() {
            self.created.remove(name);
        }
        Answer::of(&result, start)
    }

    /// Mounts a volume under an id and looks at what came.
    ///
    /// # Errors
    /// The mount table cannot be read, or a signal asked the program to end.
    pub(super) fn mount(&mut self, name: &str, id: &MountId) -> Result<(Answer, Option<Mounted>), Failure> {
        self.go_on()?;
        let before = MountTable::read()?;
        let start = Instant::now();
        let result = self.driver.mount(name, id);
        let answer = Answer::of(&result, start);
        if result.as_ref().map_or_else(Error::may_have_happened, |_| true) {
            self.mounted.insert((name.to_owned(), id.clone()));
            // Some drivers create what they are asked to mount (convoy's --create-on-docker-mount).
            self.created.insert(name.to_owned());
        }
        let Ok(path) = result else { return Ok((answer, None)) };
        let (place, mount) = place_of(&path, name, &before)?;
        if name == self.name && mount.is_some() {
            self.own_mountpoint = mount.clone().filter(|_| place == Place::Mount);
            self.seen_at = mount;
        }
        Ok((answer, Some(Mounted { path, place })))
    }

    /// Unmounts a volume under an id.
    pub(super) fn unmount(&mut self, name: &str, id: &MountId) -> Answer {
        let start = Instant::now();
        let result = self.driver.unmount(name, id);
        let is_settled = result.as_ref().map_or_else(
            |error| matches!(error.kind(), ErrorKind::NotMounted | ErrorKind::NotFound),
            |()| true,
        );
        if is_settled && !self.is_mounted().unwrap_or(true) {
            self.mounted.remove(&(name.to_owned(), id.clone()));
        }
        Answer::of(&result, start)
    }

    /// Unmounts what the driver leaves mounted of the test's volumes. A mount that neither has the
    /// test volume's random name in its path nor is the test volume's mountpoint itself is left alone,
    /// as other volumes may be in it.
    ///
    /// Returns the mounts that are still there, with the reasons.
    pub(super) fn unmount_by_hand(&mut self) -> Vec<String> {
        let mut left = Vec::new();
        for _ in 0..TRIES {
            let table = match MountTable::read() {
                Ok(table) => table,
                Err(error) => return vec![error.to_string()],
            };
            let mut own = table.naming(&self.name);
            let elsewhere = self.own_mountpoint.iter().filter(|at| !names(at, &self.name));
            own.extend(elsewhere.filter(|at| table.has(at)).cloned());
            left.clear();
            for at in &own {
                if let Err(error) = unmount(at, UnmountFlags::NOFOLLOW) {
                    left.push(format!("{} is still mounted: {error}", at.display()));
                }
            }
            if own.is_empty() {
                break;
            }
        }
        self.mounted.clear();
        left
    }

    /// Remembers that a call made elsewhere may have mounted a volume.
    pub(super) fn may_be_mounted(&mut self, name: &str, id: &MountId) {
        self.mounted.insert((name.to_owned(), id.clone()));
    }

    /// Whether the test volume's own mount is in the mount table; false for a driver without
    /// mounts.
    ///
    /// # Errors
    /// The mount table cannot be read.
    pub(super) fn is_mounted(&self) -> Result<bool, Failure> {
        match &self.seen_at {
            Some(at) => Ok(MountTable::read()?.has(at)),
            None => Ok(false),
        }
    }

    /// Unmounts the test volume under all ids that may have it, until its mount is gone. Returns
    /// how many Unmounts it took.
    ///
    /// # Errors
    /// The mount table cannot be read.
    pub(super) fn settle(&mut self) -> Result<usize, Failure> {
        let mut sent = 0;
        let name = self.name.clone();
        for _ in 0..TRIES {
            let ids: Vec<MountId> = self
                .mounted
                .iter()
                .filter(|(of, _)| *of == name)
                .map(|(_, id)| id.clone())
                .collect();
            if ids.is_empty() || self.seen_at.is_some() && !self.is_mounted()? {
                break;
            }
            for id in ids {
                sent += 1;
                let answer = self.unmount(&name, &id);
                if self.seen_at.is_none() && answer.is_done() {
                    self.mounted.remove(&(name.clone(), id));
                }
            }
        }
        if !self.is_mounted()? {
            self.mounted.retain(|(of, _)| *of != name);
        }
        Ok(sent)
    }

    /// Unmounts and removes everything that is left. Returns what could not be taken away.
    pub(super) fn take_away(&mut self) -> Vec<String> {
        let mut left = Vec::new();
        for (name, id) in self.mounted.clone() {
            let answers = (0..TRIES).map(|_| self.driver.unmount(&name, &id).is_ok());
            // The driver may count: it is asked until it says that nothing is mounted.
            let _asked = answers.take_while(|done| *done).count();
        }
        left.extend(self.unmount_by_hand());
        for name in self.created.clone() {
            if let Some(error) = self.remove_all(&name) {
                left.push(format!("volume '{name}' cannot be removed: {error}"));
            }
        }
        left
    }

    /// Removes a volume, and a second one of the same name. Returns the last refusal when the
    /// volume stays.
    fn remove_all(&self, name: &str) -> Option<Error> {
        let mut last = None;
        for _ in 0..TRIES {
            last = self.driver.remove(name).err();
            match (&last, &self.driver.get(name)) {
                (Some(error), _) | (None, Err(error)) if self.says_unknown(error) => return None,
                // What answers yes for every name says nothing.
                (None, Ok(_)) if self.answers_yes_for_any_name() => return None,
                _ => {}
            }
        }
        last
    }

    /// Whether a Get of a name that cannot exist succeeds.
    pub(super) fn answers_yes_for_any_name(&self) -> bool {
        self.driver.get(&format!("{}-unknown", self.name)).is_ok()
    }
}

/// Whether a file can be read back, without an error for a mount that answers none.
pub(super) fn has_file(folder: &Path, name: &str) -> bool {
    std::fs::read_to_string(folder.join(name)).is_ok_and(|text| text == name)
}
