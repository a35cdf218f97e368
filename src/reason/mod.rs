//! Reasoning in sound: chains of text and sound, several takes of one prompt, and their ranking.

mod caption;
mod chain;
mod ranking;
mod score;
mod stages;

pub use caption::{LayoutEvent, RichCaption};
pub use chain::{Chain, MOST_ROUNDS, ReasoningConfig, ReasoningMode, Stage};
pub use ranking::{Ranked, Ranking, RankingEvent};
pub use score::{Expected, Score};
pub use stages::Stages;
