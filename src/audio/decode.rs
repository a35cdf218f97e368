//! Decoding of recordings to a mono waveform at a given rate.

#![expect(clippy::indexing_slicing, reason = "indices found in the same slice, or counts of bytes read into it")]

use std::fs::{self, File};
use std::io::{self, BufReader, Cursor, Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use symphonia::core::audio::GenericAudioBufferRef;
use symphonia::core::codecs::audio::well_known::CODEC_ID_OPUS;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, Track, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream, ReadOnlySource};
use symphonia::core::meta::MetadataOptions;
use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, TimeBase};

use crate::audio::edit_list::{Edit, is_mp4, read_edits};
use crate::audio::resample::SAMPLE_RATES;
use crate::audio::waveform::mix_down;
use crate::audio::{Resampler, Waveform};
use crate::error::{Error, ErrorKind, Result};

/// Options of [`decode_file`] and [`decode_reader`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct DecodeOptions {
    /// Rate of the result, in hertz; `None` keeps the recording's own rate.
    pub sample_rate: Option<u32>,
    /// The longest accepted recording, in seconds; `None` accepts any length.
    pub max_seconds: Option<f64>,
    /// The most bytes of samples, 4 per sample of one channel before the conversion of the rate; `None` accepts any
    /// number.
    pub max_bytes: Option<u64>,
}

impl DecodeOptions {
    /// Sets the rate of the result, in hertz.
    #[must_use]
    pub fn sample_rate(self, sample_rate: impl Into<Option<u32>>) -> Self {
        Self { sample_rate: sample_rate.into(), ..self }
    }

    /// Sets the longest recording that is accepted, in seconds.
    #[must_use]
    pub fn max_seconds(self, max_seconds: impl Into<Option<f64>>) -> Self {
        Self { max_seconds: max_seconds.into(), ..self }
    }

    /// Sets the most bytes of samples that are accepted.
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
    /// Defects of the recording, in sentences for a person: damaged or missing parts that were left out.
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

/// The supported formats, for error messages.
const FORMATS: &str = "WAV, FLAC, MP3, Ogg Vorbis, M4A (AAC, ALAC), AIFF, CAF and MKV/WebM";

/// Number of bytes at a recording's beginning from which errors are diagnosed.
const HEAD_LEN: u64 = 4096;

/// The most bytes of an MP4 or CAF file from a pipe, which is read into memory because decoding it needs seeking.
const MOST_BUFFERED: u64 = 256 << 20;

/// Number of consecutive faults after which decoding stops.
const MOST_FAULTS: usize = 1000;

/// Decodes the first audio track of a file: WAV, FLAC, MP3, Ogg Vorbis, M4A, AIFF, CAF or MKV/WebM, whatever its name.
///
/// The file is decoded, mixed and resampled piece by piece, in memory bounded by the result. Samples that an encoder
/// added at either end (MP3, AAC, Vorbis) are dropped. The result of a damaged recording has its intact parts, and
/// warnings.
///
/// # Errors
/// The message begins with the file's name.
/// - [`ErrorKind::Io`]: no such file, a folder, not readable.
/// - [`ErrorKind::Audio`]: empty, not audio, a codec that is not supported, nothing that can be decoded, no channels or no
///   sample rate, samples that are not finite.
/// - [`ErrorKind::Limit`]: longer than `max_seconds`, or more than `max_bytes`; determined from the header where it is
///   reliable, else as soon as that much is decoded.
/// - [`ErrorKind::Invalid`]: `sample_rate` is not within 1 … 768,000 Hz.
pub fn decode_file(path: impl AsRef<Path>, options: &DecodeOptions) -> Result<Decoded> {
    let path = path.as_ref();
    open(path).and_then(|source| source.decode(options)).map_err(|error| error.context(path.display()))
}

/// Decodes the first audio track of a recording from `reader`, as [`decode_file`]; `name` is for error messages.
///
/// Reading ends as soon as a limit is exceeded. MP4 and CAF files, which need seeking, are first read into memory (at
/// most 256 MiB).
///
/// # Errors
/// As for [`decode_file`].
pub fn decode_reader(reader: impl Read + Send, name: &str, options: &DecodeOptions) -> Result<Decoded> {
    open_reader(reader).and_then(|source| source.decode(options)).map_err(|error| error.context(name))
}

/// An opened recording.
struct Source<'a> {
    stream: Box<dyn MediaSource + 'a>,
    head: Vec<u8>,
    /// The last bytes read, for formats without a stated end.
    tail: Option<Tail>,
    edits: Vec<Edit>,
}

