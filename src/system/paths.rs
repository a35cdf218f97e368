//! Names of files and paths.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};
use std::str::Utf8Error;

use super::System;

/// Names that Windows reserves for devices, with any extension.
const DEVICES: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];
/// Reserved names that are followed by a digit from 1 to 9.
const NUMBERED_DEVICES: [&str; 2] = ["COM", "LPT"];

/// The longest path, in units of UTF-16, that functions of Windows take without a prefix (260), less room for what ONNX Runtime
/// appends: the names of files beside the given file.
const MAX_UNITS: usize = 180;

/// Returns whether Windows takes a file of this name for a device, in any folder: `NUL`, `con.wav`, `COM1`.
pub fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    let is_numbered = |device: &str| {
        let number = stem.strip_prefix(device).unwrap_or_default();
        matches!(number, "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³")
    };
    DEVICES.contains(&stem.as_str()) || NUMBERED_DEVICES.iter().any(|device| is_numbered(device))
}

/// Returns whether `name` names the same file on every system: a relative path with `/` between parts that are valid file names
/// on every system.
pub fn is_portable(name: &str) -> bool {
    name.split('/').all(is_portable_part)
}

fn is_portable_part(part: &str) -> bool {
    let is_refused = |c: char| c.is_control() || r#"\:*?"<>|"#.contains(c);
    // a name that ends with a dot is `.` or `..`, or Windows drops the dot, as it drops a space
    !part.is_empty() && !part.ends_with(['.', ' ']) && !part.contains(is_refused) && !is_device(part)
}

/// Returns the absolute path without links, in the usual form: on Windows without the prefix `\\?\`, unless the path is too long
/// without the prefix.
pub fn real_path(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    dunce::canonicalize(path)
}

/// Returns `path` in a form for libraries in C and C++: on Windows a long path gets the prefix `\\?\`, with which the functions of
/// Windows accept it in any program. Rust's standard library adds the prefix by itself.
pub(crate) fn for_libraries(path: &Path) -> Cow<'_, Path> {
    if System::CURRENT != System::Windows {
        return Cow::Borrowed(path);
    }
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    // a path that is not Unicode has no such form here
    match absolute.to_str().and_then(verbatim) {
        Some(verbatim) => Cow::Owned(verbatim.into()),
        None => Cow::Borrowed(path),
    }
}

/// Returns an absolute path of Windows with the prefix `\\?\`, if the path has no prefix and is too long without one.
fn verbatim(path: &str) -> Option<String> {
    if path.encode_utf16().count() < MAX_UNITS || path.starts_with(r"\\?\") || path.starts_with(r"\\.\") {
        return None;
    }
    let path = path.replace('/', r"\");
    match path.strip_prefix(r"\\") {
        Some(share) => Some(format!(r"\\?\UNC\{share}")),
        None => Some(format!(r"\\?\{path}")),
    }
}

/// Returns the path in `bytes` as C has it: any bytes on Unix, UTF-8 on Windows.
///
/// # Errors
/// The position of the first byte that is not UTF-8, on Windows.
pub fn path_of(bytes: &[u8]) -> Result<&Path, Utf8Error> {
    #[cfg(unix)]
    return Ok(Path::new(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(bytes)));
    #[cfg(not(unix))]
    std::str::from_utf8(bytes).map(Path::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn devices_are_known_by_their_names() {
        for name in ["NUL", "nul", "con.wav", "CON .txt", "Aux.0.wav", "COM1", "lpt9.png", "COM²", "CONOUT$"] {
            assert!(is_device(name), "{name}");
        }
        for name in ["", "NULL", "con-1.wav", "COM", "COM0", "COM10", "a.con", "console", "%43ON"] {
            assert!(!is_device(name), "{name}");
        }
    }

    #[test]
    fn portable_names_are_the_same_file_everywhere() {
        for name in ["manifest.json", "llm.onnx", "weights/llm.onnx.data", "a b", ".hidden", "Grüße 🎵"] {
            assert!(is_portable(name), "{name}");
        }
        for name in [
            "",
            "/etc/passwd",
            "a/",
            "a//b",
            ".",
            "..",
            "../a",
            "a/../b",
            r"..\a",
            r"a\b",
            r"\a",
            "C:a",
            r"C:\a",
            r"\\s\a",
            "a:stream",
            "NUL",
            "a/con.onnx",
            "a.",
            "a ",
            "a./b",
            "a*",
            "a?",
            "a\u{0}",
            "a\n",
            "a|b",
            "a<b",
            "a\"b",
        ] {
            assert!(!is_portable(name), "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn a_portable_name_stays_in_its_folder(name in r"[a/\\:. ]{0,8}") {
            let parts: Vec<_> = Path::new(&name).components().collect();
            let stays = parts.iter().all(|part| matches!(part, std::path::Component::Normal(_)));
            prop_assert!(!is_portable(&name) || stays && !parts.is_empty());
        }
    }

    #[test]
    fn long_paths_of_windows_get_a_prefix() {
        let long = "x".repeat(MAX_UNITS);
        for (path, expected) in [
            (format!(r"C:\a\{long}"), Some(format!(r"\\?\C:\a\{long}"))),
            (format!("C:/a/{long}"), Some(format!(r"\\?\C:\a\{long}"))),
            (format!(r"\\server\share\{long}"), Some(format!(r"\\?\UNC\server\share\{long}"))),
            (format!(r"\\?\C:\{long}"), None),
            (format!(r"\\.\pipe\{long}"), None),
            (r"C:\a\b".to_owned(), None),
            ("ä".repeat(MAX_UNITS - 1), None),
        ] {
            assert_eq!(verbatim(&path), expected, "{path}");
        }
    }

    #[test]
    fn a_path_of_c_is_its_bytes() {
        assert_eq!(path_of("Grüße.wav".as_bytes()).unwrap(), Path::new("Grüße.wav"));
        assert_eq!(path_of(b"a\xff").is_ok(), cfg!(unix));
    }
}
