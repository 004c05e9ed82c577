//! Calls to the leading master.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::PATH;
use super::answer::{AgentState, FrameworkState, Tasks, VersionInfo};
use super::watch::Watch;
use crate::client::{Client, Header, StreamRequest, authorization, basic};
use crate::dial::Dial;
use crate::endpoint::Endpoint;
use crate::error::{Action, Error};
use crate::tls::Tls;
use crate::types::{AgentId, FrameworkId};

/// So many redirects are followed to find the leader.
const MAX_REDIRECTS: usize = 5;

/// How often a silent stream is looked after; only to notice that it was closed.
const STREAM_TICK: Duration = Duration::from_secs(15);

/// Calls of the operator API.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    /// Asked in turn. Not empty.
    pub(super) endpoints: Vec<Endpoint>,
    deadline: Duration,
    client: Client,
    pub(super) dial: Dial,
    pub(super) authorization: Option<String>,
}

impl Caller {
    pub(super) fn new(endpoints: Vec<Endpoint>, deadline: Duration) -> Caller {
        Caller {
            endpoints,
            deadline,
            client: Client::new(deadline, Dial::default()),
            dial: Dial::default(),
            authorization: None,
        }
    }

    pub(super) fn with_tls(self, tls: Tls) -> Caller {
        let dial = Dial {
            tls: Some(tls),
            socket: None,
        };
        Caller {
            client: Client::new(self.deadline, dial.clone()),
            dial,
            ..self
        }
    }

    pub(super) fn with_credential(self, principal: &str, secret: &str) -> Caller {
        Caller {
            authorization: Some(basic(principal, secret)),
            ..self
        }
    }

    /// Calls, and reads what lies at `path` of the answer. An absent message is an empty one.
    pub(super) fn ask<T: DeserializeOwned>(
        &self,
        kind: &str,
        content: Option<(&str, Value)>,
        path: &[&str],
    ) -> Result<T, Error> {
        let (url, body) = self.post(kind, content)?;
        let unreadable = |reason: String| Error::Unreadable {
            url: url.clone(),
            reason,
        };
        let answer: Value = serde_json::from_slice(&body).map_err(|e| unreadable(e.to_string()))?;
        let place = path.iter().fold(&answer, |value, field| &value[*field]);
        let result = if place.is_null() {
            T::deserialize(json!({}))
        } else {
            T::deserialize(place)
        };
        result.map_err(|e| unreadable(format!("{kind}: {e}")))
    }

    /// Calls the first that can be reached and is ready, and follows redirects to the leading master.
    pub(super) fn post(&self, kind: &str, content: Option<(&str, Value)>) -> Result<(String, Vec<u8>), Error> {
        let mut call = json!({"type": kind});
        if let Some((field, content)) = content {
            call[field] = content;
        }
        let body = call.to_string();
        let mut last = Error::Ended;
        for endpoint in &self.endpoints {
            match self.post_to(endpoint.clone(), &body) {
                // Nothing was done.
                Err(error) if error.action() == Action::Retry => last = error,
                other => return other,
            }
        }
        Err(last)
    }

    fn post_to(&self, mut endpoint: Endpoint, body: &str) -> Result<(String, Vec<u8>), Error> {
        let headers: Vec<Header<'_>> = authorization(self.authorization.as_deref()).collect();
        let mut redirects = 0;
        loop {
            let url = endpoint.url(PATH);
            match self.client.post(&url, &headers, body.as_bytes()) {
                Ok(answer) => return Ok((url, answer.body)),
                Err(Error::NotLeading {
                    leader: Some(leader),
                    url,
                }) if redirects < MAX_REDIRECTS => {
                    redirects += 1;
                    let unusable = || Error::NotLeading {
                        url,
                        leader: Some(leader.clone()),
                    };
                    endpoint = leader.parse().map_err(|_| unusable())?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Calls the first of the addresses, an agent's only one, for a stream of records, and reads it to its end.
    pub(super) fn stream(&self, kind: &str, (field, content): (&str, Value)) -> Result<(), Error> {
        let call = json!({"type": kind, field: content});
        let accepted = [
            ("Message-Accept", "application/json"),
            ("Accept", "application/recordio"),
        ];
        let headers: Vec<Header<'_>> = accepted
            .into_iter()
            .chain(authorization(self.authorization.as_deref()))
            .collect();
        let request = StreamRequest::new(STREAM_TICK, self.dial.clone());
        let url = self
            .endpoints
            .first()
            .map(|endpoint| endpoint.url(PATH))
            .unwrap_or_default();
        let mut stream = request.send(&url, &headers, call.to_string().as_bytes())?;
        loop {
            match stream.next() {
                Ok(_) => {}
                Err(Error::Closed { .. }) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

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
