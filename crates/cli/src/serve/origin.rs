//! Allowed origins: pages of this server, and of the origins named with `--cors`. Without this, any page that a person
//! opens could ask a server on the person's own machine.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderValue, header};
use tower_http::cors::{AllowOrigin, CorsLayer};
use ualm::{Error, ErrorKind, Result};

use super::error::ApiError;

/// The allowed hosts and origins.
pub struct Origins {
    /// Origins that were named.
    named: Vec<HeaderValue>,
    /// Names of the server, where they are checked.
    hosts: Option<Vec<String>>,
}

impl Origins {
    /// `cors` are origins, `hosts` names of the server beside localhost. They count on loopback without keys alone, where a
    /// foreign name is one that some page made up for this machine.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for what is no origin.
    pub fn new(cors: &[String], hosts: &[String], listen: SocketAddr, has_keys: bool) -> Result<Self> {
        let named = cors.iter().map(|origin| parse(origin)).collect::<Result<_>>()?;
        let hosts = (listen.ip().is_loopback() && !has_keys).then(|| hosts.to_vec());
        Ok(Self { named, hosts })
    }

    /// Answers the questions that browsers ask before a page of another origin may ask.
    pub fn layer(&self) -> CorsLayer {
        let headers = [header::AUTHORIZATION, header::CONTENT_TYPE];
        let methods = [axum::http::Method::GET, axum::http::Method::POST];
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(self.named.clone()))
            .allow_methods(methods)
            .allow_headers(headers)
            .expose_headers([header::RETRY_AFTER])
    }

    /// Refuses a request of a foreign page, or under a foreign name.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        if self.hosts.as_ref().is_some_and(|hosts| !is_own(host_name(host), hosts)) {
            let what = format!("this server is not known as {host:?}: start it with --host-name, or with keys");
            return Err(ApiError::foreign(what));
        }
        let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
        let is_same = |origin: &str| origin.split_once("://").is_some_and(|(_, origin)| origin == host);
        if self.named.contains(origin) || origin.to_str().is_ok_and(is_same) {
            Ok(())
        } else {
            Err(ApiError::foreign("pages of this origin may not ask: start the server with --cors ORIGIN"))
        }
    }
}

fn parse(origin: &str) -> Result<HeaderValue> {
    let has_form = origin.split_once("://").is_some_and(|(scheme, host)| {
        matches!(scheme, "http" | "https") && !host.is_empty() && !host.contains(['/', '*', ' '])
    });
    let value = HeaderValue::from_str(origin).ok().filter(|_| has_form);
    value.ok_or_else(|| {
        Error::new(ErrorKind::Invalid, format!("--cors {origin:?}: expected an origin, as in https://example.org"))
    })
}

/// The name in a `Host` header, without its port.
fn host_name(host: &str) -> &str {
    match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split(':').next().unwrap_or_default(),
    }
}

fn is_own(name: &str, hosts: &[String]) -> bool {
    let is_local = name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok();
    is_local || hosts.iter().any(|host| host.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(origins: &Origins, host: &str, origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        origins.check(&headers).is_ok()
    }

    #[test]
    fn pages_of_others_may_not_ask() {
        let local = "127.0.0.1:8080".parse().unwrap();
        let origins = Origins::new(&["https://a.org".into()], &["Proxy.lan".into()], local, false).unwrap();
        assert!(allowed(&origins, "localhost:8080", None));
        assert!(allowed(&origins, "[::1]:8080", Some("http://[::1]:8080")));
        assert!(allowed(&origins, "127.0.0.1:8080", Some("https://a.org")));
        assert!(allowed(&origins, "proxy.lan", Some("http://proxy.lan")));
        assert!(!allowed(&origins, "127.0.0.1:8080", Some("https://b.org")));
        assert!(!allowed(&origins, "127.0.0.1:8080", Some("http://127.0.0.1:8081")));
        assert!(!allowed(&origins, "127.0.0.1:8080", Some("null")));
        assert!(!allowed(&origins, "b.org:8080", Some("http://b.org:8080")), "a name made up for this machine");
        let with_keys = Origins::new(&[], &[], local, true).unwrap();
        assert!(allowed(&with_keys, "b.org:8080", Some("http://b.org:8080")));
    }

    #[test]
    fn origins_have_a_form() {
        let local = "127.0.0.1:8080".parse().unwrap();
        for wrong in ["*", "a.org", "https://a.org/", "https://*", "ftp://a.org", "https://"] {
            assert!(Origins::new(&[wrong.into()], &[], local, false).is_err(), "{wrong}");
        }
    }
}
