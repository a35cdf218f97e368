//! The sink of decoded sound, which mixes, cuts, resamples and counts the samples.

use std::ops::Range;

use crate::audio::decode::codec::Planes;
use crate::audio::decode::track::Piece;
use crate::audio::decode::{DecodeOptions, too_long};
use crate::audio::resample::SAMPLE_RATES;
use crate::audio::waveform::mix_down;
use crate::audio::{Resampler, Waveform};
use crate::error::{Error, ErrorKind, Result};

/// The sink of decoded sound.
pub(super) struct Sink {
    max_seconds: Option<f64>,
    max_bytes: Option<u64>,
    wanted_rate: Option<u32>,
    /// The pieces that are still to be played; empty for all of the sound.
    pieces: Vec<Piece>,
    is_cut: bool,
    mixed: Vec<f32>,
    /// The converter of the current rate, and that rate.
    resampler: Option<(u32, Resampler)>,
    /// Sound from before the last change of rate.
    done: Vec<f32>,
    pub first_rate: u32,
    pub first_channels: usize,
    /// Number of samples per channel decoded at the current rate, including those that the pieces leave out.
    position: u64,
    /// Seconds of sound kept so far.
    pub seconds: f64,
    samples: u64,
    not_finite: u64,
    first_not_finite: Option<u64>,
    level: Level,
}

/// The level of the sound that was kept.
#[derive(Default)]
struct Level {
    peak: f32,
    /// The sum of squares of all channels, and of their mean.
    channels: f64,
    mixed: f64,
}

/// Samples of this size are far beyond full scale: by 20 dB.
const TOO_LOUD: f32 = 10.0;

impl Sink {
    /// Creates a sink that plays `pieces`, or all of the sound if there are none.
    pub fn new(options: &DecodeOptions, pieces: &[Piece]) -> Self {
        Self {
            max_seconds: options.max_seconds,
            max_bytes: options.max_bytes,
            wanted_rate: options.sample_rate,
            pieces: pieces.iter().rev().copied().collect(),
            is_cut: !pieces.is_empty(),
            mixed: Vec::new(),
            resampler: None,
            done: Vec::new(),
            first_rate: 0,
            first_channels: 0,
            position: 0,
            seconds: 0.0,
            samples: 0,
            not_finite: 0,
            first_not_finite: None,
            level: Level::default(),
        }
    }

    /// Takes decoded sound.
    ///
    /// # Errors
    /// No channels, a rate that is not supported, more than the limits.
    pub fn push(&mut self, planes: &Planes) -> Result<()> {
        let Some(first) = planes.channels.first() else {
            return Err(Error::new(ErrorKind::Audio, "has 0 channels"));
        };
        let frames = first.len();
        if frames == 0 {
            return Ok(());
        }
        self.prepare(planes.sample_rate, planes.channels.len())?;
        self.mixed.clear();
        mix_down(&planes.channels, &mut self.mixed);
        let begin = self.position;
        self.position += frames as u64;
        if !self.is_cut {
            return self.keep(0..frames, planes);
        }
        while let Some(piece) = self.pieces.last().copied() {
            let frame = |seconds: f64| (seconds * f64::from(planes.sample_rate)).round() as u64;
            let within = |frame: u64| usize::try_from(frame.saturating_sub(begin)).unwrap_or(usize::MAX).min(frames);
            let end = piece.length.map_or(u64::MAX, |length| frame(piece.start + length));
            let kept = within(frame(piece.start))..within(end);
            if !kept.is_empty() {
                self.be_silent(piece.silence, planes.sample_rate)?;
                if let Some(piece) = self.pieces.last_mut() {
                    piece.silence = 0.0;
                }
                self.keep(kept, planes)?;
            }
            if end > self.position {
                break;
            }
            self.pieces.pop();
        }
        Ok(())
    }

    /// Returns whether everything has been played.
    pub fn is_full(&self) -> bool {
        self.is_cut && self.pieces.is_empty()
    }

    /// Ensures that the converter takes `rate`.
    fn prepare(&mut self, rate: u32, channels: usize) -> Result<()> {
        if !SAMPLE_RATES.contains(&rate) {
            let message = format!("has a sample rate of {rate} Hz; 1 to 768000 Hz can be read");
            return Err(Error::new(ErrorKind::Audio, message));
        }
        if self.resampler.as_ref().is_some_and(|(now, _)| *now == rate) {
            return Ok(());
        }
        if self.first_rate == 0 {
            self.first_rate = rate;
            self.first_channels = channels;
        }
        let next = Resampler::new(rate, self.wanted_rate.unwrap_or(self.first_rate))?;
        if let Some((_, last)) = self.resampler.replace((rate, next)) {
            self.done.extend(last.finish()?);
            self.position = 0;
            self.is_cut = false;
            self.pieces = Vec::new();
        }
        Ok(())
    }

