//! Tests of the engine on a scripted body: a row's hidden state is a digest of everything run in the row, so that any
//! mix-up of rows shows.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier, Mutex};
use std::thread::{JoinHandle, scope, spawn, yield_now};

use super::body::Body;
use super::queue::RequestQueue;
use super::scheduler::Scheduler;
use super::slot::{Embed, SlotSequence};
use crate::cancel::Cancel;
use crate::error::{Error, ErrorKind, Result};
use crate::language_model::{HeadId, Prefix, Sequence, StateMark};
use crate::token::{TokenId, Tokens};

/// The two heads of the fake: `ONE` returns the hidden state as logits, `TWO` twice the hidden state.
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
/// The device is lost at this id.
const LOST: TokenId = 1004;

/// A body with one id a position; a hidden state has two numbers, a digest of the row's ids and the row's length.
#[derive(Default)]
struct Fake {
    rows: Vec<Vec<f32>>,
    hidden: Vec<[f32; 2]>,
    infinite: Vec<bool>,
    headless: Vec<[f32; 2]>,
    logits: Vec<f32>,
    /// Invalid rows, after a failed swap.
    lost: BTreeSet<usize>,
    /// True while swaps fail.
    swaps_fail: Arc<AtomicBool>,
    /// The number of a chunk of prompts, and an action of the test while this chunk runs.
    on_chunk: Option<(usize, Box<dyn Fn() + Send>)>,
    chunks: Arc<AtomicUsize>,
    /// Number of chunks before the last step.
    chunks_before_step: Arc<AtomicUsize>,
    /// Positions of each chunk of a prompt, and of the prompt.
    prompts: Arc<Mutex<Vec<(usize, usize)>>>,
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

    /// Checks that a row with `before` positions before a run is valid.
    fn check(&mut self, index: usize, before: usize) -> Result<()> {
        if before == 0 {
            self.lost.remove(&index);
        }
        if self.lost.contains(&index) { Err(Error::new(ErrorKind::Graph, "lost row")) } else { Ok(()) }
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

    fn prefill(
        &mut self,
        index: usize,
        len: usize,
        prompt: usize,
        embeds: &[f32],
        hidden: &mut Vec<f32>,
    ) -> Result<()> {
        self.prompts.lock().unwrap().push((embeds.len() / 2, prompt));
        let chunks = 1 + self.chunks.fetch_add(1, Ordering::Relaxed);
        if let Some((_, act)) = self.on_chunk.as_ref().filter(|(number, _)| *number == chunks) {
            act();
        }
        self.check(index, len - embeds.len() / 2)?;
        let row = &mut self.rows[index];
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
        if ids.contains(&LOST) {
            return Err(Error::new(ErrorKind::Provider, "the device is lost"));
        }
        for (row, len) in lens.iter().enumerate() {
            self.check(row, len - 1)?;
        }
        self.largest_batch.fetch_max(lens.len(), Ordering::Relaxed);
        self.chunks_before_step.store(self.chunks.load(Ordering::Relaxed), Ordering::Relaxed);
        self.hidden.clear();
        self.infinite.clear();
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

    fn hidden(&self, rows: usize, index: usize) -> Result<&[f32]> {
        assert_eq!(rows, self.hidden.len());
        if self.infinite[index] {
            return Err(Error::new(ErrorKind::Numeric, "infinite"));
        }
        Ok(&self.hidden[index])
    }

    fn logits(&mut self, head: HeadId, hidden: &[f32]) -> Result<&mut [f32]> {
        if hidden.chunks_exact(2).any(|row| self.headless.iter().any(|headless| row == headless)) {
            return Err(Error::new(ErrorKind::Graph, "no logits"));
        }
        let factor = if head == ONE { 1.0 } else { 2.0 };
        self.logits = hidden.iter().map(|number| number * factor).collect();
        Ok(&mut self.logits)
    }

    fn copy_row(&mut self, from: usize, to: usize, len: usize) -> Result<()> {
        self.rows[to] = self.rows[from][..len].to_vec();
        Ok(())
    }

    fn swap_rows(&mut self, one: usize, other: usize, len: usize) -> Result<()> {
        if self.swaps_fail.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Limit, "no memory to swap with"));
        }
        assert!(self.rows[one].len().min(len) <= len && self.rows[other].len().min(len) <= len);
        self.rows.swap(one, other);
        let [is_one, is_other] = [one, other].map(|row| self.lost.remove(&row));
        self.lost.extend([(is_one, other), (is_other, one)].into_iter().filter(|(is, _)| *is).map(|(_, row)| row));
        Ok(())
    }

    fn fill_with_pads(&mut self, index: usize, len: usize) -> Result<()> {
        self.rows[index] = vec![PAD; len];
        Ok(())
    }

    fn invalidate(&mut self, index: usize) {
        self.lost.insert(index);
    }
}