fn open(path: &Path) -> Result<Source<'static>> {
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(Error::new(ErrorKind::Io, "is a folder: a sound file is needed"));
    }
    let mut file = File::open(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return open_reader(file);
    }
    let head = read_head(&mut file)?;
    let edits = if is_mp4(&head) { read_edits(&mut BufReader::new(&file)).unwrap_or_default() } else { Vec::new() };
    file.rewind().map_err(unreadable)?;
    if is_mpeg(&head) {
        return Ok(Source::mpeg(file, head));
    }
    Ok(Source { stream: Box::new(file), head, tail: None, edits })
}

fn open_reader<'a>(mut reader: impl Read + Send + 'a) -> Result<Source<'a>> {
    let head = read_head(&mut reader)?;
    let mut whole = Cursor::new(head.clone()).chain(reader);
    if is_mpeg(&head) {
        return Ok(Source::mpeg(Shared(Mutex::new(whole)), head));
    }
    if !is_mp4(&head) && !head.starts_with(b"caff") {
        let stream = Box::new(ReadOnlySource::new(Shared(Mutex::new(whole))));
        return Ok(Source { stream, head, tail: None, edits: Vec::new() });
    }
    let mut bytes = Vec::new();
    whole.by_ref().take(MOST_BUFFERED + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MOST_BUFFERED {
        let message = format!(
            "an MP4 or CAF file that is piped in may have at most {} MiB: name the file instead",
            MOST_BUFFERED >> 20
        );
        return Err(Error::new(ErrorKind::Limit, message));
    }
    let edits = read_edits(&mut Cursor::new(&bytes)).unwrap_or_default();
    Ok(Source { stream: Box::new(Cursor::new(bytes)), head, tail: None, edits })
}

/// Returns whether `head` begins bare MPEG frames (MP3, or AAC in ADTS), perhaps after a tag.
fn is_mpeg(head: &[u8]) -> bool {
    head.starts_with(b"ID3") || is_mpeg_frame(head)
}

fn is_mpeg_frame(bytes: &[u8]) -> bool {
    matches!(bytes, [0xff, second, ..] if second & 0xe0 == 0xe0)
}

fn read_head(reader: &mut impl Read) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    reader.by_ref().take(HEAD_LEN).read_to_end(&mut head).map_err(unreadable)?;
    if head.is_empty() {
        return Err(Error::new(ErrorKind::Audio, "is empty: a sound file is needed"));
    }
    Ok(head)
}

fn unreadable(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound => Error::new(ErrorKind::Io, "there is no such file"),
        _ => Error::new(ErrorKind::Io, "cannot be read").with_source(error),
    }
}

/// A reader that Symphonia may share between threads (it never does).
struct Shared<R>(Mutex<R>);

impl<R: Read> Read for Shared<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner).read(buffer)
    }
}

/// The last bytes read of a stream, accessible while Symphonia owns the stream.
#[derive(Clone, Default)]
struct Tail(Arc<Mutex<Vec<u8>>>);

/// Number of bytes to keep: more than any MPEG audio frame has.
const TAIL_LEN: usize = 8192;

impl Tail {
    fn push(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(bytes);
        let surplus = kept.len().saturating_sub(TAIL_LEN);
        kept.drain(..surplus);
    }

    /// Returns whether another MPEG frame begins right after `last`, the last whole one.
    fn goes_on_after(&self, last: &[u8]) -> bool {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = if last.is_empty() { None } else { kept.windows(last.len()).rposition(|bytes| bytes == last) };
        place.is_some_and(|place| is_mpeg_frame(&kept[place + last.len()..]))
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
        self.tail.push(&buffer[..read]);
        Ok(read)
    }
}

