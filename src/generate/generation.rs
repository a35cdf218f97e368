//! The generation loop. A reply is generated in these steps:
//!
//! 1. *Open*: runs the prompt, or the end of the last segment, and the template's tokens before the next segment; then
//!    opens a segment of the modality that is forced, decided by the prompt, or has the likeliest opener.
//! 2. *Generate*: runs the last position, guides its logits and draws one id for every slot of the layout, until an end
//!    is drawn or a limit is reached.
//! 3. *Close*: opens another segment if the end allows one; otherwise the reply ends.
//!
//! [`Generation`] is the iterator over the events of the loop.

use std::collections::VecDeque;
use std::time::Instant;

use super::confidence::Confidence;
use super::conversation::{Conversation, Next, Offer};
use super::open_segment::OpenSegment;
use super::{Checkpoint, Event, GenerationConfig, Reply, Seconds, SegmentEnd, Usage};
use crate::error::{Error, ErrorKind, Result};
use crate::language_model::StateMark;
use crate::modality::{Modality, SegmentConfig};
use crate::prompt::Prompt;
use crate::sampling::{Candidates, Rng, Sampler, guide};
use crate::token::{End, Run, TokenId, Tokens};

/// A reply being generated: an iterator over its events, which ends after [`Event::Finished`], or after an error.
///
/// If a step fails, the partial segment is yielded first, marked [`SegmentEnd::Failed`].
pub struct Generation<'a> {
    conversation: &'a mut Conversation,
    config: GenerationConfig,
    rng: Rng,
    sampler: Sampler,
    /// The position that is being drawn.
    drawn: Vec<TokenId>,
    state: State,
    /// The next segment's modality and first positions, if given.
    kept: Option<(Modality, Tokens)>,
    segment: Option<OpenSegment>,
    events: VecDeque<Event>,
    failure: Option<Error>,
    opened: usize,
    measures_confidence: bool,
    usage: Usage,
    seconds: Seconds,
}

/// The step of the loop to execute next.
enum State {
    /// Open a segment.
    Open(Opening),
    /// Extend the open segment.
    Generate,
    /// The reply has ended.
    Done,
}

/// The tokens to run before a segment.
enum Opening {
    /// The prompt: the segment is the first of a reply.
    Prompt(Prompt),
    /// The end of the last segment.
    Next,
    /// None: everything before the segment has been run.
    Run(Next),
}

impl<'a> Generation<'a> {
    /// Begins a reply to `prompt`; nothing runs before the first call of `next`.
    pub(crate) fn new(conversation: &'a mut Conversation, prompt: Prompt, config: GenerationConfig) -> Result<Self> {
        conversation.check_prompt(&prompt)?;
        conversation.rules.check_force(&config.force)?;
        config.check_limits(&conversation.limits)?;
        let config = if prompt.modality == Modality::Thinking { config.after_thoughts() } else { config };
        let prompt_positions = prompt.len();
        let mut generation = Self::begin(conversation, Opening::Prompt(prompt), config, 0)?;
        generation.usage.prompt_positions = prompt_positions;
        Ok(generation)
    }

    /// Begins a reply at the checkpoint `from`, to which the conversation must have been rewound.
    pub(crate) fn at(conversation: &'a mut Conversation, from: &Checkpoint, config: GenerationConfig) -> Result<Self> {
        config.check_limits(&conversation.limits)?;
        let config = if conversation.thoughtful().is_some() { config.after_thoughts() } else { config };
        let rules = &conversation.rules;
        config.force.iter().skip(from.opened).try_for_each(|modality| rules.of(*modality).map(drop))?;
        if let Some((modality, kept)) = &from.kept {
            rules.of(*modality)?.check_beginning(kept, &rules.vocabulary)?;
        }
        let opening = Opening::Run(from.next.clone());
        let mut generation = Self::begin(conversation, opening, config, from.draws)?;
        generation.kept = from.kept.clone();
        generation.opened = from.opened;
        generation.usage.prompt_positions = from.prompt_positions;
        generation.seconds.prefill = from.prefill;
        Ok(generation)
    }

    fn begin(
        conversation: &'a mut Conversation,
        opening: Opening,
        config: GenerationConfig,
        draws: u64,
    ) -> Result<Self> {
        config.validate()?;
        Ok(Self {
            rng: Rng::at(config.seed, draws),
            conversation,
            config,
            sampler: Sampler::default(),
            drawn: Vec::new(),
            state: State::Open(opening),
            kept: None,
            segment: None,
            events: VecDeque::new(),
            failure: None,
            opened: 0,
            measures_confidence: false,
            usage: Usage::default(),
            seconds: Seconds::default(),
        })
    }

