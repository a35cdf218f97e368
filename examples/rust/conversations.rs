//! Runs several conversations at once on one engine, each on a thread of its own: every conversation makes a sound and is
//! then asked about it. `cargo run --example conversations -- "a dog barking" "sea waves"`.

use std::thread;

use ualm::{Engine, EngineOptions, Message, Modality, Model, Result};

/// Makes a sound from `words`, and returns the model's own description of the sound.
fn converse(engine: &Engine, words: &str) -> Result<String> {
    let mut session = engine.session()?;
    let model = session.model().clone();

    let prompt = session.prompt_for(Modality::Audio, &[Message::text(words)])?;
    let reply = session.generate(prompt, &model.config().only(Modality::Audio))?.into_reply()?;
    let Some(sound) = reply.audio().filter(|sound| !sound.is_empty()) else { return Ok("nothing".to_owned()) };

    // the second turn of the conversation
    let messages = [Message::audio(sound.clone()), Message::text("What do you hear?")];
    let prompt = session.prompt(&messages)?;
    let reply = session.generate(prompt, &model.config_about(&messages).only(Modality::Text))?.into_reply()?;
    Ok(reply.text())
}

fn main() -> Result<()> {
    let mut words: Vec<_> = std::env::args().skip(1).collect();
    if words.is_empty() {
        words = ["a dog barking", "sea waves", "a siren"].map(str::to_owned).into();
    }
    // a session with guidance takes two slots
    let options = EngineOptions::default().slots(2 * words.len()).context(2048);
    let engine = Engine::new(&Model::load("onnx/default")?, &options)?;

    let heard: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = words.iter().map(|words| scope.spawn(|| converse(&engine, words))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no conversation panics")).collect()
    });
    for (words, heard) in words.iter().zip(heard) {
        println!("{words}: {}", heard?);
    }
    println!("{} steps for {} rows", engine.stats().steps, engine.stats().row_steps);
    Ok(())
}
