//! Waveforms.

#![expect(clippy::indexing_slicing, reason = "the channels of a waveform have the same length")]

use crate::audio::resample;
use crate::error::{Error, ErrorKind, Result};

/// Sound in memory: one `Vec<f32>` per channel, all of the same length, with full scale from −1 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Waveform {
    channels: Vec<Vec<f32>>,
    sample_rate: u32,
}

impl Waveform {
    /// Creates a waveform of `channels`, in the order left, right.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when there is no channel, when lengths differ, or when `sample_rate` is zero.
    pub fn new(channels: Vec<Vec<f32>>, sample_rate: u32) -> Result<Self> {
        let Some(first) = channels.first() else {
            return Err(Error::new(ErrorKind::Invalid, "a waveform needs at least one channel, found none"));
        };
        if let Some(other) = channels.iter().find(|c| c.len() != first.len()) {
            let message = format!("channels must be equally long, found {} and {} samples", first.len(), other.len());
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        if sample_rate == 0 {
            return Err(Error::new(ErrorKind::Invalid, "a waveform's sample rate must be at least 1 Hz, found 0"));
        }
        Ok(Self { channels, sample_rate })
    }

    /// Creates a waveform of one channel.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when `sample_rate` is zero.
    pub fn mono(samples: Vec<f32>, sample_rate: u32) -> Result<Self> {
        Self::new(vec![samples], sample_rate)
    }

    /// Returns the channels, all of the same length.
    pub fn channels(&self) -> &[Vec<f32>] {
        &self.channels
    }

    /// Returns the number of samples per second in each channel.
    pub fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// Returns the number of samples in each channel.
    pub fn len(&self) -> usize {
        self.channels.first().map_or(0, Vec::len)
    }

    /// Returns whether the waveform has no samples.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the length in seconds.
    pub fn seconds(&self) -> f64 {
        self.len() as f64 / f64::from(self.sample_rate)
    }

    /// Returns the samples of the first channel, the only one of a mono waveform; [`to_mono`](Self::to_mono) mixes
    /// channels.
    pub fn samples(&self) -> &[f32] {
        self.channels.first().map_or(&[], Vec::as_slice)
    }

    /// Returns the samples of the first channel.
    pub(crate) fn into_samples(self) -> Vec<f32> {
        self.channels.into_iter().next().unwrap_or_default()
    }

    /// Returns the mean of all channels. The whole runtime mixes down in this way; the UALM authors' code takes the first channel
    /// and drops the others.
    pub fn to_mono(&self) -> Self {
        let mut mixed = Vec::with_capacity(self.len());
        mix_down(&self.channels, &mut mixed);
        Self { channels: vec![mixed], sample_rate: self.sample_rate }
    }

    /// Converts the sound to another rate; see [`resample`](fn@resample).
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when `sample_rate` is outside the rates that [`resample`](fn@resample) supports.
    pub fn resample(&self, sample_rate: u32) -> Result<Self> {
        let channels =
            self.channels.iter().map(|c| resample(c, self.sample_rate, sample_rate)).collect::<Result<_>>()?;
        Self::new(channels, sample_rate)
    }
}

/// Appends the mean of `channels`, which have the same length, to `out`.
pub(super) fn mix_down(channels: &[Vec<f32>], out: &mut Vec<f32>) {
    match channels {
        [] => {}
        [one] => out.extend_from_slice(one),
        [first, rest @ ..] => {
            let scale = 1.0 / channels.len() as f64;
            out.extend(first.iter().enumerate().map(|(i, &x)| {
                let sum: f64 = f64::from(x) + rest.iter().map(|c| f64::from(c[i])).sum::<f64>();
                (sum * scale) as f32
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mono_is_the_mean_of_the_channels() {
        let wave = Waveform::new(vec![vec![1.0, 0.5], vec![0.0, -0.5], vec![0.5, 0.3]], 8000).unwrap();
        assert_eq!(wave.to_mono().samples(), [0.5, 0.1]);
        assert_eq!(wave.len(), 2);
        assert_eq!(wave.seconds(), 2.0 / 8000.0);
    }

    #[test]
    fn what_is_no_waveform_is_refused() {
        assert_eq!(Waveform::new(vec![], 8000).unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(Waveform::new(vec![vec![0.0], vec![]], 8000).unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(Waveform::mono(vec![], 0).unwrap_err().kind(), ErrorKind::Invalid);
    }
}
