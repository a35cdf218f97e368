//! A client of the hub, and of the file storage to which the hub redirects downloads.

use std::fs;
use std::io;
use std::net::ToSocketAddrs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use ualm::internal::is_portable;
use ualm::{Error, ErrorKind, Result};
use ureq::http::{Response, StatusCode, header};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

use super::origin::{is_same_origin, join, shown};
use super::retry::Failure;
use super::settings::{Settings, Token};
use super::sums::is_sha256;
use crate::args::model_name::{ModelName, is_commit, is_hexadecimal};

/// The time limit for name resolution and for connecting.
const CONNECT: Duration = Duration::from_secs(15);
/// The maximum number of redirects of a request.
const MAX_REDIRECTS: usize = 8;
/// The maximum size of a model's description, in bytes.
const MAX_INFO: u64 = 64 << 20;
/// The characters to escape in the path of a URL.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// A client of the hub.
pub struct Client {
    agent: Agent,
    endpoint: String,
    /// The endpoint without credentials, for messages.
    address: String,
    token: Option<Token>,
    /// `true` once the hub has answered: later network errors are then taken to be temporary.
    is_reached: AtomicBool,
}

/// A commit of a model on the hub.
pub struct Commit {
    pub name: ModelName,
    pub id: String,
    pub files: Vec<RemoteFile>,
}

/// A file on the hub.
#[derive(Clone, Debug)]
pub struct RemoteFile {
    pub name: String,
    /// The SHA-256 of the contents for files in the large file storage, else Git's blob id.
    pub id: String,
    /// The size in bytes.
    pub size: u64,
}

/// The response to a request for a file.
pub struct Download {
    /// `true` if the body starts at the requested byte, `false` if at the first byte.
    pub is_partial: bool,
    pub body: Body,
}

impl Client {
    /// Returns a client with the settings of Hugging Face's tools.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the file of certificates is unusable.
    pub fn new(settings: &Settings) -> Result<Self> {
        let mut tls = TlsConfig::builder();
        if let Some(file) = &settings.certificates {
            tls = tls.root_certs(RootCerts::new_with_certs(&certificates(file)?));
        }
        // `follow` handles redirects, and sends the token only to the hub
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("ualm/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(CONNECT))
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(settings.timeout))
            .timeout_per_read(Some(settings.timeout))
            .tls_config(tls.build());
        let endpoint = settings.endpoint.clone();
        let address = settings.address.clone();
        let token = settings.token.clone();
        Ok(Self { agent: config.build().new_agent(), endpoint, address, token, is_reached: AtomicBool::new(false) })
    }

    /// Returns the URL of the model's page.
    pub fn page(&self, name: &ModelName) -> String {
        format!("{}/{}", self.address, name.repository())
    }

    /// Looks up the commit of `name` and its files.
    pub fn look_up(&self, name: &ModelName) -> Result<Commit, Failure> {
        let revision = name.revision().replace('/', "%2F");
        let url = format!("{}/api/models/{}/revision/{revision}?blobs=true", self.endpoint, name.repository());
        let mut answer = self.follow(&url, None).and_then(|answer| self.check(answer, name, None))?;
        let text =
            answer.body_mut().with_config().limit(MAX_INFO).read_to_vec().map_err(|e| self.network_failure(&url, e))?;
        let info: Info = serde_json::from_slice(&text).map_err(|e| {
            let what =
                format!("{}: the description of {name} cannot be read: is HF_ENDPOINT a model hub?", self.address);
            Error::new(ErrorKind::Io, what).with_source(e)
        })?;
        info.into_commit(name).map_err(|e| e.context(&self.address).into())
    }

