//! Measures the processing of sound: resampling, log-mel, audio encoder and codec.

use ndarray::Array2;
use ualm::audio::{LogMel, LogMelConfig, Waveform, resample};
use ualm::package::CodecConfig;
use ualm::{Modality, Model, Result, TokenId};

use super::figure::{Figure, LimitedBy, milliseconds};
use super::min_times::MinTimes;

/// Seconds of sound to encode and decode.
const CODEC_SECONDS: usize = 10;
/// A common sample rate of recordings that needs resampling.
const RECORDING_RATE: u32 = 44_100;

/// Measures each codec once.
pub fn codecs(model: &Model, min_times: &MinTimes, runs: usize) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let mut measured = Vec::new();
    for (modality, config) in model.sounds() {
        let Some((name, _)) = model.manifest().codec(modality) else { continue };
        if !measured.contains(&name) {
            measured.push(name);
            figures.extend(codec(model, min_times, modality, config, runs)?);
        }
    }
    Ok(figures)
}

/// Measures the codec of `modality`: encoding, if the package has the encoder, and decoding.
fn codec(
    model: &Model,
    min_times: &MinTimes,
    modality: Modality,
    codec: &CodecConfig,
    runs: usize,
) -> Result<Vec<Figure>> {
    let prefix = if model.chooses_modality() { String::new() } else { format!("{modality} ") };
    let sound = Waveform::mono(noise(CODEC_SECONDS * codec.sampling_rate as usize), codec.sampling_rate)?;
    let frames = sound.len() / codec.hop_length;
    let size = codec.codebook_size;
    let codes = Array2::from_shape_fn((codec.books, frames), |(b, f)| ((7919 * f + 104_729 * b) % size) as TokenId);
    let mut figures = Vec::new();
    if codec.encoder.is_some() {
        let encode = |model: &Model| model.encode_codes(modality, &sound).map(drop);
        figures.push(limited(model, min_times, format!("{prefix}codec encode {CODEC_SECONDS} s"), runs, encode)?);
    }
    let decode = |model: &Model| model.decode_codes(modality, &codes).map(drop);
    figures.push(limited(model, min_times, format!("{prefix}codec decode {CODEC_SECONDS} s"), runs, decode)?);
    Ok(figures)
}

/// Measures the time of `work`, with its hardware limit.
fn limited(
    model: &Model,
    min_times: &MinTimes,
    name: String,
    runs: usize,
    work: impl Fn(&Model) -> Result<()>,
) -> Result<Figure> {
    let figure = Figure::timed(name, runs, || work(model))?;
    Ok(figure.limited(min_times.of(model, work)?, LimitedBy::Operations))
}

/// Measures the audio encoder on one window, with and without its preprocessing.
pub fn encoder(model: &Model, min_times: &MinTimes, runs: usize) -> Result<Vec<Figure>> {
    let Some(encoder) = &model.manifest().audio_encoder else { return Ok(Vec::new()) };
    let seconds = encoder.window_seconds;
    let rate = encoder.sampling_rate;
    let sound = Waveform::mono(noise(seconds * rate as usize), rate)?;
    let listen = |model: &Model| model.audio_features(&sound).map(drop);
    let listening = limited(model, min_times, format!("listening to {seconds} s"), runs, listen)?;
    let time = model.graph_times().get("audio_encoder").copied().unwrap_or_default();
    let graph = milliseconds(time.spent) / time.runs.max(1) as f64;
    let parts = [("audio_encoder".to_owned(), graph)].into();
    Ok(vec![Figure { parts, ..listening }])
}

/// Measures the preprocessing of the audio encoder on one window.
pub fn front_end(model: &Model, runs: usize) -> Result<Vec<Figure>> {
    let Some(encoder) = &model.manifest().audio_encoder else { return Ok(Vec::new()) };
    let seconds = encoder.window_seconds;
    let rate = encoder.sampling_rate;
    let log_mel = LogMel::new(LogMelConfig {
        sample_rate: rate,
        n_fft: encoder.n_fft,
        hop_length: encoder.hop_length,
        num_mel_bins: encoder.num_mel_bins,
    })?
    .with_threads(model.runtime().threads());
    let sound = noise(seconds * rate as usize);
    let recording = noise(seconds * RECORDING_RATE as usize);
    Ok(vec![
        Figure::timed(format!("log-mel of {seconds} s"), runs, || log_mel.compute(&sound).map(drop))?,
        Figure::timed(format!("{RECORDING_RATE} to {rate} Hz, {seconds} s"), runs, || {
            resample(&recording, RECORDING_RATE, rate).map(drop)
        })?,
    ])
}

/// Returns whether the model generates sound.
pub fn is_made_by(model: &Model) -> bool {
    model.manifest().modalities.contains_key(&Modality::Audio)
}

/// Returns reproducible white noise at half of full scale.
fn noise(samples: usize) -> Vec<f32> {
    let mut state = 1_u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state as f32 / u32::MAX as f32 - 0.5
    };
    (0..samples).map(next).collect()
}
