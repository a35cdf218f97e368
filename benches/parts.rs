//! The work between the graphs: guidance and drawing, layouts of codes, layout of prompts.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use ndarray::Array2;
use ualm::audio::Waveform;
use ualm::internal::benching::{Candidates, Layouter, Rng, Run, Sampler, Sampling, SoundEncoder, TextTokenizer, guide};
use ualm::{Codes, Layout, Message, Modality, Package, Result, Tokens};

/// The sizes of the published model's codec and text.
const STREAMS: usize = 8;
const BLOCK: usize = 1025;
const TEXT: usize = 151_936;

fn noise(len: usize) -> Vec<f32> {
    let mut rng = Rng::at(0, 0);
    (0..len).map(|_| rng.uniform() as f32 * 20.0 - 10.0).collect()
}

fn drawing(c: &mut Criterion) {
    let mut sampler = Sampler::default();
    let mut rng = Rng::at(0, 0);
    let mut draw = |row: &[f32], sampling: &Sampling| {
        let runs = [Run { first: 0, columns: 0..row.len() }];
        sampler.sample(&Candidates::new(row, &runs), sampling, &mut rng).expect("the logits are finite")
    };
    let unconditional = noise(STREAMS * BLOCK);
    let mut conditional = noise(STREAMS * BLOCK);
    c.bench_function("guidance of a frame", |b| b.iter(|| guide(&mut conditional, black_box(&unconditional), 1.0)));
    let warm = Sampling { temperature: 0.8, top_k: 20, top_p: 1.0 };
    c.bench_function("drawing a frame, top-k 20", |b| {
        b.iter(|| conditional.chunks(BLOCK).map(|row| draw(black_box(row), &warm)).sum::<u32>());
    });
    let nucleus = Sampling { temperature: 1.0, top_k: 0, top_p: 0.9 };
    c.bench_function("drawing a frame, top-p 0.9", |b| {
        b.iter(|| conditional.chunks(BLOCK).map(|row| draw(black_box(row), &nucleus)).sum::<u32>());
    });
    let text = noise(TEXT);
    let greedy = Sampling { temperature: 0.0, top_k: 0, top_p: 1.0 };
    c.bench_function("drawing a word, greedy", |b| b.iter(|| draw(black_box(&text), &greedy)));
}

/// An encoder that is never called, because the prompts are text.
struct Deaf;

impl SoundEncoder for Deaf {
    fn features(&self, _: &Waveform) -> Result<Array2<f32>> {
        Ok(Array2::zeros((0, 0)))
    }

    fn segment(&self, _: Modality, _: &Waveform) -> Result<Tokens> {
        unreachable!("no prompt here has a sound of the model")
    }
}

fn frames(c: &mut Criterion) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/onnx/default");
    let package = Package::open(folder).expect("the default package is part of the sources");
    let manifest = package.manifest();
    let config = &manifest.modalities[&Modality::Audio];
    let layout =
        Layout::new(&config.layout, &manifest.tokens, &manifest.heads[&config.head]).expect("the package was checked");
    let size = manifest.codec(Modality::Audio).expect("the package makes sound").1.codebook_size;
    let codes = Codes::from_shape_fn((layout.books(), 500), |(book, frame)| ((31 * frame + 7 * book) % size) as u32);
    let laid = layout.lay(&codes).expect("the codes are in their books");
    c.bench_function("laying out 500 frames of codes", |b| b.iter(|| layout.lay(black_box(&codes))));
    c.bench_function("reading 500 frames of codes", |b| b.iter(|| layout.codes(black_box(&laid), 0..500)));
    let json = std::fs::read(format!("{folder}/tokenizer.json")).expect("the package has a tokenizer");
    let tokenizer = TextTokenizer::from_bytes(&json, &manifest.tokens).expect("it is one");
    let messages = [Message::text("a dog barks twice, then rain falls on a roof and a siren goes by. ".repeat(8))];
    let layouter =
        Layouter { template: &manifest.template, vocabulary: &manifest.tokens, tokenizer: &tokenizer, sound: &Deaf };
    c.bench_function("laying out a prompt of 500 characters", |b| {
        b.iter(|| layouter.prompt(Modality::Audio, black_box(&messages), true));
    });
}

criterion_group!(benches, drawing, frames);
criterion_main!(benches);
