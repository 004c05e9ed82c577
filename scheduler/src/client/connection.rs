//! One request to the scheduler's API.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use http_transport::{Connection, Limits, Method, Request, Route};
use serde_json::Value;

use crate::{FAILED, Failure, REFUSED, TlsArgs, print, usage};

/// Longest time that a response may take: reading the log of a task asks the task's agent, too.
const DEADLINE: Duration = Duration::from_secs(60);
/// Largest response that is read, in bytes.
const MAX_RESPONSE: usize = 256 << 20;
/// Largest token file that is read, in bytes.
const MAX_TOKEN: u64 = 64 << 10;

/// Where the scheduler is, and how it knows us.
#[derive(Args, Clone)]
pub(crate) struct ConnectionArgs {
    /// The address of `scheduler serve`; `https://` for TLS
    #[arg(
        long,
        value_name = "URL",
        env = "SCHEDULER_URL",
        default_value = "http://127.0.0.1:8180"
    )]
    url: String,
    /// A file with the token that the scheduler wants (its --token-file)
    #[arg(long, value_name = "FILE", env = "SCHEDULER_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    #[command(flatten)]
    tls: TlsArgs,
    /// Print the response as JSON
    #[arg(long)]
    json: bool,
}

impl ConnectionArgs {
    /// Asks, and prints the response: as JSON with `--json`, otherwise as `shown` makes it.
    pub(super) fn show(&self, path: &str, shown: impl FnOnce(&Value) -> String) -> Result<(), Failure> {
        let response = self.get(path)?;
        match self.json {
            true => print(&(foreign_text::json(&format!("{response:#}")) + "\n")),
            false => print(&shown(&response)),
        }
    }

    /// `GET path`.
    pub(super) fn get(&self, path: &str) -> Result<Value, Failure> {
        Ok(parsed(&self.request(Method::Get, path, None)?))
    }

    /// A request that changes something, and then what it did as one line, or with `--json` as JSON.
    pub(super) fn change(
        &self,
        method: Method,
        path: &str,
        body: Option<&[u8]>,
        line: impl FnOnce(&Value) -> String,
    ) -> Result<(), Failure> {
        let response = parsed(&self.request(method, path, body)?);
        match (self.json, &response) {
            (true, Value::Null) => Ok(()),
            (true, response) => print(&(foreign_text::json(&format!("{response:#}")) + "\n")),
            (false, response) => print(&(line(response) + "\n")),
        }
    }

    /// The body of the response.
    ///
    /// # Errors
    /// Exit code 1 when the scheduler refuses the request, 3 when it cannot be reached or does not
    /// let the client in, 2 for wrong files and addresses.
    pub(super) fn request(&self, method: Method, path: &str, body: Option<&[u8]>) -> Result<String, Failure> {
        let url = format!("{}{path}", self.url.trim_end_matches('/'));
        let authorization = self.token()?.map(|token| format!("Bearer {token}"));
        let headers: Vec<_> = authorization
            .iter()
            .map(|value| ("authorization", value.as_str()))
            .collect();
        let request = Request {
            method,
            url: &url,
            headers: &headers,
            body: body.unwrap_or_default(),
        };
        let route = Route {
            tls: self.tls.load()?,
            ..Route::default()
        };
        let mut connection = Connection::new(&route, concat!("scheduler/", env!("CARGO_PKG_VERSION")));
        let response = connection.send(&request, &Limits::within(DEADLINE));
        let response = response
            .and_then(|response| response.complete(MAX_RESPONSE))
            .map_err(|failure| {
                let error = format!(
                    "no response from the scheduler at {}: {failure}; give the address of 'scheduler serve' with --url",
                    self.url
                );
                Failure(error, REFUSED)
            })?;
        let (status, body) = (response.status, String::from_utf8_lossy(&response.body).into_owned());
        match status {
            200..=299 => Ok(body),
            300..=399 | 401 => Err(Failure(
                format!("the scheduler at {} wants a token: give --token-file", self.url),
                REFUSED,
            )),
            403 | 421 => Err(Failure(reason(&body, status), REFUSED)),
            _ => Err(Failure(reason(&body, status), FAILED)),
        }
    }

    /// Whether JSON is to be printed.
    pub(super) fn json(&self) -> bool {
        self.json
    }

    fn token(&self) -> Result<Option<String>, Failure> {
        let Some(path) = &self.token_file else { return Ok(None) };
        let token = operator_files::read_secret(path, MAX_TOKEN)
            .map_err(|error| usage(format!("cannot read the token {error}")))?;
        Ok(Some(token.trim().to_owned()))
    }
}

/// What the scheduler said why it refused a request.
fn reason(body: &str, status: u16) -> String {
    match parsed(body)["error"].as_str() {
        Some(error) => error.to_owned(),
        None => format!(
            "the scheduler answered with status {status}: {}",
            foreign_text::escaped(body.trim())
        ),
    }
}

/// The JSON of a body; `null` for an empty one and for one that is not JSON.
fn parsed(body: &str) -> Value {
    serde_json::from_str(body).unwrap_or(Value::Null)
}

/// A name as one segment of a path: what is no letter, digit, `-`, `.`, `_` or `~` is percent-encoded
/// (RFC 3986, section 2.3).
pub(super) fn segment(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out += &format!("%{byte:02X}"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_segment_of_a_path_whatever_is_in_it() {
        assert_eq!(segment("nightly.12"), "nightly.12");
        assert_eq!(segment("../v1/jobs?x#y z"), "..%2Fv1%2Fjobs%3Fx%23y%20z");
    }
}
