//! Differences between operating systems that concern the program; the library's are in its own `system` module. Rules
//! are functions of a [`System`], so that they can be tested on any system.

mod command;
mod output;
mod players;
mod signals;

pub use command::{DEFAULT_EDITOR, PATH_DELIMITER, split_command};
pub use output::stdout_is_file;
pub use players::{player_names, players, quiet};
pub use signals::on_stop;
#[cfg(feature = "server")]
pub use signals::{Stop, stop_signal};

use ualm::internal::System;
