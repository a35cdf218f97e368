//! The arguments of `ualm bench`.

use std::path::PathBuf;

use clap::ValueEnum;

use super::value::parse_duration;

#[derive(clap::Args)]
pub struct Bench {
    /// Model package, as for --model; by default the package of --model
    pub package: Option<PathBuf>,
    /// Measure only these parts (repeatable, or separated by commas)
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    pub only: Vec<Part>,
    /// Runs to measure of each part, after one warm-up; fewer of long ones
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..))]
    pub runs: u16,
    /// Lengths of prompts to measure, in positions
    #[arg(long, value_name = "POSITIONS", value_delimiter = ',', default_values_t = [64, 512, 1000])]
    pub prompt: Vec<usize>,
    /// Lengths of contexts to measure steps in, in positions
    #[arg(long, value_name = "POSITIONS", value_delimiter = ',', default_values_t = [128, 1024, 4096])]
    pub context: Vec<usize>,
    /// Length of the whole clip
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0, value_parser = parse_duration)]
    pub seconds: f64,
    /// Leave out the limits of the hardware, and their measurement
    #[arg(long)]
    pub no_limits: bool,
}

/// A part of a package that can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Part {
    /// A whole clip, and its peak memory
    Clip,
    /// Time from the prompt to the first sound, streamed
    First,
    /// Prefill of prompts
    Prefill,
    /// Steps of text and audio
    Steps,
    /// The codec, encoding and decoding
    Codec,
    /// A window of the audio encoder
    Encoder,
    /// Log-mel and resampling
    FrontEnd,
    /// Loading
    Load,
}
