//! Requests to the hub, and to the store to which it redirects them.

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

/// The longest time in which a connection is made.
const CONNECT: Duration = Duration::from_secs(15);
/// The most redirects of one request.
const MOST_REDIRECTS: usize = 8;
/// The largest description of a model to read, in bytes.
const MOST_INFO: u64 = 64 << 20;
/// The characters that stand in an address as they are.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// A client of the hub.
pub struct Client {
    agent: Agent,
    endpoint: String,
    /// The endpoint for messages.
    address: String,
    token: Option<Token>,
    /// True once the hub has answered: then a break of the network will pass.
    is_reached: AtomicBool,
}

/// A commit of a model at the hub.
pub struct Commit {
    pub name: ModelName,
    pub id: String,
    pub files: Vec<RemoteFile>,
}

/// A file at the hub.
#[derive(Clone, Debug)]
pub struct RemoteFile {
    pub name: String,
    /// The SHA-256 of the contents if they lie in the store for large files, else Git's id of them.
    pub id: String,
    /// Bytes.
    pub size: u64,
}

/// The answer to a request for a file.
pub struct Answer {
    /// True if the body begins at the byte that was asked for, false if at the first one.
    pub is_rest: bool,
    pub body: Body,
}

impl Client {
    /// Returns a client with the settings of Hugging Face's tools.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a file of certificates that cannot be used.
    pub fn new(settings: &Settings) -> Result<Self> {
        let mut tls = TlsConfig::builder();
        if let Some(file) = &settings.certificates {
            tls = tls.root_certs(RootCerts::new_with_certs(&certificates(file)?));
        }
        // redirects are followed here, where the token is left out at other hosts
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("ualm/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(CONNECT))
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(settings.patience))
            .timeout_per_read(Some(settings.patience))
            .tls_config(tls.build());
        let (endpoint, address, token) = (settings.endpoint.clone(), settings.address.clone(), settings.token.clone());
        Ok(Self { agent: config.build().new_agent(), endpoint, address, token, is_reached: AtomicBool::new(false) })
    }

    /// Returns the address at which a person reads about the model.
    pub fn page(&self, name: &ModelName) -> String {
        format!("{}/{}", self.address, name.repository())
    }

    /// Asks which commit `name` is, and which files it has.
    pub fn look_up(&self, name: &ModelName) -> Result<Commit, Failure> {
        let revision = name.revision().replace('/', "%2F");
        let url = format!("{}/api/models/{}/revision/{revision}?blobs=true", self.endpoint, name.repository());
        let mut answer = self.follow(&url, None).and_then(|answer| self.accept(answer, name, None))?;
        let text = answer.body_mut().with_config().limit(MOST_INFO).read_to_vec().map_err(|e| self.broken(&url, e))?;
        let info: Info = serde_json::from_slice(&text).map_err(|e| {
            let what = format!("{}: what it says of {name} cannot be read: is HF_ENDPOINT a model hub?", self.address);
            Error::new(ErrorKind::Io, what).with_source(e)
        })?;
        info.into_commit(name).map_err(|e| e.context(&self.address).into())
    }

    /// Asks for the bytes of `file` from `start` on.
    pub fn open(&self, commit: &Commit, file: &RemoteFile, start: u64) -> Result<Answer, Failure> {
        let path = utf8_percent_encode(&file.name, PLAIN);
        let url = format!("{}/{}/resolve/{}/{path}", self.endpoint, commit.name.repository(), commit.id);
        let answer = self.follow(&url, (start > 0).then_some(start))?;
        let answer = self.accept(answer, &commit.name, Some(&file.name))?;
        let is_rest = answer.status() == StatusCode::PARTIAL_CONTENT;
        let range = text_of(&answer, header::CONTENT_RANGE.as_str()).unwrap_or_default();
        if is_rest && !range.starts_with(&format!("bytes {start}-")) {
            let what = format!("{}: other bytes than asked for: {range:?} instead of those from {start} on", file.name);
            return Err(Error::new(ErrorKind::Io, what).into());
        }
        Ok(Answer { is_rest, body: answer.into_body() })
    }

