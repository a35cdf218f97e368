//! The arguments of every command.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::overrides::Overrides;

/// One model that listens, writes and makes sound.
#[derive(Parser)]
#[command(name = "ualm", version, about, propagate_version = true)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 a request that makes no sense, 130 interrupted.")]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub common: Common,
}

/// What every command takes.
#[derive(clap::Args)]
pub struct Common {
    /// Model package; by default the one that comes with the program
    #[arg(long, short, global = true, env = "UALM_MODEL", value_name = "PACKAGE")]
    pub model: Option<PathBuf>,
    /// ONNX Runtime's library; by default ORT_DYLIB_PATH, beside the program, or the cache
    #[arg(long, global = true, env = "UALM_LIBRARY", value_name = "FILE")]
    pub library: Option<PathBuf>,
    /// Threads to compute with; by default all that the process may use
    #[arg(long, global = true, env = "UALM_THREADS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
    /// Print one JSON object instead of text
    #[arg(long, global = true, env = "UALM_JSON")]
    pub json: bool,
    /// No progress and no remarks; errors and warnings remain
    #[arg(long, short, global = true, env = "UALM_QUIET")]
    pub quiet: bool,
}

#[derive(Subcommand)]
pub enum Command {
    /// Make sound from a description
    Generate(Generate),
    /// Answer a question about a recording
    Ask(Ask),
    /// Write down the speech in a recording
    Transcribe(Transcribe),
    /// Say a text
    Speak(Speak),
    /// Turn sound into codec codes and back
    Codec(Codec),
    /// Run a file of requests, one JSON object a line
    Batch(Batch),
    /// Show what a model package holds
    Inspect(Inspect),
    /// Check the library, the providers and the package, and run a short self-test
    Doctor,
}

#[derive(clap::Args)]
pub struct Generate {
    /// What to hear, or - to read it from standard input
    pub prompt: String,
    #[command(flatten)]
    pub output: Output,
    #[command(flatten)]
    pub sampling: Sampling,
}

#[derive(clap::Args)]
pub struct Speak {
    /// What to say, or - to read it from standard input
    pub text: String,
    #[command(flatten)]
    pub output: Output,
    #[command(flatten)]
    pub sampling: Sampling,
}

#[derive(clap::Args)]
pub struct Ask {
    /// Recording (WAV, FLAC, MP3, Ogg, M4A …), or - for standard input
    pub audio: PathBuf,
    /// The question; by default the package's own
    pub question: Option<String>,
    #[command(flatten)]
    pub sampling: Sampling,
}

#[derive(clap::Args)]
pub struct Transcribe {
    /// Recording (WAV, FLAC, MP3, Ogg, M4A …), or - for standard input
    pub audio: PathBuf,
    #[command(flatten)]
    pub sampling: Sampling,
}

/// Where sound goes.
#[derive(clap::Args)]
pub struct Output {
    /// WAV file to write, or - for standard output
    #[arg(long, short, value_name = "OUT.wav")]
    pub output: PathBuf,
    /// 32-bit float samples instead of 16-bit
    #[arg(long)]
    pub float: bool,
}

/// How to draw.
#[derive(clap::Args)]
pub struct Sampling {
    /// Seed of the random draws; by default one is drawn and printed
    #[arg(long, env = "UALM_SEED")]
    pub seed: Option<u64>,
    #[command(flatten)]
    pub overrides: Overrides,
}

#[derive(clap::Args)]
pub struct Codec {
    #[command(subcommand)]
    pub direction: Direction,
}

#[derive(Subcommand)]
pub enum Direction {
    /// Sound to codes: a NumPy file of int64 [streams, frames]
    Encode {
        /// Recording, or - for standard input
        audio: PathBuf,
        /// NumPy file to write, or - for standard output
        #[arg(long, short, value_name = "OUT.npy")]
        output: PathBuf,
    },
    /// Codes to sound
    Decode {
        /// NumPy file of int64 [streams, frames], or - for standard input
        codes: PathBuf,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(clap::Args)]
pub struct Batch {
    /// Requests, one JSON object a line (docs/batch.md), or - for standard input
    pub requests: PathBuf,
    /// Folder for results.jsonl and the sounds
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Write token frames into the results
    #[arg(long)]
    pub frames: bool,
    /// 32-bit float samples instead of 16-bit
    #[arg(long)]
    pub float: bool,
}

#[derive(clap::Args)]
pub struct Inspect {
    /// Model package; by default that of --model
    pub package: Option<PathBuf>,
    /// Read every file and compare its sum
    #[arg(long)]
    pub verify: bool,
}
