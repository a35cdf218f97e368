//! The command line: arguments to domain values, domain values to work, work to output and an exit code.
//!
//! Data goes to standard output, everything else to standard error. Exit codes: 0 done (a closed pipe included),
//! 1 failed, 2 a request that makes no sense, 130 interrupted.

mod args;
mod batch;
mod chat;
mod codec;
mod doctor;
mod inspect;
mod interrupt;
mod listen;
mod make;
mod output;
mod overrides;
mod picture;
mod progress;
mod rank;
mod reason;
mod setup;
mod sound;
mod take;

use std::process::ExitCode;

use clap::Parser;
use ualm::ErrorKind;

use args::{Args, Command};

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match args.command {
        Command::Generate(generate) => make::generate(&args.common, &generate),
        Command::Speak(speak) => make::speak(&args.common, &speak),
        Command::Ask(ask) => listen::ask(&args.common, &ask),
        Command::Transcribe(transcribe) => listen::transcribe(&args.common, &transcribe),
        Command::Reason(reason) => reason::run(&args.common, &reason),
        Command::Chat(chat) => chat::run(&args.common, &chat),
        Command::Take(take) => take::run(&args.common, &take),
        Command::Codec(codec) => codec::run(&args.common, &codec),
        Command::Batch(batch) => batch::run(&args.common, &batch),
        Command::Inspect(inspect) => inspect::run(&args.common, &inspect),
        Command::Doctor => doctor::run(&args.common),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if output::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&format!("error: {error}"));
            ExitCode::from(match error.kind() {
                ErrorKind::Invalid => 2,
                ErrorKind::Cancelled => 130,
                _ => 1,
            })
        }
    }
}
