//! Answers a question about a recording, word by word: `cargo run --example ask -- dog.wav "What do you hear?"`.

use std::env::args;

use ualm::audio::decode_file;
use ualm::package::Purpose;
use ualm::{Event, Message, Model};

fn main() -> ualm::Result<()> {
    let path = args().nth(1).unwrap_or_else(|| "dog.wav".to_owned());
    let question = args().nth(2).unwrap_or_else(|| "What do you hear?".to_owned());

    let model = Model::load("onnx/default")?;
    let recording = decode_file(path, &model.decode_options())?.waveform;
    let config = model.config_for(Purpose::Ask); // Purpose::Transcribe has the settings for a transcript
    let mut session = model.session();
    let prompt = session.prompt(&[Message::audio(recording), Message::text(question)])?;

    for event in session.generate(prompt, &config)? {
        if let Event::TextDelta(piece) = event? {
            print!("{piece}");
        }
    }
    println!();
    Ok(())
}
