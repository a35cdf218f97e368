//! The arguments of every command.

mod help;
mod limits;
#[cfg(feature = "hub")]
pub mod model_name;
mod overrides;
mod part;
#[cfg(feature = "server")]
mod serve;
mod shard;

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand};
use clap_complete::Shell;
use ualm::Providers;

use crate::system::PATH_DELIMITER;

pub use help::{command, parse};
pub use limits::LimitFlags;
#[cfg(feature = "hub")]
pub use model_name::ModelName;
pub use overrides::Overrides;
pub use part::Part;
#[cfg(feature = "server")]
pub use serve::Serve;
pub use shard::{Shard, seed_of};

/// One model that listens, writes and makes sound.
#[derive(Parser)]
#[command(name = "ualm", bin_name = "ualm", version, disable_help_flag = true, disable_help_subcommand = true)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub common: Common,
}

/// Options of every command.
#[derive(clap::Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Common {
    /// Model package: a folder, or OWNER/NAME[@REVISION] at the hub (docs/models.md); by default the one that comes with the
    /// program
    #[arg(long, short, global = true, env = "UALM_MODEL", value_name = "PACKAGE")]
    pub model: Option<PathBuf>,
    /// Accept the licence of a package from the hub that restricts its use
    #[cfg(feature = "hub")]
    #[arg(long, global = true, hide_short_help = true, alias = "accept-license", env = "UALM_ACCEPT_LICENCE", value_parser = clap::builder::FalseyValueParser::new())]
    pub accept_licence: bool,
    /// ONNX Runtime's library; by default ORT_DYLIB_PATH, beside the program, or the cache
    #[arg(long, global = true, hide_short_help = true, env = "UALM_LIBRARY", value_name = "FILE")]
    pub library: Option<PathBuf>,
    /// Threads to compute with; by default all that the process may use
    #[arg(long, global = true, hide_short_help = true, env = "UALM_THREADS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
    /// Where to compute: cpu, cuda, coreml, openvino, webgpu …, several in order of preference, or auto (docs/providers.md)
    /// [default: cpu]
    #[arg(long, global = true, env = "UALM_PROVIDER", value_name = "NAME")]
    pub provider: Option<Providers>,
    /// Plugin that offers providers (repeatable); those beside ONNX Runtime's library are found without
    #[arg(long, global = true, hide_short_help = true, env = "UALM_PROVIDER_LIBRARY", value_name = "FILE", value_delimiter = PATH_DELIMITER)]
    pub provider_library: Vec<PathBuf>,
    /// Time limit for loading a library
    #[arg(long, global = true, hide_short_help = true, env = "UALM_LOAD_TIMEOUT", value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    pub load_timeout: Option<u32>,
    /// Use less memory, above all for long recordings (docs/edge.md)
    #[arg(long, global = true, hide_short_help = true, env = "UALM_LOW_MEMORY", value_parser = clap::builder::FalseyValueParser::new())]
    pub low_memory: bool,
    /// File with defaults for these options (docs/providers.md); by default ualm/config.toml in the user's configuration
    #[arg(long, global = true, hide_short_help = true, env = "UALM_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print one JSON object instead of text
    #[arg(long, global = true, env = "UALM_JSON", value_parser = clap::builder::FalseyValueParser::new())]
    pub json: bool,
    /// No progress and no notes; errors and warnings remain
    #[arg(long, short, global = true, env = "UALM_QUIET", value_parser = clap::builder::FalseyValueParser::new())]
    pub quiet: bool,
    /// Print help; --help --all has every option
    #[arg(long, short, global = true, action = ArgAction::HelpShort)]
    help: Option<bool>,
    #[command(flatten)]
    pub limits: LimitFlags,
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
    /// Plan, make, criticise, make again: a chain of text and sound, saved segment by segment
    Reason(Reason),
    /// Hear a spoken question, answer it, and speak the answer
    Converse(Converse),
    /// Talk with the model over text and sound
    Chat(Chat),
    /// Show how a sound was made, make it again, or make it longer
    Take(Take),
    /// Draw a recording's spectrogram in the terminal
    Show(Show),
    /// Turn sound into codec codes and back
    Codec(Codec),
    /// Run a file of requests, one JSON object per line
    Batch(Batch),
    /// Serve a page to play with, and the model behind OpenAI's interface (docs/server.md)
    #[cfg(feature = "server")]
    Serve(Box<Serve>),
    /// Fetch a model package from the hub, or its newest revision
    #[cfg(feature = "hub")]
    Pull(Pull),
    /// List the model packages that are here, with what they can do
    #[cfg(feature = "hub")]
    Models(Models),
    /// Show what a model package holds
    Inspect(Inspect),
    /// Measure how fast a package runs on this machine
    Bench(Bench),
    /// Check the library, the providers and the package, and run a short self-test
    Doctor,
    /// Print a completion script for a shell
    Completions {
        /// The shell that completes the program's commands and options
        shell: Shell,
    },
    /// Write the man pages into a folder
    #[command(hide = true)]
    Man {
        /// Folder for ualm.1 and a page for each command; made if missing
        folder: PathBuf,
    },
}

