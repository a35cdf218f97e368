//! A spectrogram in the terminal: by the graphics protocol that the terminal is known to have, else as text.

use std::io::{IsTerminal, stdout};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use console::{Term, true_colors_enabled};
use image::RgbImage;
use image::imageops::{FilterType, resize};
use ualm::{Error, ErrorKind, Result};

use crate::output::print;
use crate::spectrogram::{Spectrogram, png};
use crate::text_picture::TextStyle;

/// The maximum chunk size of kitty's protocol, in characters.
const KITTY_CHUNK: usize = 4096;
/// The assumed size of a cell for sixels, in pixels.
const SIXEL_CELL: (u32, u32) = (6, 12);
/// The maximum width that all terminals with sixels accept, in pixels.
const SIXEL_WIDTH: u32 = 1000;

/// The rows and columns of output to a file or a pipe.
const PAGE: (u16, u16) = (24, 80);

/// A graphics protocol of terminals.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Protocol {
    Kitty,
    Iterm,
    Sixel,
}

/// Names of terminals with graphics. Terminals are not queried: one that never answers would block the program forever.
const TERMINALS: [(&str, Protocol); 9] = [
    ("kitty", Protocol::Kitty),
    ("ghostty", Protocol::Kitty),
    ("iterm", Protocol::Iterm),
    ("wezterm", Protocol::Iterm),
    ("mintty", Protocol::Iterm),
    ("warpterminal", Protocol::Iterm),
    ("foot", Protocol::Sixel),
    ("mlterm", Protocol::Sixel),
    ("contour", Protocol::Sixel),
];

/// Shows `spectrogram` on standard output: as a picture if the terminal supports one, else as text.
pub fn show(spectrogram: &Spectrogram) -> Result<()> {
    let is_terminal = stdout().is_terminal();
    let _ = true_colors_enabled(); // called first: on Windows it enables escape sequences on the console
    let size = if is_terminal { Term::stdout().size() } else { PAGE };
    let protocol = if is_terminal { Protocol::of_terminal() } else { None };
    print(&match protocol {
        Some(protocol) => protocol.draw(&spectrogram.picture()?, size)?,
        None => TextStyle::of_output(is_terminal).draw(spectrogram, size),
    })
}

impl Protocol {
    /// Returns the protocol of the terminal named in the environment.
    fn of_terminal() -> Option<Self> {
        let says = |variable: &str| std::env::var(variable).unwrap_or_default().to_lowercase();
        if says("TERM") == "dumb" {
            return None;
        }
        let named = ["TERM", "TERM_PROGRAM", "LC_TERMINAL"].map(says).join(" ");
        TERMINALS.iter().find(|(name, _)| named.contains(name)).map(|(_, protocol)| *protocol)
    }

    /// Encodes `picture` for a terminal of `size` rows and columns.
    fn draw(self, picture: &RgbImage, size: (u16, u16)) -> Result<String> {
        let cells = fit(picture.dimensions(), size);
        match self {
            Self::Kitty => Ok(kitty(&png(picture)?, cells)),
            Self::Iterm => Ok(iterm(&png(picture)?, cells)),
            Self::Sixel => sixels(picture, cells),
        }
    }
}

/// Returns the columns and rows of the largest picture with the given aspect ratio that fits above the last row of a
/// terminal. A cell is assumed to be twice as high as wide.
fn fit((width, height): (u32, u32), (rows, columns): (u16, u16)) -> (u32, u32) {
    let columns = f64::from(columns.max(1));
    let lines = f64::from(2 * rows.saturating_sub(1).max(1));
    let scale = (columns / f64::from(width)).min(lines / f64::from(height));
    let cells = |length: u32, size: f64| ((f64::from(length) * scale / size).round() as u32).max(1);
    (cells(width, 1.0), cells(height, 2.0))
}

/// Encodes a PNG file in kitty's protocol, in chunks; all but the last have `m=1` for more.
fn kitty(png: &[u8], (columns, rows): (u32, u32)) -> String {
    let text = STANDARD.encode(png);
    let chunks = text.len().div_ceil(KITTY_CHUNK);
    let mut drawn = String::new();
    for (number, chunk) in text.as_bytes().chunks(KITTY_CHUNK).enumerate() {
        let head = if number == 0 { format!("f=100,a=T,t=d,c={columns},r={rows},") } else { String::new() };
        let more = u8::from(number + 1 < chunks);
        drawn += &format!("\x1b_G{head}m={more};{}\x1b\\", String::from_utf8_lossy(chunk));
    }
    drawn + "\n"
}

fn iterm(png: &[u8], (columns, rows): (u32, u32)) -> String {
    let size = png.len();
    let text = STANDARD.encode(png);
    let head = format!("inline=1;preserveAspectRatio=1;size={size};width={columns};height={rows}");
    format!("\x1b]1337;File={head}:{text}\x07\n")
}

fn sixels(picture: &RgbImage, (columns, rows): (u32, u32)) -> Result<String> {
    let width = (columns * SIXEL_CELL.0).min(SIXEL_WIDTH);
    let height = rows * SIXEL_CELL.1;
    let pixels = resize(picture, width, height, FilterType::Triangle).into_raw();
    icy_sixel::sixel_string(
        &pixels,
        width as i32,
        height as i32,
        icy_sixel::PixelFormat::RGB888,
        icy_sixel::DiffusionMethod::Auto,
        icy_sixel::MethodForLargest::Auto,
        icy_sixel::MethodForRep::Auto,
        icy_sixel::Quality::AUTO,
    )
    .map_err(|e| Error::new(ErrorKind::Io, format!("the spectrogram cannot be drawn as sixels: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_fit_their_terminal() {
        assert_eq!(fit((960, 400), (24, 80)), (80, 17));
        assert_eq!(fit((960, 400), (11, 200)), (48, 10));
        assert_eq!(fit((960, 400), (0, 0)), (1, 1));
    }

    #[test]
    fn the_last_chunk_for_kitty_is_marked() {
        let drawn = kitty(&[1; 2 * KITTY_CHUNK], (80, 17));
        let heads: Vec<_> = drawn.split("\x1b_G").skip(1).filter_map(|chunk| chunk.split(';').next()).collect();
        assert_eq!(heads, ["f=100,a=T,t=d,c=80,r=17,m=1", "m=1", "m=0"]);
    }
}
