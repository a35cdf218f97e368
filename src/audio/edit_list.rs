//! The edit lists of MP4 files: the beginning and the length of a track's sound.
//!
//! AAC begins with samples that only warm up the decoder, and an edit list in MP4 has the number of samples to drop.
//! Symphonia 0.6 reads the list but does not apply it, which would shift every M4A file by some 20 ms.

use std::io::{self, Read, Seek, SeekFrom};

/// The edit of a track, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Edit {
    /// The track's id, the same as Symphonia's.
    pub track_id: u32,
    /// The beginning of the sound to keep.
    pub start: f64,
    /// The length of the sound to keep, if the list has it.
    pub length: Option<f64>,
}

/// Returns whether a file that begins with `head` is of the MP4 family.
pub(super) fn is_mp4(head: &[u8]) -> bool {
    head.get(4..8) == Some(b"ftyp")
}

/// Returns the edit of each track that has a plain one: at most one piece of sound, played at its own speed.
pub(super) fn read_edits(file: &mut (impl Read + Seek)) -> io::Result<Vec<Edit>> {
    let end = file.seek(SeekFrom::End(0))?;
    let Some(movie) = find(file, 0..end, b"moov")? else { return Ok(Vec::new()) };
    let movie_scale = match find(file, movie.clone(), b"mvhd")? {
        Some(header) => time_scale(file, header)?,
        None => return Ok(Vec::new()),
    };
    let mut edits = Vec::new();
    for (_, track) in boxes(file, movie)?.into_iter().filter(|(kind, _)| kind == b"trak") {
        edits.extend(read_track(file, track, movie_scale)?);
    }
    Ok(edits)
}

type Span = std::ops::Range<u64>;

/// The most boxes to read in one parent; a file with more is not worth the effort.
const MOST_BOXES: usize = 10_000;

fn read_track(file: &mut (impl Read + Seek), track: Span, movie_scale: u32) -> io::Result<Option<Edit>> {
    let Some(header) = find(file, track.clone(), b"tkhd")? else { return Ok(None) };
    let (version, body) = full_box(file, header)?;
    file.seek(SeekFrom::Start(body + if version == 1 { 16 } else { 8 }))?;
    let track_id = read_u32(file)?;

    let Some(media) = find(file, track.clone(), b"mdia")? else { return Ok(None) };
    let Some(media_header) = find(file, media, b"mdhd")? else { return Ok(None) };
    let media_scale = time_scale(file, media_header)?;

    let Some(edits) = find(file, track, b"edts")? else { return Ok(None) };
    let Some(list) = find(file, edits, b"elst")? else { return Ok(None) };
    let (version, body) = full_box(file, list)?;
    file.seek(SeekFrom::Start(body))?;
    let mut kept = None;
    for _ in 0..read_u32(file)?.min(MOST_BOXES as u32) {
        let (length, start) = if version == 1 {
            (read_u64(file)?, read_u64(file)? as i64)
        } else {
            (u64::from(read_u32(file)?), i64::from(read_u32(file)? as i32))
        };
        let rate = read_u32(file)?;
        if start < 0 {
            continue; // an empty edit: silence before the sound
        }
        if kept.is_some() || rate != 0x0001_0000 {
            return Ok(None);
        }
        kept = Some((start, length));
    }
    let Some((start, length)) = kept.filter(|_| media_scale > 0 && movie_scale > 0) else { return Ok(None) };
    let length = (length > 0).then(|| length as f64 / f64::from(movie_scale));
    Ok(Some(Edit { track_id, start: start as f64 / f64::from(media_scale), length }))
}

/// Returns the time units per second in a movie's or a track's header.
fn time_scale(file: &mut (impl Read + Seek), header: Span) -> io::Result<u32> {
    let (version, body) = full_box(file, header)?;
    file.seek(SeekFrom::Start(body + if version == 1 { 16 } else { 8 }))?;
    read_u32(file)
}

/// Returns the version of a box, and the offset of its content after version and flags.
fn full_box(file: &mut (impl Read + Seek), content: Span) -> io::Result<(u8, u64)> {
    file.seek(SeekFrom::Start(content.start))?;
    Ok((read_array::<4>(file)?[0], content.start + 4))
}

/// Returns the content of the first box of a kind.
fn find(file: &mut (impl Read + Seek), parent: Span, kind: &[u8; 4]) -> io::Result<Option<Span>> {
    Ok(boxes(file, parent)?.into_iter().find(|(found, _)| found == kind).map(|(_, content)| content))
}

/// Returns the kind and content of the boxes in `parent`, up to the first invalid box.
fn boxes(file: &mut (impl Read + Seek), parent: Span) -> io::Result<Vec<([u8; 4], Span)>> {
    let mut found = Vec::new();
    let mut start = parent.start;
    while parent.end.saturating_sub(start) >= 8 && found.len() < MOST_BOXES {
        file.seek(SeekFrom::Start(start))?;
        let size = u64::from(read_u32(file)?);
        let kind = read_array::<4>(file)?;
        let (size, header) = match size {
            0 => (parent.end - start, 8),
            1 => (read_u64(file)?, 16),
            size => (size, 8),
        };
        let end = start.saturating_add(size);
        if size < header || end > parent.end {
            break;
        }
        found.push((kind, start + header..end));
        start = end;
    }
    Ok(found)
}

fn read_array<const N: usize>(file: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn read_u32(file: &mut impl Read) -> io::Result<u32> {
    Ok(u32::from_be_bytes(read_array(file)?))
}

fn read_u64(file: &mut impl Read) -> io::Result<u64> {
    Ok(u64::from_be_bytes(read_array(file)?))
}
