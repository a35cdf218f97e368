//! The loop on a scripted fake: no ONNX Runtime, every decision in plain sight.

mod beside;
mod by_prompt;
mod chains;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use super::conversation::Conversation;
use super::rules::Rules;
use super::*;
use crate::cancel::Cancel;
use crate::codec::{ClipDecoder, Codec, Format, Pace};
use crate::error::{ErrorKind, Result};
use crate::language_model::{HeadId, Prefix, Sequence, StateMark};
use crate::limits::Limits;
use crate::modality::{Modality, SegmentConfig};
use crate::package::Manifest;
use crate::prompt::{FeatureSlot, Prompt};
use crate::text::TextTokenizer;
use crate::token::{Codes, TokenId, Tokens};

const STREAMS: usize = 2;
const CODES: u32 = 4;
const HOP: usize = 2;
/// The modalities of schema 1.
const SCHEMA1: [Modality; 3] = [Modality::Text, Modality::Audio, Modality::Speech];

/// Returns the manifest of a package of two streams, of schema 1.
fn manifest(modalities: &[Modality]) -> Manifest {
    let token = |modality: &Modality| match modality {
        Modality::Text => 7,
        Modality::Audio => 8,
        Modality::Speech => 9,
        Modality::Thinking => unreachable!("schema 1 has no thoughts"),
    };
    let offered: BTreeMap<_, _> =
        modalities.iter().map(|modality| (*modality, serde_json::json!({"token": token(modality)}))).collect();
    let manifest = serde_json::json!({
        "schema": 1, "name": "fake", "precision": "fp32",
        "vocabulary": {
            "size": 26, "streams": STREAMS, "text": [10, 16], "audio": [[16, 17 + CODES], [17 + CODES, 18 + 2 * CODES]],
            "special": {"pad": 0, "bos": 1, "eos": 2, "eot": 3, "system": 4, "user": 5, "assistant": 6, "text": 7, "audio": 8, "speech": 9}
        },
        "modalities": offered,
        "language_model": {"hidden_size": 1, "num_hidden_layers": 1, "num_key_value_heads": 1, "head_dim": 2,
                           "rope_theta": 1.0, "max_position_embeddings": 100},
        "codec": {"kind": "fake", "sampling_rate": 100, "hop_length": HOP, "codebook_size": CODES, "context_frames": 1},
        "graphs": {}, "files": {}
    });
    crate::package::parse_manifest(manifest.to_string().as_bytes()).unwrap()
}

/// Returns a tokenizer whose ids 0..=5 are the letters a to f.
fn tokenizer(manifest: &Manifest) -> TextTokenizer {
    let json = r#"{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": null, "post_processor": null, "decoder": {"type": "Fuse"},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
        "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
        "vocab": {"a": 0, "b": 1, "c": 2, "d": 3, "e": 4, "f": 5}, "merges": []}}"#;
    TextTokenizer::from_bytes(json.as_bytes(), &manifest.tokens).unwrap()
}

fn rules(modalities: &[Modality]) -> Arc<Rules> {
    rules_with(modalities, FakeCodec::default())
}

fn rules_with(modalities: &[Modality], codec: FakeCodec) -> Arc<Rules> {
    let manifest = manifest(modalities);
    let codecs = BTreeMap::from([("fake".to_owned(), Arc::new(codec) as Arc<dyn Codec>)]);
    Arc::new(Rules::new(&manifest, tokenizer(&manifest), &codecs).unwrap())
}

/// Lays out `codes` in the delayed layout of the fake.
fn lay(codes: &Codes) -> Tokens {
    rules(&[Modality::Audio]).of(Modality::Audio).unwrap().layout.lay(codes).unwrap()
}

fn tokens(ids: &[TokenId]) -> Tokens {
    let mut tokens = manifest(&[Modality::Audio]).tokens.tokens();
    ids.iter().for_each(|id| tokens.push_single(*id, 0));
    tokens
}

