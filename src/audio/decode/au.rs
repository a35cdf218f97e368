//! AU, also called SND: a header of six numbers before the samples, big-endian, or little-endian on DEC machines.

use crate::audio::decode::damage::{Damage, MISCOUNTED};
use crate::audio::decode::input::Input;
use crate::audio::decode::pcm::{Blocks, Number, Storage};
use crate::audio::decode::refusal;
use crate::audio::decode::track::{Demuxer, Step, Track};
use crate::error::Result;

/// A reader of AU.
pub(super) struct Au<'a> {
    input: Input<'a>,
    track: Track,
    blocks: Blocks,
    /// The stated size of the samples in bytes, until the bytes after them have been examined.
    size: Option<u64>,
    is_unfinished: bool,
}

impl<'a> Au<'a> {
    /// Reads the header.
    ///
    /// # Errors
    /// An impossible header, or an unsupported codec.
    pub fn open(mut input: Input<'a>) -> Result<Self> {
        let header = input.read_up_to(24)?;
        let big_endian = header.starts_with(b".snd");
        let number = |index: usize| {
            let bytes = header.get(4 * index..4 * index + 4).and_then(|bytes| bytes.try_into().ok());
            bytes.map(|bytes| if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
        };
        let (Some(offset), Some(size), Some(encoding), Some(rate), Some(channels)) =
            (number(1), number(2), number(3), number(4), number(5))
        else {
            return Err(refusal::broken("AU", "it is too short"));
        };
        if channels == 0 || rate == 0 || channels > 1 << 15 {
            return Err(refusal::signal("AU", channels, rate));
        }
        let storage = storage(encoding, big_endian)?;
        let Some(mut track) = storage.track(rate, channels) else {
            return Err(refusal::codec(&format!("encoding {encoding}"), "AU"));
        };
        let frame = u64::from(storage.bytes) * u64::from(channels);
        input.skip(u64::from(offset).saturating_sub(24))?;
        let size = Some(u64::from(size)).filter(|size| *size != u64::from(u32::MAX) && *size > 0);
        track.promised_seconds = size.map(|size| (size / frame) as f64 / f64::from(rate));
        track.stored_bytes = input.len().map(|len| len.saturating_sub(input.position()));
        let is_unfinished = number(2) == Some(0);
        let blocks = Blocks::new(frame, 1, size.map(|size| size / frame * frame));
        Ok(Self { input, track, blocks, size, is_unfinished })
    }

    /// Extends the sound beyond the stated size: an AU file has nothing but samples there.
    fn extend(&mut self, size: u64, damage: &mut Damage) -> Result<()> {
        let more = (size % self.blocks.block() + MISCOUNTED) as usize;
        let rest = self.input.peek(more + 1)?;
        if rest.starts_with(b"TAG") || rest.starts_with(b"ID3") || rest.is_empty() {
            return Ok(());
        }
        if rest.len() > more {
            damage.note(format!("has more sound than the {size} bytes that its header states: all of it is used"));
        }
        self.blocks.left = None;
        self.track.promised_seconds = None;
        Ok(())
    }
}

fn storage(encoding: u32, big_endian: bool) -> Result<Storage> {
    let (number, bytes) = match encoding {
        1 => (Number::MuLaw, 1),
        2..=5 => (Number::Signed, encoding - 1),
        6 => (Number::Float, 4),
        7 => (Number::Float, 8),
        27 => (Number::ALaw, 1),
        23 => return Err(refusal::codec("G.726 ADPCM", "AU")),
        24 => return Err(refusal::codec("G.722", "AU")),
        25 | 26 => return Err(refusal::codec("G.723 ADPCM", "AU")),
        other => return Err(refusal::codec(&format!("an unknown codec (encoding {other})"), "AU")),
    };
    Ok(Storage { number, bytes, big_endian })
}

impl Demuxer for Au<'_> {
    fn container(&self) -> &'static str {
        "au"
    }

    fn name(&self) -> &'static str {
        "AU"
    }

    fn track(&self) -> &Track {
        &self.track
    }

    fn next(&mut self, damage: &mut Damage) -> Result<Step> {
        if std::mem::take(&mut self.is_unfinished) && !self.input.peek(1)?.is_empty() {
            damage.header_unfinished();
        }
        let step = self.blocks.next(&mut self.input, damage)?;
        if !matches!(step, Step::End) {
            return Ok(step);
        }
        let Some(size) = self.size.take() else { return Ok(step) };
        self.extend(size, damage)?;
        self.blocks.next(&mut self.input, damage)
    }
}
