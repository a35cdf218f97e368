//! The scheduler loop, on the engine's thread. Each iteration:
//!
//! 1. *Collect*: takes the new requests. Steps wait a moment for stragglers: sessions that are likely to request a step soon.
//! 2. *Step*: runs the body once for all rows that step, then each requested head once, and sends the responses.
//! 3. *Prefill*: runs one chunk of one prompt, each prompt in turn, so that a long prompt does not stall the steps.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::body::Body;
use super::queue::{Request, RequestKind, RequestQueue, SessionState, State};
use super::rows::{Exchange, Row};
use crate::error::{Error, ErrorKind, Result};
use crate::language_model::HeadId;
use crate::token::TokenId;

/// A step waits for stragglers, sessions that have just stepped and not requested the next step yet, for at most
/// 1/`WAIT_DIVISOR` of the last step's duration: such a wait costs little more than it saves.
const WAIT_DIVISOR: u32 = 8;

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
    /// The time at which steps began to wait for stragglers.
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
            for head in 0..self.body.heads() {
                self.run_head(HeadId(head));
            }
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
            let remaining = (self.last_step / WAIT_DIVISOR).saturating_sub(since.elapsed());
            let has_stragglers =
                state.sessions.iter().flatten().any(|session| session.expected && !is_waiting(session));
            if !has_stragglers || remaining.is_zero() {
                for session in state.sessions.iter_mut().flatten() {
                    session.expected &= is_waiting(session);
                }
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
            let len = request.position;
            match (request.kind, request.rows.unconditional) {
                (RequestKind::Copy { from, to }, _) => {
                    let [from, to] = {
                        let rows = &mut self.queue.lock().rows;
                        rows.set_len(to, len);
                        [rows.index(from), rows.index(to)]
                    };
                    request.result = self.body.copy_row(from, to, len);
                }
                (RequestKind::FillWithPads, Some(row)) => {
                    let index = {
                        let rows = &mut self.queue.lock().rows;
                        rows.set_len(row, len);
                        rows.index(row)
                    };
                    request.result = self.body.fill_with_pads(index, len);
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
        if let Err(error) = self.step(0..steps) {
            if steps == 1 {
                self.requests[0].1.result = Err(error);
            } else {
                // one row may have failed the run for all: each step runs alone, so that only the faulty steps fail
                for index in 0..steps {
                    if let Err(error) = self.step(index..index + 1) {
                        self.requests[index].1.result = Err(error);
                    }
                }
            }
        }
        self.last_step = begun.elapsed();
    }

    /// Runs the steps of some requests together. Numbers that are not finite fail only the request they belong to.
    fn step(&mut self, requests: Range<usize>) -> Result<()> {
        self.gather(requests.clone())?;
        let Self { requests: all, body, work, .. } = self;
        let requests = &mut all[requests];
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

    /// Moves the rows of some requests, which are to step, to the front of the cache; their indices follow in the order of the
    /// requests.
    fn gather(&mut self, requests: Range<usize>) -> Result<()> {
        let Self { requests: all, body, work, .. } = self;
        let requests = &all[requests];
        work.rows.clear();
        work.rows.extend(requests.iter().flat_map(|(_, request)| request.active()));
        work.exchanges.clear();
        work.indices.clear();
        {
            let mut state = self.queue.lock();
            state.rows.gather(&work.rows, &mut work.exchanges);
            for (_, request) in requests {
                for row in request.active() {
                    state.rows.set_len(row, request.position + 1);
                }
            }
            work.indices.extend(work.rows.iter().map(|row| state.rows.index(*row)));
            state.stats.count_step(requests.len(), work.rows.len());
        }
        for (number, Exchange { indices: [one, other], len }) in work.exchanges.iter().enumerate() {
            if let Err(error) = body.swap_rows(*one, *other, *len) {
                // the indices are assigned already, so that rows that are not swapped are at the wrong index
                for index in work.exchanges.iter().skip(number).flat_map(|exchange| exchange.indices) {
                    body.invalidate(index);
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Runs `head` for all requests that ask for its logits.
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
                for row in logits.by_ref().take(request.hidden.len() / size) {
                    request.logits.extend_from_slice(row);
                }
            }
            return;
        }
        // each request runs alone; a step succeeds without its logits, and the error goes to a later request for them
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
            respond(&mut state, session, request);
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
            respond(&mut state, session, request);
        }
        state.stats.waiting_prompts = self.prompts.len();
    }
}

/// Hands a response to its session, and stops the queue if no later request can succeed.
fn respond(state: &mut State, session: usize, request: Box<Request>) {
    let lost = lost_device(&request.result);
    state.respond(session, request);
    if let Some(error) = lost {
        state.stop(error);
    }
}

/// Returns the error that the device of the model is lost, after which no request can succeed.
fn lost_device(result: &Result<()>) -> Option<Error> {
    let error = result.as_ref().err().filter(|error| error.kind() == ErrorKind::Provider)?;
    Some(Error::new(error.kind(), error.full_message()))
}
