//! Replaces a file at once: whoever reads it, and whoever starts after a crash, finds the old
//! content or the new, never a part of either.
//!
//! The new content is written to an unnamed neighbour of the file, which is then renamed over it.
//! A symlink at the path is replaced and never followed, and a crash leaves at most a file whose
//! name begins with [`TEMPORARY`].
#![forbid(unsafe_code)]

use std::fs::{File, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// How the name of a file begins that a crash left behind before it was renamed. The dot hides it
/// from programs that read every file of a folder, such as node_exporter.
pub const TEMPORARY: &str = ".replacing-";

/// What a replacement promises when the host crashes right after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The new content: file and folder are synced before the call returns.
    Synced,
    /// The old content or the new. For files that are worth nothing after a crash of the host, such
    /// as metrics; it saves two fsyncs.
    Unsynced,
}

/// Replaces the file at `path`, or makes it, with the permission bits `mode` whatever the umask is.
///
/// # Errors
/// The content could not be written, synced or renamed. The old content is in place then, except
/// when only the folder could not be synced: then the new content is, and may be lost in a crash.
pub fn replace(
    path: &Path,
    mode: u32,
    durability: Durability,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    rename_over(path, mode, durability, write)?;
    match durability {
        Durability::Synced => sync_folder_of(path),
        Durability::Unsynced => Ok(()),
    }
}

/// Replaces several files of one folder, each durably; the folder is synced once, after the last.
/// The caller takes care that all `paths` lie in one folder.
///
/// # Errors
/// The path that failed, and why. Files before it are replaced, but perhaps not durably.
pub fn replace_all<T>(
    files: &[(impl AsRef<Path>, T)],
    mode: u32,
    write: impl Fn(&T, &mut dyn Write) -> io::Result<()>,
) -> Result<(), (&Path, io::Error)> {
    for (path, value) in files {
        let path = path.as_ref();
        rename_over(path, mode, Durability::Synced, |file| write(value, file)).map_err(|error| (path, error))?;
    }
    match files.last() {
        Some((path, _)) => sync_folder_of(path.as_ref()).map_err(|error| (path.as_ref(), error)),
        None => Ok(()),
    }
}

fn rename_over(
    path: &Path,
    mode: u32,
    durability: Durability,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let temporary = tempfile::Builder::new()
        .prefix(TEMPORARY)
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(folder_of(path))?;
    let mut buffered = BufWriter::new(temporary);
    write(&mut buffered)?;
    let temporary = buffered.into_inner().map_err(io::IntoInnerError::into_error)?;
    // The umask has taken bits away when the file was made.
    temporary.as_file().set_permissions(Permissions::from_mode(mode))?;
    if durability == Durability::Synced {
        temporary.as_file().sync_all()?;
    }
    temporary.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Makes the entries of the folder that `path` lies in durable.
///
/// # Errors
/// The folder cannot be opened or synced.
pub fn sync_folder_of(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

/// The folder a path lies in; `.` for a bare file name.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn entries(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_with_its_permissions_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        for (content, mode, durability) in [("old", 0o600, Durability::Synced), ("new", 0o644, Durability::Unsynced)] {
            replace(&path, mode, durability, |file| file.write_all(content.as_bytes())).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
        }
        assert_eq!(entries(folder.path()), ["state.json"]);
    }

    #[test]
    fn when_writing_fails_the_old_content_stays_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        fs::write(&path, "old").unwrap();
        let failure = replace(&path, 0o600, Durability::Synced, |file| {
            file.write_all(b"half of the n")?;
            Err(io::Error::other("no more"))
        });
        assert_eq!(failure.unwrap_err().to_string(), "no more");
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(entries(folder.path()), ["state.json"]);
    }

    #[test]
    fn a_symlink_is_replaced_and_what_it_leads_to_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (path, elsewhere) = (folder.path().join("metrics.prom"), folder.path().join("passwd"));
        fs::write(&elsewhere, "untouched").unwrap();
        symlink(&elsewhere, &path).unwrap();
        replace(&path, 0o644, Durability::Unsynced, |file| file.write_all(b"metrics")).unwrap();
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
        assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "untouched");
    }

    #[test]
    fn of_several_files_the_one_that_fails_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let good = folder.path().join("a.json");
        let bad = folder.path().join("missing/b.json");
        let files = [(good.clone(), "a"), (bad.clone(), "b")];
        let (path, _) = replace_all(&files, 0o600, |text, file| file.write_all(text.as_bytes())).unwrap_err();
        assert_eq!(path, bad);
        assert_eq!(fs::read_to_string(&good).unwrap(), "a");
    }
}
