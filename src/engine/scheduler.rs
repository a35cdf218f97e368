//! The engine's thread. A turn goes so:
//!
//! 1. *Collect*: what was asked for since; steps wait a moment for those that are likely to come, too.
//! 2. *Step*: one run for all rows that want one, and one of each head that they want; then the answers go out.
//! 3. *Prefill*: one chunk of one prompt, the prompts in turn, so that a long one stalls nobody.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::desk::{Ask, Call, Desk, SeatState, State};
use super::rows::{Exchange, Row};
use crate::error::Result;
use crate::language_model::{Batch, HeadId};
use crate::token::TokenId;

/// Which part of the last step's time a step waits for those that are likely to come.
const PATIENCE: u32 = 8;

/// What the rows are run on.
pub(super) trait Body: Send {
    /// Ids of a position.
    fn width(&self) -> usize;
    /// Number of heads.
    fn heads(&self) -> usize;
    /// The hidden size.
    fn hidden_size(&self) -> usize;
    /// Runs the end of what will be `len` positions at `place`; puts the last hidden state into `hidden`.
    fn prefill(&mut self, place: usize, len: usize, embeds: &[f32], hidden: &mut Vec<f32>) -> Result<()>;
    /// Runs a position in each of the first places, which hold `lens` positions then.
    fn step(&mut self, ids: &[TokenId], lens: &[usize]) -> Result<()>;
    /// The hidden state at `place` after a step of `rows`.
    fn hidden(&self, rows: usize, place: usize) -> Result<&[f32]>;
    /// The logits of some hidden states.
    fn logits(&mut self, head: HeadId, hidden: &[f32]) -> Result<&mut [f32]>;
    /// Copies `len` positions.
    fn copy_row(&mut self, from: usize, to: usize, len: usize);
    /// Exchanges `len` positions.
    fn swap_rows(&mut self, one: usize, other: usize, len: usize);
    /// Puts `len` pads there.
    fn fill_with_pads(&mut self, place: usize, len: usize) -> Result<()>;
}

/// The thread's work.
pub(super) struct Scheduler<B> {
    desk: Arc<Desk>,
    body: B,
    /// Positions of a prompt that are run in a turn.
    chunk: usize,
    /// Prompts in the making, with the positions that were run.
    prompts: VecDeque<(usize, Box<Call>, usize)>,
    /// What this turn answers.
    calls: Vec<(usize, Box<Call>)>,
    /// Since when steps wait, and how long the last one took.
    waiting_since: Option<Instant>,
    last_step: Duration,
    work: Work,
}

/// Working memory, kept from step to step.
#[derive(Default)]
struct Work {
    rows: Vec<Row>,
    exchanges: Vec<Exchange>,
    places: Vec<usize>,
    ids: Vec<TokenId>,
    lens: Vec<usize>,
    hidden: Vec<f32>,
}

/// Tells the seats that the thread has ended, however it did.
struct Farewell(Arc<Desk>);

impl Drop for Farewell {
    fn drop(&mut self) {
        self.0.stop(if std::thread::panicking() { "its thread panicked" } else { "it was dropped" });
    }
}

impl<B: Body> Scheduler<B> {
    pub(super) fn new(desk: Arc<Desk>, body: B, chunk: usize) -> Self {
        Self {
            desk,
            body,
            chunk: chunk.max(1),
            prompts: VecDeque::new(),
            calls: Vec::new(),
            waiting_since: None,
            last_step: Duration::ZERO,
            work: Work::default(),
        }
    }

    /// Works until the engine is dropped.
    pub(super) fn run(mut self) {
        let _farewell = Farewell(Arc::clone(&self.desk));
        while self.collect() {
            self.prepare();
            self.step_all();
            (0..self.body.heads()).for_each(|head| self.run_head(HeadId(head)));
            self.answer();
            self.prefill();
        }
    }

