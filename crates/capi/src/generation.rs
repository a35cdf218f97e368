//! Generation: with a callback (`ualm_session_generate`) or event by event (`ualm_generation_next`).

use std::ffi::{c_int, c_void};
use std::sync::{Arc, Mutex, TryLockError};

use ualm::Cancel;

use super::argument::write;
use super::boundary::{Failure, Result, entry, ualm_status};
use super::cancel::ualm_cancel;
use super::checkpoint::ualm_checkpoint;
use super::event::{EventConverter, EventView, ualm_event};
use super::generation_options::{generation_config, ualm_generation_options};
use super::handle::{Handle, Out, free, share, share_if_any};
use super::prompt::ualm_prompt;
use super::reply::ualm_reply;
use super::running::{Running, Start};
use super::session::ualm_session;

/// A callback for events, called in the thread that called ualm_session_generate. The event is valid until the callback
/// returns. 0 continues; any other value stops the reply, which keeps what was made so far. The callback must return:
/// no longjmp, no exception.
pub type ualm_event_callback = Option<unsafe extern "C" fn(event: *const ualm_event, user_data: *mut c_void) -> c_int>;

/// A running generation, pulled event by event.
pub struct ualm_generation {
    puller: Mutex<Puller>,
    stop: Cancel,
}

impl Handle for ualm_generation {
    const NAME: &'static str = "generation";
}

impl From<(Running, Cancel)> for ualm_generation {
    fn from((running, stop): (Running, Cancel)) -> Self {
        Self { puller: Mutex::new(Puller { running, converter: EventConverter::new(), current: None }), stop }
    }
}

struct Puller {
    running: Running,
    converter: EventConverter,
    /// The event that C may currently read.
    current: Option<Arc<EventView>>,
}

/// Begins a reply from the arguments that all functions share; also returns the token that stops only this reply.
///
/// # Safety
/// The header's contract.
unsafe fn begin(
    session: *mut ualm_session,
    start: Start<'_>,
    options: *const ualm_generation_options,
    cancel: *const ualm_cancel,
) -> Result<(Running, Cancel)> {
    // SAFETY: same contract.
    let (session, cancel) = unsafe { (share(session)?, share_if_any(cancel)?) };
    // SAFETY: same contract.
    let config = unsafe { generation_config(options, session.model.config()) }?;
    let stop = cancel.map_or_else(Cancel::new, |cancel| cancel.0.child());
    let running = Running::start(&session.slot, start, &config, &stop)?;
    Ok((running, stop))
}

/// Generates the whole reply to `prompt`. `options` (NULL takes the model's defaults), `cancel`, `callback` and `reply`
/// may be NULL. Stopping a reply is not a failure: the reply ends with the segments made so far. After a failure
/// there is no reply, but the callback has received everything made before it, and the session may be used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_session_generate(
    session: *mut ualm_session,
    prompt: *const ualm_prompt,
    options: *const ualm_generation_options,
    cancel: *const ualm_cancel,
    callback: ualm_event_callback,
    user_data: *mut c_void,
    reply: *mut *mut ualm_reply,
) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let prompt = unsafe { share(prompt) };
        // SAFETY: per the header's contract.
        unsafe {
            finish(reply, callback, user_data, || begin(session, Start::Prompt(&prompt?.messages()), options, cancel))
        }
    })
}

/// Generates a reply that begins at `checkpoint`, as ualm_session_generate does. The conversation after the checkpoint
/// is forgotten. Fails with UALM_STATUS_INVALID for a checkpoint of another session, and for one that the session was
/// rewound beyond.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_session_generate_from(
    session: *mut ualm_session,
    checkpoint: *const ualm_checkpoint,
    options: *const ualm_generation_options,
    cancel: *const ualm_cancel,
    callback: ualm_event_callback,
    user_data: *mut c_void,
    reply: *mut *mut ualm_reply,
) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let checkpoint = unsafe { share(checkpoint) };
        // SAFETY: per the header's contract.
        unsafe { finish(reply, callback, user_data, || begin(session, Start::At(&*checkpoint?), options, cancel)) }
    })
}

