//! Options of generation.

use ualm::{GenerationConfig, SegmentConfig};

use super::argument::list;
use super::boundary::{Failure, Result, entry, ualm_status};
use super::handle::share;
use super::model::ualm_model;
use super::names::modality;
use super::sized::{Options, fill, flag, read};

/// Settings of the segments of one modality. This struct never grows.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ualm_segment_options {
    /// Softmax temperature; 0 always takes the most likely id.
    pub temperature: f32,
    /// Sample from the most likely ids whose probabilities add up to top_p; 1 keeps all.
    pub top_p: f32,
    /// Scale of classifier-free guidance; 1 disables it.
    pub guidance: f32,
    /// Sample from the top_k most likely ids of each stream; 0 keeps all.
    pub top_k: u32,
    /// The maximum number of steps of a segment, including the closing one.
    pub max_steps: u32,
    /// The minimum number of steps before the model may close a segment, or end its sound; 0 sets no minimum.
    pub min_steps: u32,
}

impl From<&SegmentConfig> for ualm_segment_options {
    fn from(config: &SegmentConfig) -> Self {
        let clamped = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Self {
            temperature: config.temperature,
            top_p: config.top_p,
            guidance: config.guidance,
            top_k: clamped(config.top_k),
            max_steps: clamped(config.max_steps),
            min_steps: clamped(config.min_steps),
        }
    }
}

impl From<ualm_segment_options> for SegmentConfig {
    fn from(options: ualm_segment_options) -> Self {
        Self::default()
            .temperature(options.temperature)
            .top_p(options.top_p)
            .guidance(options.guidance)
            .top_k(options.top_k as usize)
            .max_steps(options.max_steps as usize)
            .min_steps(options.min_steps as usize)
    }
}

/// The options of a reply.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ualm_generation_options {
    /// Written by ualm_generation_options_init.
    pub struct_size: usize,
    /// The random seed. The same seed reproduces a reply with the same package, library and number of threads.
    pub seed: u64,
    /// The maximum number of segments of a reply.
    pub max_segments: usize,
    /// Modalities (ualm_modality) of the first segments, in order; the model chooses the modalities of further ones.
    /// Borrowed.
    pub force: *const i32,
    /// The number of modalities in `force`.
    pub force_len: usize,
    /// Settings of text segments.
    pub text: ualm_segment_options,
    /// Settings of audio segments.
    pub audio: ualm_segment_options,
    /// Settings of speech segments.
    pub speech: ualm_segment_options,
    /// 1 streams sound with low latency, in short chunks first, at some cost in speed; 0 in chunks of a few seconds, or
    /// at the end of its segment.
    pub stream_audio: i32,
    /// 1 continues with the remaining modalities of `force` when the model ends its turn early, or a segment reaches
    /// its limit.
    pub insist: i32,
    /// 1 lets the model think before a text answer, in a segment of its own (UALM_MODALITY_THINKING), if it was trained
    /// to and the prompt has no sound. The limit on the steps of `text` includes the thoughts.
    pub thinking: i32,
    /// Must be 0.
    pub reserved: i32,
}

// SAFETY: integers, floats and a raw pointer.
unsafe impl Options for ualm_generation_options {
    const NAME: &'static str = "ualm_generation_options";
    const OLDEST: usize = std::mem::offset_of!(Self, thinking);
}

impl From<&GenerationConfig> for ualm_generation_options {
    fn from(config: &GenerationConfig) -> Self {
        Self {
            struct_size: size_of::<Self>(),
            seed: config.seed,
            max_segments: config.max_segments,
            force: std::ptr::null(),
            force_len: 0,
            text: (&config.text).into(),
            audio: (&config.audio).into(),
            speech: (&config.speech).into(),
            stream_audio: i32::from(config.stream_audio),
            insist: i32::from(config.insist),
            thinking: i32::from(config.thinking),
            reserved: 0,
        }
    }
}

/// Fills `options` with the model's defaults, seed 0 and nothing forced; `struct_size` is sizeof *options.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_generation_options_init(
    options: *mut ualm_generation_options,
    struct_size: usize,
    model: *const ualm_model,
) -> ualm_status {
    // SAFETY: per the header's contract.
    entry(|| unsafe { fill(options, struct_size, (&share(model)?.0.config()).into()) })
}

/// Reads the settings at `pointer`, with the model's `defaults`.
///
/// # Safety
/// The header's contract for `ualm_generation_options`.
pub(super) unsafe fn generation_config(
    pointer: *const ualm_generation_options,
    defaults: GenerationConfig,
) -> Result<GenerationConfig> {
    // SAFETY: same contract.
    let options = unsafe { read(pointer, (&defaults).into()) }?;
    // SAFETY: same contract.
    let force = unsafe { list(options.force, options.force_len, "force") }?;
    let mut config = defaults;
    config.seed = options.seed;
    config.max_segments = options.max_segments;
    config.force = force.iter().map(|number| modality(*number)).collect::<Result<_>>()?;
    config.text = options.text.into();
    config.audio = options.audio.into();
    config.speech = options.speech.into();
    config.stream_audio = flag(options.stream_audio, "stream_audio")?;
    config.insist = flag(options.insist, "insist")?;
    config.thinking = flag(options.thinking, "thinking")?;
    if options.reserved != 0 {
        return Err(Failure::invalid(format!("reserved is {}; expected 0", options.reserved)));
    }
    Ok(config)
}
