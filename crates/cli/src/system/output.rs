//! The kind of standard output.

use std::fs::File;
use std::io::stdout;

/// Returns whether standard output is a regular file, to which sound is not streamed: a whole WAV file has a correct
/// header.
pub fn stdout_is_file() -> bool {
    #[cfg(unix)]
    let handle = std::os::fd::AsFd::as_fd(&stdout()).try_clone_to_owned();
    #[cfg(windows)]
    let handle = std::os::windows::io::AsHandle::as_handle(&stdout()).try_clone_to_owned();
    handle.map(File::from).and_then(|file| file.metadata()).is_ok_and(|metadata| metadata.is_file())
}
