//! MP4, M4A, 3GP and QuickTime: sound with an index before it, after it, or in fragments between its parts.

mod boxes;
mod edits;
mod entry;
mod samples;

use std::collections::VecDeque;

use symphonia::core::codecs::audio::well_known::{CODEC_ID_MP1, CODEC_ID_MP2, CODEC_ID_MP3};

use crate::audio::decode::damage::Damage;
use crate::audio::decode::input::Input;
use crate::audio::decode::mp4::boxes::{BoxHeader, Fields, boxes, find};
use crate::audio::decode::mp4::edits::Times;
use crate::audio::decode::mp4::entry::Entry;
use crate::audio::decode::mp4::samples::{Run, SampleTable};
use crate::audio::decode::mpeg;
use crate::audio::decode::refusal;
use crate::audio::decode::track::{Demuxer, Piece, Step, Track, packet};
use crate::error::{Error, ErrorKind, Result};

/// The maximum size of an index in bytes.
const MAX_INDEX: u64 = 256 << 20;

/// A reader of MP4.
pub(super) struct Mp4<'a> {
    input: Input<'a>,
    track: Track,
    track_id: u32,
    /// Bytes of a frame of uncompressed sound.
    frame: Option<u64>,
    table: SampleTable,
    run: Option<Run>,
    /// The runs of the last fragment.
    fragments: VecDeque<Run>,
    /// The offset of the box after the last fragment.
    next_box: u64,
    /// The sizes of packets by track, for fragments without sizes.
    default_sizes: Vec<(u32, u32)>,
    is_cut: bool,
    /// True when the last box of the file is cut.
    ends_early: bool,
    name: &'static str,
}

/// A track of sound, as the index has it.
struct Candidate {
    id: u32,
    entry: Entry,
    table: SampleTable,
}

impl<'a> Mp4<'a> {
    /// Reads the index.
    ///
    /// # Errors
    /// No index, no track of sound, or a track whose codec or edit list is not supported.
    pub fn open(mut input: Input<'a>) -> Result<Self> {
        let first = input.position();
        let name = if matches!(input.peek(12)?, [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] if brand != b"qt  ") {
            "MP4"
        } else {
            "QuickTime"
        };
        let Some(movie) = read_movie(&mut input)? else {
            let message = "is an MP4 file that is cut short or damaged: it holds no index of its sound (moov)";
            return Err(Error::new(ErrorKind::Audio, message));
        };
        let found = read_track(&movie, name)?;
        let default_sizes = samples::default_sizes(&movie);
        let mut mp4 = Self {
            input,
            track: found.entry.track,
            track_id: found.id,
            frame: found.entry.frame,
            table: found.table,
            run: None,
            fragments: VecDeque::new(),
            next_box: first,
            default_sizes,
            is_cut: false,
            ends_early: false,
            name,
        };
        mp4.run = mp4.next_run()?;
        if let (true, Some(run)) = (found.entry.is_mpeg, &mp4.run) {
            mp4.input.seek(run.offset)?;
            mp4.track.parameters.codec = match mpeg::layer(mp4.input.peek(4)?) {
                Some(1) => CODEC_ID_MP1,
                Some(2) => CODEC_ID_MP2,
                _ => CODEC_ID_MP3,
            };
        }
        Ok(mp4)
    }

    /// Returns the next run of packets: first those of the index, then those of fragments.
    fn next_run(&mut self) -> Result<Option<Run>> {
        if let Some(run) = self.table.next(self.frame).or_else(|| self.fragments.pop_front()) {
            return Ok(Some(run));
        }
        while let Some(found) = next_box(&mut self.input, self.next_box)? {
            self.next_box = found.end;
            self.ends_early |= found.is_cut;
            if found.kind == *b"moof" {
                let fragment = self.input.read_up_to(found.content_len())?;
                self.fragments = samples::fragment(&fragment, found.begin, self.track_id, &self.default_sizes).into();
                if let Some(run) = self.fragments.pop_front() {
                    return Ok(Some(run));
                }
            }
        }
        Ok(None)
    }
}

/// A box of the file itself, by offsets.
struct TopBox {
    kind: [u8; 4],
    begin: u64,
    content: u64,
    end: u64,
    is_cut: bool,
}

impl TopBox {
    fn content_len(&self) -> u64 {
        (self.end - self.content).min(MAX_INDEX)
    }
}

/// Returns the box at `begin`, and moves the input to its content. A box that is cut ends with the file.
fn next_box(input: &mut Input<'_>, begin: u64) -> Result<Option<TopBox>> {
    let len = input.len().unwrap_or(0);
    if begin >= len {
        return Ok(None);
    }
    input.seek(begin)?;
    let Some(header) = BoxHeader::read(input.peek(16)?) else { return Ok(None) };
    input.skip(header.len)?;
    let content = begin + header.len;
    let stated = header.size.map_or(len, |size| begin.saturating_add(size));
    let end = stated.min(len).max(content);
    Ok(Some(TopBox { kind: header.kind, begin, content, end, is_cut: stated > len }))
}

