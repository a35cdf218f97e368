//! Allowed origins: pages of this server, and of the origins of `--cors`. Without this check, any page in the user's
//! browser could send requests to a server on the user's machine.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use tower_http::cors::{AllowHeaders, AllowOrigin, AllowPrivateNetwork, CorsLayer};
use ualm::{Error, ErrorKind, Result};

use super::error::ApiError;

/// The time for which a browser may cache the response to a preflight request.
const PREFLIGHT: Duration = Duration::from_secs(600);

/// The allowed hosts and origins.
pub struct Origins {
    /// The origins of `--cors`.
    cors: Vec<HeaderValue>,
    /// The additional host names, if host names are checked.
    hosts: Option<Vec<String>>,
}

impl Origins {
    /// Creates the check for the origins in `cors` and the host names in `hosts`. Host names are checked only on
    /// loopback addresses without keys, against DNS rebinding: a page's own name that resolves to this machine.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for an invalid origin.
    pub fn new(cors: &[String], hosts: &[String], listen: SocketAddr, has_keys: bool) -> Result<Self> {
        let cors = cors.iter().map(|origin| parse(origin)).collect::<Result<_>>()?;
        let hosts = (listen.ip().is_loopback() && !has_keys).then(|| hosts.to_vec());
        Ok(Self { cors, hosts })
    }

    /// Returns the layer that answers preflight requests.
    pub fn layer(&self) -> CorsLayer {
        let exposed = [header::RETRY_AFTER.as_str(), "ualm-end", "ualm-seed", "ualm-warnings", "x-request-id"];
        let methods = [axum::http::Method::GET, axum::http::Method::POST];
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(self.cors.clone()))
            .allow_methods(methods)
            // clients of an allowed origin may send any headers
            .allow_headers(AllowHeaders::mirror_request())
            .allow_private_network(AllowPrivateNetwork::yes())
            .expose_headers(exposed.map(HeaderName::from_static))
            .max_age(PREFLIGHT)
    }

    /// Refuses a request from another origin, or with an unknown host name.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        // a request without a host name, such as a health check over HTTP/1.0, does not come from a browser
        let named = headers.get(header::HOST).filter(|host| !host.is_empty());
        let host = named.and_then(|host| host.to_str().ok()).unwrap_or_default();
        if named.is_some() && self.hosts.as_ref().is_some_and(|hosts| !is_own(host_name(host), hosts)) {
            let what =
                format!("the host name {host:?} is unknown: start the server with --host-name, or with API keys");
            return Err(ApiError::forbidden(what));
        }
        let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
        let is_same = |origin: &str| is_same(origin, host);
        if self.cors.contains(origin) || origin.to_str().is_ok_and(is_same) {
            Ok(())
        } else {
            Err(ApiError::forbidden(
                "requests from pages of this origin are refused: start the server with --cors ORIGIN",
            ))
        }
    }
}

/// Parses an origin: a scheme, which desktop shells and extensions define themselves, and a host; or `null`, for files
/// and sandboxed pages.
fn parse(origin: &str) -> Result<HeaderValue> {
    let is_scheme = |scheme: &str| {
        let mut letters = scheme.chars();
        letters.next().is_some_and(|first| first.is_ascii_alphabetic())
            && letters.all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '+' | '-' | '.'))
    };
    let is_host = |host: &str| !host.is_empty() && !host.contains(['/', '*', ' ', '?', '#', '@']);
    let has_form = origin.split_once("://").is_some_and(|(scheme, host)| is_scheme(scheme) && is_host(host));
    let written = origin.to_ascii_lowercase();
    let value = HeaderValue::from_str(&written).ok().filter(|_| has_form || written == "null");
    value.ok_or_else(|| {
        let what = format!("--cors {origin:?}: expected an origin, as in https://example.org, app://name or null");
        Error::new(ErrorKind::Invalid, what)
    })
}