/// An engine without a model.
struct Bench {
    queue: Arc<RequestQueue>,
    embed: Arc<Embed>,
    thread: Option<JoinHandle<()>>,
}

impl Bench {
    fn new(fake: Fake) -> Self {
        let queue = Arc::new(RequestQueue::new(fake.rows.len()));
        let scheduler = Scheduler::new(Arc::clone(&queue), fake, 3);
        let embed = |tokens: &Tokens, _: &[_]| Ok(tokens.ids().iter().flat_map(|id| [*id as f32, 0.0]).collect());
        Self { queue, embed: Arc::new(embed), thread: Some(spawn(|| scheduler.run())) }
    }

    fn sequence(&self, guidance: bool) -> Result<SlotSequence> {
        SlotSequence::new(&self.queue, &self.embed, CONTEXT, guidance)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.queue.stop("the test is over");
        let _ = self.thread.take().unwrap().join();
    }
}

fn prompt(ids: impl IntoIterator<Item = TokenId>) -> Tokens {
    Tokens::from_ids(std::num::NonZeroUsize::MIN, ids.into_iter().collect()).unwrap()
}

fn prefill(sequence: &mut SlotSequence, ids: impl IntoIterator<Item = TokenId>) -> Result<()> {
    sequence.prefill(&prompt(ids), &[], &Cancel::new())
}

/// The length of a prompt, on which the choice of the graph depends, is passed with each chunk.
#[test]
fn every_chunk_knows_the_length_of_its_prompt() {
    let fake = Fake::new(3);
    let prompts = Arc::clone(&fake.prompts);
    let bench = Bench::new(fake);
    let mut sequence = bench.sequence(true).unwrap();
    prefill(&mut sequence, 0..8).unwrap();
    prefill(&mut sequence, 8..10).unwrap();
    let beside = prompt((0..4).chain(20..26));
    sequence.begin_guidance(Prefix::Tokens { tokens: &beside, shared: 4 }, &Cancel::new()).unwrap();
    assert_eq!(*prompts.lock().unwrap(), [(3, 8), (3, 8), (2, 8), (2, 2), (3, 6), (3, 6)]);
}

