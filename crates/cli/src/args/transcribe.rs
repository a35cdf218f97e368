//! The arguments of `ualm transcribe`.

use std::path::PathBuf;

use super::{Pictures, Sampling};

#[derive(clap::Args)]
pub struct Transcribe {
    /// Recording (WAV, MP3, M4A, Opus, WebM …), or - for standard input
    pub audio: PathBuf,
    /// Print the model's whole answer, with the sentence that some models put around a transcript
    #[arg(long)]
    pub raw: bool,
    /// Translate the speech into English, if the model can
    #[arg(long)]
    pub translate: bool,
    #[command(flatten)]
    pub pictures: Pictures,
    #[command(flatten)]
    pub sampling: Sampling,
}
