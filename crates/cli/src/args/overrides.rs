//! Settings of a modality that a user or a request may give; what is not given is as the package says.

use serde::Deserialize;
use ualm::SegmentConfig;

/// Flags of the command line, and fields of a batch request.
#[derive(Clone, Copy, Default, clap::Args, Deserialize)]
#[command(next_help_heading = "Sampling")]
#[serde(deny_unknown_fields, default)]
pub struct Overrides {
    /// Softmax temperature; 0 takes the likeliest
    #[arg(long)]
    temperature: Option<f32>,
    /// Draw only from the K likeliest of each stream; 0 draws from all
    #[arg(long, hide_short_help = true, value_name = "K")]
    top_k: Option<usize>,
    /// Draw only from the likeliest that together reach probability P
    #[arg(long, hide_short_help = true, value_name = "P")]
    top_p: Option<f32>,
    /// Scale of classifier-free guidance; 1 is none
    #[arg(long, value_name = "SCALE")]
    guidance: Option<f32>,
    /// The most steps to make (text: tokens; sound: 50 or more a second)
    #[arg(long, hide_short_help = true, value_name = "N")]
    max_steps: Option<usize>,
    /// The fewest steps before the model may end
    #[arg(long, hide_short_help = true, value_name = "N")]
    min_steps: Option<usize>,
}

impl Overrides {
    /// Puts what was given in the place of what `segment` says.
    pub fn apply(&self, segment: &mut SegmentConfig) {
        segment.temperature = self.temperature.unwrap_or(segment.temperature);
        segment.top_k = self.top_k.unwrap_or(segment.top_k);
        segment.top_p = self.top_p.unwrap_or(segment.top_p);
        segment.guidance = self.guidance.unwrap_or(segment.guidance);
        segment.max_steps = self.max_steps.unwrap_or(segment.max_steps);
        segment.min_steps = self.min_steps.unwrap_or(segment.min_steps);
    }
}
