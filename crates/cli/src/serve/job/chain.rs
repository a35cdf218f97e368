//! Generation of a chain of text and sound.

use std::cell::Cell;

use ualm::{
    ChainOptions, ChainRunner, ChainStep, ChainStop, Content, ErrorKind, Message, Record, Result, Stage, Wording,
};

use super::{Job, Mode, Outcome, Start, Tools, invalid, observing_segments};
use crate::wire::ChainSettings;

impl Job {
    /// Runs a chain until it is finished, asks a question, or stops. The answer to a question comes in another request.
    pub(super) fn reason(mut self, tools: Tools) -> Result<Outcome> {
        let settings = match &mut self.mode {
            Mode::Chain(settings) => std::mem::take(settings),
            Mode::Free { .. } | Mode::AsRecorded | Mode::Converse => ChainSettings::default(),
        };
        let mut runner = match std::mem::replace(&mut self.start, Start::Messages(Vec::new())) {
            Start::Messages(messages) => {
                let config = tools.takes.session().model().reasoning();
                let chain = config.changed(config.chain(), settings.mode, settings.rounds, settings.listen);
                let options = self.chain_options(settings.plan, settings.prompts);
                ChainRunner::begin(tools.takes, chain, words(&messages)?, options)?
            }
            Start::Record { record, segment, said } => self.resume(tools.takes, settings, &record, segment, said)?,
        };
        let has_segment = Cell::new(false);
        match runner.run(observing_segments(tools.on_event, &has_segment)) {
            // stopped between two segments: the earlier ones are the reply
            Err(error) if error.kind() == ErrorKind::Cancelled && has_segment.get() => {}
            Err(error) => return Err(error),
            Ok(ChainStep::Segment(made)) => match made.stop {
                Some(ChainStop::Failed(error) | ChainStop::NotRanked(error))
                    if error.kind() != ErrorKind::Cancelled =>
                {
                    return Err(error);
                }
                _ => {}
            },
            Ok(_) => {}
        }
        Ok(Outcome {
            seed: runner.seed(),
            usage: runner.usage(),
            seconds: runner.seconds(),
            ranking: runner.ranking().to_vec(),
            heard: Vec::new(),
        })
    }

    /// Resumes the chain of `record` at segment number `segment`; `said` has the user's answer if that segment is one.
    fn resume(
        &self,
        takes: ualm::TakeRunner,
        settings: ChainSettings,
        record: &Record,
        segment: usize,
        said: Vec<Message>,
    ) -> Result<ChainRunner<'_>> {
        let saved = record.chain.ok_or_else(|| invalid("the record has no chain"))?;
        let chain = takes.session().model().reasoning().changed(saved, settings.mode, settings.rounds, settings.listen);
        let index = chain.stages()?.index_of(segment)?;
        let options = self.chain_options(settings.plan, settings.prompts);
        let mut runner = ChainRunner::resume(takes, chain, record, index, options)?;
        let is_answer = runner.stage() == Some(Stage::Answer);
        let mut said = said.into_iter();
        match (is_answer, said.next(), said.next()) {
            (true, Some(answer), None) => runner.answer(answer)?,
            (true, ..) => return Err(invalid("the answer to the question is missing: send it as one user message")),
            (false, None, _) => {}
            _ => return Err(invalid("messages are only for the answer to a question: leave them empty")),
        }
        Ok(runner)
    }

    fn chain_options(&self, plan: Option<String>, prompts: Option<Wording>) -> ChainOptions<'_> {
        ChainOptions::default()
            .seed(self.seed)
            .takes(self.takes.into())
            .best(self.best)
            .stream_audio(self.stream)
            .plan(plan)
            .wording(prompts.unwrap_or_default())
            .settings(|config| self.apply_settings(config))
    }
}

/// Returns the text of the prompt.
fn words(messages: &[Message]) -> Result<&str> {
    match messages {
        [Message { content: Content::Text(text), .. }] => Ok(text),
        _ => Err(invalid("a chain of reasoning takes exactly one user message with text")),
    }
}
