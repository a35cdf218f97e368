//! The arguments of `ualm converse`.

use std::num::NonZeroU32;
use std::path::PathBuf;

use super::{Pictures, Playing, Sampling, StoredRecord, StreamedOutput};

#[derive(clap::Args)]
pub struct Converse {
    /// Recording of the question (WAV, MP3, M4A, Opus, WebM …), or - for standard input
    pub question: PathBuf,
    #[command(flatten)]
    pub output: StreamedOutput,
    #[command(flatten)]
    pub record: StoredRecord,
    #[command(flatten)]
    pub playing: Playing,
    #[command(flatten)]
    pub pictures: Pictures,
    /// Maximum number of tokens of the answer; by default the package's limit
    #[arg(long, hide_short_help = true, value_name = "N")]
    pub text_steps: Option<NonZeroU32>,
    #[command(flatten)]
    pub sampling: Sampling,
}
