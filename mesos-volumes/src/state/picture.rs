//! The volumes of an agent, put together from its records and, while it runs, from its status file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use isolator::ledger::{RecordedState, RecordedVolume};
use isolator::records::{Survey, Surveyed, Unreadable, quarantined};
use isolator::status::{Status, Usage, VolumeStatus};
use isolator::{ContainerId, VolumeKey};
use jiff::Timestamp;
use serde_json::{Value, json};
use volume_labels::{Access, Lifetime};

use super::moment;
use crate::failure::Failure;

/// All there is to say.
pub(super) struct Picture {
    pub(super) state_dir: PathBuf,
    pub(super) agent: Option<Agent>,
    pub(super) volumes: Vec<Volume>,
    pub(super) unreadable: Vec<Unreadable>,
    pub(super) quarantined: usize,
    pub(super) records: Vec<Surveyed>,
    /// The audit log that the agent names in its status file, also when the agent is down.
    pub(super) audit_log: Option<PathBuf>,
}

/// The agent that has the folder.
pub(super) struct Agent {
    /// As its lock file says.
    pub(super) holder: String,
    pub(super) pid: Option<u32>,
    /// When it wrote its status; `None` when it has not yet, or is of a version that writes another
    /// one.
    pub(super) status: Option<Timestamp>,
}

/// One volume.
pub(super) struct Volume {
    pub(super) key: VolumeKey,
    /// The ledger's state while the agent runs; else what the records say.
    pub(super) state: String,
    /// Since when the agent has it in that state.
    pub(super) since: Option<Timestamp>,
    pub(super) mountpoint: Option<PathBuf>,
    pub(super) attempt: u32,
    pub(super) last_error: Option<String>,
    pub(super) last_error_code: Option<String>,
    pub(super) next_retry: Option<Timestamp>,
    pub(super) users: Vec<User>,
}

/// A container and what it has to do with a volume.
pub(super) struct User {
    pub(super) container: ContainerId,
    pub(super) does: Usage,
    /// Since when, as its record tells.
    pub(super) since: Option<Timestamp>,
    /// What its record says; a container that waits has none.
    pub(super) recorded: Option<RecordedVolume>,
}

impl Picture {
    pub(super) fn take(state_dir: &Path) -> Result<Self, Failure> {
        let survey = Survey::take(state_dir)?;
        let holder = survey.holder;
        let pid = holder.as_deref().and_then(pid_in);
        // The file of an agent that is gone, or of another one, says nothing.
        let status = Status::read(state_dir).unwrap_or(None);
        let audit_log = status.as_ref().and_then(|status| status.audit_log.clone());
        let status = status.filter(|status| pid == Some(status.pid));
        let agent = holder.map(|holder| Agent {
            holder,
            pid,
            status: status.as_ref().map(|status| status.written),
        });
        let mut volumes: BTreeMap<VolumeKey, Volume> = BTreeMap::new();
        for volume in status.into_iter().flat_map(|status| status.volumes) {
            let volume = Volume::live(volume);
            volumes.insert(volume.key.clone(), volume);
        }
        let is_live = !volumes.is_empty();
        for surveyed in &survey.records {
            for recorded in &surveyed.record.volumes {
                let key = &recorded.request.volume;
                let volume = volumes.entry(key.clone()).or_insert_with(|| Volume::new(key.clone()));
                volume.recorded(surveyed, recorded, is_live);
            }
        }
        Ok(Self {
            state_dir: state_dir.to_owned(),
            agent,
            volumes: volumes.into_values().collect(),
            unreadable: survey.unreadable,
            quarantined: quarantined(state_dir)?.len(),
            records: survey.records,
            audit_log,
        })
    }

    pub(super) fn to_json(&self, volumes: &[&Volume]) -> Value {
        json!({
            "state_dir": self.state_dir,
            "agent": self.agent.as_ref().map(|agent| json!({
                "pid": agent.pid,
                "status_written": agent.status,
            })),
            "volumes": volumes.iter().map(|volume| volume.to_json()).collect::<Vec<_>>(),
            "unreadable": self.unreadable.iter().map(|it| json!({
                "file": it.file,
                "reason": it.reason,
            })).collect::<Vec<_>>(),
            "quarantined": self.quarantined,
        })
    }

