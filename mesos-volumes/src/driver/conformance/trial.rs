//! The test volume, the calls on it, and what has to be taken away at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::mount::{UnmountFlags, unmount};
use volume_driver_client::{Driver, Error, ErrorKind, MountId};

use super::observed::Answer;
use super::place::{MountTable, Place, place_of};
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
    /// The driver's words for a volume that does not exist, where no table knows them; `{}` stands
    /// for the name.
    words_for_unknown: BTreeSet<String>,
}

/// An answered Mount, and what the mount table shows of it.
#[derive(Debug, Clone)]
pub(super) struct Mounted {
    pub(super) path: PathBuf,
    pub(super) place: Place,
}

impl<'a> Trial<'a> {
    /// A trial with a name that nobody else uses.
    ///
    /// # Errors
    /// The system gives no random number.
    pub(super) fn new(driver: &'a Driver, options: BTreeMap<String, String>) -> Result<Trial<'a>, Failure> {
        let random = std::fs::read_to_string("/proc/sys/kernel/random/uuid")?;
        let digits: String = random.chars().filter(char::is_ascii_hexdigit).take(12).collect();
        Ok(Trial {
            driver,
            name: format!("mev-test-{digits}"),
            options,
            created: BTreeSet::new(),
            mounted: BTreeSet::new(),
            seen_at: None,
            words_for_unknown: BTreeSet::new(),
        })
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
    /// The mount table cannot be read.
    pub(super) fn mount(&mut self, name: &str, id: &MountId) -> Result<(Answer, Option<Mounted>), Failure> {
        let before = MountTable::read()?;
        let start = Instant::now();
        let result = self.driver.mount(name, id);
        let answer = Answer::of(&result, start);
        if result.as_ref().map_or_else(Error::may_have_happened, |_| true) {
            self.mounted.insert((name.to_owned(), id.clone()));
        }
        let Ok(path) = result else { return Ok((answer, None)) };
        let (place, mount) = place_of(&path, &before)?;
        if name == self.name && mount.is_some() {
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

    /// Takes away the test volume's own mount when the driver leaves it there. Nothing else is ever
    /// mounted at that place.
    ///
    /// # Errors
    /// The mount is still there, with the reason.
    pub(super) fn unmount_by_hand(&mut self) -> Result<(), String> {
        let Some(at) = self.seen_at.clone() else { return Ok(()) };
        for _ in 0..TRIES {
            if !self.is_mounted().map_err(|error| error.to_string())? {
                break;
            }
            unmount(&at, UnmountFlags::NOFOLLOW)
                .map_err(|error| format!("'{}' is still mounted at {}: {error}", self.name, at.display()))?;
        }
        let name = self.name.clone();
        self.mounted.retain(|(of, _)| *of != name);
        Ok(())
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
        if let Err(error) = self.unmount_by_hand() {
            left.push(error);
        }
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
