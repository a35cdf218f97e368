//! The documentation's promise about threads: one `Model`, and a session for each thread.

use std::thread;

use ualm::audio::Waveform;
use ualm::{Cancel, Engine, EngineOptions, ErrorKind, Message, Modality, Model, Result};
use ualm_testing::{package, skip_without_fixtures};

/// Makes the sound of a sentence, as the example of the documentation does.
fn sound(model: &Model) -> Result<Waveform> {
    let config = model.config().only(Modality::Audio);
    let mut session = model.session();
    let prompt = session.prompt(&[Message::text("a dog barking")])?;
    let reply = session.generate(prompt, &config)?.into_reply()?;
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

#[test]
fn a_token_stops_a_model_and_the_sessions_that_are_opened_on_it() {
    skip_without_fixtures!();
    let model = Model::load(package("tiny-omni-fp32")).unwrap();
    let cancel = Cancel::new();
    let stopped = model.with_cancel(&cancel.child());
    let engine = Engine::new(&stopped, &EngineOptions::default().slots(2).context(400)).unwrap();
    let prompt = model.prompt(&[Message::text("a dog barking")]).unwrap();
    let mut sessions = [stopped.session(), engine.session().unwrap(), model.session()];
    cancel.cancel();
    let recording = Message::audio(Waveform::mono(vec![0.1; 16_000], 16_000).unwrap());
    assert_eq!(stopped.prompt(&[recording]).unwrap_err().kind(), ErrorKind::Cancelled);
    let kinds = sessions.each_mut().map(|session| session.checkpoint(&prompt).err().map(|error| error.kind()));
    assert_eq!(kinds, [Some(ErrorKind::Cancelled), Some(ErrorKind::Cancelled), None]);
    for mut session in sessions {
        session.clear();
        session.set_cancel(&Cancel::new());
        assert!(session.checkpoint(&prompt).is_ok());
    }
}