impl<'a> Source<'a> {
    /// Opens bare MPEG frames, without the file's size: with it, Symphonia guesses the length from the first frames and
    /// drops everything beyond the guess.
    fn mpeg(reader: impl Read + Send + Sync + 'a, head: Vec<u8>) -> Self {
        let tail = Tail::default();
        let stream = Box::new(ReadOnlySource::new(Tailed { reader, tail: tail.clone() }));
        Self { stream, head, tail: Some(tail), edits: Vec::new() }
    }
}

impl Source<'_> {
    fn decode(self, options: &DecodeOptions) -> Result<Decoded> {
        // A decoder may panic on a damaged file; a library must not take its caller down.
        catch_unwind(AssertUnwindSafe(|| self.decode_inner(options)))
            .unwrap_or_else(|_| Err(Error::new(ErrorKind::Audio, "is damaged in a way that its decoder cannot handle")))
    }

    fn decode_inner(self, options: &DecodeOptions) -> Result<Decoded> {
        if let Some(reason) = wav_header_fault(&self.head) {
            return Err(Error::new(ErrorKind::Audio, reason));
        }
        let bytes = self.stream.byte_len();
        let stream = MediaSourceStream::new(self.stream, Default::default());
        let mut format = symphonia::default::get_probe()
            .probe(&Hint::new(), stream, FormatOptions::default(), MetadataOptions::default())
            .map_err(|error| not_audio(&self.head, error))?;
        let (mut track, mut decoder) = open_track(format.as_ref())?;
        let claim = Claim::new(&track, bytes, self.edits.iter().find(|edit| edit.track_id == track.id));
        claim.check(options)?;

        let mut sink = Sink::new(options, claim.edit);
        let mut damage = Damage::default();
        let mut last_packet: Box<[u8]> = Box::default();
        loop {
            let packet = match format.next_packet() {
                Ok(Some(packet)) => packet,
                Ok(None) => break,
                Err(SymphoniaError::ResetRequired) => {
                    // Another stream follows in the same file (chained Ogg).
                    (track, decoder) = open_track(format.as_ref())?;
                    damage.next_timestamp = None;
                    continue;
                }
                Err(SymphoniaError::IoError(error)) if error.kind() != io::ErrorKind::UnexpectedEof => {
                    return Err(unreadable(error));
                }
                Err(error @ SymphoniaError::DecodeError(_)) if damage.in_a_row < MOST_FAULTS => {
                    damage.skip(error);
                    continue;
                }
                // Uncompressed sound from a pipe of unknown length just ends.
                Err(SymphoniaError::IoError(_)) if claim.is_endless => break,
                Err(error) => {
                    damage.ends_with(error);
                    break;
                }
            };
            if packet.track_id != track.id {
                continue;
            }
            damage.note_time(&packet, track.time_base);
            match decoder.decode(&packet) {
                Ok(buffer) => {
                    sink.push(&buffer)?;
                    damage.in_a_row = 0;
                }
                Err(error) => damage.skip(error),
            }
            if sink.is_full() {
                break;
            }
            last_packet = packet.data;
        }
        if self.tail.is_some_and(|tail| tail.goes_on_after(&last_packet)) {
            damage.ends_with(SymphoniaError::IoError(io::ErrorKind::UnexpectedEof.into()));
        }
        let source = SourceFormat {
            container: format.format_info().short_name.to_owned(),
            codec: decoder.codec_info().short_name.to_owned(),
            sample_rate: sink.first_rate,
            channels: sink.first_channels,
        };
        let heard = sink.seconds;
        let waveform = sink.finish(&damage)?;
        Ok(Decoded { waveform, source, warnings: damage.warnings(heard, claim.promised_seconds) })
    }
}

/// Returns the default audio track and its decoder.
fn open_track(format: &dyn FormatReader) -> Result<(Track, Box<dyn AudioDecoder>)> {
    let Some(track) = format.default_track(TrackType::Audio) else {
        return Err(Error::new(ErrorKind::Audio, "holds no audio track that can be read"));
    };
    let Some(parameters) = audio_parameters(track) else {
        return Err(Error::new(ErrorKind::Audio, "has an audio track in an unknown codec"));
    };
    if parameters.sample_rate == Some(0) {
        return Err(Error::new(ErrorKind::Audio, "has a sample rate of 0 Hz"));
    }
    let decoder = symphonia::default::get_codecs().make_audio_decoder(parameters, &AudioDecoderOptions::default());
    let decoder = decoder.map_err(|error| {
        let codec = if parameters.codec == CODEC_ID_OPUS { "is Opus, which" } else { "has a codec that" };
        let message = format!("{codec} cannot be decoded; convert it to one of {FORMATS}");
        Error::new(ErrorKind::Audio, message).with_source(error)
    })?;
    Ok((track.clone(), decoder))
}

