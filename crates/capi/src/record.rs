//! Records: conversations as data, from which any reply can be resumed or reproduced.

use std::ffi::c_char;

use ualm::{Cut, Record};

use super::argument::{StringOut, path, text};
use super::boundary::{Result, entry, ualm_status, value};
use super::cancel::{cancel_of, ualm_cancel};
use super::checkpoint::ualm_checkpoint;
use super::conversation::Length;
use super::generation_options::ualm_generation_options;
use super::handle::{Handle, Out, free, share};
use super::names::{ualm_modality, wav_format};
use super::session::ualm_session;
use super::sized::fill;
use super::view::{ualm_samples, waveform};

/// A conversation as data: prompts, settings, seeds and tokens, and the identity of the package.
pub struct ualm_record {
    record: Record,
    /// The forced modalities of each turn, which ualm_record_options points to.
    force: Vec<Vec<i32>>,
}

impl Handle for ualm_record {
    const NAME: &'static str = "record";
}

impl ualm_record {
    pub(super) fn record(&self) -> &Record {
        &self.record
    }
}

impl From<Record> for ualm_record {
    fn from(record: Record) -> Self {
        let number = |modality: &ualm::Modality| ualm_modality::from(*modality) as i32;
        let force = record.turns.iter().map(|turn| turn.config.force.iter().map(number).collect()).collect();
        Self { record, force }
    }
}

/// Returns the record of a session so far.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_session_record(
    session: *const ualm_session,
    record: *mut *mut ualm_record,
) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let (out, session) = unsafe { (Out::new(record)?, share(session)?) };
        out.fill(session.slot.look(|conversation| conversation.record.clone())?.into());
        Ok(())
    })
}

/// Reads the record of a WAV file that `ualm` or ualm_record_write_wav wrote.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_record_read_wav(file: *const c_char, record: *mut *mut ualm_record) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let (out, file) = unsafe { (Out::new(record)?, path(file, "file")?) };
        out.fill(Record::read_wav(file)?.into());
        Ok(())
    })
}

/// Writes a WAV file with the record in it, as ualm_wav_write does; `samples` are the sound of the record's last
/// segment.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_record_write_wav(
    record: *const ualm_record,
    file: *const c_char,
    samples: *const ualm_samples,
    format: i32,
) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let (record, file, sound) = unsafe { (share(record)?, path(file, "file")?, waveform(samples)?) };
        record.record.write_wav(file, &sound, wav_format(format)?)?;
        Ok(())
    })
}

/// Reads a record from `json`, as ualm_record_to_json returns it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_record_from_json(json: *const c_char, record: *mut *mut ualm_record) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let (out, json) = unsafe { (Out::new(record)?, text(json, "json")?) };
        out.fill(Record::from_json(json.as_bytes())?.into());
        Ok(())
    })
}

/// Returns the record as one line of JSON (docs/reply.md). Free `json` with ualm_string_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_record_to_json(record: *const ualm_record, json: *mut *mut c_char) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let (out, record) = unsafe { (StringOut::new(json, "json")?, share(record)?) };
        out.fill(&record.record.to_json()?)
    })
}

/// Returns the number of turns: prompts with their replies.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_record_turn_count(record: *const ualm_record) -> usize {
    // SAFETY: per the header's contract.
    value(0, || Ok(unsafe { share(record) }?.record.turns.len()))
}

/// Returns the number of segments in the reply of turn `turn` (from 0); 0 when there is no such turn.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_record_segment_count(record: *const ualm_record, turn: usize) -> usize {
    // SAFETY: per the header's contract.
    value(0, || Ok(unsafe { share(record) }?.record.turns.get(turn).map_or(0, |turn| turn.segments.len())))
}

/// Fills `options` with the settings and the seed of segment `segment` in turn `turn` (both from 0), or with those of
/// the turn for the segment after its last one. `struct_size` is sizeof *options. `force` points into the record.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_record_options(
    record: *const ualm_record,
    turn: usize,
    segment: usize,
    options: *mut ualm_generation_options,
    struct_size: usize,
) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract. `force` points into the record.
        let record = unsafe { share(record) }?;
        let recorded = record.record.turn_at(Cut { turn, segment, position: 0 })?;
        let mut config = recorded.config.clone();
        if let Some(segment) = recorded.segments.get(segment) {
            *config.segment_mut(segment.modality) = segment.config;
            config.seed = segment.draws.seed;
        }
        let mut filled = ualm_generation_options::from(&config);
        let force = record.force.get(turn).map(Vec::as_slice).unwrap_or_default();
        filled.force = force.as_ptr();
        filled.force_len = force.len();
        // SAFETY: per the header's contract.
        unsafe { fill(options, struct_size, filled) }
    })
}

/// Replaces the conversation of a session by that of `record`, up to position `frame` of segment `segment` of turn
/// `turn`, all from 0, and returns the checkpoint there. With the settings of the record (ualm_record_options) a reply
/// from the checkpoint has the same ids as if the conversation had never stopped. `cancel` may be NULL. After a failure
/// the conversation is empty, unless the record was refused: a record of another package, a damaged one, or one without
/// such a position.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_session_restore(
    session: *mut ualm_session,
    record: *const ualm_record,
    turn: usize,
    segment: usize,
    frame: usize,
    cancel: *const ualm_cancel,
    checkpoint: *mut *mut ualm_checkpoint,
) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let (out, session, record) = unsafe { (Out::new(checkpoint)?, share(session)?, share(record)?) };
        // SAFETY: per the header's contract.
        let cancel = unsafe { cancel_of(cancel) }?;
        let cut = Cut { turn, segment, position: frame };
        out.fill(session.slot.work(&cancel, |conversation| {
            let restored = conversation.session.restore(&record.record, cut);
            forget_if_empty(conversation);
            let checkpoint = restored?;
            conversation.record = record.record.before(cut)?;
            let length = Length::of(&conversation.record);
            Ok(ualm_checkpoint { model: session.model.clone(), checkpoint, length })
        })?);
        Ok(())
    })
}

/// Replaces the conversation of a session by the first `turns` turns of `record`, after which another turn can begin.
/// `cancel` may be NULL. Fails as ualm_session_restore does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_session_restore_turns(
    session: *mut ualm_session,
    record: *const ualm_record,
    turns: usize,
    cancel: *const ualm_cancel,
) -> ualm_status {
    entry(|| {
        // SAFETY: per the header's contract.
        let (session, record, cancel) = unsafe { (share(session)?, share(record)?, cancel_of(cancel)?) };
        session.slot.work(&cancel, |conversation| -> Result<()> {
            let restored = conversation.session.restore_turns(&record.record, turns);
            forget_if_empty(conversation);
            restored?;
            conversation.record = record.record.clone();
            conversation.record.turns.truncate(turns);
            Ok(())
        })
    })
}

/// Clears the record of a conversation without positions.
fn forget_if_empty(conversation: &mut super::conversation::Conversation) {
    if conversation.session.position() == 0 {
        conversation.record.turns.clear();
    }
}

/// Frees a record. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_record_free(record: *mut ualm_record) {
    // SAFETY: per the header's contract.
    unsafe { free(record) }
}
