//! Takes ranked by the model's own understanding: it says what it hears in each, and that is held against what was
//! wanted.

use std::collections::HashSet;
use std::sync::LazyLock;

use rust_stemmers::{Algorithm, Stemmer};
use serde::Serialize;
use stop_words::{Language, get};

use crate::audio::Waveform;
use crate::cancel::Cancel;
use crate::error::{Error, ErrorKind, Result};
use crate::generate::{Event, Reply, Seconds, Usage};
use crate::modality::Modality;
use crate::model::Model;
use crate::prompt::Message;
use crate::rich_caption::RichCaption;
use crate::session::Session;

/// English words that say nothing of a sound. "Once" says how often.
static STOP_WORDS: LazyLock<HashSet<String>> = LazyLock::new(|| {
    get(Language::English).iter().filter(|word| **word != "once").map(|word| word.to_string()).collect()
});

/// What a sound is wanted to hold, in the order in which it is to be heard.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// Stems of the words for it, as often as they are wanted.
    words: Vec<String>,
    /// Those of them whose order counts.
    order: Vec<String>,
}

/// How well a caption covers what was wanted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Score {
    /// Share of the wanted words that the caption holds; one that is wanted twice must be there twice.
    pub covered: f64,
    /// Share of the pairs of words it holds that it holds in the wanted order; 1 when there is no pair.
    pub ordered: f64,
    /// `covered · (1 + ordered) / 2`: naming counts first, and order halves what was named at the most.
    pub total: f64,
}

/// A take with its rank.
#[derive(Clone, Debug, Serialize)]
pub struct Ranked {
    /// Which take it is, from 0.
    pub take: usize,
    /// What the model hears in it.
    pub caption: String,
    /// How that covers what was wanted.
    pub score: Score,
}

impl Wanted {
    /// What `plan` wants: the layout and the keywords of a rich caption, or the words of any other text but for those
    /// that every text has.
    pub fn of(plan: &str) -> Self {
        RichCaption::parse(plan).map_or_else(|| Self::of_words(telling(plan)), Self::of_caption)
    }

    /// What a take of `modality` is wanted to hold that was asked for with `words`.
    pub fn asked(words: &str, modality: Modality) -> Self {
        match modality {
            Modality::Speech => Self::spoken(words),
            Modality::Text | Modality::Audio => Self::of(words),
        }
    }

    /// Every word of `speech`.
    pub fn spoken(speech: &str) -> Self {
        Self::of_words(words(speech).map(|word| stem(&word)).collect())
    }

    fn of_words(words: Vec<String>) -> Self {
        Self { order: words.clone(), words }
    }

    fn of_caption(caption: RichCaption) -> Self {
        let mut layout = caption.layout;
        layout.sort_by(|a, b| a.start.total_cmp(&b.start));
        let order: Vec<_> = layout.iter().flat_map(|event| telling(&event.what)).collect();
        let keywords = caption.keywords.iter().flat_map(|keyword| telling(keyword));
        let words = order.iter().cloned().chain(keywords.filter(|word| !order.contains(word))).collect();
        Self { words, order }
    }

    /// How well `caption` covers it; all zeros but `ordered` where nothing is wanted.
    pub fn score(&self, caption: &str) -> Score {
        let said: Vec<_> = words(caption).map(|word| stem(&word)).collect();
        let covered = share(places(&self.words, &said).len(), self.words.len(), 0.0);
        let places = places(&self.order, &said);
        let pairs = || places.iter().enumerate().flat_map(|(i, a)| places.iter().skip(i + 1).map(move |b| (a, b)));
        let ordered = share(pairs().filter(|(a, b)| a < b).count(), pairs().count(), 1.0);
        Score { covered, ordered, total: covered * (1.0 + ordered) / 2.0 }
    }
}

/// Where `said` holds each of the `wanted` words that it holds, in the order in which they are wanted; a place serves one.
fn places(wanted: &[String], said: &[String]) -> Vec<usize> {
    let mut taken = HashSet::new();
    let mut place = |word| (0..).zip(said).find(|(at, other)| *other == word && taken.insert(*at)).map(|(at, _)| at);
    wanted.iter().filter_map(&mut place).collect()
}

fn share(count: usize, of: usize, of_none: f64) -> f64 {
    if of == 0 { of_none } else { count as f64 / of as f64 }
}

/// The words of `text` in lower case.
fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

/// Stems of the words of `text` that say something of a sound.
fn telling(text: &str) -> Vec<String> {
    words(text).filter(|word| !STOP_WORDS.contains(word)).map(|word| stem(&word)).collect()
}

