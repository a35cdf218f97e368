//! The loop. A reply is made in these steps:
//!
//! 1. *Open*: what the cache still lacks (the prompt, or the frame that closed the last segment) and `[assistant]` are
//!    run; the next token, forced or an argmax among the modality tokens, opens a segment.
//! 2. *Generate*: the last frame is run, its logits are guided, one id is drawn for every stream; until stream 0 draws
//!    eos or eot, or a limit is met.
//! 3. *Close*: `eot` leads to another segment, anything else ends the reply.
//!
//! [`Generation`] is the iterator over what happens meanwhile.

#![expect(
    clippy::indexing_slicing,
    reason = "a frame has an id for each stream, a row of logits one for each id: the contract was checked"
)]

use std::collections::VecDeque;
use std::time::Instant;

use super::audio_stream::AudioStream;
use super::parts::{Offer, Parts};
use super::{Checkpoint, Draws, Event, GenerationConfig, Reply, Seconds, Segment, SegmentEnd, Usage};
use crate::audio::Waveform;
use crate::cancel::Cancel;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::Head;
use crate::modality::{Modality, SegmentConfig};
use crate::prompt::Prompt;
use crate::sampling::{Candidates, Rng, Sampler, guide};
use crate::text::TextDecoder;
use crate::token::{Frames, TokenId, Vocabulary};

/// Frames for which a segment has room from the beginning, so that they are not moved as it grows.
const MOST_ROOM: usize = 4096;

/// A reply in the making: an iterator over its events, which ends after [`Event::Finished`], or after an error.
///
/// What a segment had come to before an error is given out before it ([`SegmentEnd::Failed`]).
pub struct Generation<'a> {
    parts: Parts<'a>,
    config: GenerationConfig,
    cancel: Cancel,
    rng: Rng,
    sampler: Sampler,
    /// The frame that is being drawn.
    drawn: Vec<TokenId>,
    state: State,
    /// The next segment's modality and first frames, when they are given.
    kept: Option<(Modality, Frames)>,
    segment: Option<OpenSegment>,
    events: VecDeque<Event>,
    failure: Option<Error>,
    opened: usize,
    usage: Usage,
    seconds: Seconds,
}

enum State {
    /// A segment is to be opened.
    Open(Opening),
    /// The open segment grows.
    Generate,
    /// Nothing is left to do.
    Done,
}

/// What comes before a segment.
enum Opening {
    /// The prompt: it is the first segment of a reply.
    Prompt(Prompt),
    /// The last one, whose closing frames these are now that another one follows.
    Next(Frames),
    /// Nothing that is not in the cache yet; these modalities may come next.
    Run(Vec<Offer>),
}

struct OpenSegment {
    modality: Modality,
    frames: Frames,
    /// Frames that are given rather than drawn.
    kept: Frames,
    /// Position of the modality token.
    start: usize,
    /// Random numbers drawn before the segment.
    drawn: u64,
    /// The frame to run next: the modality token, then whatever was drawn.
    last: Vec<TokenId>,
    decoder: TextDecoder,
    text: String,
    stream: AudioStream,
    samples: Vec<f32>,
}

impl<'a> Generation<'a> {
    /// Begins a reply to `prompt`; nothing runs before the first event is asked for.
    pub(crate) fn new(parts: Parts<'a>, prompt: Prompt, config: GenerationConfig, cancel: Cancel) -> Result<Self> {
        let prompt_frames = prompt.frames.len();
        let mut generation = Self::begin(parts, Opening::Prompt(prompt), config, 0, cancel)?;
        let Self { parts, config, .. } = &generation;
        config.force.iter().try_for_each(|modality| parts.check_offered(*modality))?;
        parts.check_fits(prompt_frames)?;
        generation.usage.prompt_frames = prompt_frames;
        Ok(generation)
    }

