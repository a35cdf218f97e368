//! The audio front end from outside: real files in, log-mel features and WAV files out.
//!
//! The files in tests/data/audio are made by tests/tools/audio_fixtures.py; each holds the same second of sound.

use std::collections::BTreeMap;
use std::f64::consts::{PI, TAU};
use std::fs;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex};

use ndarray::Array2;
use ualm::ErrorKind;
use ualm::audio::{
    DecodeOptions, Decoded, LogMel, LogMelConfig, WavFormat, Waveform, decode_file, decode_reader, normalize,
    write_wav, write_wav_to,
};
use ualm_testing::root;

const WHISPER: LogMelConfig = LogMelConfig { sample_rate: 16000, n_fft: 400, hop_length: 160, num_mel_bins: 128 };

fn at_16k() -> DecodeOptions {
    DecodeOptions::default().sample_rate(16000).max_seconds(600.0)
}

fn data(name: &str) -> PathBuf {
    root().join("tests/data/audio").join(name)
}

/// A generator with 32 bits of state, which returns the high 16.
struct Generator(u32);

impl Generator {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(self.0 >> 16)
    }
}

/// The sound of all files, at `rate`: a gliding harmonic tone over a bed of steady ones, all below 3.7 kHz.
pub(crate) fn sound(rate: u32) -> Vec<f64> {
    static MADE: Mutex<BTreeMap<u32, Vec<f64>>> = Mutex::new(BTreeMap::new());
    MADE.lock().unwrap().entry(rate).or_insert_with(|| make_sound(rate)).clone()
}

fn make_sound(rate: u32) -> Vec<f64> {
    let mut draw = Generator(1);
    let bed: Vec<(f64, f64)> = (0..120).map(|i| (60.0 + 30.0 * f64::from(i), draw.next() / 65536.0)).collect();
    let at = |t: f64| {
        let glide = |k: f64| (TAU * k * (220.0 * t + 100.0 * t * t)).sin() / k;
        let tones: f64 = (1..7).map(|k| glide(f64::from(k))).sum::<f64>() * 0.12 * (PI * t).sin().powi(2);
        tones + bed.iter().map(|(hertz, turn)| 0.008 * (TAU * (hertz * t + turn)).sin()).sum::<f64>()
    };
    (0..rate).map(|n| at(f64::from(n) / f64::from(rate))).collect()
}

fn features(samples: &[f32]) -> Array2<f32> {
    LogMel::new(WHISPER).unwrap().compute(&normalize(samples)).unwrap()
}

fn expected_features() -> &'static Array2<f32> {
    static MADE: LazyLock<Array2<f32>> =
        LazyLock::new(|| features(&sound(16000).iter().map(|&x| x as f32).collect::<Vec<f32>>()));
    &MADE
}

/// Largest and mean distance between a recording's features and those of the sound itself, in the bands below 3.6 kHz and
/// away from the ends (where coders and filters see the sound begin).
fn distance(decoded: &Decoded) -> (f32, f32) {
    let found = features(decoded.waveform.samples());
    let expected = expected_features();
    let frames = found.ncols().min(expected.ncols());
    assert!(frames >= 98, "{frames} frames");
    let part = ndarray::s![..90, 5..frames - 5];
    let differences = (&found.slice(part) - &expected.slice(part)).mapv(f32::abs);
    (differences.iter().fold(0.0, |a, &b| a.max(b)), differences.mean().unwrap())
}

/// A WAV file of `sound`, as `bits` bits of integer or (0) 32-bit float, written by hand.
fn wav_bytes(rate: u32, channels: u16, bits: u16) -> Vec<u8> {
    let gains: &[f64] = if channels == 1 { &[1.0] } else { &[1.2, 0.8] };
    let mut data = Vec::new();
    for x in sound(rate) {
        for gain in gains {
            let x = x * gain;
            match bits {
                0 => data.extend((x as f32).to_le_bytes()),
                8 => data.push((x * 128.0).round() as i8 as u8 ^ 0x80),
                _ => {
                    let value = (x * f64::from(1_u32 << (bits - 1))).round() as i32;
                    data.extend(&value.to_le_bytes()[..usize::from(bits / 8)]);
                }
            }
        }
    }
    wav_file(rate, channels, if bits == 0 { 3 } else { 1 }, if bits == 0 { 32 } else { bits }, &data)
}

