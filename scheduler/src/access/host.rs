//! The host names a service answers to.
//!
//! A browser lets the page of `http://evil.example:8180` read every answer of
//! `http://evil.example:8180`, and the owner of that name may have it lead to another address at
//! any time, for instance to this one. The request still names `evil.example` as its host, and that
//! is how it is recognised.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use axum::extract::Request;
use axum::http::header;
use axum::http::uri::Authority;
use thiserror::Error;
use volume_labels::cleaned;

/// The longest part of a refused name that is repeated, in characters.
const SHOWN: usize = 100;

/// Why a request is not for this service.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HostError {
    /// It does not say what host it is for, or says so several times.
    #[error("the request has no Host header, or several")]
    Missing,
    /// It is for a host that this service is not.
    #[error(
        "this scheduler does not answer to the host name '{0}'; when that is its own name, its operator gives \
         --allow-host {0}"
    )]
    Foreign(String),
    /// A name that is given to be answered to is none.
    #[error(
        "'{0}' is no host name; accepted is a name or an IP address, with or without a port, such as scheduler.example.org"
    )]
    NoName(String),
}

/// Names and addresses. Ports are not looked at: a tunnel or a container's port mapping changes them.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    names: BTreeSet<String>,
    addresses: BTreeSet<IpAddr>,
}

impl Hosts {
    /// `localhost`, the loopback addresses and the address that is listened on. Where that is every address of the host,
    /// it is for each connection the one that it came to.
    pub fn listening_on(address: SocketAddr) -> Self {
        Self {
            names: BTreeSet::from(["localhost".to_owned()]),
            addresses: BTreeSet::from([address.ip().to_canonical()]),
        }
    }

    /// Answers to one more name or address, with or without a port.
    ///
    /// # Errors
    /// [`HostError::NoName`].
    pub fn allow(&mut self, host: &str) -> Result<(), HostError> {
        let no_name = || HostError::NoName(shown(host));
        if let Ok(address) = host.parse::<IpAddr>() {
            self.addresses.insert(address.to_canonical());
            return Ok(());
        }
        let authority = parsed(host).ok_or_else(no_name)?;
        match address_in(&authority) {
            Some(address) => self.addresses.insert(address),
            None => self.names.insert(authority.host().to_ascii_lowercase()),
        };
        Ok(())
    }

    /// Whether a request is for this service; `local` is the address that its connection came to.
    ///
    /// # Errors
    /// [`HostError::Missing`] and [`HostError::Foreign`].
    pub fn check(&self, request: &Request, local: Option<IpAddr>) -> Result<(), HostError> {
        let mut given = request.headers().get_all(header::HOST).iter();
        let (Some(host), None) = (given.next(), given.next()) else {
            return Err(HostError::Missing);
        };
        let host = host.to_str().map_err(|_| HostError::Missing)?;
        // A request line with a whole URL names the host once more.
        let in_line = request.uri().authority().map(Authority::as_str);
        for host in [Some(host), in_line].into_iter().flatten() {
            let is_own = parsed(host).is_some_and(|authority| self.has(&authority, local));
            if !is_own {
                return Err(HostError::Foreign(shown(host)));
            }
        }
        Ok(())
    }

    fn has(&self, authority: &Authority, local: Option<IpAddr>) -> bool {
        match address_in(authority) {
            // No name is resolved on the way to an address, so it cannot be made to lead elsewhere.
            Some(address) => {
                address.is_loopback()
                    || self.addresses.contains(&address)
                    || local.is_some_and(|local| local.to_canonical() == address)
            }
            None => self.names.contains(&authority.host().to_ascii_lowercase()),
        }
    }
}

fn parsed(host: &str) -> Option<Authority> {
    let authority: Authority = host.parse().ok()?;
    (!authority.as_str().contains('@') && !authority.host().is_empty()).then_some(authority)
}

fn address_in(authority: &Authority) -> Option<IpAddr> {
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    host.parse().ok().map(|address: IpAddr| address.to_canonical())
}

fn shown(host: &str) -> String {
    cleaned(host).to_string().chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn check(hosts: &Hosts, host: &str) -> bool {
        let request = Request::builder().uri("/v1/jobs").header(header::HOST, host);
        let request = request.body(Body::empty()).expect("the request is one");
        hosts.check(&request, Some([10, 0, 0, 7].into())).is_ok()
    }

    #[test]
    fn own_names_and_addresses_are_answered_to_and_no_others() {
        let mut hosts = Hosts::listening_on(([0, 0, 0, 0], 8180).into());
        for name in ["Scheduler.example.org:443", "192.0.2.1", "::5", "[2001:db8::1]:8180"] {
            hosts.allow(name).unwrap_or_else(|error| panic!("{error}"));
        }
        for own in [
            "localhost:8180",
            "LOCALHOST",
            "127.0.0.1:9000",
            "127.1.2.3",
            "[::1]:8180",
            "[::ffff:127.0.0.1]",
            "10.0.0.7:8180",
            "scheduler.example.org",
            "192.0.2.1:1",
            "[::5]",
            "[2001:db8::1]",
        ] {
            assert!(check(&hosts, own), "{own} is refused");
        }
        for foreign in [
            "evil.example:8180",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "evil.example#localhost",
            "localhost@evil.example",
            "evil.example@localhost",
            "localhost.",
            "10.0.0.8",
            "",
            "a b",
            "[::2]",
            "2130706433",
        ] {
            assert!(!check(&hosts, foreign), "{foreign} is answered to");
        }
    }

    #[test]
    fn a_request_names_its_host_once_and_the_same_in_its_first_line() {
        let hosts = Hosts::listening_on(([127, 0, 0, 1], 8180).into());
        let request = |uri: &str, named: &[&str]| {
            let mut request = Request::builder().uri(uri);
            for host in named {
                request = request.header(header::HOST, *host);
            }
            request.body(Body::empty()).expect("the request is one")
        };
        let check = |uri, named: &[&str]| hosts.check(&request(uri, named), None);
        assert_eq!(check("/", &[]), Err(HostError::Missing));
        assert_eq!(check("/", &["localhost", "localhost"]), Err(HostError::Missing));
        let foreign = Err(HostError::Foreign("evil.example".to_owned()));
        assert_eq!(check("http://evil.example/", &["localhost"]), foreign);
        assert_eq!(check("http://localhost/", &["localhost"]), Ok(()));
    }

    #[test]
    fn what_is_no_name_is_not_taken_for_one() {
        for text in ["", "http://scheduler.example.org", "a/b", "x y", "user@host"] {
            assert!(Hosts::default().allow(text).is_err(), "{text}");
        }
    }
}
