//! `show`: draws a recording's spectrogram in the terminal, without a model.

use std::path::Path;

use serde::Serialize;
use ualm::Result;
use ualm::audio::{DecodeOptions, Decoded, decode_file, decode_reader};

use crate::args::{Common, Pictures, Show};
use crate::interrupt::cancel_on_signal;
use crate::output::{print, print_json, warn};
use crate::player::Player;
use crate::spectrogram::Spectrogram;
use crate::terminal_picture::show;

/// The JSON of a recording (`--json`).
#[derive(Serialize)]
struct Summary {
    seconds: f64,
    sample_rate: u32,
    channels: usize,
}

/// `ualm show`.
pub fn run(common: &Common, args: &Show) -> Result<()> {
    let pictures = Pictures { spectrogram: args.spectrogram.clone(), show: false };
    pictures.check()?;
    let cancel = cancel_on_signal()?;
    let Decoded { waveform, warnings, .. } = decode(common, &args.audio)?;
    for warning in &warnings {
        warn(&format!("warning: {}: {warning}", args.audio.display()));
    }
    let seconds = waveform.seconds();
    let sample_rate = waveform.sample_rate();
    let channels = waveform.channels().len();
    pictures.draw(&waveform)?;
    if common.json {
        print_json(&Summary { seconds, sample_rate, channels })?;
    } else {
        let kilohertz = f64::from(sample_rate) / 1000.0;
        let channels = if channels == 1 { "mono".to_owned() } else { format!("{channels} channels") };
        print(&format!("{}: {seconds:.2} s, {kilohertz} kHz, {channels}\n", args.audio.display()))?;
        if args.spectrogram.is_none() {
            show(&Spectrogram::of(&waveform)?)?;
        }
    }
    Player::new(common, &args.playing).offer(&waveform, &cancel)
}

/// Decodes a recording within the limits, with its own sample rate and channels.
fn decode(common: &Common, audio: &Path) -> Result<Decoded> {
    let limits = common.limits.limits();
    let options = DecodeOptions::default().max_seconds(limits.input_seconds).max_bytes(limits.decoded_bytes);
    match audio.to_str() {
        Some("-") => decode_reader(std::io::stdin(), "standard input", &options),
        _ => decode_file(audio, &options),
    }
}
