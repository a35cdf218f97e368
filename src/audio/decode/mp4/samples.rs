//! The locations of a track's samples: runs of coded packets, from the sample table or from fragments.

use std::collections::VecDeque;

use crate::audio::decode::mp4::boxes::{Fields, boxes, find};

/// Packets that follow each other in the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The offset of the first packet in the file.
    pub offset: u64,
    pub sizes: Sizes,
}

/// The sizes of packets, in bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sizes {
    Equal { size: u32, count: u64 },
    Each(VecDeque<u32>),
}

impl Run {
    /// Takes the next packet, or of packets of equal size as many as fit into `bytes`. Returns their offset and size.
    pub fn take(&mut self, bytes: u64) -> Option<(u64, u64)> {
        let offset = self.offset;
        let len = match &mut self.sizes {
            Sizes::Equal { size, count } => {
                let size = u64::from(*size);
                let taken = bytes.checked_div(size)?.max(1).min(*count);
                *count -= taken;
                taken * size
            }
            Sizes::Each(sizes) => u64::from(sizes.pop_front()?),
        };
        self.offset = offset.saturating_add(len);
        (len > 0 || matches!(self.sizes, Sizes::Each(_))).then_some((offset, len))
    }
}

/// The sample table (`stbl`): chunks of packets.
pub(super) struct SampleTable {
    /// The size of all packets, or 0.
    size: u32,
    count: u64,
    sizes: Vec<u32>,
    offsets: Vec<u64>,
    /// The first chunk, counted from 1, and the number of packets in it and in those after it.
    chunks: Vec<(u32, u32)>,
    next_chunk: usize,
    next_run: usize,
    next_packet: u64,
    /// Number of packets times their durations, in the track's units.
    pub duration: u64,
}

impl SampleTable {
    /// Reads the content of `stbl`, which may be cut.
    pub fn read(table: &[u8]) -> Self {
        let (size, count, sizes) = sizes(table).unwrap_or_default();
        let offsets = offsets(table).unwrap_or_default();
        let chunks = entries(find(table, &[b"stsc"]), |fields| {
            let chunk = (fields.u32()?, fields.u32()?);
            fields.skip(4)?;
            Some(chunk)
        });
        let times = entries(find(table, &[b"stts"]), |fields| Some((fields.u32()?, fields.u32()?)));
        let duration = times.iter().fold(0_u64, |sum, (count, duration)| {
            sum.saturating_add(u64::from(*count).saturating_mul(u64::from(*duration)))
        });
        Self { size, count, sizes, offsets, chunks, next_chunk: 0, next_run: 0, next_packet: 0, duration }
    }

    /// Returns the next chunk. `frame` is the size of uncompressed frames, for which tables may have a size of 1.
    pub fn next(&mut self, frame: Option<u64>) -> Option<Run> {
        let offset = *self.offsets.get(self.next_chunk)?;
        let number = self.next_chunk as u64 + 1;
        self.next_chunk += 1;
        while self.chunks.get(self.next_run + 1).is_some_and(|(first, _)| u64::from(*first) <= number) {
            self.next_run += 1;
        }
        let wanted = u64::from(self.chunks.get(self.next_run)?.1);
        let count = wanted.min(self.count.saturating_sub(self.next_packet));
        let first = self.next_packet;
        self.next_packet += count;
        let sizes = match frame {
            Some(frame) if self.sizes.is_empty() && self.size <= 1 => {
                Sizes::Equal { size: u32::try_from(frame).ok()?, count }
            }
            _ if self.sizes.is_empty() => Sizes::Equal { size: self.size, count },
            _ => {
                let first = usize::try_from(first).ok()?;
                let sizes = self.sizes.get(first..first + usize::try_from(count).ok()?)?;
                Sizes::Each(sizes.iter().copied().collect())
            }
        };
        Some(Run { offset, sizes })
    }
}

