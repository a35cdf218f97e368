//! Reasoning in sound: chains of text and sound, spoken conversations, several takes of one prompt, and their ranking.

mod by_prompt;
mod caption;
mod converse;
mod cost;
mod estimate;
mod event;
mod options;
mod ranking;
mod runner;
mod score;
mod segments;
mod stages;
mod step;
mod takes;

pub use caption::{LayoutEvent, RichCaption};
pub use converse::{ConverseOptions, Converser, Spoken};
pub use cost::StageCost;
pub use event::{SegmentPosition, TakeEvent};
pub use options::ChainOptions;
pub use ranking::{Ranked, Ranking, RankingEvent};
pub use runner::ChainRunner;
pub use score::{Expected, Score};
pub use stages::Stages;
pub use step::{ChainSegment, ChainStep, ChainStop};
pub use takes::{MOST_AT_ONCE, Take, TakeRunner};

#[cfg(test)]
mod tests;
