//! Plays a sound while it is made, and stops it after some seconds:
//! `cargo run --example stream -- "sea waves" 2 | aplay -f FLOAT_LE -r 16000`.

use std::env::args;
use std::error::Error;
use std::io::{Write, stdout};

use ualm::{Cancel, Event, Message, Modality, Model};

fn main() -> Result<(), Box<dyn Error>> {
    let words = args().nth(1).unwrap_or_else(|| "sea waves".to_owned());
    let limit: f64 = args().nth(2).map_or(Ok(2.0), |seconds| seconds.parse())?;

    // any thread may cancel the token, for instance one that waits for a signal
    let cancel = Cancel::new();
    let model = Model::load("onnx/default")?.with_cancel(&cancel);
    let config = model.config().only(Modality::Audio).stream_audio(true);
    let mut session = model.session();
    let prompt = session.prompt_for(Modality::Audio, &[Message::text(words)])?;

    let mut seconds = 0.0;
    for event in session.generate(prompt, &config)? {
        match event? {
            Event::AudioChunk(chunk) => {
                let bytes: Vec<u8> = chunk.samples().iter().flat_map(|sample| sample.to_le_bytes()).collect();
                stdout().write_all(&bytes)?;
                seconds += chunk.seconds();
                if seconds >= limit {
                    cancel.cancel();
                }
            }
            Event::SegmentEnded { segment, .. } => eprintln!("{seconds:.2} s of sound, ended by {:?}", segment.end),
            _ => {}
        }
    }
    Ok(())
}
