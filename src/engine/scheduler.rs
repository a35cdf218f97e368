//! The scheduler loop, on the engine's thread. Each iteration:
//!
//! 1. *Collect*: takes the new requests; steps wait a moment for sessions that are likely to request one, too.
//! 2. *Step*: runs the body once for all rows that step, then each requested head once, and sends the responses.
//! 3. *Prefill*: runs one chunk of one prompt, the prompts in turn, so that a long prompt does not stall the steps.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::queue::{Request, RequestKind, RequestQueue, SessionState, State};
use super::rows::{Exchange, Row};
use crate::error::{Error, ErrorKind, Result};
use crate::language_model::{Batch, HeadId};
use crate::token::TokenId;

/// A step waits for stragglers, sessions that have just stepped and not requested another step yet, for at most
/// 1/`PATIENCE` of the last step's duration: a wait that costs little more than it saves.
const PATIENCE: u32 = 8;

/// The model that the scheduler runs; rows are given by their index in the cache.
pub(super) trait Body: Send {
    /// Returns the number of ids of a position.
    fn width(&self) -> usize;
    /// Returns the number of heads.
    fn heads(&self) -> usize;
    /// Returns the hidden size.
    fn hidden_size(&self) -> usize;
    /// Appends `embeds` to the row at `index`, which has `len` positions afterwards; they are a part of a prompt of `prompt`
    /// positions. Writes the last hidden state to `hidden`.
    fn prefill(&mut self, index: usize, len: usize, prompt: usize, embeds: &[f32], hidden: &mut Vec<f32>)
    -> Result<()>;
    /// Appends one position to each of the first `lens.len()` rows, which have `lens` positions afterwards.
    fn step(&mut self, ids: &[TokenId], lens: &[usize]) -> Result<()>;
    /// Returns the hidden state of the row at `index` after a step of `rows`.
    fn hidden(&self, rows: usize, index: usize) -> Result<&[f32]>;
    /// Returns the logits of some hidden states.
    fn logits(&mut self, head: HeadId, hidden: &[f32]) -> Result<&mut [f32]>;
    /// Copies `len` positions from one row to another.
    fn copy_row(&mut self, from: usize, to: usize, len: usize) -> Result<()>;
    /// Swaps the first `len` positions of two rows.
    fn swap_rows(&mut self, one: usize, other: usize, len: usize) -> Result<()>;
    /// Makes the row at `index` consist of `len` pads.
    fn fill_with_pads(&mut self, index: usize, len: usize) -> Result<()>;
    /// Records that nothing in the row at `index` is sure: runs after its positions are errors.
    fn lose(&mut self, index: usize);
}

/// The state of the scheduler thread.
pub(super) struct Scheduler<B> {
    queue: Arc<RequestQueue>,
    body: B,
    /// Positions of a prompt to run in an iteration.
    chunk: usize,
    /// Unfinished prompts: the session, its request, and the number of positions already run.
    prompts: VecDeque<(usize, Box<Request>, usize)>,
    /// The requests of this iteration, each with its session.
    requests: Vec<(usize, Box<Request>)>,
    /// The time since when steps have waited for stragglers.
    waiting_since: Option<Instant>,
    /// Duration of the last step.
    last_step: Duration,
    work: Work,
}

/// Working memory, kept from step to step.
#[derive(Default)]
struct Work {
    rows: Vec<Row>,
    exchanges: Vec<Exchange>,
    indices: Vec<usize>,
    ids: Vec<TokenId>,
    lens: Vec<usize>,
    hidden: Vec<f32>,
}

/// A guard that stops the queue when the thread ends, by a panic too, so that no session waits forever.
struct StopOnExit(Arc<RequestQueue>);

impl Drop for StopOnExit {
    fn drop(&mut self) {
        let why = if std::thread::panicking() { "its thread panicked" } else { "it was dropped" };
        self.0.lock().stop(Error::new(ErrorKind::Graph, why));
    }
}

impl<B: Body> Scheduler<B> {
    pub(super) fn new(queue: Arc<RequestQueue>, body: B, chunk: usize) -> Self {
        Self {
            queue,
            body,
            chunk: chunk.max(1),
            prompts: VecDeque::new(),
            requests: Vec::new(),
            waiting_since: None,
            last_step: Duration::ZERO,
            work: Work::default(),
        }
    }

    /// Runs until the engine is dropped.
    pub(super) fn run(mut self) {
        let _stop = StopOnExit(Arc::clone(&self.queue));
        while self.collect() {
            self.prepare();
            self.step_all();
            (0..self.body.heads()).for_each(|head| self.run_head(HeadId(head)));
            self.respond();
            self.prefill();
        }
    }

