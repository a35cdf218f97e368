//! The program `ualm`: arguments to domain values, domain values to work, work to output and an exit code.
//!
//! Data goes to standard output, everything else to standard error. Exit codes: 0 done (a closed pipe included),
//! 1 failed, 2 usage error, 130 interrupted.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable))]

mod args;
mod batch;
mod bench;
mod chat;
mod codec;
mod config;
mod converse;
mod doctor;
#[cfg(feature = "hub")]
mod hub;
mod in_order;
mod inspect;
#[cfg(feature = "internal")]
#[doc(hidden)]
pub mod internal;
mod interrupt;
mod listen;
mod logger;
mod make;
mod object;
mod output;
mod picture;
mod progress;
mod rank;
mod reason;
#[cfg(feature = "server")]
mod serve;
mod setup;
mod sound;
mod stream;
mod take;
mod terminal_picture;
#[cfg(feature = "server")]
mod wire;

use std::process::ExitCode;

use clap::Parser;
use ualm::{ErrorKind, Result};

use args::{Args, Command, Common};

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    let args = Args::parse();
    logger::start(args.common.quiet || matches!(args.command, Command::Doctor));
    let result = args.common.or_configured().and_then(|common| run(args.command, &common));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if output::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::warn(&format!("error: {}", error.full_message()));
            ExitCode::from(match error.kind() {
                ErrorKind::Invalid => 2,
                ErrorKind::Cancelled => 130,
                _ => 1,
            })
        }
    }
}

fn run(command: Command, common: &Common) -> Result<()> {
    match command {
        Command::Generate(generate) => make::generate(common, &generate),
        Command::Speak(speak) => make::speak(common, &speak),
        Command::Ask(ask) => listen::ask(common, &ask),
        Command::Transcribe(transcribe) => listen::transcribe(common, &transcribe),
        Command::Reason(reason) => reason::run(common, &reason),
        Command::Converse(converse) => converse::run(common, &converse),
        Command::Chat(chat) => chat::run(common, &chat),
        Command::Take(take) => take::run(common, &take),
        Command::Codec(codec) => codec::run(common, &codec),
        Command::Batch(batch) => batch::run(common, &batch),
        #[cfg(feature = "server")]
        Command::Serve(serve) => serve::run(common, &serve),
        #[cfg(feature = "hub")]
        Command::Pull(pull) => hub::pull(common, &pull),
        #[cfg(feature = "hub")]
        Command::Models(models) => hub::models(common, &models),
        Command::Inspect(inspect) => inspect::run(common, &inspect),
        Command::Bench(bench) => bench::run(common, &bench),
        Command::Doctor => doctor::run(common),
    }
}
