//! Models whose prompt decides what is made: no opener is chosen, the last token before a segment is stepped in both rows,
//! and the unconditional sequence is a prompt of its own.

use super::*;
use crate::prompt::{Layouter, Message, SoundEncoder};

/// Words are the ids 10 to 15, sound two interleaved books of four codes; 2 ends a turn, 3 a sound. Thoughts stand between
/// 16 and 17; an answer that was not thought about has both before it.
fn manifest() -> Manifest {
    let turns = |open: &[TokenId]| serde_json::json!({"user": {"open": open, "close": [2]}, "assistant": {"open": [6], "close": [2]}});
    let manifest = serde_json::json!({
        "schema": 2, "name": "fake", "precision": "fp32",
        "tokens": {"size": 40, "width": 1, "text": {"ids": [10, 16]}},
        "heads": {"head": [[0, 40]]},
        "modalities": {
            "text": {"pattern": "interleaved", "books": [[10, 16]], "head": "head", "ends": {"turn": [2]}},
            "thinking": {"pattern": "interleaved", "books": [[10, 16]], "head": "head", "ends": {"turn": [2], "segment": [17]}},
            "audio": {"pattern": "interleaved", "books": [[20, 24], [24, 28]], "head": "head", "ends": {"turn": [3]}, "cap": 8, "codec": "fake"}
        },
        "template": {
            "tasks": {
                "text": {"begin": [1], "turns": turns(&[5]), "reply": [6, 7]},
                "thinking": {"begin": [1], "turns": turns(&[5]), "reply": [6]},
                "audio": {"begin": [1], "turns": turns(&[5, 8]), "trim": true, "reply": [6, 7]}
            },
            "content": {"text": {}},
            "segments": {"text": {}, "thinking": {"open": [16]}, "audio": {"open": [9], "close": [3]}},
            "history": "without_thinking", "choice": "by_prompt", "unconditional": {"fill": 0}
        },
        "language_model": {"hidden_size": 1, "max_positions": 100, "state": []},
        "codecs": {"fake": {"decoder": "decoder", "sampling_rate": 100, "hop_length": HOP, "books": 2, "codebook_size": 4,
                            "decoding": {"kind": "windowed", "context_frames": 1}}},
        "graphs": {}, "files": {}
    });
    crate::package::parse_manifest(manifest.to_string().as_bytes()).unwrap()
}

/// A sequence that records its positions, and whose likeliest ids are those of a script.
#[derive(Default)]
struct Notes {
    seen: Vec<TokenId>,
    /// Lengths of the runs before the steps.
    prefilled: Vec<usize>,
    prefixes: Vec<Vec<TokenId>>,
    guided: bool,
    script: VecDeque<TokenId>,
}

struct Noted(Arc<Mutex<Notes>>, Vec<f32>);

impl Sequence for Noted {
    fn position(&self) -> usize {
        self.0.lock().unwrap().seen.len()
    }

    fn max_positions(&self) -> usize {
        100
    }

    fn reserve(&mut self, _: usize) -> Result<()> {
        Ok(())
    }

    fn mark(&self) -> StateMark {
        StateMark::at(self.position())
    }

    fn rewind(&mut self, mark: &StateMark) {
        self.0.lock().unwrap().seen.truncate(mark.position());
    }

    fn fork(&mut self, _: &StateMark) -> Result<Box<dyn Sequence>> {
        unreachable!("no test of the loop forks")
    }

    fn prefill(&mut self, tokens: &Tokens, _: &[FeatureSlot], _: &Cancel) -> Result<()> {
        let mut notes = self.0.lock().unwrap();
        notes.seen.extend(tokens.ids());
        notes.prefilled.push(tokens.len());
        Ok(())
    }

    fn step(&mut self, position: &[TokenId]) -> Result<()> {
        self.0.lock().unwrap().seen.extend(position);
        Ok(())
    }

    fn prepare_guidance(&mut self, _: Prefix, _: &Cancel) -> Result<()> {
        unreachable!("no test of the loop prepares")
    }

    fn begin_guidance(&mut self, prefix: Prefix, _: &Cancel) -> Result<()> {
        prefix.check(self.position())?;
        let Prefix::Tokens { tokens, shared } = prefix else { panic!("the template has tokens") };
        let mut notes = self.0.lock().unwrap();
        assert_eq!(tokens.ids()[..shared], notes.seen[..shared]);
        assert_ne!(tokens.ids().get(shared), notes.seen.get(shared), "no more is shared");
        notes.prefixes.push(tokens.ids().to_vec());
        notes.guided = true;
        Ok(())
    }

