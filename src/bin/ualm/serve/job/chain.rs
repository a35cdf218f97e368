//! A chain of text and sound.

use ualm::wire::ChainWish;
use ualm::{Chain, Content, Expected, GenerationConfig, Message, Modality, ReasoningMode, Result, SegmentEnd, Stage};

use super::{Job, Making, Outcome, Place, Start, Take, Tools, Way, invalid};
use crate::chain::ChainMaker;

impl Job {
    /// A chain, stage by stage.
    pub(super) fn reason(mut self, tools: Tools) -> Result<Outcome> {
        let Tools { model, session, at_once, cancel, tell } = tools;
        let wish = match &mut self.way {
            Way::Chain(wish) => std::mem::take(wish),
            Way::Free { .. } | Way::AsRecorded => ChainWish::default(),
        };
        let start = std::mem::replace(&mut self.start, Start::Messages(Vec::new()));
        let config = model.manifest().reasoning.clone().unwrap_or_default();
        let usual = match &start {
            Start::Record { record, .. } => record.chain.ok_or_else(|| invalid("the record is of no chain"))?,
            Start::Messages(_) => Chain { mode: config.default, rounds: 1, listen: config.listen },
        };
        let chain = chain(&wish, usual, config.listen);
        let change = |config: &mut GenerationConfig| self.change(config);
        let mut maker = ChainMaker::new(model, session, chain, self.seed.unwrap_or_default(), change)?;
        let first = match start {
            Start::Messages(messages) => {
                let words = words(&messages)?;
                maker.say(0, &[Message::text(config.prompt(chain.mode, words))], cancel)?;
                0
            }
            Start::Record { record, segment, said } => {
                let index = maker.stages.index_of(segment)?;
                maker.stages.check_begins_like(&usual.stages()?, index)?;
                maker.seed = self.seed.unwrap_or_else(|| record.seed_at(maker.stages.cut(index)));
                maker.go_to(&record, index, cancel)?;
                match (maker.stages[index], said.as_slice()) {
                    (Stage::Answer, [_]) => {
                        maker.say(index + 1, &said, cancel)?;
                        index + 1
                    }
                    (Stage::Answer, _) => return Err(invalid("the question's answer is missing: one user message")),
                    (_, []) => index,
                    _ => return Err(invalid("only a question is answered: leave messages empty")),
                }
            }
        };
        let outcome = Outcome { seed: maker.seed, ..Outcome::default() };
        let making = Making { model, at_once, cancel, tell, outcome };
        let mut steps = Steps { job: &self, making, plan: wish.plan };
        steps.run(&mut maker, first)?;
        Ok(steps.making.outcome)
    }
}

/// The stages of a chain, one after another.
struct Steps<'a> {
    job: &'a Job,
    making: Making<'a>,
    /// The plan that was given.
    plan: Option<String>,
}

impl Steps<'_> {
    fn run(&mut self, maker: &mut ChainMaker, first: usize) -> Result<()> {
        if self.plan.is_some() && maker.stages.get(first) != Some(&Stage::Plan) {
            return Err(invalid("a plan is given, but the first segment to make is no plan"));
        }
        for index in first..maker.stages.len() {
            let complete = match maker.stages[index] {
                // the answer comes with another request
                Stage::Answer => return Ok(()),
                Stage::Listen => maker.listen(index + 1, self.making.cancel).map(|()| true)?,
                Stage::Plan => {
                    let plan = self.plan.take();
                    self.text(maker, index, plan.as_deref())?
                }
                Stage::Question | Stage::Critique => self.text(maker, index, None)?,
                Stage::Draft => self.sounds(maker, index, 1)?,
                Stage::Final => self.sounds(maker, index, self.job.takes)?,
            };
            if !complete {
                return Ok(());
            }
        }
        Ok(())
    }

    fn text(&mut self, maker: &mut ChainMaker, index: usize, given: Option<&str>) -> Result<bool> {
        let cancel = self.making.cancel;
        let place = maker.place(cancel)?;
        let mut take = Take::new(at(maker, index, Modality::Text), maker.record.clone());
        let (segment, failure) = maker.text(place, given, cancel, |event| self.making.step(&mut take, event))?;
        let end = segment.end;
        maker.keep(segment.clone(), None);
        self.making.end(&mut take, segment)?;
        failure.map_or(Ok(goes_on(end)), Err)
    }

    fn sounds(&mut self, maker: &mut ChainMaker, index: usize, count: u16) -> Result<bool> {
        let place = maker.place(self.making.cancel)?;
        let config = GenerationConfig { stream_audio: self.job.stream, ..maker.sound_config(&place) };
        let first = Take::new(at(maker, index, Modality::Audio), maker.record.clone());
        let takes = self.making.takes(&mut maker.session, &place, &config, &first, count)?;
        if takes.len() < count.into() || !takes.iter().filter_map(Take::end).all(goes_on) {
            return Ok(false);
        }
        if self.job.best && maker.stages[index] == Stage::Final {
            let expected = Expected::of(maker.plan().unwrap_or_default());
            self.making.rank(&mut maker.session, &takes, Modality::Audio, &expected)?;
        }
        if let Some(Take { last: Some(segment), sound, .. }) = takes.into_iter().last() {
            maker.keep(segment, sound);
        }
        Ok(true)
    }
}

/// Whether another segment can follow one that ended like that.
fn goes_on(end: SegmentEnd) -> bool {
    !matches!(end, SegmentEnd::Cancelled | SegmentEnd::Context)
}

fn at(maker: &ChainMaker, index: usize, modality: Modality) -> Place {
    Place { take: 0, number: maker.stages.number(index), stage: maker.stages.get(index).copied(), modality }
}

/// The chain that a request wishes for; what it does not say is as `usual`.
fn chain(wish: &ChainWish, usual: Chain, package_listens: bool) -> Chain {
    let mode = wish.mode.unwrap_or(usual.mode);
    let rounds = wish.rounds.unwrap_or(usual.rounds.max(1));
    let listen = wish.listen.unwrap_or(if mode == usual.mode { usual.listen } else { package_listens });
    Chain { mode, rounds, listen: listen && mode == ReasoningMode::Reflect }
}

/// The words that a chain is about.
fn words(messages: &[Message]) -> Result<&str> {
    match messages {
        [Message { content: Content::Text(text), .. }] => Ok(text),
        _ => Err(invalid("a chain of reasoning is about one user message, a text")),
    }
}
