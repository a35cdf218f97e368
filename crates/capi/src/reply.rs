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

/// Returns the number of segments; 0 when the reply was stopped before the first one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_reply_segment_count(reply: *const ualm_reply) -> usize {
    // SAFETY: per the header's contract.
    value(0, || Ok(unsafe { share(reply) }?.segments.len()))
}

/// Returns the segment at `index`, from 0; NULL after the last one. It is valid until the reply is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_reply_segment(reply: *const ualm_reply, index: usize) -> *const ualm_segment {
    value(std::ptr::null(), || {
        // SAFETY: per the header's contract. The reply outlives the share that is taken here.
        let reply = unsafe { share(reply) }?;
        Ok(reply.segments.get(index).map_or(std::ptr::null(), |segment| std::ptr::from_ref(segment.view())))
    })
}

/// Returns the text of all text segments, concatenated and NUL-terminated. It is valid until the reply is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_reply_text(reply: *const ualm_reply) -> *const c_char {
    // SAFETY: per the header's contract. The reply outlives the share that is taken here.
    value(std::ptr::null(), || Ok(unsafe { share(reply) }?.text.as_ptr()))
}

/// Returns the sound of the last sound segment; NULL when there is none. It is valid until the reply is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_reply_audio(reply: *const ualm_reply) -> *const ualm_samples {
    value(std::ptr::null(), || {
        // SAFETY: per the header's contract. The reply outlives the share that is taken here.
        let reply = unsafe { share(reply) }?;
        let audio = reply.segments.iter().rev().find_map(|segment| segment.audio());
        Ok(audio.map_or(std::ptr::null(), |audio| std::ptr::from_ref(audio.view())))
    })
}

/// Returns the usage of the reply. It is valid until the reply is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_reply_usage(reply: *const ualm_reply) -> *const ualm_usage {
    // SAFETY: per the header's contract. The reply outlives the share that is taken here.
    value(std::ptr::null(), || Ok(&raw const unsafe { share(reply) }?.usage))
}

/// Frees a reply. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_reply_free(reply: *mut ualm_reply) {
    // SAFETY: per the header's contract.
    unsafe { free(reply) }
}