fn read_movie(input: &mut Input<'_>) -> Result<Option<Vec<u8>>> {
    let mut next = input.position();
    while let Some(found) = next_box(input, next)? {
        if found.kind == *b"moov" {
            return input.read_up_to(found.content_len()).map(Some);
        }
        next = found.end;
    }
    Ok(None)
}

/// Returns the first track of sound that can be decoded.
fn read_track(movie: &[u8], name: &str) -> Result<Candidate> {
    if find(movie, &[b"cmov"]).is_some() {
        return Err(refusal::codec("sound with a compressed index", name));
    }
    let movie_scale = find(movie, &[b"mvhd"]).and_then(time_scale).unwrap_or(0);
    let mut refused = None;
    for track in boxes(movie).filter(|found| found.kind == *b"trak") {
        let Some(media) = find(track.content, &[b"mdia"]) else { continue };
        let handler = find(media, &[b"hdlr"]).and_then(|content| content.get(8..12));
        if handler != Some(b"soun") {
            continue;
        }
        match read_sound(track.content, media, movie_scale, name) {
            Ok(found) => return Ok(found),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    Err(refused.unwrap_or_else(|| Error::new(ErrorKind::Audio, format!("is {name} without a track of sound"))))
}

fn read_sound(track: &[u8], media: &[u8], movie_scale: u32, name: &str) -> Result<Candidate> {
    let broken = || refusal::broken(name, "the description of its sound is missing");
    let id = find(track, &[b"tkhd"]).and_then(track_id).ok_or_else(broken)?;
    let media_scale = find(media, &[b"mdhd"]).and_then(time_scale).unwrap_or(0);
    let table = find(media, &[b"minf", b"stbl"]).ok_or_else(broken)?;
    let mut entry = entry::read(find(table, &[b"stsd"]).ok_or_else(broken)?, media_scale, name)?;
    let table = SampleTable::read(table);
    let total = (table.duration > 0 && media_scale > 0).then(|| table.duration as f64 / f64::from(media_scale));
    let mut pieces = match find(track, &[b"edts", b"elst"]) {
        Some(list) => edits::read(list, Times { movie_scale, media_scale, total }, name)?,
        None => Vec::new(),
    };
    if let Some(pre_skip) = entry.pre_skip {
        skip_before(&mut pieces, f64::from(pre_skip) / 48_000.0, total);
    }
    entry.track.promised_seconds = promised(&pieces, total);
    entry.track.pieces = pieces;
    Ok(Candidate { id, entry, table })
}

/// Ensures that the first `skip` seconds are not played.
fn skip_before(pieces: &mut Vec<Piece>, skip: f64, total: Option<f64>) {
    if pieces.is_empty() {
        pieces.push(Piece { start: 0.0, length: total, silence: 0.0 });
    }
    if let Some(first) = pieces.first_mut() {
        let more = (skip - first.start).max(0.0);
        first.start += more;
        first.length = first.length.map(|length| (length - more).max(0.0));
    }
}

/// Returns the length of all pieces of a track of `total` seconds, silence included.
fn promised(pieces: &[Piece], total: Option<f64>) -> Option<f64> {
    let total = total?;
    if pieces.is_empty() {
        return Some(total);
    }
    let length = |piece: &Piece| {
        let rest = (total - piece.start).max(0.0);
        piece.silence + piece.length.map_or(rest, |length| length.min(rest))
    };
    Some(pieces.iter().map(length).sum())
}

/// Returns the time units per second in a movie's or a track's header.
fn time_scale(header: &[u8]) -> Option<u32> {
    let mut fields = Fields(header);
    let (version, _) = fields.version()?;
    fields.skip(if version == 1 { 16 } else { 8 })?;
    fields.u32()
}

fn track_id(header: &[u8]) -> Option<u32> {
    time_scale(header)
}

impl Demuxer for Mp4<'_> {
    fn container(&self) -> &'static str {
        "isomp4"
    }

    fn name(&self) -> &'static str {
        self.name
    }

    fn track(&self) -> &Track {
        &self.track
    }

    fn next(&mut self, damage: &mut Damage) -> Result<Step> {
        while !self.is_cut {
            if self.run.is_none() {
                self.run = self.next_run()?;
            }
            let Some(run) = &mut self.run else {
                if self.ends_early {
                    damage.cut();
                }
                return Ok(Step::End);
            };
            let Some((offset, len)) = run.take(self.frame.map_or(1, |frame| frame * 4096)) else {
                self.run = None;
                continue;
            };
            if len == 0 {
                continue;
            }
            if self.input.position() != offset {
                self.input.seek(offset)?;
            }
            let mut data = self.input.read_up_to(len)?;
            if (data.len() as u64) < len {
                damage.cut();
                let whole = self.frame.map_or(0, |frame| data.len() as u64 / frame.max(1) * frame);
                data.truncate(usize::try_from(whole).unwrap_or(0));
                self.is_cut = true;
            }
            if data.is_empty() {
                return Ok(Step::End);
            }
            return Ok(Step::Packet(packet(data, 0)));
        }
        Ok(Step::End)
    }
}
