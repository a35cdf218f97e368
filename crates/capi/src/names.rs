//! The enumerations of the header, and their counterparts in Rust.
//!
//! The library returns them as enumerations and accepts plain integers, because C may pass any number.

use ualm::audio::WavFormat;
use ualm::{Modality, ReasoningMode, Role, SegmentEnd, Stage};

use super::boundary::{Failure, Result};

/// The modality of a segment of a reply, or of a part of a prompt.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ualm_modality {
    /// None: the field does not apply.
    None = 0,
    /// Text.
    Text = 1,
    /// Sound and music.
    Audio = 2,
    /// Speech.
    Speech = 3,
    /// The model's thoughts before a text answer.
    Thinking = 4,
}

impl From<Modality> for ualm_modality {
    fn from(modality: Modality) -> Self {
        match modality {
            Modality::Text => Self::Text,
            Modality::Audio => Self::Audio,
            Modality::Speech => Self::Speech,
            Modality::Thinking => Self::Thinking,
            _ => Self::None,
        }
    }
}

/// The speaker's role.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ualm_role {
    /// Instructions for the whole conversation.
    System = 1,
    /// The user.
    User = 2,
    /// The model.
    Assistant = 3,
}

/// The reason why a segment ended.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ualm_segment_end {
    /// The model ended its turn.
    Eos = 1,
    /// The model ended the segment; another one follows, unless the limit on segments forbids it.
    Eot = 2,
    /// The limit on steps was reached.
    Limit = 3,
    /// The model's context is full.
    Context = 4,
    /// Stopped on request.
    Cancelled = 5,
    /// An error occurred; the call fails with this error.
    Failed = 6,
}

impl From<SegmentEnd> for ualm_segment_end {
    fn from(end: SegmentEnd) -> Self {
        match end {
            SegmentEnd::Eos => Self::Eos,
            SegmentEnd::Eot => Self::Eot,
            SegmentEnd::Limit => Self::Limit,
            SegmentEnd::Context => Self::Context,
            SegmentEnd::Cancelled => Self::Cancelled,
            _ => Self::Failed,
        }
    }
}

/// A mode of reasoning (docs/reply.md).
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ualm_reasoning_mode {
    /// The package's mode, or that of the resumed chain.
    Usual = 0,
    /// A plan, then the sound.
    Enrich = 1,
    /// A question, the user's answer, a plan, then the sound.
    Dialogue = 2,
    /// A plan and a sound, then in each round a critique of the last sound and a revised sound.
    Reflect = 3,
}

/// A stage of a chain of reasoning.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ualm_stage {
    /// None: there is no such stage, or the segment is not part of a chain.
    None = 0,
    /// A question of the model: text.
    Question = 1,
    /// The user's answer.
    Answer = 2,
    /// The model's plan of the sound: text.
    Plan = 3,
    /// A sound that is followed by a critique.
    Draft = 4,
    /// Listening to the draft through the audio encoder; it makes no segment.
    Listen = 5,
    /// The model's critique of its draft: text.
    Critique = 6,
    /// The final sound.
    Final = 7,
    /// The model's description of its draft, in a chain by prompt: text.
    Description = 8,
}

impl From<Stage> for ualm_stage {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::Question => Self::Question,
            Stage::Answer => Self::Answer,
            Stage::Plan => Self::Plan,
            Stage::Draft => Self::Draft,
            Stage::Listen => Self::Listen,
            Stage::Description => Self::Description,
            Stage::Critique => Self::Critique,
            Stage::Final => Self::Final,
            _ => Self::None,
        }
    }
}

/// The reason why a chain cannot continue after a stage. Its record has everything made so far, and the chain can be
/// resumed from it.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ualm_stop_reason {
    /// None: the chain continues.
    None = 0,
    /// Stopped on request.
    Cancelled = 1,
    /// The model's context is full.
    Context = 2,
    /// The segment, or another take of it, failed; the next call for an event fails with the error.
    Failed = 3,
    /// All takes were made, but not ranked; the next call for an event fails with the error.
    NotRanked = 4,
}

/// The sample format of a WAV file.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ualm_wav_format {
    /// 16-bit integers: rounded to the nearest, clipped at full scale.
    Pcm16 = 1,
    /// 32-bit floats, unchanged.
    Float32 = 2,
}

/// Returns the modality with the number `modality`.
pub(super) fn modality(modality: i32) -> Result<Modality> {
    Modality::ALL
        .into_iter()
        .find(|known| ualm_modality::from(*known) as i32 == modality)
        .ok_or_else(|| Failure::invalid(format!("modality {modality}; expected one of UALM_MODALITY_*")))
}

/// Returns the role with the number `role`.
pub(super) fn role(role: i32) -> Result<Role> {
    match role {
        role if role == ualm_role::System as i32 => Ok(Role::System),
        role if role == ualm_role::User as i32 => Ok(Role::User),
        role if role == ualm_role::Assistant as i32 => Ok(Role::Assistant),
        other => Err(Failure::invalid(format!("role {other}; expected one of UALM_ROLE_*"))),
    }
}

/// Returns the mode of reasoning with the number `mode`; `None` for the default.
pub(super) fn reasoning_mode(mode: i32) -> Result<Option<ReasoningMode>> {
    match mode {
        mode if mode == ualm_reasoning_mode::Usual as i32 => Ok(None),
        mode if mode == ualm_reasoning_mode::Enrich as i32 => Ok(Some(ReasoningMode::Enrich)),
        mode if mode == ualm_reasoning_mode::Dialogue as i32 => Ok(Some(ReasoningMode::Dialogue)),
        mode if mode == ualm_reasoning_mode::Reflect as i32 => Ok(Some(ReasoningMode::Reflect)),
        other => Err(Failure::invalid(format!("mode {other}; expected one of UALM_REASONING_MODE_*"))),
    }
}

/// Returns the format with the number `format`.
pub(super) fn wav_format(format: i32) -> Result<WavFormat> {
    match format {
        format if format == ualm_wav_format::Pcm16 as i32 => Ok(WavFormat::Pcm16),
        format if format == ualm_wav_format::Float32 as i32 => Ok(WavFormat::Float32),
        other => Err(Failure::invalid(format!("WAV format {other}; expected one of UALM_WAV_FORMAT_*"))),
    }
}
