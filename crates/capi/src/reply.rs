//! Finished replies.

use std::ffi::c_char;
use std::sync::Arc;

use super::boundary::value;
use super::handle::{Handle, free, share};
use super::view::{SegmentView, Text, ualm_samples, ualm_segment, ualm_usage};

/// A finished reply: its segments in order.
pub struct ualm_reply {
    segments: Vec<Arc<SegmentView>>,
    usage: ualm_usage,
    text: Text,
}

impl Handle for ualm_reply {
    const NAME: &'static str = "reply";
}

impl ualm_reply {
    pub(super) fn new(segments: Vec<Arc<SegmentView>>, usage: ualm_usage) -> Self {
        let text: Vec<u8> = segments.iter().flat_map(|segment| segment.text()).copied().collect();
        Self { segments, usage, text: Text::new(text) }
    }
}

/// How many segments there are; none when the reply was stopped before the first one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_reply_segment_count(reply: *const ualm_reply) -> usize {
    // SAFETY: the header's law.
    value(0, || Ok(unsafe { share(reply) }?.segments.len()))
}

/// The segment at `index`, from 0; NULL after the last one. It is valid until the reply is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_reply_segment(reply: *const ualm_reply, index: usize) -> *const ualm_segment {
    value(std::ptr::null(), || {
        // SAFETY: the header's law. The reply outlives the share that is taken here.
        let reply = unsafe { share(reply) }?;
        Ok(reply.segments.get(index).map_or(std::ptr::null(), |segment| std::ptr::from_ref(segment.view())))
    })
}

/// The text of all text segments, one after another, with a NUL at its end. It is valid until the reply is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_reply_text(reply: *const ualm_reply) -> *const c_char {
    // SAFETY: the header's law. The reply outlives the share that is taken here.
    value(std::ptr::null(), || Ok(unsafe { share(reply) }?.text.as_ptr()))
}

/// The last sound segment's sound; NULL when there is none. It is valid until the reply is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_reply_audio(reply: *const ualm_reply) -> *const ualm_samples {
    value(std::ptr::null(), || {
        // SAFETY: the header's law. The reply outlives the share that is taken here.
        let reply = unsafe { share(reply) }?;
        let audio = reply.segments.iter().rev().find_map(|segment| segment.audio());
        Ok(audio.map_or(std::ptr::null(), |audio| std::ptr::from_ref(audio.view())))
    })
}

/// What it took. Valid until the reply is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_reply_usage(reply: *const ualm_reply) -> *const ualm_usage {
    // SAFETY: the header's law. The reply outlives the share that is taken here.
    value(std::ptr::null(), || Ok(&raw const unsafe { share(reply) }?.usage))
}

/// Frees a reply. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_reply_free(reply: *mut ualm_reply) {
    // SAFETY: the header's law.
    unsafe { free(reply) }
}
