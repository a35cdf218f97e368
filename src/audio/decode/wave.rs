//! The WAV family: RIFF, RIFX (big-endian), RF64 and BW64 (64-bit sizes), and Sony's W64.
//!
//! The chunks are walked from the first to the samples. The bytes after the samples show whether the size of the samples can be
//! right: recorders that die leave sizes of zero, and others miscount by some bytes.

use crate::audio::decode::damage::{Damage, MISCOUNTED};
use crate::audio::decode::input::Input;
use crate::audio::decode::pcm::Blocks;
use crate::audio::decode::refusal;
use crate::audio::decode::stream::Stream;
use crate::audio::decode::track::{Demuxer, Step, Track};
use crate::audio::decode::wave_format::WaveFormat;
use crate::error::Result;

/// The layout of chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variant {
    Riff,
    Rifx,
    /// RF64, and BW64.
    Rf64,
    W64,
}

/// The largest plausible 64-bit size: for an unknown size, programs write the largest number, less a header.
const MAX_SIZE: u64 = 1 << 60;

/// Returns whether `size` is one that programs write before they know the length.
fn is_unknown(size: u64) -> bool {
    matches!(size, 0x7fff_0000..=0x8000_0000 | 0xffff_0000..=0xffff_ffff) || size > MAX_SIZE
}

/// The maximum size of a chunk that describes the sound, in bytes.
const MAX_DESCRIBED: u64 = 1 << 16;

/// The second half of W64's identifiers of chunks, after four letters.
const W64_TAIL: [u8; 12] = *b"\xf3\xac\xd3\x11\x8c\xd1\0\xc0\x4f\x8e\xdb\x8a";

/// Chunks that recordings have after the samples.
const KNOWN: [[u8; 4]; 28] = [
    *b"LIST", *b"list", *b"fact", *b"bext", *b"iXML", *b"axml", *b"chna", *b"cue ", *b"smpl", *b"inst", *b"plst",
    *b"JUNK", *b"junk", *b"PAD ", *b"FLLR", *b"id3 ", *b"ID3 ", *b"_PMX", *b"umid", *b"cart", *b"levl", *b"PEAK",
    *b"acid", *b"afsp", *b"DISP", *b"LGWV", *b"ualm", *b"strc",
];

/// A reader of a file of the WAV family.
pub(super) struct Wave<'a> {
    input: Input<'a>,
    variant: Variant,
    track: Track,
    blocks: Blocks,
    block: u64,
    /// The stated size of the samples, in bytes, if it is known.
    size: Option<u64>,
    /// The end of the file by its first header, if that is plausible.
    stated_end: Option<u64>,
    is_checked: bool,
}

/// A reader of MPEG audio in a file of the WAV family, which reads the frames as a bare stream.
struct MpegInWave<'a> {
    stream: Stream<'a>,
    variant: Variant,
    /// The stated size of the frames, in bytes, if it is known.
    size: Option<u64>,
}

struct Chunk {
    id: [u8; 4],
    size: u64,
}

impl Variant {
    fn name(self) -> &'static str {
        match self {
            Self::Riff | Self::Rifx => "WAV",
            Self::Rf64 => "RF64",
            Self::W64 => "W64",
        }
    }

    fn short_name(self) -> &'static str {
        match self {
            Self::Riff | Self::Rifx => "wave",
            Self::Rf64 => "rf64",
            Self::W64 => "w64",
        }
    }

    fn header_len(self) -> usize {
        if self == Self::W64 { 24 } else { 8 }
    }

    /// Returns the chunk whose header `bytes` begin with, if there are enough of them.
    fn chunk(self, bytes: &[u8]) -> Option<Chunk> {
        let (&id, rest) = bytes.split_first_chunk::<4>()?;
        if self == Self::W64 {
            let (tail, size) = rest.split_first_chunk::<12>()?;
            let size = u64::from_le_bytes(size.get(..8)?.try_into().ok()?);
            // W64 sizes include the header. The file's first chunk has another identifier.
            return Some(Chunk {
                id: if *tail == W64_TAIL { id } else { *b"\0\0\0\0" },
                size: size.saturating_sub(24),
            });
        }
        let size = rest.get(..4)?.try_into().ok()?;
        let size = if self == Self::Rifx { u32::from_be_bytes(size) } else { u32::from_le_bytes(size) };
        Some(Chunk { id, size: u64::from(size) })
    }

    /// Returns the bytes after a chunk of `size` bytes up to the next one.
    fn padding(self, size: u64) -> u64 {
        match self {
            Self::W64 => size.next_multiple_of(8).wrapping_sub(size),
            _ => size & 1,
        }
    }
}

