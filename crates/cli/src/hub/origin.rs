//! Origins of addresses: who may be sent a token.

use ualm::{Error, ErrorKind, Result};
use ureq::http::Uri;

/// Returns whether two addresses have the same scheme, host and port.
pub fn is_same_origin(a: &str, b: &str) -> bool {
    matches!((origin(a), origin(b)), (Some(a), Some(b)) if a == b)
}

/// Returns whether `url` is the address of a server or of a folder there, to which names can be added.
pub fn is_base(url: &str) -> bool {
    origin(url).is_some() && !url.contains(['?', '#'])
}

/// Returns an address for messages: without the login that may stand before its host.
pub fn without_login(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}

/// Returns the address to which `location` redirects from `url`.
///
/// # Errors
/// [`ErrorKind::Io`] for an address that is none, or that leaves encryption.
pub fn join(url: &str, location: &str) -> Result<String> {
    let wrong = || Error::new(ErrorKind::Io, format!("{}: a redirect that cannot be followed", shown(url)));
    let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let joined = match location {
        _ if location.starts_with("//") => format!("{scheme}:{location}"),
        _ if location.starts_with('/') => format!("{scheme}://{authority}{location}"),
        _ => location.to_owned(),
    };
    match origin(&joined) {
        Some((to, ..)) if scheme == "http" || to == "https" => Ok(joined),
        _ => Err(wrong()),
    }
}

/// Returns the host of an address for messages: what follows may be a signature.
pub fn shown(url: &str) -> String {
    let found = url.parse::<Uri>().ok();
    found.as_ref().and_then(Uri::host).unwrap_or("the hub").to_owned()
}

/// Returns the scheme, host and port of an address.
fn origin(url: &str) -> Option<(String, String, u16)> {
    let url: Uri = url.parse().ok()?;
    let scheme = url.scheme_str()?.to_ascii_lowercase();
    let usual = match &*scheme {
        "https" => 443,
        "http" => 80,
        _ => return None,
    };
    Some((scheme, url.host()?.to_ascii_lowercase(), url.port_u16().unwrap_or(usual)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_scheme_host_or_port_is_another_origin() {
        assert!(is_same_origin("https://hub.example/a?b", "https://HUB.example:443"));
        for other in
            ["http://hub.example", "https://cdn.hub.example", "https://hub.example:8443", "https://hub.example.org"]
        {
            assert!(!is_same_origin(other, "https://hub.example"), "{other}");
        }
        assert!(!is_same_origin("https://hub.example@evil.example/", "https://hub.example"));
        assert!(!is_same_origin("nonsense", "nonsense"));
    }

    #[test]
    fn redirects_are_joined_and_keep_encryption() {
        let from = "https://hub.example/a/b?c";
        assert_eq!(join(from, "/d?e=f").unwrap(), "https://hub.example/d?e=f");
        assert_eq!(join(from, "//cdn.example/d").unwrap(), "https://cdn.example/d");
        assert_eq!(join(from, "https://cdn.example/d").unwrap(), "https://cdn.example/d");
        for wrong in ["http://cdn.example/d", "ftp://cdn.example/d", "d", ""] {
            assert!(join(from, wrong).is_err(), "{wrong:?}");
        }
        assert!(join("http://127.0.0.1:1/a", "http://127.0.0.1:2/b").is_ok());
    }

    #[test]
    fn names_can_be_added_to_a_base() {
        for base in ["https://hub.example", "http://127.0.0.1:80/a/b", "https://me:secret@hub.example"] {
            assert!(is_base(base), "{base}");
        }
        for other in
            ["https://", "http://a b", "ftp://hub.example", "hub.example", "https://hub.example/?a", "https://a/#b"]
        {
            assert!(!is_base(other), "{other}");
        }
    }

    #[test]
    fn logins_and_signatures_are_not_shown() {
        assert_eq!(without_login("https://me:secret@hub.example:1/a@b"), "https://hub.example:1/a@b");
        assert_eq!(without_login("https://hub.example"), "https://hub.example");
        assert_eq!(shown("https://cdn.example/d?Signature=secret"), "cdn.example");
    }
}