    /// Waits for work and takes it; false when the engine ends.
    fn collect(&mut self) -> bool {
        let desk = Arc::clone(&self.desk);
        let mut state = desk.lock();
        loop {
            if state.stopped.is_some() {
                return false;
            }
            self.take(&mut state, |ask| ask != Ask::Step);
            let has_other_work = !self.calls.is_empty() || !self.prompts.is_empty();
            let is_waiting = |seat: &SeatState| seat.asked.is_some();
            let steps = state.seats.iter().flatten().filter(|seat| is_waiting(seat)).count();
            if steps == 0 {
                self.waiting_since = None;
                if has_other_work {
                    return true;
                }
                state = desk.wait(state, None);
                continue;
            }
            let since = *self.waiting_since.get_or_insert_with(Instant::now);
            let patience = (self.last_step / PATIENCE).saturating_sub(since.elapsed());
            let late = state.seats.iter().flatten().any(|seat| seat.expected && !is_waiting(seat));
            if !late || patience.is_zero() {
                state.seats.iter_mut().flatten().for_each(|seat| seat.expected &= seat.asked.is_some());
                self.take(&mut state, |ask| ask == Ask::Step);
                self.waiting_since = None;
                return true;
            }
            if !self.calls.is_empty() {
                return true;
            }
            state = desk.wait(state, Some(patience));
        }
    }

    /// Takes the calls that `wanted` wants from the desk.
    fn take(&mut self, state: &mut State, wanted: impl Fn(Ask) -> bool) {
        for (number, seat) in state.seats.iter_mut().enumerate() {
            let Some(seat) = seat else { continue };
            let Some(call) = seat.asked.take_if(|call| wanted(call.ask)) else { continue };
            match call.ask {
                Ask::Prefill(_) => self.prompts.push_back((number, call, 0)),
                _ => self.calls.push((number, call)),
            }
        }
        state.stats.waiting_prompts = self.prompts.len();
    }

    /// Does what touches rows but runs no graph.
    fn prepare(&mut self) {
        for (_, call) in &mut self.calls {
            let place = |row| self.desk.lock().rows.place(row);
            match (call.ask, call.rows.unconditional) {
                (Ask::Copy(to), _) => {
                    self.desk.lock().rows.set_len(to, call.position);
                    self.body.copy_row(place(call.rows.conditional), place(to), call.position);
                }
                (Ask::FillWithPads, Some(row)) => {
                    self.desk.lock().rows.set_len(row, call.position);
                    call.result = self.body.fill_with_pads(place(row), call.position);
                }
                _ => {}
            }
        }
    }

    /// Runs the steps that were asked for.
    fn step_all(&mut self) {
        self.calls.sort_by_key(|(_, call)| call.ask != Ask::Step);
        let steps = self.calls.iter().take_while(|(_, call)| call.ask == Ask::Step).count();
        if steps == 0 {
            return;
        }
        let begun = Instant::now();
        let ran = self.step(0..steps);
        match (ran, steps) {
            (Ok(()), _) => {}
            (Err(error), 1) => self.calls[0].1.result = Err(error),
            // one of them, or the run as a whole: each for itself, so that only those fail that must
            (Err(_), _) => (0..steps).for_each(|i| {
                let ran = self.step(i..i + 1);
                self.calls[i].1.result = ran;
            }),
        }
        self.last_step = begun.elapsed();
    }

    /// Runs the steps of some calls together. Numbers that are not finite are the error of their own call.
    fn step(&mut self, calls: std::ops::Range<usize>) -> Result<()> {
        let Self { calls: all, body, work, .. } = self;
        let calls = &mut all[calls];
        work.rows.clear();
        work.rows.extend(calls.iter().flat_map(|(_, call)| call.active()));
        work.exchanges.clear();
        {
            let mut state = self.desk.lock();
            state.rows.gather(&work.rows, &mut work.exchanges);
            for (_, call) in calls.iter() {
                call.active().for_each(|row| state.rows.set_len(row, call.position + 1));
            }
            work.places.clear();
            work.places.extend(work.rows.iter().map(|row| state.rows.place(*row)));
            state.stats.count_step(calls.len(), work.rows.len());
        }
        for exchange in &work.exchanges {
            body.swap_rows(exchange.places[0], exchange.places[1], exchange.len);
        }
        let (rows, width) = (work.rows.len(), body.width());
        work.ids.resize(rows * width, 0);
        work.lens.resize(rows, 0);
        let mut places = work.places.iter();
        for (_, call) in calls.iter() {
            for (_, place) in call.active().zip(&mut places) {
                work.lens[*place] = call.position + 1;
                work.ids[place * width..(place + 1) * width].copy_from_slice(&call.ids);
            }
        }
        body.step(&work.ids, &work.lens)?;
        let mut places = work.places.iter();
        for (_, call) in calls.iter_mut() {
            call.hidden.clear();
            for (_, place) in call.active().zip(&mut places) {
                match body.hidden(rows, *place) {
                    Ok(hidden) => call.hidden.extend_from_slice(hidden),
                    Err(error) => call.result = Err(error),
                }
            }
        }
        Ok(())
    }