/// Runs the reply that `begin` starts, to its end.
///
/// # Safety
/// The header's contract.
unsafe fn finish(
    reply: *mut *mut ualm_reply,
    callback: ualm_event_callback,
    user_data: *mut c_void,
    begin: impl FnOnce() -> Result<(Running, Cancel)>,
) -> Result<()> {
    // SAFETY: same contract.
    let out = unsafe { Out::if_any(reply) }?;
    let (running, stop) = begin()?;
    // SAFETY: same contract.
    let finished = drive(running, &stop, |event| callback.map_or(0, |callback| unsafe { callback(event, user_data) }))?;
    if let Some(out) = out {
        out.fill(finished);
    }
    Ok(())
}

/// Runs a reply to its end. `callback` receives every event until it asks to stop.
fn drive(mut running: Running, stop: &Cancel, mut callback: impl FnMut(&ualm_event) -> c_int) -> Result<ualm_reply> {
    let mut converter = EventConverter::new();
    let mut segments = Vec::new();
    let mut is_listening = true;
    while let Some(event) = running.next()? {
        let Some(event) = converter.convert(event) else { continue };
        segments.extend(event.segment().cloned());
        if is_listening && callback(event.view()) != 0 {
            stop.cancel();
            is_listening = false;
        }
        if let Some(usage) = event.usage() {
            return Ok(ualm_reply::new(segments, *usage));
        }
    }
    Err(Failure::invalid("the reply has no end"))
}

/// Begins the reply to `prompt`, to be pulled event by event; nothing is generated before the first call of
/// ualm_generation_next. The session is busy until the last event was returned or the generation is freed. `options`
/// and `cancel` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_generation_new(
    session: *mut ualm_session,
    prompt: *const ualm_prompt,
    options: *const ualm_generation_options,
    cancel: *const ualm_cancel,
    generation: *mut *mut ualm_generation,
) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let out = unsafe { Out::new(generation) }?;
        // SAFETY: per the header's contract.
        let begun = unsafe { begin(session, Start::Prompt(&share(prompt)?.messages()), options, cancel) }?;
        out.fill(begun.into());
        Ok(())
    })
}

/// Begins a reply at `checkpoint` (see ualm_session_generate_from), as ualm_generation_new does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_generation_new_from(
    session: *mut ualm_session,
    checkpoint: *const ualm_checkpoint,
    options: *const ualm_generation_options,
    cancel: *const ualm_cancel,
    generation: *mut *mut ualm_generation,
) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let out = unsafe { Out::new(generation) }?;
        // SAFETY: per the header's contract.
        let begun = unsafe { begin(session, Start::At(&*share(checkpoint)?), options, cancel) }?;
        out.fill(begun.into());
        Ok(())
    })
}

/// Runs until the next event, and returns it in `event`. The last event is UALM_EVENT_KIND_FINISHED; after it, and
/// after a failure, `event` is NULL. The event is valid until the next call for this generation, or until it is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_generation_next(
    generation: *mut ualm_generation,
    event: *mut *const ualm_event,
) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        unsafe { write(event, std::ptr::null(), "event") }?;
        // SAFETY: per the header's contract.
        let generation = unsafe { share(generation) }?;
        let mut puller = match generation.puller.try_lock() {
            Ok(puller) => puller,
            Err(TryLockError::Poisoned(puller)) => puller.into_inner(),
            Err(TryLockError::WouldBlock) => {
                return Err(Failure::busy("another thread is waiting for this generation's next event"));
            }
        };
        let puller = &mut *puller;
        puller.current = None;
        while puller.current.is_none()
            && let Some(event) = puller.running.next()?
        {
            puller.current = puller.converter.convert(event);
        }
        let found = puller.current.as_ref().map_or(std::ptr::null(), |event| std::ptr::from_ref(event.view()));
        // SAFETY: per the header's contract. The event lives in the generation until the next call.
        unsafe { write(event, found, "event") }
    })
}

/// Stops a reply, from any thread: it ends after its current step. The remaining events, including the end of its
/// segment, are still returned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_generation_stop(generation: *mut ualm_generation) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        unsafe { share(generation) }?.stop.cancel();
        Ok(())
    })
}

/// Frees a generation; an unfinished one counts as cancelled. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_generation_free(generation: *mut ualm_generation) {
    // SAFETY: per the header's contract.
    unsafe { free(generation) }
}
