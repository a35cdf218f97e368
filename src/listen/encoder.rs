//! The audio encoder: windows, log-mel spectrogram, chunks and the encoder graph.

use ndarray::{Array2, Array3, ArrayView2, Axis, s};
use ort::value::Tensor;

use crate::audio::{LogMel, LogMelConfig, Waveform, normalize};
use crate::cancel::Cancel;
use crate::error::{Error, ErrorKind, Result};
use crate::package::{AudioEncoderConfig, FeatureRows};
use crate::runtime::{Fixing, Graph, GraphLoader, Port, Size, check_finite, check_finite_sound};

/// Mel frames per feature: the strides of the second convolution and of the pooling are 2 each.
const MEL_FRAMES_PER_FEATURE: usize = 4;

/// The `audio_encoder` graph and its front end.
pub(crate) struct AudioEncoder {
    graph: Graph,
    log_mel: LogMel,
    config: AudioEncoderConfig,
    hidden: usize,
}

impl AudioEncoder {
    /// Loads the encoder that `config` describes, whose features have `hidden` columns.
    pub(crate) fn load(loader: &GraphLoader, config: &AudioEncoderConfig, hidden: usize) -> Result<Self> {
        let bins = config.num_mel_bins;
        let frames = config.chunk_frames;
        let inputs =
            [Port::float("input_features", &[None, Some(bins), Some(frames)]), Port::int64("feature_lengths", &[None])];
        let outputs = [
            Port::float("audio_features", &[None, Some(frames / MEL_FRAMES_PER_FEATURE), Some(hidden)]),
            Port::int64("audio_feature_lengths", &[None]),
        ];
        let log_mel = LogMel::new(LogMelConfig {
            sample_rate: config.sampling_rate,
            n_fft: config.n_fft,
            hop_length: config.hop_length,
            num_mel_bins: bins,
        })?
        .with_threads(loader.threads());
        let fixing = Fixing::Sizes(vec![("chunks", Size::Of(1))]);
        let graph = loader.load("audio_encoder", &inputs, &outputs, &fixing)?;
        Ok(Self { graph, log_mel, config: config.clone(), hidden })
    }

    /// Encodes `sound` to features, shape [positions, hidden size], about 25 a second.
    ///
    /// Channels are mixed down to their mean, and the rate is converted. Sound longer than a window is cut into
    /// windows, which are encoded one by one; `cancel` is checked before each window.
    ///
    /// # Errors
    /// `sound` is too short for one feature, samples or features are not finite, or the work was cancelled.
    pub(crate) fn encode(&self, sound: &Waveform, cancel: &Cancel) -> Result<Array2<f32>> {
        let samples = self.samples(sound)?;
        let windows = samples.chunks(self.window());
        let rows = windows.clone().map(|window| self.rows(window).min(self.max_rows(window))).sum::<usize>();
        let mut features = Vec::with_capacity(rows * self.hidden);
        for window in windows {
            cancel.check()?;
            self.encode_window(window, &mut features)?;
        }
        if features.is_empty() {
            let milliseconds = |samples: usize| 1000.0 * samples as f64 / f64::from(self.config.sampling_rate);
            let [found, least] =
                [samples.len(), (MEL_FRAMES_PER_FEATURE - 1) * self.config.hop_length].map(milliseconds);
            let what = format!("the audio is {found:.1} ms long; expected at least {least} ms");
            return Err(Error::new(ErrorKind::Audio, what));
        }
        Array2::from_shape_vec((features.len() / self.hidden, self.hidden), features).map_err(|e| {
            Error::new(ErrorKind::Graph, "audio_encoder: the features have another size than expected").with_source(e)
        })
    }

    /// Returns the samples that are encoded: in one channel, at the encoder's rate, and within −1 to 1 if the encoder
    /// expects it.
    fn samples(&self, sound: &Waveform) -> Result<Vec<f32>> {
        let sound = check_finite_sound(sound)?.to_mono().resample(self.config.sampling_rate)?;
        let mut samples = sound.into_samples();
        if self.config.limit_peak {
            limit_peak(&mut samples);
        }
        if samples.is_empty() && self.config.rows == FeatureRows::WholeWindows {
            samples.push(0.0);
        }
        Ok(samples)
    }

    /// Returns the number of samples of a window.
    fn window(&self) -> usize {
        self.config.window_seconds * self.config.sampling_rate as usize
    }

    /// Returns the maximum number of features to keep of a window.
    fn rows(&self, window: &[f32]) -> usize {
        match self.config.rows {
            FeatureRows::OfSignal => feature_rows(window.len() / self.config.hop_length),
            FeatureRows::WholeWindows => usize::MAX,
        }
    }