#[derive(clap::Args)]
pub struct Generate {
    /// What to hear, or - to read it from standard input
    pub prompt: String,
    #[command(flatten)]
    pub make: Make,
}

#[derive(clap::Args)]
pub struct Speak {
    /// What to say, or - to read it from standard input
    pub text: String,
    #[command(flatten)]
    pub make: Make,
}

/// How the sound is made, and where it goes.
#[derive(clap::Args)]
pub struct Make {
    #[command(flatten)]
    pub output: Output,
    /// With -o -: bare samples, little-endian, instead of a WAV file
    #[arg(long, hide_short_help = true)]
    pub raw: bool,
    #[command(flatten)]
    pub takes: Takes,
    #[command(flatten)]
    pub playing: Playing,
    #[command(flatten)]
    pub pictures: Pictures,
    #[command(flatten)]
    pub sampling: Sampling,
}

/// Whether sound is played.
#[derive(clap::Args)]
pub struct Playing {
    /// Play the sound
    #[arg(long)]
    pub play: bool,
    /// Program that plays WAV files; by default the first of the system's that works
    #[arg(long, hide_short_help = true, env = "UALM_PLAYER", value_name = "PROGRAM")]
    pub player: Option<PathBuf>,
}

/// Pictures of the sound.
#[derive(clap::Args)]
pub struct Pictures {
    /// Draw the spectrogram into a PNG file; of several sounds, into OUT.1.png, OUT.2.png …
    #[arg(long, value_name = "OUT.png")]
    pub spectrogram: Option<PathBuf>,
    /// Draw the spectrogram in the terminal
    #[arg(long)]
    pub show: bool,
}

/// How many sounds of one prompt.
#[derive(clap::Args)]
pub struct Takes {
    /// Make N sounds (of a chain: of its last sound) with the seeds from --seed on: OUT.1.wav, OUT.2.wav …
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub takes: u16,
    /// Let the model listen to the takes, and also write the one that fits the prompt best to OUT.wav
    #[arg(long)]
    pub best: bool,
    /// Do not record in the WAV file how it was made
    #[arg(long, hide_short_help = true)]
    pub no_take: bool,
}

#[derive(clap::Args)]
pub struct Ask {
    /// Recording (WAV, MP3, M4A, Opus, WebM …), or - for standard input
    pub audio: PathBuf,
    /// The question; by default the package's own
    pub question: Option<String>,
    #[command(flatten)]
    pub pictures: Pictures,
    #[command(flatten)]
    pub sampling: Sampling,
}

#[derive(clap::Args)]
pub struct Transcribe {
    /// Recording (WAV, MP3, M4A, Opus, WebM …), or - for standard input
    pub audio: PathBuf,
    /// Print all that the model writes, with the sentence that some models put around a transcript
    #[arg(long)]
    pub raw: bool,
    /// Translate the words into English, where the model can
    #[arg(long)]
    pub translate: bool,
    #[command(flatten)]
    pub pictures: Pictures,
    #[command(flatten)]
    pub sampling: Sampling,
}