/// A sequence that prefers the ids of a script, and records the positions it is given.
#[derive(Default)]
struct Fake {
    /// Ids that the next logits favour: one for text or a modality, one a stream for sound.
    script: VecDeque<Vec<TokenId>>,
    /// The ids that the unconditional branch always prefers.
    unconditional: Vec<TokenId>,
    position: usize,
    max_positions: usize,
    guided: bool,
    seen: Vec<Vec<TokenId>>,
    prefixes: Vec<usize>,
    /// Index of the text head, among the heads in the order of their names.
    text_head: usize,
    broken: Option<Broken>,
    /// The position at which a graph fails, and the operation that fails.
    fails: Option<(usize, Failing)>,
}

/// Numbers that cannot be right, from a position on.
#[derive(Clone, Copy)]
struct Broken {
    position: usize,
    /// The columns that have them.
    columns: [usize; 2],
    value: f32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Failing {
    Step,
    Logits,
}

impl Fake {
    fn new(script: &[&[TokenId]]) -> Self {
        Self { script: script.iter().map(|ids| ids.to_vec()).collect(), max_positions: 100, ..Self::default() }
    }

    fn fail(&self, failing: Failing) -> Result<()> {
        match self.fails {
            Some((position, what)) if what == failing && self.position >= position => {
                Err(crate::error::Error::new(ErrorKind::Graph, "the graph llm failed"))
            }
            _ => Ok(()),
        }
    }

    fn row(&self, head: HeadId, favoured: &[TokenId]) -> Vec<f32> {
        let mut row = vec![0.0; if head.0 == self.text_head { 16 } else { (2 * (CODES + 1) + 2) as usize }];
        for id in favoured {
            let column = match (head, *id) {
                (HeadId(head), id) if head == self.text_head => id as usize,
                (_, 2) => row.len() - 2,
                (_, 3) => row.len() - 1,
                (_, id) => id.wrapping_sub(16) as usize,
            };
            // an id that the head lacks favours nothing
            if let Some(logit) = row.get_mut(column) {
                *logit = 1.0;
            }
        }
        if let Some(broken) = self.broken.filter(|broken| self.position >= broken.position) {
            let end = broken.columns[1].min(row.len());
            row[broken.columns[0]..end].fill(broken.value);
        }
        row
    }
}

/// A fake that the test sees while a conversation has it.
#[derive(Clone, Default)]
struct SharedFake(Arc<Mutex<Fake>>);

impl SharedFake {
    fn new(fake: Fake) -> Self {
        Self(Arc::new(Mutex::new(fake)))
    }

    fn lock(&self) -> MutexGuard<'_, Fake> {
        self.0.lock().unwrap()
    }

    fn conversation(&self, modalities: &[Modality], limits: Limits) -> Conversation {
        self.conversation_with(modalities, limits, FakeCodec::default())
    }

    fn conversation_with(&self, modalities: &[Modality], limits: Limits, codec: FakeCodec) -> Conversation {
        self.lock().text_head = usize::from(modalities.iter().any(|modality| modality.is_sound()));
        let sequence = Box::new(SequenceOf { fake: self.clone(), logits: Vec::new() });
        Conversation::new(sequence, rules_with(modalities, codec), limits)
    }
}

struct SequenceOf {
    fake: SharedFake,
    logits: Vec<f32>,
}

impl Sequence for SequenceOf {
    fn position(&self) -> usize {
        self.fake.lock().position
    }

    fn max_positions(&self) -> usize {
        self.fake.lock().max_positions
    }

    fn reserve(&mut self, positions: usize) -> Result<()> {
        assert!(positions <= self.max_positions());
        Ok(())
    }

    fn mark(&self) -> StateMark {
        StateMark::at(self.position())
    }

    fn rewind(&mut self, mark: &StateMark) {
        let mut fake = self.fake.lock();
        fake.position = mark.position();
        fake.seen.truncate(mark.position());
    }

    fn fork(&mut self, _: &StateMark) -> Result<Box<dyn Sequence>> {
        unreachable!("no test of the loop forks")
    }