    /// Also measures the confidence of text segments ([`Segment::confidence`](super::Segment::confidence)), which takes
    /// an exponential for every entry of the vocabulary at every token.
    #[must_use]
    pub fn with_confidence(mut self) -> Self {
        self.measures_confidence = true;
        self
    }

    /// Generates the whole reply.
    pub fn into_reply(self) -> Result<Reply> {
        match self.into_partial_reply() {
            (reply, None) => Ok(reply),
            (_, Some(error)) => Err(error),
        }
    }

    /// Generates the whole reply, or, with an error, the part before the error.
    pub fn into_partial_reply(self) -> (Reply, Option<Error>) {
        let mut reply = Reply::default();
        for event in self {
            match event {
                Ok(Event::SegmentEnded { segment, .. }) => reply.segments.push(segment),
                Ok(Event::Finished { usage, seconds }) => {
                    reply.usage = usage;
                    reply.seconds = seconds;
                }
                Ok(_) => {}
                Err(error) => return (reply, Some(error)),
            }
        }
        (reply, None)
    }

    /// Executes the next step.
    fn advance(&mut self) -> Result<()> {
        let start = Instant::now();
        match std::mem::replace(&mut self.state, State::Done) {
            State::Open(opening) => {
                let opened = self.open(opening);
                self.seconds.prefill += start.elapsed().as_secs_f64();
                opened
            }
            State::Generate => {
                let generated = self.generate();
                self.seconds.decode += start.elapsed().as_secs_f64();
                generated
            }
            State::Done => Ok(()),
        }
    }

    /// Executes step 1; if it is cancelled, ends the reply.
    fn open(&mut self, opening: Opening) -> Result<()> {
        if matches!(opening, Opening::Prompt(_)) {
            self.conversation.forget_thoughts()?;
        }
        let snapshot = self.conversation.snapshot();
        let Err(error) = self.open_segment(opening) else { return Ok(()) };
        self.conversation.restore(snapshot);
        if error.kind() != ErrorKind::Cancelled {
            return Err(error);
        }
        self.finish();
        Ok(())
    }

    /// Runs the tokens before a segment, and opens it.
    fn open_segment(&mut self, opening: Opening) -> Result<()> {
        self.conversation.cancel.check()?;
        let next = self.run_opening(opening).map_err(|e| e.context(format!("before segment {}", self.opened)))?;
        let kept = self.kept.take();
        let (modality, last) = self.choose(next, kept.as_ref().map(|(modality, _)| *modality))?;
        let config = self.segment_config(modality);
        let is_streamed = self.config.stream_audio;
        let mut segment = OpenSegment::new(self.conversation, modality, config, last, is_streamed, self.rng.draws())?;
        if let Some((_, tokens)) = kept {
            segment.kept = tokens;
        }
        segment.confidence = (self.measures_confidence && !modality.is_sound()).then(Confidence::default);
        self.make_room(&config)?;
        self.events.push_back(Event::SegmentStarted { index: self.opened, modality });
        self.opened += 1;
        self.state = State::Generate;
        self.segment = Some(segment);
        Ok(())
    }

    /// Returns the settings of the next segment. Thoughts share the steps of the text after them.
    fn segment_config(&self, modality: Modality) -> SegmentConfig {
        let config = *self.config.segment(modality);
        let taken = self.conversation.thought_steps(modality);
        config.max_steps(config.max_steps.saturating_sub(taken))
    }

    /// Runs the tokens of `opening`, and returns the possible continuations.
    fn run_opening(&mut self, opening: Opening) -> Result<Next> {
        let wanted = self.config.force.get(self.opened).copied();
        match opening {
            Opening::Run(next) => Ok(next),
            Opening::Prompt(prompt) => self.conversation.run_to_segment(Some(&prompt), wanted),
            Opening::Next => {
                self.conversation.reopen()?;
                self.conversation.run_to_segment(None, wanted)
            }
        }
    }

    /// Reserves positions for a segment, and begins the unconditional sequence of a guided one.
    fn make_room(&mut self, config: &SegmentConfig) -> Result<()> {
        let sequence = &mut *self.conversation.sequence;
        let wanted = sequence.position().saturating_add(config.max_steps).saturating_add(1);
        sequence.reserve(wanted.min(sequence.max_positions()))?;
        if config.is_guided() {
            self.conversation.begin_guidance()?;
        }
        Ok(())
    }