fn audio_parameters(track: &Track) -> Option<&AudioCodecParameters> {
    track.codec_params.as_ref().and_then(|parameters| parameters.audio())
}

/// The length of a recording according to its header, as far as the header is reliable.
struct Claim {
    edit: Option<Edit>,
    /// The stated length, if a shorter recording deserves a warning.
    promised_seconds: Option<f64>,
    /// The stated length, if it is possible.
    credible_seconds: Option<f64>,
    /// True if the sound ends with the file, whatever length the header states.
    is_endless: bool,
}

impl Claim {
    /// Reads the length of `track`; `bytes` is the size of the file, if known.
    fn new(track: &Track, bytes: Option<u64>, edit: Option<&Edit>) -> Self {
        let edit = edit.copied();
        let parameters = audio_parameters(track);
        let rate = parameters.and_then(|p| p.sample_rate);
        let stated = match (track.num_frames, rate) {
            (Some(frames), Some(rate)) => Some(frames as f64 / f64::from(rate)),
            _ => track
                .time_base
                .zip(track.duration)
                .map(|(base, ticks)| base.calc_duration_saturating(ticks).as_secs_f64()),
        };
        let stated = match edit {
            Some(edit) => edit.length.or_else(|| stated.map(|seconds| seconds - edit.start)),
            None => stated,
        };
        let Some(bytes_per_second) = parameters.and_then(pcm_bytes_per_second) else {
            return Self { edit, promised_seconds: stated, credible_seconds: stated, is_endless: false };
        };
        // PCM is written into a pipe before its length is known, with no length or the largest one in its header; and no
        // header can be believed beyond the bytes that are there.
        let stored_seconds = bytes.map(|bytes| bytes as f64 / bytes_per_second);
        let promised_seconds = stated.filter(|seconds| {
            seconds * bytes_per_second < f64::from(0x7fff_0000_u32) || {
                stored_seconds.is_some_and(|stored| stored >= *seconds)
            }
        });
        let credible_seconds = stored_seconds.map(|stored| promised_seconds.unwrap_or(stored).min(stored));
        Self { edit, promised_seconds, credible_seconds, is_endless: promised_seconds.is_none() }
    }

    fn check(&self, options: &DecodeOptions) -> Result<()> {
        match (self.credible_seconds, options.max_seconds) {
            (Some(seconds), Some(most)) if seconds > most => Err(too_long(&format!("{seconds:.1} s long"), most)),
            _ => Ok(()),
        }
    }
}

fn too_long(found: &str, most: f64) -> Error {
    let message = format!("is {found}, and at most {most} s are accepted: cut the recording into shorter ones");
    Error::new(ErrorKind::Limit, message)
}

/// Returns the bytes per second of uncompressed audio; `None` for codecs that compress.
fn pcm_bytes_per_second(parameters: &AudioCodecParameters) -> Option<f64> {
    let codec = symphonia::default::get_codecs().get_audio_decoder(parameters.codec)?;
    let bits = match codec.codec.info.short_name.strip_prefix("pcm_")? {
        "alaw" | "mulaw" => 8,
        kind if kind.starts_with("f64") => 64,
        kind if kind.starts_with("f32") => 32,
        _ => parameters.bits_per_coded_sample.or(parameters.bits_per_sample)?,
    };
    let channels = parameters.channels.as_ref()?.count();
    Some(f64::from(bits.div_ceil(8)) * channels as f64 * f64::from(parameters.sample_rate?))
}

