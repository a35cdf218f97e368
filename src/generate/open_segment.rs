//! The segment being generated: its tokens so far, and the text or the sound that they decode to.

use std::collections::VecDeque;

use super::confidence::Confidence;
use super::conversation::Conversation;
use super::rules::Rules;
use super::sound::SoundStream;
use super::{Draws, Event, Segment, SegmentEnd};
use crate::error::Result;
use crate::modality::{Modality, SegmentConfig};
use crate::text::TextDecoder;
use crate::token::{TokenId, Tokens};

/// The maximum number of positions for which a segment reserves memory at its beginning.
const MAX_ROOM: usize = 4096;

/// The segment being generated.
pub(super) struct OpenSegment {
    pub modality: Modality,
    pub config: SegmentConfig,
    pub tokens: Tokens,
    /// The first positions, supplied by the caller rather than sampled.
    pub kept: Tokens,
    /// The position to run next: the last one before the segment, then the last of the segment.
    pub last: Vec<TokenId>,
    /// The confidence of the tokens drawn so far, if it is measured.
    pub confidence: Option<Confidence>,
    /// Number of random numbers drawn before the segment.
    drawn: u64,
    decoder: TextDecoder,
    text: String,
    /// The sound, if the modality has a codec.
    sound: Option<SoundStream>,
}

impl OpenSegment {
    /// Opens a segment of `modality` after the position `last`; `drawn` random numbers were drawn before it.
    pub fn new(
        conversation: &Conversation,
        modality: Modality,
        config: SegmentConfig,
        last: Vec<TokenId>,
        is_streamed: bool,
        drawn: u64,
    ) -> Result<Self> {
        let rules = &conversation.rules;
        let memory = conversation.limits.cache_bytes();
        let codec = rules.of(modality)?.codec.as_deref();
        let sound = codec.map(|codec| SoundStream::new(codec, is_streamed, memory)).transpose()?;
        let width = rules.vocabulary.non_zero_width();
        Ok(Self {
            modality,
            config,
            tokens: Tokens::with_capacity(width, config.max_steps.min(MAX_ROOM)),
            kept: Tokens::new(width),
            last,
            confidence: None,
            drawn,
            decoder: TextDecoder::default(),
            text: String::new(),
            sound,
        })
    }

    /// Emits the text or the sound that the newest position completes.
    pub fn emit_new(&mut self, rules: &Rules, events: &mut VecDeque<Event>) -> Result<()> {
        if let Some(sound) = &self.sound {
            let frames = rules.of(self.modality)?.layout.frames(&self.tokens);
            events.push_back(Event::AudioProgress { seconds: sound.seconds(frames) });
            return self.emit_sound(rules, events, false);
        }
        if let Some(id) = self.last.first() {
            let piece = self.decoder.push(*id, &rules.tokenizer)?;
            self.emit_text(piece, events);
        }
        Ok(())
    }

    /// Emits the rest of the text or the sound, after the last position.
    pub fn emit_rest(&mut self, rules: &Rules, events: &mut VecDeque<Event>) -> Result<()> {
        if self.sound.is_some() {
            return self.emit_sound(rules, events, true);
        }
        let piece = self.decoder.finish(&rules.tokenizer)?;
        self.emit_text(piece, events);
        Ok(())
    }

    fn emit_text(&mut self, piece: String, events: &mut VecDeque<Event>) {
        if !piece.is_empty() {
            self.text.push_str(&piece);
            events.push_back(Event::TextDelta(piece));
        }
    }

    fn emit_sound(&mut self, rules: &Rules, events: &mut VecDeque<Event>, complete: bool) -> Result<()> {
        let layout = &rules.of(self.modality)?.layout;
        let Some(sound) = &mut self.sound else { return Ok(()) };
        let decoded = sound.decode(&self.tokens, layout, complete);
        if let Some(chunk) = sound.take_new()? {
            events.push_back(Event::AudioChunk(chunk));
        }
        decoded
    }

    /// Returns the finished segment, drawn with `seed` until `drawn` random numbers were drawn in all.
    pub fn into_segment(self, end: SegmentEnd, seed: u64, drawn: u64) -> Result<Segment> {
        Ok(Segment {
            modality: self.modality,
            end,
            kept: self.kept.len().min(self.tokens.len()),
            tokens: self.tokens,
            text: self.text,
            audio: self.sound.map(SoundStream::into_sound).transpose()?,
            config: self.config,
            draws: Draws { seed, from: self.drawn, to: drawn },
            file: None,
            confidence: self.confidence.and_then(Confidence::mean),
        })
    }
}
