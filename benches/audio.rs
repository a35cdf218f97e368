//! The audio front end on 30 s of sound: log-mel, normalisation and sample rate conversion.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use ualm::audio::{LogMel, LogMelConfig, normalize, resample};

const SECONDS: usize = 30;

fn noise(rate: u32) -> Vec<f32> {
    let mut state = 1_u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state as f32 / u32::MAX as f32 - 0.5
    };
    (0..rate as usize * SECONDS).map(next).collect()
}

fn audio(c: &mut Criterion) {
    let config = LogMelConfig { sample_rate: 16000, n_fft: 400, hop_length: 160, num_mel_bins: 128 };
    let log_mel = LogMel::new(config).expect("the sizes are Whisper's");
    let at_16k = noise(16000);
    c.bench_function("log-mel 30 s", |b| b.iter(|| log_mel.compute(black_box(&at_16k)).expect("noise is finite")));
    c.bench_function("normalize 30 s", |b| b.iter(|| normalize(black_box(&at_16k))));
    for rate in [44100, 48000, 8000] {
        let samples = noise(rate);
        c.bench_function(&format!("resample 30 s {rate} to 16000 Hz"), |b| {
            b.iter(|| resample(black_box(&samples), rate, 16000).expect("both rates are possible"));
        });
    }
}

criterion_group! { name = benches; config = Criterion::default().sample_size(30); targets = audio }
criterion_main!(benches);
