//! What browsers say of the page that makes a request.
//!
//! A browser sends requests for pages of any site, and what it sends comes from the address of a
//! user who may reach this service. The headers below cannot be set by such a page, and programs
//! that are no browsers do not send them.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use thiserror::Error;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// Why a request is refused: a page of another site makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("requests of other sites' pages are refused")]
pub(super) struct ForeignPage;

/// # Errors
/// [`ForeignPage`]. A user who follows a link or opens an address of this service makes no such
/// request.
pub(super) fn check(request: &Request) -> Result<(), ForeignPage> {
    let headers = request.headers();
    if is_foreign(headers.get(header::ORIGIN), headers) {
        return Err(ForeignPage);
    }
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let own_site = says(headers, &SEC_FETCH_SITE, &["same-origin", "none"]);
    if is_read {
        let is_visit = says(headers, &SEC_FETCH_MODE, &["navigate"]) && says(headers, &SEC_FETCH_DEST, &["document"]);
        return if own_site || is_visit { Ok(()) } else { Err(ForeignPage) };
    }
    // Browsers of before 2020 send forms with a Referer alone.
    if !own_site || is_foreign(headers.get(header::REFERER), headers) {
        return Err(ForeignPage);
    }
    Ok(())
}

/// Whether a header is absent, as it is in requests of programs, or has one of these values.
fn says(headers: &HeaderMap, name: &HeaderName, values: &[&str]) -> bool {
    headers
        .get_all(name)
        .iter()
        .all(|value| values.iter().any(|wanted| value.as_bytes() == wanted.as_bytes()))
}

/// Whether an address is there and has another host than the request; `null`, which is no address, is foreign.
fn is_foreign(address: Option<&HeaderValue>, headers: &HeaderMap) -> bool {
    let Some(address) = address else { return false };
    let host = address
        .to_str()
        .ok()
        .and_then(|address| address.split_once("://"))
        .and_then(|(_, rest)| rest.split('/').next());
    let own = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    host.is_none() || !host.zip(own).is_some_and(|(host, own)| host.eq_ignore_ascii_case(own))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn check_all(method: Method, given: &[(&str, &str)]) -> bool {
        let mut request = Request::builder().method(method).uri("/v1/jobs");
        request = request.header(header::HOST, "localhost:8180");
        for (name, value) in given {
            request = request.header(*name, *value);
        }
        check(&request.body(Body::empty()).expect("the request is one")).is_ok()
    }

    #[test]
    fn programs_and_own_pages_may_change_things_and_pages_of_others_may_not() {
        let own = ("origin", "http://localhost:8180");
        for given in [
            &[][..],
            &[own],
            &[
                own,
                ("sec-fetch-site", "same-origin"),
                ("referer", "http://localhost:8180/jobs/a"),
            ],
            &[("sec-fetch-site", "none")],
        ] {
            assert!(check_all(Method::POST, given), "{given:?} is refused");
        }
        for given in [
            &[("origin", "http://evil.example")][..],
            &[("origin", "http://localhost:8181")],
            &[("origin", "null")],
            &[own, ("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")],
            &[("referer", "http://evil.example/http://localhost:8180/")],
        ] {
            for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
                assert!(!check_all(method, given), "{given:?} is let in");
            }
        }
    }

    #[test]
    fn a_link_may_lead_here_and_nothing_of_here_may_be_embedded_elsewhere() {
        let cross = ("sec-fetch-site", "cross-site");
        let visit = [cross, ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
        assert!(check_all(Method::GET, &visit));
        assert!(check_all(Method::GET, &[]));
        for (mode, dest) in [
            ("no-cors", "image"),
            ("cors", "empty"),
            ("navigate", "iframe"),
            ("no-cors", "script"),
        ] {
            let given = [cross, ("sec-fetch-mode", mode), ("sec-fetch-dest", dest)];
            assert!(!check_all(Method::GET, &given), "{mode} {dest} is let in");
        }
    }
}
