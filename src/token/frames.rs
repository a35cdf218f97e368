//! Frames: the positions of a sequence, each with one token id for every stream.

#![expect(clippy::indexing_slicing, reason = "a range beyond the frames is a fault of the caller, as with a slice")]

use std::ops::Range;

use ndarray::Array2;
use serde::{Serialize, Serializer};

/// An id of the shared vocabulary.
pub type TokenId = u32;

/// Codec codes, shape [streams, frames], each below the codebook's size.
pub type Codes = Array2<u32>;

/// A list of frames, each of `streams` ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frames {
    streams: usize,
    ids: Vec<TokenId>,
}

impl Frames {
    /// No frames, of `streams` ids each.
    pub fn new(streams: usize) -> Self {
        Self { streams, ids: Vec::new() }
    }

    /// No frames, with room for `len` of them.
    pub(crate) fn with_room(streams: usize, len: usize) -> Self {
        Self { streams, ids: Vec::with_capacity(streams * len) }
    }

    /// `len` frames of pad (id 0).
    pub fn pads(streams: usize, len: usize) -> Self {
        Self { streams, ids: vec![0; streams * len] }
    }

    /// Appends a frame; `frame` holds one id a stream.
    pub fn push(&mut self, frame: &[TokenId]) {
        debug_assert_eq!(frame.len(), self.streams);
        self.ids.extend_from_slice(frame);
    }

    /// Appends a frame with `id` in stream 0 and pad in the others: text and control tokens.
    pub fn push_single(&mut self, id: TokenId) {
        self.ids.push(id);
        self.ids.resize(self.ids.len() + self.streams - 1, 0);
    }

    /// Appends `count` frames of pad.
    pub fn push_pads(&mut self, count: usize) {
        self.ids.resize(self.ids.len() + count * self.streams, 0);
    }

    /// Appends the frames of `other`.
    pub fn extend(&mut self, other: &Frames) {
        debug_assert_eq!(other.streams, self.streams);
        self.ids.extend_from_slice(&other.ids);
    }

    /// Number of frames.
    pub fn len(&self) -> usize {
        self.ids.len() / self.streams
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Ids in a frame.
    pub fn streams(&self) -> usize {
        self.streams
    }

    /// The frame at `index`, if there is one.
    pub fn get(&self, index: usize) -> Option<&[TokenId]> {
        self.ids.get(index * self.streams..(index + 1) * self.streams)
    }

    /// The frames of `range`, which must lie within.
    pub fn slice(&self, range: Range<usize>) -> Frames {
        let ids = self.ids[range.start * self.streams..range.end * self.streams].to_vec();
        Self { streams: self.streams, ids }
    }

    /// The last frame.
    pub fn last(&self) -> Option<&[TokenId]> {
        self.len().checked_sub(1).and_then(|last| self.get(last))
    }

    /// The frames in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[TokenId]> {
        self.ids.chunks_exact(self.streams)
    }

    /// All ids, frame by frame.
    pub fn ids(&self) -> &[TokenId] {
        &self.ids
    }
}

/// As a list of frames, each a list of ids.
impl Serialize for Frames {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}
