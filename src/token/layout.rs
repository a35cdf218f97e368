//! Layouts: the order of a segment's codes in the sequence, the ids that each position may hold, and the segment's ends.

#![expect(clippy::indexing_slicing, reason = "the columns and books of a layout were checked when it was made")]

use std::num::NonZeroUsize;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::interval::{union, without};
use super::{Codes, Interval, TokenId, Tokens, Vocabulary};
use crate::count::counted;
use crate::error::{Error, ErrorKind, Result};

/// The maximum number of codebooks of a layout.
const MAX_BOOKS: usize = 1 << 10;

/// The order of a segment's codes in the sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Pattern {
    /// One code per position, in column 0, the books in turn; code = id − start of the book. Text is one book.
    Interleaved,
    /// All books in one position, book `b` in column `b` and shifted by `b` positions, so that each position predicts a
    /// book from the books before it. The first id of a book is its pad; code = id − start − 1.
    Delayed,
}

/// The ids that end a segment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct Ends {
    /// Ids that end the model's turn. The runtime writes the first one where it ends a turn itself.
    pub turn: Vec<TokenId>,
    /// Ids that end the segment and let another segment follow.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub segment: Vec<TokenId>,
}

impl Ends {
    pub(crate) fn new(turn: Vec<TokenId>, segment: Vec<TokenId>) -> Self {
        Self { turn, segment }
    }
}

/// The layout of a modality's segments, as the manifest writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct LayoutConfig {
    /// The order of the codes.
    pub pattern: Pattern,
    /// The ids of each codebook.
    pub books: Vec<Interval>,
    /// The ids that end a segment.
    pub ends: Ends,
    /// The first position at which only an end may be drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<usize>,
    /// `true` if only codes and ends may be drawn; `false` if any id of the head may be drawn. An id that is not a code
    /// then stays in the sequence, and the sound skips it.
    #[serde(default = "strict", skip_serializing_if = "Clone::clone")]
    pub strict: bool,
}

fn strict() -> bool {
    true
}

impl LayoutConfig {
    pub(crate) fn new(pattern: Pattern, books: Vec<Interval>, ends: Ends) -> Self {
        Self { pattern, books, ends, cap: None, strict: true }
    }
}

/// The kind of end of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The model ended its turn.
    Turn,
    /// The model ended the segment; another segment follows.
    Segment,
}

/// The layout of a modality's segments on the head from which their ids are drawn.
#[derive(Clone, Debug)]
pub struct Layout {
    width: NonZeroUsize,
    /// The id in the unused columns of a position.
    pad: TokenId,
    /// `true` if the pad stands for text whose tokenizer id is 0.
    zero_is_pad: bool,
    config: LayoutConfig,
    /// The slots without the ends, by position in a frame.
    open: Vec<Vec<Slot>>,
    /// The slots with the ends, by position in a frame.
    ending: Vec<Vec<Slot>>,
    /// Slots from the cap on.
    capped: Vec<Slot>,
}

/// The ids that may be drawn for one column of a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The column.
    pub column: usize,
    /// The ids in ascending order.
    pub runs: Vec<Run>,
}

/// Consecutive ids and the columns of the head that hold their logits.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "public for benches alone")]
pub struct Run {
    /// The first id.
    pub first: TokenId,
    /// The columns of the logits, one per id.
    pub columns: Range<usize>,
}

impl Layout {
    /// Creates the layout of `config`, on a head whose columns are the ids of `head`, in order.
    ///
    /// # Errors
    /// [`ErrorKind::Package`] for books that overlap, are empty or lie outside the vocabulary, and for ids that the head
    /// lacks.
    pub fn new(config: &LayoutConfig, vocabulary: &Vocabulary, head: &[Interval]) -> Result<Self> {
        check_config(config, vocabulary).map_err(|what| Error::new(ErrorKind::Package, what))?;
        let ends: Vec<_> = config.ends.turn.iter().chain(&config.ends.segment).copied().collect();
        let slot = |column, intervals| slot(column, intervals, head);
        let with_ends = |intervals: &[Interval]| {
            union(intervals.iter().copied().chain(ends.iter().map(|id| Interval::of(*id))).collect())
        };
        let slots_of = |intervals: &[Interval]| -> Result<[Vec<Slot>; 2]> {
            let open = without(union(intervals.to_vec()), &ends);
            Ok([vec![slot(0, open)?], vec![slot(0, with_ends(intervals))?]])
        };
        let capped = vec![slot(0, with_ends(&[]))?];
        let (open, ending) = match config.pattern {
            Pattern::Interleaved if !config.strict => pairs(vec![slots_of(head)?]),
            Pattern::Interleaved => pairs(config.books.iter().map(|book| slots_of(&[*book])).collect::<Result<_>>()?),
            Pattern::Delayed => {
                let first = config.books[0];
                let others = config.books.iter().enumerate().skip(1);
                let others = others.map(|(column, book)| slot(column, vec![*book])).collect::<Result<Vec<_>>>()?;
                let sounding = Interval { start: first.start + 1, ..first };
                let all = |first| [vec![first], others.clone()].concat();
                (vec![all(slot(0, vec![sounding])?)], vec![all(slot(0, with_ends(&[first]))?)])
            }
        };
        Ok(Self {
            width: vocabulary.non_zero_width(),
            pad: vocabulary.filler(),
            zero_is_pad: vocabulary.text.zero_is_pad,
            config: config.clone(),
            open,
            ending,
            capped,
        })
    }

