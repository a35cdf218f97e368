//! Reads everything that the library returns, as a C program could.

use std::ffi::{CStr, c_char};

use crate::event::ualm_event;
use crate::reply::{ualm_reply, ualm_reply_audio, ualm_reply_segment, ualm_reply_segment_count};
use crate::takes::ualm_take_event;
use crate::view::{ualm_samples, ualm_segment};

/// Reads everything that an event points to.
pub(super) unsafe fn read_event(event: *const ualm_event) {
    // SAFETY: it is valid, and so is what it points to.
    unsafe {
        let event = &*event;
        read_text(event.text, event.text_len);
        read_samples(event.audio);
        read_segment(event.segment);
    }
}

/// Reads everything that an event of takes points to.
pub(super) unsafe fn read_take_event(event: *const ualm_take_event) {
    // SAFETY: it is valid, and so is what it points to.
    unsafe {
        let event = &*event;
        read_text(event.text, event.text_len);
        read_samples(event.audio);
        read_segment(event.segment);
        assert!(event.ranked.as_ref().is_none_or(|ranked| CStr::from_ptr(ranked.caption).to_str().is_ok()));
        assert!(event.usage.as_ref().is_none_or(|usage| usage.decode_seconds.is_finite()));
    }
}

/// Reads a text, and checks its length.
unsafe fn read_text(text: *const c_char, len: usize) {
    // SAFETY: NULL or valid.
    assert!(text.is_null() || unsafe { CStr::from_ptr(text) }.to_str().is_ok_and(|text| text.len() == len));
}

pub(super) unsafe fn read_segment(segment: *const ualm_segment) {
    // SAFETY: NULL or valid, and so is what it points to.
    unsafe {
        let Some(segment) = segment.as_ref() else { return };
        assert!(CStr::from_ptr(segment.text).to_str().is_ok());
        if segment.frame_count > 0 {
            std::hint::black_box(std::slice::from_raw_parts(
                segment.frames,
                segment.frame_count * segment.stream_count,
            ));
        }
        read_samples(segment.audio);
    }
}

pub(super) unsafe fn read_samples(samples: *const ualm_samples) {
    // SAFETY: NULL or valid, and so is what it points to.
    unsafe {
        let Some(samples) = samples.as_ref().filter(|samples| samples.frames > 0) else { return };
        let data = std::slice::from_raw_parts(samples.data, samples.frames * samples.channels as usize);
        assert!(data.iter().all(|sample| sample.is_finite()));
    }
}

pub(super) unsafe fn read_reply(reply: *mut ualm_reply) {
    // SAFETY: alive, or NULL.
    unsafe {
        for index in 0..=ualm_reply_segment_count(reply) {
            read_segment(ualm_reply_segment(reply, index));
        }
        read_samples(ualm_reply_audio(reply));
    }
}