    /// Returns the maximum number of features that the graph makes of a window.
    fn max_rows(&self, window: &[f32]) -> usize {
        let samples = if self.config.pad_to_window { self.window() } else { window.len() };
        let chunks = (samples / self.config.hop_length).div_ceil(self.config.chunk_frames);
        chunks * (self.config.chunk_frames / MEL_FRAMES_PER_FEATURE)
    }

    /// Appends the features of one window to `all`: none if the window is too short for one.
    fn encode_window(&self, window: &[f32], all: &mut Vec<f32>) -> Result<()> {
        let rows = self.rows(window);
        if rows == 0 {
            return Ok(());
        }
        let mut samples = if self.config.normalize { normalize(window) } else { window.to_vec() };
        if self.config.pad_to_window {
            samples.resize(self.window(), 0.0);
        }
        let mel = self.log_mel.compute(&samples)?;
        let start = all.len();
        self.run(mel.view(), rows, all)?;
        check_finite("audio_encoder", "feature", all.get(start..).unwrap_or_default(), self.hidden)
    }

    /// Runs the graph on `mel`, shape [bins, frames], cut into chunks, and appends the valid rows of all chunks to `all`,
    /// at most `max_rows`. Chunks do not depend on one another, so that they may run one by one.
    fn run(&self, mel: ArrayView2<f32>, max_rows: usize, all: &mut Vec<f32>) -> Result<()> {
        let mut left = max_rows;
        let frames = match self.graph.fixed("chunks") {
            Some(chunks) => chunks * self.config.chunk_frames,
            None => mel.ncols(),
        };
        for part in mel.axis_chunks_iter(Axis(1), frames.max(1)) {
            self.run_chunks(part, &mut left, all)?;
        }
        Ok(())
    }

    /// Runs the graph on the chunks of `mel` together, and appends as many rows to `all` as are `left`.
    fn run_chunks(&self, mel: ArrayView2<f32>, left: &mut usize, all: &mut Vec<f32>) -> Result<()> {
        let (bins, frames) = mel.dim();
        let chunk = self.config.chunk_frames;
        let count = frames.div_ceil(chunk);
        let mut input = Array3::<f32>::zeros((count, bins, chunk));
        let mut lengths = Vec::with_capacity(count);
        for (mut slot, part) in input.outer_iter_mut().zip(mel.axis_chunks_iter(Axis(1), chunk)) {
            slot.slice_mut(s![.., ..part.ncols()]).assign(&part);
            lengths.push(part.ncols() as i64);
        }
        let failed = |e| self.graph.failed(&e);
        let input = Tensor::from_array(input).map_err(failed)?;
        let lengths = Tensor::from_array(([count], lengths)).map_err(failed)?;
        let inputs = [("input_features", input.into()), ("feature_lengths", lengths.into())];
        let [features, lengths] = self.graph.run(inputs, ["audio_features", "audio_feature_lengths"])?;
        let features = features.try_extract_array::<f32>().map_err(failed)?;
        let features = features.into_dimensionality::<ndarray::Ix3>().map_err(|e| {
            Error::new(ErrorKind::Graph, "audio_encoder: the features have another rank than 3").with_source(e)
        })?;
        let lengths = lengths.try_extract_tensor::<i64>().map_err(failed)?.1;
        let (_, rows, _) = features.dim();
        let Some(lengths) =
            lengths.iter().map(|len| usize::try_from(*len).ok().filter(|len| *len <= rows)).collect::<Option<Vec<_>>>()
        else {
            let what = format!("audio_encoder: lengths {lengths:?}; expected 0..={rows}");
            return Err(Error::new(ErrorKind::Numeric, what));
        };
        for (rows, len) in features.outer_iter().zip(lengths) {
            let len = len.min(*left);
            *left -= len;
            all.extend(rows.slice_move(s![..len, ..]));
        }
        Ok(())
    }
}

/// Divides `samples` by their peak if it is above 1.
fn limit_peak(samples: &mut [f32]) {
    let peak = samples.iter().fold(0.0f32, |peak, sample| peak.max(sample.abs()));
    if peak > 1.0 {
        for sample in samples {
            *sample /= peak;
        }
    }
}

/// Returns the number of features of `mel_frames` mel frames, after the second convolution and the pooling (in the
/// trainer `((n − 1) // 2 + 1) // 2`).
fn feature_rows(mel_frames: usize) -> usize {
    mel_frames.div_ceil(2) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_above_one_becomes_one() {
        for (samples, expected) in [
            (vec![0.5, -2.0, 1.0], vec![0.25, -1.0, 0.5]),
            (vec![0.5, -1.0], vec![0.5, -1.0]),
            (vec![0.0; 3], vec![0.0; 3]),
            (vec![], vec![]),
        ] {
            let mut limited = samples.clone();
            limit_peak(&mut limited);
            assert_eq!(limited, expected, "{samples:?}");
        }
    }
}
