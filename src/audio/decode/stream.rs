//! Bare streams, which Symphonia splits into packets: MPEG audio, AAC in ADTS, FLAC and Ogg.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{MediaSourceStream, ReadOnlySource};
use symphonia::core::packet::Packet;
use symphonia::core::units::Duration;
use symphonia::default::formats::{AdtsReader, FlacReader, MpaReader, OggReader};

use crate::audio::decode::adts;
use crate::audio::decode::damage::Damage;
use crate::audio::decode::gapless::Gapless;
use crate::audio::decode::input::Input;
use crate::audio::decode::mpeg;
use crate::audio::decode::refusal;
use crate::audio::decode::tags_at_end::TagsAtEnd;
use crate::audio::decode::track::{Demuxer, Step, Track};
use crate::audio::decode::untagged::Untagged;
use crate::error::{Error, ErrorKind, Result};
use crate::file::unreadable;

/// The kind of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// MPEG-1 and 2 audio, layers 1 to 3.
    Mpeg,
    Adts,
    Flac,
    Ogg,
}

/// Number of consecutive faults after which reading stops.
const MAX_FAULTS: usize = 1000;

/// A reader of a bare stream.
pub(super) struct Stream<'a> {
    reader: Box<dyn FormatReader + 'a>,
    kind: Kind,
    track: Track,
    track_id: u32,
    /// The last bytes read, which show whether the stream is cut.
    tail: Tail,
    last_packet: Box<[u8]>,
    /// The stated number of samples.
    frames: Option<u64>,
    gapless: Gapless,
    /// The time at which the next packet should begin, in the track's units.
    next_timestamp: Option<i64>,
}

impl<'a> Stream<'a> {
    /// Opens a stream of `kind`.
    ///
    /// Symphonia is not given the size of the file: it would guess the length of MPEG audio from the first frames and the size,
    /// so that a file and a pipe would give different results.
    ///
    /// # Errors
    /// No track of sound, or a damaged header.
    pub fn open(mut input: Input<'a>, kind: Kind) -> Result<Self> {
        if kind == Kind::Ogg
            && let Some(codec) = refused_ogg(input.peek(512)?)
        {
            return Err(refusal::codec(codec, "Ogg"));
        }
        if kind == Kind::Adts
            && let Some(variant) = adts::refused_variant(input.peek(4)?)
        {
            return Err(refusal::codec(variant, "ADTS"));
        }
        match kind {
            Kind::Mpeg => Self::open_bytes(Untagged::new(input, mpeg::frame_len), kind),
            Kind::Adts => Self::open_bytes(Untagged::new(input, adts::frame_len), kind),
            Kind::Flac => Self::open_bytes(TagsAtEnd::new(input), kind),
            Kind::Ogg => Self::open_bytes(input, kind),
        }
    }

    /// Opens MPEG audio in the next `size` bytes, or up to the end.
    ///
    /// # Errors
    /// No frame of MPEG audio.
    pub fn open_mpeg(input: Input<'a>, size: Option<u64>) -> Result<Self> {
        Self::open_bytes(input.take(size.unwrap_or(u64::MAX)), Kind::Mpeg)
    }

    /// Returns the number of bytes that were read.
    pub fn bytes_read(&self) -> u64 {
        self.tail.bytes_read()
    }

    fn open_bytes(bytes: impl Read + Send + Sync + 'a, kind: Kind) -> Result<Self> {
        let tail = Tail::default();
        let source = Box::new(ReadOnlySource::new(Tailed { reader: bytes, tail: tail.clone() }));
        let stream = MediaSourceStream::new(source, Default::default());
        let options = FormatOptions::default();
        let reader: std::result::Result<Box<dyn FormatReader + 'a>, SymphoniaError> = match kind {
            Kind::Mpeg => MpaReader::try_new(stream, options).map(|reader| Box::new(reader) as _),
            Kind::Adts => AdtsReader::try_new(stream, options).map(|reader| Box::new(reader) as _),
            Kind::Flac => FlacReader::try_new(stream, options).map(|reader| Box::new(reader) as _),
            Kind::Ogg => OggReader::try_new(stream, options).map(|reader| Box::new(reader) as _),
        };
        let reader = reader.map_err(|error| match error {
            SymphoniaError::IoError(error) if error.kind() != io::ErrorKind::UnexpectedEof => unreadable(error),
            error => {
                let message = format!("is {} that is cut short or damaged at its beginning", kind.name());
                Error::new(ErrorKind::Audio, message).with_source(error)
            }
        })?;
        let (track, track_id) = read_track(reader.as_ref(), kind)?;
        let frames = reader.default_track(TrackType::Audio).and_then(|track| track.num_frames);
        let frames = frames.filter(|_| kind == Kind::Mpeg);
        Ok(Self {
            reader,
            kind,
            track,
            track_id,
            tail,
            last_packet: Box::default(),
            frames,
            gapless: Gapless::default(),
            next_timestamp: None,
        })
    }

    /// Checks for a leap in the packets' times, the only trace of damage that Symphonia has already dropped.
    fn note_time(&mut self, packet: &Packet, damage: &mut Damage) {
        let begins = packet.pts.get();
        let leap = self.next_timestamp.map_or(0, |expected| begins.saturating_sub(expected));
        if let (1.., Some(units)) = (leap, self.track.time_base) {
            let seconds = units.calc_duration_saturating(Duration::from(leap.unsigned_abs())).as_secs_f64();
            damage.missing += if seconds > 0.005 { seconds } else { 0.0 };
        }
        let lasts = packet.block_dur().get();
        self.next_timestamp = if lasts == 0 { None } else { begins.checked_add_unsigned(lasts) };
    }

    /// Notes whether the bytes ended in the middle.
    fn check_end(&self, damage: &mut Damage) {
        let has_frames = matches!(self.kind, Kind::Mpeg | Kind::Adts);
        if has_frames && self.tail.continues_after(&self.last_packet) {
            damage.cut();
        }
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Mpeg => "MPEG audio",
            Self::Adts => "ADTS",
            Self::Flac => "FLAC",
            Self::Ogg => "Ogg",
        }
    }
}