    /// Returns the number of codebooks.
    pub fn books(&self) -> usize {
        self.config.books.len()
    }

    /// Returns the slots of the position `step` of a segment, from 0, in the order of drawing. They include the ends if
    /// `may_end` is `true` and the layout allows an end there: an interleaved segment of several books ends after one
    /// whole frame or more.
    pub(crate) fn slots(&self, step: usize, may_end: bool) -> &[Slot] {
        if self.config.cap.is_some_and(|cap| step >= cap) {
            return &self.capped;
        }
        let phase = step % self.open.len();
        let is_between_frames = self.open.len() == 1 || (phase == 0 && step > 0);
        if may_end && is_between_frames { &self.ending[phase] } else { &self.open[phase] }
    }

    /// Returns the number of random numbers drawn for `steps` positions: one per slot, none at temperature 0.
    pub(crate) fn draws(&self, steps: usize, temperature: f32) -> u64 {
        if temperature == 0.0 {
            return 0;
        }
        let each = self.open.first().map_or(1, Vec::len);
        (steps as u64).saturating_mul(each as u64)
    }

    /// Returns the kind of end that `position` is, if it is an end.
    pub(crate) fn end(&self, position: &[TokenId]) -> Option<End> {
        let id = position.first()?;
        if self.config.ends.turn.contains(id) {
            Some(End::Turn)
        } else if self.config.ends.segment.contains(id) {
            Some(End::Segment)
        } else {
            None
        }
    }

    /// Returns the id that writes this `end`, if the layout has one.
    pub(crate) fn ending_id(&self, end: End) -> Option<TokenId> {
        match end {
            End::Turn => self.config.ends.turn.first().copied(),
            End::Segment => self.config.ends.segment.first().copied(),
        }
    }

    /// Returns the number of positions of `frames` frames of codes, without an end.
    pub fn steps_for(&self, frames: usize) -> usize {
        match self.config.pattern {
            Pattern::Interleaved => frames.saturating_mul(self.books()),
            Pattern::Delayed if frames == 0 => 0,
            Pattern::Delayed => frames.saturating_add(self.books() - 1),
        }
    }

