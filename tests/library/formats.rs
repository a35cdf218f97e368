//! Every container and codec: a file of each, with the expected samples or the expected error. The table of docs/audio.md is made
//! from the same list; `UALM_WRITE_TABLE=1` writes the table.
//!
//! tests/tools/format_fixtures.py makes the files. The samples of uncompressed and lossless files are computed here; other files
//! are compared with ffmpeg's result.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use ualm::ErrorKind;
use ualm::audio::{DecodeOptions, Decoded, decode_file, decode_reader};
use ualm_testing::root;

use crate::audio::sound;

/// The right result of a file.
#[derive(Clone, Copy)]
enum Expected {
    /// The samples of the sound in as many bits.
    Bits(u32),
    /// The samples that ffmpeg decodes: their file, the number dropped at the beginning, the number kept, and the tolerance.
    Ffmpeg(&'static str, usize, usize, f32),
    /// Words of the error.
    Refused(&'static str),
}

use Expected::{Bits, Ffmpeg, Refused};

const NEAR: f32 = 1e-6;
/// `ropus` decodes to 16 bits, libopus to floating point.
const OPUS: f32 = 2e-4;

/// Container, codec, file, result.
#[rustfmt::skip]
const FILES: &[(&str, &str, &str, Expected)] = &[
    ("WAV", "PCM 8 bits", "wav-pcm_u8.wav", Bits(8)),
    ("WAV", "PCM 16 bits", "wav-pcm_s16le.wav", Bits(16)),
    ("WAV", "PCM 24 bits", "wav-pcm_s24le.wav", Bits(16)),
    ("WAV", "PCM 24 bits in 4 bytes", "wav-24in32.wav", Bits(16)),
    ("WAV", "PCM 32 bits", "wav-pcm_s32le.wav", Bits(16)),
    ("WAV", "float 32 bits", "wav-pcm_f32le.wav", Bits(16)),
    ("WAV", "float 64 bits", "wav-pcm_f64le.wav", Bits(16)),
    ("WAV", "A-law", "wav-pcm_alaw.wav", Ffmpeg("alaw", 0, 800, 0.0)),
    ("WAV", "µ-law", "wav-pcm_mulaw.wav", Ffmpeg("mulaw", 0, 800, 0.0)),
    ("WAV", "Microsoft ADPCM", "wav-adpcm_ms.wav", Ffmpeg("adpcm_ms", 0, 2036, 0.0)),
    ("WAV", "IMA ADPCM", "wav-adpcm_ima_wav.wav", Ffmpeg("adpcm_ima_wav", 0, 2041, 0.0)),
    ("WAV", "MP3", "wav-libmp3lame.wav", Ffmpeg("mp3", 0, 4608, NEAR)),
    ("WAV", "MP2", "wav-mp2.wav", Ffmpeg("mp2", 0, 3456, NEAR)),
    ("WAV", "AC-3", "wav-ac3.wav", Refused("is AC-3 in WAV")),
    ("WAV", "Windows Media Audio", "wav-wmav2.wav", Refused("is Windows Media Audio in WAV")),
    ("WAV", "GSM 6.10", "wav-libgsm_ms.wav", Refused("is GSM 6.10 in WAV")),
    ("WAV", "G.726 ADPCM", "wav-g726.wav", Refused("is G.726 ADPCM in WAV")),
    ("WAV", "Yamaha ADPCM", "wav-adpcm_yamaha.wav", Refused("is Yamaha ADPCM in WAV")),
    ("RIFX", "PCM 16 bits", "rifx-pcm_s16be.wav", Bits(16)),
    ("RF64, BW64", "PCM 16 bits", "rf64-pcm_s16le.wav", Bits(16)),
    ("W64", "PCM 8 bits", "w64-pcm_u8.w64", Bits(8)),
    ("W64", "PCM 16 bits", "w64-pcm_s16le.w64", Bits(16)),
    ("W64", "PCM 24 bits", "w64-pcm_s24le.w64", Bits(16)),
    ("W64", "float 32 bits", "w64-pcm_f32le.w64", Bits(16)),
    ("W64", "A-law", "w64-pcm_alaw.w64", Ffmpeg("alaw", 0, 800, 0.0)),
    ("AU, SND", "PCM 8 bits", "au-pcm_s8.au", Bits(8)),
    ("AU, SND", "PCM 16 bits", "au-pcm_s16be.au", Bits(16)),
    ("AU, SND", "PCM 16 bits, little-endian", "au-pcm_s16le.au", Bits(16)),
    ("AU, SND", "PCM 24 bits", "au-pcm_s24be.au", Bits(16)),
    ("AU, SND", "PCM 32 bits", "au-pcm_s32be.au", Bits(16)),
    ("AU, SND", "float 32 bits", "au-pcm_f32be.au", Bits(16)),
    ("AU, SND", "float 64 bits", "au-pcm_f64be.au", Bits(16)),
    ("AU, SND", "A-law", "au-pcm_alaw.au", Ffmpeg("alaw", 0, 800, 0.0)),
    ("AU, SND", "µ-law", "au-pcm_mulaw.au", Ffmpeg("mulaw", 0, 800, 0.0)),
    ("AU, SND", "G.722", "au-g722.au", Refused("is G.722 in AU")),
    ("AIFF, AIFF-C", "PCM 8 bits", "aiff-pcm_s8.aiff", Bits(8)),
    ("AIFF, AIFF-C", "PCM 16 bits", "aiff-pcm_s16be.aiff", Bits(16)),
    ("AIFF, AIFF-C", "PCM 16 bits, little-endian", "aiff-pcm_s16le.aiff", Bits(16)),
    ("AIFF, AIFF-C", "PCM 24 bits", "aiff-pcm_s24be.aiff", Bits(16)),
    ("AIFF, AIFF-C", "PCM 32 bits", "aiff-pcm_s32be.aiff", Bits(16)),
    ("AIFF, AIFF-C", "float 32 bits", "aiff-pcm_f32be.aiff", Bits(16)),
    ("AIFF, AIFF-C", "float 64 bits", "aiff-pcm_f64be.aiff", Bits(16)),
    ("AIFF, AIFF-C", "A-law", "aiff-pcm_alaw.aiff", Ffmpeg("alaw", 0, 800, 0.0)),
    ("AIFF, AIFF-C", "µ-law", "aiff-pcm_mulaw.aiff", Ffmpeg("mulaw", 0, 800, 0.0)),
    ("AIFF, AIFF-C", "IMA ADPCM", "aiff-adpcm_ima_qt.aiff", Refused("is IMA ADPCM (QuickTime) in AIFF")),
    ("CAF", "PCM 8 bits", "caf-pcm_s8.caf", Bits(8)),
    ("CAF", "PCM 16 bits", "caf-pcm_s16be.caf", Bits(16)),
    ("CAF", "PCM 16 bits, little-endian", "caf-pcm_s16le.caf", Bits(16)),
    ("CAF", "PCM 24 bits", "caf-pcm_s24be.caf", Bits(16)),
    ("CAF", "PCM 24 bits, little-endian", "caf-pcm_s24le.caf", Bits(16)),
    ("CAF", "PCM 32 bits", "caf-pcm_s32be.caf", Bits(16)),
    ("CAF", "PCM 32 bits, little-endian", "caf-pcm_s32le.caf", Bits(16)),
    ("CAF", "float 32 bits", "caf-pcm_f32be.caf", Bits(16)),
    ("CAF", "float 32 bits, little-endian", "caf-pcm_f32le.caf", Bits(16)),
    ("CAF", "float 64 bits", "caf-pcm_f64be.caf", Bits(16)),
    ("CAF", "float 64 bits, little-endian", "caf-pcm_f64le.caf", Bits(16)),
    ("CAF", "A-law", "caf-pcm_alaw.caf", Ffmpeg("alaw", 0, 800, 0.0)),
    ("CAF", "µ-law", "caf-pcm_mulaw.caf", Ffmpeg("mulaw", 0, 800, 0.0)),
    ("CAF", "ALAC", "caf-alac.caf", Bits(16)),
    ("CAF", "AAC", "caf-aac.caf", Ffmpeg("aac", 1024, 3200, NEAR)),
    ("CAF", "MP3", "caf-libmp3lame.caf", Ffmpeg("mp3", 0, 4608, NEAR)),
    ("CAF", "MP3 in packets of one size", "caf-mp3-equal.caf", Ffmpeg("mp3", 0, 4608, NEAR)),
    ("CAF", "Opus", "caf-libopus.caf", Ffmpeg("opus", 0, 10560, OPUS)),
    ("CAF", "AC-3", "caf-ac3.caf", Refused("is AC-3 in CAF")),
    ("QuickTime (MOV)", "PCM 8 bits", "mov-pcm_s8.mov", Bits(8)),
    ("QuickTime (MOV)", "PCM 8 bits, unsigned", "mov-pcm_u8.mov", Bits(8)),
    ("QuickTime (MOV)", "PCM 16 bits", "mov-pcm_s16be.mov", Bits(16)),
    ("QuickTime (MOV)", "PCM 16 bits, without `ftyp`", "mov-without-ftyp.mov", Bits(16)),
    ("QuickTime (MOV)", "PCM 16 bits, little-endian", "mov-pcm_s16le.mov", Bits(16)),
    ("QuickTime (MOV)", "PCM 24 bits", "mov-pcm_s24be.mov", Bits(16)),
    ("QuickTime (MOV)", "PCM 24 bits, little-endian", "mov-pcm_s24le.mov", Bits(16)),
    ("QuickTime (MOV)", "PCM 32 bits", "mov-pcm_s32be.mov", Bits(16)),
    ("QuickTime (MOV)", "PCM 32 bits, little-endian", "mov-pcm_s32le.mov", Bits(16)),
    ("QuickTime (MOV)", "float 32 bits", "mov-pcm_f32be.mov", Bits(16)),
    ("QuickTime (MOV)", "float 32 bits, little-endian", "mov-pcm_f32le.mov", Bits(16)),
    ("QuickTime (MOV)", "float 64 bits", "mov-pcm_f64be.mov", Bits(16)),
    ("QuickTime (MOV)", "float 64 bits, little-endian", "mov-pcm_f64le.mov", Bits(16)),
    ("QuickTime (MOV)", "A-law", "mov-pcm_alaw.mov", Ffmpeg("alaw", 0, 800, 0.0)),
    ("QuickTime (MOV)", "µ-law", "mov-pcm_mulaw.mov", Ffmpeg("mulaw", 0, 800, 0.0)),
    ("QuickTime (MOV)", "ALAC", "mov-alac.mov", Bits(16)),
    ("QuickTime (MOV)", "AAC", "mov-aac.mov", Ffmpeg("aac", 1024, 3200, NEAR)),
    ("QuickTime (MOV)", "MP3", "mov-libmp3lame.mov", Ffmpeg("mp3", 1105, 3200, NEAR)),
    ("QuickTime (MOV)", "AC-3", "mov-ac3.mov", Refused("is AC-3 in QuickTime")),
    ("QuickTime (MOV)", "IMA ADPCM", "mov-adpcm_ima_qt.mov", Refused("is IMA ADPCM (QuickTime) in QuickTime")),
    ("MP4, M4A, 3GP", "AAC", "mp4-aac.m4a", Ffmpeg("aac", 1024, 3200, NEAR)),
    ("MP4, M4A, 3GP", "AAC, index in front", "mp4-faststart.m4a", Ffmpeg("aac", 1024, 3200, NEAR)),
    ("MP4, M4A, 3GP", "AAC in fragments", "fragments-aac.mp4", Ffmpeg("aac", 0, 5120, NEAR)),
    ("MP4, M4A, 3GP", "ALAC", "mp4-alac.m4a", Bits(16)),
    ("MP4, M4A, 3GP", "FLAC", "mp4-flac.mp4", Bits(16)),
    ("MP4, M4A, 3GP", "MP3", "mp4-libmp3lame.mp4", Ffmpeg("mp3", 1105, 3200, NEAR)),
    ("MP4, M4A, 3GP", "MP2", "mp4-mp2.mp4", Ffmpeg("mp2", 481, 2975, NEAR)),
    ("MP4, M4A, 3GP", "Opus", "mp4-libopus.mp4", Ffmpeg("opus", 312, 9600, OPUS)),
    ("MP4, M4A, 3GP", "Opus in fragments", "fragments-libopus.mp4", Ffmpeg("opus", 312, 10248, OPUS)),
    ("MP4, M4A, 3GP", "HE-AAC", "mp4-he-aac.m4a", Refused("is HE-AAC in MP4")),
    ("MP4, M4A, 3GP", "AMR", "mp4-amr.3gp", Refused("is AMR in MP4")),
    ("MP4, M4A, 3GP", "AC-3", "mp4-ac3.mp4", Refused("is AC-3 in MP4")),
    ("MP4, M4A, 3GP", "Vorbis", "mp4-libvorbis.mp4", Refused("is Vorbis in MP4")),
    ("WebM", "Opus", "webm-libopus.webm", Ffmpeg("opus", 312, 9600, OPUS)),
    ("WebM", "Opus, live", "webm-live-libopus.webm", Ffmpeg("opus", 312, 9600, OPUS)),
    ("WebM", "Vorbis", "webm-libvorbis.webm", Ffmpeg("vorbis", 0, 3328, NEAR)),
    ("WebM", "Vorbis, live", "webm-live-libvorbis.webm", Ffmpeg("vorbis", 0, 3328, NEAR)),
    ("Matroska (MKV, MKA)", "PCM 8 bits", "mkv-pcm_u8.mka", Bits(8)),
    ("Matroska (MKV, MKA)", "PCM 16 bits", "mkv-pcm_s16le.mka", Bits(16)),
    ("Matroska (MKV, MKA)", "PCM 16 bits, big-endian", "mkv-pcm_s16be.mka", Bits(16)),
    ("Matroska (MKV, MKA)", "PCM 24 bits", "mkv-pcm_s24le.mka", Bits(16)),
    ("Matroska (MKV, MKA)", "PCM 32 bits", "mkv-pcm_s32le.mka", Bits(16)),
    ("Matroska (MKV, MKA)", "float 32 bits", "mkv-pcm_f32le.mka", Bits(16)),
    ("Matroska (MKV, MKA)", "float 64 bits", "mkv-pcm_f64le.mka", Bits(16)),
    ("Matroska (MKV, MKA)", "A-law", "mkv-pcm_alaw.mka", Ffmpeg("alaw", 0, 800, 0.0)),
    ("Matroska (MKV, MKA)", "µ-law", "mkv-pcm_mulaw.mka", Ffmpeg("mulaw", 0, 800, 0.0)),
    ("Matroska (MKV, MKA)", "Microsoft ADPCM", "mkv-adpcm_ms.mka", Ffmpeg("adpcm_ms", 0, 2036, 0.0)),
    ("Matroska (MKV, MKA)", "FLAC", "mkv-flac.mka", Bits(16)),
    ("Matroska (MKV, MKA)", "ALAC", "mkv-alac.mka", Bits(16)),
    ("Matroska (MKV, MKA)", "AAC", "mkv-aac.mka", Ffmpeg("aac", 0, 5120, NEAR)),
    ("Matroska (MKV, MKA)", "MP3", "mkv-libmp3lame.mka", Ffmpeg("mp3", 0, 4305, NEAR)),
    ("Matroska (MKV, MKA)", "MP2", "mkv-mp2.mka", Ffmpeg("mp2", 0, 3456, NEAR)),
    ("Matroska (MKV, MKA)", "Vorbis", "mkv-libvorbis.mka", Ffmpeg("vorbis", 0, 3328, NEAR)),
    ("Matroska (MKV, MKA)", "Opus", "mkv-libopus.mka", Ffmpeg("opus", 312, 9600, OPUS)),
    ("Matroska (MKV, MKA)", "AC-3", "mkv-ac3.mka", Refused("is AC-3 in Matroska")),
    ("Matroska (MKV, MKA)", "TTA", "mkv-tta.mka", Refused("is TTA in Matroska")),
    ("Matroska (MKV, MKA)", "WavPack", "mkv-wavpack.mka", Refused("is WavPack in Matroska")),
    ("Ogg", "Opus", "ogg-libopus.ogg", Ffmpeg("opus", 312, 9600, OPUS)),
    ("Ogg", "Opus in short pages", "ogg-libopus-pages.ogg", Ffmpeg("opus", 312, 9600, OPUS)),
    ("Ogg", "Vorbis", "ogg-libvorbis.ogg", Ffmpeg("vorbis", 0, 3200, NEAR)),
    ("Ogg", "FLAC", "ogg-flac.ogg", Bits(16)),
    ("Ogg", "Speex", "ogg-libspeex.ogg", Refused("is Speex in Ogg")),
    ("bare", "FLAC", "flac.flac", Bits(16)),
    ("bare", "MP3", "mp3.mp3", Ffmpeg("mp3", 1105, 3200, NEAR)),
    ("bare", "MP3 without a header", "mp3-bare.mp3", Ffmpeg("mp3", 0, 4608, NEAR)),
    ("bare", "MP2", "mp2.mp2", Ffmpeg("mp2", 0, 3456, NEAR)),
    ("bare", "AAC (ADTS)", "aac.aac", Ffmpeg("aac", 0, 5120, NEAR)),
    ("bare", "AAC in LATM", "aac.latm", Refused("is AAC in LATM/LOAS")),
    ("bare", "AMR", "amr.amr", Refused("is AMR,")),
    ("bare", "AMR-WB", "amr-wb.awb", Refused("is AMR-WB,")),
    ("bare", "AC-3", "ac3.ac3", Refused("is AC-3 or E-AC-3")),
    ("bare", "E-AC-3", "eac3.eac3", Refused("is AC-3 or E-AC-3")),
    ("bare", "DTS", "dts.dts", Refused("is DTS")),
    ("bare", "WavPack", "wavpack.wv", Refused("is WavPack")),
    ("bare", "TTA", "tta.tta", Refused("is TTA")),
    ("MPEG-TS", "any", "aac.ts", Refused("is MPEG-TS")),
    ("AVI", "any", "avi.avi", Refused("is AVI")),
    ("Flash Video", "any", "flv.flv", Refused("is Flash Video")),
    ("ASF (WMA)", "any", "asf.wma", Refused("is WMA or another file in Microsoft's ASF")),
    ("RealMedia", "any", "real.rm", Refused("is RealAudio or RealVideo")),
    ("VOC", "any", "voc.voc", Refused("is VOC")),
];

fn data(name: &str) -> PathBuf {
    root().join("tests/data/formats").join(name)
}

/// Returns the samples of a short file: the sound from 0.4 s on in 16 bits, cut to the upper `bits`.
fn known(bits: u32) -> Vec<f32> {
    let samples = sound(8000);
    let unit = f64::from(1 << (16 - bits));
    samples[3200..4000].iter().map(|x| (((x * 32768.0).round() / unit).floor() * unit / 32768.0) as f32).collect()
}

/// A 32-bit float `.npy` file of one dimension.
fn reference(name: &str) -> Vec<f32> {
    let bytes = fs::read(data(&format!("{name}.npy"))).unwrap();
    let begin = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    bytes[begin..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

fn by_name(name: &str) -> ualm::Result<Decoded> {
    decode_file(data(name), &DecodeOptions::default())
}

fn by_pipe(name: &str) -> ualm::Result<Decoded> {
    let path = data(name);
    decode_reader(fs::File::open(&path).unwrap(), &path.display().to_string(), &DecodeOptions::default())
}

fn largest(found: &[f32], expected: &[f32]) -> f32 {
    found.iter().zip(expected).fold(0.0, |max, (a, b)| max.max((a - b).abs()))
}

#[test]
fn every_container_and_codec_is_right_or_refused_by_name() {
    let mut wrong = Vec::new();
    for (container, codec, file, expected) in FILES {
        let (expected, within) = match expected {
            Bits(bits) => (known(*bits), 0.0),
            Ffmpeg(name, skip, len, within) => (reference(name)[*skip..skip + len].to_vec(), *within),
            Refused(words) => {
                let error = by_name(file).expect_err(file);
                assert_eq!(error.kind(), ErrorKind::Audio, "{file}: {error}");
                assert!(error.message().contains(words), "{file}: {error}");
                assert!(error.message().contains("ffmpeg -i"), "{file}: {error}");
                assert_eq!(error.message(), by_pipe(file).unwrap_err().message());
                continue;
            }
        };
        let decoded = by_name(file).unwrap_or_else(|error| panic!("{error}"));
        let distance = largest(decoded.waveform.samples(), &expected);
        println!("{container}, {codec}: {} samples, {distance:.1e}, {:?}", decoded.waveform.len(), decoded.source);
        if decoded.waveform.len() != expected.len() || distance > within || !decoded.warnings.is_empty() {
            wrong.push(format!(
                "{file}: {} samples of {}, {distance:e} of {within:e}, {:?}",
                decoded.waveform.len(),
                expected.len(),
                decoded.warnings
            ));
        }
        let piped = by_pipe(file).unwrap();
        assert_eq!((piped.waveform, piped.warnings), (decoded.waveform, decoded.warnings), "{file}: by a pipe");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn pieces_of_an_edit_list_are_played_and_nothing_else() {
    let decoded = by_name("mp4-two-pieces.m4a").unwrap();
    let whole = reference("aac");
    let pieces = [&whole[1024 + 800..][..800], &whole[1024 + 2400..][..800]].concat();
    assert_eq!(decoded.waveform.len(), 1600);
    assert!(largest(decoded.waveform.samples(), &pieces) < NEAR);
    assert_eq!(decoded.warnings, [""; 0]);
}

#[test]
fn samples_in_the_lower_bits_of_four_bytes_are_found_there() {
    let decoded = by_name("wav-24in32-low.wav").unwrap();
    assert_eq!(decoded.waveform.len(), 800);
    assert!(largest(decoded.waveform.samples(), &known(16)) < 2e-7);
}

#[test]
fn the_rest_of_any_cut_file_is_used_with_a_warning() {
    let mut used = 0;
    for (_, _, file, expected) in FILES.iter().filter(|(_, _, _, expected)| !matches!(expected, Refused(_))) {
        let bytes = fs::read(data(file)).unwrap();
        let whole = by_name(file).unwrap().waveform;
        // A cut between two frames of a bare stream cannot be detected.
        for hundredths in [31, 46, 61, 77, 91] {
            let cut = &bytes[..bytes.len() * hundredths / 100];
            let decoded = match decode_reader(cut, "cut", &DecodeOptions::default()) {
                Ok(decoded) => decoded,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Audio, "{file}: {error}");
                    continue;
                }
            };
            used += 1;
            let found = decoded.waveform.samples();
            assert!(found.len() <= whole.len(), "{file}: {} of {}", found.len(), whole.len());
            let same = found.len().saturating_sub(1152);
            let within = if matches!(expected, Bits(_)) { 0.0 } else { 1e-3 };
            assert!(largest(&found[..same], whole.samples()) <= within, "{file} at {hundredths}");
            if (whole.len() - found.len()) as f64 / f64::from(whole.sample_rate()) > 0.005 {
                assert!(!decoded.warnings.is_empty(), "{file} at {hundredths}: {} of {}", found.len(), whole.len());
            }
        }
    }
    println!("{used} cut files gave sound");
    assert!(used > 250, "{used}");
}

/// The table of docs/audio.md: the codecs of a container that have the same result are in one row.
fn table() -> String {
    let mut rows: Vec<(&str, String, Vec<&str>)> = Vec::new();
    for (container, codec, file, expected) in FILES {
        let result = match expected {
            Bits(_) | Ffmpeg(_, _, _, 0.0) => "read, every sample exact".to_owned(),
            Ffmpeg("opus", _, _, within) => format!("read, within {within:e} of libopus"),
            Ffmpeg(_, _, _, within) => format!("read, within {within:e} of ffmpeg"),
            Refused(_) => {
                let error = by_name(file).unwrap_err();
                let words = error.message().rsplit(": ").next().unwrap_or_default().to_owned();
                format!("refused: “{words}”")
            }
        };
        match rows.iter_mut().find(|(name, same, _)| name == container && *same == result) {
            Some((_, _, codecs)) => codecs.push(codec),
            None => rows.push((container, result, vec![codec])),
        }
    }
    let mut text = "| container | codec | result |\n|---|---|---|\n".to_owned();
    for (container, result, codecs) in rows {
        text += &format!("| {container} | {} | {result} |\n", codecs.join("; "));
    }
    text
}

#[test]
fn the_table_in_the_documentation_is_this_one() {
    const BEGIN: &str = "<!-- made by tests/library/formats.rs -->\n";
    let path = root().join("docs/audio.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the mark before the table");
    let (_, after) = rest.split_once("\n\n").expect("text behind the table");
    let made = format!("{before}{BEGIN}{}\n{after}", table());
    if std::env::var_os("UALM_WRITE_TABLE").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let is_same = fs::read_to_string(&path).unwrap() == made;
    assert!(is_same, "docs/audio.md has another table: UALM_WRITE_TABLE=1 cargo test -p ualm --test library formats");
}

#[test]
fn every_file_of_the_folder_is_tried() {
    let mut named: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, _, file, _) in FILES {
        *named.entry(file).or_default() += 1;
    }
    assert!(named.values().all(|count| *count == 1));
    for entry in fs::read_dir(data("")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let special = ["mp4-two-pieces.m4a", "wav-24in32-low.wav"];
        assert!(name.ends_with(".npy") || special.contains(&&*name) || named.contains_key(&*name), "{name}");
    }
}
