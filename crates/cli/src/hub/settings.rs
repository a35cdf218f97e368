//! The environment variables of Hugging Face's tools: the hub, the cache and the token.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ualm::internal::read_text;
use ualm::{Error, ErrorKind, Result};

use super::origin::{is_base, without_login};

/// The default URL of the hub.
const HUB: &str = "https://huggingface.co";
/// The default time limit for a response, and for the next bytes of one.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The settings that `huggingface_hub` reads from the same variables.
pub struct Settings {
    /// The URL of the hub, without a slash at the end.
    pub endpoint: String,
    /// The URL without credentials, for messages.
    pub address: String,
    /// The user's token, if there is one.
    pub token: Option<Token>,
    /// The folder of the cache.
    pub cache: PathBuf,
    /// `true` if network requests are disabled.
    pub is_offline: bool,
    /// The time limit for a response, and for the next bytes of one.
    pub timeout: Duration,
    /// A file of certificates (PEM) to trust instead of the default ones.
    pub certificates: Option<PathBuf>,
}

/// A secret and the name of its source; only the source is ever shown.
#[derive(Clone)]
pub struct Token {
    secret: String,
    source: String,
}

impl Token {
    /// Returns the value of the `Authorization` header.
    pub fn header(&self) -> String {
        format!("Bearer {}", self.secret)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the token of {}", self.source)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl Settings {
    /// Reads the settings of this process.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for an invalid value.
    pub fn of_process() -> Result<Self> {
        let home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
        Self::read(&|name| std::env::var_os(name), home)
    }

    fn read(variable: &dyn Fn(&str) -> Option<OsString>, home: Option<PathBuf>) -> Result<Self> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let text = |name: &str| Some(set(name)?.to_string_lossy().trim().to_owned()).filter(|text| !text.is_empty());
        let is_true = |name: &str| text(name).is_some_and(|value| is_true(&value));
        let path = |name: &str| set(name).map(|value| from_home(PathBuf::from(value), home.as_ref()));
        let hugging_face = path("HF_HOME")
            .or_else(|| path("XDG_CACHE_HOME").map(|cache| cache.join("huggingface")))
            .or_else(|| home.as_ref().map(|home| home.join(".cache/huggingface")))
            .ok_or_else(|| invalid("there is no folder for downloads: name one with HF_HOME"))?;
        let endpoint = text("HF_ENDPOINT").unwrap_or_else(|| HUB.to_owned());
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        let address = without_login(&endpoint);
        if !is_base(&endpoint) {
            return Err(invalid(format!("HF_ENDPOINT is {address:?}; expected a URL, such as {HUB}")));
        }
        let token_file = path("HF_TOKEN_PATH").unwrap_or_else(|| hugging_face.join("token"));
        let token = if is_true("HF_HUB_DISABLE_IMPLICIT_TOKEN") { None } else { find_token(&text, &token_file)? };
        let timeout = match text("HF_HUB_DOWNLOAD_TIMEOUT").map(|value| (value.parse::<u32>(), value)) {
            None => TIMEOUT,
            Some((Ok(seconds), _)) if seconds > 0 => Duration::from_secs(seconds.into()),
            Some((_, value)) => {
                let what =
                    format!("HF_HUB_DOWNLOAD_TIMEOUT is {value:?}; expected a whole number of seconds, at least 1");
                return Err(invalid(what));
            }
        };
        let cache = path("HF_HUB_CACHE").or_else(|| path("HUGGINGFACE_HUB_CACHE"));
        Ok(Self {
            endpoint,
            address,
            token,
            cache: cache.unwrap_or_else(|| hugging_face.join("hub")),
            is_offline: is_true("HF_HUB_OFFLINE") || is_true("TRANSFORMERS_OFFLINE"),
            timeout,
            certificates: path("SSL_CERT_FILE"),
        })
    }
}

