//! The engine on a scripted body: a row's hidden state tells all that was run in it, so every mix-up shows.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{JoinHandle, scope, spawn};

use super::desk::Desk;
use super::scheduler::{Body, Scheduler};
use super::seat::{Embed, Seat};
use crate::cancel::Cancel;
use crate::error::{Error, ErrorKind, Result};
use crate::language_model::{HeadId, Prefix, Sequence, StateMark};
use crate::token::{TokenId, Tokens};

/// The two heads of the fake: logits are the hidden state, or twice that.
const ONE: HeadId = HeadId(0);
const TWO: HeadId = HeadId(1);
const CONTEXT: usize = 64;
const PAD: f32 = -1.0;
/// A run with this id fails.
const BROKEN: TokenId = 1000;
/// The row of this id gets numbers that are not finite.
const INFINITE: TokenId = 1001;
/// The heads fail on a row that ends with this id.
const HEADLESS: TokenId = 1003;
/// The thread panics at this id.
const PANIC: TokenId = 1002;

/// One id a position; a hidden state has two numbers, a sum over what the row holds and its length.
#[derive(Default)]
struct Fake {
    rows: Vec<Vec<f32>>,
    hidden: Vec<[f32; 2]>,
    infinite: Vec<bool>,
    headless: Vec<[f32; 2]>,
    logits: Vec<f32>,
    /// Throws the switch after so many chunks of prompts.
    cancel: Option<(usize, Cancel)>,
    chunks: Arc<AtomicUsize>,
    largest_batch: Arc<AtomicUsize>,
}

fn state(row: &[f32]) -> [f32; 2] {
    let sum = row.iter().fold(0.0, |sum, id| (sum * 31.0 + id) % 9973.0);
    [sum, row.len() as f32]
}

impl Fake {
    fn new(rows: usize) -> Self {
        Self { rows: vec![Vec::new(); rows], ..Self::default() }
    }
}

impl Body for Fake {
    fn width(&self) -> usize {
        1
    }

    fn heads(&self) -> usize {
        2
    }

    fn hidden_size(&self) -> usize {
        2
    }

    fn prefill(&mut self, place: usize, len: usize, embeds: &[f32], hidden: &mut Vec<f32>) -> Result<()> {
        let chunks = 1 + self.chunks.fetch_add(1, Ordering::Relaxed);
        if let Some((_, cancel)) = self.cancel.as_ref().filter(|(after, _)| *after == chunks) {
            cancel.cancel();
        }
        let row = &mut self.rows[place];
        row.truncate(len - embeds.len() / 2);
        row.extend(embeds.chunks_exact(2).map(|embed| embed[0]));
        assert_eq!(row.len(), len);
        hidden.clear();
        hidden.extend(state(row));
        Ok(())
    }

    fn step(&mut self, ids: &[TokenId], lens: &[usize]) -> Result<()> {
        assert!(!ids.contains(&PANIC), "as the test wants it");
        if ids.contains(&BROKEN) {
            return Err(Error::new(ErrorKind::Graph, "broken"));
        }
        self.largest_batch.fetch_max(lens.len(), Ordering::Relaxed);
        (self.hidden, self.infinite) = Default::default();
        for ((row, id), len) in self.rows.iter_mut().zip(ids).zip(lens) {
            row.truncate(len - 1);
            row.push(*id as f32);
            assert_eq!(row.len(), *len, "positions are missing");
            self.hidden.push(state(row));
            self.infinite.push(*id == INFINITE);
            self.headless.extend((*id == HEADLESS).then(|| state(row)));
        }
        Ok(())
    }

    fn hidden(&self, rows: usize, place: usize) -> Result<&[f32]> {
        assert_eq!(rows, self.hidden.len());
        match self.infinite[place] {
            true => Err(Error::new(ErrorKind::Numeric, "infinite")),
            false => Ok(&self.hidden[place]),
        }
    }

