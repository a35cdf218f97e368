//! The command line: one file per command, and one for each group of options that commands share.

mod ask;
mod batch;
mod bench;
mod chat;
mod codec;
mod common;
mod converse;
mod generate;
mod help;
mod inspect;
mod limits;
#[cfg(feature = "hub")]
pub mod model_name;
#[cfg(feature = "hub")]
mod models;
mod overrides;
#[cfg(feature = "hub")]
mod pull;
mod reason;
#[cfg(feature = "server")]
mod serve;
mod shard;
mod show;
mod sound;
mod speak;
mod take;
mod transcribe;
mod value;

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use clap_complete::Shell;

pub use ask::Ask;
pub use batch::{Batch, BatchCommand, BatchMerge, BatchRun};
pub use bench::{Bench, Part};
pub use chat::Chat;
pub use codec::{Codec, Direction};
pub use common::Common;
pub use converse::Converse;
pub use generate::Generate;
pub use help::{command, parse};
pub use inspect::Inspect;
pub use limits::LimitFlags;
#[cfg(feature = "hub")]
pub use model_name::ModelName;
#[cfg(feature = "hub")]
pub use models::{Models, ModelsCommand, RemoveModel};
pub use overrides::Overrides;
#[cfg(feature = "hub")]
pub use pull::Pull;
pub use reason::Reason;
#[cfg(feature = "server")]
pub use serve::Serve;
pub use shard::{Shard, seed_of};
pub use show::Show;
pub use sound::{Make, Output, Pictures, Playing, Samples, Sampling, StoredRecord, StreamedOutput};
pub use speak::Speak;
pub use take::Take;
pub use transcribe::Transcribe;

/// One model that listens, writes and makes sound.
#[derive(Parser)]
#[command(name = "ualm", bin_name = "ualm", version, disable_help_flag = true, disable_help_subcommand = true)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub common: Common,
}

/// The commands of the program.
#[derive(Subcommand)]
pub enum Command {
    /// Generate a sound from a description
    Generate(Generate),
    /// Answer a question about a recording
    Ask(Ask),
    /// Transcribe the speech in a recording
    Transcribe(Transcribe),
    /// Speak a text
    Speak(Speak),
    /// Plan, draft, critique and revise a sound: a chain of segments, each saved as it ends
    Reason(Reason),
    /// Answer a spoken question with a spoken answer
    Converse(Converse),
    /// Chat with the model in text and sound
    Chat(Chat),
    /// Show how a sound was made, reproduce it, or extend it
    Take(Take),
    /// Draw a recording's spectrogram in the terminal
    Show(Show),
    /// Convert sound to codec codes and back
    Codec(Codec),
    /// Run a file of requests, one JSON object per line
    Batch(Batch),
    /// Serve a web page and an API that is compatible with OpenAI's (docs/server.md)
    #[cfg(feature = "server")]
    Serve(Box<Serve>),
    /// Download a model package from the hub, or update it
    #[cfg(feature = "hub")]
    Pull(Pull),
    /// List the model packages on this machine and their capabilities
    #[cfg(feature = "hub")]
    Models(Models),
    /// Show the contents of a model package
    Inspect(Inspect),
    /// Measure the speed of a model package on this machine
    Bench(Bench),
    /// Check the library, the providers and the package, and run a short self-test
    Doctor,
    /// Print a completion script for a shell
    Completions {
        /// Shell to complete commands and options in
        shell: Shell,
    },
    /// Write the man pages to a folder
    #[command(hide = true)]
    Man {
        /// Folder for ualm.1 and a page for each command; created if missing
        folder: PathBuf,
    },
}
