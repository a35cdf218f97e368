//! An hour, or five minutes, of everything at once: conversations, replies of every kind, takes and their ranking,
//! records, marks, the codec, packages loaded and dropped, damaged input, calls of the C library; some of it stopped at
//! random. Memory, open files and threads stay what they were.
//!
//! `make soak` runs five minutes of it; `make soak SECONDS=3600 SEED=2` an hour.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ualm::audio::{WavFormat, Waveform, decode_file};
use ualm::internal::fuzzing::{self, Target};
use ualm::{
    Cancel, Chain, ChainOptions, ChainRunner, Cut, Error, ErrorKind, Event, Expected, Generation, GenerationConfig,
    Message, Modality, Model, Package, ReasoningMode, Record, Reply, RuntimeOptions, TakeRunner,
};
use ualm_testing::{Draws, damage, package, root, seeds, skip_without_fixtures};

const WORDS: [&str; 6] = [
    "rain",
    "a dog barks, then a siren",
    "seven three",
    "what is it?",
    "",
    "é 犬 \u{0} <|im_end|> and many more words",
];

/// The models and inputs of the soak test.
struct Work {
    models: Vec<Model>,
    /// Recordings, some of them invalid.
    recordings: Vec<PathBuf>,
    seeds: Vec<(Target, Vec<u8>)>,
    folder: tempfile::TempDir,
    draws: Draws,
}

type Job = fn(&mut Work) -> ualm::Result<()>;

const JOBS: [(&str, Job); 12] = [
    ("generate", generate),
    ("ask", ask),
    ("transcribe", transcribe),
    ("speak", speak),
    ("converse", converse),
    ("reason", reason),
    ("takes", takes),
    ("go on from a record", go_on),
    ("codec", codec),
    ("logits", logits),
    ("load a package", load),
    ("damaged input and C calls", damaged),
];

impl Work {
    fn new(seed: u64) -> Self {
        let options = RuntimeOptions::default().threads(1);
        let default = root().join("onnx/default");
        let folders = [package("tiny-omni-fp32"), package("tiny-afwhisper-int8"), package("synthetic-fp32"), default];
        let models: Vec<_> = folders.iter().map(|folder| Model::load_with(folder, &options).unwrap()).collect();
        models.iter().for_each(|model| model.load_all().unwrap());
        let data = root().join("tests/data/audio");
        let recordings = fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path()).collect();
        let calls: (&str, Target) = ("calls", ualm_capi::internal::calls);
        let targets = fuzzing::TARGETS.iter().chain(ualm_cli::internal::TARGETS).chain([&calls]);
        let seeds =
            targets.flat_map(|(name, target)| seeds(name).into_iter().map(|(_, seed)| (*target, seed))).collect();
        Self { models, recordings, seeds, folder: tempfile::tempdir().unwrap(), draws: Draws(seed) }
    }

    fn one_of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.draws.below(choices.len())].clone()
    }

    fn model(&mut self) -> Model {
        let at = self.draws.below(self.models.len());
        self.models[at].clone()
    }

    fn words(&mut self) -> &'static str {
        self.one_of(&WORDS)
    }

    fn recording(&mut self) -> ualm::Result<Waveform> {
        let at = self.draws.below(self.recordings.len());
        Ok(decode_file(&self.recordings[at], &self.models[0].decode_options())?.waveform)
    }

    /// Returns settings for a short reply of `force`.
    fn config(&mut self, model: &Model, force: &[Modality]) -> GenerationConfig {
        let mut config = model.config();
        config.seed = self.draws.below(1 << 20) as u64;
        config.force = force.to_vec();
        config.insist = self.draws.below(2) == 0;
        config.max_segments = force.len().max(1) + self.draws.below(2);
        config.stream_audio = self.draws.below(2) == 0;
        for modality in [Modality::Text, Modality::Audio, Modality::Speech] {
            let segment = config.segment_mut(modality);
            segment.temperature = self.one_of(&[0.0, 0.7, 1.0, 5.0]);
            segment.guidance = self.one_of(&[1.0, 1.0, 3.0]);
            segment.max_steps = 1 + self.draws.below(120);
        }
        config
    }

    /// Generates a reply to `messages`; one of four is stopped at some event, or abandoned.
    fn reply(&mut self, model: &Model, messages: &[Message], force: &[Modality]) -> ualm::Result<Reply> {
        let config = self.config(model, force);
        let cancel = Cancel::new();
        let mut session = model.with_cancel(&cancel).session();
        let prompt = session.prompt(messages)?;
        let generation = session.generate(prompt, &config)?;
        self.run(generation, &cancel)
    }

    fn run(&mut self, mut generation: Generation<'_>, cancel: &Cancel) -> ualm::Result<Reply> {
        let mut reply = Reply::default();
        match self.draws.below(8) {
            0 => {
                let given_up = self.draws.below(30);
                generation.by_ref().take(given_up).try_for_each(|event| event.map(drop))?;
            }
            1 => {
                let stopped = self.draws.below(60);
                for (number, event) in generation.enumerate() {
                    if number == stopped {
                        cancel.cancel();
                    }
                    if let Event::SegmentEnded { segment, .. } = event? {
                        reply.segments.push(segment);
                    }
                }
            }
            _ => reply = generation.into_reply()?,
        }
        Ok(reply)
    }
}

