//! Prompts of both kinds of template: control ids around every message, and ChatML text around turns.

use serde_json::json;

use super::*;
use crate::modality::Modality;
use crate::token::Interval;

/// Two rows of features a second; segments are what the test says.
struct Sounds;

impl SoundEncoder for Sounds {
    fn features(&self, sound: &Waveform) -> Result<Array2<f32>> {
        Ok(Array2::zeros((2 * sound.len(), 3)))
    }

    fn segment(&self, _: Modality, _: &Waveform) -> Result<Tokens> {
        Tokens::from_ids(std::num::NonZeroUsize::MIN, vec![71, 72])
    }
}

/// Letters are tokens, and "ab" together is one of its own, so that texts that are tokenized apart show.
fn tokenizer(vocabulary: &Vocabulary) -> TextTokenizer {
    let letters: Vec<_> = ('a'..='z').chain([' ', '\n', '.', '<', '>']).collect();
    let mut vocab: serde_json::Map<_, _> =
        letters.iter().enumerate().map(|(id, c)| (c.to_string(), json!(id))).collect();
    vocab.insert("ab".into(), json!(letters.len()));
    vocab.insert("<end>".into(), json!(letters.len() + 1));
    let special = json!({"id": letters.len() + 1, "content": "<end>", "single_word": false, "lstrip": false, "rstrip": false,
                         "normalized": false, "special": true});
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [special], "normalizer": null, "pre_tokenizer": null,
        "post_processor": null, "decoder": {"type": "Fuse"},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null, "end_of_word_suffix": null,
                  "fuse_unk": false, "byte_fallback": false, "vocab": vocab, "merges": [["a", "b"]]}
    });
    TextTokenizer::from_bytes(tokenizer.to_string().as_bytes(), vocabulary).unwrap()
}

fn vocabulary(width: usize, start: u32, zero_is_pad: bool) -> Vocabulary {
    let text = crate::token::TextIds { ids: Interval { start, end: start + 40 }, zero_is_pad };
    Vocabulary::new(200, width, Some(0), text)
}

fn lay_out(
    template: &Template,
    vocabulary: &Vocabulary,
    modality: Modality,
    messages: &[Message],
    begins: bool,
) -> Result<Prompt> {
    let tokenizer = tokenizer(vocabulary);
    Layouter { template, vocabulary, tokenizer: &tokenizer, sound: &Sounds }.prompt(modality, messages, begins)
}

fn sound(samples: usize) -> Waveform {
    Waveform::mono(vec![0.5; samples], 16_000).unwrap()
}

fn says(role: Role, text: &str) -> Message {
    Message::new(role, Content::Text(text.into()))
}

/// Returns the positions of a prompt of `chat` before those that every one ends with: `[20] a ↵ [22] [23]`.
fn before_reply(prompt: &Prompt) -> Vec<u32> {
    let mut ids = first_column(prompt);
    assert_eq!(ids.split_off(ids.len() - 5), [20, 100, 127, 22, 23]);
    ids
}

fn first_column(prompt: &Prompt) -> Vec<u32> {
    prompt.tokens.iter().map(|position| position[0]).collect()
}

/// Returns a template of control ids: `[begin] ([role] [modality] content [join or close])*`.
fn control_ids() -> Template {
    let turn = |role: u32| json!({"open": [role], "join": [3, role], "close": [2]});
    serde_json::from_value(json!({
        "tasks": {"text": {"begin": [1], "turns": {"system": turn(4), "user": turn(5), "assistant": turn(6)}, "reply": [6]}},
        "content": {"text": {"open": [7]}, "audio": {"open": [8], "feature": 0}, "speech": {"open": [9], "feature": 0}},
        "segments": {"text": {"open": [7]}, "audio": {"open": [8]}, "speech": {"open": [9]}},
        "between": [6], "choice": "by_opener", "unconditional": "pads"
    }))
    .unwrap()
}

/// Turns in words between special ids; a task of its own for speech, whose text is stripped and has an unconditional twin.
fn chat() -> Template {
    let turn = |role: &str| json!({"open": [20, format!("{role}\n")], "join": ["\n"], "close": [21, "\n"]});
    let turns = json!({"system": turn("s"), "user": turn("u"), "assistant": turn("a")});
    serde_json::from_value(json!({
        "tasks": {
            "text": {"begin": [19], "turns": turns, "reply": [20, "a\n", 22, 23]},
            "speech": {"begin": [20, "s\nbe good.", 21, "\n"], "trim": true, "reply": [20, "a\n", 22, 23],
                       "turns": {"user": {"open": [20, "u\n", "say. "], "close": [21, "\n"]}, "assistant": turn("a")}}
        },
        "content": {"text": {}, "audio": {"open": [30], "feature": 29, "close": [31, "\n"]}},
        "segments": {"text": {}, "speech": {"open": [40], "close": [41]}},
        "choice": "by_prompt", "unconditional": {"fill": 18}
    }))
    .unwrap()
}

