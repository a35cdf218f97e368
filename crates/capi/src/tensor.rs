//! Intermediate results of the model: features of sound, embeddings of a prompt, logits.

use ualm::Cancel;
use ualm::ndarray::Array2;

use super::argument::write;
use super::boundary::{Result, entry, ualm_status, value};
use super::handle::{Handle, Out, free, share};
use super::model::ualm_model;
use super::prompt::ualm_prompt;
use super::session::ualm_session;
use super::view::{ualm_samples, waveform};

/// A matrix of numbers, owned by the library.
pub struct ualm_tensor {
    rows: usize,
    columns: usize,
    /// The numbers, row after row.
    data: Box<[f32]>,
}

impl Handle for ualm_tensor {
    const NAME: &'static str = "tensor";
}

impl ualm_tensor {
    fn new(matrix: &Array2<f32>) -> Self {
        Self { rows: matrix.nrows(), columns: matrix.ncols(), data: matrix.iter().copied().collect() }
    }

    fn row(data: Vec<f32>) -> Self {
        Self { rows: 1, columns: data.len(), data: data.into() }
    }
}

/// Returns the numbers, row after row, and the numbers of rows and columns; NULL when `tensor` is NULL. They are valid
/// until the handle is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_tensor_data(
    tensor: *const ualm_tensor,
    rows: *mut usize,
    columns: *mut usize,
) -> *const f32 {
    value(std::ptr::null(), || {
        // SAFETY: per the header's contract. The numbers outlive the share that is taken here.
        let tensor = unsafe { share(tensor) }?;
        // SAFETY: per the header's contract.
        unsafe { (write(rows, tensor.rows, "rows")?, write(columns, tensor.columns, "columns")?) };
        Ok(tensor.data.as_ptr())
    })
}

/// Frees a tensor. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_tensor_free(tensor: *mut ualm_tensor) {
    // SAFETY: per the header's contract.
    unsafe { free(tensor) }
}

/// Encodes sound to language-model features: a row of the hidden size for each position, about 25 per second.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_model_audio_features(
    model: *const ualm_model,
    samples: *const ualm_samples,
    features: *mut *mut ualm_tensor,
) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let (out, model, sound) = unsafe { (Out::new(features)?, share(model)?, waveform(samples)?) };
        out.fill(ualm_tensor::new(&model.0.audio_features(&sound)?));
        Ok(())
    })
}

/// Returns the embeddings of a prompt at the beginning of a conversation: a row of the hidden size for each position,
/// with the features of sound in their positions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_model_prompt_embeddings(
    model: *const ualm_model,
    prompt: *const ualm_prompt,
    embeddings: *mut *mut ualm_tensor,
) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let (out, model, prompt) = unsafe { (Out::new(embeddings)?, share(model)?, share(prompt)?) };
        let laid_out = model.0.prompt(&prompt.messages())?;
        out.fill(ualm_tensor::new(&model.0.prompt_embeddings(&laid_out)?));
        Ok(())
    })
}

/// Returns the logits that follow the conversation and `prompt`, one row each: of the text head (column = id), and of
/// the audio head (the codes of all streams, then the ids that end the turn and the segment). `audio` may be NULL, and
/// is set to NULL for a package that generates no sound. The conversation is unchanged.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_session_next_logits(
    session: *mut ualm_session,
    prompt: *const ualm_prompt,
    text: *mut *mut ualm_tensor,
    audio: *mut *mut ualm_tensor,
) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let text = unsafe { Out::new(text) }?;
        // SAFETY: per the header's contract.
        let audio = unsafe { Out::if_any(audio) }?;
        // SAFETY: per the header's contract.
        let (session, prompt) = unsafe { (share(session)?, share(prompt)?) };
        let (of_text, of_audio) = session.slot.work(&Cancel::new(), |conversation| -> Result<_> {
            let read = conversation.session.prompt(&prompt.messages())?;
            Ok(conversation.session.next_logits(&read)?)
        })?;
        text.fill(ualm_tensor::row(of_text));
        if let (Some(out), Some(logits)) = (audio, of_audio) {
            out.fill(ualm_tensor::row(logits));
        }
        Ok(())
    })
}