fn generate(work: &mut Work) -> ualm::Result<()> {
    let (model, words) = (work.model(), work.words());
    let reply = work.reply(&model, &[Message::text(words)], &[Modality::Audio])?;
    match reply.audio().filter(|sound| !sound.is_empty()) {
        Some(sound) => ualm::audio::write_wav(work.folder.path().join("sound.wav"), sound, WavFormat::Pcm16).map(drop),
        None => Ok(()),
    }
}

fn ask(work: &mut Work) -> ualm::Result<()> {
    let (model, words, sound) = (work.model(), work.words(), work.recording()?);
    work.reply(&model, &[Message::audio(sound), Message::text(words)], &[Modality::Text]).map(drop)
}

fn transcribe(work: &mut Work) -> ualm::Result<()> {
    let (model, sound) = (work.model(), work.recording()?);
    model.caption(&sound, Modality::Speech).map(drop)
}

fn speak(work: &mut Work) -> ualm::Result<()> {
    let (model, words) = (work.model(), work.words());
    work.reply(&model, &[Message::text(words)], &[Modality::Speech]).map(drop)
}

/// Runs turns of one conversation and rewinds one of them.
fn converse(work: &mut Work) -> ualm::Result<()> {
    let model = work.model();
    let mut session = model.session();
    for _ in 0..=work.draws.below(5) {
        let mark = session.mark();
        let config = work.config(&model, &[]);
        let cancel = Cancel::new();
        session.set_cancel(&cancel);
        let prompt = session.prompt(&[Message::text(work.words())])?;
        work.run(session.generate(prompt, &config)?, &cancel)?;
        if work.draws.below(3) == 0 {
            session.rewind(&mark)?;
        }
    }
    Ok(())
}

/// Runs a chain that may be stopped or abandoned, and resumes it from its record.
fn reason(work: &mut Work) -> ualm::Result<()> {
    let (model, words, cancel) = (work.model(), work.words(), Cancel::new());
    let mode = work.one_of(&[ReasoningMode::Enrich, ReasoningMode::Reflect]);
    let chain = Chain::new(mode).rounds(1 + work.draws.below(2)).listen(work.draws.below(2) == 0);
    let config = work.config(&model, &[]);
    let takes = 1 + work.draws.below(2);
    let options = || {
        let settings = |changed: &mut GenerationConfig| (changed.text, changed.audio) = (config.text, config.audio);
        ChainOptions::default().takes(takes).best(takes > 1).settings(settings)
    };
    let model = model.with_cancel(&cancel);
    let mut runner = ChainRunner::begin(TakeRunner::new(&model, takes)?, chain, words, options())?;
    let mut left = work.draws.below(400);
    runner.run(|_| {
        left = left.saturating_sub(1);
        if left == 0 {
            cancel.cancel();
        }
        Ok(())
    })?;
    let record = runner.record().clone();
    let index = work.draws.below(record.turns[0].segments.len().max(1));
    let model = model.with_cancel(&Cancel::new());
    let mut runner = ChainRunner::resume(TakeRunner::new(&model, takes)?, chain, &record, index, options())?;
    runner.advance(|_| Ok(())).map(drop)
}

/// Makes several replies to one prompt and ranks them.
fn takes(work: &mut Work) -> ualm::Result<()> {
    let (model, words) = (work.model(), work.words());
    let mut session = model.session();
    let prompt = session.prompt(&[Message::text(words)])?;
    let place = session.checkpoint(&prompt)?;
    let mut sounds = Vec::new();
    for _ in 0..3 {
        let config = work.config(&model, &[Modality::Audio]);
        let cancel = Cancel::new();
        session.set_cancel(&cancel);
        let reply = work.run(session.generate_from(&place, &config)?, &cancel)?;
        sounds.extend(reply.audio().cloned());
    }
    model.rank(&sounds, Modality::Audio, &Expected::of(words)).map(drop)
}

