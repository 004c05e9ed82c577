//! `status.json` in the state folder: what the agent knows about its volumes, for people and
//! programs.
//!
//! The agent writes it at most once a second, when something changed. It is replaced whole, so a
//! reader sees one moment; it is not fsynced, since after a crash of the host it is worth nothing.
//! It says nothing that the agent itself relies on: [`crate::records`] does that. The file is
//! current as long as an agent holds the lock of the state folder.

mod keeper;

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ledger::{VolumeOverview, VolumeState};
use crate::types::ContainerId;

pub use crate::ledger::Usage;
pub(crate) use keeper::{Keeper, StatusChanges};

/// The version this build writes and reads.
const VERSION: u32 = 1;

/// The volumes of an agent at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Status {
    /// The version of this layout.
    #[cfg_attr(test, schemars(extend("const" = 1)))]
    pub version: u32,
    /// The agent's process.
    pub pid: u32,
    /// The kernel's boot id.
    pub boot_id: String,
    /// When the module was loaded.
    #[cfg_attr(test, schemars(with = "String", extend("format" = "date-time")))]
    pub started: Timestamp,
    /// The moment.
    #[cfg_attr(test, schemars(with = "String", extend("format" = "date-time")))]
    pub written: Timestamp,
    /// The file of the module's parameter `audit_log`, when it is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub audit_log: Option<PathBuf>,
    /// Every volume that is mounted, may be, or is wanted.
    pub volumes: Vec<VolumeStatus>,
}

/// One volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct VolumeStatus {
    /// The driver's name.
    pub driver: String,
    /// The volume's name, as the driver spells it.
    pub name: String,
    /// `absent`, `creating`, `elsewhere`, `mounting`, `mounted`, `uncertain`, `unmounting`,
    /// `stuck`, `unremoved` or `removing`.
    pub state: String,
    /// Since when it is in that state, to the second; of a stuck or unremoved one since its first
    /// failure.
    #[cfg_attr(test, schemars(with = "String", extend("format" = "date-time")))]
    pub since: Timestamp,
    /// Where it is mounted, or was when last heard of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub mountpoint: Option<PathBuf>,
    /// How often the step it is at was tried.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempt: u32,
    /// What went wrong last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// The error code of that: one of those of `docs/error-codes.md`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error_code: Option<String>,
    /// When it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>", extend("format" = "date-time")))]
    pub next_retry: Option<Timestamp>,
    /// The containers it matters to.
    pub users: Vec<UserStatus>,
}

/// A container and what it has to do with a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct UserStatus {
    /// The container's id with its parents, outermost first.
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    pub container: ContainerId,
    /// What it has to do with it.
    pub does: Usage,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(attempt: &u32) -> bool {
    *attempt == 0
}

impl Status {
    /// Where it is.
    pub fn path(state_dir: &Path) -> PathBuf {
        state_dir.join("status.json")
    }

    /// What the agent wrote last; `None` when it never did, or when that is of another version.
    ///
    /// # Errors
    /// When the file cannot be read, or is no status.
    pub fn read(state_dir: &Path) -> io::Result<Option<Self>> {
        #[derive(Deserialize)]
        struct Any {
            version: u32,
        }
        let bytes = match std::fs::read(Self::path(state_dir)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read?,
        };
        let Any { version } = serde_json::from_slice(&bytes)?;
        if version != VERSION {
            return Ok(None);
        }
        Ok(Some(serde_json::from_slice(&bytes)?))
    }
}

impl VolumeStatus {
    /// An Unmount has failed and is tried again, now or later.
    fn retries_unmount(&self) -> bool {
        self.state == "stuck" || self.state == "unmounting" && self.attempt > 1
    }

    /// A Remove has failed and is tried again, now or later.
    fn retries_remove(&self) -> bool {
        self.state == "unremoved" && self.attempt > 0 || self.state == "removing" && self.attempt > 1
    }

    fn new(seen: &VolumeOverview<'_>, now: Timestamp) -> Self {
        let retried = match seen.state {
            VolumeState::AttachedElsewhere | VolumeState::Stuck => true,
            VolumeState::Unremoved => seen.attempt > 0,
            _ => false,
        };
        Self {
            driver: seen.volume.driver.clone(),
            name: seen.volume.name.clone(),
            state: seen.state.to_string(),
            since: now,
            mountpoint: seen.mountpoint.map(Path::to_owned),
            attempt: seen.attempt,
            last_error: seen.problem.map(ToString::to_string),
            last_error_code: seen.problem.map(|problem| problem.code.to_string()),
            // The moment itself is looked up by the keeper.
            next_retry: retried.then_some(now),
            users: seen
                .users
                .iter()
                .map(|(container, usage)| UserStatus {
                    container: (*container).clone(),
                    does: *usage,
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    #[test]
    fn the_published_schema_is_that_of_the_code() {
        let mut schema = serde_json::to_value(schemars::schema_for!(Status)).unwrap();
        schema["$id"] = json!("status.schema.json");
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        let published = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/status.schema.json");
        if std::env::var_os("UPDATE_SCHEMAS").is_some() {
            fs::write(published, &text).unwrap();
        }
        assert_eq!(
            fs::read_to_string(published).unwrap_or_default(),
            text,
            "{published} is stale: UPDATE_SCHEMAS=1 cargo test -p isolator --lib schema"
        );
    }

    #[test]
    fn a_status_of_another_version_is_no_status() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Status::read(folder.path()).unwrap(), None);
        fs::write(Status::path(folder.path()), r#"{"version": 2, "volumes": {}}"#).unwrap();
        assert_eq!(Status::read(folder.path()).unwrap(), None);
        fs::write(Status::path(folder.path()), "{").unwrap();
        assert!(Status::read(folder.path()).is_err());
    }
}
