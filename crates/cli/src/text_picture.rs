//! A spectrogram as text: in colours, in block characters, or in ASCII, with its axes.

use std::fmt::Write;

use console::{colors_enabled, true_colors_enabled};
use image::imageops::{FilterType, resize};
use image::{Luma, Rgb};

use crate::spectrogram::{LABELLED, Spectrogram, colour_of};

/// Columns of the frequency axis on the left.
const LEFT: u32 = 5;
/// Columns per row: the aspect ratio.
const SHAPE: u32 = 5;
/// The minimum and the maximum number of rows.
const ROWS: (u32, u32) = (4, 24);
/// The minimum number of columns between labels of the time axis.
const APART: f64 = 8.0;
/// Possible distances between labels of the time axis, in seconds.
const TICKS: [f64; 13] = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0];
/// Block characters, from quiet to loud.
const SHADES: [char; 5] = [' ', '░', '▒', '▓', '█'];
/// ASCII characters, from quiet to loud.
const ASCII: [char; 10] = [' ', '.', ':', '-', '=', '+', '*', '#', '%', '@'];

/// The characters and colours that a terminal or a file can show.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TextStyle {
    is_coloured: bool,
    is_unicode: bool,
}

impl TextStyle {
    /// Returns the style that standard output can show; `NO_COLOR` and `TERM=dumb` disable colours.
    pub fn of_output(is_terminal: bool) -> Self {
        Self { is_coloured: is_terminal && colors_enabled(), is_unicode: is_unicode(is_terminal) }
    }

    /// Draws `spectrogram` within the given rows and columns.
    pub fn draw(self, spectrogram: &Spectrogram, (rows, columns): (u16, u16)) -> String {
        let width = u32::from(columns).saturating_sub(LEFT + 1).max(SHAPE);
        let max = u32::from(rows).saturating_sub(3).clamp(ROWS.0, ROWS.1);
        let height = (width / SHAPE).clamp(ROWS.0, max);
        let cells = self.cells(spectrogram, width, height);
        let mut drawn = String::new();
        for (row, cells) in cells.iter().enumerate() {
            let label = frequency_at(spectrogram, row, height).unwrap_or_default();
            // writing to a string cannot fail
            let _ = writeln!(drawn, "{label:>w$} {cells}", w = LEFT as usize);
        }
        drawn + &seconds_below(spectrogram.seconds, width)
    }

    /// Draws the cells, one string per row, top row first.
    fn cells(self, spectrogram: &Spectrogram, width: u32, height: u32) -> Vec<String> {
        let halves = if self.is_coloured && self.is_unicode { 2 } else { 1 };
        let levels = resize(&spectrogram.levels, width, halves * height, FilterType::Triangle);
        let level = |x, y| {
            let Luma([level]) = *levels.get_pixel(x, y);
            level.clamp(0.0, 1.0)
        };
        let colour = |x, y| {
            if true_colors_enabled() {
                true_colour(colour_of(level(x, y)))
            } else {
                palette_colour(colour_of(level(x, y)))
            }
        };
        let row = |y| {
            let cells = (0..width).map(|x| match (self.is_coloured, self.is_unicode) {
                // two levels per cell: the upper one is the background, the lower one the block character
                (true, true) => format!("\x1b[48;{};38;{}m▄", colour(x, 2 * y), colour(x, 2 * y + 1)),
                (true, false) => format!("\x1b[48;{}m ", colour(x, y)),
                (false, true) => character(&SHADES, level(x, y)).into(),
                (false, false) => character(&ASCII, level(x, y)).into(),
            });
            let cells: String = cells.collect();
            if self.is_coloured { cells + "\x1b[0m" } else { cells.trim_end().to_owned() }
        };
        (0..height).map(row).collect()
    }
}

/// Returns whether standard output takes Unicode: by the locale on Unix; on Windows a console does, and a pipe may not.
fn is_unicode(is_terminal: bool) -> bool {
    if cfg!(windows) {
        return is_terminal;
    }
    let set = |name: &&str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(set).unwrap_or_default().to_lowercase();
    cfg!(target_os = "macos") || locale.contains("utf-8") || locale.contains("utf8")
}

fn character(scale: &[char], level: f32) -> char {
    let index = (level * scale.len() as f32) as usize;
    scale.get(index.min(scale.len() - 1)).copied().unwrap_or(' ')
}

/// Returns the label of a row on the frequency axis, in kilohertz, if it has one.
fn frequency_at(spectrogram: &Spectrogram, row: usize, height: u32) -> Option<String> {
    let row_of = |hertz: f64| ((1.0 - spectrogram.height_of(hertz)) * f64::from(height - 1)).round() as usize;
    let mut shown = LABELLED.into_iter().rev().filter(|hertz| *hertz <= spectrogram.highest).peekable();
    let top = shown.peek().copied();
    let named = shown.find(|hertz| row_of(*hertz) == row)?;
    let unit = if Some(named) == top { "kHz" } else { "" };
    Some(format!("{}{unit}", named / 1000.0))
}

