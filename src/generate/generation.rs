//! The loop. A reply is made in these steps:
//!
//! 1. *Open*: what the cache still lacks (the prompt, or the frame that closed the last segment) and `[assistant]` are
//!    run; the next token, forced or an argmax among the modality tokens, opens a segment.
//! 2. *Generate*: the last frame is run, its logits are guided, one id is drawn for every stream; until stream 0 draws
//!    eos or eot, or a limit is met.
//! 3. *Close*: `eot` leads to another segment, anything else ends the reply.
//!
//! [`Generation`] is the iterator over what happens meanwhile.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use super::audio_stream::AudioStream;
use super::{Event, GenerationConfig, Reply, Seconds, Segment, SegmentEnd, Usage};
use crate::audio::Waveform;
use crate::cancel::Cancel;
use crate::graph::{AudioDecoder, Head, LanguageModel};
use crate::modality::{Modality, SegmentConfig};
use crate::prompt::Prompt;
use crate::sampling::{Candidates, Rng, Sampler, guide};
use crate::text::{TextDecoder, TextTokenizer};
use crate::token::{Frames, TokenId, Vocabulary};
use crate::{Error, ErrorKind, Result};

/// What a generation works with.
pub(crate) struct Parts<'a> {
    /// The language model and its cache.
    pub language_model: &'a mut dyn LanguageModel,
    /// The codec's decoder; without one, sound cannot be generated.
    pub audio_decoder: Option<&'a dyn AudioDecoder>,
    /// Frames that belong to the conversation but are not in the cache yet; kept from one reply to the next.
    pub tail: &'a mut Frames,
    /// The tokenizer.
    pub tokenizer: &'a TextTokenizer,
    /// The vocabulary.
    pub vocabulary: &'a Vocabulary,
    /// The modalities that the model may choose, with their tokens.
    pub modalities: &'a BTreeMap<Modality, TokenId>,
}

/// A reply in the making: an iterator over its events, which ends after [`Event::Finished`], or after an error.
///
/// What a segment had come to before an error is given out before it ([`SegmentEnd::Failed`]).
pub struct Generation<'a> {
    parts: Parts<'a>,
    config: GenerationConfig,
    cancel: Cancel,
    rng: Rng,
    sampler: Sampler,
    state: State,
    segment: Option<OpenSegment>,
    events: VecDeque<Event>,
    failure: Option<Error>,
    opened: usize,
    usage: Usage,
    seconds: Seconds,
}

enum State {
    /// A segment is to be opened; the first time with the prompt.
    Open(Option<Prompt>),
    /// The open segment grows.
    Generate,
    /// Nothing is left to do.
    Done,
}

