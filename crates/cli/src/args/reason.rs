//! The arguments of `ualm reason`.

use std::num::NonZeroU32;
use std::path::PathBuf;

use super::sound::Takes;
use super::{Pictures, Playing, Samples, Sampling};

#[derive(clap::Args)]
pub struct Reason {
    /// Description of the sound, or - to read it from standard input
    pub prompt: Option<String>,
    /// Folder for the segments and reply.json; with --from, by default the folder of the saved chain
    #[arg(long, short, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Make a plan, then the sound
    #[arg(long, conflicts_with_all = ["dialogue", "reflect", "rounds", "listen"])]
    pub enrich: bool,
    /// Ask you a question, take your answer, make a plan, then the sound
    #[arg(long, conflicts_with_all = ["reflect", "rounds", "listen"])]
    pub dialogue: bool,
    /// Make a plan and a draft, then a critique and a revised sound
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
    /// Edit the plan in $EDITOR before the sound is made
    #[arg(long)]
    pub edit: bool,
    /// JSON file with instructions for the stages, in place of the package's own (docs/chains.md); for models that
    /// reason by prompt
    #[arg(long, hide_short_help = true, value_name = "FILE.json")]
    pub prompts: Option<PathBuf>,
    /// Resume a saved chain
    #[arg(long, value_name = "DIR/reply.json")]
    pub from: Option<PathBuf>,
    /// First segment to make again, by the number of its file
    #[arg(long, value_name = "N", requires = "from")]
    pub segment: Option<u16>,
    #[command(flatten)]
    pub samples: Samples,
    #[command(flatten)]
    pub takes: Takes,
    #[command(flatten)]
    pub playing: Playing,
    #[command(flatten)]
    pub pictures: Pictures,
    /// Maximum number of tokens of each text; by default the package's limit
    #[arg(long, hide_short_help = true, value_name = "N")]
    pub text_steps: Option<NonZeroU32>,
    #[command(flatten)]
    pub sampling: Sampling,
}