impl<'a> Wave<'a> {
    /// Walks the chunks up to the samples.
    ///
    /// # Errors
    /// No samples, no description before them, or one that is not supported.
    pub fn open(mut input: Input<'a>, variant: Variant) -> Result<Box<dyn Demuxer + 'a>> {
        let begin = input.position();
        let first = input.read_up_to(if variant == Variant::W64 { 40 } else { 12 })?;
        let mut stated = if variant == Variant::W64 {
            first.get(16..24).and_then(|size| Some(u64::from_le_bytes(size.try_into().ok()?)))
        } else {
            variant.chunk(&first).map(|chunk| chunk.size.saturating_add(8))
        };
        let mut format = None;
        let mut long_size = None;
        loop {
            let header = input.read_up_to(variant.header_len() as u64)?;
            let Some(chunk) = variant.chunk(&header) else {
                return Err(refusal::broken(variant.name(), "it holds no samples (no data chunk)"));
            };
            if chunk.id == *b"data" {
                let Some(format) = format else {
                    return Err(refusal::broken(variant.name(), "its samples come before their description (fmt)"));
                };
                let is_long = variant == Variant::W64 || (long_size.is_some() && chunk.size == u64::from(u32::MAX));
                let size = long_size.filter(|_| is_long).unwrap_or(chunk.size);
                let known = |size: &u64| if is_long { *size <= MAX_SIZE } else { !is_unknown(*size) };
                let stated_end = stated.filter(|stated| *stated > 40).filter(known);
                let stated_end = stated_end.map(|stated| begin.saturating_add(stated));
                return Self::begin(input, variant, format, Some(size).filter(known), stated_end);
            }
            let padded = chunk.size.saturating_add(variant.padding(chunk.size));
            match &chunk.id {
                b"fmt " | b"ds64" if chunk.size <= MAX_DESCRIBED => {
                    let mut bytes = input.read_up_to(padded)?;
                    bytes.truncate(chunk.size as usize);
                    if chunk.id == *b"fmt " {
                        format = WaveFormat::read(&bytes, variant == Variant::Rifx);
                    } else if let Some(sizes) = bytes.first_chunk::<16>() {
                        let at =
                            |at| sizes.get(at..at + 8).and_then(|size| Some(u64::from_le_bytes(size.try_into().ok()?)));
                        stated = at(0).map(|size| size.saturating_add(8));
                        long_size = at(8);
                    }
                }
                _ => {
                    input.skip(padded)?;
                }
            }
        }
    }

    fn begin(
        input: Input<'a>,
        variant: Variant,
        format: WaveFormat,
        size: Option<u64>,
        stated_end: Option<u64>,
    ) -> Result<Box<dyn Demuxer + 'a>> {
        if format.is_mpeg() {
            let size = size.filter(|size| *size > 0);
            return Ok(Box::new(MpegInWave { stream: Stream::open_mpeg(input, size)?, variant, size }));
        }
        let (mut track, mut blocks) = format.track(variant.name(), size.filter(|size| *size > 0))?;
        track.stored_bytes = input.len().map(|len| len.saturating_sub(input.position()));
        let block = blocks.block();
        blocks.left = size.map(|size| size / block * block);
        Ok(Box::new(Self { input, variant, track, blocks, block, size, stated_end, is_checked: false }))
    }

    /// Examines the bytes after the samples, and takes them for samples if the stated size cannot be right.
    fn check_end(&mut self, damage: &mut Damage) -> Result<()> {
        self.is_checked = true;
        let Some(size) = self.size else { return Ok(()) };
        let partial = (size % self.block) as usize;
        let padding = self.variant.padding(size) as usize;
        let header = self.variant.header_len();
        let rest = self.input.peek(partial + padding + header + 1)?.to_vec();
        let is_chunk = |at: usize| {
            let chunk = rest.get(at..).and_then(|rest| self.variant.chunk(rest));
            chunk.is_some_and(|chunk| {
                let is_name = chunk.id.iter().all(|letter| matches!(letter, b' '..=b'~'));
                KNOWN.contains(&chunk.id) || (size > 0 && is_name)
            })
        };
        if rest.is_empty() || is_chunk(partial + padding) || is_chunk(partial) {
            return Ok(());
        }
        if rest.len() <= partial + padding + header {
            // A few bytes more are the rest of the last sample, or further samples; a single byte is padding.
            let is_padding = rest.len() <= padding && (self.block == 1 || partial == 0);
            self.blocks.left = Some(if is_padding { 0 } else { rest.len() as u64 });
            return Ok(());
        }
        let begin = self.input.position();
        self.blocks.left = match self.stated_end {
            _ if size == 0 => None,
            None => None,
            Some(end) if end > begin + (partial + padding + header) as u64 => Some(end - begin),
            Some(_) => {
                let is_tag = rest.starts_with(b"TAG") || rest.starts_with(b"ID3") || rest.iter().all(|byte| *byte == 0);
                if !is_tag {
                    damage.note("has bytes after the samples that its header states; they are left out");
                }
                return Ok(());
            }
        };
        self.track.promised_seconds = None;
        if size == 0 {
            damage.header_unfinished();
        } else {
            damage.note(format!("has more sound than the {size} bytes that its header states: all of it is used"));
        }
        Ok(())
    }
}

impl Demuxer for Wave<'_> {
    fn container(&self) -> &'static str {
        self.variant.short_name()
    }

    fn name(&self) -> &'static str {
        self.variant.name()
    }

    fn track(&self) -> &Track {
        &self.track
    }

    fn next(&mut self, damage: &mut Damage) -> Result<Step> {
        let step = self.blocks.next(&mut self.input, damage)?;
        if !matches!(step, Step::End) || self.is_checked {
            return Ok(step);
        }
        self.check_end(damage)?;
        self.blocks.next(&mut self.input, damage)
    }
}

impl Demuxer for MpegInWave<'_> {
    fn container(&self) -> &'static str {
        self.variant.short_name()
    }

    fn name(&self) -> &'static str {
        self.variant.name()
    }

    fn track(&self) -> &Track {
        self.stream.track()
    }

    fn next(&mut self, damage: &mut Damage) -> Result<Step> {
        let step = self.stream.next(damage)?;
        let is_short = |size: u64| size.saturating_sub(self.stream.bytes_read()) > MISCOUNTED;
        if matches!(step, Step::End) && self.size.is_some_and(is_short) {
            damage.cut();
        }
        Ok(step)
    }
}
