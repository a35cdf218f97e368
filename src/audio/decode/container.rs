//! Containers, recognized by their first bytes and not by the recording's name.

use crate::audio::decode::adts;
use crate::audio::decode::aiff::Aiff;
use crate::audio::decode::au::Au;
use crate::audio::decode::caf::Caf;
use crate::audio::decode::input::Input;
use crate::audio::decode::matroska::Matroska;
use crate::audio::decode::mp4::Mp4;
use crate::audio::decode::mpeg;
use crate::audio::decode::refusal::{self, FORMATS};
use crate::audio::decode::stream::{Kind, Stream};
use crate::audio::decode::track::Demuxer;
use crate::audio::decode::untagged::{ID3V1_LEN, tag_len};
use crate::audio::decode::wave::{Variant, Wave};
use crate::count::counted;
use crate::error::{Error, ErrorKind, Result};

/// A container that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Container {
    Wave(Variant),
    Au,
    Aiff,
    Caf,
    Mp4,
    Matroska,
    Stream(Kind),
}

/// The number of bytes by which a container is recognized.
const HEAD_LEN: usize = 4096;

/// The identifier of the first chunk of a W64 file.
const W64: &[u8] = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0";

/// The boxes that MP4 and QuickTime files begin with.
const FIRST_BOXES: [&[u8]; 12] =
    [b"ftyp", b"styp", b"moov", b"mdat", b"moof", b"sidx", b"free", b"skip", b"wide", b"pnot", b"udta", b"uuid"];

/// Containers that cannot be read: the offset of characteristic bytes, the bytes, and the name.
const REFUSED: [(usize, &[u8], &str); 30] = [
    (0, b"#!AMR-WB", "AMR-WB"),
    (0, b"#!AMR", "AMR"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "WMA or another file in Microsoft's ASF"),
    (0, b"\x0b\x77", "AC-3 or E-AC-3"),
    (0, b"\x7f\xfe\x80\x01", "DTS"),
    (0, b"\xfe\x7f\x01\x80", "DTS"),
    (0, b"DTSHDHDR", "DTS"),
    (4, b"\xf8\x72\x6f\xba", "TrueHD"),
    (0, b"wvpk", "WavPack"),
    (0, b"TTA1", "TTA (True Audio)"),
    (0, b"MAC ", "Monkey's Audio"),
    (0, b"MP+", "Musepack"),
    (0, b"MPCK", "Musepack"),
    (0, b"OFR ", "OptimFROG"),
    (0, b"ajkg", "Shorten"),
    (0, b"DSD ", "DSD (DSF)"),
    (0, b"FRM8", "DSD (DSDIFF)"),
    (0, b".RMF", "RealAudio or RealVideo (RealMedia)"),
    (0, b".ra\xfd", "RealAudio"),
    (0, b"FLV", "Flash Video"),
    (0, b"Creative Voice File", "VOC (Creative Voice)"),
    (0, b"\xc0\xde\xc2", "Codec 2"),
    (0, b"MThd", "MIDI, which holds notes, not sound"),
    (0, b"NIST_1A", "NIST SPHERE"),
    (0, b"\x64\xa3\x01\0", "IRCAM"),
    (0, b"#!SILK", "SILK (Skype, WeChat)"),
    (0, b"\x02#!SILK", "SILK (Skype, WeChat)"),
    (0, b"\0\0\x01\xba", "MPEG program stream (VOB, MPG)"),
    (0, b"\x06\x0e\x2b\x34\x02\x05\x01\x01", "MXF"),
    (0, b"#EXTM3U", "a playlist (M3U), not the sound itself,"),
];

