//! Checkpoints and marks of a conversation, for several replies to one prompt and for removing turns.

use ualm::{Cancel, Checkpoint, Mark, Model, Tokens};

use super::argument::{list, write};
use super::boundary::{Failure, Result, entry, ualm_status};
use super::cancel::{cancel_of, ualm_cancel};
use super::conversation::Length;
use super::handle::{Handle, Out, free, share};
use super::names::{modality, ualm_modality};
use super::prompt::ualm_prompt;
use super::session::ualm_session;

/// A point of a conversation at which the model's reply begins. Any number of replies can start from it, without
/// running the conversation before it again.
pub struct ualm_checkpoint {
    pub(super) model: Model,
    pub(super) checkpoint: Checkpoint,
    pub(super) length: Length,
}

impl Handle for ualm_checkpoint {
    const NAME: &'static str = "checkpoint";
}

/// Runs `prompt` and returns the checkpoint after it, from which ualm_session_generate_from generates replies. The
/// prompt is laid out for a text reply, or for any reply if the model chooses the modality. `cancel` may be NULL; if it
/// stops this call, the call fails with UALM_STATUS_CANCELLED. After a failure the conversation is unchanged, except
/// for earlier thoughts, which a prompt removes from it; checkpoints in a reply with such thoughts become invalid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_session_checkpoint(
    session: *mut ualm_session,
    prompt: *const ualm_prompt,
    cancel: *const ualm_cancel,
    checkpoint: *mut *mut ualm_checkpoint,
) -> ualm_status {
    // SAFETY: per the header's contract.
    unsafe { ualm_session_checkpoint_for(session, prompt, ualm_modality::Text as i32, cancel, checkpoint) }
}

/// Runs `prompt` as ualm_session_checkpoint does, laid out for a reply that begins with a segment of `kind`
/// (ualm_modality), on which the prompts of some models depend.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_session_checkpoint_for(
    session: *mut ualm_session,
    prompt: *const ualm_prompt,
    kind: i32,
    cancel: *const ualm_cancel,
    checkpoint: *mut *mut ualm_checkpoint,
) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let (out, session, prompt) = unsafe { (Out::new(checkpoint)?, share(session)?, share(prompt)?) };
        // SAFETY: per the header's contract.
        let cancel = unsafe { cancel_of(cancel) }?;
        let kind = modality(kind)?;
        out.fill(session.slot.work(&cancel, |conversation| {
            let messages = prompt.messages();
            let read = conversation.session.prompt_for(kind, &messages)?;
            let checkpoint = conversation.session.checkpoint(&read)?;
            conversation.record.begin_turn(&messages, &read, &session.model.config());
            let length = Length::of(&conversation.record);
            Ok(ualm_checkpoint { model: session.model.clone(), checkpoint, length })
        })?);
        Ok(())
    })
}

/// Creates another conversation at `checkpoint` of this one. Replies can then be generated from the checkpoint in both
/// at once, on two threads; in an engine their steps are batched. Fails with UALM_STATUS_LIMIT when there is no room
/// for another conversation.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_session_fork(
    session: *mut ualm_session,
    checkpoint: *const ualm_checkpoint,
    fork: *mut *mut ualm_session,
) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let (out, session, from) = unsafe { (Out::new(fork)?, share(session)?, share(checkpoint)?) };
        let forked =
            session.slot.work(&Cancel::new(), |conversation| conversation.fork(&from.checkpoint, from.length))?;
        out.fill(ualm_session::of(forked, session.slot.engine.as_ref()));
        Ok(())
    })
}

/// Returns the checkpoint after the last reply of a session, as if the model had opened another segment of that reply.
/// `cancel` may be NULL. Fails with UALM_STATUS_INVALID when there is no reply to continue.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_session_go_on(
    session: *mut ualm_session,
    cancel: *const ualm_cancel,
    checkpoint: *mut *mut ualm_checkpoint,
) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let (out, session, cancel) = unsafe { (Out::new(checkpoint)?, share(session)?, cancel_of(cancel)?) };
        out.fill(session.slot.work(&cancel, |conversation| {
            let segments = conversation.record.turns.last().map(|turn| turn.segments.as_slice()).unwrap_or_default();
            let last = segments.last().ok_or_else(|| Failure::invalid("there is no reply to continue"))?;
            let checkpoint = conversation.session.go_on(segments.len(), last.draws.to)?;
            let length = Length::of(&conversation.record);
            Ok(ualm_checkpoint { model: session.model.clone(), checkpoint, length })
        })?);
        Ok(())
    })
}

