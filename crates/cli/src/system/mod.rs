//! Differences between operating systems for the program; those for the library are in `src/system`. As there, each rule is a function of a
//! [`System`], and is tested on any of them.

mod command;
mod output;
mod players;
mod signals;

pub use command::{PATH_DELIMITER, USUAL_EDITOR, split_command};
pub use output::stdout_is_file;
pub use players::{player_names, players, quiet};
pub use signals::on_stop;
#[cfg(feature = "server")]
pub use signals::{Stop, stop_signal};

use ualm::internal::System;
