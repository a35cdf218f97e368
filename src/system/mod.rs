//! Differences between operating systems. Each rule is a function of a [`System`], so that the rules of all systems are tested on
//! each of them; calls of a single system are in functions with `#[cfg]`, a few lines each.
//!
//! | module | contents |
//! |---|---|
//! | `folders` | the user's folders of cache, configuration and state |
//! | `library` | dynamic libraries: names, loading, and the file that this code was loaded from |
//! | `paths` | valid file names, long paths, and paths as bytes |
//! | `replace` | replacement of files |
//!
//! The differences that only the program needs (signals, standard output, commands, players) are in `crates/cli/src/system`.

mod folders;
mod library;
mod paths;
mod replace;

pub use folders::{cache_folder, config_folder, state_folder};
pub use library::leave_out_current_folder;
pub(crate) use library::{
    code_file, hold_strictly, is_loadable, is_onnx_runtime, load_plugin, onnx_runtimes_in_process,
};
pub(crate) use paths::for_libraries;
pub use paths::{is_device, is_portable, path_of, real_path};
pub(crate) use replace::{is_in_use, sync_folder};
pub use replace::{is_replaceable, rename};

/// An operating system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// Linux, and other systems like it.
    Linux,
    /// macOS.
    MacOs,
    /// Windows.
    Windows,
}

impl System {
    /// The system that this code was built for.
    pub const CURRENT: Self = if cfg!(windows) {
        Self::Windows
    } else if cfg!(target_os = "macos") {
        Self::MacOs
    } else {
        Self::Linux
    };

    #[cfg(test)]
    pub(crate) const ALL: [Self; 3] = [Self::Linux, Self::MacOs, Self::Windows];
}