    /// Begins a reply at `checkpoint`, where the cache must stand.
    pub(crate) fn at(parts: Parts<'a>, from: &Checkpoint, config: GenerationConfig, cancel: Cancel) -> Result<Self> {
        let mut generation = Self::begin(parts, Opening::Run(from.offered.clone()), config, from.draws, cancel)?;
        let Self { parts, config, .. } = &generation;
        let kept = from.kept.iter().map(|(modality, _)| modality);
        config.force.iter().skip(from.opened).chain(kept).try_for_each(|modality| parts.check_offered(*modality))?;
        (generation.kept, generation.opened) = (from.kept.clone(), from.opened);
        (generation.usage.prompt_frames, generation.seconds.prefill) = (from.prompt_frames, from.prefill);
        Ok(generation)
    }

    fn begin(parts: Parts<'a>, opening: Opening, config: GenerationConfig, draws: u64, cancel: Cancel) -> Result<Self> {
        config.validate()?;
        parts.limits.check_config(&config)?;
        Ok(Self {
            rng: Rng::at(config.seed, draws),
            parts,
            config,
            cancel,
            sampler: Sampler::default(),
            drawn: Vec::new(),
            state: State::Open(opening),
            kept: None,
            segment: None,
            events: VecDeque::new(),
            failure: None,
            opened: 0,
            usage: Usage::default(),
            seconds: Seconds::default(),
        })
    }

    /// Makes the whole reply.
    pub fn into_reply(self) -> Result<Reply> {
        match self.into_partial_reply() {
            (reply, None) => Ok(reply),
            (_, Some(error)) => Err(error),
        }
    }

    /// Makes the whole reply, or as much of it as there is before the error that comes with it.
    pub fn into_partial_reply(self) -> (Reply, Option<Error>) {
        let mut reply = Reply::default();
        for event in self {
            match event {
                Ok(Event::SegmentEnded { segment, .. }) => reply.segments.push(segment),
                Ok(Event::Finished { usage, seconds }) => (reply.usage, reply.seconds) = (usage, seconds),
                Ok(_) => {}
                Err(error) => return (reply, Some(error)),
            }
        }
        (reply, None)
    }

    /// Does the next piece of work.
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

    /// Step 1, or the reply ends where it stands.
    fn open(&mut self, opening: Opening) -> Result<()> {
        let stand = self.parts.stand();
        match self.open_segment(opening) {
            Ok(()) => Ok(()),
            Err(error) => {
                self.parts.go_back(stand);
                if error.kind() != ErrorKind::Cancelled {
                    return Err(error);
                }
                self.finish();
                Ok(())
            }
        }
    }

    /// Runs what is missing and `[assistant]`, and opens a segment.
    fn open_segment(&mut self, opening: Opening) -> Result<()> {
        self.cancel.check()?;
        let offered = self.arrive(opening).map_err(|e| e.context(format!("before segment {}", self.opened)))?;
        let (modality, kept) = match self.kept.take() {
            Some((modality, kept)) => (modality, kept),
            None => (self.choose_modality(&offered)?, Frames::new(self.parts.vocabulary.streams)),
        };
        let last = self.parts.opening_frame(modality)?;
        self.make_room(modality)?;
        let config = self.config.segment(modality);
        self.events.push_back(Event::SegmentStarted { index: self.opened, modality });
        self.opened += 1;
        self.state = State::Generate;
        self.segment = Some(OpenSegment {
            modality,
            frames: Frames::with_room(self.parts.vocabulary.streams, config.max_steps.min(MOST_ROOM)),
            kept,
            start: self.parts.language_model.position(),
            drawn: self.rng.draws(),
            last,
            decoder: TextDecoder::default(),
            text: String::new(),
            stream: AudioStream::new(self.config.stream_audio),
            samples: Vec::new(),
        });
        Ok(())
    }

