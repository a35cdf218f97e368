//! The arguments of `ualm ask`.

use std::path::PathBuf;

use super::{Pictures, Sampling};

#[derive(clap::Args)]
pub struct Ask {
    /// Recording (WAV, MP3, M4A, Opus, WebM …), or - for standard input
    pub audio: PathBuf,
    /// Question; by default the package's own
    pub question: Option<String>,
    #[command(flatten)]
    pub pictures: Pictures,
    #[command(flatten)]
    pub sampling: Sampling,
}
