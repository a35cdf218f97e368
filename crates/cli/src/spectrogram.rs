//! A log-mel spectrogram, and its picture with axes.

use std::io::Cursor;
use std::ops::Range;
use std::sync::OnceLock;

use image::{ImageBuffer, ImageFormat, Luma, Rgb, RgbImage, imageops};
use ndarray::Array2;
use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::prelude::{
    BitMapBackend, ChartBuilder, ColorMap, DerivedColorMap, DrawingArea, DrawingAreaErrorKind, DrawingBackend,
    FontStyle, IntoDrawingArea, RGBColor, WHITE,
};
use plotters::style::register_font;
use ualm::audio::{LogMel, LogMelConfig, Waveform, hertz_to_mel};
use ualm::{Error, ErrorKind, Result};

/// The size of the picture in pixels.
const SIZE: (u32, u32) = (960, 400);
/// The margin in pixels.
const MARGIN: u32 = 12;
/// The width of the frequency axis in pixels.
const LEFT_AXIS: u32 = 64;
/// The height of the time axis in pixels.
const LOWER_AXIS: u32 = 44;
/// The number of mel bands from 0 Hz to half the sample rate.
const BANDS: usize = 96;
/// The maximum number of frames to compute: about two per pixel.
const MAX_FRAMES: usize = 2 * SIZE.0 as usize;
/// The maximum hop length of the front end, in samples.
const MAX_STEP: usize = 1 << 16;
/// The labelled frequencies, in hertz.
pub const LABELLED: [f64; 8] = [0.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0, 16_000.0];
const FONT: &str = "sans-serif";
/// The colour map, from quiet to loud.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 0, 4),
    RGBColor(66, 10, 104),
    RGBColor(147, 38, 103),
    RGBColor(221, 81, 58),
    RGBColor(252, 165, 10),
    RGBColor(252, 255, 164),
];

/// The log-mel power of a sound.
pub struct Spectrogram {
    /// Levels from 0, the quietest, to 1, the loudest; frames from left to right, bands from the bottom.
    pub levels: ImageBuffer<Luma<f32>, Vec<f32>>,
    pub seconds: f64,
    /// The frequency of the upper edge, in hertz.
    pub highest: f64,
}

impl Spectrogram {
    /// Computes the spectrogram of `sound`, its channels mixed.
    ///
    /// # Errors
    /// [`ErrorKind::Audio`] if `sound` is too short.
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

    /// Draws the spectrogram with a time axis in seconds and a frequency axis in kilohertz.
    pub fn picture(&self) -> Result<RgbImage> {
        let mut pixels = vec![0; 3 * (SIZE.0 * SIZE.1) as usize];
        draw_axes(&mut pixels, self).map_err(|what| Error::new(ErrorKind::Io, format!("the spectrogram: {what}")))?;
        let width = SIZE.0 - LEFT_AXIS - 2 * MARGIN;
        let height = SIZE.1 - LOWER_AXIS - 2 * MARGIN;
        let inner = imageops::resize(&self.colours(), width, height, imageops::FilterType::Triangle);
        let mut picture = RgbImage::from_raw(SIZE.0, SIZE.1, pixels)
            .ok_or_else(|| Error::new(ErrorKind::Io, "the spectrogram and its picture differ in size"))?;
        imageops::overlay(&mut picture, &inner, i64::from(MARGIN + LEFT_AXIS), i64::from(MARGIN));
        Ok(picture)
    }

    /// Converts each level to a pixel.
    fn colours(&self) -> RgbImage {
        let (width, height) = self.levels.dimensions();
        RgbImage::from_fn(width, height, |x, y| {
            let Luma([level]) = *self.levels.get_pixel(x, y);
            colour_of(level)
        })
    }
}

/// Encodes a picture as a PNG file.
pub fn png(picture: &RgbImage) -> Result<Vec<u8>> {
    let mut png = Cursor::new(Vec::new());
    let written = picture.write_to(&mut png, ImageFormat::Png);
    written.map_err(|e| Error::new(ErrorKind::Io, "the spectrogram cannot be drawn").with_source(e))?;
    Ok(png.into_inner())
}

/// Returns the colour of a level from 0 to 1.
pub fn colour_of(level: f32) -> Rgb<u8> {
    let RGBColor(r, g, b) = DerivedColorMap::new(&COLOURS).get_color(level);
    Rgb([r, g, b])
}

/// Computes the log-mel power, shape `[bands, frames]`.
fn log_mel(sound: &Waveform) -> Result<Array2<f32>> {
    let rate = sound.sample_rate();
    let step = (rate as usize / 200).max(sound.len() / MAX_FRAMES).clamp(1, MAX_STEP);
    let n_fft = (rate as usize / 16).next_power_of_two();
    let config = LogMelConfig { sample_rate: rate, n_fft, hop_length: step, num_mel_bins: BANDS };
    LogMel::new(config)?.compute(sound.to_mono().samples())
}

/// Draws both axes on white pixels.
fn draw_axes(pixels: &mut [u8], spectrogram: &Spectrogram) -> Result<(), String> {
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    let registered = || register_font(FONT, FontStyle::Normal, dejavu::sans::regular()).is_ok();
    if !REGISTERED.get_or_init(registered) {
        return Err("the embedded font is damaged".into());
    }
    let area = BitMapBackend::with_buffer(pixels, SIZE).into_drawing_area();
    draw_on(&area, spectrogram).map_err(|e| e.to_string())
}

/// Draws both axes on white; the frequency axis has the mel scale.
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

/// A frequency axis on the mel scale, from 0 Hz, with labels in kilohertz.
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
        LABELLED.into_iter().filter(|hertz| *hertz <= self.highest).collect()
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

    /// Checks that a tone of 1 kHz is a bright line at 1 kHz on the axis.
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