    fn logits(&mut self, head: HeadId, hidden: &[f32]) -> Result<&mut [f32]> {
        if hidden.chunks_exact(2).any(|row| self.headless.iter().any(|headless| row == headless)) {
            return Err(Error::new(ErrorKind::Graph, "no logits"));
        }
        let factor = if head == ONE { 1.0 } else { 2.0 };
        self.logits = hidden.iter().map(|number| number * factor).collect();
        Ok(&mut self.logits)
    }

    fn copy_row(&mut self, from: usize, to: usize, len: usize) {
        self.rows[to] = self.rows[from][..len].to_vec();
    }

    fn swap_rows(&mut self, one: usize, other: usize, len: usize) {
        assert!(self.rows[one].len().min(len) <= len && self.rows[other].len().min(len) <= len);
        self.rows.swap(one, other);
    }

    fn fill_with_pads(&mut self, place: usize, len: usize) -> Result<()> {
        self.rows[place] = vec![PAD; len];
        Ok(())
    }
}

/// An engine without a model.
struct Bench {
    desk: Arc<Desk>,
    embed: Arc<Embed>,
    thread: Option<JoinHandle<()>>,
}

impl Bench {
    fn new(fake: Fake) -> Self {
        let desk = Arc::new(Desk::new(fake.rows.len()));
        let scheduler = Scheduler::new(Arc::clone(&desk), fake, 3);
        let embed = |tokens: &Tokens, _: &[_]| Ok(tokens.ids().iter().flat_map(|id| [*id as f32, 0.0]).collect());
        Self { desk, embed: Arc::new(embed), thread: Some(spawn(|| scheduler.run())) }
    }

    fn seat(&self, guidance: bool) -> Result<Seat> {
        Seat::new(&self.desk, &self.embed, CONTEXT, guidance)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.desk.stop("the test is over");
        let _ = self.thread.take().unwrap().join();
    }
}

fn prompt(ids: impl IntoIterator<Item = TokenId>) -> Tokens {
    Tokens::from_ids(std::num::NonZeroUsize::MIN, ids.into_iter().collect()).unwrap()
}

fn prefill(seat: &mut Seat, ids: impl IntoIterator<Item = TokenId>) -> Result<()> {
    seat.prefill(&prompt(ids), &[], &Cancel::new())
}

/// A conversation with everything in it; checks every state on the way.
fn converse(bench: &Bench, seed: TokenId) {
    let mut seat = bench.seat(true).unwrap();
    let mut said: Vec<f32> = Vec::new();
    for turn in 0..3 {
        let ids: Vec<_> = (0..1 + (seed * 5 + turn) % 11).map(|i| seed * 7 + i).collect();
        prefill(&mut seat, ids.clone()).unwrap();
        said.extend(ids.iter().map(|id| *id as f32));
        assert_eq!(seat.logits(ONE).unwrap(), state(&said));
        let guided = (seed + turn).is_multiple_of(2);
        let mut beside = vec![PAD; said.len()];
        if guided && turn == 0 {
            seat.begin_guidance(Prefix::Pads, &Cancel::new()).unwrap();
        } else if guided {
            let prefix = prompt((0..said.len() as TokenId).map(|i| seed + 2 * i));
            beside = prefix.ids().iter().map(|id| *id as f32).collect();
            seat.begin_guidance(Prefix::Tokens(&prefix), &Cancel::new()).unwrap();
        }
        for step in 0..4 {
            let id = seed * 3 + turn + step;
            seat.step(&[id]).unwrap();
            said.push(id as f32);
            beside.push(id as f32);
            let mut expected = state(&said).to_vec();
            if guided {
                expected.extend(state(&beside));
            }
            expected.iter_mut().for_each(|number| *number *= 2.0);
            assert_eq!(seat.logits(TWO).unwrap(), expected, "seat {seed}, turn {turn}, step {step}");
        }
        seat.end_guidance().unwrap();
        assert_eq!(seat.logits(ONE).unwrap(), state(&said));
        let back = said.len() - 2;
        seat.rewind(&StateMark::at(back));
        said.truncate(back);
        assert_eq!(seat.position(), said.len());
    }
}

