//! Recordings as programs and people leave them: wrong headers, tags, cut and joined files, implausible levels.

use std::fs;

use ualm::ErrorKind;
use ualm::audio::{DecodeOptions, Decoded, decode_file, decode_reader};
use ualm_testing::root;

use crate::audio::wav_file;

fn decode(bytes: &[u8]) -> ualm::Result<Decoded> {
    decode_reader(bytes, "recording", &DecodeOptions::default())
}

/// Decodes from memory and from a file, and checks that both results are equal.
fn both(bytes: &[u8]) -> Decoded {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recording");
    fs::write(&path, bytes).unwrap();
    let named = decode_file(&path, &DecodeOptions::default()).unwrap();
    let piped = decode(bytes).unwrap();
    assert_eq!((named.waveform, named.warnings), (piped.waveform.clone(), piped.warnings.clone()));
    piped
}

fn formats(name: &str) -> Vec<u8> {
    fs::read(root().join("tests/data/formats").join(name)).unwrap()
}

/// Returns 3200 samples whose bytes are not letters, and their values.
fn samples() -> (Vec<u8>, Vec<f32>) {
    let values: Vec<i16> = (0..3200_i32).map(|n| (n * 37 % 2000 - 1000) as i16).collect();
    let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    (bytes, values.iter().map(|value| f32::from(*value) / 32768.0).collect())
}

fn wav() -> Vec<u8> {
    wav_file(8000, 1, 1, 16, &samples().0)
}