    /// Runs what comes before the segment; gives the modalities that may come next, where that must be known.
    fn arrive(&mut self, opening: Opening) -> Result<Vec<Offer>> {
        match opening {
            Opening::Run(offered) => return Ok(offered),
            Opening::Prompt(prompt) => self.parts.prefill(Some(&prompt), &self.cancel)?,
            Opening::Next(closing) => {
                *self.parts.tail = closing;
                self.parts.prefill(None, &self.cancel)?;
            }
        }
        match self.config.force.get(self.opened) {
            Some(_) => Ok(Vec::new()),
            None => self.parts.offered(),
        }
    }

    /// Room in the cache for a segment of `modality`, and the unconditional branch if it is guided.
    fn make_room(&mut self, modality: Modality) -> Result<()> {
        let config = self.config.segment(modality);
        let language_model = &mut *self.parts.language_model;
        let wanted = language_model.position().saturating_add(config.max_steps).saturating_add(1);
        language_model.reserve(wanted.min(language_model.max_positions()))?;
        if config.is_guided() {
            language_model.begin_guidance()?;
        }
        Ok(())
    }

    /// The forced modality of this segment, or the likeliest of `offered`.
    fn choose_modality(&mut self, offered: &[Offer]) -> Result<Modality> {
        if let Some(forced) = self.config.force.get(self.opened) {
            return Ok(*forced);
        }
        let runs: Vec<_> = offered.iter().map(|offer| (offer.token, std::slice::from_ref(&offer.logit))).collect();
        let greedy = SegmentConfig::default().sampling();
        let token = self.sampler.sample(&Candidates::new(&runs), &greedy, &mut self.rng);
        let token = token.map_err(|e| e.context(format!("text_head: modality of segment {}", self.opened)))?;
        let chosen = offered.iter().find(|offer| offer.token == token).map(|offer| offer.modality);
        let chosen = chosen.ok_or_else(|| Error::new(ErrorKind::Numeric, "no modality can be chosen"))?;
        self.parts.check_offered(chosen)?;
        Ok(chosen)
    }

    /// Step 2: one frame.
    fn generate(&mut self) -> Result<()> {
        let Some(mut segment) = self.segment.take() else { return Ok(()) };
        let grown = self.grow(&mut segment);
        match grown {
            Ok(None) => {
                self.state = State::Generate;
                self.segment = Some(segment);
                Ok(())
            }
            Ok(Some(end)) => self.close(segment, end),
            Err(error) => {
                let error = error.context(format!("segment {}, step {}", self.opened - 1, segment.frames.len()));
                self.abandon(segment);
                Err(error)
            }
        }
    }

    /// Runs and draws a frame, and tells what it brought; gives the reason when the segment is at its end.
    fn grow(&mut self, segment: &mut OpenSegment) -> Result<Option<SegmentEnd>> {
        if self.cancel.is_cancelled() {
            return Ok(Some(SegmentEnd::Cancelled));
        }
        if self.parts.language_model.position() >= self.parts.language_model.max_positions() {
            return Ok(Some(SegmentEnd::Context));
        }
        self.parts.language_model.step(&segment.last)?;
        match segment.kept.get(segment.frames.len()) {
            Some(kept) => segment.last.copy_from_slice(kept),
            None => {
                self.draw_frame(segment)?;
                segment.last.copy_from_slice(&self.drawn);
                self.usage.steps += 1;
            }
        }
        segment.frames.push(&segment.last);
        let special = &self.parts.vocabulary.special;
        if segment.last[0] == special.eos {
            return Ok(Some(SegmentEnd::Eos));
        }
        if segment.last[0] == special.eot {
            return Ok(Some(SegmentEnd::Eot));
        }
        self.tell(segment)?;
        let full = segment.frames.len() >= self.config.segment(segment.modality).max_steps;
        Ok(full.then_some(SegmentEnd::Limit))
    }