fn stem(word: &str) -> String {
    Stemmer::create(Algorithm::English).stem(word).into_owned()
}

impl Model {
    /// What the model hears in `sound`, in the package's own words for such a question: a caption, or for
    /// [`Modality::Speech`] what is said.
    ///
    /// # Errors
    /// The package cannot listen, or the sound is too short or too long; stopped on request.
    pub fn caption(&self, sound: &Waveform, modality: Modality, cancel: &Cancel) -> Result<String> {
        self.session().listen(sound, modality, cancel).map(|reply| reply.text())
    }

    /// `takes` by how well the model's own caption of each covers `wanted` ([`Session::ranking`]): the best first, of
    /// equals the earlier.
    ///
    /// # Errors
    /// The package cannot listen; stopped on request; a graph failed.
    pub fn rank(
        &self,
        takes: &[Waveform],
        modality: Modality,
        wanted: &Wanted,
        cancel: &Cancel,
    ) -> Result<Vec<Ranked>> {
        self.session().ranking(takes, modality, wanted, cancel)?.into_ranked()
    }
}

impl Session {
    /// Begins to rank `takes` by how well the model's own caption of each covers `wanted`: an iterator over what happens.
    /// What was said before is forgotten.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the package cannot listen.
    pub fn ranking<'a>(
        &'a mut self,
        takes: &'a [Waveform],
        modality: Modality,
        wanted: &'a Wanted,
        cancel: &Cancel,
    ) -> Result<Ranking<'a>> {
        let manifest = self.model().manifest();
        if manifest.audio_encoder.is_none() {
            let what = format!("the package {:?} cannot listen, so it cannot rank takes", manifest.name);
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        let (usage, seconds) = (Usage::default(), Seconds::default());
        let cancel = cancel.clone();
        Ok(Ranking { session: self, takes, modality, wanted, cancel, next: Some(0), usage, seconds })
    }

    /// What is heard in `sound`, in a conversation of its own.
    fn listen(&mut self, sound: &Waveform, modality: Modality, cancel: &Cancel) -> Result<Reply> {
        cancel.check()?;
        self.clear();
        let prompts = &self.model().manifest().prompts;
        let messages = match modality {
            Modality::Speech => [Message::text(&*prompts.transcribe), Message::speech(sound.clone())],
            Modality::Text | Modality::Audio => [Message::audio(sound.clone()), Message::text(&*prompts.ask)],
        };
        let mut config = self.model().config();
        config.force = vec![Modality::Text];
        config.max_segments = 1;
        let prompt = self.prompt_until(&messages, cancel)?;
        let reply = self.generate(prompt, &config, cancel)?.into_reply()?;
        match reply.segments.is_empty() || reply.is_cancelled() {
            true => Err(Error::new(ErrorKind::Cancelled, "stopped on request while it listened")),
            false => Ok(reply),
        }
    }
}

/// Takes in the ranking: an iterator over an [`Event::Ranked`] for each of them, in their order, as soon as the model has
/// listened to it; it ends after [`Event::Finished`], or after an error, which being stopped on request is as well. What
/// was ranked before an error stays so.
///
/// A take that cannot be listened to, an empty one for instance, ranks with an empty caption.
pub struct Ranking<'a> {
    session: &'a mut Session,
    takes: &'a [Waveform],
    modality: Modality,
    wanted: &'a Wanted,
    cancel: Cancel,
    /// The take to listen to; none after the end.
    next: Option<usize>,
    usage: Usage,
    seconds: Seconds,
}

impl Ranking<'_> {
    /// Listens to all takes: the best first, of equals the earlier.
    ///
    /// # Errors
    /// Stopped on request, or a graph failed.
    pub fn into_ranked(self) -> Result<Vec<Ranked>> {
        let mut ranked = Vec::new();
        for event in self {
            if let Event::Ranked(take) = event? {
                ranked.push(take);
            }
        }
        best_first(&mut ranked);
        Ok(ranked)
    }

    fn rank(&mut self, take: usize, sound: &Waveform) -> Result<Event> {
        let caption = match self.session.listen(sound, self.modality, &self.cancel) {
            Err(error) if matches!(error.kind(), ErrorKind::Audio | ErrorKind::Limit) => String::new(),
            Err(error) => return Err(error.context(format!("take {}", take + 1))),
            Ok(reply) => {
                self.usage += reply.usage;
                self.seconds += reply.seconds;
                reply.text()
            }
        };
        Ok(Event::Ranked(Ranked { take, score: self.wanted.score(&caption), caption }))
    }
}