fn set(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

fn chunk(id: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let mut bytes = id.to_vec();
    bytes.extend((content.len() as u32).to_le_bytes());
    bytes.extend(content);
    bytes.extend(&[0][..content.len() & 1]);
    bytes
}

/// Returns a RIFF file of chunks.
fn riff(chunks: &[Vec<u8>]) -> Vec<u8> {
    let body = chunks.concat();
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((body.len() as u32 + 4).to_le_bytes());
    bytes.extend(b"WAVE");
    bytes.extend(body);
    bytes
}

fn fmt() -> Vec<u8> {
    chunk(b"fmt ", &wav()[20..36])
}

fn assert_whole(decoded: &Decoded, what: &str) {
    assert_eq!(decoded.waveform.samples(), samples().1, "{what}");
    assert_eq!(decoded.warnings, [""; 0], "{what}");
}

#[test]
fn sizes_that_disagree_by_bytes_give_every_sample() {
    for (riff_by, data_by) in
        [(-4, 0), (4, 0), (-8, 0), (1, 0), (0, 1), (0, -1), (0, -2), (2, 2), (-2, -2), (0, 36), (8, 44)]
    {
        let mut bytes = wav();
        set(&mut bytes, 4, (6436_i32 + riff_by) as u32);
        set(&mut bytes, 40, (6400_i32 + data_by) as u32);
        assert_whole(&both(&bytes), &format!("RIFF by {riff_by}, data by {data_by}"));
    }
}

#[test]
fn a_header_that_was_never_finished_gives_every_sample_and_a_warning() {
    let mut zeros = wav();
    set(&mut zeros, 4, 0);
    set(&mut zeros, 40, 0);
    let mut only_data = wav();
    set(&mut only_data, 40, 0);
    let unfinished = riff(&[chunk(b"JUNK", &[0; 28]), fmt(), chunk(b"FLLR", &[0; 1000]), chunk(b"data", &[])]);
    let mut rf64 = formats("rf64-pcm_s16le.wav");
    let expected = decode(&rf64).unwrap().waveform;
    rf64[20..44].fill(0);
    for (bytes, expected) in [
        (zeros, samples().1),
        (only_data, samples().1),
        ([unfinished, samples().0].concat(), samples().1),
        (rf64, expected.samples().to_vec()),
    ] {
        let decoded = both(&bytes);
        assert_eq!(decoded.waveform.samples(), expected);
        assert!(decoded.warnings[0].contains("never finished"), "{:?}", decoded.warnings);
        assert_eq!(decoded.warnings.len(), 1);
    }
}

#[test]
fn a_header_that_counts_too_few_samples_is_not_believed() {
    let mut bytes = wav();
    set(&mut bytes, 40, 3200);
    let decoded = both(&bytes);
    assert_eq!(decoded.waveform.samples(), samples().1);
    assert!(decoded.warnings[0].contains("more sound than the 3200 bytes"), "{:?}", decoded.warnings);
    // If both sizes agree, the bytes after the samples are not samples.
    set(&mut bytes, 4, 3236);
    let decoded = both(&bytes);
    assert_eq!(decoded.waveform.samples(), &samples().1[..1600]);
    assert!(decoded.warnings[0].contains("left out"), "{:?}", decoded.warnings);
}

#[test]
fn a_file_without_samples_has_no_sound() {
    for rest in [vec![], chunk(b"LIST", b"INFOICMT\x04\0\0\0abcd")] {
        let error = decode(&[riff(&[fmt(), chunk(b"data", &[])]), rest].concat()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Audio);
        assert!(error.message().contains("0 samples"), "{error}");
    }
}

#[test]
fn bw64_is_rf64_by_another_name() {
    let rf64 = formats("rf64-pcm_s16le.wav");
    let bw64 = [b"BW64", &rf64[4..]].concat();
    assert_eq!(both(&bw64).waveform, decode(&rf64).unwrap().waveform);
}

#[test]
fn padding_after_the_samples_is_not_sound() {
    let content: Vec<u8> = (100..201).collect();
    let header = wav_file(8000, 1, 1, 8, &[])[12..36].to_vec();
    for rest in [vec![], chunk(b"LIST", b"INFOabcd")] {
        let decoded = both(&riff(&[header.clone(), chunk(b"data", &content), rest]));
        assert_eq!((decoded.waveform.len(), decoded.warnings.len()), (101, 0));
    }
}

#[test]
fn chunks_are_walked() {
    let comment = chunk(b"LIST", b"INFOICMT\x20\0\0\0-sample_fmt fmt data \x01\0\xff\xff\xff\xff\xff\xff    ");
    let data = chunk(b"data", &samples().0);
    let bext = chunk(b"bext", &[b'd'; 603]);
    for chunks in [
        vec![comment.clone(), fmt(), data.clone()],
        vec![bext.clone(), fmt(), comment.clone(), data.clone()],
        vec![fmt(), data.clone(), comment.clone(), bext],
        vec![fmt(), data.clone(), chunk(b"ualm", b"{}"), comment],
    ] {
        assert_whole(&both(&riff(&chunks)), "chunks");
    }
    // A tag at the end is not sound.
    let tag = [b"TAG".to_vec(), vec![b'x'; 125]].concat();
    assert_whole(&both(&[riff(&[fmt(), data.clone()]), vec![0; 40]].concat()), "zeros");
    let decoded = both(&[riff(&[fmt(), data]), tag].concat());
    assert_whole(&decoded, "a tag");
}

#[test]
fn an_extensible_header_names_its_codec() {
    let extension = |tag: u16, block: u16, bits: u16| {
        let mut content = Vec::new();
        for value in [0xfffe_u16, 1] {
            content.extend(value.to_le_bytes());
        }
        content.extend(8000_u32.to_le_bytes());
        content.extend((8000 * u32::from(block)).to_le_bytes());
        for value in [block, bits, 22, bits] {
            content.extend(value.to_le_bytes());
        }
        content.extend(4_u32.to_le_bytes());
        content.extend(tag.to_le_bytes());
        content.extend(b"\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71");
        chunk(b"fmt ", &content)
    };
    assert_whole(&both(&riff(&[extension(1, 2, 16), chunk(b"data", &samples().0)])), "PCM");
    let a_law = formats("wav-pcm_alaw.wav");
    let begin = a_law.windows(4).position(|bytes| bytes == b"data").unwrap();
    let decoded = both(&riff(&[extension(6, 1, 8), a_law[begin..].to_vec()]));
    assert_eq!(decoded.waveform, decode(&a_law).unwrap().waveform);
    let error = decode(&riff(&[extension(0x55aa, 1, 8), chunk(b"data", &[1; 100])])).unwrap_err();
    assert!(error.message().contains("tag 0x55aa"), "{error}");
}

#[test]
fn a_file_without_a_known_size_is_read_to_its_end() {
    let mut au = formats("au-pcm_s16be.au");
    let expected = decode(&au).unwrap().waveform;
    au[8..12].fill(0xff);
    let decoded = both(&au);
    assert_eq!((decoded.waveform, decoded.warnings.len()), (expected, 0));
    let mut caf = formats("caf-pcm_s16le.caf");
    let expected = decode(&caf).unwrap().waveform;
    let data = caf.windows(4).position(|bytes| bytes == b"data").unwrap();
    // A size of −1 is valid, a size of 0 is not.
    for (byte, warnings) in [(0xff, 0), (0, 1)] {
        caf[data + 4..data + 12].fill(byte);
        let decoded = both(&caf);
        assert_eq!((&decoded.waveform, decoded.warnings.len()), (&expected, warnings));
    }
}

/// Returns a tag of `size` bytes with bytes that look like frames of MP3 at another rate.
fn tag(size: usize) -> Vec<u8> {
    let mut bytes = b"ID3\x04\0\0".to_vec();
    bytes.extend((0..4).rev().map(|n| (size >> (7 * n) & 0x7f) as u8));
    let mut content = b"APIC\0\0\0\0\0\0\0image/jpeg\0".to_vec();
    while content.len() < size {
        content.extend(b"\xff\xe3\x18\xc4");
        content.extend([0x55; 68]);
    }
    content.truncate(size);
    bytes.extend(content);
    bytes
}

#[test]
fn tags_of_any_size_are_skipped() {
    for name in
        ["mp3.mp3", "mp3-bare.mp3", "flac.flac", "aac.aac", "wav-pcm_s16le.wav", "mp4-aac.m4a", "ogg-libvorbis.ogg"]
    {
        let bytes = formats(name);
        let expected = decode(&bytes).unwrap().waveform;
        for size in [0, 100, 5000, 1_100_000] {
            let decoded = both(&[tag(size), bytes.clone()].concat());
            assert_eq!(decoded.waveform, expected, "{name} behind {size} bytes");
            assert_eq!(decoded.warnings, [""; 0], "{name} behind {size} bytes");
        }
        let decoded = both(&[tag(50), vec![0; 700], tag(80), bytes].concat());
        assert_eq!(decoded.waveform, expected, "{name} behind two tags");
    }
    let version1 = [b"TAG".to_vec(), vec![b'x'; 125]].concat();
    for name in ["mp3.mp3", "mp3-bare.mp3"] {
        let decoded = both(&[formats(name), version1.clone()].concat());
        assert_eq!(decoded.waveform, decode(&formats(name)).unwrap().waveform);
        assert_eq!(decoded.warnings, [""; 0], "{name}");
    }
    // APEv2 after the frames, with a header and a picture; and a tag between two recordings.
    let picture = &tag(3000)[10..];
    let ape = |flags: u8| {
        let mut bytes = b"APETAGEX\xd0\x07\0\0".to_vec();
        bytes.extend((picture.len() as u32 + 32).to_le_bytes());
        bytes.extend([1, 0, 0, 0, 0, 0, 0, flags, 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes
    };
    let ape = [ape(0xa0), picture.to_vec(), ape(0x80)].concat();
    for name in ["mp3.mp3", "mp3-bare.mp3", "aac.aac"] {
        let decoded = both(&[formats(name), ape.clone()].concat());
        assert_eq!(decoded.waveform, decode(&formats(name)).unwrap().waveform, "{name} before APEv2");
        assert_eq!(decoded.warnings, [""; 0], "{name}");
    }
    let bare = formats("mp3-bare.mp3");
    assert_eq!(
        both(&[bare.clone(), tag(3000), bare.clone()].concat()).waveform,
        both(&[bare.clone(), bare].concat()).waveform
    );
    let error = decode(&tag(500)).unwrap_err();
    assert!(error.message().contains("ends with its tag"), "{error}");
}

#[test]
fn a_stream_that_begins_in_the_middle_of_a_frame_is_found() {
    for name in ["mp3-bare.mp3", "aac.aac"] {
        let bytes = formats(name);
        let decoded = both(&bytes[50..]);
        let missing = decode(&bytes).unwrap().waveform.len() - decoded.waveform.len();
        assert!((500..1200).contains(&missing), "{name}: {missing}");
        assert!(decoded.warnings[0].contains("before the first whole frame"), "{:?}", decoded.warnings);
    }
}

#[test]
fn joined_files_are_heard_to_their_end() {
    // Two MP3s, with a header in the first that counts only its own frames.
    let one = formats("mp3.mp3");
    let decoded = both(&[one.clone(), one.clone(), one.clone(), one].concat());
    assert!(decoded.waveform.seconds() > 0.8, "{}", decoded.waveform.seconds());
    assert!(decoded.warnings[0].contains("more sound than its header states"), "{:?}", decoded.warnings);
    for name in ["ogg-libopus.ogg", "ogg-libvorbis.ogg"] {
        let one = formats(name);
        let decoded = both(&[one.clone(), one.clone()].concat());
        let length = decode(&one).unwrap().waveform.len();
        assert_eq!((decoded.waveform.len(), decoded.warnings.len()), (2 * length, 0), "{name}");
    }
}

#[test]
fn a_cut_in_ogg_is_detected_at_any_position() {
    let bytes = formats("ogg-libopus-pages.ogg");
    let whole = decode(&bytes).unwrap();
    assert_eq!(whole.warnings, [""; 0]);
    // Within a page, and between two pages.
    let last = bytes.windows(4).rposition(|bytes| bytes == b"OggS").unwrap();
    for end in [bytes.len() * 8 / 10, last - 1, last, last + 10] {
        let decoded = both(&bytes[..end]);
        assert!(decoded.waveform.len() < whole.waveform.len());
        assert!(decoded.warnings[0].contains("in the middle of the sound"), "{:?}", decoded.warnings);
    }
}

#[test]
fn cut_mp4_with_its_index_in_front_gives_the_rest() {
    let bytes = formats("mp4-faststart.m4a");
    let whole = decode(&bytes).unwrap().waveform;
    let decoded = both(&bytes[..bytes.len() * 85 / 100]);
    assert!((500..2500).contains(&decoded.waveform.len()), "{}", decoded.waveform.len());
    let same = decoded.waveform.len();
    assert_eq!(decoded.waveform.samples(), &whole.samples()[..same]);
    assert!(decoded.warnings[0].contains("cut short"), "{:?}", decoded.warnings);
}

#[test]
fn the_gain_of_opus_is_applied() {
    let plain = formats("webm-libopus.webm");
    let head = plain.windows(8).position(|bytes| bytes == b"OpusHead").unwrap();
    let mut quiet = plain.clone();
    // −6.02 dB, in 1/256 dB.
    quiet[head + 16..head + 18].copy_from_slice(&(-1541_i16).to_le_bytes());
    let plain = decode(&plain).unwrap().waveform;
    let quiet = decode(&quiet).unwrap().waveform;
    for (a, b) in plain.samples().iter().zip(quiet.samples()) {
        assert!((a - 2.0 * b).abs() < 1e-4, "{a} {b}");
    }
    let mut more = formats("webm-libopus.webm");
    more[head + 10..head + 12].copy_from_slice(&(312_u16 + 480).to_le_bytes());
    assert_eq!(decode(&more).unwrap().waveform.samples(), &plain.samples()[480..]);
}

/// Returns a stereo WAV of floats.
fn stereo(pairs: impl Iterator<Item = (f32, f32)>) -> Vec<u8> {
    let data: Vec<u8> = pairs.flat_map(|(left, right)| [left.to_le_bytes(), right.to_le_bytes()].concat()).collect();
    wav_file(8000, 2, 3, 32, &data)
}

#[test]
fn implausible_levels_give_warnings() {
    let tone = || (0..8000).map(|n| (n as f32 * 0.3).sin() * 0.5);
    let decoded = both(&stereo(tone().map(|x| (x, -x))));
    assert!(decoded.warnings[0].contains("cancel out"), "{:?}", decoded.warnings);
    assert!(decoded.warnings[0].contains("silent"), "{:?}", decoded.warnings);
    let decoded = both(&stereo(tone().map(|x| (x, -0.98 * x))));
    assert!(decoded.warnings[0].contains("40 dB below"), "{:?}", decoded.warnings);
    let decoded = both(&stereo(tone().map(|x| (32768.0 * x, 32768.0 * x))));
    assert!(decoded.warnings[0].contains("far beyond full scale"), "{:?}", decoded.warnings);
    // One silent channel, two unrelated channels, silence, and a level a little beyond full scale are plausible.
    for pairs in [
        stereo(tone().map(|x| (x, 0.0))),
        stereo(tone().map(|_| (0.0, 0.0))),
        stereo(tone().map(|x| (3.0 * x, 2.0 * x))),
    ] {
        assert_eq!(both(&pairs).warnings, [""; 0]);
    }
    let other = tone().enumerate().map(|(n, x)| (x, (n as f32 * 0.7).cos() * 0.5));
    assert_eq!(both(&stereo(other)).warnings, [""; 0]);
}

#[test]
fn tags_after_flac_are_not_part_of_its_last_frame() {
    let flac = formats("flac.flac");
    let whole = both(&flac);
    assert_eq!(whole.warnings, [""; 0]);
    let version1 = [b"TAG".to_vec(), vec![b'x'; 125]].concat();
    for tags in [version1.clone(), tag(3000), [tag(90_000), version1].concat()] {
        let decoded = both(&[flac.clone(), tags].concat());
        assert_eq!((decoded.waveform, decoded.warnings), (whole.waveform.clone(), whole.warnings.clone()));
    }
}

#[test]
fn the_largest_size_of_w64_means_an_unknown_size() {
    let mut w64 = formats("w64-pcm_s16le.w64");
    let expected = both(&w64).waveform;
    let data = w64.windows(4).position(|name| name == b"data").unwrap() + 16;
    for size in [i64::MAX as u64, i64::MAX as u64 - 128, u64::MAX] {
        w64[16..24].copy_from_slice(&u64::MAX.to_le_bytes());
        w64[data..data + 8].copy_from_slice(&size.to_le_bytes());
        let decoded = both(&w64);
        assert_eq!((decoded.waveform, decoded.warnings), (expected.clone(), vec![]), "{size}");
    }
}

#[test]
fn au_and_aiff_that_count_too_few_samples_give_all_of_them() {
    for (name, field, before) in [("au-pcm_s16be.au", &b".snd"[..], 8), ("aiff-pcm_s16be.aiff", b"COMM", 10)] {
        let bytes = formats(name);
        let whole = both(&bytes);
        let at = bytes.windows(4).position(|found| found == field).unwrap() + before;
        let stated = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        for (stated, warnings) in [(stated / 2, 1), (1, 1), (stated - 1, 0)] {
            let mut lying = bytes.clone();
            lying[at..at + 4].copy_from_slice(&stated.to_be_bytes());
            let decoded = both(&lying);
            assert_eq!(decoded.waveform, whole.waveform, "{name}: {stated}");
            assert_eq!(decoded.warnings.len(), warnings, "{name}: {:?}", decoded.warnings);
        }
    }
}

#[test]
fn a_table_of_packets_that_ends_early_gives_a_warning() {
    let mut caf = formats("caf-aac.caf");
    let whole = both(&caf).waveform.len();
    let table = caf.windows(4).position(|name| name == b"pakt").unwrap();
    let size = u64::from_be_bytes(caf[table + 4..table + 12].try_into().unwrap());
    caf[table + 4..table + 12].copy_from_slice(&(size - 2).to_be_bytes());
    let decoded = both(&caf);
    assert!(decoded.waveform.len() < whole);
    assert!(decoded.warnings[0].contains("table of its packets ends"), "{:?}", decoded.warnings);
}

#[test]
fn a_caf_that_counts_too_few_samples_gives_all_of_them() {
    let caf = formats("caf-pcm_s16be.caf");
    let whole = both(&caf);
    let at = caf.windows(4).position(|name| name == b"data").unwrap() + 4;
    let stated = u64::from_be_bytes(caf[at..at + 8].try_into().unwrap());
    for (stated, warnings) in [(stated / 2, 1), (1, 1), (stated - 2, 0)] {
        let mut lying = caf.clone();
        lying[at..at + 8].copy_from_slice(&stated.to_be_bytes());
        let decoded = both(&lying);
        assert_eq!(decoded.waveform, whole.waveform, "{stated}");
        assert_eq!(decoded.warnings.len(), warnings, "{:?}", decoded.warnings);
    }
    let tagged = both(&[caf, tag(3000)].concat());
    assert_eq!((tagged.waveform, tagged.warnings), (whole.waveform, whole.warnings), "a tag is no sound");
}