#[test]
fn control_ids_stand_around_every_message() {
    let vocabulary = vocabulary(2, 100, true);
    let messages =
        [says(Role::System, "c"), Message::text("ba"), Message::audio(sound(1)), says(Role::Assistant, "ab")];
    let prompt = lay_out(&control_ids(), &vocabulary, Modality::Audio, &messages, true).unwrap();
    // the tokenizer's id 0, "a", is the pad
    assert_eq!(first_column(&prompt), [1, 4, 7, 102, 2, 5, 7, 101, 0, 3, 5, 8, 0, 0, 2, 6, 7, 131, 2]);
    assert!(prompt.tokens.iter().all(|position| position[1] == 0));
    assert_eq!((prompt.features[0].start, prompt.features[0].features.dim()), (12, (2, 3)));
    assert_eq!(prompt.unconditional, None);
    let next = lay_out(&control_ids(), &vocabulary, Modality::Audio, &messages[..1], false).unwrap();
    assert_eq!(first_column(&next), [4, 7, 102, 2], "a later turn does not begin the conversation again");
}

#[test]
fn texts_that_follow_one_another_are_tokenized_as_one() {
    let vocabulary = vocabulary(1, 100, false);
    let prompt =
        lay_out(&chat(), &vocabulary, Modality::Text, &[Message::text("hi a"), Message::text("b")], true).unwrap();
    let [a, b, h, i, u, space, line] =
        ["a", "b", "h", "i", "u", " ", "\n"].map(|c| 100 + "abcdefghijklmnopqrstuvwxyz \n".find(c).unwrap() as u32);
    assert_eq!(before_reply(&prompt), [19, 20, u, line, h, i, space, a, line, b, 21, line]);
    let mut joined = chat();
    joined.tasks.get_mut(&TaskName::Text).unwrap().turns.get_mut(&Role::User).unwrap().join.clear();
    let prompt =
        lay_out(&joined, &vocabulary, Modality::Text, &[Message::text("a"), Message::text("b")], true).unwrap();
    assert_eq!(before_reply(&prompt), [19, 20, u, line, 131, 21, line], "\"a\" and \"b\" are the token \"ab\"");
}

#[test]
fn sound_stands_between_its_own_ids() {
    let vocabulary = vocabulary(1, 100, false);
    let messages = [Message::audio(sound(1)), Message::text("q")];
    let mut template = chat();
    template.tasks.get_mut(&TaskName::Text).unwrap().turns.get_mut(&Role::User).unwrap().join.clear();
    let prompt = lay_out(&template, &vocabulary, Modality::Text, &messages, false).unwrap();
    assert_eq!(before_reply(&prompt), [20, 120, 127, 30, 29, 29, 31, 127, 116, 21, 127]);
    assert_eq!(prompt.features[0].start, 4);
    assert_eq!(prompt.unconditional, None, "a recording has no unconditional counterpart");
    let error = lay_out(&template, &vocabulary, Modality::Text, &[Message::speech(sound(1))], false).unwrap_err();
    assert!(error.kind() == ErrorKind::Invalid && error.message().contains("no speech"), "{error}");
}

#[test]
fn a_given_segment_of_the_model_stands_between_its_opener_and_its_closer() {
    let vocabulary = vocabulary(1, 100, false);
    let message = Message::new(Role::Assistant, Content::Speech(sound(1)));
    let prompt = lay_out(&chat(), &vocabulary, Modality::Text, &[message], false).unwrap();
    assert_eq!(before_reply(&prompt), [20, 100, 127, 40, 71, 72, 41, 21, 127]);
}

