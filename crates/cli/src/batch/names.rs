//! File names of sounds, made of the ids of their requests in characters that every file system allows.

use std::collections::{HashMap, HashSet};

use ualm::internal::is_device;

use crate::args::seed_of;

/// The maximum length of the name made of an id; file systems allow 255 bytes in all.
const MAX_NAME: usize = 160;

/// Returns the file name of the sound of segment `index`, for a request with the file stem `stem`.
pub fn sound_name(stem: &str, index: usize) -> String {
    format!("{stem}.{index}.wav")
}

/// Returns the stem of a sound's file name.
pub fn stem_of(name: &str) -> &str {
    name.strip_suffix(".wav").and_then(|name| name.rsplit_once('.')).map_or("", |(stem, _)| stem)
}

/// Returns the file stem of each id. Stems that differ only in case, which are the same file on Windows and macOS, get
/// a suffix that is derived from the id.
pub fn stems<'a>(ids: impl Iterator<Item = &'a str>) -> HashMap<&'a str, String> {
    let mut stems: HashMap<&str, String> = ids.map(|id| (id, file_name(id))).collect();
    let mut seen = HashSet::new();
    let folded = stems.values().map(|stem| stem.to_ascii_lowercase());
    let doubled: HashSet<String> = folded.filter(|stem| !seen.insert(stem.clone())).collect();
    for (id, stem) in &mut stems {
        if doubled.contains(&stem.to_ascii_lowercase()) {
            *stem = format!("{stem}~{:016x}", seed_of(id));
        }
    }
    stems
}

/// Encodes `id` as a file name: bytes other than letters, digits, `-`, `_` and inner dots become `%` and two digits, as
/// does the first byte of a name that Windows reserves for a device. A long name is cut and gets a suffix that is
/// derived from the id.
fn file_name(id: &str) -> String {
    let plain =
        |index: usize, byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte) || (byte == b'.' && index > 0);
    let is_reserved = is_device(id);
    let name: String = id
        .bytes()
        .enumerate()
        .map(|(index, byte)| {
            let is_plain = plain(index, byte) && !(is_reserved && index == 0);
            if is_plain { char::from(byte).to_string() } else { format!("%{byte:02X}") }
        })
        .collect();
    match name.get(..MAX_NAME) {
        Some(beginning) if name.len() > MAX_NAME => format!("{beginning}~{:016x}", seed_of(id)),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_become_file_names_that_stay_in_the_folder() {
        assert_eq!(file_name("a-1.b_C"), "a-1.b_C");
        assert_eq!(file_name("../x y"), "%2E.%2Fx%20y");
        assert_eq!(file_name("ä"), "%C3%A4");
    }

    #[test]
    fn device_names_are_escaped() {
        assert_eq!(file_name("con"), "%63on");
        assert_eq!(file_name("COM1.a"), "%43OM1.a");
        assert_eq!(file_name("con-1"), "con-1");
    }

    #[test]
    fn long_ids_become_short_names_that_differ() {
        let one = file_name(&("é".repeat(500) + "1"));
        let two = file_name(&("é".repeat(500) + "2"));
        assert!(one.len() < 200 && one != two);
    }

    #[test]
    fn ids_that_differ_only_in_case_get_different_files() {
        let stems = stems(["Dog", "dog", "cat", "DOG"].into_iter());
        assert_eq!(stems["cat"], "cat");
        let dogs: HashSet<_> = ["Dog", "dog", "DOG"].map(|id| stems[id].to_lowercase()).into();
        assert_eq!(dogs.len(), 3);
        assert!(stems["Dog"].starts_with("Dog~"));
    }

    proptest! {
        #[test]
        fn sounds_of_different_ids_are_different_files(ids in prop::collection::hash_set("[aAbN.%é~ ]{0,3}|(?i)nul|(?i)con.a", 1..12)) {
            let stems = stems(ids.iter().map(String::as_str));
            let files: HashSet<_> = stems.values().map(|stem| sound_name(stem, 0).to_lowercase()).collect();
            prop_assert_eq!(files.len(), ids.len());
            for stem in stems.values() {
                let name = sound_name(stem, 3);
                prop_assert!(!is_device(&name) && !name.contains(['/', '\\', ':']) && !name.starts_with("..") && stem_of(&name) == stem);
            }
        }
    }
}
