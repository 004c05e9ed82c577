//! A disk in memory that loses what was not synced, tears it, and fails when told to: the worst
//! that [`Disk`] allows.

mod tree;

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::path::{Component, Path};
use std::rc::Rc;

use fastrand::Rng;
use isolator::records::Disk;

pub(crate) use tree::Fate;
use tree::{File, Folder, Node};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process is killed: a write does half of its work, and everything later none.
    Killed,
    /// The disk is full: nothing can be made, and only half be written.
    Full,
    /// The file system is mounted read-only.
    ReadOnly,
    /// The device fails: a write does half of its work, anything else none.
    Broken,
}

/// A disk in memory; clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk(Rc<State>);

#[derive(Debug, Default)]
struct State {
    root: Rc<Folder>,
    ids: Cell<u64>,
    operations: Cell<u64>,
    syncs: Cell<u64>,
    skipped_sync: Cell<Option<u64>>,
    no_file_syncs: Cell<bool>,
    no_folder_syncs: Cell<bool>,
    fault: Cell<Option<(Fault, u64, u64)>>,
}

impl MemoryDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// From the operation after the next `after` ones on, this is wrong with each of the next
    /// `count` operations. It replaces an earlier fault.
    pub fn fail(&self, fault: Fault, after: u64, count: u64) {
        let first = self.operations().saturating_add(after);
        self.0.fault.set(Some((fault, first, first.saturating_add(count))));
    }

    /// Nothing is wrong any more.
    pub fn repair(&self) {
        self.0.fault.set(None);
    }

    /// How many operations were asked for so far, of whatever kind.
    pub fn operations(&self) -> u64 {
        self.0.operations.get()
    }

    /// How many syncs of a file or a folder made something durable so far that was not.
    pub fn syncs(&self) -> u64 {
        self.0.syncs.get()
    }

    /// Lets the sync of this number, counted from 0 as [`Self::syncs`] does, do nothing and report
    /// success: what code without it would do.
    pub fn skip_sync(&self, number: u64) {
        self.0.skipped_sync.set(Some(number));
    }

    /// Lets all syncs of files, or all of folders, do nothing.
    pub fn leave_out_syncs(&self, of_files: bool, of_folders: bool) {
        self.0.no_file_syncs.set(of_files);
        self.0.no_folder_syncs.set(of_folders);
    }

    /// The power fails: what was not synced is lost, kept or torn, as `rng` has it.
    pub fn power_cut(&self, rng: &mut Rng) {
        self.0.root.lose(rng);
    }

    /// For each name in a folder everything that it may be after a power cut.
    pub(crate) fn fates(&self, folder: &Path) -> Vec<Vec<Fate>> {
        self.folder(folder).map(|folder| folder.fates()).unwrap_or_default()
    }

    fn operate(&self, touched_by: &[Fault]) -> io::Result<()> {
        let number = self.operations();
        self.0.operations.set(number + 1);
        match self.0.fault.get() {
            Some((fault, first, end)) if (first..end).contains(&number) && touched_by.contains(&fault) => {
                Err(match fault {
                    Fault::Full => ErrorKind::StorageFull.into(),
                    Fault::ReadOnly => ErrorKind::ReadOnlyFilesystem.into(),
                    // EIO; it has no kind of its own.
                    Fault::Broken => io::Error::from_raw_os_error(5),
                    Fault::Killed => io::Error::other("the process was killed"),
                })
            }
            _ => Ok(()),
        }
    }

    /// Counts a sync that has something to do.
    fn sync_is_skipped(&self, all_are: &Cell<bool>) -> bool {
        let number = self.0.syncs.get();
        self.0.syncs.set(number + 1);
        all_are.get() || self.0.skipped_sync.get() == Some(number)
    }

    fn new_id(&self) -> u64 {
        self.0.ids.set(self.0.ids.get() + 1);
        self.0.ids.get()
    }

    fn folder(&self, path: &Path) -> io::Result<Rc<Folder>> {
        let mut folder = Rc::clone(&self.0.root);
        for component in path.components() {
            if let Component::Normal(name) = component {
                folder = match folder.get(name) {
                    Some(Node::Folder(inner)) => inner,
                    Some(Node::File(_)) => return Err(ErrorKind::NotADirectory.into()),
                    None => return Err(ErrorKind::NotFound.into()),
                };
            }
        }
        Ok(folder)
    }

    fn place<'a>(&self, path: &'a Path) -> io::Result<(Rc<Folder>, &'a OsStr)> {
        let name = path.file_name().ok_or(ErrorKind::AlreadyExists)?;
        let parent = path.parent().unwrap_or(Path::new("/"));
        Ok((self.folder(parent)?, name))
    }
}

