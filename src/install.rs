//! Install locations: the folders beside the program or the shared library, where ONNX Runtime and the default package
//! may lie.

use std::path::{Path, PathBuf};

use crate::system::{code_file, real_path};

/// Returns the folder of the file that holds this code, the folder `lib` next to it, and the same two folders of the program,
/// if that is another file. The file comes first: the files beside a C library belong to it, while those beside the program
/// may belong to another version.
pub(crate) fn own_folders() -> Vec<PathBuf> {
    let files = [code_file(), std::env::current_exe().ok()].into_iter().flatten();
    // follow links: the other files are beside the file, not beside a link to it
    let folder = |file: PathBuf| real_path(&file).ok()?.parent().map(Path::to_path_buf);
    let mut folders: Vec<_> = files.filter_map(folder).collect();
    folders.dedup();
    folders.into_iter().flat_map(|folder| [folder.clone(), folder.join("../lib")]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_this_program_is_the_first() {
        let program = real_path(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(own_folders().first().map(PathBuf::as_path), program.parent());
    }
}