    /// Returns the failure of a connection to `url` that broke.
    fn broken(&self, url: &str, error: ureq::Error) -> Failure {
        use ureq::Error::{BodyExceedsLimit, ConnectionFailed, HostNotFound, Io, Rustls, Timeout, Tls};
        let host = shown(url);
        // of these two the system's errors have no kind of their own
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
                "{host} cannot be found: is there a network? Packages that were fetched before work without; HF_ENDPOINT \
                 names another hub"
            ),
            _ if is_unsafe => format!(
                "no safe connection to {host} can be made; where a proxy looks inside, name its certificates with \
                 SSL_CERT_FILE"
            ),
            ConnectionFailed => {
                format!("{host} cannot be reached: is there a network, and is a proxy needed (HTTPS_PROXY)?")
            }
            Timeout(_) => {
                format!("{host} does not answer; HF_HUB_DOWNLOAD_TIMEOUT gives the seconds for which it is waited for")
            }
            Io(e) if e.kind() == io::ErrorKind::ConnectionRefused => format!("{host} refuses connections"),
            BodyExceedsLimit(_) => format!("{host} says more than can be true: is HF_ENDPOINT a model hub?"),
            _ => "the connection broke".to_owned(),
        };
        let is_lasting = is_unsafe || matches!(error, BodyExceedsLimit(_));
        let error = Error::new(ErrorKind::Io, what).with_source(error);
        match self.is_reached.load(Ordering::Relaxed) && !is_lasting {
            true => Failure::Passing(error, None),
            false => Failure::Final(error),
        }
    }

    /// Asks for `url` and follows redirects. The token is sent to the hub alone.
    fn follow(&self, url: &str, start: Option<u64>) -> Result<Response<Body>, Failure> {
        let mut url = url.to_owned();
        for _ in 0..=MOST_REDIRECTS {
            let mut request = self.agent.get(&url);
            if let Some(token) = self.token.as_ref().filter(|_| is_same_origin(&url, &self.endpoint)) {
                request = request.header(header::AUTHORIZATION, token.header());
            }
            if let Some(start) = start {
                request = request.header(header::RANGE, format!("bytes={start}-"));
            }
            let answer = request.call().map_err(|e| self.broken(&url, e))?;
            self.is_reached.store(true, Ordering::Relaxed);
            match text_of(&answer, header::LOCATION.as_str()).filter(|_| answer.status().is_redirection()) {
                Some(location) => url = join(&url, &location)?,
                None if is_same_origin(&url, &self.endpoint) => return Ok(answer),
                None => return accept_of_store(answer, &url),
            }
        }
        Err(Error::new(ErrorKind::Io, format!("{}: too many redirects", shown(&self.endpoint))).into())
    }

    /// Refuses an answer of the hub that is an error.
    fn accept(&self, answer: Response<Body>, name: &ModelName, file: Option<&str>) -> Result<Response<Body>, Failure> {
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let (endpoint, repository) = (&self.address, name.repository());
        let code = text_of(&answer, "x-error-code").unwrap_or_default();
        let login = format!("a token from {endpoint}/settings/tokens goes into HF_TOKEN (or run: hf auth login)");
        let what = match (status.as_u16(), &*code) {
            (401 | 403, "GatedRepo") => match &self.token {
                None => {
                    format!("{repository} is gated: ask for access at {}, and then log in: {login}", self.page(name))
                }
                Some(token) => format!(
                    "{repository} is gated, and the owner of {token} has no access: ask for it at {}, and try again when \
                     it is granted",
                    self.page(name)
                ),
            },
            (401 | 404, "RepoNotFound") => {
                let search = repository.split('/').next_back().unwrap_or_default();
                let private = match &self.token {
                    None => format!("if it is private, {login}"),
                    Some(token) => format!("if it is private, {token} must be of somebody who may read it"),
                };
                format!(
                    "there is no model {repository} at {endpoint}: names are OWNER/NAME, with capitals as they are there \
                     ({endpoint}/models?search={search}); {private}"
                )
            }
            (401, _) => match &self.token {
                None => format!("{repository} is for those who are logged in: {login}"),
                Some(token) => format!("{endpoint} does not accept {token}: {login}"),
            },
            (403, _) => {
                let token = self.token.as_ref().map_or("nobody".to_owned(), ToString::to_string);
                format!("{repository} may not be read with {token}: give one with the right to read it; {login}")
            }
            (404, "RevisionNotFound") => format!(
                "{repository} has no revision {:?}: {}/tree/main lists its branches and tags",
                name.revision(),
                self.page(name)
            ),
            (404, _) => match file {
                Some(file) => format!("{repository} at {} has no {file}", name.revision()),
                None => format!("{endpoint} has no {repository}, or is no model hub (HF_ENDPOINT)"),
            },
            (416, _) => format!("{}: the hub has fewer bytes than it said", file.unwrap_or(repository)),
            (429, _) => format!("{} has had too many requests (429)", shown(endpoint)),
            (408 | 500..=599, _) => format!("{} fails ({status})", shown(endpoint)),
            _ => format!("{} answers {status}: {}", shown(endpoint), message_of(&answer)),
        };
        Err(failure(&answer, Error::new(ErrorKind::Io, what)))
    }
}

