//! A chain of text and sound.

use std::cell::Cell;

use ualm::{
    ChainOptions, ChainRunner, ChainStep, ChainStop, Content, ErrorKind, Message, Record, Result, Stage, Wording,
};

use super::{Job, Outcome, Start, Tools, Way, invalid, noting_segments};
use crate::wire::ChainWish;

impl Job {
    /// Runs a chain until it is finished, asks, or cannot go on. An answer comes with another request.
    pub(super) fn reason(mut self, tools: Tools) -> Result<Outcome> {
        let wish = match &mut self.way {
            Way::Chain(wish) => std::mem::take(wish),
            Way::Free { .. } | Way::AsRecorded | Way::Converse => ChainWish::default(),
        };
        let mut runner = match std::mem::replace(&mut self.start, Start::Messages(Vec::new())) {
            Start::Messages(messages) => {
                let config = tools.takes.session().model().reasoning();
                let chain = config.changed(config.chain(), wish.mode, wish.rounds, wish.listen);
                let options = self.chain_options(wish.plan, wish.prompts);
                ChainRunner::begin(tools.takes, chain, words(&messages)?, options)?
            }
            Start::Record { record, segment, said } => self.resume(tools.takes, wish, &record, segment, said)?,
        };
        let has_told = Cell::new(false);
        match runner.run(noting_segments(tools.tell, &has_told)) {
            // stopped between two segments: those before it are the answer
            Err(error) if error.kind() == ErrorKind::Cancelled && has_told.get() => {}
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

    /// Resumes the chain of `record` before segment number `segment`, or with the answer that stands there.
    fn resume(
        &self,
        takes: ualm::TakeRunner,
        wish: ChainWish,
        record: &Record,
        segment: usize,
        said: Vec<Message>,
    ) -> Result<ChainRunner<'_>> {
        let saved = record.chain.ok_or_else(|| invalid("the record is of no chain"))?;
        let chain = takes.session().model().reasoning().changed(saved, wish.mode, wish.rounds, wish.listen);
        let index = chain.stages()?.index_of(segment)?;
        let mut runner = ChainRunner::resume(takes, chain, record, index, self.chain_options(wish.plan, wish.prompts))?;
        let is_answer = runner.stage() == Some(Stage::Answer);
        let mut said = said.into_iter();
        match (is_answer, said.next(), said.next()) {
            (true, Some(answer), None) => runner.answer(answer)?,
            (true, ..) => return Err(invalid("the question's answer is missing: one user message")),
            (false, None, _) => {}
            _ => return Err(invalid("only a question is answered: leave messages empty")),
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
            .settings(|config| self.change(config))
    }
}

/// Returns the words that a chain is about.
fn words(messages: &[Message]) -> Result<&str> {
    match messages {
        [Message { content: Content::Text(text), .. }] => Ok(text),
        _ => Err(invalid("a chain of reasoning is about one user message, a text")),
    }
}