    /// What people read before and after a table.
    pub(super) fn heading(&self) -> String {
        match &self.agent {
            Some(Agent {
                holder,
                status: Some(written),
                ..
            }) => format!("agent: {holder}, as of {written}\n"),
            Some(Agent { holder, .. }) => {
                format!(
                    "agent: {holder}, which has written no status that can be read; states are those of its records\n"
                )
            }
            None => "agent: not running; states are those of its records\n".to_owned(),
        }
    }
}

impl Volume {
    fn new(key: VolumeKey) -> Self {
        Self {
            key,
            state: String::new(),
            since: None,
            mountpoint: None,
            attempt: 0,
            last_error: None,
            last_error_code: None,
            next_retry: None,
            users: Vec::new(),
        }
    }

    fn live(status: VolumeStatus) -> Self {
        let users = status.users.into_iter().map(|user| User {
            container: user.container,
            does: user.does,
            since: None,
            recorded: None,
        });
        Self {
            key: VolumeKey::new(status.driver, status.name),
            state: status.state,
            since: Some(status.since),
            mountpoint: status.mountpoint,
            attempt: status.attempt,
            last_error: status.last_error,
            last_error_code: status.last_error_code,
            next_retry: status.next_retry,
            users: users.collect(),
        }
    }

    fn recorded(&mut self, surveyed: &Surveyed, recorded: &RecordedVolume, is_live: bool) {
        let record = &surveyed.record;
        let state = match &recorded.state {
            _ if surveyed.rebooted => "uncertain",
            RecordedState::Mounting => "mounting",
            RecordedState::Mounted(_) => "mounted",
            RecordedState::Unmounting(_) => "unmounting",
        };
        if self.since.is_none() {
            // What one record saw mounted is mounted, whatever others wait for.
            if self.state.is_empty() || state == "mounted" {
                state.clone_into(&mut self.state);
            }
            self.mountpoint = self
                .mountpoint
                .take()
                .or_else(|| Some(recorded.state.mountpoint()?.path.clone()));
        }
        let since = moment(surveyed.written);
        let known = self.users.iter_mut().find(|user| user.container == record.container);
        match known {
            Some(user) => {
                user.since = since;
                user.recorded = Some(recorded.clone());
            }
            // A volume that is settled for this container although its record still names it.
            None if is_live && self.since.is_some() && record.released => {}
            None => self.users.push(User {
                container: record.container.clone(),
                does: match &recorded.state {
                    _ if record.released => Usage::Leaving,
                    RecordedState::Mounted(_) => Usage::Holds,
                    _ => Usage::Preparing,
                },
                since,
                recorded: Some(recorded.clone()),
            }),
        }
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "driver": self.key.driver,
            "name": self.key.name,
            "state": self.state,
            "since": self.since,
            "mountpoint": self.mountpoint,
            "attempt": self.attempt,
            "last_error": self.last_error,
            "last_error_code": self.last_error_code,
            "next_retry": self.next_retry,
            "users": self.users.iter().map(User::to_json).collect::<Vec<_>>(),
        })
    }
}

impl User {
    fn to_json(&self) -> Value {
        let request = self.recorded.as_ref().map(|recorded| &recorded.request);
        json!({
            "container": self.container.to_string(),
            "does": self.does.as_str(),
            "since": self.since,
            "slot": request.map(|request| request.origin.recorded()),
            "target": request.map(|request| &request.target),
            "mode": self.mode(),
            "access": self.access(),
            "lifetime": self.lifetime().map(|lifetime| lifetime.to_string()),
        })
    }

    pub(super) fn mode(&self) -> Option<&'static str> {
        let recorded = self.recorded.as_ref()?;
        Some(if recorded.request.read_only { "ro" } else { "rw" })
    }

    pub(super) fn lifetime(&self) -> Option<Lifetime> {
        Some(self.recorded.as_ref()?.request.spec.lifetime)
    }

    pub(super) fn access(&self) -> Option<&'static str> {
        let recorded = self.recorded.as_ref()?;
        Some(match recorded.request.access {
            Access::Shared => "shared",
            Access::Exclusive => "exclusive",
        })
    }
}

fn pid_in(holder: &str) -> Option<u32> {
    holder.strip_prefix("process ")?.parse().ok()
}