/// Writes and reads a record, and makes a reply from a position in it.
fn go_on(work: &mut Work) -> ualm::Result<()> {
    let (model, cancel) = (work.model(), Cancel::new());
    let config = work.config(&model, &[Modality::Text, Modality::Audio]);
    let mut session = model.with_cancel(&cancel).session();
    let messages = [Message::text(work.words())];
    let prompt = session.prompt(&messages)?;
    let mut record = Record::new(model.package());
    record.begin_turn(&messages, &prompt, &config);
    let reply = session.generate(prompt, &config)?.into_reply()?;
    reply.segments.iter().for_each(|segment| record.push(segment));
    let record = Record::from_json(record.to_json()?.as_bytes())?;
    let segment = work.draws.below(reply.segments.len() + 1);
    let frames = reply.segments.get(segment).map_or(0, |segment| segment.tokens.len());
    let cut = Cut { turn: 0, segment, position: work.draws.below(frames.max(1)) };
    let place = session.restore(&record, cut)?;
    work.run(session.generate_from(&place, &config)?, &cancel).map(drop)
}

fn codec(work: &mut Work) -> ualm::Result<()> {
    let (model, sound) = (work.model(), work.recording()?);
    let codes = model.encode_codes(Modality::Audio, &sound)?;
    model.decode_codes(Modality::Audio, &codes)?;
    model.enhance(Modality::Audio, &sound).map(drop)
}

fn logits(work: &mut Work) -> ualm::Result<()> {
    let (model, words) = (work.model(), work.words());
    let mut session = model.session();
    let prompt = session.prompt(&[Message::text(words)])?;
    session.next_logits(&prompt)?;
    model.prompt_embeddings(&prompt).map(drop)
}

/// Loads the smallest package again, from its folder or from memory.
fn load(work: &mut Work) -> ualm::Result<()> {
    let folder = package("synthetic-fp32");
    let package = match work.draws.below(2) {
        0 => Package::open(folder)?,
        _ => Package::from_files(fs::read_dir(folder).unwrap().map(|entry| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap())
        }))?,
    };
    Model::from_package(package, &RuntimeOptions::default())?.load_all()
}

fn damaged(work: &mut Work) -> ualm::Result<()> {
    for _ in 0..20 {
        let at = work.draws.below(work.seeds.len());
        let (target, seed) = &work.seeds[at];
        target(&damage(seed, &mut work.draws));
    }
    Ok(())
}

/// The resources of a process.
#[derive(Debug, PartialEq)]
struct Held {
    kibibytes: usize,
    files: usize,
    threads: usize,
}

impl Held {
    #[cfg(target_os = "linux")]
    fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let count = |folder| fs::read_dir(folder).unwrap().count();
        let kibibytes = line.trim().trim_end_matches(" kB").parse().unwrap();
        Self { kibibytes, files: count("/proc/self/fd"), threads: count("/proc/self/task") }
    }
}

/// Checks that an error is one that bad input may cause; others are faults.
fn is_expected(error: &Error) -> bool {
    let kinds = [ErrorKind::Invalid, ErrorKind::Audio, ErrorKind::Limit, ErrorKind::Cancelled];
    kinds.contains(&error.kind())
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "takes minutes: `make soak`"]
fn everything_at_once_holds_no_more_after_a_while() {
    skip_without_fixtures!();
    let (seconds, seed) = (setting("UALM_SOAK_SECONDS", 300), setting("UALM_SOAK_SEED", 1));
    let mut work = Work::new(seed);
    let (begun, whole) = (Instant::now(), Duration::from_secs(seconds));
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut held = Vec::new();
    while begun.elapsed() < whole {
        let (name, job) = work.one_of(&JOBS);
        let count = counts.entry(name).or_default();
        count.0 += 1;
        if let Err(error) = job(&mut work) {
            assert!(is_expected(&error), "{name}: {error}");
            count.1 += 1;
        }
        if begun.elapsed() >= whole * (held.len() as u32 + 1) / 20 {
            held.push(Held::now());
            println!("{:>4} s: {:?}", begun.elapsed().as_secs(), held.last());
        }
    }
    println!("seed {seed}; done and of these refused: {counts:#?}");
    let (early, late) = (&held[4..10], &held[15..]);
    let max = |held: &[Held]| held.iter().map(|held| held.kibibytes).max().unwrap();
    assert!(max(late) <= max(early) + max(early) / 10, "memory grows");
    assert!(held[4..].iter().all(|now| (now.files, now.threads) == (held[4].files, held[4].threads)), "handles grow");
}