/// Holds a conversation that uses every operation, and checks every state on the way.
fn converse(bench: &Bench, seed: TokenId) {
    let mut sequence = bench.sequence(true).unwrap();
    let mut said: Vec<f32> = Vec::new();
    for turn in 0..3 {
        let ids: Vec<_> = (0..1 + (seed * 5 + turn) % 11).map(|i| seed * 7 + i).collect();
        prefill(&mut sequence, ids.clone()).unwrap();
        said.extend(ids.iter().map(|id| *id as f32));
        assert_eq!(sequence.logits(ONE).unwrap(), state(&said));
        let guided = (seed + turn).is_multiple_of(2);
        let mut beside = vec![PAD; said.len()];
        if guided && turn == 0 {
            sequence.begin_guidance(Prefix::Pads, &Cancel::new()).unwrap();
        } else if guided {
            let shared = said.len() / 2;
            let same = said[..shared].iter().map(|id| *id as TokenId);
            let tokens = prompt(same.chain((shared as TokenId..said.len() as TokenId).map(|i| seed + 2 * i)));
            beside = tokens.ids().iter().map(|id| *id as f32).collect();
            sequence.begin_guidance(Prefix::Tokens { tokens: &tokens, shared }, &Cancel::new()).unwrap();
        }
        for step in 0..4 {
            let id = seed * 3 + turn + step;
            sequence.step(&[id]).unwrap();
            said.push(id as f32);
            beside.push(id as f32);
            let mut expected = state(&said).to_vec();
            if guided {
                expected.extend(state(&beside));
            }
            let expected: Vec<_> = expected.iter().map(|number| number * 2.0).collect();
            assert_eq!(sequence.logits(TWO).unwrap(), expected, "sequence {seed}, turn {turn}, step {step}");
        }
        sequence.end_guidance().unwrap();
        assert_eq!(sequence.logits(ONE).unwrap(), state(&said));
        let back = said.len() - 2;
        sequence.rewind(&StateMark::at(back));
        said.truncate(back);
        assert_eq!(sequence.position(), said.len());
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
            scope.spawn(move || {
                for round in 0..40 {
                    converse(bench, client * 40 + round);
                }
            });
        }
    });
    assert!(largest.load(Ordering::Relaxed) > 2, "no step had more than one conversation");
    let state = bench.queue.lock();
    assert_eq!(
        (state.rows.free(), state.sessions.iter().flatten().count()),
        (12, 0),
        "a slot or a session was not released"
    );
    assert!(state.stats.steps > 0 && state.stats.row_steps >= state.stats.steps && state.stats.waiting_prompts == 0);
}

#[test]
fn an_unconditional_prompt_is_as_long_as_the_conditional_one() {
    let bench = Bench::new(Fake::new(2));
    let mut sequence = bench.sequence(true).unwrap();
    prefill(&mut sequence, 0..9).unwrap();
    let error =
        sequence.begin_guidance(Prefix::Tokens { tokens: &prompt(0..8), shared: 0 }, &Cancel::new()).unwrap_err();
    assert!(error.kind() == ErrorKind::Invalid && error.message().contains("8 positions; expected 9"), "{error}");
    let cancel = Cancel::new();
    cancel.cancel();
    let error = sequence.begin_guidance(Prefix::Tokens { tokens: &prompt(0..9), shared: 0 }, &cancel).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    sequence.step(&[9]).unwrap();
    assert_eq!(sequence.logits(ONE).unwrap(), state(&(0..10).map(|id| id as f32).collect::<Vec<_>>()));
}

#[test]
fn an_unconditional_prompt_is_run_once_for_all_forks() {
    let bench = Bench::new(Fake::new(4));
    let mut sequence = bench.sequence(true).unwrap();
    prefill(&mut sequence, 0..9).unwrap();
    let tokens = prompt((0..4).chain(20..25));
    let prefix = Prefix::Tokens { tokens: &tokens, shared: 4 };
    sequence.prepare_guidance(prefix, &Cancel::new()).unwrap();
    let run = bench.queue.lock().stats.prompt_positions;
    assert_eq!(run, 9 + 5, "what both prompts begin with is copied");
    let logits = state(&(0..9).map(|id| id as f32).collect::<Vec<_>>());
    assert_eq!(sequence.logits(ONE).unwrap(), logits, "those of the prompt");
    sequence.begin_guidance(prefix, &Cancel::new()).unwrap();
    sequence.end_guidance().unwrap();
    assert_eq!(sequence.logits(ONE).unwrap(), logits, "guidance without a step changes nothing");
    let mut fork = sequence.fork(&StateMark::at(9)).unwrap();
    for sequence in [&mut sequence as &mut dyn Sequence, &mut *fork] {
        sequence.begin_guidance(prefix, &Cancel::new()).unwrap();
        sequence.step(&[50]).unwrap();
        let beside: Vec<_> = tokens.ids().iter().chain(&[50]).map(|id| *id as f32).collect();
        let both = sequence.logits(ONE).unwrap().to_vec();
        assert_eq!(both[both.len() / 2..], state(&beside));
        sequence.end_guidance().unwrap();
    }
    sequence.rewind(&StateMark::at(9));
    sequence.begin_guidance(prefix, &Cancel::new()).unwrap();
    assert_eq!(bench.queue.lock().stats.prompt_positions, run);
    sequence.end_guidance().unwrap();
    // other positions are copied: another run, as one from the beginning would be
    sequence.begin_guidance(Prefix::Tokens { tokens: &tokens, shared: 3 }, &Cancel::new()).unwrap();
    assert_eq!(bench.queue.lock().stats.prompt_positions, run + 6);
    sequence.end_guidance().unwrap();
    let same = prompt(0..9);
    sequence.begin_guidance(Prefix::Tokens { tokens: &same, shared: 9 }, &Cancel::new()).unwrap();
    assert_eq!(bench.queue.lock().stats.prompt_positions, run + 6, "nothing is left to run");
}