pub(crate) fn wav_file(rate: u32, channels: u16, tag: u16, bits: u16, data: &[u8]) -> Vec<u8> {
    let block = channels * (bits / 8);
    let mut file = b"RIFF".to_vec();
    file.extend((36 + data.len() as u32).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0");
    file.extend(tag.to_le_bytes());
    file.extend(channels.to_le_bytes());
    file.extend(rate.to_le_bytes());
    file.extend((rate * u32::from(block)).to_le_bytes());
    file.extend(block.to_le_bytes());
    file.extend(bits.to_le_bytes());
    file.extend(b"data");
    file.extend((data.len() as u32).to_le_bytes());
    file.extend(data);
    file
}

fn decode_bytes(bytes: Vec<u8>) -> ualm::Result<Decoded> {
    decode_reader(Cursor::new(bytes), "bytes", &at_16k())
}

/// A 32-bit float `.npy` file of two dimensions.
fn read_npy(path: &Path) -> Array2<f32> {
    let bytes = fs::read(path).unwrap();
    let header_len = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..10 + header_len]).unwrap();
    assert!(header.contains("'<f4'") && header.contains("'fortran_order': False"), "{header}");
    let shape = header.split(['(', ')']).nth(1).unwrap();
    let shape: Vec<usize> = shape.split(',').filter_map(|n| n.trim().parse().ok()).collect();
    let values = bytes[10 + header_len..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
    Array2::from_shape_vec((shape[0], shape[1]), values.collect()).unwrap()
}

#[test]
fn log_mel_is_that_of_the_reference() {
    let mut draw = Generator(2);
    let samples: Vec<f32> = (0..8123)
        .map(|n| (draw.next() - 32768.0) / 65536.0 / if n < 4000 { 1.0 } else { 1024.0 })
        .map(|x| x as f32)
        .collect();
    let expected = read_npy(&data("log_mel.npy"));
    let found = LogMel::new(WHISPER).unwrap().compute(&samples).unwrap();
    assert_eq!(found.dim(), expected.dim());
    let worst = (&found - &expected).iter().fold(0.0_f32, |a, b| a.max(b.abs()));
    println!("log-mel: {worst:.1e} of the reference");
    assert!(worst < 1e-6, "{worst}");
}

#[test]
fn log_mel_is_the_same_on_any_number_of_threads() {
    let one = LogMel::new(WHISPER).unwrap();
    for len in [400, 160 * 256 + 1, 160 * 1000] {
        let samples: Vec<f32> = (0..len).map(|n| (n as f32 * n as f32 * 1e-4).sin()).collect();
        for threads in [0, 2, 3] {
            let several = LogMel::new(WHISPER).unwrap().with_threads(threads);
            assert_eq!(several.compute(&samples).unwrap(), one.compute(&samples).unwrap(), "{len}, {threads}");
        }
    }
}

#[test]
fn log_mel_needs_half_a_window() {
    let log_mel = LogMel::new(WHISPER).unwrap();
    assert_eq!(log_mel.min_samples(), 201);
    assert_eq!(log_mel.compute(&[0.5; 201]).unwrap().dim(), (128, 1));
    let error = log_mel.compute(&[0.5; 200]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Audio);
    assert!(error.message().contains("too short"), "{error}");
    assert_eq!(log_mel.compute(&[f32::NAN; 400]).unwrap_err().kind(), ErrorKind::Audio);
    // Silence is silence: log10 of the floor, which is also the maximum.
    assert!(log_mel.compute(&[0.0; 1600]).unwrap().iter().all(|&x| x == (-10.0 + 4.0) / 4.0));
    for config in [
        LogMelConfig { n_fft: 0, ..WHISPER },
        LogMelConfig { hop_length: 0, ..WHISPER },
        LogMelConfig { n_fft: 401, ..WHISPER },
    ] {
        assert_eq!(LogMel::new(config).err().unwrap().kind(), ErrorKind::Invalid);
    }
}

#[test]
fn normalized_sound_has_zero_mean_and_unit_variance() {
    let samples: Vec<f32> = sound(16000).iter().map(|&x| (x * 0.01 + 0.2) as f32).collect();
    let normalized = normalize(&samples);
    let mean = normalized.iter().map(|&x| f64::from(x)).sum::<f64>() / 16000.0;
    let variance = normalized.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / 16000.0;
    let before = samples.iter().map(|&x| (f64::from(x) - 0.2).powi(2)).sum::<f64>() / 16000.0;
    assert!(mean.abs() < 1e-6, "{mean}");
    assert!((variance - before / (before + 1e-7)).abs() < 1e-4, "{variance}");
    assert_eq!(normalize(&[0.0; 5]), [0.0; 5]);
    assert!(normalize(&[]).is_empty());
}

