//! Pictures of sound: a log-mel spectrogram with its axes, as a PNG file or in the terminal.

use std::io::IsTerminal;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use image::{ImageBuffer, Luma, Rgb, RgbImage, imageops};
use ndarray::Array2;
use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::prelude::{
    BitMapBackend, ChartBuilder, ColorMap, DerivedColorMap, DrawingArea, DrawingAreaErrorKind, DrawingBackend,
    FontStyle, IntoDrawingArea, RGBColor, WHITE,
};
use plotters::style::register_font;
use ualm::audio::{LogMel, LogMelConfig, Waveform, hertz_to_mel};
use ualm::internal::write_whole;
use ualm::{Error, ErrorKind, Result};

use crate::args::Pictures;
use crate::output::{check_writable, warn};
use crate::terminal_picture::{png, show};

/// Pixels of the picture.
const SIZE: (u32, u32) = (960, 400);
/// Pixels at the sides that the axes and their names take.
const MARGIN: u32 = 12;
const LEFT_AXIS: u32 = 64;
const LOWER_AXIS: u32 = 44;
/// Bands from 0 Hz to half the sample rate.
const BANDS: usize = 96;
/// The most frames that are computed: about two a pixel.
const MOST_FRAMES: usize = 2 * SIZE.0 as usize;
/// The largest step that the front end takes, in samples.
const MOST_STEP: usize = 1 << 16;
/// The frequencies that are named, in hertz.
pub const NAMED: [f64; 8] = [0.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0, 16_000.0];
const FONT: &str = "sans-serif";
/// Quiet to loud.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 0, 4),
    RGBColor(66, 10, 104),
    RGBColor(147, 38, 103),
    RGBColor(221, 81, 58),
    RGBColor(252, 165, 10),
    RGBColor(252, 255, 164),
];

impl Pictures {
    /// Finds out before the work whether the picture can be written after it.
    pub fn check(&self) -> Result<()> {
        self.spectrogram.as_deref().map_or(Ok(()), check_writable)
    }

    /// The same for one of several sounds, whose picture goes to `path`.
    pub fn named(&self, path: impl FnOnce(&Path) -> PathBuf) -> Self {
        Self { spectrogram: self.spectrogram.as_deref().map(path), show: self.show }
    }

    /// Draws `sound` where it was asked for. What is too short to have a spectrogram is said to be.
    pub fn draw(&self, sound: &Waveform) -> Result<()> {
        if self.spectrogram.is_none() && !self.show {
            return Ok(());
        }
        let spectrogram = match Spectrogram::of(sound) {
            Err(error) if error.kind() == ErrorKind::Audio => {
                warn(&format!("warning: no spectrogram: {}", error.full_message()));
                return Ok(());
            }
            spectrogram => spectrogram?,
        };
        if let Some(path) = &self.spectrogram {
            write_whole(path, &png(&spectrogram.picture()?)?)?;
        }
        match (self.show, std::io::stdout().is_terminal()) {
            (false, _) => Ok(()),
            (true, true) => show(&spectrogram),
            (true, false) => {
                warn("warning: --show needs a terminal; --spectrogram FILE.png writes a file, `ualm show FILE` text");
                Ok(())
            }
        }
    }
}

/// The log-mel power of a sound.
pub struct Spectrogram {
    /// From 0, the quietest, to 1, the loudest; frames from left to right, bands from below.
    pub levels: ImageBuffer<Luma<f32>, Vec<f32>>,
    pub seconds: f64,
    /// The frequency of the upper edge, in hertz.
    pub highest: f64,
}

impl Spectrogram {
    /// Computes the spectrogram of `sound`, its channels mixed.
    ///
    /// # Errors
    /// [`ErrorKind::Audio`] if it is too short.
    pub fn of(sound: &Waveform) -> Result<Self> {
        let mel = log_mel(sound)?;
        let (low, high) = mel.iter().fold((f32::MAX, f32::MIN), |(low, high), x| (low.min(*x), high.max(*x)));
        let range = (high - low).max(f32::MIN_POSITIVE);
        let (bands, frames) = mel.dim();
        let levels = ImageBuffer::from_fn(frames as u32, bands as u32, |x, y| {
            Luma([(mel[(bands - 1 - y as usize, x as usize)] - low) / range])
        });
        Ok(Self { levels, seconds: sound.seconds(), highest: f64::from(sound.sample_rate()) / 2.0 })
    }

    /// Returns the height of a frequency, from 0 at the lower edge to 1 at the upper one.
    pub fn height_of(&self, hertz: f64) -> f64 {
        hertz_to_mel(hertz) / hertz_to_mel(self.highest)
    }

    /// Draws a picture with seconds below and kilohertz at its left.
    pub fn picture(&self) -> Result<RgbImage> {
        let mut pixels = vec![0; 3 * (SIZE.0 * SIZE.1) as usize];
        draw_axes(&mut pixels, self).map_err(|what| Error::new(ErrorKind::Io, format!("the spectrogram: {what}")))?;
        let (width, height) = (SIZE.0 - LEFT_AXIS - 2 * MARGIN, SIZE.1 - LOWER_AXIS - 2 * MARGIN);
        let inner = imageops::resize(&self.colours(), width, height, imageops::FilterType::Triangle);
        let mut picture = RgbImage::from_raw(SIZE.0, SIZE.1, pixels)
            .ok_or_else(|| Error::new(ErrorKind::Io, "the spectrogram has another size than its picture"))?;
        imageops::overlay(&mut picture, &inner, i64::from(MARGIN + LEFT_AXIS), i64::from(MARGIN));
        Ok(picture)
    }