    /// Requests the bytes of `file` from `start` on.
    pub fn open(&self, commit: &Commit, file: &RemoteFile, start: u64) -> Result<Download, Failure> {
        let path = utf8_percent_encode(&file.name, PLAIN);
        let url = format!("{}/{}/resolve/{}/{path}", self.endpoint, commit.name.repository(), commit.id);
        let answer = self.follow(&url, (start > 0).then_some(start))?;
        let answer = self.check(answer, &commit.name, Some(&file.name))?;
        let is_partial = answer.status() == StatusCode::PARTIAL_CONTENT;
        let range = text_of(&answer, header::CONTENT_RANGE.as_str()).unwrap_or_default();
        if is_partial && !range.starts_with(&format!("bytes {start}-")) {
            let what = format!("{}: the response has the range {range:?}; expected bytes from {start} on", file.name);
            return Err(Error::new(ErrorKind::Io, what).into());
        }
        Ok(Download { is_partial, body: answer.into_body() })
    }

    /// Converts a network error of a request to `url`.
    fn network_failure(&self, url: &str, error: ureq::Error) -> Failure {
        use ureq::Error::{BodyExceedsLimit, ConnectionFailed, HostNotFound, Io, Rustls, Timeout, Tls};
        let host = shown(url);
        // the operating system's errors for these two causes have no kind of their own
        let is_unknown = match &error {
            HostNotFound => true,
            Io(_) => (&*host, 443).to_socket_addrs().is_err(),
            _ => false,
        };
        let is_unsafe = match &error {
            Tls(_) | Rustls(_) => true,
            Io(e) => e.kind() == io::ErrorKind::InvalidData,
            _ => false,
        };
        let what = match &error {
            _ if is_unknown => format!(
                "{host} cannot be found: is there a network connection? Downloaded packages work without one; \
                 HF_ENDPOINT names another hub"
            ),
            _ if is_unsafe => format!(
                "no secure connection to {host} is possible; if a proxy inspects connections, name its certificates with \
                 SSL_CERT_FILE"
            ),
            ConnectionFailed => {
                format!("{host} cannot be reached: is there a network connection, and is a proxy needed (HTTPS_PROXY)?")
            }
            Timeout(_) => {
                format!("{host} does not answer; HF_HUB_DOWNLOAD_TIMEOUT sets the time limit in seconds")
            }
            Io(e) if e.kind() == io::ErrorKind::ConnectionRefused => format!("{host} refuses connections"),
            BodyExceedsLimit(_) => format!("the response of {host} is too large: is HF_ENDPOINT a model hub?"),
            _ => "the connection was lost".to_owned(),
        };
        let is_permanent = is_unsafe || matches!(error, BodyExceedsLimit(_));
        let error = Error::new(ErrorKind::Io, what).with_source(error);
        if self.is_reached.load(Ordering::Relaxed) && !is_permanent {
            Failure::Temporary(error, None)
        } else {
            Failure::Permanent(error)
        }
    }

    /// Requests `url` and follows redirects. The token is sent only to the hub.
    fn follow(&self, url: &str, start: Option<u64>) -> Result<Response<Body>, Failure> {
        let mut url = url.to_owned();
        for _ in 0..=MAX_REDIRECTS {
            let mut request = self.agent.get(&url);
            if let Some(token) = self.token.as_ref().filter(|_| is_same_origin(&url, &self.endpoint)) {
                request = request.header(header::AUTHORIZATION, token.header());
            }
            if let Some(start) = start {
                request = request.header(header::RANGE, format!("bytes={start}-"));
            }
            let answer = request.call().map_err(|e| self.network_failure(&url, e))?;
            self.is_reached.store(true, Ordering::Relaxed);
            match text_of(&answer, header::LOCATION.as_str()).filter(|_| answer.status().is_redirection()) {
                Some(location) => url = join(&url, &location)?,
                None if is_same_origin(&url, &self.endpoint) => return Ok(answer),
                None => return check_storage(answer, &url),
            }
        }
        Err(Error::new(ErrorKind::Io, format!("{}: too many redirects", shown(&self.endpoint))).into())
    }

