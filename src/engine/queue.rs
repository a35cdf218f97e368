//! The queue between the sessions and the scheduler thread.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::EngineStats;
use super::rows::{Row, Rows};
use crate::cancel::Cancel;
use crate::error::{Error, ErrorKind, Result};
use crate::language_model::HeadId;
use crate::token::TokenId;

/// The operation that a session requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestKind {
    /// Runs `embeds` in this row, from `position` on.
    Prefill(Row),
    /// Runs `ids`, and then `head` if one is given.
    Step,
    /// Runs `head` on `hidden`.
    Logits,
    /// Fills the unconditional row with pads.
    FillWithPads,
    /// Copies the first `position` positions of the row `from` into the row `to`.
    Copy { from: Row, to: Row },
}

/// A session's request, and the response to it. The same box travels to the scheduler and back, so that a step
/// allocates nothing.
pub(super) struct Request {
    pub kind: RequestKind,
    /// The session's rows.
    pub rows: SlotRows,
    /// True if the unconditional row takes part.
    pub guided: bool,
    /// Number of positions in the sequence before the request.
    pub position: usize,
    /// The ids of the position to run.
    pub ids: Vec<TokenId>,
    /// Embeddings of a prompt, shape [positions, hidden].
    pub embeds: Vec<f32>,
    pub cancel: Cancel,
    /// The head to run; `None` in a request or response without logits.
    pub head: Option<HeadId>,
    /// Hidden states of the last position, [rows, hidden].
    pub hidden: Vec<f32>,
    /// Logits of the head, [rows, columns].
    pub logits: Vec<f32>,
    pub result: Result<()>,
}

/// The cache rows of a session: one, or two when the session has room for guidance.
#[derive(Clone, Copy, Debug)]
pub(super) struct SlotRows {
    pub conditional: Row,
    pub unconditional: Option<Row>,
}

impl SlotRows {
    pub(super) fn all(self) -> impl Iterator<Item = Row> {
        std::iter::once(self.conditional).chain(self.unconditional)
    }
}

impl Request {
    pub(super) fn new(rows: SlotRows) -> Self {
        Self {
            kind: RequestKind::Step,
            rows,
            guided: false,
            position: 0,
            ids: Vec::new(),
            embeds: Vec::new(),
            cancel: Cancel::new(),
            head: None,
            hidden: Vec::new(),
            logits: Vec::new(),
            result: Ok(()),
        }
    }

    /// Returns the rows that take part.
    pub(super) fn active(&self) -> impl Iterator<Item = Row> + use<> {
        let unconditional = self.rows.unconditional.filter(|_| self.guided);
        std::iter::once(self.rows.conditional).chain(unconditional)
    }
}

/// The state that sessions and scheduler share.
pub(super) struct RequestQueue {
    state: Mutex<State>,
    /// Signals the scheduler that a request has arrived, a session has left, or the engine stops.
    work: Condvar,
}

pub(super) struct State {
    pub rows: Rows,
    pub sessions: Vec<Option<SessionState>>,
    pub stats: EngineStats,
    /// The reason why the engine has stopped, once it has.
    stopped: Option<Error>,
}

/// The queue's state of one open session.
pub(super) struct SessionState {
    /// The request that the scheduler has not taken yet.
    pub request: Option<Box<Request>>,
    /// The response that the session has not taken yet.
    pub response: Option<Box<Request>>,
    /// True if the session is likely to request another step at once, because its last request was a step.
    pub expected: bool,
    /// Signals the session that its response is there, or that the engine has stopped.
    ready: Arc<Condvar>,
}

impl RequestQueue {
    /// Creates a queue for a cache of `rows`.
    pub(super) fn new(rows: usize) -> Self {
        let sessions = (0..rows).map(|_| None).collect();
        let state = State { rows: Rows::new(rows), sessions, stats: EngineStats::default(), stopped: None };
        Self { state: Mutex::new(state), work: Condvar::new() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a request, for at most `limit`.
    pub(super) fn wait<'a>(
        &self,
        state: MutexGuard<'a, State>,
        limit: Option<std::time::Duration>,
    ) -> MutexGuard<'a, State> {
        match limit {
            None => self.work.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(limit) => self.work.wait_timeout(state, limit).unwrap_or_else(PoisonError::into_inner).0,
        }
    }

    /// Opens a session, which takes two rows if it has room for `guidance`, else one. Returns its index and its rows.
    ///
    /// # Errors
    /// Not enough rows are free, or the engine has stopped.
    pub(super) fn open(&self, guidance: bool) -> Result<(usize, SlotRows)> {
        let mut state = self.lock();
        state.check_running()?;
        let rows = if guidance {
            state.rows.take().map(|[a, b]| SlotRows { conditional: a, unconditional: Some(b) })
        } else {
            state.rows.take().map(|[a]| SlotRows { conditional: a, unconditional: None })
        };
        let session = state.sessions.iter().position(Option::is_none);
        let Some((rows, session)) = rows.zip(session) else {
            let free = state.rows.free();
            let all = state.rows.count();
            let wanted = 1 + usize::from(guidance);
            let what = format!("free slots of the engine: {free} of {all}; expected at least {wanted}");
            return Err(Error::new(ErrorKind::Limit, format!("{what}: wait until a session ends, or give it more")));
        };
        state.sessions[session] =
            Some(SessionState { request: None, response: None, expected: false, ready: Arc::new(Condvar::new()) });
        Ok((session, rows))
    }

    /// Stops the queue, and wakes the scheduler, which then ends.
    pub(super) fn stop(&self, why: &str) {
        self.lock().stop(Error::new(ErrorKind::Graph, why));
        self.work.notify_all();
    }

    /// Closes a session and releases its rows.
    pub(super) fn close(&self, session: usize, rows: SlotRows) {
        let mut state = self.lock();
        state.sessions[session] = None;
        for row in rows.all() {
            state.rows.release(row);
        }
        // a step may be waiting for this session
        self.work.notify_one();
    }

    /// Submits a request and waits for the response.
    ///
    /// # Errors
    /// The engine has stopped.
    pub(super) fn submit(&self, session: usize, request: Box<Request>) -> Result<Box<Request>> {
        let mut state = self.lock();
        state.check_running()?;
        let Some(entry) = &mut state.sessions[session] else {
            return Err(ended(ErrorKind::Graph, "the session is gone"));
        };
        let ready = Arc::clone(&entry.ready);
        entry.request = Some(request);
        self.work.notify_one();
        loop {
            if let Some(response) = state.sessions[session].as_mut().and_then(|entry| entry.response.take()) {
                return Ok(response);
            }
            state.check_running()?;
            state = ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl State {
    fn check_running(&self) -> Result<()> {
        self.stopped.as_ref().map_or(Ok(()), |why| Err(ended(why.kind(), why.message())))
    }

    /// Returns whether the queue takes requests.
    pub(super) fn is_running(&self) -> bool {
        self.stopped.is_none()
    }

    /// Stops the queue: every waiting and every later request fails with the first `why`.
    pub(super) fn stop(&mut self, why: Error) {
        self.stopped.get_or_insert(why);
        for session in self.sessions.iter().flatten() {
            session.ready.notify_all();
        }
    }

    /// Hands a response to its session.
    pub(super) fn respond(&mut self, session: usize, request: Box<Request>) {
        if let Some(session) = &mut self.sessions[session] {
            session.expected = request.kind == RequestKind::Step;
            session.response = Some(request);
            session.ready.notify_one();
        }
    }
}

fn ended(kind: ErrorKind, why: &str) -> Error {
    Error::new(kind, format!("the engine has ended: {why}"))
}