#[test]
fn every_conversation_is_the_same_as_alone() {
    let fake = Fake::new(12);
    let largest = Arc::clone(&fake.largest_batch);
    let bench = Bench::new(fake);
    scope(|scope| {
        for client in 0..6 {
            let bench = &bench;
            scope.spawn(move || (0..40).for_each(|round| converse(bench, client * 40 + round)));
        }
    });
    assert!(largest.load(Ordering::Relaxed) > 2, "no step had more than one conversation");
    let state = bench.desk.lock();
    assert_eq!((state.rows.free(), state.seats.iter().flatten().count()), (12, 0), "something was not given back");
    assert!(state.stats.steps > 0 && state.stats.row_steps >= state.stats.steps && state.stats.waiting_prompts == 0);
}

#[test]
fn an_unconditional_prompt_is_as_long_as_the_conditional_one() {
    let bench = Bench::new(Fake::new(2));
    let mut seat = bench.seat(true).unwrap();
    prefill(&mut seat, 0..9).unwrap();
    let error = seat.begin_guidance(Prefix::Tokens(&prompt(0..8)), &Cancel::new()).unwrap_err();
    assert!(error.kind() == ErrorKind::Invalid && error.message().contains("8 positions; expected 9"), "{error}");
    let cancel = Cancel::new();
    cancel.cancel();
    let error = seat.begin_guidance(Prefix::Tokens(&prompt(0..9)), &cancel).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    seat.step(&[9]).unwrap();
    assert_eq!(seat.logits(ONE).unwrap(), state(&(0..10).map(|id| id as f32).collect::<Vec<_>>()));
}

#[test]
fn a_fork_goes_its_own_way() {
    let bench = Bench::new(Fake::new(4));
    let mut seat = bench.seat(false).unwrap();
    prefill(&mut seat, 0..9).unwrap();
    let mut fork = seat.fork(&StateMark::at(7)).unwrap();
    assert_eq!((seat.position(), fork.position()), (9, 7));
    fork.step(&[50]).unwrap();
    seat.step(&[60]).unwrap();
    let said = |len: usize, id: f32| state(&(0..len).map(|i| i as f32).chain([id]).collect::<Vec<_>>());
    assert_eq!(fork.logits(ONE).unwrap(), said(7, 50.0));
    assert_eq!(seat.logits(ONE).unwrap(), said(9, 60.0));
}

#[test]
fn seats_are_refused_when_no_rows_are_left() {
    let bench = Bench::new(Fake::new(3));
    let (_one, two) = (bench.seat(true).unwrap(), bench.seat(false).unwrap());
    let error = bench.seat(false).err().unwrap();
    assert!(error.kind() == ErrorKind::Limit && error.message().contains("0 of its 3 are free"), "{error}");
    drop(two);
    assert!(bench.seat(true).is_err());
    let mut narrow = bench.seat(false).unwrap();
    let error = narrow.begin_guidance(Prefix::Pads, &Cancel::new()).unwrap_err();
    assert!(error.message().contains("without room for guidance"), "{error}");
    let error = prefill(&mut narrow, 0..=CONTEXT as TokenId).unwrap_err();
    assert!(error.kind() == ErrorKind::Limit && error.message().contains("holds 64"), "{error}");
}

/// Six conversations step together; now and then the first of them does `harm`, with that many positions said, and goes on.
fn one_of_six_does(harm: impl Fn(&mut Seat, usize) + Sync) {
    let bench = Bench::new(Fake::new(6));
    scope(|scope| {
        for client in 0..6 {
            let (bench, harm) = (&bench, &harm);
            scope.spawn(move || {
                let mut seat = bench.seat(false).unwrap();
                let mut said = Vec::new();
                for step in 0..50 {
                    if client == 0 && step % 5 == 4 {
                        harm(&mut seat, said.len());
                    }
                    seat.step(&[client + step]).unwrap();
                    said.push((client + step) as f32);
                    assert_eq!(seat.logits(ONE).unwrap(), state(&said));
                }
            });
        }
    });
}