    /// Waits for work and takes it; returns false when the engine stops.
    fn collect(&mut self) -> bool {
        let queue = Arc::clone(&self.queue);
        let mut state = queue.lock();
        loop {
            if !state.is_running() {
                return false;
            }
            self.take(&mut state, |kind| kind != RequestKind::Step);
            let has_other_work = !self.requests.is_empty() || !self.prompts.is_empty();
            let is_waiting = |session: &SessionState| session.request.is_some();
            let steps = state.sessions.iter().flatten().filter(|session| is_waiting(session)).count();
            if steps == 0 {
                self.waiting_since = None;
                if has_other_work {
                    return true;
                }
                state = queue.wait(state, None);
                continue;
            }
            let since = *self.waiting_since.get_or_insert_with(Instant::now);
            let remaining = (self.last_step / PATIENCE).saturating_sub(since.elapsed());
            let has_stragglers =
                state.sessions.iter().flatten().any(|session| session.expected && !is_waiting(session));
            if !has_stragglers || remaining.is_zero() {
                state.sessions.iter_mut().flatten().for_each(|session| session.expected &= is_waiting(session));
                self.take(&mut state, |kind| kind == RequestKind::Step);
                self.waiting_since = None;
                return true;
            }
            if !self.requests.is_empty() {
                return true;
            }
            state = queue.wait(state, Some(remaining));
        }
    }

    /// Takes the requests of the `wanted` kinds from the queue.
    fn take(&mut self, state: &mut State, wanted: impl Fn(RequestKind) -> bool) {
        for (session_index, session) in state.sessions.iter_mut().enumerate() {
            let Some(session) = session else { continue };
            let Some(request) = session.request.take_if(|request| wanted(request.kind)) else { continue };
            match request.kind {
                RequestKind::Prefill(_) => self.prompts.push_back((session_index, request, 0)),
                _ => self.requests.push((session_index, request)),
            }
        }
        state.stats.waiting_prompts = self.prompts.len();
    }

    /// Executes the requests that touch rows but run no graph.
    fn prepare(&mut self) {
        for (_, request) in &mut self.requests {
            let index = |row| self.queue.lock().rows.index(row);
            match (request.kind, request.rows.unconditional) {
                (RequestKind::Copy { from, to }, _) => {
                    self.queue.lock().rows.set_len(to, request.position);
                    request.result = self.body.copy_row(index(from), index(to), request.position);
                }
                (RequestKind::FillWithPads, Some(row)) => {
                    self.queue.lock().rows.set_len(row, request.position);
                    request.result = self.body.fill_with_pads(index(row), request.position);
                }
                _ => {}
            }
        }
    }

    /// Runs the requested steps.
    fn step_all(&mut self) {
        self.requests.sort_by_key(|(_, request)| request.kind != RequestKind::Step);
        let steps = self.requests.iter().take_while(|(_, request)| request.kind == RequestKind::Step).count();
        if steps == 0 {
            return;
        }
        let begun = Instant::now();
        let ran = self.step(0..steps);
        match (ran, steps) {
            (Ok(()), _) => {}
            (Err(error), 1) => self.requests[0].1.result = Err(error),
            // one row may have failed the run for all: each step alone, so that only the faulty ones fail
            (Err(_), _) => (0..steps).for_each(|i| {
                let ran = self.step(i..i + 1);
                self.requests[i].1.result = ran;
            }),
        }
        self.last_step = begun.elapsed();
    }

    /// Runs the steps of some requests together. Numbers that are not finite fail only the request they belong to.
    fn step(&mut self, requests: std::ops::Range<usize>) -> Result<()> {
        let Self { requests: all, body, work, .. } = self;
        let requests = &mut all[requests];
        work.rows.clear();
        work.rows.extend(requests.iter().flat_map(|(_, request)| request.active()));
        work.exchanges.clear();
        {
            let mut state = self.queue.lock();
            state.rows.gather(&work.rows, &mut work.exchanges);
            for (_, request) in requests.iter() {
                request.active().for_each(|row| state.rows.set_len(row, request.position + 1));
            }
            work.indices.clear();
            work.indices.extend(work.rows.iter().map(|row| state.rows.index(*row)));
            state.stats.count_step(requests.len(), work.rows.len());
        }
        for (number, Exchange { indices: [one, other], len }) in work.exchanges.iter().enumerate() {
            if let Err(error) = body.swap_rows(*one, *other, *len) {
                // the rows are assigned already, so that what is not swapped is not where it should be
                let not_swapped = work.exchanges.iter().skip(number);
                not_swapped.flat_map(|exchange| exchange.indices).for_each(|index| body.lose(index));
                return Err(error);
            }
        }
        let rows = work.rows.len();
        let width = body.width();
        work.ids.resize(rows * width, 0);
        work.lens.resize(rows, 0);
        let mut indices = work.indices.iter();
        for (_, request) in requests.iter() {
            for (_, index) in request.active().zip(&mut indices) {
                work.lens[*index] = request.position + 1;
                work.ids[index * width..(index + 1) * width].copy_from_slice(&request.ids);
            }
        }
        body.step(&work.ids, &work.lens)?;
        let mut indices = work.indices.iter();
        for (_, request) in requests.iter_mut() {
            request.hidden.clear();
            for (_, index) in request.active().zip(&mut indices) {
                match body.hidden(rows, *index) {
                    Ok(hidden) => request.hidden.extend_from_slice(hidden),
                    Err(error) => request.result = Err(error),
                }
            }
        }
        Ok(())
    }