/// The sink of decoded sound, which mixes, trims, resamples and counts it.
struct Sink {
    max_seconds: Option<f64>,
    max_bytes: Option<u64>,
    wanted_rate: Option<u32>,
    edit: Option<Edit>,
    planes: Vec<Vec<f32>>,
    mixed: Vec<f32>,
    /// The converter of the current rate, and that rate.
    resampler: Option<(u32, Resampler)>,
    /// Sound from before the last change of rate.
    done: Vec<f32>,
    first_rate: u32,
    first_channels: usize,
    /// Number of samples per channel decoded at the current rate, including those that the edit drops.
    position: u64,
    /// Seconds of sound kept so far.
    seconds: f64,
    samples: u64,
    not_finite: u64,
    first_not_finite: Option<u64>,
}

impl Sink {
    fn new(options: &DecodeOptions, edit: Option<Edit>) -> Self {
        Self {
            max_seconds: options.max_seconds,
            max_bytes: options.max_bytes,
            wanted_rate: options.sample_rate,
            edit,
            planes: Vec::new(),
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
        }
    }

    fn push(&mut self, buffer: &GenericAudioBufferRef<'_>) -> Result<()> {
        if buffer.frames() == 0 {
            return Ok(());
        }
        let rate = buffer.spec().rate();
        let channels = buffer.num_planes();
        if channels == 0 {
            return Err(Error::new(ErrorKind::Audio, "has 0 channels"));
        }
        self.prepare(rate, channels)?;
        buffer.copy_to_vecs_planar(&mut self.planes);
        self.mixed.clear();
        mix_down(&self.planes, &mut self.mixed);
        let kept = self.kept(rate);
        self.count(kept.clone(), rate)?;
        if let (Some((_, resampler)), 0) = (&mut self.resampler, self.not_finite) {
            resampler.push(&self.mixed[kept])?;
        }
        Ok(())
    }

