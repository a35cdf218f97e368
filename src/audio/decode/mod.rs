//! Decoding of recordings to a mono waveform at a given rate.
//!
//! The path of the data: bytes ([`input`]) → container ([`container`]) → packets of a codec ([`track`]) → samples ([`codec`])
//! → mono at the requested rate ([`sink`]). Unsupported formats are in one table of names and messages ([`refusal`]).

mod aac;
mod adts;
mod aiff;
mod au;
mod caf;
mod codec;
mod container;
mod damage;
mod descriptor;
#[cfg(feature = "internal")]
pub(crate) mod fuzzed;
mod gapless;
mod input;
mod matroska;
mod mp4;
mod mpeg;
mod opus;
mod pcm;
mod refusal;
mod sink;
mod stream;
mod tags_at_end;
mod track;
mod untagged;
mod wave;
mod wave_format;

use std::fs::{self, File};
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::audio::Waveform;
use crate::audio::decode::codec::{Codec, Planes};
use crate::audio::decode::container::Container;
use crate::audio::decode::damage::Damage;
use crate::audio::decode::input::Input;
use crate::audio::decode::sink::Sink;
use crate::audio::decode::track::{Step, Track};
use crate::error::{Error, ErrorKind, Result};
use crate::file::unreadable;

/// Options of [`decode_file`] and [`decode_reader`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct DecodeOptions {
    /// Rate of the result, in hertz; `None` keeps the recording's own rate.
    pub sample_rate: Option<u32>,
    /// The longest accepted recording, in seconds; `None` accepts any length.
    pub max_seconds: Option<f64>,
    /// The maximum size of the samples in bytes, 4 per sample of one channel before the conversion of the rate; `None`
    /// accepts any size.
    pub max_bytes: Option<u64>,
}

impl DecodeOptions {
    /// Sets the rate of the result, in hertz.
    #[must_use]
    pub fn sample_rate(self, sample_rate: impl Into<Option<u32>>) -> Self {
        Self { sample_rate: sample_rate.into(), ..self }
    }

    /// Sets the longest accepted recording, in seconds.
    #[must_use]
    pub fn max_seconds(self, max_seconds: impl Into<Option<f64>>) -> Self {
        Self { max_seconds: max_seconds.into(), ..self }
    }

    /// Sets the maximum size of the samples in bytes.
    #[must_use]
    pub fn max_bytes(self, max_bytes: impl Into<Option<u64>>) -> Self {
        Self { max_bytes: max_bytes.into(), ..self }
    }
}

/// A recording in memory.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Decoded {
    /// The sound: mono (the mean of the channels), at the requested rate.
    pub waveform: Waveform,
    /// The format of the recording.
    pub source: SourceFormat,
    /// Descriptions of the recording's defects, for readers: damaged or missing parts that were left out.
    pub warnings: Vec<String>,
}

/// The stored format of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceFormat {
    /// Short name of the container, as `wave`.
    pub container: String,
    /// Short name of the codec, as `pcm_s16le`.
    pub codec: String,
    /// Rate in hertz.
    pub sample_rate: u32,
    /// Number of channels.
    pub channels: usize,
}

/// Decodes the first audio track of a file: WAV and its relatives, AU, AIFF, CAF, MP4 and QuickTime, Matroska and WebM, Ogg,
/// FLAC, MP3 or AAC, with the codecs in the table of docs/audio.md. The format is determined from the contents, not from the
/// file's name.
///
/// The file is decoded, mixed and resampled piece by piece, in memory bounded by the result. Samples that an encoder added at
/// either end are dropped if the file states their number. The result of a damaged recording has its intact parts, and
/// warnings.
///
/// # Errors
/// The message begins with the file's name.
/// - [`ErrorKind::Io`]: no such file, a folder, not readable.
/// - [`ErrorKind::Audio`]: empty, not audio, a codec that is not supported, nothing that can be decoded, no channels or no
///   sample rate, samples that are not finite.
/// - [`ErrorKind::Limit`]: longer than `max_seconds`, or more than `max_bytes`; determined from a reliable header, else as
///   soon as the limit is exceeded.
/// - [`ErrorKind::Invalid`]: `sample_rate` is not within `1..=768_000` Hz.
pub fn decode_file(path: impl AsRef<Path>, options: &DecodeOptions) -> Result<Decoded> {
    let path = path.as_ref();
    open(path).and_then(|input| decode(input, options)).map_err(|error| error.context(path.display()))
}