    fn prefill(&mut self, tokens: &Tokens, _: &[FeatureSlot], cancel: &Cancel) -> Result<()> {
        cancel.check()?;
        let mut fake = self.fake.lock();
        assert!(!fake.guided, "a prompt under guidance");
        fake.seen.extend(tokens.iter().map(<[_]>::to_vec));
        fake.position += tokens.len();
        Ok(())
    }

    fn step(&mut self, position: &[TokenId]) -> Result<()> {
        let mut fake = self.fake.lock();
        fake.fail(Failing::Step)?;
        fake.seen.push(position.to_vec());
        fake.position += 1;
        Ok(())
    }

    fn prepare_guidance(&mut self, _: Prefix, _: &Cancel) -> Result<()> {
        Ok(())
    }

    fn begin_guidance(&mut self, _: Prefix, _: &Cancel) -> Result<()> {
        let mut fake = self.fake.lock();
        let position = fake.position;
        fake.prefixes.push(position);
        fake.guided = true;
        Ok(())
    }

    fn end_guidance(&mut self) -> Result<()> {
        self.fake.lock().guided = false;
        Ok(())
    }

    fn logits(&mut self, head: HeadId) -> Result<&mut [f32]> {
        let mut fake = self.fake.lock();
        fake.fail(Failing::Logits)?;
        let favoured = fake.script.pop_front().unwrap_or_default();
        self.logits = fake.row(head, &favoured);
        if fake.guided {
            self.logits.extend(fake.row(head, &fake.unconditional));
        }
        drop(fake);
        Ok(&mut self.logits)
    }
}

/// A codec with two samples per frame: the code of book 0, and the frame's index in the clip. A frame takes a byte of
/// memory.
#[derive(Clone, Default)]
struct FakeCodec {
    beside: bool,
    /// Milliseconds that a piece takes.
    milliseconds: u64,
    /// The names of the threads that decoded pieces.
    threads: Arc<Mutex<Vec<String>>>,
    /// Panics at the first piece on a thread of its own.
    panics: bool,
}

impl Codec for FakeCodec {
    fn format(&self) -> Format {
        Format { sample_rate: 100, hop_length: HOP, most_frames: None }
    }

    fn clip(&self, pace: Pace, memory: u64) -> Result<Box<dyn ClipDecoder>> {
        let chunk = if pace == Pace::Streamed { 8 } else { 24 };
        Ok(Box::new(FakeClip { codec: self.clone(), chunk, codes: VecDeque::new(), frames: 0, memory }))
    }

    fn decodes_beside_steps(&self) -> bool {
        self.beside
    }
}

struct FakeClip {
    codec: FakeCodec,
    chunk: usize,
    codes: VecDeque<u32>,
    frames: usize,
    memory: u64,
}

impl FakeClip {
    fn decode(&mut self, frames: usize, samples: &mut Vec<f32>) -> Result<()> {
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        let is_beside = thread == "ualm-sound";
        self.codec.threads.lock().unwrap().push(thread);
        assert!(!(self.codec.panics && is_beside), "a decoder that panics");
        std::thread::sleep(std::time::Duration::from_millis(self.codec.milliseconds));
        for code in self.codes.drain(..frames) {
            if self.frames as u64 == self.memory {
                return Err(crate::error::Error::new(ErrorKind::Limit, "the limit on memory is reached"));
            }
            samples.extend([code as f32, self.frames as f32]);
            self.frames += 1;
        }
        Ok(())
    }
}

impl ClipDecoder for FakeClip {
    fn frames_wanted(&self) -> usize {
        self.frames + self.chunk
    }

    fn push(&mut self, codes: &Codes, samples: &mut Vec<f32>) -> Result<()> {
        self.codes.extend(codes.row(0));
        while self.codes.len() >= self.chunk {
            self.decode(self.chunk, samples)?;
        }
        Ok(())
    }

    fn finish(&mut self, samples: &mut Vec<f32>) -> Result<()> {
        let rest = self.codes.len();
        self.decode(rest, samples)
    }
}

fn config(force: &[Modality]) -> GenerationConfig {
    let greedy = SegmentConfig { max_steps: 20, ..SegmentConfig::default() };
    GenerationConfig {
        seed: 1,
        text: greedy,
        audio: greedy,
        speech: greedy,
        force: force.to_vec(),
        max_segments: 8,
        insist: false,
        stream_audio: false,
        thinking: false,
    }
}

