//! What is refused before it costs anything.

use crate::audio::Waveform;
use crate::error::{Error, ErrorKind, Result};

/// What a model refuses; [`Model::with_limits`](crate::Model::with_limits) sets it. Errors are of kind
/// [`ErrorKind::Limit`], and say what was asked for and how much is allowed.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// The longest sound that is listened to or encoded, in seconds; by default as the package says.
    pub input_seconds: Option<f64>,
    /// Bytes that one decoded recording may take: 4 a sample at its own rate, in one channel.
    pub decoded_bytes: u64,
    /// Frames of one prompt: about one a token, 25 a second of sound.
    pub prompt_frames: usize,
    /// Segments of a reply that may be asked for.
    pub segments: usize,
    /// Frames of a segment that may be asked for.
    pub steps: usize,
    /// Positions of a conversation; the model's own limit holds as well.
    pub context: usize,
    /// Bytes that the key/value cache of one conversation may take, guidance included; by default half of the memory that
    /// the process may use, a container's limit included.
    pub memory: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            input_seconds: None,
            decoded_bytes: 1 << 30,
            prompt_frames: 1 << 20,
            segments: 256,
            steps: 1 << 20,
            context: usize::MAX,
            memory: None,
        }
    }
}

impl Limits {
    /// Sets the longest sound that is listened to or encoded, in seconds.
    #[must_use]
    pub fn input_seconds(self, input_seconds: impl Into<Option<f64>>) -> Self {
        Self { input_seconds: input_seconds.into(), ..self }
    }

    /// Sets the bytes that one decoded recording may take.
    #[must_use]
    pub fn decoded_bytes(self, decoded_bytes: u64) -> Self {
        Self { decoded_bytes, ..self }
    }

    /// Sets the most frames of one prompt.
    #[must_use]
    pub fn prompt_frames(self, prompt_frames: usize) -> Self {
        Self { prompt_frames, ..self }
    }

    /// Sets the most segments of a reply.
    #[must_use]
    pub fn segments(self, segments: usize) -> Self {
        Self { segments, ..self }
    }

    /// Sets the most frames of a segment.
    #[must_use]
    pub fn steps(self, steps: usize) -> Self {
        Self { steps, ..self }
    }

    /// Sets the most positions of a conversation.
    #[must_use]
    pub fn context(self, context: usize) -> Self {
        Self { context, ..self }
    }

    /// Sets the bytes that the key/value cache of one conversation may take.
    #[must_use]
    pub fn memory(self, memory: impl Into<Option<u64>>) -> Self {
        Self { memory: memory.into(), ..self }
    }

    /// Refuses a prompt of more `positions` than are allowed.
    pub(crate) fn check_prompt(&self, positions: usize) -> Result<()> {
        at_most("prompt frames", positions, self.prompt_frames)
    }

    /// Bytes that a conversation's cache may take.
    pub(crate) fn cache_bytes(&self) -> u64 {
        self.memory.unwrap_or_else(|| usable_memory() / 2)
    }
}

/// Refuses sound of more than `most` seconds.
pub(crate) fn check_seconds(sound: &Waveform, most: f64) -> Result<()> {
    let found = sound.seconds();
    if found > most {
        let what = format!("the audio is {found:.1} s long; at most {most:.1} s are taken");
        return Err(Error::new(ErrorKind::Limit, what));
    }
    Ok(())
}

/// Refuses more than `most` of `what`.
pub(crate) fn at_most(what: &str, asked: usize, most: usize) -> Result<()> {
    match asked <= most {
        true => Ok(()),
        false => Err(Error::new(ErrorKind::Limit, format!("{asked} {what} are asked for; the limit is {most}"))),
    }
}

/// Bytes of memory that the process may use; all there could be when the system does not tell.
fn usable_memory() -> u64 {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    let group = system.cgroup_limits().map_or(u64::MAX, |limits| limits.total_memory);
    match system.total_memory() {
        0 => group,
        machine => machine.min(group),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_has_some_memory() {
        assert!((1 << 26..=u64::MAX / 2).contains(&Limits::default().cache_bytes()));
    }
}
