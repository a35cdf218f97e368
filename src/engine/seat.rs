//! A session's place in the engine: a language model whose work others do.

use std::sync::Arc;

use super::desk::{Ask, Call, Desk, SeatRows};
use super::rows::Row;
use crate::cancel::Cancel;
use crate::error::{Error, ErrorKind, Result};
use crate::language_model::{HeadId, Prefix, Sequence, StateMark};
use crate::prompt::FeatureSlot;
use crate::token::{TokenId, Tokens};

/// Embeds tokens and features, shape [positions, hidden], flattened.
pub(super) type Embed = dyn Fn(&Tokens, &[FeatureSlot]) -> Result<Vec<f32>> + Send + Sync;

/// A sequence in an engine.
pub(super) struct Seat {
    desk: Arc<Desk>,
    embed: Arc<Embed>,
    number: usize,
    rows: SeatRows,
    /// Positions that a row holds.
    context: usize,
    position: usize,
    /// Ours but while an answer is awaited.
    call: Option<Box<Call>>,
    /// The head that was asked for after the last step, and will be after the next one.
    wanted: Option<HeadId>,
    /// The head whose logits lie in the call, and were not given out yet.
    ready: Option<HeadId>,
}

impl Seat {
    /// An empty sequence; with room for guidance if `guidance`.
    ///
    /// Errors: no rows are free; the engine has ended.
    pub(super) fn new(desk: &Arc<Desk>, embed: &Arc<Embed>, context: usize, guidance: bool) -> Result<Self> {
        let (number, rows) = desk.open(guidance)?;
        Ok(Self {
            desk: Arc::clone(desk),
            embed: Arc::clone(embed),
            number,
            rows,
            context,
            position: 0,
            call: Some(Box::new(Call::new(rows))),
            wanted: None,
            ready: None,
        })
    }

    fn call(&mut self) -> &mut Call {
        self.call.get_or_insert_with(|| Box::new(Call::new(self.rows)))
    }

    /// Runs `tokens` in `row`, which holds `position` positions before.
    fn run_prompt(
        &mut self,
        row: Row,
        position: usize,
        tokens: &Tokens,
        features: &[FeatureSlot],
        cancel: &Cancel,
    ) -> Result<()> {
        let embeds = (self.embed)(tokens, features)?;
        let call = self.call();
        (call.embeds, call.cancel) = (embeds, cancel.clone());
        self.ready = None;
        let ran = self.ask_at(Ask::Prefill(row), position);
        self.call().embeds = Vec::new();
        ran
    }

    fn ask(&mut self, ask: Ask) -> Result<()> {
        self.ask_at(ask, self.position)
    }

    /// Asks and waits. The contents of the call are lost when the engine ends meanwhile.
    fn ask_at(&mut self, ask: Ask, position: usize) -> Result<()> {
        let call = self.call();
        (call.ask, call.position, call.result) = (ask, position, Ok(()));
        let Some(call) = self.call.take() else { return Ok(()) };
        let call = self.call.insert(self.desk.exchange(self.number, call)?);
        std::mem::replace(&mut call.result, Ok(()))
    }

    fn check_room(&self, positions: usize) -> Result<()> {
        if positions > self.context {
            let most = self.context;
            let what = format!("{positions} positions are needed, but a slot of the engine holds {most}");
            return Err(Error::new(ErrorKind::Limit, what));
        }
        Ok(())
    }
}

impl Sequence for Seat {
    fn position(&self) -> usize {
        self.position
    }

    fn max_positions(&self) -> usize {
        self.context
    }

    fn reserve(&mut self, positions: usize) -> Result<()> {
        self.check_room(positions)
    }

    fn mark(&self) -> StateMark {
        StateMark::at(self.position)
    }

    fn rewind(&mut self, mark: &StateMark) {
        self.position = self.position.min(mark.position());
    }

    fn fork(&mut self, mark: &StateMark) -> Result<Box<dyn Sequence>> {
        let position = mark.position();
        let mut fork = Self::new(&self.desk, &self.embed, self.context, self.rows.unconditional.is_some())?;
        let here = std::mem::replace(&mut self.position, position);
        let copied = self.ask(Ask::Copy(fork.rows.conditional));
        self.position = here;
        copied?;
        fork.position = position;
        Ok(Box::new(fork))
    }

    fn prefill(&mut self, tokens: &Tokens, features: &[FeatureSlot], cancel: &Cancel) -> Result<()> {
        cancel.check()?;
        self.check_room(self.position + tokens.len())?;
        self.run_prompt(self.rows.conditional, self.position, tokens, features, cancel)?;
        self.position += tokens.len();
        Ok(())
    }

    fn step(&mut self, position: &[TokenId]) -> Result<()> {
        self.check_room(self.position + 1)?;
        self.ready = None;
        let head = self.wanted.take();
        let call = self.call();
        call.head = head;
        call.ids.clear();
        call.ids.extend_from_slice(position);
        self.ask(Ask::Step)?;
        self.ready = self.call().head;
        self.position += 1;
        Ok(())
    }

    fn begin_guidance(&mut self, prefix: Prefix, cancel: &Cancel) -> Result<()> {
        let Some(row) = self.rows.unconditional else {
            let what = "this session was opened without room for guidance; expected one that was opened for it";
            return Err(Error::new(ErrorKind::Limit, what));
        };
        prefix.check(self.position)?;
        match prefix {
            Prefix::Pads => self.ask(Ask::FillWithPads)?,
            Prefix::Tokens(tokens) => self.run_prompt(row, 0, tokens, &[], cancel)?,
        }
        self.call().guided = true;
        Ok(())
    }

    fn end_guidance(&mut self) -> Result<()> {
        let call = self.call();
        if std::mem::replace(&mut call.guided, false) {
            call.hidden.truncate(call.hidden.len() / 2);
        }
        self.ready = None;
        Ok(())
    }

    fn logits(&mut self, head: HeadId) -> Result<&mut [f32]> {
        self.wanted = Some(head);
        if self.ready.take() != Some(head) {
            self.call().head = Some(head);
            self.ask(Ask::Logits)?;
        }
        Ok(&mut self.call().logits)
    }
}

/// The rows are free for others then.
impl Drop for Seat {
    fn drop(&mut self) {
        self.desk.leave(self.number, self.rows);
    }
}
