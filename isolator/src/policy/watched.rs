//! The policy that is in force: the operator's file, reread when it changes, or the built-in one.

use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{Mode, OFlags};
use tracing::{error, info, warn};

use super::Policy;

/// Nobody writes a policy of this size by hand; a wrong path may lead to one.
const MAX_BYTES: u64 = 1 << 20;

/// The module parameter `policy`, or what holds without it. A broken new file keeps the last good policy in force: an
/// operator's slip neither opens the agent nor stops its tasks.
#[derive(Debug)]
pub(crate) struct InForce {
    file: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    policy: Arc<Policy>,
    /// What the file looked like when it was last read, well or not.
    seen: Option<Stamp>,
}

/// Changes when the file does: replaced, rewritten, or touched by chmod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    place: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            place: (metadata.dev(), metadata.ino()),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl InForce {
    /// Reads the file for the first time; without one it is the built-in policy.
    ///
    /// # Errors
    /// One line that names the file; the agent should not start without the policy its operator wrote.
    pub(crate) fn of(file: Option<&Path>) -> Result<Self, String> {
        let (policy, seen) = match file {
            Some(path) => {
                let seen = stamp(path);
                (read(path)?, seen)
            }
            None => (Policy::builtin(), None),
        };
        Ok(Self {
            file: file.map(Path::to_owned),
            state: Mutex::new(State {
                policy: Arc::new(policy),
                seen,
            }),
        })
    }

    /// Tells the log which it is.
    pub(crate) fn announce(&self) {
        match &self.file {
            Some(path) => info!(file = %path.display(), rules = self.current().rules.len(), "policy read"),
            None => warn!(
                "the built-in policy is in force: any task may have any volume that exists, and none is created; on a \
                 shared cluster write one (module parameter policy)"
            ),
        }
    }

    /// The policy in force. Looks at the file, and reads it when it has changed; not for a thread that must not wait for a
    /// disk.
    pub(crate) fn current(&self) -> Arc<Policy> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(path) = &self.file else {
            return Arc::clone(&state.policy);
        };
        // Before it is read: a change meanwhile shows at the next look.
        let now = stamp(path);
        if now != state.seen {
            state.seen = now;
            match read(path) {
                Ok(policy) => {
                    info!(file = %path.display(), rules = policy.rules.len(), "policy reread");
                    state.policy = Arc::new(policy);
                }
                Err(problem) => error!(
                    problem,
                    "the policy file has changed and cannot be used; the one before stays in force"
                ),
            }
        }
        Arc::clone(&state.policy)
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    fs::metadata(path).ok().map(|metadata| Stamp::of(&metadata))
}

fn read(path: &Path) -> Result<Policy, String> {
    load(path).map_err(|problem| format!("policy {} (module parameter policy): {problem}", path.display()))
}

fn load(path: &Path) -> Result<Policy, String> {
    // A FIFO in its place must not hold the thread.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| error.to_string())?;
    let file = File::from(file);
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(format!(
            "its mode {:o} lets others than its owner write to it: chmod go-w it",
            metadata.mode() & 0o7777
        ));
    }
    let mut text = String::new();
    file.take(MAX_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|error| error.to_string())?;
    if text.len() as u64 > MAX_BYTES {
        return Err(format!("it has more than {MAX_BYTES} bytes"));
    }
    Policy::parse(&text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const OPEN: &str = r#"{"version": 1, "default": "allow"}"#;
    const SHUT: &str = r#"{"version": 1, "default": "deny", "rules": []}"#;

    fn replace(path: &Path, text: &str) {
        let new = path.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, path).unwrap();
    }

    #[test]
    fn a_changed_file_is_in_force_at_once_and_a_broken_one_never() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.json");
        fs::write(&path, OPEN).unwrap();
        let file = InForce::of(Some(&path)).unwrap();
        let open = Policy::parse(OPEN).unwrap();
        let shut = Policy::parse(SHUT).unwrap();
        assert_eq!(*file.current(), open);
        replace(&path, SHUT);
        assert_eq!(*file.current(), shut);
        replace(&path, "{");
        assert_eq!(*file.current(), shut);
        fs::remove_file(&path).unwrap();
        assert_eq!(*file.current(), shut);
        replace(&path, OPEN);
        assert_eq!(*file.current(), open);
    }

    #[test]
    fn a_file_that_others_can_write_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.json");
        fs::write(&path, OPEN).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o664)).unwrap();
        let problem = InForce::of(Some(&path)).unwrap_err();
        assert!(problem.contains("policy.json") && problem.contains("664"), "{problem}");
    }

    #[test]
    fn a_missing_file_and_a_folder_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("nosuch.json");
        assert!(InForce::of(Some(&missing)).unwrap_err().contains("nosuch.json"));
        assert!(InForce::of(Some(folder.path())).unwrap_err().contains("regular file"));
    }
}