    /// Draws the next frame of `segment` into `drawn`: the streams in order, each on its own.
    fn draw_frame(&mut self, segment: &OpenSegment) -> Result<()> {
        let config = self.config.segment(segment.modality);
        let vocabulary = self.parts.vocabulary;
        let sound = segment.modality.is_sound();
        let head = if sound { Head::Audio } else { Head::Text };
        let mut logits = self.parts.language_model.logits(head)?;
        if config.is_guided() {
            let (conditional, unconditional) = logits.split_at_mut(logits.len() / 2);
            guide(conditional, unconditional, config.guidance);
            logits = conditional;
        }
        let sampling = config.sampling();
        let (eos, eot) = (vocabulary.special.eos, vocabulary.special.eot);
        let free = segment.frames.len() >= config.min_steps;
        let mut draw = |runs: &mut [(TokenId, &[f32])]| {
            runs.sort_unstable_by_key(|(first, _)| *first);
            self.sampler.sample(&Candidates::new(runs), &sampling, &mut self.rng).map_err(|e| e.context(head.graph()))
        };
        let frame = &mut self.drawn;
        frame.clear();
        frame.resize(vocabulary.streams, vocabulary.special.pad);
        if !sound {
            let text = vocabulary.text;
            let row = &logits[text.start as usize..text.end as usize];
            frame[0] = match free {
                true => draw(&mut [(eos, at(logits, eos)), (eot, at(logits, eot)), (text.start, row)])?,
                false => draw(&mut [(text.start, row)])?,
            };
            return Ok(());
        }
        let mut rest: &[f32] = logits;
        let closing = rest.split_off(rest.len() - 2..).unwrap_or_default();
        for (stream, block) in vocabulary.audio.iter().enumerate() {
            let row = rest.split_off(..block.len()).unwrap_or_default();
            frame[stream] = match stream {
                0 if free => draw(&mut [(eos, &closing[..1]), (eot, &closing[1..]), (block.start, row)]),
                0 => draw(&mut [(block.start + 1, &row[1..])]),
                _ => draw(&mut [(block.start, row)]),
            }
            .map_err(|e| e.context(format!("stream {stream}")))?;
        }
        Ok(())
    }

    /// Tells what the newest frame brought: text that it settled, or sound.
    fn tell(&mut self, segment: &mut OpenSegment) -> Result<()> {
        if !segment.modality.is_sound() {
            let piece = segment.decoder.push(segment.last[0], self.parts.tokenizer)?;
            self.tell_text(segment, piece);
            return Ok(());
        }
        if let Some(decoder) = self.parts.audio_decoder {
            let len = (segment.frames.len() + 1).saturating_sub(segment.frames.streams());
            let seconds = (len * decoder.hop_length()) as f64 / f64::from(decoder.sample_rate());
            self.events.push_back(Event::AudioProgress { seconds });
        }
        self.tell_sound(segment, false)
    }

    fn tell_text(&mut self, segment: &mut OpenSegment, piece: String) {
        if !piece.is_empty() {
            segment.text.push_str(&piece);
            self.events.push_back(Event::TextDelta(piece));
        }
    }

    fn tell_sound(&mut self, segment: &mut OpenSegment, complete: bool) -> Result<()> {
        let Some(decoder) = self.parts.audio_decoder else { return Ok(()) };
        let closed = segment.frames.last().is_some_and(|frame| self.parts.vocabulary.closes(frame[0]));
        let len = segment.frames.len() - usize::from(closed);
        while let Some(samples) = segment.stream.next(&segment.frames, len, complete, self.parts.vocabulary, decoder)? {
            segment.samples.extend_from_slice(&samples);
            self.events.push_back(Event::AudioChunk(Waveform::mono(samples, decoder.sample_rate())?));
        }
        Ok(())
    }

