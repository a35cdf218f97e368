//! Resource limits, checked before any work is done.

use crate::audio::Waveform;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::usable_memory;

/// The resource limits of a model, set by [`Model::with_limits`](crate::Model::with_limits). A request beyond a limit
/// fails with [`ErrorKind::Limit`]; the message has the requested amount and the limit.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// The longest sound that is encoded, in seconds; by default the limit of the package.
    pub input_seconds: Option<f64>,
    /// The maximum size of one decoded recording in bytes: 4 per sample at its own rate, in one channel.
    pub decoded_bytes: u64,
    /// The maximum number of positions of one prompt: one per token of text, about 25 per second of sound.
    pub prompt_positions: usize,
    /// The maximum number of segments of a reply that a configuration may allow.
    pub segments: usize,
    /// The maximum number of positions of a segment that a configuration may allow.
    pub steps: usize,
    /// The maximum number of positions of a conversation; the model's own limit applies as well.
    pub context: usize,
    /// The maximum size in bytes of the key/value cache of one conversation, guidance included, and of the cache of a
    /// causal decoder of its sound; by default half of the memory that the process may use, within the limits of its
    /// control groups.
    pub memory: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            input_seconds: None,
            decoded_bytes: 1 << 30,
            prompt_positions: 1 << 20,
            segments: 256,
            steps: 1 << 20,
            context: usize::MAX,
            memory: None,
        }
    }
}

impl Limits {
    /// Sets the longest sound that is encoded, in seconds.
    #[must_use]
    pub fn input_seconds(self, input_seconds: impl Into<Option<f64>>) -> Self {
        Self { input_seconds: input_seconds.into(), ..self }
    }

    /// Sets the maximum size of one decoded recording in bytes.
    #[must_use]
    pub fn decoded_bytes(self, decoded_bytes: u64) -> Self {
        Self { decoded_bytes, ..self }
    }

    /// Sets the maximum number of positions of one prompt.
    #[must_use]
    pub fn prompt_positions(self, prompt_positions: usize) -> Self {
        Self { prompt_positions, ..self }
    }

    /// Sets the maximum number of segments of a reply.
    #[must_use]
    pub fn segments(self, segments: usize) -> Self {
        Self { segments, ..self }
    }

    /// Sets the maximum number of positions of a segment.
    #[must_use]
    pub fn steps(self, steps: usize) -> Self {
        Self { steps, ..self }
    }

    /// Sets the maximum number of positions of a conversation.
    #[must_use]
    pub fn context(self, context: usize) -> Self {
        Self { context, ..self }
    }

    /// Sets the maximum size in bytes of the key/value cache of one conversation.
    #[must_use]
    pub fn memory(self, memory: impl Into<Option<u64>>) -> Self {
        Self { memory: memory.into(), ..self }
    }

    /// Checks that a prompt may have `positions` positions.
    pub(crate) fn check_prompt(&self, positions: usize) -> Result<()> {
        at_most("prompt positions", positions, self.prompt_positions)
    }

    /// Returns the maximum size of a conversation's cache in bytes.
    pub(crate) fn cache_bytes(&self) -> u64 {
        self.memory.unwrap_or_else(|| usable_memory() / 2)
    }
}

/// Checks that `sound` has at most `max` seconds.
pub(crate) fn check_seconds(sound: &Waveform, max: f64) -> Result<()> {
    let found = sound.seconds();
    if found > max {
        let what = format!("the audio is {found:.1} s long; at most {max:.1} s are accepted");
        return Err(Error::new(ErrorKind::Limit, what));
    }
    Ok(())
}

/// Checks that at most `max` of `what` are requested.
pub(crate) fn at_most(what: &str, requested: usize, max: usize) -> Result<()> {
    if requested > max {
        return Err(Error::new(ErrorKind::Limit, format!("{requested} {what} were requested; the limit is {max}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_may_take_half_of_the_memory_unless_told_otherwise() {
        assert_eq!(Limits::default().cache_bytes(), usable_memory() / 2);
        assert_eq!(Limits::default().memory(17).cache_bytes(), 17);
    }
}