/// Returns the same checkpoint with the first positions of its next segment, of `kind` (ualm_modality), fixed to
/// `frames`: `frame_count` positions of `stream_count` ids each, without a closing one, as in a segment of a reply, or
/// as returned by ualm_model_text_ids (one stream).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_checkpoint_keep(
    checkpoint: *const ualm_checkpoint,
    kind: i32,
    frames: *const u32,
    frame_count: usize,
    stream_count: usize,
    kept: *mut *mut ualm_checkpoint,
) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let out = unsafe { Out::new(kept) }?;
        // SAFETY: per the header's contract.
        let from = unsafe { share(checkpoint) }?;
        let kind = modality(kind)?;
        let shape = || Failure::invalid(format!("{frame_count} x {stream_count} ids are more than memory can hold"));
        let total = frame_count.checked_mul(stream_count).ok_or_else(shape)?;
        // SAFETY: per the header's contract.
        let ids = unsafe { list(frames, total, "frames") }?;
        let kept = given(&from.model, ids, stream_count)?;
        from.model.check_beginning(kind, &kept)?;
        out.fill(ualm_checkpoint {
            model: from.model.clone(),
            checkpoint: from.checkpoint.clone().with_kept(kind, kept),
            length: from.length,
        });
        Ok(())
    })
}

/// Returns `ids` as tokens, `width` of them per position.
fn given(model: &Model, ids: &[u32], width: usize) -> Result<Tokens> {
    let expected = model.manifest().tokens.width;
    match width {
        1 => Ok(model.single_tokens(ids)?),
        found if found == expected => Ok(model.tokens(ids.to_vec())?),
        found => Err(Failure::invalid(format!("each position has {found} ids; expected {expected}, or 1 for text"))),
    }
}

/// Returns the number of positions of the conversation up to a checkpoint, and the number of segments of the reply
/// before it. Either out-pointer may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_checkpoint_position(
    checkpoint: *const ualm_checkpoint,
    position: *mut usize,
    segments: *mut usize,
) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let from = unsafe { share(checkpoint) }?;
        for (out, value) in [(position, from.checkpoint.position()), (segments, from.checkpoint.segments())] {
            if !out.is_null() {
                // SAFETY: per the header's contract.
                unsafe { write(out, value, "position or segments") }?;
            }
        }
        Ok(())
    })
}

/// Frees a checkpoint. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_checkpoint_free(checkpoint: *mut ualm_checkpoint) {
    // SAFETY: per the header's contract.
    unsafe { free(checkpoint) }
}

/// A point between two turns, to which a conversation can be rewound.
pub struct ualm_mark {
    mark: Mark,
    length: Length,
}

impl Handle for ualm_mark {
    const NAME: &'static str = "mark";
}

/// Marks the end of a conversation, without the thoughts that the next prompt removes from it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_session_mark(session: *mut ualm_session, mark: *mut *mut ualm_mark) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let (out, session) = unsafe { (Out::new(mark)?, share(session)?) };
        out.fill(session.slot.work(&Cancel::new(), |conversation| {
            let length = Length::of(&conversation.record);
            Ok(ualm_mark { mark: conversation.session.mark(), length })
        })?);
        Ok(())
    })
}

/// Rewinds a conversation to `mark`. Fails with UALM_STATUS_INVALID for a mark of another session, and for one
/// that the session was rewound beyond.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_session_rewind(session: *mut ualm_session, mark: *const ualm_mark) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let (session, mark) = unsafe { (share(session)?, share(mark)?) };
        session.slot.work(&Cancel::new(), |conversation| {
            conversation.session.rewind(&mark.mark)?;
            mark.length.cut(&mut conversation.record);
            Ok(())
        })
    })
}

/// Frees a mark. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_mark_free(mark: *mut ualm_mark) {
    // SAFETY: per the header's contract.
    unsafe { free(mark) }
}