    /// Step 3: what is left of the segment's text or sound, then the next segment or the end.
    fn close(&mut self, mut segment: OpenSegment, end: SegmentEnd) -> Result<()> {
        self.leave(&segment, end)?;
        let followed = closing_frames(&segment.last, end, true, self.parts.vocabulary);
        let told = self.tell_rest(&mut segment);
        self.emit(segment, end)?;
        told?;
        if self.goes_on(end) {
            self.state = State::Open(Opening::Next(followed));
        } else {
            self.finish();
        }
        Ok(())
    }

    /// Whether another segment follows one that ended so.
    fn goes_on(&self, end: SegmentEnd) -> bool {
        let insists = self.config.insist && self.opened < self.config.force.len();
        let asked = match end {
            SegmentEnd::Eot => true,
            SegmentEnd::Eos | SegmentEnd::Limit => insists,
            SegmentEnd::Context | SegmentEnd::Cancelled | SegmentEnd::Failed => false,
        };
        asked && self.opened < self.config.max_segments
    }

    /// After an error: what the segment had come to is given out before the error is, and the conversation stands
    /// behind that.
    fn abandon(&mut self, mut segment: OpenSegment) {
        self.parts.language_model.rewind(segment.start + segment.frames.len());
        if self.leave(&segment, SegmentEnd::Failed).is_err() {
            self.parts.language_model.rewind(0);
        }
        // the error that led here is the one to report
        let _ = self.tell_rest(&mut segment);
        let _ = self.emit(segment, SegmentEnd::Failed);
    }

    /// Ends guidance, and notes the frames that the cache lacks if no other segment follows.
    fn leave(&mut self, segment: &OpenSegment, end: SegmentEnd) -> Result<()> {
        *self.parts.tail = closing_frames(&segment.last, end, false, self.parts.vocabulary);
        self.parts.language_model.end_guidance()
    }

    fn tell_rest(&mut self, segment: &mut OpenSegment) -> Result<()> {
        if segment.modality.is_sound() {
            return self.tell_sound(segment, true);
        }
        let piece = segment.decoder.finish(self.parts.tokenizer)?;
        self.tell_text(segment, piece);
        Ok(())
    }

    fn emit(&mut self, segment: OpenSegment, end: SegmentEnd) -> Result<()> {
        let OpenSegment { modality, frames, kept, drawn, text, samples, .. } = segment;
        let audio = match self.parts.audio_decoder {
            Some(decoder) if modality.is_sound() => Some(Waveform::mono(samples, decoder.sample_rate())?),
            _ => None,
        };
        let segment = Segment {
            modality,
            end,
            kept: kept.len().min(frames.len()),
            frames,
            text,
            audio,
            config: *self.config.segment(modality),
            draws: Draws { seed: self.config.seed, from: drawn, to: self.rng.draws() },
        };
        self.events.push_back(Event::SegmentEnded { index: self.opened - 1, segment });
        Ok(())
    }

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

/// A generation that is dropped half-way leaves the session usable: the segment counts as cancelled.
impl Drop for Generation<'_> {
    fn drop(&mut self) {
        if let Some(segment) = self.segment.take()
            && self.leave(&segment, SegmentEnd::Cancelled).is_err()
        {
            self.parts.language_model.rewind(0);
        }
    }
}

/// The logit of `id` as a run of one candidate.
fn at(logits: &[f32], id: TokenId) -> &[f32] {
    &logits[id as usize..=id as usize]
}

/// What the cache lacks after a segment whose last frame is `last`: its closing token alone in stream 0, or its last
/// frame and a closing token of our own. A segment that another one follows is closed as the model closes such ones,
/// with eot.
pub(super) fn closing_frames(last: &[TokenId], end: SegmentEnd, goes_on: bool, vocabulary: &Vocabulary) -> Frames {
    let mut tail = Frames::new(vocabulary.streams);
    if !matches!(end, SegmentEnd::Eos | SegmentEnd::Eot) {
        tail.push(last);
    }
    let eot = goes_on || end == SegmentEnd::Eot;
    tail.push_single(if eot { vocabulary.special.eot } else { vocabulary.special.eos });
    tail
}