/// Refuses an answer of the store that is an error. Its addresses are signed for some minutes: another attempt gets a new one.
fn accept_of_store(answer: Response<Body>, url: &str) -> Result<Response<Body>, Failure> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let error = Error::new(ErrorKind::Io, format!("{}, where the hub keeps large files, answers {status}", shown(url)));
    Err(Failure::Passing(error, wait_of(&answer)))
}

fn failure(answer: &Response<Body>, error: Error) -> Failure {
    match answer.status().as_u16() {
        408 | 429 | 500..=599 => Failure::Passing(error, wait_of(answer)),
        _ => Failure::Final(error),
    }
}

/// Returns the time for which the server asks, if it says so in seconds.
fn wait_of(answer: &Response<Body>) -> Option<Duration> {
    text_of(answer, header::RETRY_AFTER.as_str())?.trim().parse().ok().map(Duration::from_secs)
}

fn text_of(answer: &Response<Body>, name: &str) -> Option<String> {
    answer.headers().get(name)?.to_str().ok().map(str::to_owned)
}

/// Returns what the hub says of an error, without characters that a terminal would obey.
fn message_of(answer: &Response<Body>) -> String {
    let text = text_of(answer, "x-error-message").unwrap_or_default();
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

fn certificates(file: &Path) -> Result<Vec<Certificate<'static>>> {
    let wrong = || format!("SSL_CERT_FILE is {}: no certificates can be read from it", file.display());
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

/// What the hub says of a commit.
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
            return Err(wrong(format!("{:?} is not the id of a commit", self.sha)));
        }
        if name.is_pinned() && self.sha != name.revision() {
            return Err(wrong(format!("the commit {} instead of the one asked for", self.sha)));
        }
        // no package has a file whose name would lead out of its folder, or not be one on some systems
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
            return Err(format!("{name}: neither size nor sum is given: is HF_ENDPOINT a model hub?"));
        };
        if !is_sha256(&id) && !is_hexadecimal(&id, 40) {
            return Err(format!("{name}: {id:?} is not a sum"));
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
    fn files_have_the_sums_of_their_contents() {
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
    fn files_with_names_that_lead_elsewhere_are_passed_over() {
        for name in ["../x", "/etc/x", "a/../b", "a//b", "C:x", "a\\\\b", "a\\u0000", "con.txt", "\\u001b[2J"] {
            let sibling = format!(r#"{{"rfilename": "{name}", "size": 2, "blobId": "{SHA}"}}"#);
            assert_eq!(commit("a/b", &sibling).unwrap().files.len(), 0, "{name}");
        }
    }

    #[test]
    fn an_answer_that_cannot_be_right_is_refused() {
        let wrong = [
            (r#"{"rfilename": "x", "size": 2, "blobId": "../../x"}"#, "not a sum"),
            (r#"{"rfilename": "x"}"#, "neither size nor sum"),
        ];
        for (sibling, why) in wrong {
            let error = commit("a/b", &sibling.replace("SHA", SHA)).err().unwrap();
            assert!(error.to_string().contains(why), "{error}");
        }
        assert!(commit(&format!("a/b@{}", "1".repeat(40)), "").is_err(), "another commit");
        assert!(commit(&format!("a/b@{SHA}"), "").is_ok());
    }
}
