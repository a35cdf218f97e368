//! Where seats hand in what they ask for and wait for the answer, and the scheduler looks for work.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::EngineStats;
use super::rows::{Row, Rows};
use crate::cancel::Cancel;
use crate::error::{Error, ErrorKind, Result};
use crate::language_model::HeadId;
use crate::token::TokenId;

/// What a seat asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// To run `embeds` in this row, from `position` on.
    Prefill(Row),
    /// To run `ids`, and then `head` if there is one.
    Step,
    /// To run `head` on `hidden`.
    Logits,
    /// To fill the unconditional row with pads.
    FillWithPads,
    /// To copy what is there into another row.
    Copy(Row),
}

/// What a seat asks for, and the answer. It goes to the scheduler and comes back, so that a step allocates nothing.
pub(super) struct Call {
    pub ask: Ask,
    /// The conditional row, then the unconditional one if the seat has one.
    pub rows: SeatRows,
    /// Whether both rows take part.
    pub guided: bool,
    /// Positions that the sequence holds before.
    pub position: usize,
    /// The ids of the position to run.
    pub ids: Vec<TokenId>,
    /// Shape [positions, hidden].
    pub embeds: Vec<f32>,
    pub cancel: Cancel,
    /// The head whose logits are wanted; none in the answer when they are not there.
    pub head: Option<HeadId>,
    /// Hidden states of the last position, [rows, hidden].
    pub hidden: Vec<f32>,
    /// [rows, columns].
    pub logits: Vec<f32>,
    pub result: Result<()>,
}

/// The rows of a seat.
#[derive(Clone, Copy, Debug)]
pub(super) struct SeatRows {
    pub conditional: Row,
    pub unconditional: Option<Row>,
}

impl SeatRows {
    pub(super) fn all(self) -> impl Iterator<Item = Row> {
        std::iter::once(self.conditional).chain(self.unconditional)
    }
}

impl Call {
    pub(super) fn new(rows: SeatRows) -> Self {
        Self {
            ask: Ask::Step,
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

    /// The rows that take part.
    pub(super) fn active(&self) -> impl Iterator<Item = Row> + use<> {
        let unconditional = self.rows.unconditional.filter(|_| self.guided);
        std::iter::once(self.rows.conditional).chain(unconditional)
    }
}

/// What seats and scheduler share.
pub(super) struct Desk {
    state: Mutex<State>,
    /// Something was asked for, or the engine ends.
    work: Condvar,
}

pub(super) struct State {
    pub rows: Rows,
    pub seats: Vec<Option<SeatState>>,
    pub stats: EngineStats,
    /// Why nothing is answered any more.
    pub stopped: Option<&'static str>,
}

pub(super) struct SeatState {
    pub asked: Option<Box<Call>>,
    pub answered: Option<Box<Call>>,
    /// Whether it is likely to ask for a step at once: it has just got one.
    pub expected: bool,
    ready: Arc<Condvar>,
}

impl Desk {
    /// A desk for a cache of `rows`.
    pub(super) fn new(rows: usize) -> Self {
        let seats = (0..rows).map(|_| None).collect();
        let state = State { rows: Rows::new(rows), seats, stats: EngineStats::default(), stopped: None };
        Self { state: Mutex::new(state), work: Condvar::new() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something is asked for, or for `patience`.
    pub(super) fn wait<'a>(
        &self,
        state: MutexGuard<'a, State>,
        patience: Option<std::time::Duration>,
    ) -> MutexGuard<'a, State> {
        match patience {
            None => self.work.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(patience) => self.work.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner).0,
        }
    }

    /// Opens a seat; with room for guidance it has two rows.
    ///
    /// Errors: no rows are free; the engine has ended.
    pub(super) fn open(&self, guidance: bool) -> Result<(usize, SeatRows)> {
        let mut state = self.lock();
        state.check_running()?;
        let rows = match guidance {
            true => state.rows.take().map(|[a, b]| SeatRows { conditional: a, unconditional: Some(b) }),
            false => state.rows.take().map(|[a]| SeatRows { conditional: a, unconditional: None }),
        };
        let seat = state.seats.iter().position(Option::is_none);
        let (Some(rows), Some(seat)) = (rows, seat) else {
            let (free, all, wanted) = (state.rows.free(), state.rows.count(), 1 + usize::from(guidance));
            let what = format!("{wanted} slots of the engine are needed, {free} of its {all} are free");
            return Err(Error::new(ErrorKind::Limit, format!("{what}: wait until a session ends, or give it more")));
        };
        state.seats[seat] =
            Some(SeatState { asked: None, answered: None, expected: false, ready: Arc::new(Condvar::new()) });
        Ok((seat, rows))
    }

    /// Gives a seat and its rows back.
    pub(super) fn leave(&self, seat: usize, rows: SeatRows) {
        let mut state = self.lock();
        state.seats[seat] = None;
        rows.all().for_each(|row| state.rows.release(row));
        // the others need not wait for this one
        self.work.notify_one();
    }

    /// Hands in a call and waits for the answer.
    ///
    /// Errors: the engine has ended.
    pub(super) fn exchange(&self, seat: usize, call: Box<Call>) -> Result<Box<Call>> {
        let mut state = self.lock();
        state.check_running()?;
        let Some(here) = &mut state.seats[seat] else { return Err(ended("the seat is gone")) };
        let ready = Arc::clone(&here.ready);
        here.asked = Some(call);
        self.work.notify_one();
        loop {
            if let Some(answer) = state.seats[seat].as_mut().and_then(|here| here.answered.take()) {
                return Ok(answer);
            }
            state.check_running()?;
            state = ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Ends it: whoever waits or asks from now on gets an error that says why.
    pub(super) fn stop(&self, why: &'static str) {
        let mut state = self.lock();
        state.stopped.get_or_insert(why);
        self.work.notify_all();
        state.seats.iter().flatten().for_each(|seat| seat.ready.notify_all());
    }
}

impl State {
    fn check_running(&self) -> Result<()> {
        self.stopped.map_or(Ok(()), |why| Err(ended(why)))
    }

    /// Gives a call back to its seat.
    pub(super) fn answer(&mut self, seat: usize, call: Box<Call>) {
        if let Some(seat) = &mut self.seats[seat] {
            seat.expected = call.ask == Ask::Step;
            seat.answered = Some(call);
            seat.ready.notify_one();
        }
    }
}

fn ended(why: &str) -> Error {
    Error::new(ErrorKind::Graph, format!("the engine has ended: {why}"))
}