#[test]
fn a_fork_is_independent() {
    let bench = Bench::new(Fake::new(4));
    let mut sequence = bench.sequence(false).unwrap();
    prefill(&mut sequence, 0..9).unwrap();
    let mut fork = sequence.fork(&StateMark::at(7)).unwrap();
    assert_eq!((sequence.position(), fork.position()), (9, 7));
    fork.step(&[50]).unwrap();
    sequence.step(&[60]).unwrap();
    let said = |len: usize, id: f32| state(&(0..len).map(|i| i as f32).chain([id]).collect::<Vec<_>>());
    assert_eq!(fork.logits(ONE).unwrap(), said(7, 50.0));
    assert_eq!(sequence.logits(ONE).unwrap(), said(9, 60.0));
}

#[test]
fn a_sequence_is_refused_when_no_rows_are_left() {
    let bench = Bench::new(Fake::new(3));
    let _one = bench.sequence(true).unwrap();
    let two = bench.sequence(false).unwrap();
    let error = bench.sequence(false).err().unwrap();
    assert!(
        error.kind() == ErrorKind::Limit && error.message().contains("free slots of the engine: 0 of 3"),
        "{error}"
    );
    drop(two);
    assert!(bench.sequence(true).is_err());
    let mut narrow = bench.sequence(false).unwrap();
    let error = narrow.begin_guidance(Prefix::Pads, &Cancel::new()).unwrap_err();
    assert!(error.message().contains("without room for guidance"), "{error}");
    let error = prefill(&mut narrow, 0..=CONTEXT as TokenId).unwrap_err();
    assert!(error.kind() == ErrorKind::Limit && error.message().contains("holds 64"), "{error}");
}

/// Steps six conversations together; every fifth step the first one calls `harm` with its length, and continues.
fn one_of_six_does(harm: impl Fn(&mut SlotSequence, usize) + Sync) {
    let bench = Bench::new(Fake::new(6));
    scope(|scope| {
        for client in 0..6 {
            let bench = &bench;
            let harm = &harm;
            scope.spawn(move || {
                let mut sequence = bench.sequence(false).unwrap();
                let mut said = Vec::new();
                for step in 0..50 {
                    if client == 0 && step % 5 == 4 {
                        harm(&mut sequence, said.len());
                    }
                    sequence.step(&[client + step]).unwrap();
                    said.push((client + step) as f32);
                    assert_eq!(sequence.logits(ONE).unwrap(), state(&said));
                }
            });
        }
    });
}

/// A step that fails is an error of its own sequence alone, which can continue.
#[test]
fn a_failure_hurts_only_its_own_row() {
    for (bad, kind) in [(BROKEN, ErrorKind::Graph), (INFINITE, ErrorKind::Numeric)] {
        one_of_six_does(|sequence, said| {
            assert_eq!(sequence.step(&[bad]).unwrap_err().kind(), kind);
            assert_eq!(sequence.position(), said);
        });
    }
}

