//! Files and folders as the process sees them, and what of them a power cut would leave.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::rc::Rc;

use fastrand::Rng;

#[derive(Clone, Debug)]
pub(super) enum Node {
    File(Rc<File>),
    Folder(Rc<Folder>),
}

/// What is written is seen at once; it survives a power cut when it was synced since.
#[derive(Debug, Default)]
pub(super) struct File {
    /// Another one each time the file is begun anew.
    pub(super) id: Cell<u64>,
    pub(super) bytes: RefCell<Vec<u8>>,
    pub(super) synced: Cell<bool>,
}

impl File {
    /// Unsynced bytes: all of them, some, zeros where the size was written and the data was not, or
    /// none.
    fn lose(&self, rng: &mut Rng) {
        if self.synced.replace(true) {
            return;
        }
        let mut bytes = self.bytes.borrow_mut();
        let kept = rng.usize(0..=bytes.len());
        match rng.u8(0..4) {
            0 => bytes.clear(),
            1 => bytes.truncate(kept),
            2 => bytes[kept..].fill(0),
            _ => {}
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Folder {
    names: RefCell<BTreeMap<OsString, Name>>,
}

/// What a name stands for on disk, and what was done to it since, in order: a power cut leaves any
/// of these.
#[derive(Debug, Default)]
struct Name {
    durable: Option<Node>,
    pending: Vec<Option<Node>>,
}

impl Name {
    fn now(&self) -> Option<&Node> {
        self.pending.last().unwrap_or(&self.durable).as_ref()
    }

    fn settle(&mut self, version: usize) {
        if version > 0 {
            self.durable = self.pending.swap_remove(version - 1);
        }
        self.pending.clear();
    }
}

/// What a file may be after a power cut.
#[derive(Clone, Debug)]
pub(crate) enum Fate {
    /// Not there.
    Gone,
    /// There, with who knows what in it.
    Torn,
    /// There and whole; the number tells its bytes from every other file's.
    Whole(u64, Rc<Bytes>),
}

/// The bytes of a file.
#[derive(Debug)]
pub(crate) struct Bytes(Rc<File>);

impl Bytes {
    pub(crate) fn with<T>(&self, read: impl FnOnce(&[u8]) -> T) -> T {
        read(&self.0.bytes.borrow())
    }
}

impl Folder {
    pub(super) fn get(&self, name: &OsStr) -> Option<Node> {
        self.names.borrow().get(name)?.now().cloned()
    }

    pub(super) fn set(&self, name: &OsStr, node: Option<Node>) {
        let mut names = self.names.borrow_mut();
        match names.get_mut(name) {
            Some(known) => known.pending.push(node),
            None => {
                let name = name.to_owned();
                let pending = vec![node];
                names.insert(name, Name { durable: None, pending });
            }
        }
    }

    pub(super) fn list(&self) -> Vec<OsString> {
        let names = self.names.borrow();
        let there = names.iter().filter(|(_, name)| name.now().is_some());
        there.map(|(name, _)| name.clone()).collect()
    }

    pub(super) fn synced(&self) -> bool {
        self.names.borrow().values().all(|name| name.pending.is_empty())
    }

    pub(super) fn sync(&self) {
        self.names.borrow_mut().retain(|_, name| {
            name.settle(name.pending.len());
            name.durable.is_some()
        });
    }

    /// Each name comes out of a power cut as it was before or after any of the unsynced changes,
    /// whatever became of the others: worse than a file system with a journal, which keeps them in
    /// order.
    pub(super) fn lose(&self, rng: &mut Rng) {
        self.names.borrow_mut().retain(|_, name| {
            name.settle(rng.usize(0..=name.pending.len()));
            match &name.durable {
                Some(Node::File(file)) => file.lose(rng),
                Some(Node::Folder(folder)) => folder.lose(rng),
                None => return false,
            }
            true
        });
    }

    /// For each name everything that it may be after a power cut.
    pub(super) fn fates(&self) -> Vec<Vec<Fate>> {
        let fate = |node: &Option<Node>| match node {
            Some(Node::File(file)) if file.synced.get() => Fate::Whole(file.id.get(), Rc::new(Bytes(Rc::clone(file)))),
            Some(_) => Fate::Torn,
            None => Fate::Gone,
        };
        let names = self.names.borrow();
        let fates = names
            .values()
            .map(|name| std::iter::once(&name.durable).chain(&name.pending).map(fate).collect());
        fates.collect()
    }
}
