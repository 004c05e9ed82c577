//! How calls of the operator API reach a master or an agent.

use std::time::Duration;

use http_transport::Route;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::PATH;
use crate::client::{Client, Header, StreamRequest, authorization, basic};
use crate::endpoint::Endpoint;
use crate::error::{Action, Error};
use crate::tls::Tls;

/// How many redirects are followed to find the leader.
const MAX_REDIRECTS: usize = 5;

/// How often a read of a silent stream returns, so that a stream that was closed is noticed.
const STREAM_TICK: Duration = Duration::from_secs(15);

/// Sends calls of the operator API, and follows redirects to the leader.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    /// Where calls are sent, in turn. Not empty.
    pub(super) endpoints: Vec<Endpoint>,
    deadline: Duration,
    client: Client,
    pub(super) route: Route,
    /// The value of the `Authorization` header.
    pub(super) authorization: Option<String>,
}

impl Caller {
    pub(super) fn new(endpoints: Vec<Endpoint>, deadline: Duration) -> Caller {
        Caller {
            endpoints,
            deadline,
            client: Client::new(deadline, Route::default()),
            route: Route::default(),
            authorization: None,
        }
    }

    pub(super) fn with_tls(self, tls: Tls) -> Caller {
        let route = Route {
            tls: Some(tls),
            ..Route::default()
        };
        Caller {
            client: Client::new(self.deadline, route.clone()),
            route,
            ..self
        }
    }

    pub(super) fn with_credential(self, principal: &str, secret: &str) -> Caller {
        Caller {
            authorization: Some(basic(principal, secret)),
            ..self
        }
    }

    /// Calls, and reads what lies at `path` of the response. A missing message counts as an empty
    /// one.
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
        let response: Value = serde_json::from_slice(&body).map_err(|e| unreadable(e.to_string()))?;
        let place = path.iter().fold(&response, |value, field| &value[*field]);
        let result = if place.is_null() {
            T::deserialize(json!({}))
        } else {
            T::deserialize(place)
        };
        result.map_err(|e| unreadable(format!("{kind}: {e}")))
    }

    /// Calls the first that can be reached and is ready, and follows redirects to the leading
    /// master.
    pub(super) fn post(&self, kind: &str, content: Option<(&str, Value)>) -> Result<(String, Vec<u8>), Error> {
        let mut call = json!({"type": kind});
        if let Some((field, content)) = content {
            call[field] = content;
        }
        let body = call.to_string();
        let mut last = Error::Ended;
        for endpoint in &self.endpoints {
            match self.post_to(endpoint.clone(), &body) {
                // Nothing was carried out, so the next address may be tried.
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
                Ok(response) => return Ok((url, response.body)),
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

    /// Calls the first of the addresses, an agent's only one, for a stream of records, and reads it
    /// to its end.
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
        let request = StreamRequest::new(STREAM_TICK, &self.route);
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
