#![doc = "placeholder"]
pub mod audio;
mod error;
pub use error::{Error, ErrorKind, Result};
