//! A picture in the terminal: in the way that it is known to take pictures, else as blocks of colour.

use std::fmt::Write;
use std::io::Cursor;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use console::{Term, true_colors_enabled};
use image::imageops::{FilterType, resize};
use image::{ImageFormat, Rgb, RgbImage};
use ualm::{Error, ErrorKind, Result};

/// The most letters of a picture that kitty takes at once.
const KITTY_CHUNK: usize = 4096;
/// Pixels of a cell for sixels, and the widest picture that all terminals take.
const SIXEL_CELL: (u32, u32) = (6, 12);
const SIXEL_WIDTH: u32 = 1000;

/// The protocol by which a terminal shows pictures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Way {
    Kitty,
    Iterm,
    Sixel,
    Blocks,
}

/// Names of terminals that show pictures. Terminals are not queried: one that never answers would block the program
/// forever.
const TERMINALS: [(&str, Way); 9] = [
    ("kitty", Way::Kitty),
    ("ghostty", Way::Kitty),
    ("iterm", Way::Iterm),
    ("wezterm", Way::Iterm),
    ("mintty", Way::Iterm),
    ("warpterminal", Way::Iterm),
    ("foot", Way::Sixel),
    ("mlterm", Way::Sixel),
    ("contour", Way::Sixel),
];

impl Way {
    /// Returns the protocol of the terminal that the environment names.
    pub fn of_terminal() -> Self {
        let says = |variable: &str| std::env::var(variable).unwrap_or_default().to_lowercase();
        if says("TERM") == "dumb" {
            return Self::Blocks;
        }
        let named = ["TERM", "TERM_PROGRAM", "LC_TERMINAL"].map(says).join(" ");
        TERMINALS.iter().find(|(name, _)| named.contains(name)).map_or(Self::Blocks, |(_, way)| *way)
    }

    /// Returns the bytes that make a terminal show `picture` at its full width.
    pub fn draw(self, picture: &RgbImage) -> Result<String> {
        let is_colourful = true_colors_enabled(); // asked first: on Windows it makes the console take what follows
        let cells = fit(picture.dimensions(), Term::stdout().size());
        match self {
            Self::Kitty => Ok(kitty(&png(picture)?, cells)),
            Self::Iterm => Ok(iterm(&png(picture)?, cells)),
            Self::Sixel => sixels(picture, cells),
            Self::Blocks => Ok(blocks(picture, cells, if is_colourful { true_colour } else { palette_colour })),
        }
    }
}

/// Columns and rows of the largest picture with the shape of `size` that a terminal of so many rows and columns holds above
/// its last row. A cell is twice as high as it is wide.
fn fit((width, height): (u32, u32), (rows, columns): (u16, u16)) -> (u32, u32) {
    let (columns, lines) = (f64::from(columns.max(1)), f64::from(2 * rows.saturating_sub(1).max(1)));
    let scale = (columns / f64::from(width)).min(lines / f64::from(height));
    let cells = |length: u32, size: f64| ((f64::from(length) * scale / size).round() as u32).max(1);
    (cells(width, 1.0), cells(height, 2.0))
}

/// The picture as a PNG file.
pub fn png(picture: &RgbImage) -> Result<Vec<u8>> {
    let mut png = Cursor::new(Vec::new());
    picture.write_to(&mut png, ImageFormat::Png).map_err(undrawn)?;
    Ok(png.into_inner())
}

/// Kitty's protocol, in chunks: all but the last one say that more is to come.
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
    let (size, text) = (png.len(), STANDARD.encode(png));
    let head = format!("inline=1;preserveAspectRatio=1;size={size};width={columns};height={rows}");
    format!("\x1b]1337;File={head}:{text}\x07\n")
}

fn sixels(picture: &RgbImage, (columns, rows): (u32, u32)) -> Result<String> {
    let (width, height) = ((columns * SIXEL_CELL.0).min(SIXEL_WIDTH), rows * SIXEL_CELL.1);
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

/// Two pixels a cell: the upper one is its background, the lower one a block before it.
fn blocks(picture: &RgbImage, (columns, rows): (u32, u32), colour: fn(Rgb<u8>) -> String) -> String {
    let pixels = resize(picture, columns, 2 * rows, FilterType::Triangle);
    let mut drawn = String::new();
    for row in 0..rows {
        for column in 0..columns {
            let [upper, lower] = [2 * row, 2 * row + 1].map(|y| colour(*pixels.get_pixel(column, y)));
            // a string takes all that is written to it
            let _ = write!(drawn, "\x1b[48;{upper};38;{lower}m▄");
        }
        drawn += "\x1b[0m\n";
    }
    drawn
}

fn true_colour(Rgb([r, g, b]): Rgb<u8>) -> String {
    format!("2;{r};{g};{b}")
}

/// The nearest of the 256 colours that terminals have: a cube of 6 × 6 × 6 from number 16 on, then 24 greys.
fn palette_colour(Rgb(wanted): Rgb<u8>) -> String {
    const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    let distance =
        |colour: [u8; 3]| -> u32 { colour.iter().zip(wanted).map(|(a, b)| u32::from(a.abs_diff(b)).pow(2)).sum() };
    let cube = (0..216u8).map(|n| (n + 16, [n / 36, n / 6 % 6, n % 6].map(|level| LEVELS[usize::from(level)])));
    let greys = (0..24u8).map(|n| (n + 232, [8 + 10 * n; 3]));
    let nearest = cube.chain(greys).min_by_key(|(_, colour)| distance(*colour));
    format!("5;{}", nearest.map_or(0, |(number, _)| number))
}

fn undrawn(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Io, "the spectrogram cannot be drawn").with_source(error)
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
    fn colours_are_the_nearest_of_the_palette() {
        for (colour, number) in [([0, 0, 0], 16), ([255, 255, 255], 231), ([215, 0, 95], 161), ([9, 8, 8], 232)] {
            assert_eq!(palette_colour(Rgb(colour)), format!("5;{number}"));
        }
    }

    #[test]
    fn blocks_hold_two_pixels_each() {
        let picture = RgbImage::from_fn(2, 2, |x, y| Rgb([x as u8, y as u8, 7]));
        let drawn = blocks(&picture, (2, 1), true_colour);
        assert_eq!(drawn, "\x1b[48;2;0;0;7;38;2;0;1;7m▄\x1b[48;2;1;0;7;38;2;1;1;7m▄\x1b[0m\n");
    }

    #[test]
    fn kitty_is_told_when_a_picture_ends() {
        let drawn = kitty(&[1; 2 * KITTY_CHUNK], (80, 17));
        let heads: Vec<_> = drawn.split("\x1b_G").skip(1).filter_map(|chunk| chunk.split(';').next()).collect();
        assert_eq!(heads, ["f=100,a=T,t=d,c=80,r=17,m=1", "m=1", "m=0"]);
    }
}