    /// Returns the modality of the segment (that of `kept`, the forced one, or the likeliest) and the position to run
    /// before those of the segment.
    fn choose(&mut self, next: Next, kept: Option<Modality>) -> Result<(Modality, Vec<TokenId>)> {
        let wanted = kept.or_else(|| self.config.force.get(self.opened).copied());
        match next {
            Next::Decided(modality, last) => match wanted {
                Some(wanted) if wanted != modality => {
                    let what = format!("the prompt was laid out for {modality}; lay it out for {wanted}");
                    Err(Error::new(ErrorKind::Invalid, what))
                }
                _ => Ok((modality, last)),
            },
            Next::Choice(offers) => {
                let modality = wanted.map_or_else(|| self.likeliest(&offers), Ok)?;
                Ok((modality, self.conversation.opening_position(modality)?))
            }
        }
    }

    /// Returns the modality with the likeliest opener of `offers`.
    fn likeliest(&mut self, offers: &[Offer]) -> Result<Modality> {
        let logits: Vec<_> = offers.iter().map(|offer| offer.logit).collect();
        let run = |(column, offer): (usize, &Offer)| Run { first: offer.opener, columns: column..column + 1 };
        let runs: Vec<_> = offers.iter().enumerate().map(run).collect();
        let greedy = SegmentConfig::default().sampling();
        let opener = self.sampler.sample(&Candidates::new(&logits, &runs), &greedy, &mut self.rng);
        let head = self.conversation.rules.choice.as_ref().map_or("", |choice| &choice.head_name);
        let opener = opener.map_err(|e| e.context(format!("{head}: the modality of segment {}", self.opened)))?;
        let chosen = offers.iter().find(|offer| offer.opener == opener).map(|offer| offer.modality);
        chosen.ok_or_else(|| Error::new(ErrorKind::Numeric, "no modality can be chosen"))
    }

    /// Executes step 2, for one position.
    fn generate(&mut self) -> Result<()> {
        let Some(mut segment) = self.segment.take() else { return Ok(()) };
        match self.extend(&mut segment) {
            Ok(None) => {
                self.state = State::Generate;
                self.segment = Some(segment);
                Ok(())
            }
            Ok(Some(end)) => self.close(segment, end),
            Err(error) => {
                let error = error.context(format!("segment {}, step {}", self.opened - 1, segment.tokens.len()));
                self.fail(segment);
                Err(error)
            }
        }
    }

    /// Extends `segment` by a position, and emits its text or sound. Returns the reason if the segment ends.
    fn extend(&mut self, segment: &mut OpenSegment) -> Result<Option<SegmentEnd>> {
        if self.conversation.cancel.is_cancelled() {
            return Ok(Some(SegmentEnd::Cancelled));
        }
        if self.conversation.sequence.position() >= self.conversation.sequence.max_positions() {
            return Ok(Some(SegmentEnd::Context));
        }
        let before = self.conversation.sequence.mark();
        self.conversation.step(&segment.last)?;
        match segment.kept.get(segment.tokens.len()) {
            Some(kept) => segment.last.copy_from_slice(kept),
            None => {
                if let Err(error) = self.draw_position(segment) {
                    self.conversation.undo_steps(&before);
                    return Err(error);
                }
                segment.last.copy_from_slice(&self.drawn);
                self.usage.steps += 1;
            }
        }
        segment.tokens.push(&segment.last);
        let layout = &self.conversation.rules.of(segment.modality)?.layout;
        match layout.end(&segment.last) {
            Some(End::Turn) => return Ok(Some(SegmentEnd::Eos)),
            Some(End::Segment) => return Ok(Some(SegmentEnd::Eot)),
            None => {}
        }
        segment.emit_new(&self.conversation.rules, &mut self.events)?;
        let full = segment.tokens.len() >= segment.config.max_steps;
        Ok(full.then_some(SegmentEnd::Limit))
    }

