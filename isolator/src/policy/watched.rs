//! The policy that is in force: the operator's file, read again when it changes, or the built-in
//! one.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use operator_files::Kept;
use tracing::{info, warn};

use super::Policy;

/// A policy that a person writes is smaller. A wrong path may lead to a file that never ends.
const MAX_BYTES: u64 = 1 << 20;

/// Why the agent does not start with the policy's file. Every message is one line that names the
/// file.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The file does not exist.
    #[error(
        "the policy file {} does not exist (module parameter policy); create it, or remove the parameter to use the built-in policy",
        .0.display()
    )]
    Missing(PathBuf),
    /// The thread that reads the file cannot be started.
    #[error("policy {}: its thread cannot be started: {cause}", .path.display())]
    NoThread {
        /// The file.
        path: PathBuf,
        /// The kernel's words.
        cause: io::Error,
    },
    /// The file cannot be read or understood, in the words of the thread that reads it.
    #[error("{0}")]
    NotRead(String),
}

/// The policy of the module parameter `policy`, or the built-in one. When a new version of the file
/// is broken, the last good one stays in force: a slip of the operator neither opens the agent nor
/// stops its tasks.
#[derive(Debug)]
pub(crate) enum InForce {
    /// The operator has named no file.
    Builtin(Arc<Policy>),
    /// The operator's file, of which there has been one good version at least.
    File(Kept<Policy>),
}

impl InForce {
    /// Reads the file for the first time; without one it is the built-in policy.
    ///
    /// # Errors
    /// When the file cannot be used. The agent must not start without the policy that its operator
    /// wrote.
    pub(crate) fn of(file: Option<&Path>) -> Result<Self, PolicyError> {
        let Some(path) = file else {
            return Ok(Self::Builtin(Arc::new(Policy::builtin())));
        };
        if !path.try_exists().unwrap_or(true) {
            return Err(PolicyError::Missing(path.to_owned()));
        }
        let kept = Kept::open("policy (module parameter policy)", path, MAX_BYTES, Policy::parse).map_err(|cause| {
            PolicyError::NoThread {
                path: path.to_owned(),
                cause,
            }
        })?;
        match kept.current().problem {
            Some(problem) => Err(PolicyError::NotRead(problem)),
            None => Ok(Self::File(kept)),
        }
    }

    /// Logs which policy is in force.
    pub(crate) fn announce(&self) {
        match self {
            Self::File(kept) => {
                info!(file = %kept.path().display(), rules = self.current().rules.len(), "policy read");
            }
            Self::Builtin(_) => warn!(
                "the built-in policy is in force: any task may have any volume that exists, and none is created; on a \
                 shared cluster write one (module parameter policy)"
            ),
        }
    }

    /// The policy in force. Looks at the file, and reads it when it has changed; not for a thread
    /// that must not wait for a disk.
    pub(crate) fn current(&self) -> Arc<Policy> {
        match self {
            Self::Builtin(policy) => Arc::clone(policy),
            Self::File(kept) => kept.current().value.expect("a good version was read at the start"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
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
        let problem = InForce::of(Some(&path)).unwrap_err().to_string();
        assert!(problem.contains("policy.json") && problem.contains("664"), "{problem}");
    }

    #[test]
    fn a_missing_file_and_a_folder_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("nosuch.json");
        assert_eq!(
            InForce::of(Some(&missing)).unwrap_err().to_string(),
            format!(
                "the policy file {} does not exist (module parameter policy); create it, or remove the parameter to use the \
                 built-in policy",
                missing.display()
            )
        );
        let problem = InForce::of(Some(folder.path())).unwrap_err().to_string();
        assert!(problem.contains("it is a folder"), "{problem}");
    }
}