fn find_token(text: &dyn Fn(&str) -> Option<String>, file: &Path) -> Result<Option<Token>> {
    let of_variable = |name: &str| text(name).map(|secret| Token { secret, source: name.to_owned() });
    let of_file = || {
        let secret = read_text(file).ok()?.trim().to_owned();
        (!secret.is_empty()).then(|| Token { secret, source: file.display().to_string() })
    };
    let token = of_variable("HF_TOKEN").or_else(|| of_variable("HUGGING_FACE_HUB_TOKEN")).or_else(of_file);
    match token {
        Some(token) if !token.secret.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Err(invalid(format!("{token} is invalid: it has spaces or other characters that tokens never have")))
        }
        token => Ok(token),
    }
}

fn invalid(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, what)
}

fn is_true(value: &str) -> bool {
    ["1", "ON", "YES", "TRUE"].contains(&value.to_uppercase().as_str())
}

/// Returns `path` with a `~` at its beginning replaced by the home folder.
fn from_home(path: PathBuf, home: Option<&PathBuf>) -> PathBuf {
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Settings> {
        let find = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value));
        Settings::read(&find, Some("/home/me".into()))
    }

    fn cache(variables: &[(&str, &str)]) -> PathBuf {
        read(variables).unwrap().cache
    }

    #[test]
    fn the_cache_is_where_huggingface_hub_has_it() {
        assert_eq!(cache(&[]), PathBuf::from("/home/me/.cache/huggingface/hub"));
        assert_eq!(cache(&[("XDG_CACHE_HOME", "/x")]), PathBuf::from("/x/huggingface/hub"));
        assert_eq!(cache(&[("HF_HOME", "~/hf"), ("XDG_CACHE_HOME", "/x")]), PathBuf::from("/home/me/hf/hub"));
        assert_eq!(cache(&[("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HOME", "/x")]), PathBuf::from("/old"));
        assert_eq!(cache(&[("HF_HUB_CACHE", "/new"), ("HUGGINGFACE_HUB_CACHE", "/old")]), PathBuf::from("/new"));
        assert_eq!(cache(&[("HF_HUB_CACHE", "")]), PathBuf::from("/home/me/.cache/huggingface/hub"));
    }

    #[test]
    fn a_token_comes_from_a_variable_or_a_file_and_is_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "hf_file\n").unwrap();
        let home = folder.path().to_str().unwrap();
        let header = |variables: &[(&str, &str)]| read(variables).unwrap().token.map(|token| token.header());
        assert_eq!(header(&[("HF_HOME", home)]).as_deref(), Some("Bearer hf_file"));
        assert_eq!(header(&[("HF_HOME", home), ("HF_TOKEN", " hf_set ")]).as_deref(), Some("Bearer hf_set"));
        assert_eq!(header(&[("HF_HOME", home), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]), None);
        assert_eq!(header(&[("HF_HOME", home), ("HF_TOKEN", " ")]).as_deref(), Some("Bearer hf_file"));
        assert_eq!(header(&[]), None);
        let token = read(&[("HF_TOKEN", "hf_secret")]).unwrap().token.unwrap();
        assert_eq!(format!("{token:?} {token}"), "the token of HF_TOKEN the token of HF_TOKEN");
        let error = read(&[("HF_TOKEN", "hf_secret with words")]).err().unwrap();
        assert!(!error.full_message().contains("secret"), "{error}");
    }

    #[test]
    fn invalid_values_are_refused() {
        for wrong in ["huggingface.co", "https://", "https://a b", "https://huggingface.co/?q"] {
            assert!(read(&[("HF_ENDPOINT", wrong)]).is_err(), "{wrong}");
        }
        assert!(read(&[("HF_HUB_DOWNLOAD_TIMEOUT", "soon")]).is_err());
        assert_eq!(read(&[("HF_ENDPOINT", "https://mirror.example/")]).unwrap().endpoint, "https://mirror.example");
        assert!(read(&[("HF_HUB_OFFLINE", "True")]).unwrap().is_offline);
        assert!(!read(&[("HF_HUB_OFFLINE", "0")]).unwrap().is_offline);
    }
}
