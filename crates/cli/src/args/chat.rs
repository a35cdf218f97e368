//! The arguments of `ualm chat`.

use super::{Pictures, Playing, Samples, Sampling};

#[derive(clap::Args)]
pub struct Chat {
    /// When the context is full, keep only the last N turns
    #[arg(long, hide_short_help = true, value_name = "N")]
    pub keep_last: Option<u16>,
    #[command(flatten)]
    pub thinking: Thinking,
    #[command(flatten)]
    pub playing: Playing,
    #[command(flatten)]
    pub samples: Samples,
    #[command(flatten)]
    pub pictures: Pictures,
    #[command(flatten)]
    pub sampling: Sampling,
}

/// The model's thinking before a text answer.
#[derive(clap::Args)]
pub struct Thinking {
    /// Enable or disable thinking before a text answer; by default the package decides; answers about sound never think
    #[arg(long, value_name = "yes|no", hide_possible_values = true, value_parser = clap::builder::BoolishValueParser::new())]
    pub thinking: Option<bool>,
    /// Show the model's thoughts as well
    #[arg(long)]
    pub show_thinking: bool,
}