    fn end_guidance(&mut self) -> Result<()> {
        self.0.lock().unwrap().guided = false;
        Ok(())
    }

    fn logits(&mut self, _: HeadId) -> Result<&mut [f32]> {
        let mut notes = self.0.lock().unwrap();
        let wanted = notes.script.pop_front();
        self.1 = (0..40).map(|id| f32::from(u8::from(Some(id) == wanted))).collect();
        if notes.guided {
            self.1.resize(80, 0.0);
        }
        drop(notes);
        Ok(&mut self.1)
    }
}

struct Deaf;

impl SoundEncoder for Deaf {
    fn features(&self, _: &crate::audio::Waveform) -> Result<ndarray::Array2<f32>> {
        unreachable!("the prompts are words")
    }

    fn segment(&self, _: Modality, _: &crate::audio::Waveform) -> Result<Tokens> {
        unreachable!("the prompts are words")
    }
}

fn conversation(notes: &Arc<Mutex<Notes>>) -> Conversation {
    let manifest = manifest();
    let codecs = BTreeMap::from([("fake".to_owned(), Arc::new(FakeCodec::default()) as Arc<dyn Codec>)]);
    let rules = Arc::new(Rules::new(&manifest, tokenizer(&manifest), &codecs).unwrap());
    Conversation::new(Box::new(Noted(Arc::clone(notes), Vec::new())), rules, Limits::default())
}

fn lay_out(conversation: &Conversation, modality: Modality, words: &str) -> Prompt {
    let Rules { template, vocabulary, tokenizer, .. } = &*conversation.rules;
    let begins = conversation.position() == 0;
    Layouter { template, vocabulary, tokenizer, sound: &Deaf }
        .prompt(modality, &[Message::text(words)], begins)
        .unwrap()
}

fn reply(conversation: &mut Conversation, prompt: Prompt, guidance: f32) -> Reply {
    let mut settings = config(&[]);
    settings.audio.guidance = guidance;
    Generation::new(conversation, prompt, settings).unwrap().into_reply().unwrap()
}

#[test]
fn the_prompt_decides_and_the_last_token_before_a_segment_is_stepped() {
    let notes = Arc::<Mutex<Notes>>::default();
    notes.lock().unwrap().script = [20, 27, 23, 24, 3, 10, 11, 2].into();
    let mut conversation = conversation(&notes);
    let prompt = lay_out(&conversation, Modality::Audio, " ab ");
    let made = reply(&mut conversation, prompt, 3.0);
    assert_eq!((made.segments.len(), made.segments[0].modality), (1, Modality::Audio));
    assert_eq!(made.segments[0].end, SegmentEnd::Eos);
    assert_eq!(made.audio().unwrap().samples(), [0.0, 0.0, 3.0, 1.0]);
    {
        let notes = notes.lock().unwrap();
        assert_eq!(notes.seen, [1, 5, 8, 10, 11, 2, 6, 7, 9, 20, 27, 23, 24]);
        assert_eq!(notes.prefilled, [8], "all but the opener, which both rows step");
        assert_eq!(notes.prefixes, [[1, 5, 8, 0, 0, 2, 6, 7]]);
    }
    assert_eq!(conversation.tail().ids(), [3, 2], "the sound's end, then the turn's");

    let prompt = lay_out(&conversation, Modality::Text, "c");
    let made = reply(&mut conversation, prompt, 1.0);
    assert_eq!((made.text().as_str(), made.segments[0].end), ("ab", SegmentEnd::Eos));
    let seen = notes.lock().unwrap().seen.clone();
    assert_eq!(seen[13..], [3, 2, 5, 12, 2, 6, 7, 10, 11], "text has no opener: the template's last token is stepped");
    assert_eq!(notes.lock().unwrap().prefilled[1..], [6]);
    assert_eq!(conversation.tail().ids(), [2]);
}