#[derive(clap::Args)]
pub struct Reason {
    /// What to hear, or - to read it from standard input
    pub prompt: Option<String>,
    /// Folder for the segments and reply.json; with --from, the default is the chain's own
    #[arg(long, short, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// A plan, then the sound
    #[arg(long, conflicts_with_all = ["dialogue", "reflect", "rounds", "listen"])]
    pub enrich: bool,
    /// A question to you, your answer, a plan, then the sound
    #[arg(long, conflicts_with_all = ["reflect", "rounds", "listen"])]
    pub dialogue: bool,
    /// A plan and a draft, then a critique and another sound
    #[arg(long)]
    pub reflect: bool,
    /// Rounds of reflection (implies --reflect); by default one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=32))]
    pub rounds: Option<u16>,
    /// Let the model hear its drafts through the audio encoder (implies --reflect)
    #[arg(long)]
    pub listen: bool,
    /// Text file with a plan to use instead of the model's, or - for standard input
    #[arg(long, value_name = "FILE")]
    pub plan: Option<PathBuf>,
    /// Open the plan in $EDITOR before sound is made from it
    #[arg(long)]
    pub edit: bool,
    /// JSON file with what to say to the model at each stage instead of the package's words (docs/chains.md); for models
    /// that reason by prompt
    #[arg(long, hide_short_help = true, value_name = "FILE.json")]
    pub prompts: Option<PathBuf>,
    /// Continue a saved chain
    #[arg(long, value_name = "DIR/reply.json")]
    pub from: Option<PathBuf>,
    /// The first segment to make again, by the number of its file
    #[arg(long, value_name = "N", requires = "from")]
    pub segment: Option<u16>,
    /// 32-bit float samples instead of 16-bit
    #[arg(long, hide_short_help = true)]
    pub float: bool,
    #[command(flatten)]
    pub takes: Takes,
    #[command(flatten)]
    pub playing: Playing,
    #[command(flatten)]
    pub pictures: Pictures,
    /// The most tokens of each text; by default as many as the package says
    #[arg(long, hide_short_help = true, value_name = "N")]
    pub text_steps: Option<NonZeroU32>,
    #[command(flatten)]
    pub sampling: Sampling,
}

#[derive(clap::Args)]
pub struct Converse {
    /// Recording of the question (WAV, MP3, M4A, Opus, WebM …), or - for standard input
    pub question: PathBuf,
    #[command(flatten)]
    pub output: Output,
    /// With -o -: bare samples, little-endian, instead of a WAV file
    #[arg(long, hide_short_help = true)]
    pub raw: bool,
    /// Do not record in the WAV file how it was made
    #[arg(long, hide_short_help = true)]
    pub no_take: bool,
    #[command(flatten)]
    pub playing: Playing,
    #[command(flatten)]
    pub pictures: Pictures,
    /// The most tokens of the answer; by default as many as the package says
    #[arg(long, hide_short_help = true, value_name = "N")]
    pub text_steps: Option<NonZeroU32>,
    #[command(flatten)]
    pub sampling: Sampling,
}

#[derive(clap::Args)]
pub struct Chat {
    /// When the context is full, go on with only the last N turns
    #[arg(long, hide_short_help = true, value_name = "N")]
    pub keep_last: Option<u16>,
    #[command(flatten)]
    pub thinking: Thinking,
    #[command(flatten)]
    pub playing: Playing,
    /// 32-bit float samples instead of 16-bit
    #[arg(long, hide_short_help = true)]
    pub float: bool,
    #[command(flatten)]
    pub pictures: Pictures,
    #[command(flatten)]
    pub sampling: Sampling,
}

/// Whether the model thinks before it answers, and whether its thoughts are shown.
#[derive(clap::Args)]
pub struct Thinking {
    /// Let the model think before it answers in text, or not; by default as the package says, and never about sound
    #[arg(long, value_name = "yes|no", value_parser = clap::builder::BoolishValueParser::new())]
    pub thinking: Option<bool>,
    /// Show the model's thoughts as well
    #[arg(long)]
    pub show_thinking: bool,
}

#[derive(clap::Args)]
pub struct Take {
    /// WAV file that ualm made
    pub file: PathBuf,
    /// Make it again from its prompt and seed, and check that every sample is the same
    #[arg(long, conflicts_with = "extend")]
    pub again: bool,
    /// Go on with the sound for so long, as in 5s or 2.5
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds, requires = "output")]
    pub extend: Option<f64>,
    /// WAV file to write, or - for standard output
    #[arg(long, short, value_name = "OUT.wav")]
    pub output: Option<PathBuf>,
    /// Seed for the longer part; by default the take's own, as if it had never stopped
    #[arg(long, env = "UALM_SEED")]
    pub seed: Option<u64>,
    #[command(flatten)]
    pub playing: Playing,
    #[command(flatten)]
    pub pictures: Pictures,
    #[command(flatten)]
    pub overrides: Overrides,
}

/// Seconds, with or without an s behind them.
fn parse_seconds(text: &str) -> Result<f64, String> {
    match text.strip_suffix('s').unwrap_or(text).trim().parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 3600.0 => Ok(seconds),
        _ => Err("expected seconds above 0 and up to 3600, as in 5s or 2.5".into()),
    }
}

/// Where sound goes.
#[derive(clap::Args)]
pub struct Output {
    /// WAV file to write, or - for standard output, where sound goes while it is being made, unless that is a file
    #[arg(long, short, value_name = "OUT.wav")]
    pub output: PathBuf,
    /// 32-bit float samples instead of 16-bit
    #[arg(long, hide_short_help = true)]
    pub float: bool,
}

