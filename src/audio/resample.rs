//! Sample rate conversion.

#![expect(clippy::indexing_slicing, reason = "the converter returns the number of samples written")]

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _, WindowFunction};

use crate::error::{Error, ErrorKind, Result};

/// Supported sample rates, in hertz.
pub(super) const SAMPLE_RATES: std::ops::RangeInclusive<u32> = 1..=768_000;

/// The minimum length of the anti-aliasing filter, in samples at the lower of the two rates. With 1024 the filter passes
/// everything below 97 % of the lower Nyquist frequency.
const FILTER_LEN: usize = 1024;

/// Converts `samples` (one channel) from rate `from` to rate `to`, both in hertz.
///
/// The conversion is band-limited with a linear phase: sample 0 stays at time 0, and the result has
/// [`resampled_len`]`(samples.len(), from, to)` samples. Tones up to 97 % of the lower Nyquist frequency keep their
/// level within 0.001 dB; tones above that frequency are attenuated by at least 120 dB. With `from == to` the samples
/// are unchanged.
///
/// # Errors
/// [`ErrorKind::Invalid`] when a rate is not within `1..=768_000` Hz.
pub fn resample(samples: &[f32], from: u32, to: u32) -> Result<Vec<f32>> {
    let mut resampler = Resampler::new(from, to)?;
    resampler.push(samples)?;
    resampler.finish()
}

/// Returns the number of samples after [`resample`] of `len` samples: `len · to / from`, rounded half up.
pub fn resampled_len(len: u64, from: u32, to: u32) -> u64 {
    if from == 0 {
        return 0;
    }
    let len = u128::from(len);
    let from = u128::from(from);
    let to = u128::from(to);
    u64::try_from((2 * len * to + from) / (2 * from)).unwrap_or(u64::MAX)
}

/// A converter for sound in pieces, with the same result as [`resample`], however the sound is divided.
pub struct Resampler {
    from: u32,
    to: u32,
    /// Samples pushed so far.
    pushed: u64,
    /// Samples taken so far.
    taken: u64,
    out: Vec<f32>,
    blocks: Option<Blocks>,
}

impl Resampler {
    /// Creates a converter of one channel from rate `from` to rate `to`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when a rate is not within `1..=768_000` Hz.
    pub fn new(from: u32, to: u32) -> Result<Self> {
        for rate in [from, to] {
            if !SAMPLE_RATES.contains(&rate) {
                let message = format!("a sample rate must be between 1 and 768000 Hz, found {rate}");
                return Err(Error::new(ErrorKind::Invalid, message));
            }
        }
        let blocks = if from == to { None } else { Some(Blocks::new(from, to)?) };
        Ok(Self { from, to, pushed: 0, taken: 0, out: Vec::new(), blocks })
    }

    /// Converts the next piece of sound.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the underlying converter rejects its input, which would be a bug of this library.
    pub fn push(&mut self, samples: &[f32]) -> Result<()> {
        self.pushed += samples.len() as u64;
        match &mut self.blocks {
            None => self.out.extend_from_slice(samples),
            Some(blocks) => blocks.push(samples, &mut self.out)?,
        }
        Ok(())
    }

    /// Takes the sound converted so far that has not been taken yet.
    pub fn take(&mut self) -> Vec<f32> {
        self.taken += self.out.len() as u64;
        std::mem::take(&mut self.out)
    }

    /// Finishes the conversion and returns the rest of the converted sound that has not been taken.
    ///
    /// # Errors
    /// As for [`push`](Self::push).
    pub fn finish(mut self) -> Result<Vec<f32>> {
        let whole = resampled_len(self.pushed, self.from, self.to);
        let wanted = usize::try_from(whole.saturating_sub(self.taken)).unwrap_or(usize::MAX);
        if let Some(blocks) = &mut self.blocks {
            while self.out.len() < wanted {
                blocks.push_silence(&mut self.out)?;
            }
        }
        self.out.truncate(wanted);
        Ok(self.out)
    }
}

/// Rubato's synchronous converter, with the division into blocks. It computes in f64, so that the f32 result does not
/// depend on the vector instructions of the machine.
struct Blocks {
    fft: Fft<f64>,
    input: Vec<f64>,
    output: Vec<f64>,
    /// Number of samples of the filter's delay still to be dropped.
    delay: usize,
}

impl Blocks {
    fn new(from: u32, to: u32) -> Result<Self> {
        let divisor = greatest_common_divisor(from, to);
        let unit_in = (from / divisor) as usize;
        let unit_out = (to / divisor) as usize;
        // An even number of units puts the filter's centre on a sample at both rates: the delay is then exact.
        let units = FILTER_LEN.div_ceil(unit_in.min(unit_out)).next_multiple_of(2);
        let fft = Fft::new_custom(
            from as usize,
            to as usize,
            units * unit_in,
            1,
            1,
            WindowFunction::BlackmanHarris2,
            FixedSync::Both,
        )
        .map_err(refused)?;
        let block_in = fft.input_frames_max();
        let block_out = fft.output_frames_max();
        let delay = fft.output_delay();
        Ok(Self { fft, input: Vec::with_capacity(block_in), output: vec![0.0; block_out], delay })
    }

    fn push(&mut self, mut samples: &[f32], out: &mut Vec<f32>) -> Result<()> {
        while !samples.is_empty() {
            let room = self.fft.input_frames_max() - self.input.len();
            let (now, later) = samples.split_at(room.min(samples.len()));
            self.input.extend(now.iter().map(|&x| f64::from(x)));
            samples = later;
            if self.input.len() == self.fft.input_frames_max() {
                self.convert(out)?;
            }
        }
        Ok(())
    }