struct OpenSegment {
    modality: Modality,
    frames: Frames,
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
        config.validate()?;
        for modality in &config.force {
            check_offered(*modality, &parts)?;
        }
        check_fits(&parts, &prompt)?;
        let usage = Usage { prompt_frames: prompt.frames.len(), steps: 0 };
        Ok(Self {
            rng: Rng::new(config.seed),
            parts,
            config,
            cancel,
            sampler: Sampler::default(),
            state: State::Open(Some(prompt)),
            segment: None,
            events: VecDeque::new(),
            failure: None,
            opened: 0,
            usage,
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
            State::Open(prompt) => {
                let opened = self.open(prompt);
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

    /// Step 1: runs what is missing and `[assistant]`, and opens a segment.
    fn open(&mut self, prompt: Option<Prompt>) -> Result<()> {
        if self.cancel.is_cancelled() {
            self.finish();
            return Ok(());
        }
        match self.prefill(prompt) {
            Err(error) if error.kind() == ErrorKind::Cancelled => {
                self.finish();
                return Ok(());
            }
            prefilled => prefilled?,
        }
        let modality = self.choose_modality()?;
        let config = *self.config.segment(modality);
        let language_model = &mut *self.parts.language_model;
        let room = language_model.max_positions().min(language_model.position() + config.max_steps + 1);
        language_model.reserve(room)?;
        if config.is_guided() {
            language_model.begin_guidance()?;
        }
        let mut last = vec![self.parts.vocabulary.special.pad; self.parts.vocabulary.streams];
        last[0] = self.parts.modalities[&modality];
        self.events.push_back(Event::SegmentStarted { index: self.opened, modality });
        self.opened += 1;
        self.state = State::Generate;
        self.segment = Some(OpenSegment {
            modality,
            frames: Frames::new(self.parts.vocabulary.streams),
            last,
            decoder: TextDecoder::default(),
            text: String::new(),
            stream: AudioStream::new(self.config.stream_audio),
            samples: Vec::new(),
        });
        Ok(())
    }

    /// Runs the tail, the prompt (for the first segment) and `[assistant]`. On failure the tail stays as it was.
    fn prefill(&mut self, prompt: Option<Prompt>) -> Result<()> {
        let mut frames = self.parts.tail.clone();
        let mut features = Vec::new();
        if let Some(mut prompt) = prompt {
            prompt.features.iter_mut().for_each(|slot| slot.start += frames.len());
            features = prompt.features;
            frames.extend(&prompt.frames);
        }
        frames.push_single(self.parts.vocabulary.special.assistant);
        self.parts.language_model.prefill(&frames, &features, &self.cancel)?;
        *self.parts.tail = Frames::new(frames.streams());
        Ok(())
    }

    /// The forced modality of this segment, or the likeliest of those the package offers.
    fn choose_modality(&mut self) -> Result<Modality> {
        if let Some(forced) = self.config.force.get(self.opened) {
            return Ok(*forced);
        }
        let logits = self.parts.language_model.logits(Head::Text)?;
        let mut offered: Vec<_> = self.parts.modalities.iter().map(|(modality, token)| (*token, *modality)).collect();
        offered.sort_unstable();
        let runs: Vec<_> = offered.iter().map(|(token, _)| (*token, at(logits, *token))).collect();
        let greedy = SegmentConfig::default().sampling();
        let token = self.sampler.sample(&Candidates::new(&runs), &greedy, &mut self.rng)?;
        let chosen = offered.iter().find(|(offer, _)| *offer == token).map(|(_, modality)| *modality);
        let chosen = chosen.ok_or_else(|| Error::new(ErrorKind::Numeric, "no modality can be chosen"))?;
        check_offered(chosen, &self.parts)?;
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
        self.draw_frame(segment)?;
        segment.frames.push(&segment.last);
        self.usage.steps += 1;
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

    /// Draws the next frame into `segment.last`: the streams in order, each on its own.
    fn draw_frame(&mut self, segment: &mut OpenSegment) -> Result<()> {
        let config = self.config.segment(segment.modality);
        let vocabulary = self.parts.vocabulary;
        let sound = segment.modality.is_sound();
        let mut logits = self.parts.language_model.logits(if sound { Head::Audio } else { Head::Text })?;
        if config.is_guided() {
            let (conditional, unconditional) = logits.split_at_mut(logits.len() / 2);
            guide(conditional, unconditional, config.guidance);
            logits = conditional;
        }
        let sampling = config.sampling();
        let (eos, eot) = (vocabulary.special.eos, vocabulary.special.eot);
        let mut draw = |runs: &mut [(TokenId, &[f32])]| {
            runs.sort_unstable_by_key(|(first, _)| *first);
            self.sampler.sample(&Candidates::new(runs), &sampling, &mut self.rng)
        };
        if !sound {
            let text = vocabulary.text;
            let row = &logits[text.start as usize..text.end as usize];
            segment.last.fill(vocabulary.special.pad);
            segment.last[0] = draw(&mut [(eos, at(logits, eos)), (eot, at(logits, eot)), (text.start, row)])?;
            return Ok(());
        }
        let mut rest: &[f32] = logits;
        let closing = rest.split_off(rest.len() - 2..).unwrap_or_default();
        for (stream, block) in vocabulary.audio.iter().enumerate() {
            let row = rest.split_off(..block.len()).unwrap_or_default();
            segment.last[stream] = match stream {
                0 => draw(&mut [(eos, &closing[..1]), (eot, &closing[1..]), (block.start, row)]),
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
        let told = self.tell_rest(&mut segment);
        self.emit(segment, end)?;
        told?;
        if end == SegmentEnd::Eot && self.opened < self.config.max_segments {
            self.state = State::Open(None);
        } else {
            self.finish();
        }
        Ok(())
    }

    /// After an error: what the segment had come to is given out before the error is.
    fn abandon(&mut self, mut segment: OpenSegment) {
        if self.leave(&segment, SegmentEnd::Failed).is_err() {
            self.parts.language_model.rewind(0);
        }
        // the error that led here is the one to report
        let _ = self.tell_rest(&mut segment);
        let _ = self.emit(segment, SegmentEnd::Failed);
    }

    /// Ends guidance, and notes the frames that the cache lacks.
    fn leave(&mut self, segment: &OpenSegment, end: SegmentEnd) -> Result<()> {
        *self.parts.tail = closing_frames(segment, end, self.parts.vocabulary);
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
        let OpenSegment { modality, frames, text, samples, .. } = segment;
        let audio = match self.parts.audio_decoder {
            Some(decoder) if modality.is_sound() => Some(Waveform::mono(samples, decoder.sample_rate())?),
            _ => None,
        };
        let segment = Segment { modality, end, frames, text, audio };
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

/// What the cache lacks after a segment: its closing token alone in stream 0, or its last frame and an eos of our own.
fn closing_frames(segment: &OpenSegment, end: SegmentEnd, vocabulary: &Vocabulary) -> Frames {
    let mut tail = Frames::new(vocabulary.streams);
    match end {
        SegmentEnd::Eos => tail.push_single(vocabulary.special.eos),
        SegmentEnd::Eot => tail.push_single(vocabulary.special.eot),
        SegmentEnd::Limit | SegmentEnd::Context | SegmentEnd::Cancelled | SegmentEnd::Failed => {
            tail.push(&segment.last);
            tail.push_single(vocabulary.special.eos);
        }
    }
    tail
}

fn check_offered(modality: Modality, parts: &Parts) -> Result<()> {
    if !parts.modalities.contains_key(&modality) || (modality.is_sound() && parts.audio_decoder.is_none()) {
        let offered: Vec<_> = parts.modalities.keys().map(|m| m.name()).collect();
        let what = format!("this package cannot make {modality}; it offers {}", offered.join(", "));
        return Err(Error::new(ErrorKind::Invalid, what));
    }
    Ok(())
}

/// Refuses a prompt that leaves no room for `[assistant]`, a modality token and one frame.
fn check_fits(parts: &Parts, prompt: &Prompt) -> Result<()> {
    let used = parts.language_model.position() + parts.tail.len();
    let (asked, most) = (prompt.frames.len() + 3, parts.language_model.max_positions());
    if used + asked > most {
        let what = format!(
            "the prompt takes {asked} positions and {used} are in use, but the model's context holds {most}: \
             give shorter text or audio"
        );
        return Err(Error::new(ErrorKind::Limit, what));
    }
    Ok(())
}
