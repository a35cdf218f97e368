//! A spoken conversation as a cascade: a question is heard, answered in text, and the answer is spoken.

use super::by_prompt::empty;
use super::event::TakeEvent;
use super::takes::{OnEvent, Take, TakeRunner, TakeStart, nothing_made};
use crate::audio::Waveform;
use crate::cancel::Cancel;
use crate::error::{Error, ErrorKind, Result};
use crate::generate::{GenerationConfig, Seconds, Segment, SegmentEnd, Usage};
use crate::modality::Modality;
use crate::model::Model;
use crate::package::Purpose;
use crate::prompt::{Message, Prompt, TaskName};
use crate::record::Record;

/// The settings of a spoken conversation.
#[non_exhaustive]
pub struct ConverseOptions<'a> {
    /// The seed of the answer and of its speech.
    pub seed: u64,
    /// `true` yields the speech in chunks while it is made, at some cost in speed.
    pub stream_audio: bool,
    /// A function that changes the package's settings of the answer and of its speech. A question is transcribed greedily.
    pub settings: Box<dyn Fn(&mut GenerationConfig) + Send + 'a>,
}

impl Default for ConverseOptions<'_> {
    fn default() -> Self {
        Self { seed: 0, stream_audio: false, settings: Box::new(|_| {}) }
    }
}

impl<'a> ConverseOptions<'a> {
    /// Sets the seed of the answer and of its speech.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Sets whether the speech is yielded in chunks while it is made.
    #[must_use]
    pub fn stream_audio(self, stream_audio: bool) -> Self {
        Self { stream_audio, ..self }
    }

    /// Sets a function that changes the package's settings.
    #[must_use]
    pub fn settings(self, settings: impl Fn(&mut GenerationConfig) + Send + 'a) -> Self {
        Self { settings: Box::new(settings), ..self }
    }
}

/// A spoken answer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Spoken {
    /// The segment of speech.
    pub segment: Segment,
    /// The sound, enhanced if the package has an enhancer.
    pub sound: Waveform,
}

/// A spoken conversation: each call is a request, which begins a new conversation with the model. One record holds a turn
/// for each request that succeeded. Events number the segments from 1.
///
/// ```no_run
/// use ualm::{ConverseOptions, Converser, Message, Model, TakeRunner};
///
/// # fn main() -> ualm::Result<()> {
/// let model = Model::load("onnx/default")?;
/// let takes = TakeRunner::in_session(model.session(), 1);
/// let mut converser = Converser::new(takes, ConverseOptions::default().seed(1))?;
/// let recording = ualm::audio::decode_file("question.wav", &model.decode_options())?.waveform;
/// let question = converser.hear(recording, |_| Ok(()))?;
/// let answer = converser.answer(&[Message::text(question)], |_| Ok(()))?;
/// let spoken = converser.speak(&answer, |_| Ok(()))?;
/// converser.record().write_wav("answer.wav", &spoken.sound, Default::default())?;
/// # Ok(())
/// # }
/// ```
pub struct Converser<'a> {
    takes: TakeRunner,
    options: ConverseOptions<'a>,
    record: Record,
}

impl<'a> Converser<'a> {
    /// Returns a conversation in the session of `takes`, which is cleared.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the package cannot speak.
    pub fn new(takes: TakeRunner, options: ConverseOptions<'a>) -> Result<Self> {
        let model = takes.session().model();
        model.layout(Modality::Speech)?;
        let record = Record::new(model.package());
        Ok(Self { takes, options, record })
    }