#[test]
fn a_later_turn_is_guided_beside_the_whole_unconditional_conversation() {
    let notes = Arc::<Mutex<Notes>>::default();
    notes.lock().unwrap().script = [10, 2, 20, 24, 3].into();
    let mut conversation = conversation(&notes);
    let prompt = lay_out(&conversation, Modality::Text, "ab");
    reply(&mut conversation, prompt, 1.0);
    let prompt = lay_out(&conversation, Modality::Audio, "c");
    reply(&mut conversation, prompt, 3.0);
    let notes = notes.lock().unwrap();
    assert_eq!(notes.prefixes, [[1, 5, 0, 0, 2, 6, 7, 10, 2, 5, 8, 0, 2, 6, 7]]);
    assert_eq!(notes.seen[..15], [1, 5, 10, 11, 2, 6, 7, 10, 2, 5, 8, 12, 2, 6, 7]);
}

#[test]
fn another_modality_than_the_prompt_s_and_a_second_segment_are_refused() {
    let notes = Arc::<Mutex<Notes>>::default();
    let mut conversation = conversation(&notes);
    let prompt = lay_out(&conversation, Modality::Audio, "ab");
    let generation = Generation::new(&mut conversation, prompt, config(&[Modality::Text])).unwrap();
    let (reply, error) = generation.into_partial_reply();
    let error = error.unwrap();
    assert!(reply.segments.is_empty() && error.message().contains("the prompt was laid out for audio"), "{error}");
    assert_eq!(conversation.position(), 0, "the conversation is what it was");
    let prompt = lay_out(&conversation, Modality::Text, "ab");
    let both = config(&[Modality::Text, Modality::Audio]);
    let error = Generation::new(&mut conversation, prompt, both).err().unwrap();
    assert!(error.message().contains("2 segments were requested"), "{error}");
    notes.lock().unwrap().script = [10, 2].into();
    let prompt = lay_out(&conversation, Modality::Text, "ab");
    self::reply(&mut conversation, prompt, 1.0);
    let error = conversation.reopen().unwrap_err();
    assert!(error.kind() == ErrorKind::Invalid && error.message().contains("one segment"), "{error}");
}

/// A prompt without an unconditional one, of a recording for instance, rules guidance out behind it alone.
#[test]
fn guidance_is_possible_again_before_a_prompt_that_ruled_it_out() {
    let notes = Arc::<Mutex<Notes>>::default();
    notes.lock().unwrap().script = [10, 2, 11, 2, 20, 24, 3].into();
    let mut conversation = conversation(&notes);
    let prompt = lay_out(&conversation, Modality::Text, "ab");
    reply(&mut conversation, prompt, 1.0);
    let before = conversation.snapshot();
    let prompt = Prompt { unconditional: None, ..lay_out(&conversation, Modality::Text, "c") };
    reply(&mut conversation, prompt, 1.0);
    let error = conversation.begin_guidance().unwrap_err();
    assert!(error.kind() == ErrorKind::Invalid && error.message().contains("has none"), "{error}");

    conversation.restore(before);
    let prompt = lay_out(&conversation, Modality::Audio, "c");
    reply(&mut conversation, prompt, 3.0);
    assert_eq!(notes.lock().unwrap().prefixes, [[1, 5, 0, 0, 2, 6, 7, 10, 2, 5, 8, 0, 2, 6, 7]]);
}

fn think(conversation: &mut Conversation, words: &str, steps: usize) -> Reply {
    let prompt = lay_out(conversation, Modality::Thinking, words);
    let mut settings = config(&[Modality::Text]).max_segments(1).thinking(true);
    settings.text.max_steps = steps;
    Generation::new(conversation, prompt, settings).unwrap().into_reply().unwrap()
}

#[test]
fn thoughts_are_a_segment_that_the_next_prompt_does_not_find() {
    let notes = Arc::<Mutex<Notes>>::default();
    notes.lock().unwrap().script = [12, 13, 17, 10, 11, 2, 14, 2].into();
    let mut conversation = conversation(&notes);
    let made = think(&mut conversation, "ab", 20);
    let ends: Vec<_> = made.segments.iter().map(|segment| (segment.modality, segment.end)).collect();
    assert_eq!(ends, [(Modality::Thinking, SegmentEnd::Eot), (Modality::Text, SegmentEnd::Eos)]);
    assert_eq!((made.segments[0].text.as_str(), made.text().as_str()), ("cd", "ab"), "the answer is without them");
    assert_eq!(notes.lock().unwrap().seen, [1, 5, 10, 11, 2, 6, 16, 12, 13, 17, 10, 11]);
    // the prompt, then the answer as if it had not been thought about: [6 7] is the assistant's turn in this template
    assert_eq!(conversation.position(), 5 + 4);
    let prompt = lay_out(&conversation, Modality::Text, "c");
    reply(&mut conversation, prompt, 1.0);
    assert_eq!(notes.lock().unwrap().seen, [1, 5, 10, 11, 2, 6, 10, 11, 2, 5, 12, 2, 6, 7, 14]);
}