#[test]
fn the_unconditional_prompt_is_as_long_and_has_no_text_and_no_space_before_it() {
    let vocabulary = vocabulary(1, 100, false);
    let prompt = lay_out(&chat(), &vocabulary, Modality::Speech, &[Message::text("  xyz ")], true).unwrap();
    let unconditional = prompt.unconditional.clone().unwrap();
    let (said, filled) = (first_column(&prompt), unconditional.ids().to_vec());
    assert_eq!(said.len(), filled.len());
    let differs: Vec<_> = (0..said.len()).filter(|index| said[*index] != filled[*index]).collect();
    assert_eq!(said[differs[0]..=differs[3]], [126, 123, 124, 125], "the space and the stripped text");
    assert_eq!(filled[differs[0]..=differs[3]], [18; 4]);
    let error = lay_out(&chat(), &vocabulary, Modality::Speech, &[Message::text(" \n ")], true).unwrap_err();
    assert!(error.message().contains("the text is empty"), "{error}");
}

#[test]
fn a_task_without_an_entry_is_that_of_text_and_unknown_turns_are_refused() {
    let vocabulary = vocabulary(1, 100, false);
    let audio = lay_out(&chat(), &vocabulary, Modality::Audio, &[Message::text("q")], true).unwrap();
    let text = lay_out(&chat(), &vocabulary, Modality::Text, &[Message::text("q")], true).unwrap();
    assert_eq!((audio.tokens, audio.modality), (text.tokens, Modality::Audio));
    let error = lay_out(&chat(), &vocabulary, Modality::Speech, &[says(Role::System, "q")], true).unwrap_err();
    assert!(error.message().contains("no system turn"), "{error}");
    assert!(lay_out(&chat(), &vocabulary, Modality::Text, &[], true).is_err());
}