fn prompt() -> Prompt {
    let tokens = tokens(&[1, 5, 7, 11, 2]);
    Prompt { tokens, features: Vec::new(), unconditional: None, modality: Modality::Text }
}

/// Runs a whole reply; returns it with the error that ended it, and the tokens that were left to run.
fn run(fake: &mut Fake, config: GenerationConfig) -> (Reply, Option<crate::error::Error>, Tokens) {
    let shared = SharedFake::new(std::mem::take(fake));
    let mut conversation = shared.conversation(&SCHEMA1, Limits::default());
    let generation = Generation::new(&mut conversation, prompt(), config).unwrap();
    let (reply, error) = generation.into_partial_reply();
    let tail = conversation.tail().clone();
    drop(conversation);
    *fake = std::mem::take(&mut shared.lock());
    (reply, error, tail)
}

fn ids(tokens: &Tokens) -> Vec<Vec<TokenId>> {
    tokens.iter().map(<[_]>::to_vec).collect()
}

#[test]
fn text_until_eos() {
    let mut fake = Fake::new(&[&[10], &[11], &[12], &[2]]);
    let (reply, error, tail) = run(&mut fake, config(&[Modality::Text]));
    assert!(error.is_none());
    assert_eq!(reply.text(), "abc");
    assert_eq!(reply.segments[0].end, SegmentEnd::Eos);
    assert_eq!(reply.usage, Usage { prompt_positions: 5, steps: 4 });
    assert_eq!(fake.seen[5..], [[6, 0], [7, 0], [10, 0], [11, 0], [12, 0]]);
    assert_eq!(ids(&tail), [[2, 0]], "the closing token waits for the next turn");
}

#[test]
fn the_confidence_of_a_text_is_measured_on_request() {
    let confidences = |measured: bool| {
        let fake = SharedFake::new(Fake::new(&[&[10], &[11], &[3], &[17, 21], &[2]]));
        let mut conversation = fake.conversation(&SCHEMA1, Limits::default());
        let settings = config(&[Modality::Text, Modality::Audio]);
        let generation = Generation::new(&mut conversation, prompt(), settings).unwrap();
        let generation = if measured { generation.with_confidence() } else { generation };
        let reply = generation.into_reply().unwrap();
        reply.segments.iter().map(|segment| segment.confidence).collect::<Vec<_>>()
    };
    // six letters and two ends, one of which has the logit 1 and the others 0
    let [Some(confidence), None] = confidences(true)[..] else { panic!("{:?}", confidences(true)) };
    assert!((confidence - 1f64.exp() / (1f64.exp() + 7.0)).abs() < 1e-6, "{confidence}");
    assert_eq!(confidences(false), [None, None]);
}

#[test]
fn the_model_chooses_the_modality_among_those_offered() {
    let mut fake = Fake::new(&[&[9], &[17, 21], &[2]]);
    let (reply, ..) = run(&mut fake, config(&[]));
    assert_eq!(reply.segments[0].modality, Modality::Speech);
    assert_eq!(fake.seen[6], [9, 0]);
}

#[test]
fn sound_is_undelayed_and_decoded_without_its_closing_frame() {
    let codes = Codes::from_shape_vec((2, 3), vec![0, 1, 2, 3, 2, 1]).unwrap();
    let mut script = ids(&lay(&codes));
    script.push(vec![2, 21]);
    let script: Vec<&[TokenId]> = script.iter().map(Vec::as_slice).collect();
    let (reply, ..) = run(&mut Fake::new(&script), config(&[Modality::Audio]));
    assert_eq!(reply.segments[0].tokens.len(), 5);
    assert_eq!(reply.audio().unwrap().samples(), [0.0, 0.0, 1.0, 1.0, 2.0, 2.0]);
}

#[test]
fn a_sound_segment_shorter_than_a_frame_is_empty() {
    let (reply, error, _) = run(&mut Fake::new(&[&[17, 21], &[2]]), config(&[Modality::Audio]));
    assert!(error.is_none());
    assert!(reply.audio().unwrap().is_empty());
}

