//! Generating: with a callback (`ualm_session_generate`) or event by event (`ualm_generation_next`).

use std::ffi::{c_int, c_void};
use std::sync::{Arc, Mutex, TryLockError};

use ualm::Cancel;

use super::argument::write;
use super::boundary::{Failure, Result, entry, ualm_status};
use super::cancel::ualm_cancel;
use super::checkpoint::ualm_checkpoint;
use super::event::{EventView, Teller, ualm_event};
use super::generation_options::{generation_config, ualm_generation_options};
use super::handle::{Handle, Place, free, share, share_if_any};
use super::prompt::ualm_prompt;
use super::reply::ualm_reply;
use super::running::{Running, Start};
use super::session::ualm_session;

/// Is told what happens, in the thread that called ualm_session_generate. The event is valid until it returns; 0 goes
/// on, anything else stops the reply, which then ends with what it has. It must return: no longjmp, no exception.
pub type ualm_event_callback = Option<unsafe extern "C" fn(event: *const ualm_event, user_data: *mut c_void) -> c_int>;

/// A reply in the making, taken event by event.
pub struct ualm_generation {
    puller: Mutex<Puller>,
    stop: Cancel,
}

impl Handle for ualm_generation {
    const NAME: &'static str = "generation";
}

impl From<(Running, Cancel)> for ualm_generation {
    fn from((running, stop): (Running, Cancel)) -> Self {
        Self { puller: Mutex::new(Puller { running, teller: Teller::new(), current: None }), stop }
    }
}

struct Puller {
    running: Running,
    teller: Teller,
    /// The event that C looks at.
    current: Option<Arc<EventView>>,
}

/// Takes what the arguments of both ways name, and begins; gives what stops this reply alone, too.
///
/// # Safety
/// The header's law.
unsafe fn begin(
    session: *mut ualm_session,
    start: Start<'_>,
    options: *const ualm_generation_options,
    cancel: *const ualm_cancel,
) -> Result<(Running, Cancel)> {
    // SAFETY: the contract is the same.
    let (session, cancel) = unsafe { (share(session)?, share_if_any(cancel)?) };
    // SAFETY: the contract is the same.
    let config = unsafe { generation_config(options, session.model.config()) }?;
    let stop = cancel.map_or_else(Cancel::new, |cancel| cancel.0.below());
    let running = Running::start(&session.slot, start, &config, &stop)?;
    Ok((running, stop))
}

/// Makes the whole reply to `prompt`. `options` (the model's defaults), `cancel` and `callback` may be NULL, and
/// `reply` too when the callback sees all that is wanted. A reply that was stopped is no failure: it ends with what it
/// has. After a failure there is no reply, but the callback has seen what had been made, and the session may be used
/// again.
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
        // SAFETY: the header's law.
        let prompt = unsafe { share(prompt) };
        // SAFETY: the header's law.
        unsafe {
            finish(reply, callback, user_data, || begin(session, Start::Prompt(&prompt?.messages()), options, cancel))
        }
    })
}

/// As ualm_session_generate, of a reply that begins at `checkpoint`. What was said after that place is forgotten.
/// Refused (UALM_STATUS_INVALID) for a checkpoint of another session, and for one before which this session was taken
/// back.
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
        // SAFETY: the header's law.
        let place = unsafe { share(checkpoint) };
        // SAFETY: the header's law.
        unsafe { finish(reply, callback, user_data, || begin(session, Start::At(&*place?), options, cancel)) }
    })
}

/// Makes the whole reply that `begin` begins.
///
/// # Safety
/// The header's law.
unsafe fn finish(
    reply: *mut *mut ualm_reply,
    callback: ualm_event_callback,
    user_data: *mut c_void,
    begin: impl FnOnce() -> Result<(Running, Cancel)>,
) -> Result<()> {
    // SAFETY: the contract is the same.
    let place = unsafe { Place::if_any(reply) }?;
    let (running, stop) = begin()?;
    // SAFETY: the contract is the same.
    let finished = drive(running, &stop, |event| callback.map_or(0, |told| unsafe { told(event, user_data) }))?;
    if let Some(place) = place {
        place.fill(finished);
    }
    Ok(())
}

/// Runs a reply to its end. `told` is told everything until it wants to stop.
fn drive(mut running: Running, stop: &Cancel, mut told: impl FnMut(&ualm_event) -> c_int) -> Result<ualm_reply> {
    let mut teller = Teller::new();
    let (mut segments, mut listens) = (Vec::new(), true);
    while let Some(event) = running.next()? {
        let event = teller.tell(event);
        segments.extend(event.segment().cloned());
        if listens && told(event.view()) != 0 {
            stop.cancel();
            listens = false;
        }
        if let Some(usage) = event.usage() {
            return Ok(ualm_reply::new(segments, *usage));
        }
    }
    Err(Failure::invalid("the reply has no end"))
}

/// Begins the reply to `prompt`, to be taken event by event; nothing is generated before the first one is asked for.
/// The session is busy until the last event was given, or the generation is freed. `options` and `cancel` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_generation_new(
    session: *mut ualm_session,
    prompt: *const ualm_prompt,
    options: *const ualm_generation_options,
    cancel: *const ualm_cancel,
    generation: *mut *mut ualm_generation,
) -> ualm_status {
    entry(|| {
        // SAFETY: the header's law.
        let place = unsafe { Place::new(generation) }?;
        // SAFETY: the header's law.
        let begun = unsafe { begin(session, Start::Prompt(&share(prompt)?.messages()), options, cancel) }?;
        place.fill(begun.into());
        Ok(())
    })
}

/// As ualm_generation_new, of a reply that begins at `checkpoint` (see ualm_session_generate_from).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_generation_new_from(
    session: *mut ualm_session,
    checkpoint: *const ualm_checkpoint,
    options: *const ualm_generation_options,
    cancel: *const ualm_cancel,
    generation: *mut *mut ualm_generation,
) -> ualm_status {
    entry(|| {
        // SAFETY: the header's law.
        let place = unsafe { Place::new(generation) }?;
        // SAFETY: the header's law.
        let begun = unsafe { begin(session, Start::At(&*share(checkpoint)?), options, cancel) }?;
        place.fill(begun.into());
        Ok(())
    })
}

/// Works until something happens, and tells it. The last event is UALM_EVENT_KIND_FINISHED; `event` becomes NULL after
/// it, and after a failure. The event is valid until the next call for this generation, or until it is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_generation_next(
    generation: *mut ualm_generation,
    event: *mut *const ualm_event,
) -> ualm_status {
    entry(|| {
        // SAFETY: the header's law.
        unsafe { write(event, std::ptr::null(), "event") }?;
        // SAFETY: the header's law.
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
        puller.current = puller.running.next()?.map(|event| puller.teller.tell(event));
        let found = puller.current.as_ref().map_or(std::ptr::null(), |event| std::ptr::from_ref(event.view()));
        // SAFETY: the header's law. The event lives in the generation until the next call.
        unsafe { write(event, found, "event") }
    })
}

/// Stops a reply, from any thread: it ends after its current step. The events that are left, the end of its segment
/// among them, are still given.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_generation_stop(generation: *mut ualm_generation) -> ualm_status {
    entry(|| {
        // SAFETY: the header's law.
        unsafe { share(generation) }?.stop.cancel();
        Ok(())
    })
}

/// Frees a generation; one that has not come to its end counts as cancelled. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_generation_free(generation: *mut ualm_generation) {
    // SAFETY: the header's law.
    unsafe { free(generation) }
}
