//! Missing dependencies of a library that cannot be loaded, direct and indirect.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::system::is_loadable;

/// A missing library that another library needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MissingLibrary {
    /// Name of the missing library, as in the file that needs it.
    pub name: String,
    /// The file that needs the missing library.
    pub needed_by: PathBuf,
}

/// Returns the libraries that `library` needs, directly or indirectly, and that the system does not find.
///
/// The list is empty if none is missing, or if the file is not a readable library.
pub fn missing_libraries(library: &Path) -> Vec<MissingLibrary> {
    let mut missing = Vec::new();
    let mut seen = HashSet::new();
    let mut open = vec![library.to_path_buf()];
    while let Some(file) = open.pop() {
        let Some(needs) = Needs::of(&file) else { continue };
        for name in needs.libraries {
            if !seen.insert(name.clone()) {
                continue;
            }
            match needs.folders.iter().map(|folder| folder.join(&name)).find(|path| path.is_file()) {
                Some(found) => open.push(found),
                None if is_loadable(&name) => {}
                None => missing.push(MissingLibrary { name, needed_by: file.clone() }),
            }
        }
    }
    missing
}

/// Lists the missing libraries in words, with the files that need them.
pub(crate) fn in_words(missing: &[MissingLibrary]) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut before = None;
    for one in missing {
        let file = one.needed_by.file_name().unwrap_or(one.needed_by.as_os_str()).to_string_lossy();
        match parts.last_mut().filter(|_| before == Some(&one.needed_by)) {
            Some(part) => *part += &format!(", {}", one.name),
            None => parts.push(format!("{file} needs {}", one.name)),
        }
        before = Some(&one.needed_by);
    }
    parts.join("; ")
}

/// The dependencies of a library, and the folders in which it looks for them.
struct Needs {
    libraries: Vec<String>,
    folders: Vec<PathBuf>,
}

impl Needs {
    fn of(file: &Path) -> Option<Self> {
        let own = file.canonicalize().ok()?.parent()?.to_path_buf();
        let bytes = std::fs::read(file).ok()?;
        let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        Some(match goblin::Object::parse(&bytes).ok()? {
            goblin::Object::Elf(elf) => {
                let own = own.to_string_lossy();
                let expand = |path: &str| PathBuf::from(path.replace("${ORIGIN}", &own).replace("$ORIGIN", &own));
                let lists = elf.runpaths.iter().chain(&elf.rpaths).flat_map(|list| list.split(':'));
                let asked = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
                let folders = std::env::split_paths(&asked).chain(lists.map(expand)).collect();
                Self { libraries: texts(&elf.libraries), folders }
            }
            goblin::Object::PE(pe) => Self { libraries: texts(&pe.libraries), folders: vec![own] },
            goblin::Object::Mach(goblin::mach::Mach::Binary(mach)) => {
                let own = own.to_string_lossy();
                let expand = |path: &str| path.replace("@loader_path", &own);
                let folders = mach.rpaths.iter().map(|path| PathBuf::from(expand(path))).collect();
                let itself = mach.name;
                let others = mach.libs.iter().filter(|lib| **lib != "self" && Some(**lib) != itself);
                Self { libraries: others.map(|lib| expand(lib).replace("@rpath/", "")).collect(), folders }
            }
            _ => return None,
        })
    }
}