#[test]
fn streamed_chunks_are_the_whole() {
    let codes = Codes::from_shape_fn((2, 100), |(s, f)| ((s + f) % 4) as u32);
    let script = ids(&lay(&codes));
    let script: Vec<&[TokenId]> = script.iter().map(Vec::as_slice).collect();
    let sound = |stream_audio| {
        let mut fake = Fake::new(&script);
        fake.max_positions = 1000;
        let mut config = config(&[Modality::Audio]);
        config.audio.max_steps = script.len();
        config.stream_audio = stream_audio;
        run(&mut fake, config).0.audio().unwrap().clone()
    };
    assert_eq!(sound(false).len(), 200);
    assert_eq!(sound(true), sound(false));
}

/// A sound that its decoder cannot hold ends with an error, and the sound before it is kept.
#[test]
fn sound_before_a_limit_of_the_decoder_is_kept() {
    let codes = Codes::from_shape_fn((2, 40), |(s, f)| ((s + f) % 4) as u32);
    let mut script = ids(&lay(&codes));
    script.push(vec![2, 21]);
    let script: Vec<&[TokenId]> = script.iter().map(Vec::as_slice).collect();
    for stream_audio in [true, false] {
        let shared = SharedFake::new(Fake::new(&script));
        let mut conversation = shared.conversation(&SCHEMA1, Limits::default().memory(20));
        let mut config = config(&[Modality::Audio]);
        config.audio.max_steps = 60;
        config.stream_audio = stream_audio;
        let mut streamed = Vec::new();
        let mut segments = Vec::new();
        let mut errors = Vec::new();
        for event in Generation::new(&mut conversation, prompt(), config).unwrap() {
            match event {
                Ok(Event::AudioChunk(chunk)) => streamed.extend_from_slice(chunk.samples()),
                Ok(Event::SegmentEnded { segment, .. }) => segments.push(segment),
                Ok(_) => {}
                Err(error) => errors.push(error.kind()),
            }
        }
        assert_eq!(errors, [ErrorKind::Limit]);
        assert_eq!((segments.len(), segments[0].end), (1, SegmentEnd::Failed));
        let sound = segments[0].audio.as_ref().unwrap();
        assert_eq!((sound.len(), sound.samples()), (20 * HOP, &*streamed), "streamed: {stream_audio}");
    }
}

#[test]
fn eot_leads_to_another_segment_after_its_closing_frame() {
    let mut fake = Fake::new(&[&[10], &[3], &[17, 21], &[18, 22], &[2, 21]]);
    let (reply, ..) = run(&mut fake, config(&[Modality::Text, Modality::Audio]));
    let ends: Vec<_> = reply.segments.iter().map(|s| (s.modality, s.end)).collect();
    assert_eq!(ends, [(Modality::Text, SegmentEnd::Eot), (Modality::Audio, SegmentEnd::Eos)]);
    assert_eq!(fake.seen[7..11], [[10, 0], [3, 0], [6, 0], [8, 0]], "only eot and [assistant] are run again");
}

#[test]
fn guidance_pushes_away_from_the_unconditional_and_ends_with_the_segment() {
    let mut fake = Fake::new(&[&[17, 21], &[3], &[10], &[2]]);
    fake.unconditional = vec![17];
    let mut config = config(&[Modality::Audio, Modality::Text]);
    config.audio.guidance = 3.0;
    config.audio.max_steps = 3;
    let (reply, ..) = run(&mut fake, config);
    assert_eq!(reply.segments[0].tokens.get(0).unwrap(), [17, 21], "3·1 − 2·1 still leads at step 0");
    assert_eq!(fake.prefixes, [6], "the unconditional prefix ends with [assistant]");
    assert_eq!(reply.text(), "a");
}

