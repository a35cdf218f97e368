//! Makes a sound from a description: `cargo run --example generate -- "a dog barking" dog.wav`.

use std::env::args;

use ualm::audio::{WavFormat, write_wav};
use ualm::{Message, Modality, Model};

fn main() -> ualm::Result<()> {
    let words = args().nth(1).unwrap_or_else(|| "a dog barking".to_owned());
    let path = args().nth(2).unwrap_or_else(|| "dog.wav".to_owned());

    let model = Model::load("onnx/default")?;
    let config = model.config().only(Modality::Audio).seed(1);
    let mut session = model.session();
    let prompt = session.prompt_for(Modality::Audio, &[Message::text(words)])?;
    let reply = session.generate(prompt, &config)?.into_reply()?;

    if let Some(sound) = reply.audio() {
        write_wav(&path, sound, WavFormat::Pcm16)?;
        println!("{path}: {:.2} s", sound.seconds());
    }
    Ok(())
}
