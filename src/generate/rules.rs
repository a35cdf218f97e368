//! The rules of a package's conversations, which all its sessions share.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::SegmentEnd;
use crate::codec::Codec;
use crate::error::{Error, ErrorKind, Result};
use crate::language_model::HeadId;
use crate::modality::Modality;
use crate::package::{Manifest, ModalityConfig};
use crate::prompt::{Choice, History, Piece, Prompt, Role, TaskName, Template, Unconditional, strip, write_pieces};
use crate::text::TextTokenizer;
use crate::token::{End, Layout, TokenId, Tokens, Vocabulary, column_of};

/// The tokenizer, the template and the rules of each modality of a package.
pub(crate) struct Rules {
    pub tokenizer: TextTokenizer,
    pub vocabulary: Vocabulary,
    pub template: Template,
    modalities: BTreeMap<Modality, ModalityRules>,
    /// The tokens between two segments of a reply, after the id that ended the first.
    between: Tokens,
    /// The openers among which the model chooses; `None` if the prompt decides the modality.
    pub choice: Option<OpenerChoice>,
    /// The tokens before an earlier answer that is laid out again without its thoughts; `None` if answers stay as they were
    /// generated.
    answer_opener: Option<Tokens>,
    /// `true` if the text of such an answer is stripped of white space at both ends.
    strips_answers: bool,
    /// The manifest's reasons why the package lacks a modality.
    absent: BTreeMap<Modality, String>,
}

/// The openers among which the model chooses the modality of a segment.
pub(crate) struct OpenerChoice {
    pub head: HeadId,
    /// The name of the head's graph.
    pub head_name: String,
    /// Each modality with its opener and the opener's column of the head, in ascending order of opener.
    pub openers: Vec<(Modality, TokenId, usize)>,
}

/// The rules for producing one modality.
pub(crate) struct ModalityRules {
    pub layout: Layout,
    pub head: HeadId,
    /// The name of the head's graph.
    pub head_name: String,
    /// The codec of a sound modality.
    pub codec: Option<Arc<dyn Codec>>,
    /// The tokens between a prompt and the reply.
    reply: Tokens,
    /// The tokens before a segment, after `reply` or `between`.
    opener: Tokens,
    /// The number of positions of `reply` followed by `opener`, whose adjacent texts are tokenized as one.
    reply_len: usize,
    /// The tokens after a segment.
    closer: Tokens,
    /// The tokens after the model's turn.
    turn_closer: Tokens,
}

impl Rules {
    /// Creates the rules of `manifest`, with its `codecs` by name.
    pub fn new(
        manifest: &Manifest,
        tokenizer: TextTokenizer,
        codecs: &BTreeMap<String, Arc<dyn Codec>>,
    ) -> Result<Self> {
        let vocabulary = manifest.tokens.clone();
        let template = manifest.template.clone();
        let write = |pieces: &[Piece]| write_pieces(pieces, &vocabulary, &tokenizer);
        let mut modalities = BTreeMap::new();
        for (modality, config) in &manifest.modalities {
            let codec = config.codec.as_ref().and_then(|name| codecs.get(name)).map(Arc::clone);
            modalities.insert(*modality, ModalityRules::new(manifest, *modality, config, codec, &write)?);
        }
        let between = write(&template.between)?;
        let choice = match template.choice {
            Choice::ByOpener => Some(OpenerChoice::new(manifest, &modalities)?),
            Choice::ByPrompt => None,
        };
        let answer_turn = template.task(TaskName::Text)?.turns.get(&Role::Assistant);
        let answer_opener = match template.history {
            History::AsMade => None,
            History::WithoutThinking => Some(write(answer_turn.map(|turn| &turn.open[..]).unwrap_or_default())?),
        };
        let strips_answers = answer_turn.is_some_and(|turn| turn.strip);
        let absent = manifest.absent.clone();
        Ok(Self { tokenizer, vocabulary, template, modalities, between, choice, answer_opener, strips_answers, absent })
    }