#[test]
fn every_wav_gives_the_same_features() {
    // Largest distance allowed for each depth: 8 bits are noise at −48 dB, the rest is exact to the ear.
    for (bits, largest) in [(8, 0.5), (16, 4e-3), (24, 1e-4), (32, 1e-4), (0, 1e-4)] {
        for channels in [1, 2] {
            for rate in [8000, 11025, 16000, 44100, 48000, 96000] {
                let decoded = decode_bytes(wav_bytes(rate, channels, bits)).unwrap();
                assert_eq!(decoded.warnings, [""; 0]);
                assert_eq!(decoded.waveform.len(), 16000);
                assert_eq!((decoded.source.sample_rate, decoded.source.channels), (rate, usize::from(channels)));
                let (worst, mean) = distance(&decoded);
                println!("{bits:2} bits, {channels} channels, {rate:5} Hz: worst {worst:.1e}, mean {mean:.1e}");
                assert!(worst < largest, "{bits} bits, {channels} channels, {rate} Hz: {worst}");
            }
        }
    }
}

#[test]
fn every_format_gives_the_same_features() {
    for (name, largest, mean_limit) in [
        ("mono-16k.flac", 4e-3, 1e-4),
        ("stereo-11k.flac", 4e-3, 1e-4),
        ("alac-16k.m4a", 4e-3, 1e-4),
        ("mono-8k.aiff", 4e-3, 1e-4),
        ("mono-8k.caf", 4e-3, 1e-4),
        ("mono-16k.mka", 4e-3, 1e-4),
        // Coders drop what the ear does not miss: single cells may be far off, the picture as a whole is not.
        ("mono-44k.mp3", 0.5, 0.01),
        ("stereo-48k.mp3", 0.5, 0.01),
        ("mono-16k.mp3", 0.5, 0.01),
        ("mono-16k-opus.ogg", 1.0, 0.1),
        ("mono-16k.ogg", 0.5, 0.03),
        ("stereo-44k.ogg", 0.5, 0.03),
        ("mono-44k.m4a", 0.5, 0.01),
        ("stereo-48k.m4a", 0.5, 0.01),
    ] {
        let decoded = decode_file(data(name), &at_16k()).unwrap();
        let piped = decode_reader(fs::File::open(data(name)).unwrap(), name, &at_16k()).unwrap();
        assert_eq!(decoded.warnings, [""; 0], "{name}");
        assert_eq!(decoded.waveform, piped.waveform, "{name}: a pipe and a file must sound alike");
        let (worst, mean) = distance(&decoded);
        println!(
            "{name}: {} samples, worst {worst:.1e}, mean {mean:.1e}, {:?}",
            decoded.waveform.len(),
            decoded.source
        );
        assert!(worst < largest && mean < mean_limit, "{name}: worst {worst}, mean {mean}");
    }
}

#[test]
fn lengths_are_exact_where_the_format_tells_them() {
    for name in ["mono-16k.flac", "mono-44k.mp3", "stereo-44k.ogg", "mono-44k.m4a", "alac-16k.m4a"] {
        let decoded = decode_file(data(name), &at_16k()).unwrap();
        assert_eq!(decoded.waveform.len(), 16000, "{name}");
    }
    let own_rate = decode_file(data("mono-44k.mp3"), &DecodeOptions::default()).unwrap();
    assert_eq!((own_rate.waveform.sample_rate(), own_rate.waveform.len()), (44100, 44100));
}

#[test]
fn the_rest_of_a_cut_recording_is_used_with_a_warning() {
    for name in ["mono-16k.flac", "mono-44k.mp3", "mono-44k.m4a"] {
        let bytes = fs::read(data(name)).unwrap();
        let cut = bytes[..bytes.len() * 6 / 10].to_vec();
        match decode_bytes(cut.clone()) {
            Ok(decoded) => {
                println!("{name}: {:.2} s, {:?}", decoded.waveform.seconds(), decoded.warnings);
                assert!((0.2..0.9).contains(&decoded.waveform.seconds()), "{name}");
                assert!(decoded.warnings.iter().any(|w| w.contains("cut short")), "{name}: {:?}", decoded.warnings);
            }
            // ffmpeg puts the index of an M4A at its end; without the index no sound can be found.
            Err(error) => assert!(name.ends_with("m4a") && error.kind() == ErrorKind::Audio, "{name}: {error}"),
        }
    }
    // An MP3 without the frame that states its length: only a frame that is cut in two shows the damage.
    let bytes = fs::read(data("mono-16k.mp3")).unwrap();
    let is_frame = |at: usize| bytes[at] == 0xff && bytes[at + 1] & 0xe0 == 0xe0;
    // At 64 kb/s and 16 kHz a frame has 288 bytes. The first frame is the header.
    let second = 288 + (0..).find(|&at| is_frame(at) && is_frame(at + 288) && is_frame(at + 576)).unwrap();
    let decoded = decode_bytes(bytes[second..].to_vec()).unwrap();
    assert_eq!(decoded.warnings, [""; 0]);
    let decoded = decode_bytes(bytes[second..second + 5000].to_vec()).unwrap();
    assert!(decoded.warnings[0].contains("in the middle of the sound"), "{:?}", decoded.warnings);

    let wav = wav_bytes(16000, 1, 16);
    let decoded = decode_bytes(wav[..wav.len() / 2 + 1].to_vec()).unwrap();
    assert!((decoded.waveform.seconds() - 0.5).abs() < 0.01);
    assert!(decoded.warnings[0].contains("cut short"), "{:?}", decoded.warnings);
}

