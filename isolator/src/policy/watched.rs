//! The policy that is in force: the operator's file, read again when it changes, or the built-in one.

use std::path::Path;
use std::sync::Arc;

use operator_files::Kept;
use tracing::{info, warn};

use super::Policy;

/// Nobody writes a policy of this size by hand; a wrong path may lead to a file that has it.
const MAX_BYTES: u64 = 1 << 20;

/// The module parameter `policy`, or what holds without it. A broken new file keeps the last good policy in force: an
/// operator's slip neither opens the agent nor stops its tasks.
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
    /// One line that names the file; the agent should not start without the policy its operator wrote.
    pub(crate) fn of(file: Option<&Path>) -> Result<Self, String> {
        let Some(path) = file else {
            return Ok(Self::Builtin(Arc::new(Policy::builtin())));
        };
        if !path.try_exists().unwrap_or(true) {
            return Err(format!(
                "the policy file {} does not exist (module parameter policy); create it, or remove the parameter to use the \
                 built-in policy",
                path.display()
            ));
        }
        let kept = Kept::open("policy (module parameter policy)", path, MAX_BYTES, Policy::parse)
            .map_err(|error| format!("policy {}: its thread cannot be started: {error}", path.display()))?;
        match kept.current().problem {
            Some(problem) => Err(problem),
            None => Ok(Self::File(kept)),
        }
    }

    /// Tells the log which it is.
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

    /// The policy in force. Looks at the file, and reads it when it has changed; not for a thread that must not wait for a
    /// disk.
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
        let problem = InForce::of(Some(&path)).unwrap_err();
        assert!(problem.contains("policy.json") && problem.contains("664"), "{problem}");
    }

    #[test]
    fn a_missing_file_and_a_folder_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("nosuch.json");
        assert_eq!(
            InForce::of(Some(&missing)).unwrap_err(),
            format!(
                "the policy file {} does not exist (module parameter policy); create it, or remove the parameter to use the \
                 built-in policy",
                missing.display()
            )
        );
        assert!(InForce::of(Some(folder.path())).unwrap_err().contains("it is a folder"));
    }
}
