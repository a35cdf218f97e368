//! Sound files, and sound that the library made.

use std::ffi::c_char;
use std::sync::Arc;

use ualm::audio::{DecodeOptions, Decoded, Waveform, decode_file, decode_reader, write_wav};

use super::argument::{list, path};
use super::boundary::{Failure, Result, entry, ualm_status, value};
use super::handle::{Handle, Place, free, share};
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

/// Reads a sound file: WAV, FLAC, MP3, Ogg Vorbis, M4A, AIFF, CAF or MKV, mixed to one channel, at its own rate. A
/// longer one than `max_seconds` is refused (UALM_STATUS_LIMIT); 0 refuses none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_audio_read(
    file: *const c_char,
    max_seconds: f64,
    audio: *mut *mut ualm_audio,
) -> ualm_status {
    entry(|| {
        // SAFETY: the header's law.
        let (place, file) = unsafe { (Place::new(audio)?, path(file, "file")?) };
        place.fill(decode_file(file, &decode_options(max_seconds)?)?.into());
        Ok(())
    })
}

/// As ualm_audio_read, of the `len` bytes of a sound file in memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_audio_read_memory(
    bytes: *const u8,
    len: usize,
    max_seconds: f64,
    audio: *mut *mut ualm_audio,
) -> ualm_status {
    entry(|| {
        // SAFETY: the header's law.
        let (place, bytes) = unsafe { (Place::new(audio)?, list(bytes, len, "bytes")?) };
        place.fill(decode_reader(bytes, "sound in memory", &decode_options(max_seconds)?)?.into());
        Ok(())
    })
}

fn decode_options(max_seconds: f64) -> Result<DecodeOptions> {
    if !(max_seconds.is_finite() && max_seconds >= 0.0) {
        return Err(Failure::invalid(format!("max_seconds is {max_seconds}; expected 0 or more")));
    }
    Ok(DecodeOptions::default().max_seconds((max_seconds > 0.0).then_some(max_seconds)))
}

/// The samples; NULL when `audio` is. They are valid until the audio is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_audio_samples(audio: *const ualm_audio) -> *const ualm_samples {
    // SAFETY: the header's law. The audio outlives the share that is taken here.
    value(std::ptr::null(), || Ok(std::ptr::from_ref(unsafe { share(audio) }?.samples.view())))
}

/// What was wrong with the file and did not keep it from being read: one warning after another, NULL after the last
/// one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_audio_warning(audio: *const ualm_audio, index: usize) -> *const c_char {
    // SAFETY: the header's law. The audio outlives the share that is taken here.
    value(std::ptr::null(), || Ok(unsafe { share(audio) }?.warnings.get(index).map_or(std::ptr::null(), Text::as_ptr)))
}

/// Frees sound. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_audio_free(audio: *mut ualm_audio) {
    // SAFETY: the header's law.
    unsafe { free(audio) }
}

/// Writes a WAV file in a `format` (ualm_wav_format): whoever looks at `file` finds the old one or the whole new one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_wav_write(file: *const c_char, samples: *const ualm_samples, format: i32) -> ualm_status {
    entry(|| {
        // SAFETY: the header's law.
        let (file, sound) = unsafe { (path(file, "file")?, waveform(samples)?) };
        write_wav(file, &sound, wav_format(format)?)?;
        Ok(())
    })
}

/// The sound after the package's enhancer; `audio` becomes NULL when the package has none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_model_enhance(
    model: *const ualm_model,
    samples: *const ualm_samples,
    audio: *mut *mut ualm_audio,
) -> ualm_status {
    entry(|| {
        // SAFETY: the header's law.
        let (place, model, sound) = unsafe { (Place::new(audio)?, share(model)?, waveform(samples)?) };
        let modality = model.0.sounds().next().map(|(modality, _)| modality);
        if let Some(enhanced) = modality.map_or(Ok(None), |modality| model.0.enhance(modality, &sound))? {
            place.fill(ualm_audio::new(&enhanced));
        }
        Ok(())
    })
}
