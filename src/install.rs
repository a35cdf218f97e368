//! Where the program and the library are installed: ONNX Runtime and the default package may lie beside them.

use std::path::{Path, PathBuf};

/// Returns the folder of the program and `lib` next to it; then the same for the shared library that holds this code, such as
/// the C library, if there is one.
pub(crate) fn own_folders() -> Vec<PathBuf> {
    let files = [std::env::current_exe().ok(), shared_library()].into_iter().flatten();
    // links are followed: what lies beside the file does not lie beside a link to it
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
    // SAFETY: the address is one of this code, the place is writable; a result other than 0 means that it was written.
    let found = unsafe {
        match libc::dladdr((&raw const HERE).cast(), found.as_mut_ptr()) {
            0 => return None,
            _ => found.assume_init(),
        }
    };
    // SAFETY: `dli_fname` is NULL, or a string that lives as long as this code is loaded.
    let file = (!found.dli_fname.is_null()).then(|| unsafe { CStr::from_ptr(found.dli_fname) })?;
    // of a program the name that it was called by, which may be found in the current folder by chance
    Some(PathBuf::from(OsStr::from_bytes(file.to_bytes()))).filter(|file| file.is_absolute())
}

/// Windows finds a DLL beside the program, whose folder is searched anyway.
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