/// Reads the entries of a full box that begins with their number, up to the end of the box.
fn entries<T>(content: Option<&[u8]>, mut read: impl FnMut(&mut Fields<'_>) -> Option<T>) -> Vec<T> {
    let mut fields = Fields(content.unwrap_or_default());
    let count = fields.version().and_then(|_| fields.u32()).unwrap_or(0);
    (0..count).map_while(|_| read(&mut fields)).collect()
}

fn offsets(table: &[u8]) -> Option<Vec<u64>> {
    match find(table, &[b"stco"]) {
        Some(content) => Some(entries(Some(content), |fields| fields.u32().map(u64::from))),
        None => Some(entries(Some(find(table, &[b"co64"])?), |fields| fields.u64())),
    }
}

/// Returns the size of all packets (or 0), their number, and their sizes if they differ.
fn sizes(table: &[u8]) -> Option<(u32, u64, Vec<u32>)> {
    if let Some(content) = find(table, &[b"stsz"]) {
        let mut fields = Fields(content);
        fields.version()?;
        let size = fields.u32()?;
        let count = fields.u32()?;
        let each = if size == 0 { (0..count).map_while(|_| fields.u32()).collect() } else { Vec::new() };
        let count = if size == 0 { each.len() as u64 } else { u64::from(count) };
        return Some((size, count, each));
    }
    let mut fields = Fields(find(table, &[b"stz2"])?);
    fields.version()?;
    let bits = fields.u32()? & 0xff;
    let count = fields.u32()?;
    let mut half = None;
    let each: Vec<u32> = (0..count)
        .map_while(|_| match (bits, half.take()) {
            (4, Some(low)) => Some(low),
            (4, None) => {
                let byte = u32::from(fields.u8()?);
                half = Some(byte & 15);
                Some(byte >> 4)
            }
            (8, _) => fields.u8().map(u32::from),
            (16, _) => fields.u16().map(u32::from),
            _ => None,
        })
        .collect();
    Some((0, each.len() as u64, each))
}

/// The default sizes of packets in fragments (`trex`), with the tracks' numbers.
pub(super) fn default_sizes(movie: &[u8]) -> Vec<(u32, u32)> {
    let extends = find(movie, &[b"mvex"]).unwrap_or_default();
    let sizes = boxes(extends).filter(|found| found.kind == *b"trex").filter_map(|found| {
        let mut fields = Fields(found.content);
        fields.version()?;
        let id = fields.u32()?;
        fields.skip(8)?;
        Some((id, fields.u32()?))
    });
    sizes.collect()
}

/// Reads a fragment (`moof`) that begins at `begin` into the runs of a track; `default_sizes` are those of all tracks.
pub(super) fn fragment(content: &[u8], begin: u64, track_id: u32, default_sizes: &[(u32, u32)]) -> Vec<Run> {
    let mut runs = Vec::new();
    // The base of a track without a stated base is the end of the previous track.
    let mut last_end = begin;
    for track in boxes(content).filter(|found| found.kind == *b"traf") {
        let Some(header) = find(track.content, &[b"tfhd"]).and_then(FragmentHeader::read) else { continue };
        let base = header.base.unwrap_or(if header.is_based_on_fragment { begin } else { last_end });
        let default_size = default_sizes.iter().find(|(id, _)| *id == header.id).map_or(0, |(_, size)| *size);
        let size = header.size.unwrap_or(default_size);
        last_end = base;
        for run in boxes(track.content).filter(|found| found.kind == *b"trun") {
            let Some((run, end)) = fragment_run(run.content, base, last_end, size) else { continue };
            last_end = end;
            if header.id == track_id {
                runs.push(run);
            }
        }
    }
    runs
}

/// The header of a track in a fragment (`tfhd`).
struct FragmentHeader {
    id: u32,
    /// The stated base of offsets in the file.
    base: Option<u64>,
    /// True where offsets count from the beginning of the fragment.
    is_based_on_fragment: bool,
    /// The stated size of packets.
    size: Option<u32>,
}

impl FragmentHeader {
    fn read(header: &[u8]) -> Option<Self> {
        let mut fields = Fields(header);
        let (_, flags) = fields.version()?;
        let id = fields.u32()?;
        let base = if flags & 1 != 0 { Some(fields.u64()?) } else { None };
        for flag in [2, 8] {
            if flags & flag != 0 {
                fields.skip(4)?;
            }
        }
        let size = if flags & 0x10 != 0 { Some(fields.u32()?) } else { None };
        Some(Self { id, base, is_based_on_fragment: flags & 0x02_0000 != 0, size })
    }
}

/// Returns a run of a fragment and the offset of its end; the run begins at `next` unless it states an offset.
fn fragment_run(run: &[u8], base: u64, next: u64, default_size: u32) -> Option<(Run, u64)> {
    let mut fields = Fields(run);
    let (_, flags) = fields.version()?;
    let count = fields.u32()?;
    let offset = if flags & 1 != 0 { base.checked_add_signed(i64::from(fields.u32()?.cast_signed()))? } else { next };
    if flags & 4 != 0 {
        fields.skip(4)?;
    }
    if flags & 0x200 == 0 {
        let end = offset.saturating_add(u64::from(count).saturating_mul(u64::from(default_size)));
        return Some((Run { offset, sizes: Sizes::Equal { size: default_size, count: u64::from(count) } }, end));
    }
    let before = if flags & 0x100 != 0 { 4 } else { 0 };
    let after = [0x400, 0x800].iter().filter(|flag| flags & **flag != 0).count() * 4;
    let sizes: Vec<u32> = (0..count)
        .map_while(|_| {
            fields.skip(before)?;
            let size = fields.u32()?;
            fields.skip(after)?;
            Some(size)
        })
        .collect();
    let end = sizes.iter().fold(offset, |end, size| end.saturating_add(u64::from(*size)));
    Some((Run { offset, sizes: Sizes::Each(sizes.into()) }, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(kind: &[u8; 4], words: &[u32]) -> Vec<u8> {
        let mut bytes = (12 + 4 * words.len() as u32).to_be_bytes().to_vec();
        bytes.extend(kind);
        bytes.extend([0; 4]);
        bytes.extend(words.iter().flat_map(|word| word.to_be_bytes()));
        bytes
    }

    #[test]
    fn chunks_are_laid_out() {
        let table = [
            full(b"stsz", &[0, 5, 10, 20, 30, 40, 50]),
            full(b"stsc", &[2, 1, 2, 1, 3, 1, 1]),
            full(b"stco", &[3, 100, 200, 300]),
            full(b"stts", &[1, 5, 1024]),
        ];
        let mut table = SampleTable::read(&table.concat());
        assert_eq!(table.duration, 5120);
        let mut found = Vec::new();
        while let Some(mut run) = table.next(None) {
            while let Some(packet) = run.take(1) {
                found.push(packet);
            }
        }
        assert_eq!(found, [(100, 10), (110, 20), (200, 30), (230, 40), (300, 50)]);
    }

    #[test]
    fn uncompressed_frames_are_taken_together() {
        let table = [full(b"stsz", &[1, 7]), full(b"stsc", &[1, 1, 5, 1]), full(b"stco", &[2, 100, 200])];
        let mut table = SampleTable::read(&table.concat());
        let mut run = table.next(Some(4)).unwrap();
        assert_eq!((run.take(8), run.take(100), run.take(100)), (Some((100, 8)), Some((108, 12)), None));
        assert_eq!(table.next(Some(4)).unwrap().take(100), Some((200, 8)), "the last chunk has the rest alone");
    }

    #[test]
    fn fragments_have_runs() {
        let header = full(b"tfhd", &[7]);
        let mut sized = full(b"trun", &[2, 50, 10, 20]);
        sized[9..12].copy_from_slice(&[0, 2, 1]);
        let mut plain = full(b"trun", &[3]);
        plain[9..12].copy_from_slice(&[0, 0, 0]);
        let mut track = ((8 + header.len() + sized.len() + plain.len()) as u32).to_be_bytes().to_vec();
        track.extend(b"traf");
        track.extend([header, sized, plain].concat());
        let runs = fragment(&track, 1000, 7, &[(6, 4), (7, 5)]);
        assert_eq!(runs[0], Run { offset: 1050, sizes: Sizes::Each([10, 20].into()) });
        assert_eq!(runs[1], Run { offset: 1080, sizes: Sizes::Equal { size: 5, count: 3 } });
        assert_eq!(fragment(&track, 1000, 8, &[]), []);
    }

    #[test]
    fn a_track_of_a_fragment_begins_where_the_one_before_ends() {
        let track = |id: u32, flags: u8, sizes: &[u32]| {
            let mut header = full(b"tfhd", &[id]);
            header[9] = flags;
            let mut run = full(b"trun", &[&[sizes.len() as u32, 8], sizes].concat());
            run[9..12].copy_from_slice(&[0, 2, 1]);
            let mut track = ((8 + header.len() + run.len()) as u32).to_be_bytes().to_vec();
            track.extend(b"traf");
            [track, header, run].concat()
        };
        let offset =
            |flags| fragment(&[track(1, flags, &[10, 20]), track(2, flags, &[5])].concat(), 100, 2, &[])[0].offset;
        assert_eq!(
            (offset(0), offset(2)),
            (100 + 8 + 30 + 8, 100 + 8),
            "the base that is not stated, and the fragment"
        );
    }
}