/// A prompt that is stopped leaves the conversation without the thoughts, which cannot be continued.
#[test]
fn thoughts_are_forgotten_by_a_prompt_that_fails() {
    let notes = Arc::<Mutex<Notes>>::default();
    notes.lock().unwrap().script = [12, 17, 10, 11, 2, 14, 2].into();
    let mut conversation = conversation(&notes);
    think(&mut conversation, "ab", 20);
    let before = conversation.lasting_state();
    assert_eq!(before.position(), 5, "the prompt of the turn");
    let prompt = lay_out(&conversation, Modality::Text, "c");
    conversation.cancel.cancel();
    Generation::new(&mut conversation, prompt.clone(), config(&[])).unwrap().into_reply().unwrap();
    assert_eq!(conversation.sequence.position(), 5);
    assert_eq!(conversation.tail().ids(), [6, 10, 11, 2]);
    assert_eq!(conversation.lasting_state(), before);
    conversation.reopen().unwrap_err();
    conversation.cancel = Cancel::new();
    reply(&mut conversation, prompt, 1.0);
    assert_eq!(notes.lock().unwrap().seen, [1, 5, 10, 11, 2, 6, 10, 11, 2, 5, 12, 2, 6, 7, 14]);
}

#[test]
fn thoughts_and_answer_share_their_steps() {
    let steps = |limit: usize, script: &[TokenId]| {
        let notes = Arc::<Mutex<Notes>>::default();
        notes.lock().unwrap().script = script.iter().copied().collect();
        let mut conversation = conversation(&notes);
        let made = think(&mut conversation, "ab", limit);
        made.segments.iter().map(|segment| (segment.tokens.len(), segment.end)).collect::<Vec<_>>()
    };
    let script = [12, 13, 17, 10, 11, 10, 11, 2];
    assert_eq!(steps(5, &script), [(3, SegmentEnd::Eot), (2, SegmentEnd::Limit)]);
    assert_eq!(steps(3, &script), [(3, SegmentEnd::Eot)], "no step is left for an answer");
    assert_eq!(steps(2, &script), [(2, SegmentEnd::Limit)]);
}

#[test]
fn thoughts_do_not_count_among_the_segments_that_a_limit_allows() {
    let notes = Arc::<Mutex<Notes>>::default();
    notes.lock().unwrap().script = [12, 17, 10, 2].into();
    let mut conversation = conversation(&notes);
    conversation.limits = Limits::default().segments(1);
    assert_eq!(think(&mut conversation, "ab", 20).segments.len(), 2);
}

#[test]
fn a_conversation_with_thoughts_is_the_same_when_it_is_replayed() {
    let notes = Arc::<Mutex<Notes>>::default();
    notes.lock().unwrap().script = [12, 17, 10, 11, 2, 14, 2].into();
    let mut first = conversation(&notes);
    let asked = lay_out(&first, Modality::Thinking, "ab");
    let made = think(&mut first, "ab", 20);
    let position = first.position();
    let prompt = lay_out(&first, Modality::Text, "c");
    reply(&mut first, prompt.clone(), 1.0);
    let seen = notes.lock().unwrap().seen.clone();

    let again = Arc::<Mutex<Notes>>::default();
    again.lock().unwrap().script = [14, 2].into();
    let mut second = conversation(&again);
    let segments = made.segments.iter().map(|segment| PastSegment {
        modality: segment.modality,
        end: segment.end,
        guided: false,
        tokens: &segment.tokens,
    });
    let past = [PastTurn { prompt: &asked, segments: segments.collect() }];
    replay(&mut second, &past, None).unwrap();
    assert_eq!(second.position(), position);
    assert_eq!(again.lock().unwrap().seen, [1, 5, 10, 11, 2], "thoughts that are forgotten are not run again");
    reply(&mut second, prompt, 1.0);
    assert_eq!(again.lock().unwrap().seen, seen);
    second.reopen().unwrap_err();
}