    /// Converts an error response of the hub to a failure.
    fn check(&self, answer: Response<Body>, name: &ModelName, file: Option<&str>) -> Result<Response<Body>, Failure> {
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let repository = name.repository();
        let code = text_of(&answer, "x-error-code").unwrap_or_default();
        let what = match (status.as_u16(), &*code) {
            (401 | 403, _) | (404, "RepoNotFound") => self.access_error(status, &code, name),
            (404, "RevisionNotFound") => format!(
                "{repository} has no revision {:?}: {}/tree/main lists its branches and tags",
                name.revision(),
                self.page(name)
            ),
            (404, _) => match file {
                Some(file) => format!("{repository} at {} has no {file}", name.revision()),
                None => format!("{} has no {repository}, or is not a model hub (HF_ENDPOINT)", self.address),
            },
            (416, _) => {
                format!("{}: the file on the hub is shorter than its description says", file.unwrap_or(repository))
            }
            (429, _) => format!("{} received too many requests (429)", shown(&self.address)),
            (408 | 500..=599, _) => format!("{} failed ({status})", shown(&self.address)),
            _ => format!("{} answered {status}: {}", shown(&self.address), message_of(&answer)),
        };
        Err(failure(&answer, Error::new(ErrorKind::Io, what)))
    }

    /// Describes a response about missing access, or about a model that is missing or hidden.
    fn access_error(&self, status: StatusCode, code: &str, name: &ModelName) -> String {
        let endpoint = &self.address;
        let repository = name.repository();
        let login = format!("set HF_TOKEN to a token from {endpoint}/settings/tokens (or run: hf auth login)");
        match (status.as_u16(), code, &self.token) {
            (_, "GatedRepo", None) => {
                format!("{repository} is gated: request access at {}, then {login}", self.page(name))
            }
            (_, "GatedRepo", Some(token)) => format!(
                "{repository} is gated, and the owner of {token} has no access: request access at {}, and try again once \
                 it is granted",
                self.page(name)
            ),
            (401 | 404, "RepoNotFound", token) => {
                let search = repository.split('/').next_back().unwrap_or_default();
                let private = match token {
                    None => format!("if it is private, {login}"),
                    Some(token) => format!("if it is private, {token} must belong to a user with read access"),
                };
                format!(
                    "there is no model {repository} at {endpoint}: names are OWNER/NAME and case-sensitive \
                     ({endpoint}/models?search={search}); {private}"
                )
            }
            (401, _, None) => format!("{repository} requires a login: {login}"),
            (401, _, Some(token)) => format!("{endpoint} does not accept {token}: {login}"),
            (_, _, token) => {
                let token = token.as_ref().map_or("a request without a token".to_owned(), ToString::to_string);
                format!("{token} has no read access to {repository}: use a token with read access; {login}")
            }
        }
    }
}

/// Converts an error response of the file storage to a failure. Its URLs are signed and expire; another attempt gets a
/// new one.
fn check_storage(answer: Response<Body>, url: &str) -> Result<Response<Body>, Failure> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let error =
        Error::new(ErrorKind::Io, format!("{}, which stores the hub's large files, answered {status}", shown(url)));
    Err(Failure::Temporary(error, wait_of(&answer)))
}

fn failure(answer: &Response<Body>, error: Error) -> Failure {
    match answer.status().as_u16() {
        408 | 429 | 500..=599 => Failure::Temporary(error, wait_of(answer)),
        _ => Failure::Permanent(error),
    }
}

/// Returns the value of `Retry-After`, if it is in seconds.
fn wait_of(answer: &Response<Body>) -> Option<Duration> {
    text_of(answer, header::RETRY_AFTER.as_str())?.trim().parse().ok().map(Duration::from_secs)
}

fn text_of(answer: &Response<Body>, name: &str) -> Option<String> {
    answer.headers().get(name)?.to_str().ok().map(str::to_owned)
}

/// Returns the hub's error message, without control characters.
fn message_of(answer: &Response<Body>) -> String {
    let text = text_of(answer, "x-error-message").unwrap_or_default();
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

fn certificates(file: &Path) -> Result<Vec<Certificate<'static>>> {
    let wrong = || format!("SSL_CERT_FILE is {}: the file has no readable certificates", file.display());
    let invalid = |e| Error::new(ErrorKind::Invalid, wrong()).with_source(e);
    let text = fs::read(file).map_err(invalid)?;
    let found = parse_pem(&text).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    match found.collect::<Vec<_>>() {
        found if found.is_empty() => Err(Error::new(ErrorKind::Invalid, wrong())),
        found => Ok(found),
    }
}

