//! The codec: encoding sound and decoding codes.

use std::ffi::c_char;

use ualm::{Codes, Modality, Model};

use super::argument::{list, text, write};
use super::audio::ualm_audio;
use super::boundary::{Failure, entry, ualm_status, value};
use super::handle::{Handle, Out, free, share};
use super::model::ualm_model;
use super::view::{ualm_samples, waveform};

/// Codec codes: one stream per codebook, one code per frame.
pub struct ualm_codes {
    streams: usize,
    frames: usize,
    /// The codes, stream after stream.
    codes: Box<[u32]>,
}

impl Handle for ualm_codes {
    const NAME: &'static str = "codes";
}

/// Encodes sound, at any sample rate and with any number of channels.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_model_encode(
    model: *const ualm_model,
    samples: *const ualm_samples,
    codes: *mut *mut ualm_codes,
) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let (out, model, sound) = unsafe { (Out::new(codes)?, share(model)?, waveform(samples)?) };
        let codes = model.0.encode_codes(sound_modality(&model.0)?, &sound)?;
        let (streams, frames) = codes.dim();
        out.fill(ualm_codes { streams, frames, codes: codes.iter().copied().collect() });
        Ok(())
    })
}

/// Decodes `streams` x `frames` codes, stream after stream, to sound.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_model_decode(
    model: *const ualm_model,
    codes: *const u32,
    streams: usize,
    frames: usize,
    audio: *mut *mut ualm_audio,
) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let out = unsafe { Out::new(audio) }?;
        let shape = || Failure::invalid(format!("{streams} x {frames} codes; expected at least one"));
        let total = streams.checked_mul(frames).filter(|total| *total > 0).ok_or_else(shape)?;
        // SAFETY: per the header's contract.
        let (model, codes) = unsafe { (share(model)?, list(codes, total, "codes")?) };
        let codes = Codes::from_shape_vec((streams, frames), codes.to_vec()).map_err(|_| shape())?;
        out.fill(ualm_audio::new(&model.0.decode_codes(sound_modality(&model.0)?, &codes)?));
        Ok(())
    })
}

/// Returns the token ids of `words` as one stream, which ualm_checkpoint_keep accepts as the beginning of a text
/// segment.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_model_text_ids(
    model: *const ualm_model,
    words: *const c_char,
    ids: *mut *mut ualm_codes,
) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let (out, model, words) = unsafe { (Out::new(ids)?, share(model)?, text(words, "words")?) };
        let ids: Box<[u32]> =
            model.0.text_tokens(words)?.iter().filter_map(|position| position.first().copied()).collect();
        out.fill(ualm_codes { streams: 1, frames: ids.len(), codes: ids });
        Ok(())
    })
}

/// Returns the first modality of sound that the package generates, which calls without a modality use.
fn sound_modality(model: &Model) -> Result<Modality, Failure> {
    let first = model.sounds().next().map(|(modality, _)| modality);
    first.ok_or_else(|| Failure::invalid("the package has no codec, since it generates no sound"))
}

/// Returns the codes, stream after stream, and the numbers of streams and frames; NULL when `codes` is NULL. They are
/// valid until the handle is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_codes_data(
    codes: *const ualm_codes,
    streams: *mut usize,
    frames: *mut usize,
) -> *const u32 {
    value(std::ptr::null(), || {
        // SAFETY: per the header's contract. The codes outlive the share that is taken here.
        let codes = unsafe { share(codes) }?;
        // SAFETY: per the header's contract.
        unsafe { (write(streams, codes.streams, "streams")?, write(frames, codes.frames, "frames")?) };
        Ok(codes.codes.as_ptr())
    })
}

/// Frees codes. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_codes_free(codes: *mut ualm_codes) {
    // SAFETY: per the header's contract.
    unsafe { free(codes) }
}