    /// Returns the words of the speech in `recording`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the package cannot listen, [`ErrorKind::Audio`] when no speech is understood, and the
    /// errors of encoding and generation, [`ErrorKind::Cancelled`] among them.
    pub fn hear(
        &mut self,
        recording: Waveform,
        mut on_event: impl FnMut(TakeEvent<'_>) -> Result<()>,
    ) -> Result<String> {
        let model = self.model();
        let mut config = model.config_for(Purpose::Transcribe);
        config.text.temperature = 0.0;
        let messages = [Message::text(&*model.manifest().prompts.transcribe), Message::speech(recording)];
        let prompt = model.prompt(&messages)?;
        let words = self.request(&messages, &prompt, &config, &mut on_event, |model, take| {
            let what = "no speech was understood in the recording: give a clearer recording, or one of speech";
            let segment = whole(take.segments)?;
            let words = Some(model.unwrap_transcript(&segment.text)).filter(|words| !words.is_empty());
            words.map(str::to_owned).ok_or_else(|| Error::new(ErrorKind::Audio, what))
        })?;
        on_event(TakeEvent::Heard(&words))?;
        Ok(words)
    }

    /// Returns the answer to `messages`: the conversation so far in text, which ends with the question.
    ///
    /// # Errors
    /// No messages, or a prompt that does not fit the context; [`ErrorKind::Numeric`] for an answer without words, and the
    /// errors of generation, [`ErrorKind::Cancelled`] among them.
    pub fn answer(
        &mut self,
        messages: &[Message],
        mut on_event: impl FnMut(TakeEvent<'_>) -> Result<()>,
    ) -> Result<String> {
        let config = self.changed(self.model().config_for(Purpose::Converse));
        let prompt = self.model().prompt_of(TaskName::Cascade, Modality::Text, messages)?;
        self.request(messages, &prompt, &config, &mut on_event, |_, take| match whole(take.segments)?.text.trim() {
            "" => Err(empty("answer", Modality::Text)),
            words => Ok(words.to_owned()),
        })
    }

    /// Speaks `words`. If it is cancelled, the speech so far is returned.
    ///
    /// # Errors
    /// A text that is empty or does not fit the context; [`ErrorKind::Numeric`] for speech without sound, and the errors
    /// of generation; [`ErrorKind::Cancelled`] when nothing was made.
    pub fn speak(&mut self, words: &str, mut on_event: impl FnMut(TakeEvent<'_>) -> Result<()>) -> Result<Spoken> {
        let model = self.model();
        let config = self.changed(model.config().only(Modality::Speech)).stream_audio(self.options.stream_audio);
        let messages = [Message::text(words)];
        let prompt = model.prompt_for(Modality::Speech, &messages)?;
        self.request(&messages, &prompt, &config, &mut on_event, |_, take| {
            let Take { mut segments, sound, .. } = take;
            match (segments.pop(), sound.filter(|sound| !sound.is_empty())) {
                (Some(segment), Some(sound)) => Ok(Spoken { segment, sound }),
                (Some(segment), None) if segment.end == SegmentEnd::Cancelled => Err(nothing_made()),
                _ => Err(empty("speech", Modality::Speech)),
            }
        })
    }

    /// Lets `cancel` stop the calls from now on, in place of the token of the session
    /// ([`Session::set_cancel`](crate::Session::set_cancel)).
    pub fn set_cancel(&mut self, cancel: &Cancel) {
        self.takes.session_mut().set_cancel(cancel);
    }

    /// Returns the model.
    pub fn model(&self) -> &Model {
        self.takes.session().model()
    }

    /// Returns the record of all requests so far.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Returns the positions read and written so far; of several prompts, the longest counts.
    pub fn usage(&self) -> Usage {
        self.takes.usage()
    }

    /// Returns the time spent so far.
    pub fn seconds(&self) -> Seconds {
        self.takes.seconds()
    }

    fn changed(&self, mut config: GenerationConfig) -> GenerationConfig {
        (self.options.settings)(&mut config);
        config.seed(self.options.seed)
    }

    /// Generates the reply to `prompt` in a new conversation, and returns the result of `read` for it. After an error the
    /// record has nothing of the request.
    fn request<T>(
        &mut self,
        messages: &[Message],
        prompt: &Prompt,
        config: &GenerationConfig,
        on_event: &mut OnEvent<'_>,
        read: impl FnOnce(&Model, Take) -> Result<T>,
    ) -> Result<T> {
        let before = self.record.turns.len();
        let session = self.takes.session_mut();
        session.clear();
        let checkpoint = session.checkpoint(prompt)?;
        self.record.begin_conversation(messages, prompt, config);
        let start = TakeStart { checkpoint: &checkpoint, record: &self.record, stage: None, before };
        let made = self.takes.make_from(start, config, 1, on_event).and_then(|takes| {
            let take = takes.into_iter().next().ok_or_else(nothing_made)?;
            let take = take.failure.map_or(Ok(Take { failure: None, ..take }), Err)?;
            for segment in &take.segments {
                self.record.push(segment);
            }
            read(self.takes.session().model(), take)
        });
        if made.is_err() {
            self.record.turns.truncate(before);
        }
        made
    }
}

/// Returns the first segment, if it was not cancelled.
fn whole(segments: Vec<Segment>) -> Result<Segment> {
    let segment = segments.into_iter().next().ok_or_else(nothing_made)?;
    if segment.end == SegmentEnd::Cancelled {
        return Err(Error::new(ErrorKind::Cancelled, "stopped on request; the answer was not spoken yet"));
    }
    Ok(segment)
}