impl Iterator for Ranking<'_> {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        let take = self.next.take()?;
        let Some(sound) = self.takes.get(take) else {
            return Some(Ok(Event::Finished { usage: self.usage, seconds: self.seconds }));
        };
        let ranked = self.rank(take, sound);
        self.next = ranked.is_ok().then_some(take + 1);
        Some(ranked)
    }
}

/// The best first, of equals the earlier.
pub fn best_first(ranked: &mut [Ranked]) {
    ranked.sort_by(|a, b| b.score.total.total_cmp(&a.score.total).then(a.take.cmp(&b.take)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(plan: &str, caption: &str) -> f64 {
        Wanted::of(plan).score(caption).total
    }

    #[test]
    fn words_are_found_in_other_forms_and_order_counts() {
        let plan = "a dog barking and then the rain";
        assert_eq!(total(plan, "A dog barks, then it rains."), 1.0);
        assert_eq!(total(plan, "The rain falls."), 1.0 / 3.0);
        let score = Wanted::of(plan).score("Rain, then a barking dog");
        assert_eq!((score.covered, score.ordered), (1.0, 0.0));
        assert_eq!(total(plan, ""), 0.0);
    }

    #[test]
    fn how_often_counts() {
        let plan = "a fire crackling, a dog barking twice, then a bell ringing twice";
        assert_eq!(total(plan, "a fire crackles, a dog barks twice, then a bell rings twice"), 1.0);
        assert_eq!(Wanted::of(plan).score("a fire, a dog barks once, then a bell rings twice").covered, 6.0 / 8.0);
        assert_eq!(total("a beep once", "a beep twice"), 0.5);
    }

    #[test]
    fn a_rich_caption_wants_its_layout_in_order_and_its_other_keywords() {
        let plan = "Keywords: church bell, dog, rain. Layout: 2-3 church bell twice; 0-1 dog. Description: Not counted: helicopters.";
        assert_eq!(total(plan, "a dog barks before a church bell rings twice"), 0.8);
        let score = Wanted::of(plan).score("a church bell, twice, and a dog");
        assert_eq!((score.covered, score.ordered), (0.8, 0.5));
    }

    #[test]
    fn spoken_words_all_count() {
        let score = Wanted::spoken("one two and").score("two one");
        assert_eq!((score.covered, score.ordered), (2.0 / 3.0, 0.0));
    }

    #[test]
    fn nothing_wanted_is_nothing_covered() {
        assert_eq!(total("the of and", "anything"), 0.0);
        assert_eq!(total("", ""), 0.0);
    }

    #[test]
    fn takes_are_ranked_one_by_one_until_it_is_stopped() {
        let folder = format!("{}/target/fixtures/packages/synthetic-fp32", env!("CARGO_MANIFEST_DIR"));
        let model = Model::load(folder).expect("fixtures: run `make test`, or `make fixtures` once");
        let hum = |pitch: f32| {
            let samples = (0..8000).map(|n| (n as f32 * pitch).sin() * 0.3).collect();
            Waveform::mono(samples, 16_000).unwrap()
        };
        let takes = [hum(0.05), Waveform::mono(Vec::new(), 16_000).unwrap(), hum(0.2)];
        let (wanted, cancel) = (Wanted::of("a hum"), Cancel::new());
        let mut session = model.session();
        let ranking = session.ranking(&takes, Modality::Audio, &wanted, &cancel).unwrap();
        let events: Vec<_> = ranking.map(Result::unwrap).collect();
        let mut ranked = Vec::new();
        for (index, event) in events.iter().enumerate() {
            match event {
                Event::Ranked(take) => ranked.push((index, take.take, take.caption.clone())),
                Event::Finished { usage, .. } => assert!(index == 3 && usage.steps > 0 && usage.prompt_frames > 0),
                _ => panic!("{event:?}"),
            }
        }
        let heard = |take: usize| model.caption(&takes[take], Modality::Audio, &cancel).unwrap();
        assert_eq!(ranked, [(0, 0, heard(0)), (1, 1, String::new()), (2, 2, heard(2))]);
        assert_eq!(model.rank(&takes, Modality::Audio, &wanted, &cancel).unwrap().len(), 3);

        // what was said before changes nothing
        let mut stopped = session.ranking(&takes, Modality::Audio, &wanted, &cancel).unwrap();
        let again = stopped.next();
        assert!(matches!(&again, Some(Ok(Event::Ranked(take))) if take.caption == heard(0)), "{again:?}");
        cancel.cancel();
        assert_eq!(stopped.next().unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
        assert!(stopped.next().is_none());
    }
}
