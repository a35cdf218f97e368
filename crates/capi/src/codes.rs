//! The codec: sound to codes and back.

use std::ffi::c_char;

use ualm::{Codes, Modality, Model};

use super::argument::{list, text, write};
use super::audio::ualm_audio;
use super::boundary::{Failure, entry, ualm_status, value};
use super::handle::{Handle, Place, free, share};
use super::model::ualm_model;
use super::view::{ualm_samples, waveform};

/// Codec codes: as many streams as the codec has codebooks, each of one code a frame.
pub struct ualm_codes {
    streams: usize,
    frames: usize,
    /// Stream after stream.
    codes: Box<[u32]>,
}

impl Handle for ualm_codes {
    const NAME: &'static str = "codes";
}

/// Codes of sound, at any rate, with any number of channels.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_model_encode(
    model: *const ualm_model,
    samples: *const ualm_samples,
    codes: *mut *mut ualm_codes,
) -> ualm_status {
    entry(|| {
        // SAFETY: the header's law.
        let (place, model, sound) = unsafe { (Place::new(codes)?, share(model)?, waveform(samples)?) };
        let codes = model.0.encode_codes(sound_modality(&model.0)?, &sound)?;
        let (streams, frames) = codes.dim();
        place.fill(ualm_codes { streams, frames, codes: codes.iter().copied().collect() });
        Ok(())
    })
}

/// The sound of codes: `streams` x `frames` of them, stream after stream.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_model_decode(
    model: *const ualm_model,
    codes: *const u32,
    streams: usize,
    frames: usize,
    audio: *mut *mut ualm_audio,
) -> ualm_status {
    entry(|| {
        // SAFETY: the header's law.
        let place = unsafe { Place::new(audio) }?;
        let shape = || Failure::invalid(format!("{streams} x {frames} codes; expected at least one"));
        let total = streams.checked_mul(frames).filter(|total| *total > 0).ok_or_else(shape)?;
        // SAFETY: the header's law.
        let (model, codes) = unsafe { (share(model)?, list(codes, total, "codes")?) };
        let codes = Codes::from_shape_vec((streams, frames), codes.to_vec()).map_err(|_| shape())?;
        place.fill(ualm_audio::new(&model.0.decode_codes(sound_modality(&model.0)?, &codes)?));
        Ok(())
    })
}

/// The ids of words, as one stream: what ualm_checkpoint_keep takes to begin a text segment with them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_model_text_ids(
    model: *const ualm_model,
    words: *const c_char,
    ids: *mut *mut ualm_codes,
) -> ualm_status {
    entry(|| {
        // SAFETY: the header's law.
        let (place, model, words) = unsafe { (Place::new(ids)?, share(model)?, text(words, "words")?) };
        let ids: Box<[u32]> =
            model.0.text_tokens(words)?.iter().filter_map(|position| position.first().copied()).collect();
        place.fill(ualm_codes { streams: 1, frames: ids.len(), codes: ids });
        Ok(())
    })
}

/// The first modality of sound that the package makes: that of the calls that name none.
fn sound_modality(model: &Model) -> Result<Modality, Failure> {
    let first = model.sounds().next().map(|(modality, _)| modality);
    first.ok_or_else(|| Failure::invalid("the package has no codec: it makes no sound"))
}

/// The codes, stream after stream, and how many streams and frames there are; NULL when `codes` is. They are valid
/// until the handle is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_codes_data(
    codes: *const ualm_codes,
    streams: *mut usize,
    frames: *mut usize,
) -> *const u32 {
    value(std::ptr::null(), || {
        // SAFETY: the header's law. The codes outlive the share that is taken here.
        let codes = unsafe { share(codes) }?;
        // SAFETY: the header's law.
        unsafe { (write(streams, codes.streams, "streams")?, write(frames, codes.frames, "frames")?) };
        Ok(codes.codes.as_ptr())
    })
}

/// Frees codes. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_codes_free(codes: *mut ualm_codes) {
    // SAFETY: the header's law.
    unsafe { free(codes) }
}
