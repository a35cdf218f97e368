//! Views: structs that C reads without a call, stored beside the memory that they point into.
//!
//! That memory is on the heap (`Vec`, `Box<[T]>`, `Arc`): it does not move with its owner, and never changes once the
//! view exists.

use std::ffi::c_char;
use std::sync::Arc;

use ualm::audio::Waveform;
use ualm::internal::counted;
use ualm::{Seconds, Segment, Tokens, Usage};

use super::boundary::{Failure, Result};
use super::names::{ualm_modality, ualm_segment_end};

/// Borrowed sound. This struct never grows.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ualm_samples {
    /// frames x channels samples, interleaved: left, right, left, right; full scale is -1 to 1. NULL when there are
    /// none.
    pub data: *const f32,
    /// The number of samples per channel.
    pub frames: usize,
    /// The number of channels; at least 1.
    pub channels: u32,
    /// The sample rate in Hz; at least 1.
    pub sample_rate: u32,
}

/// A segment of a reply. The library fills it; later versions may add fields at the end.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ualm_segment {
    /// Its size in this version of the library.
    pub struct_size: usize,
    /// The modality.
    pub modality: ualm_modality,
    /// The reason why the segment ended.
    pub end: ualm_segment_end,
    /// The NUL-terminated text of a text segment; "" for sound.
    pub text: *const c_char,
    /// Bytes of the text, without the NUL. (A model's text may contain NUL.)
    pub text_len: usize,
    /// The sound of a sound segment, NULL for text. It has no samples if the segment was too short.
    pub audio: *const ualm_samples,
    /// Token ids: frame_count positions of stream_count ids each, including the closing position.
    pub frames: *const u32,
    /// The number of positions.
    pub frame_count: usize,
    /// The number of ids per position.
    pub stream_count: usize,
}

/// The usage of a reply. The library fills it; later versions may add fields at the end.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ualm_usage {
    /// Its size in this version of the library.
    pub struct_size: usize,
    /// Positions of the prompt.
    pub prompt_frames: usize,
    /// Generated steps, including closing ones.
    pub steps: usize,
    /// Seconds spent on prompts and on the openings of segments.
    pub prefill_seconds: f64,
    /// Seconds spent on steps and on decoding sound.
    pub decode_seconds: f64,
}

impl ualm_usage {
    pub(super) fn new(usage: Usage, seconds: Seconds) -> Self {
        Self {
            struct_size: size_of::<Self>(),
            prompt_frames: usage.prompt_positions,
            steps: usage.steps,
            prefill_seconds: seconds.prefill,
            decode_seconds: seconds.decode,
        }
    }
}

/// A struct of pointers into memory that its owner keeps and does not change.
pub(super) struct View<T>(T);

// SAFETY: a view only holds addresses; its owner keeps the memory alive, and nothing writes to it.
unsafe impl<T> Send for View<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for View<T> {}

impl<T> View<T> {
    /// Wraps pointers into memory that the owner keeps and does not change.
    pub(super) fn new(view: T) -> Self {
        Self(view)
    }

    /// Returns the struct, for C.
    pub(super) fn get(&self) -> &T {
        &self.0
    }
}

/// A NUL-terminated text.
pub(super) struct Text(Box<[u8]>);

impl Text {
    pub(super) fn new(text: impl AsRef<[u8]>) -> Self {
        Self([text.as_ref(), b"\0"].concat().into())
    }

    pub(super) fn as_ptr(&self) -> *const c_char {
        self.0.as_ptr().cast()
    }

    /// The length in bytes, without the NUL.
    pub(super) fn len(&self) -> usize {
        self.0.len() - 1
    }
}

/// Sound that C may read.
pub(super) struct Samples {
    view: View<ualm_samples>,
    _data: Box<[f32]>,
}

impl Samples {
    /// Copies the samples of `sound`, interleaved.
    pub(super) fn new(sound: &Waveform) -> Arc<Self> {
        let data: Box<[f32]> = match sound.channels() {
            [one] => one.as_slice().into(),
            #[expect(clippy::indexing_slicing, reason = "the channels of a waveform are of one length")]
            channels => (0..sound.len()).flat_map(|frame| channels.iter().map(move |c| c[frame])).collect(),
        };
        let view = ualm_samples {
            data: if data.is_empty() { std::ptr::null() } else { data.as_ptr() },
            frames: sound.len(),
            channels: sound.channels().len() as u32,
            sample_rate: sound.sample_rate(),
        };
        Arc::new(Self { view: View::new(view), _data: data })
    }

    pub(super) fn view(&self) -> &ualm_samples {
        self.view.get()
    }
}

/// Copies the caller's sound.
///
/// # Safety
/// `pointer` is NULL or points to a valid `ualm_samples`.
pub(super) unsafe fn waveform(pointer: *const ualm_samples) -> Result<Waveform> {
    // SAFETY: same contract; every bit pattern is a `ualm_samples`.
    let [samples] = unsafe { super::argument::list(pointer, 1, "samples") }? else {
        return Err(Failure::null("samples"));
    };
    let channels = samples.channels as usize;
    let what = || format!("{} of {}", counted(samples.frames, "frame"), counted(channels, "channel"));
    let total = samples.frames.checked_mul(channels).filter(|_| channels > 0);
    let total =
        total.ok_or_else(|| Failure::invalid(format!("samples are {}: expected at least one channel", what())))?;
    // SAFETY: same contract.
    let data = unsafe { super::argument::list(samples.data, total, "data of the samples") }?;
    if let Some(at) = data.iter().position(|sample| !sample.is_finite()) {
        return Err(Failure::audio(format!("sample {at} of {} is not a finite number", what())));
    }
    let channel = |channel| data.iter().skip(channel).step_by(channels).copied().collect();
    Ok(Waveform::new((0..channels).map(channel).collect(), samples.sample_rate)?)
}

/// A segment that C may read.
pub(super) struct SegmentView {
    view: View<ualm_segment>,
    text: Text,
    audio: Option<Arc<Samples>>,
    _tokens: Tokens,
}

impl SegmentView {
    pub(super) fn new(segment: Segment) -> Arc<Self> {
        let text = Text::new(&segment.text);
        let audio = segment.audio.as_ref().map(Samples::new);
        let view = ualm_segment {
            struct_size: size_of::<ualm_segment>(),
            modality: segment.modality.into(),
            end: segment.end.into(),
            text: text.as_ptr(),
            text_len: text.len(),
            audio: audio.as_ref().map_or(std::ptr::null(), |audio| audio.view()),
            frames: segment.tokens.ids().as_ptr(),
            frame_count: segment.tokens.len(),
            stream_count: segment.tokens.width(),
        };
        Arc::new(Self { view: View::new(view), text, audio, _tokens: segment.tokens })
    }

    pub(super) fn view(&self) -> &ualm_segment {
        self.view.get()
    }

    /// Returns the text's bytes, without the NUL.
    pub(super) fn text(&self) -> &[u8] {
        self.text.0.split_last().map_or(&[], |(_, text)| text)
    }

    /// Returns the sound of a sound segment.
    pub(super) fn audio(&self) -> Option<&Arc<Samples>> {
        self.audio.as_ref()
    }
}
