//! Sound files, and sound owned by the library.

use std::ffi::c_char;
use std::sync::Arc;

use ualm::audio::{DecodeOptions, Decoded, Waveform, decode_file, decode_reader, write_wav};

use super::argument::{list, path};
use super::boundary::{Failure, Result, entry, ualm_status, value};
use super::handle::{Handle, Out, free, share};
use super::model::ualm_model;
use super::names::wav_format;
use super::view::{Samples, Text, ualm_samples, waveform};

/// Sound in memory, owned by the library.
pub struct ualm_audio {
    samples: Arc<Samples>,
    warnings: Vec<Text>,
}

impl Handle for ualm_audio {
    const NAME: &'static str = "audio";
}

impl ualm_audio {
    pub(super) fn new(sound: &Waveform) -> Self {
        Self { samples: Samples::new(sound), warnings: Vec::new() }
    }
}

impl From<Decoded> for ualm_audio {
    fn from(decoded: Decoded) -> Self {
        let warnings = decoded.warnings.iter().map(Text::new).collect();
        Self { samples: Samples::new(&decoded.waveform), warnings }
    }
}

/// Reads a sound file (WAV, FLAC, MP3, AAC, Ogg, MP4, MOV, WebM, MKV, AIFF, CAF and others: docs/audio.md), mixed to
/// one channel, at its own rate.
/// Refuses a file longer than `max_seconds` (UALM_STATUS_LIMIT); 0 sets no limit.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_audio_read(
    file: *const c_char,
    max_seconds: f64,
    audio: *mut *mut ualm_audio,
) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let (out, file) = unsafe { (Out::new(audio)?, path(file, "file")?) };
        out.fill(decode_file(file, &decode_options(max_seconds)?)?.into());
        Ok(())
    })
}

/// Reads a sound file from `len` bytes in memory, as ualm_audio_read does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_audio_read_memory(
    bytes: *const u8,
    len: usize,
    max_seconds: f64,
    audio: *mut *mut ualm_audio,
) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let (out, bytes) = unsafe { (Out::new(audio)?, list(bytes, len, "bytes")?) };
        out.fill(decode_reader(bytes, "sound in memory", &decode_options(max_seconds)?)?.into());
        Ok(())
    })
}

fn decode_options(max_seconds: f64) -> Result<DecodeOptions> {
    if !(max_seconds.is_finite() && max_seconds >= 0.0) {
        return Err(Failure::invalid(format!("max_seconds is {max_seconds}; expected 0 or more")));
    }
    Ok(DecodeOptions::default().max_seconds((max_seconds > 0.0).then_some(max_seconds)))
}

/// Returns the samples; NULL when `audio` is NULL. They are valid until the audio is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_audio_samples(audio: *const ualm_audio) -> *const ualm_samples {
    // SAFETY: per the header's contract. The audio outlives the share that is taken here.
    value(std::ptr::null(), || Ok(std::ptr::from_ref(unsafe { share(audio) }?.samples.view())))
}

/// Returns the warning at `index` (from 0) about a damaged but readable file; NULL after the last one. It is valid
/// until the audio is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_audio_warning(audio: *const ualm_audio, index: usize) -> *const c_char {
    // SAFETY: per the header's contract. The audio outlives the share that is taken here.
    value(std::ptr::null(), || Ok(unsafe { share(audio) }?.warnings.get(index).map_or(std::ptr::null(), Text::as_ptr)))
}

/// Frees sound. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_audio_free(audio: *mut ualm_audio) {
    // SAFETY: per the header's contract.
    unsafe { free(audio) }
}

/// Writes a WAV file in a `format` (ualm_wav_format). The write is atomic: `file` is either the old file or the
/// complete new one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_wav_write(file: *const c_char, samples: *const ualm_samples, format: i32) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let (file, sound) = unsafe { (path(file, "file")?, waveform(samples)?) };
        write_wav(file, &sound, wav_format(format)?)?;
        Ok(())
    })
}

/// Runs the package's enhancer on sound; sets `audio` to NULL when the package has none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_model_enhance(
    model: *const ualm_model,
    samples: *const ualm_samples,
    audio: *mut *mut ualm_audio,
) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let (out, model, sound) = unsafe { (Out::new(audio)?, share(model)?, waveform(samples)?) };
        let modality = model.0.sounds().next().map(|(modality, _)| modality);
        if let Some(enhanced) = modality.map_or(Ok(None), |modality| model.0.enhance(modality, &sound))? {
            out.fill(ualm_audio::new(&enhanced));
        }
        Ok(())
    })
}