/// Returns whether `origin` is this server under the name `host`, whose port may be omitted if it is the default.
fn is_same(origin: &str, host: &str) -> bool {
    let Some((scheme, origin)) = origin.split_once("://") else { return false };
    let port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let shorter = |name: &'_ str| name.strip_suffix(port).unwrap_or(name).to_ascii_lowercase();
    !host.is_empty() && shorter(origin) == shorter(host)
}

/// Returns the name in a `Host` header, without the port.
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
        headers.insert(header::HOST, HeaderValue::from_bytes(host.as_bytes()).unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        origins.check(&headers).is_ok()
    }

    #[test]
    fn other_origins_are_refused() {
        let local = "127.0.0.1:8080".parse().unwrap();
        let origins = Origins::new(&["https://a.org".into()], &["Proxy.lan".into()], local, false).unwrap();
        assert!(allowed(&origins, "localhost:8080", None));
        assert!(allowed(&origins, "", None), "a health check");
        assert!(!allowed(&origins, "\u{fc}", None));
        assert!(allowed(&origins, "[::1]:8080", Some("http://[::1]:8080")));
        assert!(allowed(&origins, "127.0.0.1:8080", Some("https://a.org")));
        assert!(allowed(&origins, "proxy.lan", Some("http://proxy.lan")));
        assert!(!allowed(&origins, "127.0.0.1:8080", Some("https://b.org")));
        assert!(!allowed(&origins, "127.0.0.1:8080", Some("http://127.0.0.1:8081")));
        assert!(!allowed(&origins, "127.0.0.1:8080", Some("null")));
        assert!(!allowed(&origins, "b.org:8080", Some("http://b.org:8080")), "DNS rebinding");
        let with_keys = Origins::new(&[], &[], local, true).unwrap();
        assert!(allowed(&with_keys, "b.org:8080", Some("http://b.org:8080")));
    }

    #[test]
    fn origins_have_a_scheme_and_a_host() {
        let local = "127.0.0.1:8080".parse().unwrap();
        for wrong in ["*", "a.org", "https://a.org/", "https://*", "https://", "://a", "1a://b", "https://a.org?b"] {
            assert!(Origins::new(&[wrong.into()], &[], local, false).is_err(), "{wrong}");
        }
        for right in [
            "http://localhost:3000",
            "app://.",
            "app://obsidian.md",
            "tauri://localhost",
            "capacitor://localhost",
            "chrome-extension://abcdefgh",
            "moz-extension://1f2e-3d",
            "vscode-webview://x",
            "HTTPS://A.org",
            "null",
        ] {
            let origins = Origins::new(&[right.into()], &[], local, false).unwrap();
            assert!(allowed(&origins, "127.0.0.1:8080", Some(&right.to_lowercase())), "{right}");
            assert!(!allowed(&origins, "127.0.0.1:8080", Some("app://other")), "{right}");
        }
    }

    #[test]
    fn a_proxy_may_add_the_port_and_a_health_check_may_omit_the_name() {
        let local = "127.0.0.1:8080".parse().unwrap();
        let origins = Origins::new(&[], &["proxy.lan".into()], local, false).unwrap();
        for (host, origin, is_allowed) in [
            ("proxy.lan:443", "https://proxy.lan", true),
            ("proxy.lan", "https://proxy.lan:443", true),
            ("Proxy.lan:80", "http://proxy.lan", true),
            ("proxy.lan:443", "http://proxy.lan", false),
            ("proxy.lan", "https://proxy.lan:8443", false),
            ("proxy.lan", "app://proxy.lan", false),
        ] {
            assert_eq!(allowed(&origins, host, Some(origin)), is_allowed, "{host} {origin}");
        }
        assert!(origins.check(&HeaderMap::new()).is_ok());
        let page = HeaderMap::from_iter([(header::ORIGIN, "https://b.org".parse().unwrap())]);
        assert!(origins.check(&page).is_err());
    }
}
