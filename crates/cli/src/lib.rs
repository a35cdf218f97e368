//! The program `ualm`: parses arguments, runs the command on the library, prints results and sets the exit code.
//!
//! Results go to standard output, everything else to standard error. Exit codes: 0 done (including a closed pipe),
//! 1 failed, 2 usage error, 130 interrupted.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable))]

mod advice;
mod args;
mod batch;
mod bench;
mod chat;
mod codec;
mod config;
mod converse;
mod default_package;
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
mod manual;
mod object;
mod output;
mod picture;
mod player;
mod progress;
mod rank;
mod reason;
#[cfg(feature = "server")]
mod serve;
mod setup;
mod show;
mod sound;
mod spectrogram;
mod stream;
mod system;
mod take;
mod terminal_picture;
mod text_picture;
#[cfg(feature = "server")]
mod wire;

use std::ffi::OsString;
use std::process::ExitCode;

use ualm::{ErrorKind, Result};

use args::{Command, Common};

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    ualm::internal::leave_out_current_folder();
    let arguments: Vec<_> = std::env::args_os().collect();
    let done = if arguments.len() < 2 { manual::greet() } else { run_arguments(arguments) };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if output::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::warn(&format!("error: {}", error.full_message()));
            if let Some(advice) = advice::on(error.kind()) {
                output::warn(&format!("hint: {advice}"));
            }
            ExitCode::from(match error.kind() {
                ErrorKind::Invalid => 2,
                ErrorKind::Cancelled => 130,
                _ => 1,
            })
        }
    }
}

/// Parses `arguments`, the first of which is the program, and runs the command.
fn run_arguments(arguments: Vec<OsString>) -> Result<()> {
    let args = args::parse(arguments);
    logger::start(args.common.quiet || matches!(args.command, Command::Doctor));
    let common = args.common.or_configured()?;
    run(args.command, &common)
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
        Command::Show(show) => show::run(common, &show),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { folder } => manual::man(&folder),
    }
}
