//! Items for the other packages of this workspace. They are not public and may change in any version.

#[cfg(feature = "internal")]
pub mod benching;
#[cfg(feature = "internal")]
pub mod fuzzing;
#[cfg(feature = "schema")]
mod schema;

pub use crate::compare::{Comparer, Comparison, GraphComparison};
pub use crate::count::counted;
pub use crate::file::{hold_writes, remove_parts, unreadable, write_whole, write_whole_with};
pub use crate::memory::usable_memory;
pub use crate::runtime::find_library;
pub use crate::speed::{MachineSpeed, Operations, bytes_of_step, count_operations};
pub use crate::system::{
    System, cache_folder, config_folder, is_device, is_portable, is_replaceable, leave_out_current_folder, path_of,
    real_path, rename, state_folder,
};
pub use crate::utf8::{read_text, read_text_from, skip_mark, text_of};
#[cfg(feature = "schema")]
pub use schema::manifest_schema;
