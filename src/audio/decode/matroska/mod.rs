//! Matroska and WebM.
//!
//! The reader enters segments and clusters and walks all elements in them, so that elements of unknown size are not a special
//! case.

mod block;
mod ebml;
mod entry;

use std::collections::VecDeque;

use symphonia::core::packet::Packet;
use symphonia::core::units::Duration;

use crate::audio::decode::damage::Damage;
use crate::audio::decode::input::Input;
use crate::audio::decode::matroska::ebml::{Header, Next, elements, find, float, signed, unsigned};
use crate::audio::decode::matroska::entry::Entry;
use crate::audio::decode::refusal;
use crate::audio::decode::track::{Demuxer, Step, Track, packet};
use crate::error::{Error, ErrorKind, Result};

const EBML: u32 = 0x1a45_dfa3;
const DOC_TYPE: u32 = 0x4282;
const SEGMENT: u32 = 0x1853_8067;
const CLUSTER: u32 = 0x1f43_b675;
const INFO: u32 = 0x1549_a966;
const TIMESTAMP_SCALE: u32 = 0x2a_d7b1;
const DURATION: u32 = 0x4489;
const TRACKS: u32 = 0x1654_ae6b;
const TRACK_ENTRY: u32 = 0xae;
const SIMPLE_BLOCK: u32 = 0xa3;
const BLOCK_GROUP: u32 = 0xa0;
const BLOCK: u32 = 0xa1;
const DISCARD_PADDING: u32 = 0x75a2;

/// The maximum size in bytes of an element that is read into memory.
const MAX_READ: u64 = 64 << 20;

/// Seconds by which a stated duration may exceed the sound: its unit is a thousandth, and it may count what Opus drops.
const DURATION_ROUNDING: f64 = 0.01;

/// A reader of Matroska.
pub(super) struct Matroska<'a> {
    input: Input<'a>,
    entry: Entry,
    /// The end of the segment, if its size is known.
    end: Option<u64>,
    /// The stated duration in seconds.
    duration: Option<f64>,
    /// Packets of the last block.
    packets: VecDeque<Packet>,
    is_webm: bool,
}

impl<'a> Matroska<'a> {
    /// Walks the elements up to the description of the tracks.
    ///
    /// # Errors
    /// No track of sound, or a track whose codec is not supported.
    pub fn open(mut input: Input<'a>) -> Result<Self> {
        let mut is_webm = false;
        let mut end = None;
        let mut duration = None;
        loop {
            let header = match ebml::next(&mut input)? {
                Next::Element(header) => header,
                Next::End(_) | Next::Damaged => break,
            };
            match header.id {
                EBML => {
                    is_webm = find(&read(&mut input, header)?, DOC_TYPE).is_some_and(|kind| kind.starts_with(b"webm"))
                }
                SEGMENT => end = header.size.map(|size| input.position().saturating_add(size)),
                INFO => duration = read_duration(&read(&mut input, header)?),
                TRACKS => {
                    let entry = read_tracks(&read(&mut input, header)?, is_webm)?;
                    return Ok(Self { input, entry, end, duration, packets: VecDeque::new(), is_webm });
                }
                // Sound before its description.
                CLUSTER => break,
                _ => {
                    input.skip(header.size.unwrap_or(0))?;
                }
            }
        }
        Err(refusal::broken(entry::container(is_webm), "the description of its tracks is missing"))
    }

    /// Reads blocks until a block has packets of the track. Returns whether one was found.
    fn fill(&mut self, damage: &mut Damage) -> Result<bool> {
        while self.packets.is_empty() {
            let header = match ebml::next(&mut self.input)? {
                Next::Element(header) => header,
                Next::End(is_whole) => {
                    if !is_whole || self.end.is_some_and(|end| self.input.position() < end) {
                        damage.cut();
                    }
                    return Ok(false);
                }
                Next::Damaged => {
                    damage.ends_with("the rest is damaged");
                    return Ok(false);
                }
            };
            match header.id {
                SEGMENT | CLUSTER => {}
                SIMPLE_BLOCK | BLOCK_GROUP => {
                    let content = read(&mut self.input, header)?;
                    if header.size.is_some_and(|size| (content.len() as u64) < size) {
                        damage.cut();
                        return Ok(false);
                    }
                    self.take_block(header.id, &content, damage);
                }
                _ => {
                    let size = header.size.unwrap_or(0);
                    if self.input.skip(size)? < size {
                        damage.cut();
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }

    fn take_block(&mut self, id: u32, content: &[u8], damage: &mut Damage) {
        let block = if id == BLOCK_GROUP { find(content, BLOCK).unwrap_or_default() } else { content };
        if block::track_number(block) != Some(self.entry.number) {
            return;
        }
        let Some(packets) = block::packets(block) else {
            damage.skip("a block of packets is damaged");
            return;
        };
        for data in packets {
            let frames = self.entry.frames.map_or(0, |(frames, bytes)| data.len() as u64 / bytes.max(1) * frames);
            self.packets.push_back(packet([&self.entry.prefix, data].concat(), frames));
        }
        let padding = elements(content).find(|(found, _)| id == BLOCK_GROUP && *found == DISCARD_PADDING);
        let seconds = padding.map_or(0.0, |(_, content)| signed(content) as f64 / 1e9);
        let rate = f64::from(self.entry.track.parameters.sample_rate.unwrap_or(0));
        if let (true, Some(last)) = (seconds > 0.0, self.packets.back_mut()) {
            last.trim_end = Duration::from((seconds * rate).round() as u64);
        }
    }
}

/// Reads the content of an element, up to the end of the file.
fn read(input: &mut Input<'_>, header: Header) -> Result<Vec<u8>> {
    match header.size {
        Some(size) if size <= MAX_READ => input.read_up_to(size),
        _ => Err(Error::new(ErrorKind::Audio, "is Matroska with an element that is too large or has no size")),
    }
}

fn read_duration(info: &[u8]) -> Option<f64> {
    let scale = find(info, TIMESTAMP_SCALE).map_or(1_000_000, unsigned);
    let seconds = float(find(info, DURATION)?) * scale as f64 / 1e9;
    Some(seconds).filter(|seconds| *seconds > 0.0)
}

fn read_tracks(tracks: &[u8], is_webm: bool) -> Result<Entry> {
    let mut refused = None;
    for (_, content) in elements(tracks).filter(|(id, _)| *id == TRACK_ENTRY) {
        match entry::read(content, is_webm) {
            Ok(Some(entry)) => return Ok(entry),
            Ok(None) => {}
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    let container = entry::container(is_webm);
    Err(refused.unwrap_or_else(|| Error::new(ErrorKind::Audio, format!("is {container} without a track of sound"))))
}

impl Demuxer for Matroska<'_> {
    fn container(&self) -> &'static str {
        if self.is_webm { "webm" } else { "matroska" }
    }

    fn name(&self) -> &'static str {
        entry::container(self.is_webm)
    }

    fn track(&self) -> &Track {
        &self.entry.track
    }

    fn enough_seconds(&self) -> Option<f64> {
        self.duration.map(|duration| duration - DURATION_ROUNDING)
    }

    fn next(&mut self, damage: &mut Damage) -> Result<Step> {
        if self.packets.is_empty() && !self.fill(damage)? {
            return Ok(Step::End);
        }
        Ok(self.packets.pop_front().map_or(Step::End, Step::Packet))
    }
}