#[test]
fn a_pipe_of_unknown_length_just_ends() {
    for size in [u32::MAX, 0x7fff_ffff] {
        let mut wav = wav_bytes(16000, 1, 16);
        wav[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        wav[40..44].copy_from_slice(&size.to_le_bytes());
        let decoded = decode_bytes(wav).unwrap();
        assert_eq!((decoded.waveform.len(), decoded.warnings.len()), (16000, 0), "{:?}", decoded.warnings);
    }
}

#[test]
fn damage_in_the_middle_is_passed_over() {
    for name in ["mono-16k.flac", "mono-44k.mp3"] {
        let mut bytes = fs::read(data(name)).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle..middle + 600].fill(0x55);
        let decoded = decode_bytes(bytes).unwrap();
        println!("{name}: {:.2} s, {:?}", decoded.waveform.seconds(), decoded.warnings);
        assert!(decoded.waveform.seconds() > 0.3, "{name}");
        assert!(!decoded.warnings.is_empty(), "{name}");
    }
}

#[test]
fn bad_files_are_named_with_their_defect() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let mut no_rate = wav_file(16000, 1, 1, 16, &[0; 64]);
    no_rate[24..28].fill(0);
    let random: Vec<u8> = {
        let mut draw = Generator(7);
        (0..20_000).map(|_| draw.next() as u8).collect()
    };
    for (path, kind, words) in [
        (folder.path().join("none.wav"), ErrorKind::Io, "no such file"),
        (folder.path().to_owned(), ErrorKind::Io, "is a folder"),
        (file("empty.wav", b""), ErrorKind::Audio, "is empty"),
        (file("text.wav", "Dear reader, this is no sound.\nGrüße\n".as_bytes()), ErrorKind::Audio, "text, not audio"),
        (file("random.mp3", &random), ErrorKind::Audio, ""),
        (file("zero.wav", &wav_file(16000, 0, 1, 16, &[0; 64])), ErrorKind::Audio, "0 channels"),
        (file("rate.wav", &no_rate), ErrorKind::Audio, "0 Hz"),
        (file("nothing.wav", &wav_file(16000, 1, 1, 16, &[])), ErrorKind::Audio, "no sound"),
    ] {
        let error = decode_file(&path, &at_16k()).unwrap_err();
        println!("{error}");
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().starts_with(&path.display().to_string()), "{error}");
        assert!(error.message().contains(words), "{error}");
    }
}

#[test]
fn samples_that_are_not_finite_are_counted() {
    let mut samples = vec![0.25_f32; 16000];
    samples[4000] = f32::NAN;
    samples[9000] = f32::INFINITY;
    let data: Vec<u8> = samples.iter().flat_map(|x| x.to_le_bytes()).collect();
    let error = decode_bytes(wav_file(16000, 1, 3, 32, &data)).unwrap_err();
    println!("{error}");
    assert_eq!(error.kind(), ErrorKind::Audio);
    for words in ["2 of 16000", "sample 4000", "0.250 s"] {
        assert!(error.message().contains(words), "{error}");
    }
}

/// A reader of a WAV file of two hours, made on the fly, which counts the bytes that were read.
struct Endless<'a> {
    header: Cursor<Vec<u8>>,
    taken: &'a mut u64,
}

impl Read for Endless<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.header.read(buffer)?;
        *self.taken += buffer.len() as u64;
        if read > 0 {
            return Ok(read);
        }
        buffer.fill(1);
        Ok(buffer.len())
    }
}