    /// Lays out `codes`, shape [books, frames], without an end.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for another number of books, or a code outside its book.
    pub fn lay(&self, codes: &Codes) -> Result<Tokens> {
        let (books, frames) = codes.dim();
        if books != self.books() {
            let what = format!("codes of {}; this layout has {}", counted(books, "book"), self.books());
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        let id = |book: usize, frame: usize| {
            let interval = self.config.books[book];
            let code = codes[(book, frame)];
            let id = interval.start.saturating_add(self.first_code()).saturating_add(code);
            interval.contains(id).then_some(id).ok_or_else(|| {
                let what = format!("code {code} in book {book}, frame {frame}; its book ends before");
                Error::new(ErrorKind::Invalid, what)
            })
        };
        let mut tokens = Tokens::with_capacity(self.width, self.steps_for(frames));
        let mut position = vec![self.pad; self.width.get()];
        for step in 0..self.steps_for(frames) {
            match self.config.pattern {
                Pattern::Interleaved => position[0] = id(step % books, step / books)?,
                Pattern::Delayed => {
                    for (book, cell) in position.iter_mut().enumerate().take(books) {
                        let frame = step.checked_sub(book).filter(|frame| *frame < frames);
                        *cell = frame.map_or(Ok(self.config.books[book].start), |frame| id(book, frame))?;
                    }
                }
            }
            tokens.push(&position);
        }
        Ok(tokens)
    }

    /// Returns the number of positions of a segment before its end.
    pub(crate) fn content_len(&self, segment: &Tokens) -> usize {
        let ended = segment.last().is_some_and(|last| self.end(last).is_some());
        segment.len() - usize::from(ended)
    }

    /// Returns the number of whole frames of codes in `segment`, without its end.
    pub fn frames(&self, segment: &Tokens) -> usize {
        let len = self.content_len(segment);
        match self.config.pattern {
            Pattern::Interleaved if !self.config.strict => self.codes_in(segment).count(),
            Pattern::Interleaved => len / self.books(),
            Pattern::Delayed => (len + 1).saturating_sub(self.books()),
        }
    }

    /// Returns the codes of `frames` of `segment`, shape [books, frames]. A pad among delayed codes becomes code 0, as in
    /// the authors' decoder, which clamps it.
    ///
    /// # Errors
    /// [`ErrorKind::Numeric`] for an id outside the book of its position.
    pub fn codes(&self, segment: &Tokens, frames: Range<usize>) -> Result<Codes> {
        if !self.config.strict {
            let start = self.config.books[0].start;
            let codes: Vec<_> = self.codes_in(segment).map(|id| id - start).collect();
            return Ok(Codes::from_shape_fn((1, frames.len()), |(_, frame)| codes[frames.start + frame]));
        }
        let mut wrong = None;
        let codes = Codes::from_shape_fn((self.books(), frames.len()), |(book, frame)| {
            let step = self.step_of(book, frames.start + frame);
            let id = segment.get(step).map_or(self.pad, |position| position[self.column_of(book)]);
            self.code(book, id).unwrap_or_else(|| {
                wrong.get_or_insert((book, step, id));
                0
            })
        });
        let Some((book, step, id)) = wrong else { return Ok(codes) };
        let Interval { start, end } = self.config.books[book];
        let what = format!("id {id} of book {book} in position {step}; expected {start}..{end}");
        Err(Error::new(ErrorKind::Numeric, what))
    }

    /// Returns whether ids that are not codes are skipped; otherwise they are decoded as code 0.
    pub(crate) fn skips(&self) -> bool {
        self.config.pattern == Pattern::Interleaved && !self.config.strict
    }

    /// Returns the number of codes that the whole frames of `segment` lack; for a layout that skips ids, the number of ids
    /// skipped.
    pub(crate) fn holes(&self, segment: &Tokens) -> usize {
        match self.config.pattern {
            Pattern::Interleaved if self.config.strict => 0,
            Pattern::Interleaved => self.content_len(segment) - self.frames(segment),
            Pattern::Delayed => {
                let is_hole = |book: usize, frame: usize| {
                    let position = segment.get(self.step_of(book, frame));
                    position.is_none_or(|position| position[book] <= self.config.books[book].start)
                };
                let frames = self.frames(segment);
                (0..self.books()).map(|book| (0..frames).filter(|frame| is_hole(book, *frame)).count()).sum()
            }
        }
    }

    /// Returns the number of positions of a sound before its run-out, in which no new frame begins: positions that complete
    /// delayed books, or an incomplete frame.
    pub(crate) fn sounding_len(&self, segment: &Tokens) -> usize {
        let len = self.content_len(segment);
        match self.config.pattern {
            Pattern::Interleaved if !self.config.strict => len,
            Pattern::Interleaved => self.frames(segment) * self.books(),
            Pattern::Delayed => {
                let is_pad =
                    |step: &usize| segment.get(*step).is_some_and(|position| position[0] == self.config.books[0].start);
                len - (0..len).rev().take(self.books() - 1).take_while(is_pad).count()
            }
        }
    }

    /// Checks that a segment of this layout can hold `position`, which is not an end, at `step`. The pad also stands for text
    /// whose tokenizer id is 0, if the vocabulary says so.
    ///
    /// # Errors
    /// A message that names the position.
    pub(crate) fn check(&self, step: usize, position: &[TokenId]) -> std::result::Result<(), String> {
        let books = &self.config.books;
        let fits = match self.config.pattern {
            Pattern::Interleaved => {
                let first = position[0];
                let is_code = !self.config.strict || books[step % books.len()].contains(first);
                let is_padded_text = books.len() == 1 && self.zero_is_pad && first == self.pad;
                (is_code || is_padded_text) && position[1..].iter().all(|id| *id == self.pad)
            }
            Pattern::Delayed => {
                position.iter().zip(books).all(|(id, book)| book.contains(*id))
                    && position[books.len()..].iter().all(|id| *id == self.pad)
            }
        };
        if fits { Ok(()) } else { Err(format!("position {step} is {position:?}, which no such segment holds")) }
    }

    /// Returns the index of the position that holds the code of `frame` in `book`.
    fn step_of(&self, book: usize, frame: usize) -> usize {
        match self.config.pattern {
            Pattern::Interleaved => frame * self.books() + book,
            Pattern::Delayed => frame + book,
        }
    }

    fn column_of(&self, book: usize) -> usize {
        match self.config.pattern {
            Pattern::Interleaved => 0,
            Pattern::Delayed => book,
        }
    }

    /// Returns the offset of code 0 in its book.
    fn first_code(&self) -> TokenId {
        match self.config.pattern {
            Pattern::Interleaved => 0,
            Pattern::Delayed => 1,
        }
    }

    fn code(&self, book: usize, id: TokenId) -> Option<TokenId> {
        let interval = self.config.books[book];
        match self.config.pattern {
            Pattern::Delayed if id == self.pad || id == interval.start => Some(0),
            _ if interval.contains(id) => Some(id - interval.start - self.first_code()),
            _ => None,
        }
    }

    /// Returns the codes of a segment that may hold other ids, too.
    fn codes_in<'t>(&self, segment: &'t Tokens) -> impl Iterator<Item = TokenId> + use<'t> {
        let book = self.config.books[0];
        let content = segment.iter().take(self.content_len(segment));
        content.filter_map(|position| position.first().copied()).filter(move |id| book.contains(*id))
    }
}

