//! Where a master or agent is found.

use std::fmt;
use std::str::FromStr;

use http::Uri;
use http::uri::{Authority, Scheme};

/// The base address of a master or agent: scheme, host and port.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    scheme: Scheme,
    authority: Authority,
}

/// Why a text is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not the address of a master or agent: {reason} (expected HOST:PORT or http://HOST:PORT)")]
pub struct EndpointError {
    text: String,
    reason: &'static str,
}

impl Endpoint {
    /// Reads a list such as `10.0.0.1:5050,10.0.0.2:5050`.
    ///
    /// # Errors
    /// [`EndpointError`] if one of them is none, or the list is empty.
    pub fn parse_list(text: &str) -> Result<Vec<Endpoint>, EndpointError> {
        text.split(',').map(|one| one.trim().parse()).collect()
    }

    /// The address with a path, which begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.authority)
    }

    /// Host and port.
    pub fn authority(&self) -> &str {
        self.authority.as_str()
    }

    /// Where a redirect from this address leads. Mesos gives a location without a scheme,
    /// `//host:port/path`, and the scheme of the request stays; releases before 1.0 gave the
    /// bare `host:port`. The path is not looked at: the API's paths are the same everywhere.
    pub fn redirected(&self, location: &str) -> Option<Endpoint> {
        if location.starts_with('/') && !location.starts_with("//") {
            return Some(self.clone());
        }
        if let Some((scheme, rest)) = location.split_once("://") {
            return Endpoint::of(scheme, rest);
        }
        Endpoint::of(self.scheme.as_str(), location.strip_prefix("//").unwrap_or(location))
    }

    fn of(scheme: &str, rest: &str) -> Option<Endpoint> {
        let authority = rest.split(['/', '?', '#']).next()?;
        let endpoint = Endpoint {
            scheme: scheme.parse().ok()?,
            authority: authority.parse().ok()?,
        };
        endpoint.authority.port_u16()?;
        Some(endpoint)
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let error = |reason| EndpointError {
            text: text.to_string(),
            reason,
        };
        let with_scheme = if text.contains("://") {
            text.to_string()
        } else {
            format!("http://{text}")
        };
        if with_scheme.starts_with("zk://") {
            return Err(error(
                "ZooKeeper is not asked, the masters redirect to the leader themselves",
            ));
        }
        let uri: Uri = with_scheme.parse().map_err(|_| error("it cannot be parsed"))?;
        let scheme = uri.scheme().cloned().ok_or_else(|| error("it has no scheme"))?;
        if scheme != Scheme::HTTP && scheme != Scheme::HTTPS {
            return Err(error("it is not HTTP"));
        }
        let authority = uri.authority().cloned().ok_or_else(|| error("it has no host"))?;
        if authority.port_u16().is_none() {
            return Err(error("it has no port"));
        }
        if !matches!(uri.path(), "" | "/") {
            return Err(error("it has a path"));
        }
        Ok(Endpoint { scheme, authority })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_masters_are_read() {
        let list = Endpoint::parse_list("10.0.0.1:5050, http://m2:5051/,https://[::1]:5052").unwrap();
        let texts: Vec<String> = list.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["http://10.0.0.1:5050", "http://m2:5051", "https://[::1]:5052"]);
        assert_eq!(list[1].url("/api/v1"), "http://m2:5051/api/v1");
    }

    #[test]
    fn what_is_no_address_is_told() {
        for (text, reason) in [
            ("", "cannot be parsed"),
            ("master", "no port"),
            ("zk://z1:2181/mesos", "ZooKeeper"),
            ("ftp://m:5050", "not HTTP"),
            ("m:5050/api/v1", "a path"),
        ] {
            let error = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn a_redirect_without_scheme_keeps_the_scheme() {
        let from: Endpoint = "https://m1:5050".parse().unwrap();
        for (location, to) in [
            ("//m2:5050/api/v1/scheduler", Some("https://m2:5050")),
            ("http://m2:5050/api/v1/scheduler", Some("http://m2:5050")),
            ("m2:5050", Some("https://m2:5050")),
            ("/api/v1/scheduler", Some("https://m1:5050")),
            ("//", None),
            ("//m2", None),
        ] {
            let to = to.map(|to| to.parse::<Endpoint>().unwrap());
            assert_eq!(from.redirected(location), to, "{location}");
        }
    }
}