/// A step that fails for all its rows is run again row by row, and a row whose numbers are not finite still fails then.
#[test]
fn a_failure_does_not_hide_another() {
    let bench = Bench::new(Fake::new(2));
    let together = Barrier::new(2);
    scope(|scope| {
        let rows = [(BROKEN, ErrorKind::Graph), (INFINITE, ErrorKind::Numeric)].map(|(id, kind)| {
            let bench = &bench;
            let together = &together;
            scope.spawn(move || {
                let mut sequence = bench.sequence(false).unwrap();
                let mut step = || {
                    together.wait();
                    sequence.step(&[id]).map_err(|error| error.kind())
                };
                let results: Vec<_> = (0..50).map(|_| step()).collect();
                (results, kind)
            })
        });
        for row in rows {
            let (results, kind) = row.join().unwrap();
            assert!(results.iter().all(|result| *result == Err(kind)), "{results:?}; expected {kind}");
        }
    });
}

/// A head that fails for one row: the step succeeds, and only the request for that row's logits fails.
#[test]
fn a_head_that_fails_hurts_only_its_own_row() {
    one_of_six_does(|sequence, said| {
        sequence.step(&[HEADLESS]).unwrap();
        assert_eq!(sequence.position(), said + 1);
        assert_eq!(sequence.logits(ONE).unwrap_err().kind(), ErrorKind::Graph);
        sequence.rewind(&StateMark::at(said));
    });
}

#[test]
fn a_long_prompt_is_cancelled_between_two_chunks() {
    let cancel = Cancel::new();
    let cancelled = cancel.clone();
    let fake = Fake::new(2);
    let chunks = Arc::clone(&fake.chunks);
    let bench = Bench::new(Fake { on_chunk: Some((4, Box::new(move || cancelled.cancel()))), ..fake });
    let mut sequence = bench.sequence(false).unwrap();
    prefill(&mut sequence, 0..2).unwrap();
    let error = sequence.prefill(&prompt(0..60), &[], &cancel).unwrap_err();
    assert_eq!((error.kind(), sequence.position(), chunks.load(Ordering::Relaxed)), (ErrorKind::Cancelled, 2, 4));
    prefill(&mut sequence, [7]).unwrap();
    assert_eq!(sequence.logits(ONE).unwrap(), state(&[0.0, 1.0, 7.0]));
}

/// A step that is requested during a chunk of a long prompt runs before the next chunk.
#[test]
fn a_long_prompt_does_not_stall_the_others() {
    let (begun, in_fourth_chunk) = channel();
    let (requested, step_is_requested) = channel::<()>();
    let wait_for_request = move || {
        begun.send(()).unwrap();
        step_is_requested.recv().unwrap();
    };
    let fake = Fake { on_chunk: Some((4, Box::new(wait_for_request))), ..Fake::new(2) };
    let chunks = Arc::clone(&fake.chunks);
    let chunks_before_step = Arc::clone(&fake.chunks_before_step);
    let bench = Bench::new(fake);
    let mut long = bench.sequence(false).unwrap();
    let mut stepping = bench.sequence(false).unwrap();
    scope(|scope| {
        scope.spawn(|| prefill(&mut long, 0..60).unwrap());
        in_fourth_chunk.recv().unwrap();
        scope.spawn(|| stepping.step(&[1]).unwrap());
        while bench.queue.lock().sessions.iter().flatten().all(|session| session.request.is_none()) {
            yield_now();
        }
        requested.send(()).unwrap();
    });
    assert_eq!([&chunks_before_step, &chunks].map(|count| count.load(Ordering::Relaxed)), [4, 20]);
}