impl Container {
    /// Determines the container of `input`, and moves to its first byte; tags before the container are skipped.
    ///
    /// # Errors
    /// Bytes that are not known as sound, or an unreadable container, by its name.
    pub fn identify(input: &mut Input<'_>, notes: &mut Vec<String>) -> Result<Self> {
        if input.peek(1)?.is_empty() {
            return Err(Error::new(ErrorKind::Audio, "is empty: a sound file is needed"));
        }
        let has_tag = skip_tags(input)?;
        input.begin_here();
        let head = input.peek(HEAD_LEN)?;
        if let Some(container) = Self::of(head) {
            return Ok(container);
        }
        if let Some(name) = refused(head) {
            return Err(refusal::container(name));
        }
        if let Some(kind) = frames(head) {
            return Ok(Self::Stream(kind));
        }
        if has_tag && head.is_empty() {
            return Err(Error::new(ErrorKind::Audio, "holds no sound: it ends with its tag"));
        }
        if is_text(head) {
            return Err(Error::new(ErrorKind::Audio, format!("holds text, not audio; {FORMATS} can be read")));
        }
        skip_to_frames(input, notes)?.ok_or_else(|| {
            let message =
                format!("is not audio that can be read, or is damaged at its beginning; {FORMATS} can be read");
            Error::new(ErrorKind::Audio, message)
        })
    }

    /// Opens the container.
    ///
    /// # Errors
    /// A damaged header, no sound, or a codec that cannot be decoded.
    pub fn open<'a>(self, input: Input<'a>) -> Result<Box<dyn Demuxer + 'a>> {
        Ok(match self {
            Self::Wave(variant) => Wave::open(input, variant)?,
            Self::Au => Box::new(Au::open(input)?),
            Self::Aiff => Box::new(Aiff::open(input)?),
            Self::Caf => Box::new(Caf::open(input.seekable("CAF")?)?),
            Self::Mp4 => Box::new(Mp4::open(input.seekable("MP4")?)?),
            Self::Matroska => Box::new(Matroska::open(input)?),
            Self::Stream(kind) => Box::new(Stream::open(input, kind)?),
        })
    }

    fn of(head: &[u8]) -> Option<Self> {
        let form = head.get(8..12).unwrap_or_default();
        Some(match head {
            [b'R', b'I', b'F', b'F', ..] if form == b"WAVE" => Self::Wave(Variant::Riff),
            [b'R', b'I', b'F', b'X', ..] if form == b"WAVE" => Self::Wave(Variant::Rifx),
            [b'R', b'F', b'6', b'4', ..] | [b'B', b'W', b'6', b'4', ..] if form == b"WAVE" => Self::Wave(Variant::Rf64),
            [b'F', b'O', b'R', b'M', ..] if matches!(form, b"AIFF" | b"AIFC") => Self::Aiff,
            [b'.', b's', b'n', b'd', ..] | [b'd', b'n', b's', b'.', ..] => Self::Au,
            [b'c', b'a', b'f', b'f', ..] => Self::Caf,
            [0x1a, 0x45, 0xdf, 0xa3, ..] => Self::Matroska,
            [b'O', b'g', b'g', b'S', ..] => Self::Stream(Kind::Ogg),
            [b'f', b'L', b'a', b'C', ..] => Self::Stream(Kind::Flac),
            head if head.starts_with(W64) => Self::Wave(Variant::W64),
            [_, _, _, _, kind @ ..] if FIRST_BOXES.iter().any(|first| kind.starts_with(first)) => Self::Mp4,
            _ => return None,
        })
    }
}

/// Returns the name of a container that cannot be read.
fn refused(head: &[u8]) -> Option<&'static str> {
    let found = REFUSED.iter().find(|(at, magic, _)| head.get(*at..).is_some_and(|bytes| bytes.starts_with(magic)));
    if let Some((_, _, name)) = found {
        return Some(name);
    }
    let form = head.get(8..12).unwrap_or_default();
    match head {
        [b'R', b'I', b'F', b'F' | b'X', ..] => Some(match form {
            b"AVI " => "AVI",
            b"CDXA" => "a video CD",
            b"sfbk" => "a sound font",
            b"RMID" => "MIDI, which holds notes, not sound",
            b"WEBP" => "a picture (WebP)",
            _ => "RIFF without sound",
        }),
        [b'F', b'O', b'R', b'M', ..] if form == b"8SVX" => Some("8SVX"),
        head if is_transport_stream(head) => Some("MPEG-TS"),
        head if is_loas(head) => Some("AAC in LATM/LOAS"),
        _ => None,
    }
}

