//! Answers requests.

use std::path::Path;

use ualm::audio::decode_file;
use ualm::{Cancel, Content, Error, ErrorKind, GenerationConfig, Message, Model, Prompt, Reply, Result, Role, Segment};

use super::outcome::{Outcome, ResultSegment};
use super::request::{Line, Part, Request};
use crate::args::{BatchRun, seed_of};

/// The model and the options that all requests share.
pub struct Runner<'a> {
    pub model: Model,
    /// The folder of the requests file, to which paths in requests are relative.
    pub base: &'a Path,
    pub out: &'a Path,
    pub args: &'a BatchRun,
    /// The token of `model`.
    pub cancel: Cancel,
}

/// A reply, and the other contents of its result.
struct Answer {
    prompt: Prompt,
    /// `true` if a segment was guided.
    guided: bool,
    warnings: Vec<String>,
    reply: Reply,
    /// The error that cut the reply short.
    error: Option<Error>,
}

impl Runner<'_> {
    /// Answers a request; faults of the request become part of the outcome.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if a sound cannot be written; [`ErrorKind::Cancelled`].
    pub fn answer(&self, line: &Line) -> Result<Outcome> {
        let answer = line.request().and_then(|request| Ok((self.reply(&request)?, request.id)));
        self.cancel.check()?;
        let (answer, id) = match answer {
            Ok(parts) => parts,
            Err(error) => return Ok(failure(line, &error, Vec::new())),
        };
        let mut warnings = answer.warnings;
        for (index, segment) in answer.reply.segments.iter().enumerate() {
            let doubts = segment.doubts(self.model.layout(segment.modality)?);
            warnings.extend(doubts.into_iter().map(|doubt| format!("segment {index}: {doubt}")));
        }
        let segments = match self.save(&line.stem, answer.reply.segments) {
            Ok(segments) => segments,
            Err(error) if error.kind() == ErrorKind::Io => return Err(error),
            Err(error) => return Ok(failure(line, &error, Vec::new())),
        };
        Ok(match answer.error {
            Some(error) => failure(line, &error, segments),
            None => Outcome::Answered {
                id,
                segments,
                prompt_frames: self.args.frames.then(|| answer.prompt.tokens().clone()),
                unconditional_frames: answer
                    .prompt
                    .unconditional()
                    .filter(|_| self.args.frames && answer.guided)
                    .cloned(),
                usage: answer.reply.usage,
                seconds: answer.reply.seconds,
                warnings,
                request: line.sum.clone(),
            },
        })
    }

    /// Generates the reply; after an error the answer has the partial reply and the error.
    fn reply(&self, request: &Request) -> Result<Answer> {
        let mut warnings = Vec::new();
        let messages = self.messages(request, &mut warnings)?;
        let mut session = self.model.session();
        let config = self.config(request, &messages)?;
        let prompt = session.prompt_for(config.opens_with(), &messages)?;
        let (reply, error) = session.generate(prompt.clone(), &config)?.into_partial_reply();
        let guided = reply.segments.iter().any(|segment| segment.config.is_guided());
        Ok(Answer { prompt, guided, warnings, reply, error })
    }

    /// Converts each content part to a message; the first part of a message begins a new turn.
    fn messages(&self, request: &Request, warnings: &mut Vec<String>) -> Result<Vec<Message>> {
        let options = self.model.decode_options();
        let mut read = |path: &Path| {
            let decoded = decode_file(self.base.join(path), &options)?;
            warnings.extend(decoded.warnings.iter().map(|warning| format!("{}: {warning}", path.display())));
            Ok::<_, Error>(decoded.waveform)
        };
        let mut messages = Vec::new();
        for message in &request.messages {
            let role = Role::from_name(&message.role)?;
            for (index, part) in message.content.iter().enumerate() {
                let content = match part {
                    Part::Text { text } => Content::Text(text.clone()),
                    Part::Audio { path } => Content::Audio(read(path)?),
                    Part::Speech { path } => Content::Speech(read(path)?),
                };
                let part = Message::new(role, content);
                messages.push(if index == 0 { part.in_new_turn() } else { part });
            }
        }
        Ok(messages)
    }

    fn config(&self, request: &Request, messages: &[Message]) -> Result<GenerationConfig> {
        let mut config = self.model.config_about(messages);
        config.thinking = self.model.thinking(request.thinking, messages)?;
        request.text.apply(&mut config.text);
        request.audio.apply(&mut config.audio);
        request.speech.unwrap_or(request.audio).apply(&mut config.speech);
        config.force.clone_from(&request.force);
        config.max_segments = request.max_segments.unwrap_or(config.max_segments);
        config.seed = request.seed.unwrap_or_else(|| seed_of(&request.id));
        Ok(config)
    }

    /// Writes the sounds, enhanced if the package has an enhancer, and describes the segments.
    fn save(&self, id: &str, segments: Vec<Segment>) -> Result<Vec<ResultSegment>> {
        let save = |(index, mut segment): (usize, Segment)| {
            segment.audio = self.model.heard(&segment)?;
            ResultSegment::save(segment, index, id, self.out, self.args)
        };
        segments.into_iter().enumerate().map(save).collect()
    }
}

fn failure(line: &Line, error: &Error, segments: Vec<ResultSegment>) -> Outcome {
    Outcome::Failed { id: line.id.clone(), line: line.number, error: error.into(), segments, request: line.sum.clone() }
}
