//! The parts of a package that `bench` measures.

use clap::ValueEnum;

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Part {
    /// A whole clip, and the memory it takes
    Clip,
    /// Words to the first sound, streamed
    First,
    /// Running prompts
    Prefill,
    /// Steps of text and audio
    Steps,
    /// The codec, both ways
    Codec,
    /// A window of the audio encoder
    Encoder,
    /// Log-mel and conversion of rates
    FrontEnd,
    /// Loading
    Load,
}