#[test]
fn nobody_waits_for_an_engine_that_has_ended() {
    let bench = Bench::new(Fake::new(4));
    let mut sequences: Vec<_> = (0..3).map(|_| bench.sequence(false).unwrap()).collect();
    let queue = Arc::clone(&bench.queue);
    drop(bench);
    for sequence in &mut sequences {
        let errors = [sequence.step(&[1]).unwrap_err(), prefill(sequence, [1]).unwrap_err()];
        assert!(errors.iter().all(|error| error.message().contains("has ended: the test is over")), "{errors:?}");
    }
    assert!(queue.open(false).is_err());
}

/// After a failed exchange its rows are invalid. Sequences in other rows continue, and an invalid row can be used again from its
/// first position on.
#[test]
fn rows_that_cannot_be_exchanged_are_lost_alone() {
    let fake = Fake::new(4);
    let fails = Arc::clone(&fake.swaps_fail);
    let bench = Bench::new(fake);
    let mut sequences: Vec<_> = (0..4).map(|_| bench.sequence(false).unwrap()).collect();
    for (sequence, first) in sequences.iter_mut().zip(0..) {
        prefill(sequence, first * 10..first * 10 + 5).unwrap();
    }
    // the last row has to come to the front
    fails.store(true, Ordering::Relaxed);
    let error = sequences[3].step(&[7]).unwrap_err();
    assert_eq!(error.message(), "no memory to swap with");
    fails.store(false, Ordering::Relaxed);
    let mut lost = Vec::new();
    for (number, sequence) in sequences.iter_mut().enumerate() {
        let first = number as TokenId * 10;
        match sequence.step(&[7]) {
            Ok(()) => {
                let said: Vec<_> = (first..first + 5).chain([7]).map(|id| id as f32).collect();
                assert_eq!(sequence.logits(ONE).unwrap(), state(&said), "sequence {number}");
            }
            Err(error) => {
                assert_eq!(error.message(), "lost row");
                sequence.rewind(&StateMark::START);
                prefill(sequence, [1, 2]).unwrap();
                assert_eq!(sequence.logits(ONE).unwrap(), state(&[1.0, 2.0]));
                lost.push(number);
            }
        }
    }
    assert_eq!(lost, [0, 3]);
}

/// All sequences get the error: those that wait, and those that come later.
#[test]
fn a_lost_device_ends_the_engine() {
    let bench = Bench::new(Fake::new(4));
    let mut sequences: Vec<_> = (0..3).map(|_| bench.sequence(false).unwrap()).collect();
    let queue = Arc::clone(&bench.queue);
    let faulty = bench.sequence(false).unwrap();
    scope(|scope| {
        for (number, mut sequence) in sequences.drain(..).chain([faulty]).enumerate() {
            scope.spawn(move || {
                let id = |step| if number == 3 && step == 20 { LOST } else { 1 };
                let failed = (0..).find_map(|step| {
                    sequence.rewind(&StateMark::START);
                    if number == 0 {
                        return prefill(&mut sequence, 0..40).err();
                    }
                    sequence.step(&[id(step)]).err()
                });
                for error in [failed.unwrap(), sequence.step(&[1]).unwrap_err()] {
                    assert_eq!(error.kind(), ErrorKind::Provider);
                    assert!(error.message().contains("the device is lost"), "{error}");
                }
            });
        }
    });
    assert_eq!(queue.open(false).unwrap_err().kind(), ErrorKind::Provider);
}

#[test]
fn a_panic_is_an_error_of_every_sequence() {
    let bench = Bench::new(Fake::new(3));
    // all sequences are open before the first of them causes the panic
    let sequences: Vec<_> = (0..3).map(|_| bench.sequence(false).unwrap()).collect();
    scope(|scope| {
        for (client, mut sequence) in sequences.into_iter().enumerate() {
            scope.spawn(move || {
                let failed = (0..).find_map(|step| {
                    if client == 0 && step == 10 {
                        return sequence.step(&[PANIC]).err();
                    }
                    sequence.rewind(&StateMark::START);
                    sequence.step(&[1]).err()
                });
                assert!(failed.unwrap().message().contains("its thread panicked"));
            });
        }
    });
}
