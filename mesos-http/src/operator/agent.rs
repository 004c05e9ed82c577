//! Calls to an agent.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::answer::{Containers, FilePart, VersionInfo};
use super::caller::Caller;
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::tls::Tls;

/// An agent's operator API.
#[derive(Debug, Clone)]
pub struct Agent {
    pub(super) caller: Caller,
}

impl Agent {
    /// The agent at this address; every call has to be answered within `deadline`.
    pub fn new(endpoint: Endpoint, deadline: Duration) -> Agent {
        Agent {
            caller: Caller::new(vec![endpoint], deadline),
        }
    }

    /// With these settings for `https://`, instead of the authorities this host trusts.
    #[must_use]
    pub fn with_tls(self, tls: Tls) -> Agent {
        Agent {
            caller: self.caller.with_tls(tls),
        }
    }

    /// With principal and secret for HTTP basic authentication.
    #[must_use]
    pub fn with_credential(self, principal: &str, secret: &str) -> Agent {
        Agent {
            caller: self.caller.with_credential(principal, secret),
        }
    }

    /// GET_HEALTH.
    ///
    /// # Errors
    /// When there is no answer, or none that can be read.
    pub fn is_healthy(&self) -> Result<bool, Error> {
        self.caller.ask("GET_HEALTH", None, &["get_health", "healthy"])
    }

    /// GET_VERSION.
    ///
    /// # Errors
    /// When there is no answer, or none that can be read.
    pub fn version(&self) -> Result<VersionInfo, Error> {
        self.caller.ask("GET_VERSION", None, &["get_version", "version_info"])
    }

    /// GET_FLAGS: the flags it runs with, those left at their defaults included.
    ///
    /// # Errors
    /// When there is no answer, or none that can be read.
    pub fn flags(&self) -> Result<BTreeMap<String, String>, Error> {
        #[derive(Deserialize)]
        struct Flag {
            name: String,
            #[serde(default)]
            value: String,
        }
        let flags: Vec<Flag> = self.caller.ask("GET_FLAGS", None, &["get_flags", "flags"])?;
        Ok(flags.into_iter().map(|flag| (flag.name, flag.value)).collect())
    }

    /// READ_FILE: a part of a file in a sandbox or of the agent's log.
    ///
    /// `path` is a path of the agent's files API, such as
    /// `/frameworks/ID/executors/ID/runs/latest/stderr` (Mesos 1.5 and newer). A part that begins
    /// behind the end of the file is empty.
    ///
    /// # Errors
    /// When there is no answer, or none that can be read: the agent has no such file, or wants a
    /// credential.
    pub fn read_file(&self, path: &str, offset: u64, length: u64) -> Result<FilePart, Error> {
        let call = json!({"path": path, "offset": offset, "length": length});
        self.caller.ask("READ_FILE", Some(("read_file", call)), &["read_file"])
    }

    /// GET_CONTAINERS, nested and standalone ones included.
    ///
    /// # Errors
    /// When there is no answer, or none that can be read.
    pub fn containers(&self) -> Result<Containers, Error> {
        let content = json!({"show_nested": true, "show_standalone": true});
        self.caller
            .ask("GET_CONTAINERS", Some(("get_containers", content)), &["get_containers"])
    }
}