#[test]
fn two_hours_are_refused_without_being_read() {
    let limit = at_16k().max_seconds(30.0);
    // A pipe of unknown length is refused as soon as 30 s were read.
    let mut header = wav_file(16000, 1, 1, 16, &[]);
    header[4..8].fill(0xff);
    header[40..44].fill(0xff);
    let mut taken = 0;
    let error = decode_reader(Endless { header: Cursor::new(header), taken: &mut taken }, "-", &limit).unwrap_err();
    println!("{error}");
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert!(taken < 2_000_000, "{taken} bytes were read");

    // A file whose header states the length is refused at once (the file has a hole instead of two hours of samples).
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.wav");
    let mut header = wav_file(16000, 1, 1, 16, &[]);
    let bytes = 2 * 3600 * 32000_u32;
    header[4..8].copy_from_slice(&(bytes + 36).to_le_bytes());
    header[40..44].copy_from_slice(&bytes.to_le_bytes());
    fs::write(&path, &header).unwrap();
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(u64::from(bytes) + 44).unwrap();
    let begun = std::time::Instant::now();
    let error = decode_file(&path, &limit).unwrap_err();
    println!("{error} ({:?})", begun.elapsed());
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert!(error.message().contains("7200.0 s"), "{error}");

    // A header states too much: the half second in the file is used.
    let mut lie = wav_bytes(16000, 1, 16);
    lie.truncate(16044);
    lie[4..8].copy_from_slice(&(bytes + 36).to_le_bytes());
    lie[40..44].copy_from_slice(&bytes.to_le_bytes());
    fs::write(&path, &lie).unwrap();
    let decoded = decode_file(&path, &limit).unwrap();
    assert_eq!(decoded.waveform.len(), 8000);
    assert!(decoded.warnings[0].contains("cut short"), "{:?}", decoded.warnings);
}

#[test]
fn damaged_files_give_a_result_or_an_error() {
    let mut draw = Generator(99);
    for entry in fs::read_dir(data("")).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        for _ in 0..12 {
            let mut damaged = bytes.clone();
            for _ in 0..8 {
                let position = draw.next() * 65536.0 + draw.next();
                let value = draw.next();
                // The beginning, with the headers, is hit as often as the rest of the file.
                let range = if value as u32 & 0x100 == 0 { bytes.len() } else { bytes.len().min(300) };
                damaged[position as usize % range] = value as u8;
            }
            // Any result passes that is no panic; a decoder's panic is an error (see `decode` in src/audio/decode).
            let _ = decode_bytes(damaged);
        }
    }
}

#[test]
fn written_wav_files_are_read_back_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.wav");
    let left: Vec<f32> = sound(16000).iter().map(|&x| x as f32).collect();
    let right: Vec<f32> = left.iter().rev().copied().collect();
    let stereo = Waveform::new(vec![left, right], 48000).unwrap();

    assert_eq!(write_wav(&path, &stereo, WavFormat::Float32).unwrap(), 0);
    let back = decode_file(&path, &DecodeOptions::default()).unwrap();
    assert_eq!(back.waveform, stereo.to_mono());
    assert_eq!(back.source.channels, 2);

    assert_eq!(write_wav(&path, &stereo, WavFormat::Pcm16).unwrap(), 0);
    let back = decode_file(&path, &DecodeOptions::default()).unwrap();
    let worst =
        back.waveform.samples().iter().zip(stereo.to_mono().samples()).fold(0.0_f32, |m, (a, b)| m.max((a - b).abs()));
    assert!(worst <= 0.5 / 32768.0 + 1e-9, "{worst}");

    let mut bytes = Vec::new();
    write_wav_to(&mut bytes, &stereo, WavFormat::Pcm16).unwrap();
    assert_eq!(bytes, fs::read(&path).unwrap());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing may be left beside the file");
}

#[test]
fn clipping_is_counted_and_bad_outputs_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let loud = Waveform::mono(vec![1.5, 1.0, -1.0, -2.0, 0.0], 16000).unwrap();
    let path = folder.path().join("loud.wav");
    assert_eq!(write_wav(&path, &loud, WavFormat::Pcm16).unwrap(), 2);
    let back = decode_file(&path, &DecodeOptions::default()).unwrap();
    assert_eq!(back.waveform.samples(), [32767.0 / 32768.0, 32767.0 / 32768.0, -1.0, -1.0, 0.0]);

    for (path, words) in
        [(folder.path().join("no/such/folder.wav"), "folder does not exist"), (folder.path().to_owned(), "is a folder")]
    {
        let error = write_wav(&path, &loud, WavFormat::Pcm16).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(error.message().contains(words), "{error}");
    }
    let nan = Waveform::mono(vec![0.0, f32::NAN], 16000).unwrap();
    assert_eq!(write_wav(&path, &nan, WavFormat::Float32).unwrap_err().kind(), ErrorKind::Numeric);
    assert_eq!(
        decode_file(&path, &DecodeOptions::default()).unwrap().waveform.len(),
        5,
        "the old file must still be there"
    );
}
