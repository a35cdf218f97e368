//! The documentation's promise about threads: one `Model`, and a session for each thread.

use std::thread;

use ualm::audio::Waveform;
use ualm::{Cancel, Message, Modality, Model, Result};
use ualm_testing::{package, skip_without_fixtures};

/// Makes the sound of a sentence, as the example of the documentation does.
fn sound(model: &Model) -> Result<Waveform> {
    let config = model.config().only(Modality::Audio);
    let mut session = model.session();
    let prompt = session.prompt(&[Message::text("a dog barking")])?;
    let reply = session.generate(prompt, &config, &Cancel::new())?.into_reply()?;
    Ok(reply.audio().expect("a sound was asked for").clone())
}

#[test]
fn the_example_of_the_documentation_works_in_six_threads() {
    skip_without_fixtures!();
    let model = Model::load(package("tiny-omni-fp32")).unwrap();
    let alone = sound(&model).unwrap();
    assert!(alone.len() > 1000);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(|| sound(&model).unwrap())).collect();
        for made in threads {
            assert!(made.join().unwrap() == alone, "the same seed gives the same sound");
        }
    });
}
