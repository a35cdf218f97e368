//! The Whisper log-mel front end, and the normalisation for Qwen2.5-Omni's encoder before it.

#![expect(clippy::indexing_slicing, reason = "the ranges follow from the sizes of the front end")]

use std::f64::consts::{LOG10_E, TAU};
use std::panic::resume_unwind;
use std::sync::Arc;

use ndarray::{Array2, ArrayViewMut2, Axis};
use realfft::{RealFftPlanner, RealToComplex};

use crate::error::{Error, ErrorKind, Result};

/// Sizes of the front end, from a package's manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the front end of Whisper has these sizes")]
pub struct LogMelConfig {
    /// Rate of the waveform, in hertz.
    pub sample_rate: u32,
    /// Samples in a window, and size of its Fourier transform.
    pub n_fft: usize,
    /// Samples from one frame to the next.
    pub hop_length: usize,
    /// Bands of the mel scale, from 0 Hz to half the sample rate.
    pub num_mel_bins: usize,
}

/// A front end from waveforms to log-mel spectrograms, the same as in Whisper's feature extractor.
///
/// Frames are centred (the waveform is reflected at both ends), windowed by a periodic Hann window, and their power
/// spectrum is gathered into bands of the Slaney mel scale with Slaney's area norm; then `log10` with a floor of 1e-10,
/// a clamp to 8 below the clip's maximum, and `(x + 4) / 4`. The last centred frame is dropped, so that a clip of `n`
/// samples has `n / hop_length` frames.
///
/// All computations are in f64 (f32 has errors of 1e-4 in quiet bands): the result is within 1e-6 of an f64 reference.
/// Any number of threads can share one front end.
pub struct LogMel {
    config: LogMelConfig,
    window: Vec<f64>,
    bands: Vec<Band>,
    transform: Arc<dyn RealToComplex<f64>>,
    threads: usize,
}

/// The number of frames to compute before they are stored.
const FRAMES_A_BLOCK: usize = 16;
/// The minimum number of frames for a thread.
const FRAMES_A_THREAD: usize = 256;

/// The bins of the power spectrum in a mel band, with their weights.
struct Band {
    first_bin: usize,
    weights: Vec<f64>,
}

impl LogMel {
    /// Creates a front end of these sizes, which computes on the calling thread.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when a size is zero or implausibly large, or `n_fft` is odd.
    pub fn new(config: LogMelConfig) -> Result<Self> {
        let LogMelConfig { sample_rate, n_fft, hop_length, num_mel_bins } = config;
        for (name, value, max) in [
            ("sample_rate", sample_rate as usize, 768_000),
            ("n_fft", n_fft, 1 << 16),
            ("hop_length", hop_length, 1 << 16),
            ("num_mel_bins", num_mel_bins, 1 << 12),
        ] {
            if value == 0 || value > max {
                let message = format!("log-mel: {name} must be between 1 and {max}, found {value}");
                return Err(Error::new(ErrorKind::Invalid, message));
            }
        }
        if n_fft % 2 != 0 {
            return Err(Error::new(ErrorKind::Invalid, format!("log-mel: n_fft must be even, found {n_fft}")));
        }
        let window = (0..n_fft).map(|n| 0.5 - 0.5 * (TAU * n as f64 / n_fft as f64).cos()).collect();
        let transform = RealFftPlanner::new().plan_fft_forward(n_fft);
        Ok(Self { config, window, bands: mel_bands(&config), transform, threads: 1 })
    }

    /// Sets the maximum number of threads to compute on; the result does not depend on the number.
    pub fn with_threads(self, threads: usize) -> Self {
        Self { threads: threads.max(1), ..self }
    }

    /// Returns the sizes given to [`new`](Self::new).
    pub fn config(&self) -> &LogMelConfig {
        &self.config
    }

    /// Returns the number of frames of a clip of `samples` samples.
    pub fn frames(&self, samples: usize) -> usize {
        samples / self.config.hop_length
    }

    /// Returns the minimum number of samples that [`compute`](Self::compute) accepts.
    pub fn min_samples(&self) -> usize {
        (self.config.n_fft / 2 + 1).max(self.config.hop_length)
    }

    /// Computes the log-mel spectrogram, `[num_mel_bins, frames]`, of mono `samples` at the configured rate.
    ///
    /// # Errors
    /// [`ErrorKind::Audio`] when the clip is too short to be reflected at its ends (`n_fft / 2` samples or fewer) or
    /// for one frame, or when a sample is not finite.
    pub fn compute(&self, samples: &[f32]) -> Result<Array2<f32>> {
        if samples.len() < self.min_samples() {
            let found = samples.len();
            let least = self.min_samples();
            let rate = self.config.sample_rate;
            let milliseconds = 1000.0 * least as f64 / f64::from(rate);
            let message = format!(
                "the clip is too short to listen to: at least {least} samples at {rate} Hz ({milliseconds:.1} ms) are needed, found {found}"
            );
            return Err(Error::new(ErrorKind::Audio, message));
        }
        if let Some(position) = samples.iter().position(|x| !x.is_finite()) {
            let message = format!("sample {position} of the clip is not a finite number");
            return Err(Error::new(ErrorKind::Audio, message));
        }
        let padded = reflect(samples, self.config.n_fft / 2);
        let mut features = self.log_power(&padded, self.frames(samples.len()))?;
        let floor = features.fold(f32::NEG_INFINITY, |a, &b| a.max(b)) - 8.0;
        features.mapv_inplace(|x| (x.max(floor) + 4.0) / 4.0);
        Ok(features)
    }

