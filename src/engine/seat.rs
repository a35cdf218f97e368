//! A session's place in the engine: a language model whose work others do.

use std::sync::Arc;

use super::desk::{Ask, Call, Desk, SeatRows};
use crate::cancel::Cancel;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Head, LanguageModel};
use crate::prompt::FeatureSlot;
use crate::token::{Frames, TokenId};

/// Frames and features to embeddings, [frames, hidden] flattened.
pub(super) type Embed = dyn Fn(&Frames, &[FeatureSlot]) -> Result<Vec<f32>> + Send + Sync;

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
    wanted: Option<Head>,
    /// The head whose logits lie in the call, and were not given out yet.
    ready: Option<Head>,
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

    /// Asks and waits. What was in the call is lost when the engine ends meanwhile.
    fn ask(&mut self, ask: Ask) -> Result<()> {
        let position = self.position;
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

impl LanguageModel for Seat {
    fn position(&self) -> usize {
        self.position
    }

    fn max_positions(&self) -> usize {
        self.context
    }

    fn reserve(&mut self, positions: usize) -> Result<()> {
        self.check_room(positions)
    }

    fn rewind(&mut self, position: usize) {
        self.position = self.position.min(position);
    }

    fn fork(&mut self, position: usize) -> Result<Box<dyn LanguageModel>> {
        let mut fork = Self::new(&self.desk, &self.embed, self.context, self.rows.unconditional.is_some())?;
        let here = std::mem::replace(&mut self.position, position);
        let copied = self.ask(Ask::Copy(fork.rows.conditional));
        self.position = here;
        copied?;
        fork.position = position;
        Ok(Box::new(fork))
    }

    fn prefill(&mut self, frames: &Frames, features: &[FeatureSlot], cancel: &Cancel) -> Result<()> {
        cancel.check()?;
        self.check_room(self.position + frames.len())?;
        let embeds = (self.embed)(frames, features)?;
        let call = self.call();
        (call.embeds, call.cancel) = (embeds, cancel.clone());
        self.ready = None;
        let ran = self.ask(Ask::Prefill);
        self.call().embeds = Vec::new();
        ran?;
        self.position += frames.len();
        Ok(())
    }

    fn step(&mut self, frame: &[TokenId]) -> Result<()> {
        self.check_room(self.position + 1)?;
        self.ready = None;
        let head = self.wanted.take();
        let call = self.call();
        call.head = head;
        call.frame.clear();
        call.frame.extend_from_slice(frame);
        self.ask(Ask::Step)?;
        self.ready = self.call().head;
        self.position += 1;
        Ok(())
    }

    fn begin_guidance(&mut self) -> Result<()> {
        if self.rows.unconditional.is_none() {
            let what = "this session was opened without room for guidance; expected one that was opened for it";
            return Err(Error::new(ErrorKind::Limit, what));
        }
        self.ask(Ask::BeginGuidance)?;
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

    fn logits(&mut self, head: Head) -> Result<&mut [f32]> {
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
