//! The enumerations of the header, and their counterparts in Rust.
//!
//! They go out as what they are and come in as plain integers, because C may pass any number.

use ualm::audio::WavFormat;
use ualm::{Modality, Role, SegmentEnd};

use super::boundary::{Failure, Result};

/// What a segment of a reply, or a part of a prompt, is made of.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ualm_modality {
    /// None: the field says nothing in this place.
    None = 0,
    /// Words.
    Text = 1,
    /// Sound and music.
    Audio = 2,
    /// Spoken words.
    Speech = 3,
}

impl From<Modality> for ualm_modality {
    fn from(modality: Modality) -> Self {
        match modality {
            Modality::Text => Self::Text,
            Modality::Audio => Self::Audio,
            Modality::Speech => Self::Speech,
        }
    }
}

/// Who speaks.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ualm_role {
    /// Instructions that stand above the conversation.
    System = 1,
    /// The person.
    User = 2,
    /// The model.
    Assistant = 3,
}

/// Why a segment ended.
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
    /// An error came in between; the call fails with it.
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
            SegmentEnd::Failed => Self::Failed,
        }
    }
}

/// How samples are stored in a WAV file.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ualm_wav_format {
    /// 16-bit integers: rounded to the nearest, clipped at full scale.
    Pcm16 = 1,
    /// 32-bit floats, as they are.
    Float32 = 2,
}

/// The modality of the number `modality`.
pub(super) fn modality(modality: i32) -> Result<Modality> {
    Modality::ALL
        .into_iter()
        .find(|known| ualm_modality::from(*known) as i32 == modality)
        .ok_or_else(|| Failure::invalid(format!("modality {modality}; expected one of UALM_MODALITY_*")))
}

/// The role of the number `role`.
pub(super) fn role(role: i32) -> Result<Role> {
    match role {
        role if role == ualm_role::System as i32 => Ok(Role::System),
        role if role == ualm_role::User as i32 => Ok(Role::User),
        role if role == ualm_role::Assistant as i32 => Ok(Role::Assistant),
        other => Err(Failure::invalid(format!("role {other}; expected one of UALM_ROLE_*"))),
    }
}

/// The format of the number `format`.
pub(super) fn wav_format(format: i32) -> Result<WavFormat> {
    match format {
        format if format == ualm_wav_format::Pcm16 as i32 => Ok(WavFormat::Pcm16),
        format if format == ualm_wav_format::Float32 as i32 => Ok(WavFormat::Float32),
        other => Err(Failure::invalid(format!("WAV format {other}; expected one of UALM_WAV_FORMAT_*"))),
    }
}