    fn keep(&mut self, kept: Range<usize>, planes: &Planes) -> Result<()> {
        let samples = self.mixed.get(kept.clone()).unwrap_or_default();
        for (n, sample) in samples.iter().enumerate() {
            if !sample.is_finite() {
                self.not_finite += 1;
                self.first_not_finite.get_or_insert(self.samples + n as u64);
            }
        }
        self.level.count(samples, planes, kept.clone());
        if let (Some((_, resampler)), 0) = (&mut self.resampler, self.not_finite) {
            resampler.push(samples)?;
        }
        self.count(kept.len(), planes.sample_rate)
    }

    fn be_silent(&mut self, seconds: f64, rate: u32) -> Result<()> {
        // In parts, so that the limits apply before the memory is taken.
        let mut left = (seconds * f64::from(rate)).round() as u64;
        while left > 0 {
            let part = left.min(1 << 16) as usize;
            if let Some((_, resampler)) = &mut self.resampler {
                resampler.push(&vec![0.0; part])?;
            }
            self.count(part, rate)?;
            left -= part as u64;
        }
        Ok(())
    }

    fn count(&mut self, frames: usize, rate: u32) -> Result<()> {
        self.samples += frames as u64;
        self.seconds += frames as f64 / f64::from(rate);
        if let Some(max) = self.max_bytes.filter(|max| self.samples.saturating_mul(4) > *max) {
            let what = format!("takes more than the {max} bytes that a decoded recording may have");
            return Err(Error::new(ErrorKind::Limit, what));
        }
        match self.max_seconds {
            Some(max) if self.seconds > max + 1e-9 => Err(too_long(&format!("longer than {max} s"), max)),
            _ => Ok(()),
        }
    }

    /// Returns the sound, and warnings about its level; `fault` is the first fault met.
    ///
    /// # Errors
    /// No sound, or samples that are not finite.
    pub fn finish(self, fault: Option<&str>) -> Result<(Waveform, Vec<String>)> {
        if self.samples == 0 {
            let message = match fault {
                Some(reason) => format!("nothing in it can be decoded ({reason})"),
                None => "holds no sound: 0 samples".to_owned(),
            };
            return Err(Error::new(ErrorKind::Audio, message));
        }
        if let Some(first) = self.first_not_finite {
            let seconds = first as f64 / f64::from(self.first_rate);
            let message = format!(
                "has {} of {} samples that are not finite numbers (NaN or infinity), the first at sample {first} ({seconds:.3} s)",
                self.not_finite, self.samples
            );
            return Err(Error::new(ErrorKind::Audio, message));
        }
        let warnings = self.level.warnings();
        let mut samples = self.done;
        if let Some((_, resampler)) = self.resampler {
            let last = resampler.finish()?;
            if samples.is_empty() {
                samples = last;
            } else {
                samples.extend(last);
            }
        }
        let waveform = Waveform::mono(samples, self.wanted_rate.unwrap_or(self.first_rate))?;
        Ok((waveform, warnings))
    }
}

impl Level {
    fn count(&mut self, mixed: &[f32], planes: &Planes, kept: Range<usize>) {
        self.peak = mixed.iter().fold(self.peak, |peak, sample| peak.max(sample.abs()));
        if planes.channels.len() < 2 {
            return;
        }
        let squares = |samples: &[f32]| samples.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>();
        self.mixed += squares(mixed);
        for plane in &planes.channels {
            self.channels += squares(plane.get(kept.clone()).unwrap_or_default()) / planes.channels.len() as f64;
        }
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        // The mean of channels that have nothing in common is 3 dB (two) to 9 dB (eight) below them.
        if self.channels > 0.0 && self.mixed < self.channels * 1e-2 {
            let decibels = if self.mixed > 0.0 {
                format!("{:.0} dB below them", 10.0 * (self.channels / self.mixed).log10())
            } else {
                "silent".to_owned()
            };
            warnings.push(format!(
                "has channels that cancel out (one is the inverse of the other): their mean, which is heard, is {decibels}"
            ));
        }
        if self.peak > TOO_LOUD {
            warnings.push(format!(
                "has samples far beyond full scale (the largest is {:.4e}, full scale is 1): its floating-point samples were \
                 probably never divided by their range",
                self.peak
            ));
        }
        warnings
    }
}