/// Draws the time axis.
fn seconds_below(seconds: f64, width: u32) -> String {
    let column = |second: f64| (second / seconds * f64::from(width)) as usize;
    let step = TICKS.into_iter().find(|step| step / seconds * f64::from(width) >= APART);
    let mut line = " ".repeat(LEFT as usize + 1);
    let Some(step) = step else { return format!("{line}0 s\n") };
    for n in 0.. {
        let second = f64::from(n) * step;
        let label = if n == 0 { "0 s".to_owned() } else { format!("{}", (second * 10.0).round() / 10.0) };
        let start = LEFT as usize + 1 + column(second);
        if second > seconds || start + label.len() > (LEFT + 1 + width) as usize {
            break;
        }
        let _ = write!(line, "{}{label}", " ".repeat(start.saturating_sub(line.len())));
    }
    line.trim_end().to_owned() + "\n"
}

fn true_colour(Rgb([r, g, b]): Rgb<u8>) -> String {
    format!("2;{r};{g};{b}")
}

/// Returns the nearest of the 256 terminal colours: a cube of 6 × 6 × 6 from number 16 on, then 24 greys.
fn palette_colour(Rgb(wanted): Rgb<u8>) -> String {
    const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    let distance =
        |colour: [u8; 3]| -> u32 { colour.iter().zip(wanted).map(|(a, b)| u32::from(a.abs_diff(b)).pow(2)).sum() };
    let cube = (0..216u8).map(|n| (n + 16, [n / 36, n / 6 % 6, n % 6].map(|level| LEVELS[usize::from(level)])));
    let greys = (0..24u8).map(|n| (n + 232, [8 + 10 * n; 3]));
    let nearest = cube.chain(greys).min_by_key(|(_, colour)| distance(*colour));
    format!("5;{}", nearest.map_or(0, |(number, _)| number))
}

#[cfg(test)]
mod tests {
    use image::ImageBuffer;

    use super::*;

    fn ramp(seconds: f64, highest: f64) -> Spectrogram {
        let levels = ImageBuffer::from_fn(64, 32, |x, _| Luma([x as f32 / 63.0]));
        Spectrogram { levels, seconds, highest }
    }

    #[test]
    fn colours_are_the_nearest_of_the_palette() {
        for (colour, number) in [([0, 0, 0], 16), ([255, 255, 255], 231), ([215, 0, 95], 161), ([9, 8, 8], 232)] {
            assert_eq!(palette_colour(Rgb(colour)), format!("5;{number}"));
        }
    }

    #[test]
    fn quiet_is_blank_and_loud_is_full() {
        for (is_unicode, full) in [(true, '█'), (false, '@')] {
            let drawn = TextStyle { is_coloured: false, is_unicode }.draw(&ramp(5.0, 8000.0), (24, 80));
            let lines: Vec<_> = drawn.lines().collect();
            assert_eq!(lines.len(), 15, "{drawn}");
            assert!(lines[0].starts_with(" 8kHz  ") && lines[0].ends_with(full), "{drawn}");
            assert!(lines[13].starts_with("    0 "), "{drawn}");
            assert!(lines[14].starts_with("      0 s") && lines[14].ends_with(" 4"), "{drawn}");
            assert_eq!(drawn.is_ascii(), !is_unicode, "{drawn}");
        }
    }

    #[test]
    fn the_highest_label_has_the_unit() {
        for (highest, first) in [(24_000.0, "16kHz "), (22_050.0, "16kHz "), (4000.0, " 4kHz "), (100.0, " 0kHz ")] {
            let drawn = TextStyle { is_coloured: false, is_unicode: true }.draw(&ramp(5.0, highest), (24, 80));
            assert_eq!(drawn.matches("kHz").count(), 1, "{drawn}");
            assert!(drawn.lines().any(|line| line.starts_with(first)), "{drawn}");
        }
    }

    #[test]
    fn a_picture_stays_within_its_columns() {
        for (rows, columns) in [(24, 80), (50, 200), (1, 1), (10, 30), (0, 0), (24, 11)] {
            for seconds in [0.02, 0.7, 5.3, 61.0, 4000.0, 1e6] {
                let drawn =
                    TextStyle { is_coloured: false, is_unicode: true }.draw(&ramp(seconds, 24_000.0), (rows, columns));
                let widest = drawn.lines().map(|line| line.chars().count()).max().unwrap();
                assert!(widest <= usize::from(columns).max(11), "{widest} of {columns}: {drawn}");
                assert!(drawn.lines().count() <= usize::from(rows).max(7), "{rows}: {drawn}");
            }
        }
    }

    #[test]
    fn a_coloured_cell_has_two_levels_or_is_blank() {
        let drawn = |is_unicode| TextStyle { is_coloured: true, is_unicode }.draw(&ramp(1.0, 8000.0), (24, 80));
        assert_eq!(drawn(true).matches('▄').count(), 74 * 14);
        assert!(drawn(false).is_ascii() && drawn(false).matches("m ").count() >= 74 * 14);
        assert_eq!(drawn(true).matches("\x1b[0m\n").count(), 14);
    }
}