#[test]
fn templates_that_cannot_be_right_are_refused() {
    let space = vocabulary(1, 100, false);
    let refused = |change: &dyn Fn(&mut Template), modality, vocabulary: &Vocabulary| {
        let mut template = chat();
        change(&mut template);
        template.validate(&[modality], vocabulary).unwrap_err().message().to_owned()
    };
    assert!(chat().validate(&[Modality::Text, Modality::Speech], &space).is_ok());
    assert!(control_ids().validate(&Modality::ALL[..3], &vocabulary(2, 100, true)).is_ok());
    let lacks_task = |template: &mut Template| template.tasks.clear();
    assert!(refused(&lacks_task, Modality::Text, &space).contains("no task for text"));
    let lacks_turn =
        |template: &mut Template| drop(template.tasks.get_mut(&TaskName::Text).unwrap().turns.remove(&Role::User));
    assert!(refused(&lacks_turn, Modality::Text, &space).contains("lacks turns of user"));
    assert!(refused(&|_| (), Modality::Audio, &space).contains("segments has no entry for audio"));
    let chosen = |template: &mut Template| template.choice = Choice::ByOpener;
    assert!(refused(&chosen, Modality::Text, &space).contains("expected one id"));
    let strange = |template: &mut Template| template.between.push(Piece::Id(200));
    assert!(refused(&strange, Modality::Text, &space).contains("the id 200"));
    let padless = Vocabulary::new(200, 1, None, space.text);
    let pads = |template: &mut Template| template.unconditional = Unconditional::Pads;
    assert!(refused(&pads, Modality::Text, &padless).contains("tokens.pad is missing"));
    assert!(thoughtful().validate(&[Modality::Text, Modality::Thinking], &space).is_ok());
    let mut worded = thoughtful();
    worded.tasks.get_mut(&TaskName::Thinking).unwrap().reply.remove(0);
    let error = worded.validate(&[Modality::Text], &space).unwrap_err();
    assert!(error.message().contains(r#"begins with the text "a\n"; expected an id"#), "{error}");
}

/// Returns the text of the letters from id 100 on; other ids stand in brackets.
fn spelled(ids: &[u32]) -> String {
    let letter = |id: &u32| "abcdefghijklmnopqrstuvwxyz \n.<>".chars().nth((*id as usize).wrapping_sub(100));
    ids.iter().map(|id| letter(id).map_or_else(|| format!("[{id}]"), String::from)).collect()
}

/// Returns the template of a model that thinks, with a system turn of its own and a task for text about sound.
fn thoughtful() -> Template {
    let turn = |role: &str| json!({"open": [20, format!("{role}\n")], "join": ["\n"], "close": [21, "\n"]});
    let mut assistant = turn("a");
    assistant["open"] = json!([20, "a\n", 22, 23]);
    assistant["after"] = json!("<x>");
    let turns = json!({"system": turn("s"), "user": turn("u"), "assistant": assistant});
    serde_json::from_value(json!({
        "tasks": {
            "text": {"system": "be good.", "turns": turns, "merges": false, "reply": [20, "a\n", 22, 23]},
            "thinking": {"system": "be good.", "turns": turns, "merges": false, "reply": [20, "a\n"]},
            "listening": {"turns": turns, "merges": false, "sound_first": true, "question": "what", "reply": [20, "a\n", 22, 23]},
            "cascade": {"begin": [19], "turns": turns, "reply": [20, "a\n", 22, 23]}
        },
        "content": {"text": {}, "audio": {"open": [30], "feature": 29, "close": [31]}},
        "segments": {"text": {}, "thinking": {"open": [22, "\n"]}},
        "history": "without_thinking", "choice": "by_prompt", "unconditional": {"fill": 18}
    }))
    .unwrap()
}

#[test]
fn each_task_for_text_has_its_own_layout() {
    let space = vocabulary(1, 100, false);
    let written = |modality, messages: &[Message]| {
        spelled(lay_out(&thoughtful(), &space, modality, messages, true).unwrap().tokens.ids())
    };
    let asked = [Message::text("hi")];
    let system = "[20]s\nbe good.[21]\n";
    assert_eq!(written(Modality::Text, &asked), format!("{system}[20]u\nhi[21]\n[20]a\n[22][23]"));
    assert_eq!(written(Modality::Thinking, &asked), format!("{system}[20]u\nhi[21]\n[20]a\n[22]\n"));
    let given = [says(Role::System, "c"), Message::text("hi")];
    assert_eq!(written(Modality::Text, &given), "[20]s\nc[21]\n[20]u\nhi[21]\n[20]a\n[22][23]");
    let about_sound = "[20]u\n[30][29][29][31]\nhi[21]\n[20]a\n[22][23]";
    let heard = [Message::text("hi"), Message::audio(sound(1))];
    for modality in [Modality::Text, Modality::Thinking] {
        assert_eq!(written(modality, &heard), about_sound, "sound comes first, and is not thought about");
    }
    let unasked = "[20]u\n[30][29][29][31]\nwhat[21]\n[20]a\n[22][23]";
    assert_eq!(written(Modality::Text, &heard[1..]), unasked);
    let tokenizer = tokenizer(&space);
    let layouter = Layouter { template: &thoughtful(), vocabulary: &space, tokenizer: &tokenizer, sound: &Sounds };
    let cascade = layouter.prompt_of(TaskName::Cascade, Modality::Text, &asked, true).unwrap();
    assert_eq!(spelled(cascade.tokens.ids()), "[19][20]u\nhi[21]\n[20]a\n[22][23]");
    let error = lay_out(&chat(), &space, Modality::Thinking, &asked, true).unwrap_err();
    assert!(error.kind() == ErrorKind::Invalid && error.message().contains("does not think"), "{error}");
}

#[test]
fn parts_of_a_message_form_a_turn_and_earlier_answers_have_no_thoughts() {
    let space = vocabulary(1, 100, false);
    let messages = [
        Message::text("a"),
        Message::text("b"),
        Message::text("c").in_new_turn(),
        says(Role::Assistant, "no<x>yes<x> well"),
        Message::text("d"),
    ];
    let prompt = lay_out(&thoughtful(), &space, Modality::Text, &messages, false).unwrap();
    let expected = "[20]u\na\nb[21]\n[20]u\nc[21]\n[20]a\n[22][23] well[21]\n[20]u\nd[21]\n[20]a\n[22][23]";
    assert_eq!(spelled(prompt.tokens.ids()), expected);
    let mut stripping = thoughtful();
    stripping.tasks.get_mut(&TaskName::Text).unwrap().turns.get_mut(&Role::Assistant).unwrap().strip = true;
    let prompt = lay_out(&stripping, &space, Modality::Text, &messages[2..4], false).unwrap();
    assert_eq!(spelled(prompt.tokens.ids()), "[20]u\nc[21]\n[20]a\n[22][23]well[21]\n[20]a\n[22][23]");
    let mut merging = thoughtful();
    merging.tasks.get_mut(&TaskName::Text).unwrap().merges = true;
    let prompt = lay_out(&merging, &space, Modality::Text, &messages[..3], false).unwrap();
    assert_eq!(spelled(prompt.tokens.ids()), "[20]u\na\nb\nc[21]\n[20]a\n[22][23]");
}

#[test]
fn text_is_stripped_as_python_strips_it() {
    for (text, expected) in [("\u{1c}\u{1f} a b\u{85}\u{a0}\u{3000}", "a b"), ("\u{200b}a", "\u{200b}a")] {
        assert_eq!(strip(text), expected);
    }
    assert_eq!(strip(" \u{1d}\n"), "");
}
