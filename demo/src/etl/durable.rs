//! Files and folders that are there whole and on disk, or not at all.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags};

use super::EtlError;

/// A folder being filled under another name, which takes its real name in one step.
#[derive(Debug)]
pub struct NewFolder {
    aside: PathBuf,
    name: PathBuf,
}

impl NewFolder {
    /// Begins to make the folder `name` (again). What an earlier try left behind is removed.
    ///
    /// # Errors
    /// [`EtlError::Io`].
    pub fn begin(name: &Path) -> Result<NewFolder, EtlError> {
        let mut aside = name.as_os_str().to_owned();
        aside.push(".part");
        let aside = PathBuf::from(aside);
        remove(&aside)?;
        fs::create_dir_all(&aside).map_err(EtlError::io("make", &aside))?;
        Ok(NewFolder {
            aside,
            name: name.to_owned(),
        })
    }

    /// Where to put the files until then.
    pub fn path(&self) -> &Path {
        &self.aside
    }

    /// Gives the folder its name, in place of one that has it; returns when that is on disk. The files in it must
    /// have been synced by whoever wrote them.
    ///
    /// # Errors
    /// [`EtlError::Io`]; then either folder, the old or the new, has the name.
    pub fn finish(self) -> Result<(), EtlError> {
        sync_folder(&self.aside)?;
        let renaming = |errno: rustix::io::Errno| EtlError::io("give the name", &self.name)(errno.into());
        if self.name.exists() {
            rustix::fs::renameat_with(CWD, &self.aside, CWD, &self.name, RenameFlags::EXCHANGE).map_err(renaming)?;
        } else {
            rustix::fs::rename(&self.aside, &self.name).map_err(renaming)?;
        }
        sync_folder(self.name.parent().unwrap_or(Path::new("/")))?;
        remove(&self.aside)
    }
}

/// Writes a file and returns when it is on disk.
///
/// # Errors
/// [`EtlError::Io`].
pub fn write(path: &Path, content: &[u8]) -> Result<(), EtlError> {
    let write = || {
        let mut file = File::create(path)?;
        std::io::Write::write_all(&mut file, content)?;
        file.sync_all()
    };
    write().map_err(EtlError::io("write", path))
}

/// Returns when the entries of a folder are on disk.
///
/// # Errors
/// [`EtlError::Io`].
pub fn sync_folder(folder: &Path) -> Result<(), EtlError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(EtlError::io("sync", folder))
}

/// Removes a folder with all that is in it; none is fine.
///
/// # Errors
/// [`EtlError::Io`].
pub fn remove(folder: &Path) -> Result<(), EtlError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(EtlError::io("remove", folder)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_takes_the_place_of_the_one_before() {
        let root = tempfile::tempdir().unwrap();
        let name = root.path().join("out");
        for round in ["one", "two"] {
            let new = NewFolder::begin(&name).unwrap();
            write(&new.path().join(round), b"x").unwrap();
            new.finish().unwrap();
            let entries: Vec<_> = fs::read_dir(&name)
                .unwrap()
                .map(|entry| entry.unwrap().file_name())
                .collect();
            assert_eq!(entries, [round]);
        }
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_cut_short_try_left_is_not_in_the_next() {
        let root = tempfile::tempdir().unwrap();
        let name = root.path().join("out");
        let cut_short = NewFolder::begin(&name).unwrap();
        write(&cut_short.path().join("half"), b"x").unwrap();
        drop(cut_short);
        assert!(!name.exists());
        let new = NewFolder::begin(&name).unwrap();
        assert_eq!(fs::read_dir(new.path()).unwrap().count(), 0);
    }
}
