//! A session's sequence in the slots of an engine: a [`Sequence`] that forwards each operation to the scheduler.

use std::sync::Arc;

use super::queue::{Request, RequestKind, RequestQueue, SlotRows};
use super::rows::Row;
use crate::cancel::Cancel;
use crate::error::{Error, ErrorKind, Result};
use crate::language_model::{HeadId, Prefix, Prepared, Sequence, StateMark};
use crate::prompt::FeatureSlot;
use crate::token::{TokenId, Tokens};

/// A function that embeds tokens and features, shape [positions, hidden], flattened.
pub(super) type Embed = dyn Fn(&Tokens, &[FeatureSlot]) -> Result<Vec<f32>> + Send + Sync;

/// A sequence in an engine: it takes one slot, or two if it has room for guidance.
pub(super) struct SlotSequence {
    queue: Arc<RequestQueue>,
    embed: Arc<Embed>,
    /// Index of the session in the queue.
    session: usize,
    rows: SlotRows,
    /// The maximum number of positions of a row.
    context: usize,
    position: usize,
    /// `None` while the scheduler has the request, and after the engine has stopped meanwhile.
    request: Option<Box<Request>>,
    /// Size of a hidden state; 0 until a prompt has run.
    hidden_size: usize,
    /// The tokens at the beginning of the unconditional row, kept for further replies to the same prompt.
    prepared: Option<Prepared>,
    /// The head requested after the last step, which the next step runs in the same iteration.
    wanted: Option<HeadId>,
    /// The head whose logits are in the response of the last step and were not returned yet.
    ready: Option<HeadId>,
}

impl SlotSequence {
    /// Creates an empty sequence, with room for guidance if `guidance`.
    ///
    /// # Errors
    /// Not enough rows are free, or the engine has stopped.
    pub(super) fn new(queue: &Arc<RequestQueue>, embed: &Arc<Embed>, context: usize, guidance: bool) -> Result<Self> {
        let (session, rows) = queue.open(guidance)?;
        Ok(Self {
            queue: Arc::clone(queue),
            embed: Arc::clone(embed),
            session,
            rows,
            context,
            position: 0,
            request: Some(Box::new(Request::new(rows))),
            hidden_size: 0,
            prepared: None,
            wanted: None,
            ready: None,
        })
    }

    fn request(&mut self) -> &mut Request {
        self.request.get_or_insert_with(|| Box::new(Request::new(self.rows)))
    }

    /// Runs `tokens` in `row`, after its first `position` positions.
    fn run_prompt(
        &mut self,
        row: Row,
        position: usize,
        tokens: &Tokens,
        features: &[FeatureSlot],
        cancel: &Cancel,
    ) -> Result<()> {
        let embeds = (self.embed)(tokens, features)?;
        self.hidden_size = embeds.len() / tokens.len().max(1);
        let request = self.request();
        request.embeds = embeds;
        request.cancel = cancel.clone();
        self.ready = None;
        let ran = self.send_at(RequestKind::Prefill(row), position);
        self.request().embeds = Vec::new();
        ran
    }

    fn send(&mut self, kind: RequestKind) -> Result<()> {
        self.send_at(kind, self.position)
    }

    /// Submits the request and waits for the response. The request's contents are lost if the engine stops meanwhile.
    fn send_at(&mut self, kind: RequestKind, position: usize) -> Result<()> {
        let request = self.request();
        request.kind = kind;
        request.position = position;
        request.result = Ok(());
        let Some(request) = self.request.take() else { return Ok(()) };
        let request = self.request.insert(self.queue.submit(self.session, request)?);
        std::mem::replace(&mut request.result, Ok(()))
    }

    /// Returns the row of the unconditional sequence.
    fn unconditional(&self) -> Result<Row> {
        let what = "this session was opened without room for guidance: open it for a configuration with guidance";
        self.rows.unconditional.ok_or_else(|| Error::new(ErrorKind::Limit, what))
    }

    /// Copies the first `len` positions of the row `from` into the row `to`.
    fn copy(&mut self, from: Row, to: Row, len: usize) -> Result<()> {
        self.send_at(RequestKind::Copy { from, to }, len)
    }

    /// Runs `tokens` as the beginning of the unconditional row; the first `shared` are copied from the conditional row.
    fn prepare_unconditional(&mut self, tokens: &Tokens, shared: usize, cancel: &Cancel) -> Result<()> {
        if self.prepared.as_ref().is_some_and(|prepared| prepared.is_for(tokens, shared)) {
            return Ok(());
        }
        self.prepared = None;
        let row = self.unconditional()?;
        self.copy(self.rows.conditional, row, shared)?;
        let rest = tokens.slice(shared..tokens.len());
        if !rest.is_empty() {
            // the hidden state, and with it the logits, must remain those of the conditional row
            let hidden = std::mem::take(&mut self.request().hidden);
            let ran = self.run_prompt(row, shared, &rest, &[], cancel);
            self.request().hidden = hidden;
            ran?;
        }
        self.prepared = Some(Prepared::new(tokens, shared));
        Ok(())
    }

    fn check_room(&self, positions: usize) -> Result<()> {
        if positions > self.context {
            let max = self.context;
            let what = format!("{positions} positions are needed, but a slot of the engine holds {max}");
            return Err(Error::new(ErrorKind::Limit, what));
        }
        Ok(())
    }
}

impl Sequence for SlotSequence {
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
        if self.position == 0 {
            self.prepared = None;
        }
    }

    fn fork(&mut self, mark: &StateMark) -> Result<Box<dyn Sequence>> {
        let position = mark.position();
        let mut fork = Self::new(&self.queue, &self.embed, self.context, self.rows.unconditional.is_some())?;
        self.copy(self.rows.conditional, fork.rows.conditional, position)?;
        if let (Some(from), Some(to), Some(prepared)) =
            (self.rows.unconditional, fork.rows.unconditional, self.prepared.clone())
        {
            self.copy(from, to, prepared.len())?;
            fork.prepared = Some(prepared);
        }
        fork.hidden_size = self.hidden_size;
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
        let request = self.request();
        request.head = head;
        request.ids.clear();
        request.ids.extend_from_slice(position);
        self.send(RequestKind::Step)?;
        self.ready = self.request().head;
        self.position += 1;
        Ok(())
    }

    fn prepare_guidance(&mut self, prefix: Prefix, cancel: &Cancel) -> Result<()> {
        self.unconditional()?;
        prefix.check(self.position)?;
        match prefix {
            Prefix::Pads => {
                self.prepared = None;
                self.send(RequestKind::FillWithPads)
            }
            Prefix::Tokens { tokens, shared } => self.prepare_unconditional(tokens, shared, cancel),
        }
    }

    fn begin_guidance(&mut self, prefix: Prefix, cancel: &Cancel) -> Result<()> {
        self.prepare_guidance(prefix, cancel)?;
        self.request().guided = true;
        Ok(())
    }

    fn end_guidance(&mut self) -> Result<()> {
        let size = self.hidden_size;
        let request = self.request();
        request.guided = false;
        request.hidden.truncate(size);
        self.ready = None;
        Ok(())
    }

    fn logits(&mut self, head: HeadId) -> Result<&mut [f32]> {
        self.wanted = Some(head);
        if self.ready.take() != Some(head) {
            self.request().head = Some(head);
            self.send(RequestKind::Logits)?;
        }
        Ok(&mut self.request().logits)
    }
}

impl Drop for SlotSequence {
    fn drop(&mut self) {
        self.queue.close(self.session, self.rows);
    }
}