    fn push_silence(&mut self, out: &mut Vec<f32>) -> Result<()> {
        self.input.resize(self.fft.input_frames_max(), 0.0);
        self.convert(out)
    }

    fn convert(&mut self, out: &mut Vec<f32>) -> Result<()> {
        let block_in = self.input.len();
        let block_out = self.output.len();
        let input = InterleavedSlice::new(&self.input, 1, block_in).map_err(refused)?;
        let mut output = InterleavedSlice::new_mut(&mut self.output, 1, block_out).map_err(refused)?;
        let (_, written) = self.fft.process_into_buffer(&input, &mut output, None).map_err(refused)?;
        self.input.clear();
        let dropped = self.delay.min(written);
        self.delay -= dropped;
        out.extend(self.output[dropped..written].iter().map(|&x| x as f32));
        Ok(())
    }
}

fn refused(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Invalid, "the sample rate converter refused its input").with_source(error)
}

fn greatest_common_divisor(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        let rest = a % b;
        a = b;
        b = rest;
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::f64::consts::TAU;

    const RATES: [u32; 10] = [8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000];

    fn tone(hertz: f64, rate: u32, len: usize) -> Vec<f32> {
        (0..len).map(|n| (0.5 * (TAU * hertz * n as f64 / f64::from(rate) + 0.3).sin()) as f32).collect()
    }

    /// Returns the largest distance between the two sounds away from the ends.
    fn distance(a: &[f32], b: &[f32], margin: usize) -> f32 {
        a.iter()
            .zip(b)
            .skip(margin)
            .take(a.len().saturating_sub(2 * margin))
            .fold(0.0, |m, (x, y)| m.max((x - y).abs()))
    }

    fn level(samples: &[f32]) -> f64 {
        (samples.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / samples.len() as f64).sqrt()
    }

    #[test]
    fn a_tone_stays_the_same_tone_at_the_same_time() {
        for from in RATES {
            for to in [8000, 16000, 48000] {
                let nyquist = f64::from(from.min(to)) / 2.0;
                for share in [0.3, 0.97] {
                    let converted = resample(&tone(share * nyquist, from, from as usize / 2), from, to).unwrap();
                    let expected = tone(share * nyquist, to, resampled_len(u64::from(from) / 2, from, to) as usize);
                    assert_eq!(converted.len(), expected.len());
                    let distance = distance(&converted, &expected, to as usize / 6);
                    assert!(distance < 1e-4, "{from} to {to} Hz, tone at {share} of Nyquist: {distance}");
                }
            }
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_carry_is_gone() {
        for (from, to) in [(44100, 16000), (48000, 16000), (22050, 16000), (16000, 8000)] {
            for hertz in [to as f64 / 2.0 + 1.0, to as f64 * 0.6, from as f64 * 0.49] {
                let converted = resample(&tone(hertz, from, from as usize), from, to).unwrap();
                let decibels = 20.0 * (level(&converted[to as usize / 4..][..to as usize / 2]) / 0.3535).log10();
                assert!(decibels < -120.0, "{hertz} Hz from {from} to {to} Hz leaves {decibels:.1} dB");
            }
        }
    }

    #[test]
    fn rates_that_cannot_be_are_refused() {
        for (from, to) in [(0, 16000), (16000, 0), (u32::MAX, 16000)] {
            assert_eq!(resample(&[0.0; 10], from, to).unwrap_err().kind(), ErrorKind::Invalid);
        }
    }

    /// Common rates, and some without a common factor with them.
    fn odd_rate() -> impl Strategy<Value = u32> {
        prop_oneof![prop::sample::select(RATES.to_vec()), 1000u32..1100, 15_990u32..16_010, 20_000u32..20_100]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4, ..ProptestConfig::default() })]

        #[test]
        fn a_tone_stays_a_tone_at_any_rates(from in odd_rate(), to in odd_rate(), share in 0.05f64..0.97) {
            let hertz = share * f64::from(from.min(to)) / 2.0;
            let converted = resample(&tone(hertz, from, 2 * from as usize), from, to).unwrap();
            let expected = tone(hertz, to, resampled_len(2 * u64::from(from), from, to) as usize);
            prop_assert_eq!(converted.len(), expected.len());
            // the ends, where the tone begins and stops, are as long as half the filter: up to half a second for odd rates
            let margin = to as usize * 6 / 10;
            prop_assert!(distance(&converted, &expected, margin) < 1e-3);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

        #[test]
        fn length_is_exact_and_numbers_stay_finite(len in 0usize..5000, from in odd_rate(), to in odd_rate(), seed in 0u32..1000) {
            let samples: Vec<f32> = (0..len as u32).map(|n| ((n.wrapping_mul(2_654_435_761).wrapping_add(seed)) as f32 / u32::MAX as f32) * 2.0 - 1.0).collect();
            let converted = resample(&samples, from, to).unwrap();
            prop_assert_eq!(converted.len(), (len as f64 * f64::from(to) / f64::from(from)).round() as usize);
            prop_assert!(converted.iter().all(|x| x.is_finite()));
        }

        #[test]
        fn cutting_changes_nothing(cuts in prop::collection::vec(0usize..9000, 0..6), from in prop::sample::select(RATES.to_vec()), to in prop::sample::select(RATES.to_vec())) {
            let samples = tone(440.0, from, 9000);
            let mut cuts = cuts;
            cuts.extend([0, 9000]);
            cuts.sort_unstable();
            let mut resampler = Resampler::new(from, to).unwrap();
            for pair in cuts.windows(2) {
                resampler.push(&samples[pair[0]..pair[1]]).unwrap();
            }
            prop_assert_eq!(resampler.finish().unwrap(), resample(&samples, from, to).unwrap());
        }
    }
}
