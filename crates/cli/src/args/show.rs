//! The arguments of `ualm show`.

use std::path::PathBuf;

use super::Playing;

#[derive(clap::Args)]
pub struct Show {
    /// Recording (WAV, MP3, M4A, Opus, WebM …), or - for standard input
    pub audio: PathBuf,
    /// Draw to a PNG file instead
    #[arg(long, value_name = "OUT.png")]
    pub spectrogram: Option<PathBuf>,
    #[command(flatten)]
    pub playing: Playing,
}
