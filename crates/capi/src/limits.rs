//! Resource limits of a model.

use ualm::Limits;

use super::boundary::{Failure, Result, entry, ualm_status};
use super::handle::{Out, share};
use super::model::ualm_model;
use super::sized::{Options, fill, read};

/// Resource limits, checked before any work is done (UALM_STATUS_LIMIT).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ualm_limits {
    /// Written by ualm_limits_init.
    pub struct_size: usize,
    /// Seconds of a sound to listen to or encode; 0 takes the package's limit.
    pub input_seconds: f64,
    /// Bytes of a decoded recording.
    pub decoded_bytes: u64,
    /// Bytes of the key/value cache of a conversation; 0 takes half of the memory that the process may use.
    pub memory: u64,
    /// Positions of a prompt: about one per token, 25 per second of sound.
    pub prompt_frames: usize,
    /// Segments of a reply.
    pub segments: usize,
    /// Steps of a segment.
    pub steps: usize,
    /// Positions of a conversation, within the model's own limit.
    pub context: usize,
}

// SAFETY: integers and a float.
unsafe impl Options for ualm_limits {
    const NAME: &'static str = "ualm_limits";
    const OLDEST: usize = size_of::<Self>();
}

impl From<&Limits> for ualm_limits {
    fn from(limits: &Limits) -> Self {
        Self {
            struct_size: size_of::<Self>(),
            input_seconds: limits.input_seconds.unwrap_or(0.0),
            decoded_bytes: limits.decoded_bytes,
            memory: limits.memory.unwrap_or(0),
            prompt_frames: limits.prompt_positions,
            segments: limits.segments,
            steps: limits.steps,
            context: limits.context,
        }
    }
}

impl ualm_limits {
    fn limits(&self) -> Result<Limits> {
        if !(self.input_seconds.is_finite() && self.input_seconds >= 0.0) {
            let what =
                format!("input_seconds is {}; expected seconds, or 0 for the package's limit", self.input_seconds);
            return Err(Failure::invalid(what));
        }
        Ok(Limits::default()
            .input_seconds((self.input_seconds > 0.0).then_some(self.input_seconds))
            .decoded_bytes(self.decoded_bytes)
            .prompt_positions(self.prompt_frames)
            .segments(self.segments)
            .steps(self.steps)
            .context(self.context)
            .memory((self.memory > 0).then_some(self.memory)))
    }
}

/// Fills `limits` with the model's limits; `struct_size` is sizeof *limits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_limits_init(
    limits: *mut ualm_limits,
    struct_size: usize,
    model: *const ualm_model,
) -> ualm_status {
    // SAFETY: per the header's contract.
    entry(|| unsafe { fill(limits, struct_size, share(model)?.0.limits().into()) })
}

/// Returns the same model with other limits; both share the loaded graphs. NULL for `limits` takes the model's own.
/// Free both models.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_model_with_limits(
    model: *const ualm_model,
    limits: *const ualm_limits,
    limited: *mut *mut ualm_model,
) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let (out, model) = unsafe { (Out::new(limited)?, share(model)?) };
        // SAFETY: per the header's contract.
        let limits = unsafe { read(limits, model.0.limits().into()) }?.limits()?;
        out.fill(ualm_model(model.0.with_limits(limits)));
        Ok(())
    })
}
