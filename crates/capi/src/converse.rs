//! Spoken answers to spoken questions.

use std::ffi::c_char;

use ualm::audio::Waveform;
use ualm::{Cancel, ConverseOptions, Converser, Model, Record, Result as UalmResult, TakeRunner};

use super::argument::StringOut;
use super::audio::ualm_audio;
use super::boundary::{Failure, entry, ualm_status};
use super::cancel::{cancel_of, ualm_cancel};
use super::handle::{Out, share};
use super::model::ualm_model;
use super::record::ualm_record;
use super::view::{ualm_samples, waveform};

/// A question, its answer and the speech.
struct Exchange {
    heard: String,
    answer: String,
    speech: Waveform,
    record: Record,
}

/// Hears `question`, answers it and speaks the answer.
fn converse(model: &Model, question: Waveform, seed: u64, cancel: &Cancel) -> UalmResult<Exchange> {
    let takes = TakeRunner::in_session(model.with_cancel(cancel).session(), 1);
    let mut converser = Converser::new(takes, ConverseOptions::default().seed(seed))?;
    let heard = converser.hear(question, |_| Ok(()))?;
    let answer = converser.answer(&[ualm::Message::text(&*heard)], |_| Ok(()))?;
    let speech = converser.speak(&answer, |_| Ok(()))?.sound;
    Ok(Exchange { heard, answer, speech, record: converser.record().clone() })
}

/// Answers a spoken question with speech: the model transcribes `question` (`heard`), answers the transcript in text
/// (`answer`), and speaks the answer (`speech`), each with the package's settings and `seed`. `cancel` may be NULL;
/// speech that it stops is returned incomplete. `record` may be NULL; it gets a turn for each of the three steps. Fails
/// with UALM_STATUS_AUDIO when no speech was understood. Free both texts with ualm_string_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_model_converse(
    model: *const ualm_model,
    question: *const ualm_samples,
    seed: u64,
    cancel: *const ualm_cancel,
    heard: *mut *mut c_char,
    answer: *mut *mut c_char,
    speech: *mut *mut ualm_audio,
    record: *mut *mut ualm_record,
) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let texts = unsafe { (StringOut::new(heard, "heard"), StringOut::new(answer, "answer")) };
        // SAFETY: per the header's contract.
        let (speech, record) = unsafe { (Out::new(speech), Out::if_any(record)) };
        let ((heard, answer), (speech, record)) = ((texts.0?, texts.1?), (speech?, record?));
        // SAFETY: per the header's contract.
        let (model, question, cancel) = unsafe { (share(model)?, waveform(question)?, cancel_of(cancel)?) };
        let made = converse(&model.0, question, seed, &cancel)?;
        if made.heard.contains('\0') || made.answer.contains('\0') {
            return Err(Failure::invalid("the model's text contains NUL".to_owned()));
        }
        heard.fill(&made.heard)?;
        answer.fill(&made.answer)?;
        speech.fill(ualm_audio::new(&made.speech));
        if let Some(record) = record {
            record.fill(made.record.into());
        }
        Ok(())
    })
}
