//! Calls to the leading master.

use std::time::Duration;

use serde_json::{Value, json};

use super::answer::{AgentState, FrameworkState, Tasks, VersionInfo};
use super::caller::Caller;
use super::watch::Watch;
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::tls::Tls;
use crate::types::{AgentId, FrameworkId};

/// The leading master's operator API. Any master may be named: a redirect is followed.
#[derive(Debug, Clone)]
pub struct Master {
    caller: Caller,
}

impl Master {
    /// The master at this address; every call has to be answered within `deadline`.
    pub fn new(endpoint: Endpoint, deadline: Duration) -> Master {
        Master {
            caller: Caller::new(vec![endpoint], deadline),
        }
    }

    /// One of these masters, asked in turn until one leads or names the leader; every call has to be answered by each within
    /// `deadline`.
    ///
    /// # Panics
    /// When there is none.
    pub fn any_of(endpoints: Vec<Endpoint>, deadline: Duration) -> Master {
        assert!(!endpoints.is_empty(), "an operator needs a master to ask");
        Master {
            caller: Caller::new(endpoints, deadline),
        }
    }

    /// Any call of the operator API, by the name of its type (`GET_FLAGS`, `UPDATE_MAINTENANCE_SCHEDULE`), with what stands
    /// in the field of that name, if anything. Gives the answer's JSON, or `null` for an empty one.
    ///
    /// # Errors
    /// When there is no answer, none that can be read, or the master does not accept the call.
    pub fn call(&self, kind: &str, content: Option<Value>) -> Result<Value, Error> {
        let field = kind.to_ascii_lowercase();
        let (url, body) = self
            .caller
            .post(kind, content.map(|content| (field.as_str(), content)))?;
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body).map_err(|error| Error::Unreadable {
            url,
            reason: format!("{kind}: {error}"),
        })
    }

    /// With these settings for `https://`, instead of the authorities this host trusts.
    #[must_use]
    pub fn with_tls(self, tls: Tls) -> Master {
        Master {
            caller: self.caller.with_tls(tls),
        }
    }

    /// With principal and secret for HTTP basic authentication.
    #[must_use]
    pub fn with_credential(self, principal: &str, secret: &str) -> Master {
        Master {
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

    /// GET_AGENTS: the agents that are registered.
    ///
    /// # Errors
    /// When there is no answer, or none that can be read.
    pub fn agents(&self) -> Result<Vec<AgentState>, Error> {
        #[derive(serde::Deserialize)]
        struct Agents {
            #[serde(default)]
            agents: Vec<AgentState>,
        }
        self.caller
            .ask("GET_AGENTS", None, &["get_agents"])
            .map(|answer: Agents| answer.agents)
    }

    /// GET_FRAMEWORKS: the frameworks that have not ended.
    ///
    /// # Errors
    /// When there is no answer, or none that can be read.
    pub fn frameworks(&self) -> Result<Vec<FrameworkState>, Error> {
        #[derive(serde::Deserialize)]
        struct Frameworks {
            #[serde(default)]
            frameworks: Vec<FrameworkState>,
        }
        let answer: Result<Frameworks, Error> = self.caller.ask("GET_FRAMEWORKS", None, &["get_frameworks"]);
        answer.map(|answer| answer.frameworks)
    }

    /// GET_TASKS.
    ///
    /// # Errors
    /// When there is no answer, or none that can be read.
    pub fn tasks(&self) -> Result<Tasks, Error> {
        self.caller.ask("GET_TASKS", None, &["get_tasks"])
    }

    /// MARK_AGENT_GONE: says that the agent's machine is gone and nothing of it runs any more. Its
    /// tasks become TASK_GONE_BY_OPERATOR, and the agent can never register again. To say it of a
    /// machine that still runs means two writers on one volume.
    ///
    /// # Errors
    /// When there is no answer, or the master does not accept it.
    pub fn mark_agent_gone(&self, agent_id: &AgentId) -> Result<(), Error> {
        let content = ("mark_agent_gone", json!({"agent_id": agent_id}));
        self.caller.post("MARK_AGENT_GONE", Some(content)).map(|_| ())
    }

    /// TEARDOWN: ends a framework and kills all its tasks.
    ///
    /// # Errors
    /// When there is no answer, or the master does not accept it.
    pub fn teardown(&self, framework_id: &FrameworkId) -> Result<(), Error> {
        let content = ("teardown", json!({"framework_id": framework_id}));
        self.caller.post("TEARDOWN", Some(content)).map(|_| ())
    }

    /// SUBSCRIBE: the state of the cluster and then every change to it.
    pub fn watch(&self) -> Watch {
        Watch::open(self.caller.clone())
    }
}