/// Decodes the first audio track of a recording from `reader`, as [`decode_file`]; `name` is for error messages.
///
/// Reading ends as soon as a limit is exceeded. MP4 and CAF files, which need seeking, are first read into memory (at
/// most 256 MiB).
///
/// # Errors
/// As for [`decode_file`].
pub fn decode_reader(reader: impl Read + Send, name: &str, options: &DecodeOptions) -> Result<Decoded> {
    decode(Input::pipe(reader), options).map_err(|error| error.context(name))
}

fn open(path: &Path) -> Result<Input<'static>> {
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(Error::new(ErrorKind::Io, "is a folder: a sound file is needed"));
    }
    let file = File::open(path).map_err(unreadable)?;
    Ok(if metadata.is_file() { Input::file(file, metadata.len()) } else { Input::pipe(file) })
}

fn decode(input: Input<'_>, options: &DecodeOptions) -> Result<Decoded> {
    // A decoder may panic on a damaged file, which must not end the caller.
    catch_unwind(AssertUnwindSafe(|| decode_inner(input, options)))
        .unwrap_or_else(|_| Err(Error::new(ErrorKind::Audio, "is damaged in a way that its decoder cannot handle")))
}

/// The number of consecutive undecodable packets after which decoding stops.
const MAX_FAULTS: usize = 1000;

fn decode_inner(mut input: Input<'_>, options: &DecodeOptions) -> Result<Decoded> {
    let mut notes = Vec::new();
    let container = Container::identify(&mut input, &mut notes)?;
    let mut demuxer = container.open(input)?;
    let mut codec = Codec::new(&demuxer.track().parameters, demuxer.name())?;
    check_length(demuxer.track(), options)?;

    let mut sink = Sink::new(options, &demuxer.track().pieces);
    let mut damage = Damage::default();
    let mut planes = Planes::default();
    for note in notes {
        damage.note(note);
    }
    while !sink.is_full() {
        match demuxer.next(&mut damage)? {
            Step::Packet(packet) => match codec.decode(&packet, &mut planes) {
                Ok(()) => {
                    sink.push(&planes)?;
                    damage.in_a_row = 0;
                }
                Err(error) => damage.skip(error.message()),
            },
            Step::NextStream => codec = Codec::new(&demuxer.track().parameters, demuxer.name())?,
            Step::End => break,
        }
        if damage.in_a_row > MAX_FAULTS {
            damage.ends_with("the rest is damaged");
            break;
        }
    }
    let source = SourceFormat {
        container: demuxer.container().to_owned(),
        codec: codec.name().to_owned(),
        sample_rate: sink.first_rate,
        channels: sink.first_channels,
    };
    let heard = sink.seconds;
    let (waveform, levels) = sink.finish(damage.first.as_deref())?;
    let mut warnings = damage.warnings(heard, demuxer.track().promised_seconds, demuxer.enough_seconds());
    warnings.extend(levels);
    Ok(Decoded { waveform, source, warnings })
}

/// Refuses a recording whose stated length exceeds the limit, unless the file has too few bytes for that length.
fn check_length(track: &Track, options: &DecodeOptions) -> Result<()> {
    let seconds = match track.bytes_per_second {
        Some(rate) => track.stored_bytes.map(|bytes| {
            let stored = bytes as f64 / rate;
            track.promised_seconds.unwrap_or(stored).min(stored)
        }),
        None => track.promised_seconds,
    };
    match (seconds, options.max_seconds) {
        (Some(seconds), Some(max)) if seconds > max => Err(too_long(&format!("{seconds:.1} s long"), max)),
        _ => Ok(()),
    }
}

fn too_long(found: &str, max: f64) -> Error {
    let message = format!("is {found}, and at most {max} s are accepted: cut the recording into shorter ones");
    Error::new(ErrorKind::Limit, message)
}