    /// Computes `log10` of the mel power, `[num_mel_bins, frames]`; each thread computes a run of frames.
    fn log_power(&self, padded: &[f64], frames: usize) -> Result<Array2<f32>> {
        let mut features = Array2::zeros((self.config.num_mel_bins, frames));
        let share = frames.div_ceil(self.threads).max(FRAMES_A_THREAD).next_multiple_of(FRAMES_A_BLOCK);
        if frames <= share {
            self.fill_log_power(padded, features.view_mut())?;
            return Ok(features);
        }
        std::thread::scope(|scope| {
            let shares = features.axis_chunks_iter_mut(Axis(1), share).enumerate();
            let workers: Vec<_> = shares
                .map(|(index, columns)| {
                    let own = &padded[index * share * self.config.hop_length..];
                    scope.spawn(|| self.fill_log_power(own, columns))
                })
                .collect();
            for worker in workers {
                worker.join().unwrap_or_else(|panic| resume_unwind(panic))?;
            }
            Ok(())
        })?;
        Ok(features)
    }

    /// Fills `features`; the first frame begins at the beginning of `padded`.
    fn fill_log_power(&self, padded: &[f64], mut features: ArrayViewMut2<f32>) -> Result<()> {
        let mut input = self.transform.make_input_vec();
        let mut spectrum = self.transform.make_output_vec();
        let mut scratch = self.transform.make_scratch_vec();
        let mut power = vec![0.0; spectrum.len()];
        // Frames are computed one after another, features are stored band after band: a block of frames at a time keeps
        // the writes close together.
        let mut block = vec![0.0_f32; self.config.num_mel_bins * FRAMES_A_BLOCK];
        for (index, mut columns) in features.axis_chunks_iter_mut(Axis(1), FRAMES_A_BLOCK).enumerate() {
            for frame in 0..columns.ncols() {
                let start = (index * FRAMES_A_BLOCK + frame) * self.config.hop_length;
                for ((x, &sample), &weight) in input.iter_mut().zip(&padded[start..]).zip(&self.window) {
                    *x = sample * weight;
                }
                self.transform.process_with_scratch(&mut input, &mut spectrum, &mut scratch).map_err(|e| {
                    Error::new(ErrorKind::Invalid, "log-mel: the Fourier transform failed").with_source(e)
                })?;
                for (power, bin) in power.iter_mut().zip(&spectrum) {
                    *power = bin.norm_sqr();
                }
                for (band, feature) in self.bands.iter().zip(block[frame..].iter_mut().step_by(FRAMES_A_BLOCK)) {
                    // The natural logarithm is several times faster than `log10`.
                    *feature = (band.gather(&power).max(1e-10).ln() * LOG10_E) as f32;
                }
            }
            for (mut row, values) in columns.rows_mut().into_iter().zip(block.chunks_exact(FRAMES_A_BLOCK)) {
                for (feature, value) in row.iter_mut().zip(values) {
                    *feature = *value;
                }
            }
        }
        Ok(())
    }
}

impl Band {
    fn gather(&self, power: &[f64]) -> f64 {
        self.weights.iter().zip(&power[self.first_bin..]).map(|(w, p)| w * p).sum()
    }
}

/// Returns `samples` with `padding` more on each side, mirrored without repeating the end (numpy's `reflect`).
fn reflect(samples: &[f32], padding: usize) -> Vec<f64> {
    let before = samples[1..=padding].iter().rev();
    let after = samples[samples.len() - 1 - padding..samples.len() - 1].iter().rev();
    before.chain(samples).chain(after).map(|&x| f64::from(x)).collect()
}

/// Converts to Slaney's mel scale: linear below 1 kHz, logarithmic above.
pub fn hertz_to_mel(hertz: f64) -> f64 {
    if hertz < 1000.0 { hertz * 3.0 / 200.0 } else { 15.0 + (hertz / 1000.0).ln() * 27.0 / 6.4_f64.ln() }
}

fn mel_to_hertz(mel: f64) -> f64 {
    if mel < 15.0 { mel * 200.0 / 3.0 } else { 1000.0 * ((mel - 15.0) * 6.4_f64.ln() / 27.0).exp() }
}

/// Returns triangular bands, equally spaced in mel from 0 Hz to half the rate, each of unit area.
fn mel_bands(config: &LogMelConfig) -> Vec<Band> {
    let nyquist = f64::from(config.sample_rate) / 2.0;
    let bins = config.n_fft / 2 + 1;
    let step = hertz_to_mel(nyquist) / (config.num_mel_bins + 1) as f64;
    let edge = |i: usize| mel_to_hertz(step * i as f64);
    let hertz = |bin: usize| nyquist * bin as f64 / (bins - 1) as f64;
    (0..config.num_mel_bins)
        .map(|i| {
            let low = edge(i);
            let centre = edge(i + 1);
            let high = edge(i + 2);
            let weight = |f: f64| ((f - low) / (centre - low)).min((high - f) / (high - centre)).max(0.0);
            let inside = |bin: &usize| weight(hertz(*bin)) > 0.0;
            let first_bin = (0..bins).find(inside).unwrap_or(0);
            let weights = (first_bin..bins).take_while(inside).map(|b| weight(hertz(b)) * 2.0 / (high - low)).collect();
            Band { first_bin, weights }
        })
        .collect()
}

/// Normalizes `samples` to zero mean and unit variance: `(x − mean) / √(variance + 1e-7)`, with the variance of the
/// population, as Whisper's feature extractor with `do_normalize`, with which UALM's Qwen2.5-Omni encoder was trained.
/// Computes in f64. Silence stays silence, and an empty input stays empty.
pub fn normalize(samples: &[f32]) -> Vec<f32> {
    let count = samples.len().max(1) as f64;
    let mean = samples.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
    let variance = samples.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / count;
    let scale = 1.0 / (variance + 1e-7).sqrt();
    samples.iter().map(|&x| ((f64::from(x) - mean) * scale) as f32).collect()
}