fn pairs(slots: Vec<[Vec<Slot>; 2]>) -> (Vec<Vec<Slot>>, Vec<Vec<Slot>>) {
    slots.into_iter().map(|[open, ending]| (open, ending)).unzip()
}

fn check_config(config: &LayoutConfig, vocabulary: &Vocabulary) -> std::result::Result<(), String> {
    let books = &config.books;
    if !(1..=MAX_BOOKS).contains(&books.len()) {
        return Err(format!("{} books; expected 1..={MAX_BOOKS}", books.len()));
    }
    let least = if config.pattern == Pattern::Delayed { 2 } else { 1 };
    for (number, Interval { start, end }) in books.iter().enumerate() {
        if end.saturating_sub(*start) < least || *end as usize > vocabulary.size {
            let size = vocabulary.size;
            return Err(format!("book {number} is [{start}, {end}]; expected at least {least} ids within 0..{size}"));
        }
    }
    for (number, book) in books.iter().enumerate() {
        if let Some(other) = books.iter().take(number).position(|other| other.overlaps(book)) {
            return Err(format!("book {number} is [{}, {}], which overlaps book {other}", book.start, book.end));
        }
    }
    if config.pattern == Pattern::Delayed && books.len() > vocabulary.width {
        return Err(format!("{} delayed books, but a position has {}", books.len(), counted(vocabulary.width, "id")));
    }
    if !config.strict && (config.pattern == Pattern::Delayed || books.len() > 1) {
        return Err(format!(
            "strict is false with {} {:?} books; expected one interleaved book",
            books.len(),
            config.pattern
        ));
    }
    if config.ends.turn.is_empty() {
        return Err("ends.turn is empty; expected at least one id".into());
    }
    let mut ends = config.ends.turn.iter().chain(&config.ends.segment);
    match ends.find(|id| **id as usize >= vocabulary.size) {
        Some(id) => Err(format!("the end {id} is outside 0..{}", vocabulary.size)),
        None => Ok(()),
    }
}

/// Returns the slot of `column` with the ids of `intervals`, in ascending order.
fn slot(column: usize, intervals: Vec<Interval>, head: &[Interval]) -> Result<Slot> {
    let mut runs = Vec::with_capacity(intervals.len());
    for wanted in intervals {
        let mut found = 0;
        let mut first_column = 0;
        let mut parts = Vec::new();
        for of_head in head {
            let part = Interval { start: wanted.start.max(of_head.start), end: wanted.end.min(of_head.end) };
            if !part.is_empty() {
                let from = first_column + (part.start - of_head.start) as usize;
                parts.push(Run { first: part.start, columns: from..from + part.len() });
                found += part.len();
            }
            first_column += of_head.len();
        }
        if found != wanted.len() {
            let what =
                format!("its head has {found} of the ids {}..{}; expected all of them", wanted.start, wanted.end);
            return Err(Error::new(ErrorKind::Package, what));
        }
        parts.sort_unstable_by_key(|run| run.first);
        runs.append(&mut parts);
    }
    Ok(Slot { column, runs })
}

#[cfg(test)]
mod tests;