/// How to draw.
#[derive(clap::Args)]
pub struct Sampling {
    /// Random seed; by default one is drawn and printed
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
        #[command(flatten)]
        pictures: Pictures,
    },
    /// Codes to sound
    Decode {
        /// NumPy file of int64 [streams, frames], or - for standard input
        codes: PathBuf,
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        playing: Playing,
        #[command(flatten)]
        pictures: Pictures,
    },
}

#[derive(clap::Args)]
pub struct Show {
    /// Recording (WAV, MP3, M4A, Opus, WebM …), or - for standard input
    pub audio: PathBuf,
    /// Draw into a PNG file instead
    #[arg(long, value_name = "OUT.png")]
    pub spectrogram: Option<PathBuf>,
    #[command(flatten)]
    pub playing: Playing,
}

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Batch {
    #[command(subcommand)]
    pub command: Option<BatchCommand>,
    #[command(flatten)]
    pub run: BatchRun,
}

#[derive(Subcommand)]
pub enum BatchCommand {
    /// Put the results of all shards into one file, if every request has exactly one
    Merge(BatchMerge),
}

#[derive(clap::Args)]
pub struct BatchRun {
    /// Requests, one JSON object per line (docs/batch.md), or - for standard input
    #[arg(required = true)]
    pub requests: Option<PathBuf>,
    /// Folder for results.jsonl and the sounds; results that are there already count
    #[arg(long, value_name = "DIR", required = true)]
    pub out: Option<PathBuf>,
    /// Write token frames into the results
    #[arg(long)]
    pub frames: bool,
    /// 32-bit float samples instead of 16-bit
    #[arg(long, hide_short_help = true)]
    pub float: bool,
    /// Draw a spectrogram beside every WAV file, ID.n.png
    #[arg(long)]
    pub spectrogram: bool,
    /// Draw the spectrograms in the terminal
    #[arg(long)]
    pub show: bool,
    /// Only the requests of shard I of N, as their ids decide, into results.I-of-N.jsonl
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Shard>,
    /// Requests to answer side by side
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub workers: u16,
    /// Answer the requests again that failed before
    #[arg(long)]
    pub retry_failed: bool,
    /// Begin anew; the results that are there are kept as results.previous.jsonl
    #[arg(long, conflicts_with = "retry_failed")]
    pub restart: bool,
}

#[derive(clap::Args)]
pub struct BatchMerge {
    /// The requests that the results must answer, each exactly once
    pub requests: PathBuf,
    /// Folder for results.jsonl and the sounds
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Folders of shards, or files of results; by default the folder of --out
    pub from: Vec<PathBuf>,
}

#[cfg(feature = "hub")]
#[derive(clap::Args)]
pub struct Pull {
    /// Package at the hub: OWNER/NAME, or OWNER/NAME@REVISION for a branch, a tag or a commit
    pub name: ModelName,
}

#[cfg(feature = "hub")]
#[derive(clap::Args)]
pub struct Models {
    #[command(subcommand)]
    pub command: Option<ModelsCommand>,
}

#[cfg(feature = "hub")]
#[derive(Subcommand)]
pub enum ModelsCommand {
    /// Remove a package from the cache, and what no other revision of it uses
    Remove(RemoveModel),
}

#[cfg(feature = "hub")]
#[derive(clap::Args)]
pub struct RemoveModel {
    /// Package: OWNER/NAME for all of its revisions, OWNER/NAME@REVISION for one
    pub name: ModelName,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}

#[derive(clap::Args)]
pub struct Inspect {
    /// Model package, as for --model; by default that
    pub package: Option<PathBuf>,
    /// Read every file and compare its sum
    #[arg(long)]
    pub verify: bool,
}

#[derive(clap::Args)]
pub struct Bench {
    /// Model package, as for --model; by default that
    pub package: Option<PathBuf>,
    /// Measure only these (repeatable, or separated by commas)
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    pub only: Vec<Part>,
    /// Runs of each, after one that does not count; fewer of what takes long
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..))]
    pub runs: u16,
    /// Lengths of prompts to run, in frames
    #[arg(long, value_name = "FRAMES", value_delimiter = ',', default_values_t = [64, 512, 1000])]
    pub prompt: Vec<usize>,
    /// Contexts to make steps in, in frames
    #[arg(long, value_name = "FRAMES", value_delimiter = ',', default_values_t = [128, 1024, 4096])]
    pub context: Vec<usize>,
    /// Length of the whole clip
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0, value_parser = parse_seconds)]
    pub seconds: f64,
    /// Leave out what this machine could do at best, and its measurement
    #[arg(long)]
    pub no_limits: bool,
}
