//! The few requests that the testbed sends to masters and agents.

use std::time::Duration;

use http_transport::{Client, Failure, Limits, Method, Request, Reuse, Route};
use serde_json::Value;

use crate::error::ClusterError;

/// How long a request may take.
const LIMIT: Duration = Duration::from_secs(10);
/// Longest response, in bytes: the state of a master with thousands of tasks has several million.
const RESPONSE_LIMIT: usize = 256 << 20;

/// The JSON at `url`.
pub(crate) fn get(url: &str) -> Result<Value, ClusterError> {
    send(Request {
        method: Method::Get,
        url,
        headers: &[],
        body: &[],
    })
}

/// The JSON that comes back for the JSON `body`.
pub(crate) fn post(url: &str, body: &Value) -> Result<Value, ClusterError> {
    send(Request {
        method: Method::Post,
        url,
        headers: &[("Content-Type", "application/json"), ("Accept", "application/json")],
        body: body.to_string().as_bytes(),
    })
}

fn send(request: Request<'_>) -> Result<Value, ClusterError> {
    let failed = |said: String| ClusterError::Http {
        url: request.url.to_owned(),
        said,
    };
    let client = Client::new(Route::default(), "testbed");
    let response = client
        .call(&request, &Limits::within(LIMIT), RESPONSE_LIMIT, Reuse::Never)
        .map_err(|failure: Failure| failed(failure.to_string()))?;
    if !response.is_success() {
        let text = String::from_utf8_lossy(&response.body);
        return Err(failed(format!("{}: {}", response.status, text.trim())));
    }
    if response.body.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&response.body).map_err(|error| failed(format!("not JSON: {error}")))
}
