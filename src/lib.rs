//! A portable runtime for unified audio language models: one decoder-only language model that listens, writes and makes
//! sound (UALM, arXiv 2510.12000), on ONNX Runtime.
//!
//! ```no_run
//! use ualm::{Message, Modality, Model};
//!
//! # fn main() -> ualm::Result<()> {
//! let model = Model::load("onnx/default")?;
//! let config = model.config().only(Modality::Audio);
//! let mut session = model.session();
//! let prompt = session.prompt(&[Message::text("a dog barks")])?;
//! let reply = session.generate(prompt, &config)?.into_reply()?;
//! if let Some(sound) = reply.audio() {
//!     ualm::audio::write_wav("dog.wav", sound, ualm::audio::WavFormat::Pcm16)?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The path of the data: audio file → [`audio::Waveform`] → log-mel → encoder features → prompt → one step of the language
//! model after another → tokens → codec codes → waveform. [`Model`] is shared and immutable, a [`Session`] is one
//! conversation, a [`Generation`] is one reply in the making. A model's family is not known here: its vocabulary, layouts,
//! heads, template, codecs and state are values of the package's [manifest](package::Manifest).
//!
//! The crate holds no model. A checkout of the sources has the default package in `onnx/default`, a release archive in
//! `share/ualm/default`. ONNX Runtime is loaded at run time; [`Runtime::start`] says where it is looked for.
//!
//! # Glossary
//!
//! | term | meaning |
//! |---|---|
//! | token, id | a number of the [`Vocabulary`]: a piece of text, a codec code or a control token |
//! | position | one place of the sequence that the language model reads: one id, or one for each parallel stream |
//! | frame | one time step of a codec: a code of each of its books, usually 20 ms |
//! | book | a codebook of a codec: the codes that one residual level, or stream, may have |
//! | [`Layout`] | the rule by which frames of codes become positions, and what each position may hold |
//! | head | a part of the output matrix, by the ids of its columns |
//! | segment | a run of text or sound in a reply, with an opener before it and an end |
//! | turn | a prompt and the segments that reply to it |
//! | template | the words and ids around messages and segments |
//! | prefill | running many positions at once: a prompt |
//! | thinking | text that the model writes for itself before it answers |
//! | step | running one position, and drawing the next one |
//! | guidance | classifier-free guidance: a second, unconditional sequence from which the first is pushed away |
//! | KV cache | keys and values of all positions of a sequence, kept between steps |
//! | take | one reply of several to the same prompt |
//! | chain | a chain of reasoning: plan, sound, critique, sound |
//! | row, slot | a sequence in the cache of an [`Engine`]; a guided session has two |

#![warn(missing_docs)]
// types that may grow are #[non_exhaustive], the others give the reason
#![warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]
// no panics on input, no output, no exit; tests may do all of it
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unreachable,
        clippy::exit,
        clippy::print_stdout,
        clippy::print_stderr
    )
)]

// Used by all.
mod cancel;
mod count;
mod error;
mod limits;
mod modality;

// Conversations: messages in, replies out.
mod generate;
mod model;
mod prompt;
mod sampling;
mod session;
mod text;
mod token;

// Above conversations: chains, takes, rankings, records.
mod chain;
mod reason;
pub mod record;

// The parts of a model, and the engine that batches its steps.
pub mod audio;
mod cache;
mod codec;
#[allow(clippy::indexing_slicing, reason = "sessions and rows are indices that the engine assigns itself")]
mod engine;
mod language_model;
mod listen;

// Packages and ONNX Runtime.
pub mod package;
pub mod provider;
mod runtime;

// Measurements and comparisons.
#[allow(clippy::exhaustive_structs, reason = "public for the program alone")]
mod compare;
mod processor;
#[allow(clippy::exhaustive_structs, reason = "public for the program alone")]
mod speed;

// The operating system.
mod file;
mod hosts;
mod install;
mod memory;
#[allow(clippy::exhaustive_enums, reason = "public for the program alone")]
mod system;
mod time_limit;
mod utf8;

#[doc(hidden)]
pub mod internal;

pub use cancel::Cancel;
pub use chain::{Chain, ChainRequest, MOST_ROUNDS, ReasoningConfig, ReasoningMode, Stage, Wording};
pub use engine::{Engine, EngineOptions, EngineStats};
pub use error::{Error, ErrorKind, Result};
pub use generate::{
    Checkpoint, Draws, Event, Generation, GenerationConfig, Reply, Seconds, Segment, SegmentEnd, Usage,
};
pub use limits::Limits;
pub use modality::{Modality, SegmentConfig};
pub use model::Model;
/// The crate of the arrays in this interface ([`Codes`], features, embeddings), for callers that need the same version.
pub use ndarray;
pub use package::Package;
pub use processor::Processor;
pub use prompt::{Content, FeatureSlot, Message, Prompt, Role};
pub use provider::{Provider, ProviderReport, Providers};
pub use reason::{
    ChainOptions, ChainRunner, ChainSegment, ChainStep, ChainStop, ConverseOptions, Converser, Expected, LayoutEvent,
    MOST_AT_ONCE, Ranked, Ranking, RankingEvent, RichCaption, Score, SegmentPosition, Spoken, StageCost, Stages, Take,
    TakeEvent, TakeRunner,
};
pub use record::{Cut, Record};
pub use runtime::{CopiedBytes, GraphTime, Runtime, RuntimeOptions};
pub use session::{Mark, Session};
pub use token::{Codes, Ends, Interval, Layout, LayoutConfig, Pattern, TextIds, TokenId, Tokens, Vocabulary};
