//! Takes ranked by the model's own understanding: its caption of each take is scored against the request; of equal scores,
//! the take whose caption the model is surest of comes first.

use std::cmp::Ordering;

use serde::Serialize;

use super::score::{Expected, Score};
use crate::audio::Waveform;
use crate::error::{Error, ErrorKind, Result};
use crate::generate::{Reply, Seconds, Usage};
use crate::modality::Modality;
use crate::model::Model;
use crate::package::Purpose;
use crate::prompt::Message;
use crate::session::Session;

/// A take with its score.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Ranked {
    /// Index of the take, from 0.
    pub take: usize,
    /// The model's caption of the take.
    pub caption: String,
    /// The caption's score.
    pub score: Score,
    /// The geometric mean of the probabilities of the caption's tokens ([`Segment::confidence`](crate::Segment::confidence)); 0
    /// without a caption.
    pub confidence: f64,
}

impl Ranked {
    /// Orders the better take first.
    fn cmp_rank(&self, other: &Self) -> Ordering {
        let by_score = other.score.total.total_cmp(&self.score.total);
        by_score.then(other.confidence.total_cmp(&self.confidence)).then(self.take.cmp(&other.take))
    }
}

/// An event of a [`Ranking`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RankingEvent {
    /// The model has listened to a take.
    Ranked(Ranked),
    /// All takes are ranked.
    Finished {
        /// Positions read and generated.
        usage: Usage,
        /// Time spent.
        seconds: Seconds,
    },
}

impl Model {
    /// Returns the model's caption of `sound`, requested with the package's prompt; for [`Modality::Speech`], its transcript.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the package cannot listen, [`ErrorKind::Audio`] or [`ErrorKind::Limit`] for a sound
    /// that is too short or too long, [`ErrorKind::Cancelled`].
    pub fn caption(&self, sound: &Waveform, modality: Modality) -> Result<String> {
        self.session().listen(sound, modality).map(|reply| words(self, modality, &reply))
    }

    /// Ranks `takes` in a new session, like [`Session::ranking`]: the best first.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the package cannot listen, [`ErrorKind::Cancelled`], and the errors of graphs.
    pub fn rank(&self, takes: &[Waveform], modality: Modality, expected: &Expected) -> Result<Vec<Ranked>> {
        self.session().ranking(takes, modality, expected)?.into_ranked()
    }
}

impl Session {
    /// Returns a ranking of `takes` by the score of the model's own caption of each against `expected`, then by the model's
    /// confidence in the caption. Each caption clears the conversation.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the package cannot listen.
    pub fn ranking<'a>(
        &'a mut self,
        takes: &'a [Waveform],
        modality: Modality,
        expected: &'a Expected,
    ) -> Result<Ranking<'a>> {
        let manifest = self.model().manifest();
        if manifest.audio_encoder.is_none() {
            let what = format!("the package {:?} cannot listen, so it cannot rank takes", manifest.name);
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        Ok(Ranking {
            session: self,
            takes,
            modality,
            expected,
            next: Some(0),
            usage: Usage::default(),
            seconds: Seconds::default(),
            is_any_heard: false,
            refusal: None,
        })
    }

    /// Returns the model's reply about `sound`, in a new conversation.
    fn listen(&mut self, sound: &Waveform, modality: Modality) -> Result<Reply> {
        self.model().cancel().check()?;
        self.clear();
        let prompts = &self.model().manifest().prompts;
        let (messages, purpose) = match modality {
            Modality::Speech => {
                ([Message::text(&*prompts.transcribe), Message::speech(sound.clone())], Purpose::Transcribe)
            }
            Modality::Text | Modality::Thinking | Modality::Audio => {
                ([Message::audio(sound.clone()), Message::text(&*prompts.ask)], Purpose::Ask)
            }
        };
        let config = self.model().config_for(purpose);
        let prompt = self.prompt(&messages)?;
        let reply = self.generate(prompt, &config)?.with_confidence().into_reply()?;
        if reply.segments.is_empty() || reply.is_cancelled() {
            return Err(Error::new(ErrorKind::Cancelled, "stopped on request while it listened"));
        }
        Ok(reply)
    }
}

/// Returns the words of the model's `reply` about a sound of `modality`.
fn words(model: &Model, modality: Modality, reply: &Reply) -> String {
    match modality {
        Modality::Speech => model.unwrap_transcript(&reply.text()).to_owned(),
        Modality::Text | Modality::Thinking | Modality::Audio => reply.text(),
    }
}

/// Returns the model's confidence in the text of `reply`; 0 without text.
fn confidence(reply: &Reply) -> f64 {
    reply.segments.iter().rev().find_map(|segment| segment.confidence).unwrap_or(0.0)
}

/// A ranking in progress: an iterator that yields [`RankingEvent::Ranked`] for every take in order, as soon as the model
/// has listened to it, then [`RankingEvent::Finished`]. It ends after an error, cancellation included.
///
/// A take that the model cannot listen to (an empty one, for instance) ranks with an empty caption, after a warning in the
/// log. If it can listen to none, the ranking ends with the error of the first.
pub struct Ranking<'a> {
    session: &'a mut Session,
    takes: &'a [Waveform],
    modality: Modality,
    expected: &'a Expected,
    /// The next take; `None` after the end.
    next: Option<usize>,
    usage: Usage,
    seconds: Seconds,
    is_any_heard: bool,
    /// The error of the first take that the model could not listen to.
    refusal: Option<Error>,
}

