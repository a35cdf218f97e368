//! Records: what was said and made, kept so that any of it can be gone on from, or made again.

use std::ffi::c_char;

use ualm::{Cut, Record};

use super::argument::{StringPlace, path, text};
use super::boundary::{Result, entry, ualm_status, value};
use super::cancel::{cancel_of, ualm_cancel};
use super::checkpoint::ualm_checkpoint;
use super::conversation::Length;
use super::generation_options::ualm_generation_options;
use super::handle::{Handle, Place, free, share};
use super::names::{ualm_modality, wav_format};
use super::session::ualm_session;
use super::sized::fill;
use super::view::{ualm_samples, waveform};

/// A conversation as data: prompts, settings, seeds and frames, and which package made them.
pub struct ualm_record {
    record: Record,
    /// What each turn forces, for ualm_record_options to point to.
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

/// The record of what was said in a session so far.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_session_record(
    session: *const ualm_session,
    record: *mut *mut ualm_record,
) -> ualm_status {
    entry(|| {
        // SAFETY: the header's law.
        let (place, session) = unsafe { (Place::new(record)?, share(session)?) };
        place.fill(session.slot.look(|conversation| conversation.record.clone())?.into());
        Ok(())
    })
}

/// Reads the record that a WAV file carries, one that `ualm` or ualm_record_write_wav wrote.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_record_read_wav(file: *const c_char, record: *mut *mut ualm_record) -> ualm_status {
    entry(|| {
        // SAFETY: the header's law.
        let (place, file) = unsafe { (Place::new(record)?, path(file, "file")?) };
        place.fill(Record::read_wav(file)?.into());
        Ok(())
    })
}

/// As ualm_wav_write, with the record in the file: the samples are those of its last segment.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_record_write_wav(
    record: *const ualm_record,
    file: *const c_char,
    samples: *const ualm_samples,
    format: i32,
) -> ualm_status {
    entry(|| {
        // SAFETY: the header's law.
        let (record, file, sound) = unsafe { (share(record)?, path(file, "file")?, waveform(samples)?) };
        record.record.write_wav(file, &sound, wav_format(format)?)?;
        Ok(())
    })
}

/// Reads a record from `json`, which ualm_record_to_json gave.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_record_from_json(json: *const c_char, record: *mut *mut ualm_record) -> ualm_status {
    entry(|| {
        // SAFETY: the header's law.
        let (place, json) = unsafe { (Place::new(record)?, text(json, "json")?) };
        place.fill(Record::from_json(json.as_bytes())?.into());
        Ok(())
    })
}

/// The record as one line of JSON (docs/reply.md). Free `json` with ualm_string_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_record_to_json(record: *const ualm_record, json: *mut *mut c_char) -> ualm_status {
    entry(|| {
        // SAFETY: the header's law.
        let (place, record) = unsafe { (StringPlace::new(json, "json")?, share(record)?) };
        place.fill(&record.record.to_json()?)
    })
}

/// How many turns there are: a prompt with its reply each.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_record_turn_count(record: *const ualm_record) -> usize {
    // SAFETY: the header's law.
    value(0, || Ok(unsafe { share(record) }?.record.turns.len()))
}

/// How many segments the reply of turn `turn` (from 0) has; 0 when there is no such turn.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_record_segment_count(record: *const ualm_record, turn: usize) -> usize {
    // SAFETY: the header's law.
    value(0, || Ok(unsafe { share(record) }?.record.turns.get(turn).map_or(0, |turn| turn.segments.len())))
}

/// Fills `options` with the settings and the seed that segment `segment` of turn `turn` (both from 0) was made with; for
/// the segment after the last one, those of its turn. `struct_size` is sizeof *options. `force` points into the record.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_record_options(
    record: *const ualm_record,
    turn: usize,
    segment: usize,
    options: *mut ualm_generation_options,
    struct_size: usize,
) -> ualm_status {
    entry(|| {
        // SAFETY: the header's law. What `force` points to lives in the record.
        let record = unsafe { share(record) }?;
        let recorded = record.record.turn_at(Cut { turn, segment, frame: 0 })?;
        let mut config = recorded.config.clone();
        if let Some(segment) = recorded.segments.get(segment) {
            *config.segment_mut(segment.modality) = segment.config;
            config.seed = segment.draws.seed;
        }
        let mut filled = ualm_generation_options::from(&config);
        let force = record.force.get(turn).map(Vec::as_slice).unwrap_or_default();
        (filled.force, filled.force_len) = (force.as_ptr(), force.len());
        // SAFETY: the header's law.
        unsafe { fill(options, struct_size, filled) }
    })
}

/// Forgets the conversation of a session and runs that of `record` up to frame `frame` of segment `segment` of turn
/// `turn`, all from 0. With the settings of the record (ualm_record_options) a reply from this place goes on as if the
/// conversation had never stopped, id by id. `cancel` may be NULL. After a failure the conversation is empty, unless the
/// record was refused: one of another package, a damaged one, or one without such a place.
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
        // SAFETY: the header's law.
        let (place, session, record) = unsafe { (Place::new(checkpoint)?, share(session)?, share(record)?) };
        // SAFETY: the header's law.
        let cancel = unsafe { cancel_of(cancel) }?;
        let cut = Cut { turn, segment, frame };
        place.fill(session.slot.work(|conversation| {
            let restored = conversation.session.restore(&record.record, cut, &cancel);
            forget_if_empty(conversation);
            let checkpoint = restored?;
            conversation.record = record.record.before(cut)?;
            let length = Length::of(&conversation.record);
            Ok(ualm_checkpoint { model: session.model.clone(), checkpoint, length })
        })?);
        Ok(())
    })
}

/// Forgets the conversation of a session and runs the first `turns` turns of `record`, after which another turn can
/// begin. `cancel` may be NULL. Failures as of ualm_session_restore.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_session_restore_turns(
    session: *mut ualm_session,
    record: *const ualm_record,
    turns: usize,
    cancel: *const ualm_cancel,
) -> ualm_status {
    entry(|| {
        // SAFETY: the header's law.
        let (session, record, cancel) = unsafe { (share(session)?, share(record)?, cancel_of(cancel)?) };
        session.slot.work(|conversation| -> Result<()> {
            let restored = conversation.session.restore_turns(&record.record, turns, &cancel);
            forget_if_empty(conversation);
            restored?;
            conversation.record = record.record.clone();
            conversation.record.turns.truncate(turns);
            Ok(())
        })
    })
}

/// A conversation without positions has nothing to record.
fn forget_if_empty(conversation: &mut super::conversation::Conversation) {
    if conversation.session.position() == 0 {
        conversation.record.turns.clear();
    }
}

/// Frees a record. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_record_free(record: *mut ualm_record) {
    // SAFETY: the header's law.
    unsafe { free(record) }
}
