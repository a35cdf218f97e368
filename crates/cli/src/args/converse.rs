//! The arguments of `ualm converse`.

use std::num::NonZeroU32;
use std::path::PathBuf;

use super::{Output, Pictures, Playing, Sampling};

#[derive(clap::Args)]
pub struct Converse {
    /// Recording of the question (WAV, MP3, M4A, Opus, WebM …), or - for standard input
    pub question: PathBuf,
    #[command(flatten)]
    pub output: Output,
    /// With -o -: write raw little-endian samples instead of a WAV file
    #[arg(long, hide_short_help = true)]
    pub raw: bool,
    /// Do not store in the WAV file how the sound was made
    #[arg(long, hide_short_help = true)]
    pub no_take: bool,
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
