//! Prompts.

use std::ffi::c_char;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use ualm::{Content, Message, Modality, Role};

use super::argument::text;
use super::boundary::{Failure, entry, ualm_status};
use super::handle::{Handle, Out, free, share};
use super::names::{modality, role};
use super::view::{ualm_samples, waveform};

/// A prompt: parts in order, each with its role. Several sessions may use it, any number of times.
pub struct ualm_prompt(RwLock<Vec<Message>>);

impl Handle for ualm_prompt {
    const NAME: &'static str = "prompt";
}

impl ualm_prompt {
    /// Returns the parts, locked against additions while they are read.
    pub(super) fn messages(&self) -> RwLockReadGuard<'_, Vec<Message>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, role: Role, content: Content) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).push(Message::new(role, content));
    }
}

/// Creates an empty prompt.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_prompt_new(prompt: *mut *mut ualm_prompt) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        unsafe { Out::new(prompt) }?.fill(ualm_prompt(RwLock::default()));
        Ok(())
    })
}

/// Adds a text of `speaker` (ualm_role). The text is copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_prompt_add_text(
    prompt: *mut ualm_prompt,
    speaker: i32,
    words: *const c_char,
) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let (prompt, words) = unsafe { (share(prompt)?, text(words, "words")?) };
        prompt.push(role(speaker)?, Content::Text(words.to_owned()));
        Ok(())
    })
}

/// Adds a recording of `speaker` (ualm_role): `kind` is UALM_MODALITY_AUDIO for sound and music, UALM_MODALITY_SPEECH
/// for speech. Any sample rate and number of channels is accepted; channels are mixed to mono. The samples are copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_prompt_add_audio(
    prompt: *mut ualm_prompt,
    speaker: i32,
    kind: i32,
    samples: *const ualm_samples,
) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let (prompt, sound) = unsafe { (share(prompt)?, waveform(samples)?) };
        let content = match modality(kind)? {
            Modality::Audio => Content::Audio(sound),
            Modality::Speech => Content::Speech(sound),
            other => return Err(Failure::invalid(format!("kind is {other}; expected audio or speech"))),
        };
        prompt.push(role(speaker)?, content);
        Ok(())
    })
}

/// Frees a prompt. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_prompt_free(prompt: *mut ualm_prompt) {
    // SAFETY: per the header's contract.
    unsafe { free(prompt) }
}