const CHANGES_NAMES: &[Fault] = &[Fault::Killed, Fault::ReadOnly, Fault::Broken];
const NEEDS_SPACE: &[Fault] = &[Fault::Killed, Fault::ReadOnly, Fault::Broken, Fault::Full];
const CHANGES_NOTHING: &[Fault] = &[Fault::Killed, Fault::Broken];

impl Disk for MemoryDisk {
    type File = OpenFile;
    type Lock = ();

    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        let (parent, name) = self.place(folder)?;
        if parent.get(name).is_some() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        self.operate(NEEDS_SPACE)?;
        parent.set(name, Some(Node::Folder(Rc::default())));
        Ok(())
    }

    /// There is only one process.
    fn lock(&self, _path: &Path, _holder: &str) -> io::Result<Option<()>> {
        self.operate(CHANGES_NOTHING).map(Some)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        self.operate(CHANGES_NOTHING)?;
        Ok(self.folder(folder)?.list())
    }

    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        self.operate(CHANGES_NOTHING)?;
        let (folder, name) = self.place(path)?;
        match folder.get(name) {
            Some(Node::File(file)) => {
                let bytes = file.bytes.borrow();
                let end = usize::try_from(limit).unwrap_or(usize::MAX).min(bytes.len());
                Ok(bytes[..end].to_vec())
            }
            Some(Node::Folder(_)) => Err(io::Error::other("it is not a file")),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    fn create(&self, path: &Path) -> io::Result<OpenFile> {
        self.operate(NEEDS_SPACE)?;
        let (folder, name) = self.place(path)?;
        match folder.get(name) {
            Some(Node::File(file)) => {
                file.bytes.borrow_mut().clear();
                file.synced.set(false);
                file.id.set(self.new_id());
                Ok(OpenFile(file))
            }
            Some(Node::Folder(_)) => Err(ErrorKind::IsADirectory.into()),
            None => {
                let file = Rc::new(File::default());
                file.id.set(self.new_id());
                folder.set(name, Some(Node::File(Rc::clone(&file))));
                Ok(OpenFile(file))
            }
        }
    }

    fn write(&self, file: &mut OpenFile, bytes: &[u8]) -> io::Result<()> {
        let number = self.operations();
        let allowed = self.operate(NEEDS_SPACE);
        let half = match self.0.fault.get() {
            Some((Fault::Full | Fault::Broken, ..)) => true,
            // Of a killed process only the last write did anything.
            Some((Fault::Killed, first, _)) => number == first,
            Some((Fault::ReadOnly, ..)) | None => false,
        };
        let written = match (&allowed, half) {
            (Ok(()), _) => bytes,
            (Err(_), true) => &bytes[..bytes.len() / 2],
            (Err(_), false) => &[],
        };
        file.0.bytes.borrow_mut().extend_from_slice(written);
        file.0.synced.set(false);
        allowed
    }

    fn sync_all(&self, files: &[&OpenFile]) -> Vec<io::Result<()>> {
        let sync = |file: &&OpenFile| {
            self.operate(CHANGES_NOTHING)?;
            if !file.0.synced.get() && !self.sync_is_skipped(&self.0.no_file_syncs) {
                file.0.synced.set(true);
            }
            Ok(())
        };
        files.iter().map(sync).collect()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.operate(CHANGES_NAMES)?;
        let (folder, name) = self.place(from)?;
        let node = folder.get(name).ok_or(ErrorKind::NotFound)?;
        let (target, new_name) = self.place(to)?;
        target.set(new_name, Some(node));
        folder.set(name, None);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.operate(CHANGES_NAMES)?;
        let (folder, name) = self.place(path)?;
        match folder.get(name) {
            Some(Node::File(_)) => {
                folder.set(name, None);
                Ok(())
            }
            Some(Node::Folder(_)) => Err(ErrorKind::IsADirectory.into()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.operate(CHANGES_NOTHING)?;
        let folder = self.folder(folder)?;
        if !folder.synced() && !self.sync_is_skipped(&self.0.no_folder_syncs) {
            folder.sync();
        }
        Ok(())
    }
}

/// A file being written.
#[derive(Debug)]
pub struct OpenFile(Rc<File>);