/// Returns whether packets of an MPEG transport stream begin at equal distances.
fn is_transport_stream(head: &[u8]) -> bool {
    [(0, 188), (4, 192), (0, 204)].iter().any(|&(first, distance)| {
        let packets = (0..5).map(|n| head.get(first + n * distance));
        let mut found = packets.clone().flatten();
        packets.flatten().count() >= 2 && found.all(|byte| *byte == 0x47)
    })
}

/// Returns whether two frames of LOAS follow each other.
fn is_loas(head: &[u8]) -> bool {
    let frame = |at: usize| match head.get(at..)? {
        [0x56, high, low, ..] if high & 0xe0 == 0xe0 => {
            Some(at + 3 + (usize::from(high & 0x1f) << 8 | usize::from(*low)))
        }
        _ => None,
    };
    frame(0).and_then(frame).is_some()
}

/// Skips tags (`ID3v2`) and the zeros that some programs write after them. Returns whether a tag was found.
fn skip_tags(input: &mut Input<'_>) -> Result<bool> {
    let mut has_tag = false;
    if input.peek(8)?.iter().all(|byte| *byte == 0) {
        skip_zeros(input)?;
    }
    while let Some(len) = tag_len(input.peek(10)?).filter(|len| *len != ID3V1_LEN) {
        input.skip(len)?;
        has_tag = true;
        skip_zeros(input)?;
    }
    Ok(has_tag)
}

/// The maximum number of zeros that are skipped before a container.
const MAX_ZEROS: usize = 1 << 20;

fn skip_zeros(input: &mut Input<'_>) -> Result<()> {
    let mut left = MAX_ZEROS;
    while left > 0 {
        let head = input.peek(HEAD_LEN)?;
        let zeros = head.iter().take_while(|byte| **byte == 0).count();
        // Zeros may also begin the size of a box.
        if zeros == 0 || Container::of(head).is_some() {
            break;
        }
        input.skip(zeros as u64)?;
        left = left.saturating_sub(zeros);
    }
    Ok(())
}

/// Returns the kind of the frames that `head` begins with.
fn frames(head: &[u8]) -> Option<Kind> {
    if adts::run(head, 2) {
        return Some(Kind::Adts);
    }
    mpeg::run(head, 2).then_some(Kind::Mpeg)
}

/// The number of bytes to search for frames at the beginning of a stream that was cut within a frame.
const SEARCHED: usize = 64 << 10;

/// Skips to a run of frames in the beginning of a stream that was cut in the middle of a frame.
fn skip_to_frames(input: &mut Input<'_>, notes: &mut Vec<String>) -> Result<Option<Container>> {
    let head = input.peek(SEARCHED)?;
    let found = (0..head.len()).find_map(|at| {
        let rest = head.get(at..)?;
        let kind = if adts::run(rest, 4) { Kind::Adts } else { Kind::Mpeg };
        (kind == Kind::Adts || mpeg::run(rest, 4)).then_some((at, kind))
    });
    let Some((at, kind)) = found else { return Ok(None) };
    input.skip(at as u64)?;
    notes.push(format!("begins with {} before the first whole frame of sound, left out", counted(at, "byte")));
    Ok(Some(Container::Stream(kind)))
}

fn is_text(head: &[u8]) -> bool {
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The end of the head may cut a character.
        Err(error) if head.len() - error.valid_up_to() < 4 => {
            head.get(..error.valid_up_to()).and_then(|head| std::str::from_utf8(head).ok()).unwrap_or("\0")
        }
        Err(_) => return false,
    };
    !valid.contains(|c: char| c.is_control() && !c.is_whitespace())
}