    /// Ensures that the converter is one for `rate`.
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
            self.edit = None;
        }
        Ok(())
    }

    /// Returns the range of the mixed samples that the edit keeps.
    fn kept(&mut self, rate: u32) -> std::ops::Range<usize> {
        let len = self.mixed.len();
        let position = self.position;
        self.position += len as u64;
        let Some(edit) = self.edit else { return 0..len };
        let frames = |seconds: f64| (seconds * f64::from(rate)).round() as u64;
        let within = |frame: u64| usize::try_from(frame.saturating_sub(position)).unwrap_or(usize::MAX).min(len);
        let start = within(frames(edit.start));
        let end = edit.length.map_or(len, |length| within(frames(edit.start + length)));
        start..end.max(start)
    }

    fn count(&mut self, kept: std::ops::Range<usize>, rate: u32) -> Result<()> {
        for (n, sample) in self.mixed[kept.clone()].iter().enumerate() {
            if !sample.is_finite() {
                self.not_finite += 1;
                self.first_not_finite.get_or_insert(self.samples + n as u64);
            }
        }
        self.samples += kept.len() as u64;
        self.seconds += kept.len() as f64 / f64::from(rate);
        if let Some(most) = self.max_bytes.filter(|most| self.samples.saturating_mul(4) > *most) {
            let what = format!("takes more than the {most} bytes that a decoded recording may have");
            return Err(Error::new(ErrorKind::Limit, what));
        }
        match self.max_seconds {
            Some(most) if self.seconds > most + 1e-9 => Err(too_long(&format!("longer than {most} s"), most)),
            _ => Ok(()),
        }
    }

    /// Returns whether the edit's end has been reached.
    fn is_full(&self) -> bool {
        let Some(Edit { start, length: Some(length), .. }) = self.edit else { return false };
        self.position as f64 >= (start + length) * f64::from(self.first_rate) + 1.0
    }

    fn finish(self, damage: &Damage) -> Result<Waveform> {
        if self.samples == 0 {
            let message = match &damage.first {
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
        let mut samples = self.done;
        if let Some((_, resampler)) = self.resampler {
            let last = resampler.finish()?;
            if samples.is_empty() {
                samples = last;
            } else {
                samples.extend(last);
            }
        }
        Waveform::mono(samples, self.wanted_rate.unwrap_or(self.first_rate))
    }
}

/// The damage found in a recording.
#[derive(Default)]
struct Damage {
    skipped: usize,
    /// Number of faults since the last decoded packet.
    in_a_row: usize,
    /// The first fault met.
    first: Option<String>,
    /// Seconds missing between the times of packets.
    missing: f64,
    /// The time at which the next packet should begin, in the track's units.
    next_timestamp: Option<i64>,
    /// The reason why reading stopped before the end, if it did.
    end: Option<String>,
}

impl Damage {
    fn skip(&mut self, error: SymphoniaError) {
        self.skipped += 1;
        self.in_a_row += 1;
        self.first.get_or_insert_with(|| error.to_string());
    }

    /// Checks for a leap in the packets' times, the only trace of damage that the container's reader has already
    /// dropped.
    fn note_time(&mut self, packet: &Packet, units: Option<TimeBase>) {
        let begins = packet.pts.get();
        let leap = self.next_timestamp.map_or(0, |expected| begins.saturating_sub(expected));
        if let (1.., Some(units)) = (leap, units) {
            let seconds = units.calc_duration_saturating(Duration::from(leap.unsigned_abs())).as_secs_f64();
            // Containers round times, to a thousandth at worst.
            self.missing += if seconds > 0.005 { seconds } else { 0.0 };
        }
        // Some containers (Matroska) have no durations of packets.
        let lasts = packet.block_dur().get();
        self.next_timestamp = if lasts == 0 { None } else { begins.checked_add_unsigned(lasts) };
    }

    fn ends_with(&mut self, error: SymphoniaError) {
        let reason = match error {
            SymphoniaError::IoError(_) => "the file ends in the middle of the sound".to_owned(),
            error => error.to_string(),
        };
        self.first.get_or_insert_with(|| reason.clone());
        self.end = Some(reason);
    }

    fn warnings(&self, heard: f64, promised: Option<f64>) -> Vec<String> {
        let mut warnings = Vec::new();
        if let (1.., Some(reason)) = (self.skipped, &self.first) {
            let parts =
                if self.skipped == 1 { "1 damaged part was" } else { &format!("{} damaged parts were", self.skipped) };
            warnings.push(format!("{parts} left out ({reason})"));
        }
        if self.missing > 0.0 {
            warnings.push(format!("{:.2} s are missing in the middle", self.missing));
        }
        match (promised, &self.end) {
            (Some(promised), _) if promised - heard > 0.005 => {
                warnings.push(format!(
                    "is cut short: {heard:.2} s of the {promised:.2} s that its header promises are used"
                ));
            }
            (_, Some(reason)) => warnings.push(format!("only the first {heard:.2} s are used: {reason}")),
            _ => {}
        }
        warnings
    }
}

/// Returns the error of a recording that begins with `head` and is not recognised, with the cause.
fn not_audio(head: &[u8], error: SymphoniaError) -> Error {
    let message = if is_text(head) {
        format!("holds text, not audio; {FORMATS} can be read")
    } else if is_mp4(head) {
        "is an MP4 file that is cut short or damaged: it holds no index of its sound".to_owned()
    } else {
        format!("is not audio that can be read, or is damaged at its beginning; {FORMATS} can be read")
    };
    Error::new(ErrorKind::Audio, message).with_source(error)
}

fn is_text(head: &[u8]) -> bool {
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The end of the head may cut a character.
        Err(error) if head.len() - error.valid_up_to() < 4 => {
            std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or("\0")
        }
        Err(_) => return false,
    };
    !valid.contains(|c: char| c.is_control() && !c.is_whitespace())
}

/// Describes the defect of a WAV file's format chunk, with a remedy.
fn wav_header_fault(head: &[u8]) -> Option<String> {
    let is_wav = head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WAVE");
    let chunk = head.windows(4).position(|w| w == b"fmt ").filter(|_| is_wav)?;
    let channels = u16::from_le_bytes(head.get(chunk + 10..chunk + 12)?.try_into().ok()?);
    let rate = u32::from_le_bytes(head.get(chunk + 12..chunk + 16)?.try_into().ok()?);
    match (channels, rate) {
        (0, _) => Some("has 0 channels: its WAV header is damaged".to_owned()),
        (27.., _) => Some(format!("has {channels} channels: at most 26 can be read")),
        (_, 0) => Some("has a sample rate of 0 Hz: its WAV header is damaged".to_owned()),
        _ => None,
    }
}