impl Ranking<'_> {
    /// Ranks all takes by score, then by confidence; of equals the earlier comes first.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`], and the errors of graphs.
    pub fn into_ranked(self) -> Result<Vec<Ranked>> {
        match self.into_partial(|_| Ok(()))? {
            (ranked, None) => Ok(ranked),
            (_, Some(error)) => Err(error),
        }
    }

    /// Ranks all takes, or those before the error that is returned with them. Passes each to `on_ranked` as soon as it is ranked.
    ///
    /// # Errors
    /// The error of `on_ranked`, which ends the ranking.
    pub fn into_partial(
        self,
        mut on_ranked: impl FnMut(&Ranked) -> Result<()>,
    ) -> Result<(Vec<Ranked>, Option<Error>)> {
        let mut ranked = Vec::new();
        let mut failure = None;
        for event in self {
            match event {
                Ok(RankingEvent::Ranked(take)) => {
                    on_ranked(&take)?;
                    ranked.push(take);
                }
                Ok(RankingEvent::Finished { .. }) => {}
                Err(error) => failure = Some(error),
            }
        }
        ranked.sort_by(Ranked::cmp_rank);
        Ok((ranked, failure))
    }

    fn rank(&mut self, take: usize, sound: &Waveform) -> Result<RankingEvent> {
        let (caption, confidence) = match self.session.listen(sound, self.modality) {
            Err(error) if matches!(error.kind(), ErrorKind::Audio | ErrorKind::Limit) => {
                let error = error.context(format!("take {}", take + 1));
                log::warn!("ranked without a caption: {}", error.full_message());
                self.refusal.get_or_insert(error);
                (String::new(), 0.0)
            }
            Err(error) => return Err(error.context(format!("take {}", take + 1))),
            Ok(reply) => {
                self.is_any_heard = true;
                self.usage += reply.usage;
                self.seconds += reply.seconds;
                (words(self.session.model(), self.modality, &reply), confidence(&reply))
            }
        };
        Ok(RankingEvent::Ranked(Ranked { take, score: self.expected.score(&caption), caption, confidence }))
    }
}

impl Iterator for Ranking<'_> {
    type Item = Result<RankingEvent>;

    fn next(&mut self) -> Option<Self::Item> {
        let take = self.next.take()?;
        let Some(sound) = self.takes.get(take) else {
            let refusal = self.refusal.take().filter(|_| !self.is_any_heard);
            return Some(refusal.map_or(Ok(RankingEvent::Finished { usage: self.usage, seconds: self.seconds }), Err));
        };
        let ranked = self.rank(take, sound);
        self.next = ranked.is_ok().then_some(take + 1);
        Some(ranked)
    }
}

#[cfg(test)]
mod tests {
    use ualm_testing::{package, skip_without_fixtures};

    use super::*;
    use crate::cancel::Cancel;

    #[test]
    fn the_score_ranks_first_then_the_confidence_then_the_order() {
        let ranked = |take, total, confidence| {
            let score = Score { covered: total, ordered: 1.0, total };
            Ranked { take, caption: String::new(), score, confidence }
        };
        let mut takes =
            [ranked(0, 0.5, 1.0), ranked(1, 1.0, 0.2), ranked(2, 1.0, 0.9), ranked(3, 1.0, 0.9), ranked(4, 0.0, 0.0)];
        takes.sort_by(Ranked::cmp_rank);
        assert_eq!(takes.map(|take| take.take), [2, 3, 1, 0, 4]);
    }

    #[test]
    fn takes_are_ranked_one_by_one_until_it_is_stopped() {
        skip_without_fixtures!();
        let model = Model::load(package("synthetic-fp32")).unwrap();
        let hum = |pitch: f32| {
            let samples = (0..8000).map(|n| (n as f32 * pitch).sin() * 0.3).collect();
            Waveform::mono(samples, 16_000).unwrap()
        };
        let takes = [hum(0.05), Waveform::mono(Vec::new(), 16_000).unwrap(), hum(0.2)];
        let expected = Expected::of("a hum");
        let cancel = Cancel::new();
        let mut session = model.with_cancel(&cancel).session();
        let ranking = session.ranking(&takes, Modality::Audio, &expected).unwrap();
        let events: Vec<_> = ranking.map(Result::unwrap).collect();
        let mut ranked = Vec::new();
        for (index, event) in events.iter().enumerate() {
            match event {
                RankingEvent::Ranked(take) => {
                    assert_eq!(take.confidence > 0.0, !take.caption.is_empty(), "{take:?}");
                    assert!(take.confidence <= 1.0, "{take:?}");
                    ranked.push((index, take.take, take.caption.clone()));
                }
                RankingEvent::Finished { usage, .. } => {
                    assert!(index == 3 && usage.steps > 0 && usage.prompt_positions > 0)
                }
            }
        }
        let heard = |take: usize| model.caption(&takes[take], Modality::Audio).unwrap();
        assert_eq!(ranked, [(0, 0, heard(0)), (1, 1, String::new()), (2, 2, heard(2))]);
        assert_eq!(model.rank(&takes, Modality::Audio, &expected).unwrap().len(), 3);

        // without any caption there is no best take
        let silent = [takes[1].clone(), takes[1].clone()];
        let (unranked, error) =
            model.session().ranking(&silent, Modality::Audio, &expected).unwrap().into_partial(|_| Ok(())).unwrap();
        let error = error.unwrap();
        assert!(unranked.len() == 2 && error.kind() == ErrorKind::Audio, "{error}");
        assert!(error.full_message().contains("take 1"), "{error}");

        // earlier turns of the session change nothing
        let mut stopped = session.ranking(&takes, Modality::Audio, &expected).unwrap();
        let again = stopped.next();
        assert!(matches!(&again, Some(Ok(RankingEvent::Ranked(take))) if take.caption == heard(0)), "{again:?}");
        cancel.cancel();
        assert_eq!(stopped.next().unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
        assert!(stopped.next().is_none());
    }
}