#[test]
fn limits_end_a_reply() {
    let forever: Vec<&[TokenId]> = vec![&[10]; 500];
    let mut settings = config(&[Modality::Text]);
    settings.text.max_steps = 7;
    let (reply, _, tail) = run(&mut Fake::new(&forever), settings);
    assert_eq!((reply.segments[0].end, reply.usage.steps), (SegmentEnd::Limit, 7));
    assert_eq!(ids(&tail), [[10, 0], [2, 0]], "the frame that was not run, and an eos in the model's stead");

    let mut fake = Fake::new(&forever);
    fake.max_positions = 12;
    let (reply, ..) = run(&mut fake, config(&[Modality::Text]));
    assert_eq!((reply.segments[0].end, fake.position), (SegmentEnd::Context, 12));

    let endless: Vec<&[TokenId]> = vec![&[3]; 500];
    let mut fake = Fake::new(&endless);
    let mut settings = config(&[]);
    settings.force = vec![Modality::Text; 50];
    settings.max_segments = 4;
    assert_eq!(run(&mut fake, settings).0.segments.len(), 4);
}

#[test]
fn a_prompt_that_does_not_fit_is_refused_before_any_work() {
    let shared = SharedFake::new(Fake { max_positions: 7, ..Fake::default() });
    let mut conversation = shared.conversation(&[Modality::Text], Limits::default());
    let error = Generation::new(&mut conversation, prompt(), config(&[])).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Limit);
}

/// Checks a reply whose logits are invalid at step 2: the error is reported, and the positions before it are kept.
fn breaks(modality: Modality, columns: [usize; 2], value: f32, guidance: f32) -> String {
    let script: [&[TokenId]; 2] = if modality.is_sound() { [&[17, 22], &[18, 23]] } else { [&[10], &[11]] };
    let mut fake = Fake::new(&script.repeat(4));
    fake.broken = Some(Broken { position: 9, columns, value });
    let mut settings = config(&[modality]);
    settings.segment_mut(modality).guidance = guidance;
    let (reply, error, _) = run(&mut fake, settings);
    let error = error.expect("numbers that cannot be right were taken");
    assert_eq!(error.kind(), ErrorKind::Numeric);
    assert_eq!((reply.segments[0].end, reply.segments[0].tokens.len()), (SegmentEnd::Failed, 2), "{error}");
    if modality == Modality::Text {
        assert_eq!(reply.text(), "ab");
    }
    error.to_string()
}

#[test]
fn numbers_that_cannot_be_right_are_never_drawn_from() {
    const ALL: [usize; 2] = [0, usize::MAX];
    for value in [f32::NAN, f32::INFINITY] {
        let error = breaks(Modality::Text, [12, 13], value, 1.0);
        assert_eq!(error, format!("segment 0, step 2: text_head: the logit of id 12 is {value}; expected a number"));
        let error = breaks(Modality::Audio, [5, 6], value, 1.0);
        assert!(error.starts_with("segment 0, step 2: audio_head, stream 1: the logit of id 21 is"), "{error}");
    }
    let error = breaks(Modality::Text, ALL, f32::NEG_INFINITY, 1.0);
    assert_eq!(error, "segment 0, step 2: text_head: no id can be chosen: every logit is masked");
    let error = breaks(Modality::Audio, [5, 10], f32::NEG_INFINITY, 1.0);
    assert!(error.contains("audio_head, stream 1: no id can be chosen"), "{error}");
    // guidance makes NaN of an infinity on both sides
    assert!(breaks(Modality::Audio, ALL, f32::NEG_INFINITY, 3.0).contains("NaN"));
}

#[test]
fn a_modality_is_not_chosen_from_numbers_that_cannot_be_right() {
    let mut fake = Fake::new(&[]);
    fake.broken = Some(Broken { position: 6, columns: [8, 9], value: f32::NAN });
    let (reply, error, _) = run(&mut fake, config(&[]));
    let error = error.unwrap();
    assert_eq!((error.kind(), reply.segments.len()), (ErrorKind::Numeric, 0));
    assert!(error.message().starts_with("text_head: the modality of segment 0: the logit of id 8 is NaN"), "{error}");
}

