//! The arguments of `ualm take`.

use std::path::PathBuf;

use super::value::parse_duration;
use super::{Overrides, Pictures, Playing};

#[derive(clap::Args)]
pub struct Take {
    /// WAV file made by ualm
    pub file: PathBuf,
    /// Make the sound again from its prompt and seed, and check that every sample is the same
    #[arg(long, conflicts_with = "extend")]
    pub again: bool,
    /// Extend the sound by this many seconds, as in 5s or 2.5
    #[arg(long, value_name = "SECONDS", value_parser = parse_duration, requires = "output")]
    pub extend: Option<f64>,
    /// WAV file to write with --again or --extend, in the sample format of FILE, or - for standard output
    #[arg(long, short, value_name = "OUT.wav")]
    pub output: Option<PathBuf>,
    /// Seed of the extension; by default the take's own, as if generation had never stopped
    #[arg(long, env = "UALM_SEED")]
    pub seed: Option<u64>,
    #[command(flatten)]
    pub playing: Playing,
    #[command(flatten)]
    pub pictures: Pictures,
    #[command(flatten)]
    pub overrides: Overrides,
}