    /// Draws the next position of `segment` into `drawn`: the slots of its layout in order, each independently.
    fn draw_position(&mut self, segment: &mut OpenSegment) -> Result<()> {
        let config = segment.config;
        let Conversation { rules, sequence, .. } = &mut *self.conversation;
        let modality_rules = rules.of(segment.modality)?;
        let mut logits = sequence.logits(modality_rules.head)?;
        if config.is_guided() {
            let (conditional, unconditional) = logits.split_at_mut(logits.len() / 2);
            guide(conditional, unconditional, config.guidance);
            logits = conditional;
        }
        let step = segment.tokens.len();
        self.drawn.clear();
        self.drawn.resize(rules.vocabulary.width, rules.vocabulary.filler());
        let slots = modality_rules.layout.slots(step, step >= config.min_steps);
        for slot in slots {
            let candidates = Candidates::new(logits, &slot.runs);
            let id = self.sampler.sample(&candidates, &config.sampling(), &mut self.rng);
            let id = id.map_err(|e| match slots {
                [_] => e.context(&modality_rules.head_name),
                _ => e.context(format!("{}, stream {}", modality_rules.head_name, slot.column)),
            })?;
            if let Some(cell) = self.drawn.get_mut(slot.column) {
                *cell = id;
            }
            if let Some(confidence) = &mut segment.confidence {
                confidence.add(candidates.log_probability(id));
            }
        }
        Ok(())
    }

    /// Executes step 3: emits the rest of the segment's text or sound, then opens the next segment or ends the reply.
    fn close(&mut self, mut segment: OpenSegment, end: SegmentEnd) -> Result<()> {
        self.close_in_conversation(&segment, end)?;
        let emitted = segment.emit_rest(&self.conversation.rules, &mut self.events);
        self.emit_end(segment, end)?;
        emitted?;
        if self.continues_after(end) {
            self.state = State::Open(Opening::Next);
        } else {
            self.finish();
        }
        Ok(())
    }

    /// Ends the segment after a failed step, and emits what there is of it; the conversation can continue after it.
    fn fail(&mut self, mut segment: OpenSegment) {
        self.close_in_conversation_or_clear(&segment, SegmentEnd::Failed);
        // the caller reports the error of the failed step, not an error that follows from it
        let _ = segment.emit_rest(&self.conversation.rules, &mut self.events);
        let _ = self.emit_end(segment, SegmentEnd::Failed);
    }

    /// Ends guidance, and leaves the tokens that close the segment to be run.
    fn close_in_conversation(&mut self, segment: &OpenSegment, end: SegmentEnd) -> Result<()> {
        self.conversation.sequence.end_guidance()?;
        self.conversation.close(segment.modality, &segment.tokens, &segment.last, end)
    }

    /// Ends the segment in the conversation; clears the conversation if that fails.
    fn close_in_conversation_or_clear(&mut self, segment: &OpenSegment, end: SegmentEnd) {
        if self.close_in_conversation(segment, end).is_err() {
            self.conversation.rewind(&StateMark::START);
        }
    }

    /// Returns whether another segment follows one with this `end`.
    fn continues_after(&self, end: SegmentEnd) -> bool {
        let insists = self.config.insist && self.opened < self.config.force.len();
        let asked = match end {
            SegmentEnd::Eot => true,
            SegmentEnd::Eos | SegmentEnd::Limit => insists,
            SegmentEnd::Context | SegmentEnd::Cancelled | SegmentEnd::Failed => false,
        };
        asked && self.opened < self.config.max_segments && self.has_steps_left()
    }

    /// Returns whether thoughts have left a step for the answer; a segment after no thoughts has its own.
    fn has_steps_left(&self) -> bool {
        self.conversation.thoughtful().is_none() || self.segment_config(Modality::Text).max_steps > 0
    }

    fn emit_end(&mut self, segment: OpenSegment, end: SegmentEnd) -> Result<()> {
        let segment = segment.into_segment(end, self.config.seed, self.rng.draws())?;
        self.events.push_back(Event::SegmentEnded { index: self.opened - 1, segment });
        Ok(())
    }

    /// Ends the reply.
    fn finish(&mut self) {
        self.state = State::Done;
        self.events.push_back(Event::Finished { usage: self.usage, seconds: self.seconds });
    }
}

impl Iterator for Generation<'_> {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(Ok(event));
            }
            if let Some(error) = self.failure.take() {
                return Some(Err(error));
            }
            if matches!(self.state, State::Done) {
                return None;
            }
            if let Err(error) = self.advance() {
                self.state = State::Done;
                self.failure = Some(error);
            }
        }
    }
}

/// Closes an unfinished segment as cancelled, so that the session stays usable.
impl Drop for Generation<'_> {
    fn drop(&mut self) {
        if let Some(segment) = self.segment.take() {
            self.close_in_conversation_or_clear(&segment, SegmentEnd::Cancelled);
        }
    }
}