#[test]
fn more_than_the_limits_is_refused_before_any_work() {
    let refused = |limits: Limits, config: GenerationConfig| {
        let shared = SharedFake::new(Fake::new(&[]));
        let mut conversation = shared.conversation(&[Modality::Text], limits);
        let error = Generation::new(&mut conversation, prompt(), config).err().unwrap();
        assert_eq!((error.kind(), shared.lock().position), (ErrorKind::Limit, 0));
        error.to_string()
    };
    let settings = config(&[Modality::Text]);
    let limits = Limits { prompt_positions: 4, ..Limits::default() };
    assert_eq!(refused(limits, settings.clone()), "5 prompt positions were requested; the limit is 4");
    let limits = Limits { segments: 7, ..Limits::default() };
    assert_eq!(refused(limits, settings.clone()), "8 segments were requested; the limit is 7");
    let max = settings.speech.max_steps.max(settings.text.max_steps);
    let limits = Limits { steps: max - 1, ..Limits::default() };
    assert!(refused(limits, settings).ends_with(&format!("{max} steps were requested; the limit is {}", max - 1)));
}

#[test]
fn doubtful_sounds_are_told() {
    let silent = Codes::zeros((2, 1));
    let mut script = ids(&lay(&silent));
    script.push(vec![2, 21]);
    let script: Vec<&[TokenId]> = script.iter().map(Vec::as_slice).collect();
    let rules = rules(&[Modality::Audio]);
    let layout = &rules.of(Modality::Audio).unwrap().layout;
    let (reply, ..) = run(&mut Fake::new(&script), config(&[Modality::Audio]));
    let doubts = reply.segments[0].doubts(layout);
    assert_eq!(doubts, ["the sound is silent: all 2 samples are below −80 dB"]);

    let script: [&[TokenId]; 4] = [&[18, 21], &[16, 23], &[18, 21], &[2, 21]];
    let (reply, ..) = run(&mut Fake::new(&script), config(&[Modality::Audio]));
    let doubts = reply.segments[0].doubts(layout);
    assert_eq!(doubts, ["the model left out 2 of 4 codes; they are decoded as code 0"]);
}

#[test]
fn cancelling_ends_between_two_steps_and_leaves_a_usable_tail() {
    let mut conversation = SharedFake::new(Fake::new(&[])).conversation(&SCHEMA1, Limits::default());
    conversation.cancel.cancel();
    let generation = Generation::new(&mut conversation, prompt(), config(&[Modality::Text])).unwrap();
    let (reply, error) = generation.into_partial_reply();
    assert!(error.is_none() && reply.segments.is_empty() && conversation.tail().is_empty());

    let script: Vec<&[TokenId]> = vec![&[10]; 9];
    let mut conversation = SharedFake::new(Fake::new(&script)).conversation(&[Modality::Text], Limits::default());
    let cancel = conversation.cancel.clone();
    let mut deltas = 0;
    for event in Generation::new(&mut conversation, prompt(), config(&[])).unwrap() {
        match event.unwrap() {
            Event::TextDelta(_) => {
                deltas += 1;
                if deltas == 3 {
                    cancel.cancel();
                }
            }
            Event::SegmentEnded { segment, .. } => {
                assert_eq!((segment.end, segment.text.as_str()), (SegmentEnd::Cancelled, "aaa"))
            }
            _ => {}
        }
    }
    assert_eq!((deltas, ids(conversation.tail())), (3, vec![vec![10, 0], vec![2, 0]]));
}

#[test]
fn a_dropped_generation_leaves_a_usable_tail() {
    let shared = SharedFake::new(Fake::new(&[&[17, 21], &[18, 22]]));
    let mut conversation = shared.conversation(&SCHEMA1, Limits::default());
    let mut settings = config(&[Modality::Audio]);
    settings.audio.guidance = 2.0;
    let mut generation = Generation::new(&mut conversation, prompt(), settings).unwrap();
    assert!(matches!(generation.next(), Some(Ok(Event::SegmentStarted { .. }))));
    generation.next();
    drop(generation);
    assert!(!shared.lock().guided);
    assert_eq!(ids(conversation.tail()).last().unwrap(), &[2, 0]);
}
