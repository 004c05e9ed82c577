//! The few questions the testbed asks masters and agents.

use std::time::Duration;

use serde_json::Value;

use crate::error::ClusterError;

/// The JSON at `url`.
pub(crate) fn get(url: &str) -> Result<Value, ClusterError> {
    answer(url, agent().get(url).call())
}

/// The JSON that comes back for the JSON `body`.
pub(crate) fn post(url: &str, body: &Value) -> Result<Value, ClusterError> {
    let request = agent()
        .post(url)
        .header("Content-Type", "application/json")
        .header("Accept", "application/json");
    answer(url, request.send(body.to_string()))
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(10)))
        .http_status_as_error(false)
        .proxy(None)
        .build()
        .into()
}

fn answer(url: &str, response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Value, ClusterError> {
    let failed = |said: String| ClusterError::Http {
        url: url.to_owned(),
        said,
    };
    let mut response = response.map_err(|error| failed(error.to_string()))?;
    let status = response.status();
    let text = response
        .body_mut()
        .read_to_string()
        .map_err(|error| failed(error.to_string()))?;
    if !status.is_success() {
        return Err(failed(format!("{status}: {}", text.trim())));
    }
    if text.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(&text).map_err(|error| failed(format!("not JSON: {error}")))
}