    /// A pixel a level.
    fn colours(&self) -> RgbImage {
        let (width, height) = self.levels.dimensions();
        RgbImage::from_fn(width, height, |x, y| {
            let Luma([level]) = *self.levels.get_pixel(x, y);
            colour_of(level)
        })
    }
}

/// Returns the colour of a level from 0 to 1.
pub fn colour_of(level: f32) -> Rgb<u8> {
    let RGBColor(r, g, b) = DerivedColorMap::new(&COLOURS).get_color(level);
    Rgb([r, g, b])
}

/// Log-mel power [bands, frames].
fn log_mel(sound: &Waveform) -> Result<Array2<f32>> {
    let rate = sound.sample_rate();
    let step = (rate as usize / 200).max(sound.len() / MOST_FRAMES).clamp(1, MOST_STEP);
    let n_fft = (rate as usize / 16).next_power_of_two();
    let config = LogMelConfig { sample_rate: rate, n_fft, hop_length: step, num_mel_bins: BANDS };
    LogMel::new(config)?.compute(sound.to_mono().samples())
}

/// White, with both axes.
fn draw_axes(pixels: &mut [u8], spectrogram: &Spectrogram) -> Result<(), String> {
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    let registered = || register_font(FONT, FontStyle::Normal, dejavu::sans::regular()).is_ok();
    if !REGISTERED.get_or_init(registered) {
        return Err("its font is damaged".into());
    }
    let area = BitMapBackend::with_buffer(pixels, SIZE).into_drawing_area();
    draw_on(&area, spectrogram).map_err(|e| e.to_string())
}

/// Both axes on white; the frequencies stand where the mel scale has them.
fn draw_on<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    spectrogram: &Spectrogram,
) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    area.fill(&WHITE)?;
    let frequencies = MelScale { highest: spectrogram.highest };
    ChartBuilder::on(area)
        .margin(MARGIN)
        .x_label_area_size(LOWER_AXIS)
        .y_label_area_size(LEFT_AXIS)
        .build_cartesian_2d(0.0..spectrogram.seconds, frequencies)?
        .configure_mesh()
        .disable_mesh()
        .label_style((FONT, 15))
        .x_desc("seconds")
        .y_desc("kilohertz")
        .draw()?;
    area.present()
}

/// An axis of frequencies from 0 Hz up, spaced as the mel scale has them and written in kilohertz.
struct MelScale {
    highest: f64,
}

impl Ranged for MelScale {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, hertz: &f64, (low, high): (i32, i32)) -> i32 {
        low + (f64::from(high - low) * hertz_to_mel(*hertz) / hertz_to_mel(self.highest)) as i32
    }

    fn key_points<H: KeyPointHint>(&self, _: H) -> Vec<f64> {
        NAMED.into_iter().filter(|hertz| *hertz <= self.highest).collect()
    }

    fn range(&self) -> Range<f64> {
        0.0..self.highest
    }
}

impl ValueFormatter<f64> for MelScale {
    fn format(hertz: &f64) -> String {
        format!("{}", hertz / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tone of 1 kHz is a bright line where the axis says 1.
    #[test]
    fn a_tone_is_a_line_at_its_frequency() {
        let samples = (0..16_000).map(|n| (n as f32 * 1000.0 * std::f32::consts::TAU / 16_000.0).sin()).collect();
        let picture = Spectrogram::of(&Waveform::mono(samples, 16_000).unwrap()).unwrap().picture().unwrap();
        assert_eq!(picture.dimensions(), SIZE);
        let column = MARGIN + LEFT_AXIS + 300;
        let height = f64::from(SIZE.1 - LOWER_AXIS - 2 * MARGIN);
        let row = MARGIN + (height * (1.0 - hertz_to_mel(1000.0) / hertz_to_mel(8000.0))) as u32;
        let brightness = |row: u32| picture.get_pixel(column, row).0.iter().map(|c| u32::from(*c)).sum::<u32>();
        assert!(brightness(row) > 400, "{}", brightness(row));
        assert!(brightness(row - 60) < 300, "{}", brightness(row - 60));
    }

    #[test]
    fn sounds_of_any_length_and_rate_have_a_picture_or_a_reason() {
        for (len, rate) in [(0, 16_000), (1, 16_000), (600, 8_000), (300_000, 48_000), (4_000_000, 16_000)] {
            let sound = Waveform::new(vec![vec![0.1; len]; 2], rate).unwrap();
            match Spectrogram::of(&sound).and_then(|spectrogram| spectrogram.picture()) {
                Ok(picture) => assert_eq!(picture.dimensions(), SIZE),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Audio, "{len} at {rate}: {error}"),
            }
        }
    }
}
