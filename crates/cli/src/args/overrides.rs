//! Sampling parameters that override the package's own.

use serde::Deserialize;
use ualm::SegmentConfig;

/// Sampling parameters of one modality: options of the command line, and fields of a batch request.
#[derive(Clone, Copy, Default, clap::Args, Deserialize)]
#[command(next_help_heading = "Sampling")]
#[serde(deny_unknown_fields, default)]
pub struct Overrides {
    /// Softmax temperature; 0 always takes the most likely token
    #[arg(long, allow_negative_numbers = true)] // refused with the range
    temperature: Option<f32>,
    /// Sample from the K most likely tokens of each stream; 0 samples from all
    #[arg(long, hide_short_help = true, value_name = "K")]
    top_k: Option<usize>,
    /// Sample from the most likely tokens whose probabilities add up to P
    #[arg(long, hide_short_help = true, value_name = "P", allow_negative_numbers = true)]
    top_p: Option<f32>,
    /// Scale of classifier-free guidance; 1 disables it
    #[arg(long, value_name = "SCALE", allow_negative_numbers = true)]
    guidance: Option<f32>,
    /// Maximum number of steps (text: tokens; sound: 50 or more per second)
    #[arg(long, hide_short_help = true, value_name = "N")]
    max_steps: Option<usize>,
    /// Minimum number of steps before the model may end
    #[arg(long, hide_short_help = true, value_name = "N")]
    min_steps: Option<usize>,
}

impl Overrides {
    /// Overrides the settings of `segment`.
    pub fn apply(&self, segment: &mut SegmentConfig) {
        segment.temperature = self.temperature.unwrap_or(segment.temperature);
        segment.top_k = self.top_k.unwrap_or(segment.top_k);
        segment.top_p = self.top_p.unwrap_or(segment.top_p);
        segment.guidance = self.guidance.unwrap_or(segment.guidance);
        segment.max_steps = self.max_steps.unwrap_or(segment.max_steps);
        segment.min_steps = self.min_steps.unwrap_or(segment.min_steps);
    }
}