impl Demuxer for Stream<'_> {
    fn container(&self) -> &'static str {
        self.reader.format_info().short_name
    }

    fn name(&self) -> &'static str {
        self.kind.name()
    }

    fn track(&self) -> &Track {
        &self.track
    }

    fn next(&mut self, damage: &mut Damage) -> Result<Step> {
        match self.read(damage)? {
            Step::End => Ok(self.gapless.pop().map_or(Step::End, Step::Packet)),
            step => Ok(step),
        }
    }
}

impl Stream<'_> {
    fn read(&mut self, damage: &mut Damage) -> Result<Step> {
        loop {
            match self.reader.next_packet() {
                Ok(Some(packet)) if packet.track_id == self.track_id => {
                    self.note_time(&packet, damage);
                    self.last_packet.clone_from(&packet.data);
                    let Some(frames) = self.frames else { return Ok(Step::Packet(packet)) };
                    let packet = self.gapless.push(packet, frames);
                    if self.gapless.continues && self.track.promised_seconds.take().is_some() {
                        damage.note("has more sound than its header states: all of it is used");
                    }
                    if let Some(packet) = packet {
                        return Ok(Step::Packet(packet));
                    }
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                // Another stream follows in the same file (chained Ogg).
                Err(SymphoniaError::ResetRequired) => {
                    (self.track, self.track_id) = read_track(self.reader.as_ref(), self.kind)?;
                    self.next_timestamp = None;
                    return Ok(Step::NextStream);
                }
                Err(SymphoniaError::IoError(error)) if error.kind() != io::ErrorKind::UnexpectedEof => {
                    return Err(unreadable(error));
                }
                Err(SymphoniaError::IoError(_)) => {
                    damage.cut();
                    return Ok(Step::End);
                }
                Err(error @ SymphoniaError::DecodeError(_)) if damage.in_a_row < MAX_FAULTS => damage.skip(error),
                Err(error) => {
                    damage.ends_with(error);
                    return Ok(Step::End);
                }
            }
        }
        self.check_end(damage);
        Ok(Step::End)
    }
}

fn read_track(reader: &dyn FormatReader, kind: Kind) -> Result<(Track, u32)> {
    let track = reader.default_track(TrackType::Audio);
    let parameters = track.and_then(|track| track.codec_params.as_ref()).and_then(|codec| codec.audio());
    let Some((track, parameters)) = track.zip(parameters) else {
        return Err(Error::new(ErrorKind::Audio, format!("is {} without sound that can be read", kind.name())));
    };
    let promised_seconds = match (track.num_frames, parameters.sample_rate) {
        (Some(frames), Some(rate)) => Some(frames as f64 / f64::from(rate)),
        _ => {
            track.time_base.zip(track.duration).map(|(base, ticks)| base.calc_duration_saturating(ticks).as_secs_f64())
        }
    };
    let time_base = track.time_base;
    Ok((Track { parameters: parameters.clone(), time_base, promised_seconds, ..Track::default() }, track.id))
}

/// Returns the name of the codec in the first page of an Ogg file, if the codec cannot be decoded.
fn refused_ogg(page: &[u8]) -> Option<&'static str> {
    let segments = usize::from(*page.get(26)?);
    let packet = page.get(27 + segments..)?;
    let codecs: [(&[u8], &str); 4] =
        [(b"Speex   ", "Speex"), (b"CELT    ", "CELT"), (b"\x7fMPC", "Musepack"), (b"PCM     ", "PCM in Ogg")];
    codecs.iter().find(|(magic, _)| packet.starts_with(magic)).map(|(_, name)| *name)
}

/// The last bytes read of a stream, accessible while Symphonia owns the stream.
#[derive(Clone, Default)]
struct Tail(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    last: Vec<u8>,
    /// Number of bytes read in all.
    read: u64,
}

/// Number of bytes to keep: more than a frame of MPEG audio has.
const TAIL_LEN: usize = 8192;

impl Tail {
    fn push(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.read += bytes.len() as u64;
        let kept = &mut kept.last;
        kept.extend_from_slice(bytes);
        // Not at each read: dropping bytes moves the rest.
        if kept.len() > 4 * TAIL_LEN {
            let surplus = kept.len() - TAIL_LEN;
            kept.drain(..surplus);
        }
    }

    fn bytes_read(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).read
    }

    /// Returns whether another MPEG frame begins right after `last`, the last whole frame.
    fn continues_after(&self, last: &[u8]) -> bool {
        let kept = &self.0.lock().unwrap_or_else(PoisonError::into_inner).last;
        let place = if last.is_empty() { None } else { kept.windows(last.len()).rposition(|bytes| bytes == last) };
        let after = place.and_then(|place| kept.get(place + last.len()..));
        after.is_some_and(|after| matches!(after, [0xff, second, ..] if second & 0xe0 == 0xe0))
    }
}

/// A reader that keeps the last bytes read.
struct Tailed<R> {
    reader: R,
    tail: Tail,
}

impl<R: Read> Read for Tailed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.tail.push(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}
