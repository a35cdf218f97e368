//! Install locations: the folders beside the program or the shared library, where ONNX Runtime and the default package
//! may lie.

use std::path::{Path, PathBuf};

/// Returns the folder of the program and `lib` next to it; then the same for the shared library that holds this code,
/// such as the C library, if there is one.
pub(crate) fn own_folders() -> Vec<PathBuf> {
    let files = [std::env::current_exe().ok(), shared_library()].into_iter().flatten();
    // follow links: the other files lie beside the file, not beside a link to it
    let folder = |file: PathBuf| file.canonicalize().ok()?.parent().map(Path::to_path_buf);
    let mut folders: Vec<_> = files.filter_map(folder).collect();
    folders.dedup();
    folders.into_iter().flat_map(|folder| [folder.clone(), folder.join("../lib")]).collect()
}

/// Returns the file that this code was loaded from: a shared library, or the program itself.
#[cfg(unix)]
#[allow(unsafe_code)]
fn shared_library() -> Option<PathBuf> {
    use std::ffi::{CStr, OsStr};
    use std::os::unix::ffi::OsStrExt;

    static HERE: u8 = 0;
    let mut found = std::mem::MaybeUninit::<libc::Dl_info>::uninit();
    // SAFETY: `HERE` is in this code, `found` is writable, and a result other than 0 means that it is initialized.
    let found = unsafe {
        if libc::dladdr((&raw const HERE).cast(), found.as_mut_ptr()) == 0 {
            return None;
        }
        found.assume_init()
    };
    // SAFETY: `dli_fname` is NULL, or a string that is valid while this code is loaded.
    let file = (!found.dli_fname.is_null()).then(|| unsafe { CStr::from_ptr(found.dli_fname) })?;
    // for a program this is the name it was called by, and a relative name may match another file in the current folder
    Some(PathBuf::from(OsStr::from_bytes(file.to_bytes()))).filter(|file| file.is_absolute())
}

/// Returns nothing: a DLL lies beside the program, the folder of which is searched anyway.
#[cfg(not(unix))]
fn shared_library() -> Option<PathBuf> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_this_program_is_the_first() {
        let program = std::env::current_exe().unwrap().canonicalize().unwrap();
        assert_eq!(own_folders().first().map(PathBuf::as_path), program.parent());
    }
}