/// An id that cannot be run: it alone fails, and can go on.
#[test]
fn a_failure_hurts_only_its_own_row() {
    for (bad, kind) in [(BROKEN, ErrorKind::Graph), (INFINITE, ErrorKind::Numeric)] {
        one_of_six_does(|seat, said| {
            assert_eq!(seat.step(&[bad]).unwrap_err().kind(), kind);
            assert_eq!(seat.position(), said);
        });
    }
}

/// The head cannot run for one of them: its step is made, and it alone gets the error.
#[test]
fn a_head_that_fails_hurts_only_its_own_row() {
    one_of_six_does(|seat, said| {
        seat.step(&[HEADLESS]).unwrap();
        assert_eq!(seat.position(), said + 1);
        assert_eq!(seat.logits(ONE).unwrap_err().kind(), ErrorKind::Graph);
        seat.rewind(&StateMark::at(said));
    });
}

#[test]
fn a_long_prompt_is_cancelled_between_two_chunks() {
    let (cancel, fake) = (Cancel::new(), Fake::new(2));
    let chunks = Arc::clone(&fake.chunks);
    let bench = Bench::new(Fake { cancel: Some((4, cancel.clone())), ..fake });
    let mut seat = bench.seat(false).unwrap();
    prefill(&mut seat, 0..2).unwrap();
    let error = seat.prefill(&prompt(0..60), &[], &cancel).unwrap_err();
    assert_eq!((error.kind(), seat.position(), chunks.load(Ordering::Relaxed)), (ErrorKind::Cancelled, 2, 4));
    prefill(&mut seat, [7]).unwrap();
    assert_eq!(seat.logits(ONE).unwrap(), state(&[0.0, 1.0, 7.0]));
}

/// While a long prompt is run in chunks, steps of another seat go on between them.
#[test]
fn a_long_prompt_does_not_stall_the_others() {
    let fake = Fake::new(2);
    let chunks = Arc::clone(&fake.chunks);
    let bench = Bench::new(fake);
    let mut stepping = bench.seat(false).unwrap();
    let shared = scope(|scope| {
        let prompts = scope.spawn(|| {
            let mut long = bench.seat(false).unwrap();
            for _ in 0..400 {
                long.rewind(&StateMark::START);
                prefill(&mut long, 0..60).unwrap();
            }
        });
        let mut counts = std::collections::BTreeSet::new();
        while !prompts.is_finished() {
            stepping.rewind(&StateMark::START);
            stepping.step(&[1]).unwrap();
            counts.insert(chunks.load(Ordering::Relaxed) % 20);
        }
        counts
    });
    // after any number of its twenty chunks, and not only when it was done
    assert!(shared.len() > 2, "steps were run only after the chunks {shared:?} of 20");
}

#[test]
fn nobody_waits_for_an_engine_that_has_ended() {
    let bench = Bench::new(Fake::new(4));
    let mut seats: Vec<_> = (0..3).map(|_| bench.seat(false).unwrap()).collect();
    let desk = Arc::clone(&bench.desk);
    drop(bench);
    for seat in &mut seats {
        let errors = [seat.step(&[1]).unwrap_err(), prefill(seat, [1]).unwrap_err()];
        assert!(errors.iter().all(|error| error.message().contains("has ended: the test is over")), "{errors:?}");
    }
    assert!(desk.open(false).is_err());
}

#[test]
fn a_panic_becomes_an_error_in_all_seats() {
    let bench = Bench::new(Fake::new(3));
    // all are there before the first of them does harm
    let seats: Vec<_> = (0..3).map(|_| bench.seat(false).unwrap()).collect();
    scope(|scope| {
        for (client, mut seat) in seats.into_iter().enumerate() {
            scope.spawn(move || {
                let failed = (0..).find_map(|step| match client == 0 && step == 10 {
                    true => seat.step(&[PANIC]).err(),
                    false => {
                        seat.rewind(&StateMark::START);
                        seat.step(&[1]).err()
                    }
                });
                assert!(failed.unwrap().message().contains("its thread panicked"));
            });
        }
    });
}
