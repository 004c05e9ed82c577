//! Which volumes this program has mounted on this host since it was booted.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use procfs::process::Process;
use volume_driver_client::MountId;

use crate::settings;

/// How long a mountpoint may take to answer.
const PROBE: Duration = Duration::from_secs(5);

/// The note on one mount: a file in `/run`, empty after a boot as the mount table is, that holds
/// the mountpoint and which mount it was on.
///
/// It only ever saves a Mount. A note that cannot be read or written costs a count at drivers that
/// count, and is said on stderr.
pub(super) struct Mounted {
    file: PathBuf,
}

impl Mounted {
    pub(super) fn of(id: &MountId) -> Mounted {
        let folder = settings::run_dir().join("mounted");
        Mounted {
            file: folder.join(id.as_str()),
        }
    }

    /// The mountpoint, when the volume is noted, is still the mount that was noted, and answers.
    pub(super) fn path(&self) -> Option<PathBuf> {
        let text = match fs::read_to_string(&self.file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => {
                self.complain("read", &error);
                return None;
            }
        };
        let (mount, path) = text.split_once('\n')?;
        let path = PathBuf::from(path);
        (mount == mount_under(&path)? && answers(&path)).then_some(path)
    }

    /// Notes that the volume is mounted there. A directory of the root file system is not: drivers
    /// of such volumes do not count.
    pub(super) fn note(&self, path: &Path) {
        let Some(mount) = mount_under(path) else { return };
        let folder = self.file.parent().expect("the file has a folder");
        let written = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .and_then(|()| {
                let temporary = self.file.with_extension("new");
                let mut text = mount.into_bytes();
                text.push(b'\n');
                text.extend(path.as_os_str().as_encoded_bytes());
                fs::write(&temporary, text)?;
                fs::rename(&temporary, &self.file)
            });
        if let Err(error) = written {
            self.complain("write", &error);
        }
    }

    pub(super) fn forget(&self) {
        match fs::remove_file(&self.file) {
            Err(error) if error.kind() != ErrorKind::NotFound => self.complain("remove", &error),
            _ => {}
        }
    }

    fn complain(&self, what: &str, error: &io::Error) {
        eprintln!("dvdcli: cannot {what} {}: {error}", self.file.display());
    }
}

/// Which mount the path is on, unless it is the root's: the number, device and place of the
/// deepest, and of those at one place the last.
fn mount_under(path: &Path) -> Option<String> {
    let mounts = match Process::myself().and_then(|this| this.mountinfo()) {
        Ok(mounts) => mounts,
        Err(error) => {
            eprintln!("dvdcli: cannot read the mount table: {error}");
            return None;
        }
    };
    let under = mounts.0.iter().filter(|mount| path.starts_with(&mount.mount_point));
    let mount = under.max_by_key(|mount| mount.mount_point.components().count())?;
    (mount.mount_point != Path::new("/"))
        .then(|| format!("{} {} {}", mount.mnt_id, mount.majmin, mount.mount_point.display()))
}

/// Whether the file system there is alive: a dead FUSE mount answers ENOTCONN, a hung NFS one
/// nothing.
fn answers(path: &Path) -> bool {
    let (sender, receiver) = mpsc::channel();
    let path = path.to_owned();
    // A thread that hangs ends with the process.
    thread::spawn(move || sender.send(fs::metadata(path).is_ok()));
    receiver.recv_timeout(PROBE).unwrap_or(false)
}
