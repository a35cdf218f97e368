//! Replay: recomputes the state of a conversation from its tokens.
//!
//! Tokens are run as they were run originally: prompts at once, segments position by position, guided segments with
//! their unconditional sequence. One run over many positions rounds differently from many runs of one position, so that
//! no shorter way reproduces the numbers, and hence the tokens, of a conversation that never stopped.

use super::SegmentEnd;
use super::conversation::{Conversation, Next};
use crate::error::Result;
use crate::language_model::StateMark;
use crate::modality::Modality;
use crate::prompt::Prompt;
use crate::token::{TokenId, Tokens};

/// A past prompt with the segments of its reply.
pub(crate) struct PastTurn<'a> {
    pub prompt: &'a Prompt,
    pub segments: Vec<PastSegment<'a>>,
}

/// A past segment.
pub(crate) struct PastSegment<'a> {
    pub modality: Modality,
    pub end: SegmentEnd,
    pub guided: bool,
    /// The tokens after the opener, the end included.
    pub tokens: &'a Tokens,
}

/// Runs `past` from the beginning, after which another turn can begin. If the last turn continues, with a segment of
/// the modality `next_segment` or of any (`Some(None)`), also runs everything before that segment, and returns the
/// possible continuations. On any error the conversation is empty.
pub(crate) fn replay(
    conversation: &mut Conversation,
    past: &[PastTurn],
    next_segment: Option<Option<Modality>>,
) -> Result<Option<Next>> {
    conversation.rewind(&StateMark::START);
    let mut next = Ok(None);
    for (index, turn) in past.iter().enumerate() {
        let next_segment = next_segment.filter(|_| index + 1 == past.len());
        next = replay_turn(conversation, turn, next_segment);
        if next.is_err() {
            conversation.rewind(&StateMark::START);
            break;
        }
    }
    next
}

fn replay_turn(
    conversation: &mut Conversation,
    turn: &PastTurn,
    next_segment: Option<Option<Modality>>,
) -> Result<Option<Next>> {
    let mut prompt = Some(turn.prompt);
    if next_segment.is_none() && turn.prompt.modality == Modality::Thinking && !conversation.rules.keeps_thoughts() {
        return replay_answer(conversation, turn).map(|()| None);
    }
    for segment in &turn.segments {
        if prompt.is_none() {
            conversation.reopen()?;
        }
        let next = conversation.run_to_segment(prompt.take(), Some(segment.modality))?;
        replay_segment(conversation, segment, next)?;
    }
    let Some(wanted) = next_segment else { return Ok(None) };
    if prompt.is_none() {
        conversation.reopen()?;
    }
    let next = match conversation.run_to_segment(prompt, wanted)? {
        // the recorded modality may have been chosen by the model, which must be able to choose again
        Next::Choice(_) => Next::Choice(conversation.offers()?),
        decided @ Next::Decided(..) => decided,
    };
    Ok(Some(next))
}

/// Runs the prompt of a turn whose reply began with thoughts, which are not kept, and leaves its answer to be run with the
/// next prompt.
fn replay_answer(conversation: &mut Conversation, turn: &PastTurn) -> Result<()> {
    conversation.run_to_segment(Some(turn.prompt), Some(Modality::Thinking))?;
    for segment in &turn.segments {
        let last = segment.tokens.last().unwrap_or_default();
        conversation.close(segment.modality, segment.tokens, last, segment.end)?;
    }
    conversation.forget_thoughts()
}

fn replay_segment(conversation: &mut Conversation, segment: &PastSegment, next: Next) -> Result<()> {
    let mut last = match next {
        Next::Decided(_, last) => last,
        Next::Choice(_) => conversation.opening_position(segment.modality)?,
    };
    if segment.guided {
        conversation.begin_guidance()?;
    }
    let run = run_positions(conversation, segment.tokens, &mut last);
    conversation.sequence.end_guidance()?;
    run?;
    conversation.close(segment.modality, segment.tokens, &last, segment.end)
}

/// Runs `last` and all positions of a segment but the last, and sets `last` to the last position.
fn run_positions(conversation: &mut Conversation, segment: &Tokens, last: &mut [TokenId]) -> Result<()> {
    for position in segment.iter() {
        conversation.cancel.check()?;
        conversation.step(last)?;
        last.copy_from_slice(position);
    }
    Ok(())
}
