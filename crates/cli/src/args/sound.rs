//! Options that several commands share: how sound is generated, where it is written, and how it is shown.

use std::path::PathBuf;

use super::Overrides;

/// Options of the commands that make one sound.
#[derive(clap::Args)]
pub struct Make {
    #[command(flatten)]
    pub output: StreamedOutput,
    #[command(flatten)]
    pub takes: Takes,
    #[command(flatten)]
    pub playing: Playing,
    #[command(flatten)]
    pub pictures: Pictures,
    #[command(flatten)]
    pub sampling: Sampling,
}

/// The file of a sound.
#[derive(clap::Args)]
pub struct Output {
    /// WAV file to write, or - for standard output; sound is streamed to a pipe while it is being made
    #[arg(long, short, value_name = "OUT.wav")]
    pub output: PathBuf,
    #[command(flatten)]
    pub samples: Samples,
}

/// The file of a sound that is streamed while it is being made.
#[derive(clap::Args)]
pub struct StreamedOutput {
    #[command(flatten)]
    pub file: Output,
    /// With -o -: write raw little-endian samples instead of a WAV file
    #[arg(long, hide_short_help = true)]
    pub raw: bool,
}

/// The format of samples.
#[derive(Clone, Copy, clap::Args)]
pub struct Samples {
    /// Write 32-bit float samples instead of 16-bit
    #[arg(long, hide_short_help = true)]
    pub float: bool,
}

/// The record in the file of a sound.
#[derive(clap::Args)]
pub struct StoredRecord {
    /// Do not store in the WAV file how the sound was made
    #[arg(long, hide_short_help = true)]
    pub no_take: bool,
}

/// The takes of one prompt.
#[derive(clap::Args)]
pub struct Takes {
    /// Make N takes (in a chain, of its last sound) with consecutive seeds: OUT.1.wav, OUT.2.wav …
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub takes: u16,
    /// Let the model listen to the takes and rank them, and write the best one to OUT.wav as well
    #[arg(long)]
    pub best: bool,
    #[command(flatten)]
    pub record: StoredRecord,
}

/// The playback of a sound.
#[derive(clap::Args)]
pub struct Playing {
    /// Play the sound
    #[arg(long)]
    pub play: bool,
    /// Program that plays WAV files; by default the first of the system's players that works
    #[arg(long, hide_short_help = true, env = "UALM_PLAYER", value_name = "PROGRAM")]
    pub player: Option<PathBuf>,
}

/// Pictures of the sound.
#[derive(clap::Args)]
pub struct Pictures {
    /// Draw the spectrogram to a PNG file; of several sounds, to OUT.1.png, OUT.2.png …
    #[arg(long, value_name = "OUT.png")]
    pub spectrogram: Option<PathBuf>,
    /// Draw the spectrogram in the terminal
    #[arg(long)]
    pub show: bool,
}

/// The seed and the sampling parameters.
#[derive(clap::Args)]
pub struct Sampling {
    /// Random seed; by default one is drawn and printed
    #[arg(long, env = "UALM_SEED")]
    pub seed: Option<u64>,
    #[command(flatten)]
    pub overrides: Overrides,
}