    /// Runs `head` for all requests that want it.
    fn run_head(&mut self, head: HeadId) {
        let size = self.body.hidden_size();
        let wants = |request: &Request| {
            matches!(request.kind, RequestKind::Step | RequestKind::Logits)
                && request.head == Some(head)
                && request.result.is_ok()
        };
        self.work.hidden.clear();
        for (_, request) in self.requests.iter().filter(|(_, request)| wants(request)) {
            self.work.hidden.extend_from_slice(&request.hidden);
        }
        let rows = self.work.hidden.len() / size.max(1);
        if rows == 0 {
            return;
        }
        if let Ok(logits) = self.body.logits(head, &self.work.hidden) {
            let columns = logits.len() / rows;
            let mut logits = logits.chunks_exact(columns.max(1));
            for (_, request) in self.requests.iter_mut().filter(|(_, request)| wants(request)) {
                request.logits.clear();
                logits.by_ref().take(request.hidden.len() / size).for_each(|row| request.logits.extend_from_slice(row));
            }
            return;
        }
        // each request alone; a step has succeeded without its logits, and a later request for them gets the error
        for (_, request) in self.requests.iter_mut().filter(|(_, request)| wants(request)) {
            request.logits.clear();
            match (self.body.logits(head, &request.hidden), request.kind) {
                (Ok(logits), _) => request.logits.extend_from_slice(logits),
                (Err(_), RequestKind::Step) => request.head = None,
                (Err(error), _) => request.result = Err(error),
            }
        }
    }

    /// Sends the responses.
    fn respond(&mut self) {
        if self.requests.is_empty() {
            return;
        }
        let mut state = self.queue.lock();
        for (session, request) in self.requests.drain(..) {
            let failed = is_over(&request.result);
            state.respond(session, request);
            failed.into_iter().for_each(|error| state.stop(error));
        }
    }

    /// Runs a chunk of the next prompt.
    fn prefill(&mut self) {
        let Some((session, mut request, start)) = self.prompts.pop_front() else { return };
        let size = self.body.hidden_size();
        let all = request.embeds.len() / size.max(1);
        let end = (start + self.chunk).min(all);
        let RequestKind::Prefill(row) = request.kind else { return };
        let index = {
            let mut state = self.queue.lock();
            state.rows.set_len(row, request.position + end);
            state.rows.index(row)
        };
        let chunk = &request.embeds[start * size..end * size];
        let ran = request.cancel.check();
        request.result =
            ran.and_then(|()| self.body.prefill(index, request.position + end, all, chunk, &mut request.hidden));
        let mut state = self.queue.lock();
        state.stats.prompt_positions += (end - start) as u64;
        if request.result.is_ok() && end < all {
            self.prompts.push_back((session, request, end));
        } else {
            let failed = is_over(&request.result);
            state.respond(session, request);
            failed.into_iter().for_each(|error| state.stop(error));
        }
        state.stats.waiting_prompts = self.prompts.len();
    }
}

/// Returns the error after which no request can succeed: the device that the model runs on is lost.
fn is_over(result: &Result<()>) -> Option<Error> {
    let error = result.as_ref().err().filter(|error| error.kind() == ErrorKind::Provider)?;
    Some(Error::new(error.kind(), error.full_message()))
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

    fn prefill(
        &mut self,
        index: usize,
        len: usize,
        prompt: usize,
        embeds: &[f32],
        hidden: &mut Vec<f32>,
    ) -> Result<()> {
        self.prefill(index, len, prompt, embeds, hidden)
    }

    fn step(&mut self, ids: &[TokenId], lens: &[usize]) -> Result<()> {
        self.step(ids.chunks_exact(self.width()), lens)
    }

    fn hidden(&self, rows: usize, index: usize) -> Result<&[f32]> {
        self.hidden(rows, index)
    }

    fn logits(&mut self, head: HeadId, hidden: &[f32]) -> Result<&mut [f32]> {
        self.logits(head, hidden)
    }

    fn copy_row(&mut self, from: usize, to: usize, len: usize) -> Result<()> {
        self.copy_row(from, to, len)
    }

    fn swap_rows(&mut self, one: usize, other: usize, len: usize) -> Result<()> {
        self.swap_rows(one, other, len)
    }

    fn fill_with_pads(&mut self, index: usize, len: usize) -> Result<()> {
        self.fill_with_pads(index, len)
    }

    fn lose(&mut self, index: usize) {
        self.lose(index);
    }
}