    /// Returns the rules of `modality`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the package cannot produce `modality`.
    pub fn of(&self, modality: Modality) -> Result<&ModalityRules> {
        self.modalities.get(&modality).ok_or_else(|| {
            let offered: Vec<_> = self.modalities.keys().map(|modality| modality.name()).collect();
            let why = self.absent.get(&modality).map_or_else(String::new, |why| format!(": {why}"));
            let what = format!("this package cannot make {modality}; it offers {}{why}", offered.join(", "));
            Error::new(ErrorKind::Invalid, what)
        })
    }

    /// Checks that the package can make the segments of `force`: only one, if the prompt decides the modality.
    pub fn check_force(&self, force: &[Modality]) -> Result<()> {
        force.iter().try_for_each(|modality| self.of(*modality).map(drop))?;
        let answers = force.iter().filter(|modality| **modality != Modality::Thinking).count();
        if answers > 1 && self.template.choice == Choice::ByPrompt {
            let what = format!(
                "{answers} segments were requested in one reply; this model makes one: request the others after it"
            );
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        Ok(())
    }

    /// Returns the tokens to run after a prompt, or after a segment, before the next segment: up to the opener, if the model
    /// chooses the modality; none after a prompt that decides the modality, which ends with these tokens.
    pub fn before_segment(&self, modality: Modality, is_first: bool) -> Result<Vec<&Tokens>> {
        let rules = self.of(modality)?;
        Ok(match (self.template.choice, is_first) {
            (Choice::ByOpener, true) => vec![&rules.reply],
            (Choice::ByOpener, false) => vec![&self.between],
            (Choice::ByPrompt, true) => Vec::new(),
            (Choice::ByPrompt, false) => vec![&self.between, &rules.opener],
        })
    }

    /// Returns the number of positions at the end of a prompt between its messages and the first segment of the reply.
    pub fn reply_in_prompt(&self, modality: Modality) -> Result<usize> {
        match self.template.choice {
            Choice::ByOpener => Ok(0),
            Choice::ByPrompt => self.of(modality).map(|rules| rules.reply_len),
        }
    }

    /// Returns the maximum number of positions that a reply takes in addition to its prompt and the steps of one segment.
    pub fn overhead(&self) -> usize {
        match self.template.choice {
            Choice::ByOpener => self.modalities.values().map(|rules| rules.reply_len).max().unwrap_or(0),
            Choice::ByPrompt => 0,
        }
    }

    /// Returns an empty list for the tokens of the unconditional sequence; `None` if the template has none.
    pub fn unconditional(&self) -> Option<Tokens> {
        match self.template.unconditional {
            Unconditional::Pads => None,
            Unconditional::Fill(_) => Some(self.vocabulary.tokens()),
        }
    }

    /// Returns the tokens that begin a conversation whose first prompt is `prompt`.
    pub fn begin(&self, prompt: &Prompt) -> Result<Tokens> {
        let task = TaskName::of(prompt.modality, !prompt.features.is_empty());
        write_pieces(&self.template.beginning(task)?, &self.vocabulary, &self.tokenizer)
    }

    /// Returns whether the thoughts of earlier replies stay in a conversation.
    pub fn keeps_thoughts(&self) -> bool {
        self.answer_opener.is_none()
    }

    /// Returns the tokens that replace a reply of thoughts and `answer` in a conversation: the answer alone; `None` if replies
    /// stay as they were generated.
    pub fn without_thoughts(&self, answer: &Tokens) -> Result<Option<Tokens>> {
        let Some(opener) = &self.answer_opener else { return Ok(None) };
        let rules = self.of(Modality::Text)?;
        let stripped = if self.strips_answers { Some(self.stripped(answer)?) } else { None };
        let mut turn = opener.clone();
        for part in [stripped.as_ref().unwrap_or(answer), &rules.closer, &rules.turn_closer] {
            turn.extend(part);
        }
        Ok(Some(turn))
    }

    /// Returns the tokens of the text of `answer` without the white space at its ends.
    fn stripped(&self, answer: &Tokens) -> Result<Tokens> {
        let ids: Vec<_> = answer.iter().filter_map(|position| position.first().copied()).collect();
        let mut tokens = self.vocabulary.tokens();
        for id in self.tokenizer.encode(strip(&self.tokenizer.decode(&ids)?))? {
            tokens.push_single(id, self.vocabulary.filler());
        }
        Ok(tokens)
    }

    /// Returns the tokens to run after a segment of `modality` with the last position `last` and this `end`: that
    /// position, unless it ended the segment, and the tokens that close the segment, or the turn. If the reply
    /// `continues`, the segment is closed with the id that lets another segment follow.
    pub fn closing(&self, modality: Modality, last: &[TokenId], end: SegmentEnd, continues: bool) -> Result<Tokens> {
        let rules = self.of(modality)?;
        let mut closing = self.vocabulary.tokens();
        if !matches!(end, SegmentEnd::Eos | SegmentEnd::Eot) {
            closing.push(last);
        }
        let segment_end = match end {
            _ if continues => Some(rules.segment_end()?),
            SegmentEnd::Eot => rules.layout.ending_id(End::Segment),
            _ => None,
        };
        match segment_end {
            Some(id) => closing.push_single(id, self.vocabulary.filler()),
            None => {
                closing.extend(&rules.closer);
                closing.extend(&rules.turn_closer);
            }
        }
        Ok(closing)
    }
}

impl OpenerChoice {
    /// Creates the choice on the head of `manifest` that has the openers of all `modalities`.
    fn new(manifest: &Manifest, modalities: &BTreeMap<Modality, ModalityRules>) -> Result<Self> {
        let openers: Vec<_> =
            modalities.iter().filter_map(|(modality, rules)| Some((*modality, *rules.opener.ids().first()?))).collect();
        for (number, (name, ids)) in manifest.heads.iter().enumerate() {
            let found = openers.iter().map(|(modality, id)| Some((*modality, *id, column_of(*id, ids)?)));
            if let Some(mut openers) = found.collect::<Option<Vec<_>>>() {
                openers.sort_unstable_by_key(|(_, id, _)| *id);
                return Ok(Self { head: HeadId(number), head_name: name.clone(), openers });
            }
        }
        Err(Error::new(ErrorKind::Package, "no head has the openers of all modalities, among which the model chooses"))
    }
}

impl ModalityRules {
    /// Creates the rules of `modality` with `config`; `write` writes the template's pieces.
    fn new(
        manifest: &Manifest,
        modality: Modality,
        config: &ModalityConfig,
        codec: Option<Arc<dyn Codec>>,
        write: &impl Fn(&[Piece]) -> Result<Tokens>,
    ) -> Result<Self> {
        let head = manifest.heads.keys().position(|name| *name == config.head);
        let missing = || Error::new(ErrorKind::Package, format!("modality {modality} names no head of the package"));
        let task = manifest.template.task(modality.into())?;
        let wrap = manifest.template.segments.get(&modality).cloned().unwrap_or_default();
        let turn = task.turns.get(&Role::Assistant).cloned().unwrap_or_default();
        Ok(Self {
            layout: manifest.layout(config).map_err(|e| e.context(modality))?,
            head: HeadId(head.ok_or_else(missing)?),
            head_name: config.head.clone(),
            codec,
            reply: write(&task.reply)?,
            reply_len: write(&[&task.reply[..], &wrap.open].concat())?.len(),
            opener: write(&wrap.open)?,
            closer: write(&wrap.close)?,
            turn_closer: write(&turn.close)?,
        })
    }

    /// Returns the tokens that open a segment.
    pub fn opener(&self) -> &Tokens {
        &self.opener
    }

    /// Returns the id that ends a segment and lets another segment follow.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if no segment may follow.
    pub fn segment_end(&self) -> Result<TokenId> {
        let end = self.layout.ending_id(End::Segment);
        end.ok_or_else(|| Error::new(ErrorKind::Invalid, "a reply of this model has one segment"))
    }

    /// Checks that a segment of this modality can begin with `tokens`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if it cannot.
    pub fn check_beginning(&self, tokens: &Tokens, vocabulary: &Vocabulary) -> Result<()> {
        vocabulary.check(tokens)?;
        let content = self.layout.content_len(tokens);
        let check = |(step, position): (usize, &[TokenId])| self.layout.check(step, position);
        let checked = tokens.iter().take(content).enumerate().try_for_each(check);
        checked.map_err(|what| Error::new(ErrorKind::Invalid, format!("the beginning of a segment: {what}")))
    }
}