    /// Runs `head` for all who want it.
    fn run_head(&mut self, head: HeadId) {
        let size = self.body.hidden_size();
        let wants =
            |call: &Call| matches!(call.ask, Ask::Step | Ask::Logits) && call.head == Some(head) && call.result.is_ok();
        self.work.hidden.clear();
        for (_, call) in self.calls.iter().filter(|(_, call)| wants(call)) {
            self.work.hidden.extend_from_slice(&call.hidden);
        }
        let rows = self.work.hidden.len() / size.max(1);
        if rows == 0 {
            return;
        }
        if let Ok(logits) = self.body.logits(head, &self.work.hidden) {
            let columns = logits.len() / rows;
            let mut logits = logits.chunks_exact(columns.max(1));
            for (_, call) in self.calls.iter_mut().filter(|(_, call)| wants(call)) {
                call.logits.clear();
                logits.by_ref().take(call.hidden.len() / size).for_each(|row| call.logits.extend_from_slice(row));
            }
            return;
        }
        // each for itself: a step has been made even so, and whoever then asks for its logits gets the error
        for (_, call) in self.calls.iter_mut().filter(|(_, call)| wants(call)) {
            call.logits.clear();
            match (self.body.logits(head, &call.hidden), call.ask) {
                (Ok(logits), _) => call.logits.extend_from_slice(logits),
                (Err(_), Ask::Step) => call.head = None,
                (Err(error), _) => call.result = Err(error),
            }
        }
    }

    fn answer(&mut self) {
        if self.calls.is_empty() {
            return;
        }
        let mut state = self.desk.lock();
        self.calls.drain(..).for_each(|(seat, call)| state.answer(seat, call));
    }

    /// Runs a chunk of the prompt whose turn it is.
    fn prefill(&mut self) {
        let Some((seat, mut call, done)) = self.prompts.pop_front() else { return };
        let size = self.body.hidden_size();
        let all = call.embeds.len() / size.max(1);
        let end = (done + self.chunk).min(all);
        let Ask::Prefill(row) = call.ask else { return };
        let place = {
            let mut state = self.desk.lock();
            state.rows.set_len(row, call.position + end);
            state.rows.place(row)
        };
        let chunk = &call.embeds[done * size..end * size];
        let ran = call.cancel.check();
        call.result = ran.and_then(|()| self.body.prefill(place, call.position + end, chunk, &mut call.hidden));
        let mut state = self.desk.lock();
        state.stats.prompt_positions += (end - done) as u64;
        if call.result.is_ok() && end < all {
            self.prompts.push_back((seat, call, end));
        } else {
            state.answer(seat, call);
        }
        state.stats.waiting_prompts = self.prompts.len();
    }
}

impl Body for Batch {
    fn width(&self) -> usize {
        self.width()
    }

    fn heads(&self) -> usize {
        self.heads()
    }

    fn hidden_size(&self) -> usize {
        self.hidden_size()
    }

    fn prefill(&mut self, place: usize, len: usize, embeds: &[f32], hidden: &mut Vec<f32>) -> Result<()> {
        self.prefill(place, len, embeds, hidden)
    }

    fn step(&mut self, ids: &[TokenId], lens: &[usize]) -> Result<()> {
        self.step(ids.chunks_exact(self.width()), lens)
    }

    fn hidden(&self, rows: usize, place: usize) -> Result<&[f32]> {
        self.hidden(rows, place)
    }

    fn logits(&mut self, head: HeadId, hidden: &[f32]) -> Result<&mut [f32]> {
        self.logits(head, hidden)
    }

    fn copy_row(&mut self, from: usize, to: usize, len: usize) {
        self.copy_row(from, to, len);
    }

    fn swap_rows(&mut self, one: usize, other: usize, len: usize) {
        self.swap_rows(one, other, len);
    }

    fn fill_with_pads(&mut self, place: usize, len: usize) -> Result<()> {
        self.fill_with_pads(place, len)
    }
}
