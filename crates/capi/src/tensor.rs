//! What the model computes on its way: features of sound, embeddings of a prompt, logits.

use super::argument::write;
use super::boundary::{Result, entry, ualm_status, value};
use super::handle::{Handle, Place, free, share};
use super::model::ualm_model;
use super::prompt::ualm_prompt;
use super::session::ualm_session;
use super::view::{ualm_samples, waveform};

/// A matrix of numbers, owned by the library.
pub struct ualm_tensor {
    rows: usize,
    columns: usize,
    /// Row after row.
    data: Box<[f32]>,
}

impl Handle for ualm_tensor {
    const NAME: &'static str = "tensor";
}

impl ualm_tensor {
    fn new(data: Vec<f32>, columns: usize) -> Self {
        Self { rows: data.len().checked_div(columns).unwrap_or(0), columns, data: data.into() }
    }

    fn row(data: Vec<f32>) -> Self {
        Self { rows: 1, columns: data.len(), data: data.into() }
    }
}

/// The numbers, row after row, and how many rows and columns there are; NULL when `tensor` is. They are valid until the
/// handle is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_tensor_data(
    tensor: *const ualm_tensor,
    rows: *mut usize,
    columns: *mut usize,
) -> *const f32 {
    value(std::ptr::null(), || {
        // SAFETY: the header's law. The numbers outlive the share that is taken here.
        let tensor = unsafe { share(tensor) }?;
        // SAFETY: the header's law.
        unsafe { (write(rows, tensor.rows, "rows")?, write(columns, tensor.columns, "columns")?) };
        Ok(tensor.data.as_ptr())
    })
}

/// Frees a tensor. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_tensor_free(tensor: *mut ualm_tensor) {
    // SAFETY: the header's law.
    unsafe { free(tensor) }
}

/// What the language model hears in sound: a row of the hidden size for every frame, about 25 a second.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_model_audio_features(
    model: *const ualm_model,
    samples: *const ualm_samples,
    features: *mut *mut ualm_tensor,
) -> ualm_status {
    entry(|| {
        // SAFETY: the header's law.
        let (place, model, sound) = unsafe { (Place::new(features)?, share(model)?, waveform(samples)?) };
        let found = model.0.audio_features(&sound)?;
        place.fill(ualm_tensor::new(found.iter().copied().collect(), found.ncols()));
        Ok(())
    })
}

/// What the language model reads of a prompt that begins a conversation: a row of the hidden size for every frame, the
/// features of sound in their places.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_model_prompt_embeddings(
    model: *const ualm_model,
    prompt: *const ualm_prompt,
    embeddings: *mut *mut ualm_tensor,
) -> ualm_status {
    entry(|| {
        // SAFETY: the header's law.
        let (place, model, prompt) = unsafe { (Place::new(embeddings)?, share(model)?, share(prompt)?) };
        let laid_out = model.0.prompt(&prompt.messages())?;
        let columns = model.0.manifest().language_model.hidden_size;
        place.fill(ualm_tensor::new(model.0.prompt_embeddings(&laid_out)?, columns));
        Ok(())
    })
}

/// Logits of what could follow the conversation and `prompt`, one row each: of the text head (column = id), and of the
/// audio head (the streams' codes one after another, then the ends of turn and segment), whose place may be NULL, and
/// becomes NULL for a package that makes no sound. The conversation stays as it was.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_session_next_logits(
    session: *mut ualm_session,
    prompt: *const ualm_prompt,
    text: *mut *mut ualm_tensor,
    audio: *mut *mut ualm_tensor,
) -> ualm_status {
    entry(|| {
        // SAFETY: the header's law.
        let text = unsafe { Place::new(text) }?;
        // SAFETY: the header's law.
        let audio = unsafe { Place::if_any(audio) }?;
        // SAFETY: the header's law.
        let (session, prompt) = unsafe { (share(session)?, share(prompt)?) };
        let (of_text, of_audio) = session.slot.work(|conversation| -> Result<_> {
            let read = conversation.session.prompt(&prompt.messages())?;
            Ok(conversation.session.next_logits(&read)?)
        })?;
        text.fill(ualm_tensor::row(of_text));
        if let (Some(place), Some(logits)) = (audio, of_audio) {
            place.fill(ualm_tensor::row(logits));
        }
        Ok(())
    })
}
