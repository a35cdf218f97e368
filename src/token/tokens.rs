//! Tokens: the positions of a sequence, each with the same number of token ids.

#![expect(clippy::indexing_slicing, reason = "a range beyond the positions is a fault of the caller, as with a slice")]

use std::num::NonZeroUsize;
use std::ops::Range;

use ndarray::Array2;
use serde::{Serialize, Serializer};

use crate::count::counted;
use crate::error::{Error, ErrorKind, Result};

/// An id of the vocabulary.
pub type TokenId = u32;

/// Codec codes, shape [books, frames], each below the codebook's size.
pub type Codes = Array2<u32>;

/// A list of positions, each of `width` ids: one id per parallel stream of the language model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    width: NonZeroUsize,
    ids: Vec<TokenId>,
}

impl Tokens {
    /// Creates an empty list of positions of `width` ids each.
    pub fn new(width: NonZeroUsize) -> Self {
        Self { width, ids: Vec::new() }
    }

    /// Creates the list of the positions in `ids`, `width` ids each, position by position.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when `ids` ends within a position.
    pub fn from_ids(width: NonZeroUsize, ids: Vec<TokenId>) -> Result<Self> {
        if !ids.len().is_multiple_of(width.get()) {
            let what = format!("{}; expected a multiple of {width}, the ids of a position", counted(ids.len(), "id"));
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        Ok(Self { width, ids })
    }

    /// Creates an empty list with room for `len` positions.
    pub(crate) fn with_capacity(width: NonZeroUsize, len: usize) -> Self {
        Self { width, ids: Vec::with_capacity(width.get() * len) }
    }

    /// Appends a position, which holds as many ids as the others.
    pub(crate) fn push(&mut self, position: &[TokenId]) {
        debug_assert_eq!(position.len(), self.width());
        self.ids.extend_from_slice(position);
    }

    /// Appends a position with `id` in column 0 and `pad` in the others.
    pub(crate) fn push_single(&mut self, id: TokenId, pad: TokenId) {
        self.ids.push(id);
        self.ids.resize(self.ids.len() + self.width() - 1, pad);
    }

    /// Appends the positions of `other`, which has the same width.
    pub(crate) fn extend(&mut self, other: &Self) {
        debug_assert_eq!(other.width, self.width);
        self.ids.extend_from_slice(&other.ids);
    }

    /// Keeps the first `len` positions.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.ids.truncate(len * self.width());
    }

    /// Returns the number of positions.
    pub fn len(&self) -> usize {
        self.ids.len() / self.width
    }

    /// Returns whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Returns the number of ids in a position.
    pub fn width(&self) -> usize {
        self.width.get()
    }

    /// Returns the position at `index`, if there is one.
    pub fn get(&self, index: usize) -> Option<&[TokenId]> {
        self.ids.get(index * self.width()..(index + 1) * self.width())
    }

    /// Returns the positions of `range`.
    ///
    /// # Panics
    /// If `range` is out of bounds.
    pub fn slice(&self, range: Range<usize>) -> Self {
        Self { width: self.width, ids: self.ids[range.start * self.width()..range.end * self.width()].to_vec() }
    }

    /// Returns the last position.
    pub fn last(&self) -> Option<&[TokenId]> {
        self.len().checked_sub(1).and_then(|last| self.get(last))
    }

    /// Returns the positions in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[TokenId]> {
        self.ids.chunks_exact(self.width())
    }

    /// Returns all ids, position by position.
    pub fn ids(&self) -> &[TokenId] {
        &self.ids
    }
}

/// Serializes a list of positions, each a list of ids.
impl Serialize for Tokens {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}