/// The hub's description of a commit.
#[derive(Deserialize)]
struct Info {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    blob_id: Option<String>,
    lfs: Option<Large>,
}

#[derive(Deserialize)]
struct Large {
    sha256: String,
    size: u64,
}

impl Info {
    fn into_commit(self, name: &ModelName) -> Result<Commit> {
        let wrong = |what: String| Error::new(ErrorKind::Io, what);
        if !is_commit(&self.sha) {
            return Err(wrong(format!("{:?} is not a commit id", self.sha)));
        }
        if name.is_pinned() && self.sha != name.revision() {
            return Err(wrong(format!("the response is about commit {}, not the requested one", self.sha)));
        }
        // a package never has files with unportable names, or names that lead out of its folder
        let named = self.siblings.into_iter().filter(|sibling| is_portable(&sibling.rfilename));
        let files = named.map(|sibling| sibling.into_file().map_err(wrong)).collect::<Result<_>>()?;
        Ok(Commit { name: name.clone(), id: self.sha, files })
    }
}

impl Sibling {
    fn into_file(self) -> Result<RemoteFile, String> {
        let name = self.rfilename;
        let (id, size) = match self.lfs {
            Some(large) => (Some(large.sha256), Some(large.size)),
            None => (self.blob_id, self.size),
        };
        let (Some(id), Some(size)) = (id, size) else {
            return Err(format!("{name}: size and checksum are missing: is HF_ENDPOINT a model hub?"));
        };
        if !is_sha256(&id) && !is_hexadecimal(&id, 40) {
            return Err(format!("{name}: {id:?} is not a checksum"));
        }
        Ok(RemoteFile { name, id, size })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

    fn commit(name: &str, sibling: &str) -> Result<Commit> {
        let text = format!(r#"{{"sha": "{SHA}", "private": false, "siblings": [{sibling}]}}"#);
        serde_json::from_str::<Info>(&text).unwrap().into_commit(&name.parse().unwrap())
    }

    #[test]
    fn files_have_the_ids_of_their_contents() {
        let large = r#"{"rfilename": "a/b", "size": 9, "blobId": "b", "lfs": {"sha256": "SUM", "size": 9, "pointerSize": 134}}"#;
        let sum = "ab".repeat(32);
        let found = commit("a/b", &large.replace("SUM", &sum)).unwrap();
        assert_eq!(
            found.files.iter().map(|file| (&*file.name, &*file.id, file.size)).collect::<Vec<_>>(),
            [("a/b", &*sum, 9)]
        );
        let small = format!(r#"{{"rfilename": "c", "size": 2, "blobId": "{SHA}"}}"#);
        assert_eq!(commit("a/b", &small).unwrap().files[0].id, SHA);
    }

    #[test]
    fn files_with_unsafe_names_are_skipped() {
        for name in ["../x", "/etc/x", "a/../b", "a//b", "C:x", "a\\\\b", "a\\u0000", "con.txt", "\\u001b[2J"] {
            let sibling = format!(r#"{{"rfilename": "{name}", "size": 2, "blobId": "{SHA}"}}"#);
            assert_eq!(commit("a/b", &sibling).unwrap().files.len(), 0, "{name}");
        }
    }

    #[test]
    fn an_inconsistent_response_is_refused() {
        let wrong = [
            (r#"{"rfilename": "x", "size": 2, "blobId": "../../x"}"#, "not a checksum"),
            (r#"{"rfilename": "x"}"#, "size and checksum are missing"),
        ];
        for (sibling, why) in wrong {
            let error = commit("a/b", &sibling.replace("SHA", SHA)).err().unwrap();
            assert!(error.to_string().contains(why), "{error}");
        }
        assert!(commit(&format!("a/b@{}", "1".repeat(40)), "").is_err(), "another commit");
        assert!(commit(&format!("a/b@{SHA}"), "").is_ok());
    }
}
