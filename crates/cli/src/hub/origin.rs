//! Origins of URLs, which decide where the token is sent.

use ualm::{Error, ErrorKind, Result};
use ureq::http::Uri;

/// Returns whether two URLs have the same scheme, host and port.
pub fn is_same_origin(a: &str, b: &str) -> bool {
    matches!((origin(a), origin(b)), (Some(a), Some(b)) if a == b)
}

/// Returns whether `url` is a base URL, to which paths can be appended.
pub fn is_base(url: &str) -> bool {
    origin(url).is_some() && !url.contains(['?', '#'])
}

/// Removes the credentials from a URL, for messages.
pub fn without_login(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}

/// Resolves the redirect `location` of a response from `url`.
///
/// # Errors
/// [`ErrorKind::Io`] for an invalid URL, and for a redirect from HTTPS to HTTP.
pub fn join(url: &str, location: &str) -> Result<String> {
    let wrong = || Error::new(ErrorKind::Io, format!("{}: the server sent an invalid redirect", shown(url)));
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

/// Returns the host of a URL, for messages: the rest may have a signature.
pub fn shown(url: &str) -> String {
    let found = url.parse::<Uri>().ok();
    found.as_ref().and_then(Uri::host).unwrap_or("the hub").to_owned()
}

/// Returns the scheme, host and port of a URL.
fn origin(url: &str) -> Option<(String, String, u16)> {
    let url: Uri = url.parse().ok()?;
    let scheme = url.scheme_str()?.to_ascii_lowercase();
    let default_port = match &*scheme {
        "https" => 443,
        "http" => 80,
        _ => return None,
    };
    Some((scheme, url.host()?.to_ascii_lowercase(), url.port_u16().unwrap_or(default_port)))
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
    fn base_urls_have_no_query() {
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
    fn credentials_and_signatures_are_not_shown() {
        assert_eq!(without_login("https://me:secret@hub.example:1/a@b"), "https://hub.example:1/a@b");
        assert_eq!(without_login("https://hub.example"), "https://hub.example");
        assert_eq!(shown("https://cdn.example/d?Signature=secret"), "cdn.example");
    }
}
