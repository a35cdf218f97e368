//! Reasoning in sound: chains of text and sound, spoken conversations, several takes of one prompt, and their ranking.

mod by_prompt;
mod caption;
mod converse;
mod cost;
mod event;
mod ranking;
mod runner;
mod score;
mod stages;
mod takes;

pub use caption::{LayoutEvent, RichCaption};
pub use converse::{ConverseOptions, Converser, Spoken};
pub use cost::StageCost;
pub use event::{SegmentPosition, TakeEvent};
pub use ranking::{Ranked, Ranking, RankingEvent};
pub use runner::{ChainOptions, ChainRunner, ChainSegment, ChainStep, ChainStop};
pub use score::{Expected, Score};
pub use stages::Stages;
pub use takes::{MOST_AT_ONCE, Take, TakeRunner};

#[cfg(test)]
mod tests;
