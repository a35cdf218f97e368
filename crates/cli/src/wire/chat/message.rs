//! Messages of a chat: what the person says, and answers of this server that come back.

use std::fmt;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use ualm::{Modality, Role};

use crate::wire::idle::is_empty;
use crate::wire::{Refusal, SoundFormat, base64};

/// Places of an answer's fields that say nothing more when the answer comes back, and of notes that clients make in a
/// message for themselves.
pub const ECHOES: &[&str] = &[
    "messages[].annotations",
    "messages[].audio.expires_at",
    "messages[].audio.id",
    "messages[].content[].annotations",
    "messages[].content[].cache_control",
    "messages[].content[].id",
    "messages[].content[].index",
    "messages[].id",
    "messages[].images",
    "messages[].name",
    "messages[].parsed",
    "messages[].provider_specific_fields",
    "messages[].reasoning",
    "messages[].reasoning_content",
    "messages[].reasoning_details",
    "messages[].reasoning_items",
    "messages[].record",
    "messages[].segments[].doubts",
    "messages[].segments[].end",
    "messages[].segments[].number",
    "messages[].segments[].plan",
    "messages[].segments[].seconds",
    "messages[].segments[].seed",
    "messages[].segments[].stage",
    "messages[].thinking_blocks",
];

/// One message.
#[derive(Debug, Deserialize)]
#[serde(expecting = "a message: an object with a role and its content")]
pub struct ChatMessage {
    /// The speaker's role.
    #[serde(deserialize_with = "role")]
    pub role: Role,
    #[serde(default, deserialize_with = "content")]
    content: Option<Vec<Part>>,
    refusal: Option<String>,
    audio: Option<Echo>,
    segments: Option<Vec<Segment>>,
    tool_calls: Option<Value>,
    function_call: Option<Value>,
}

/// A part of a message.
#[derive(Debug, Deserialize)]
#[serde(expecting = "a part: an object with a type and its content")]
struct Part {
    r#type: PartType,
    text: Option<String>,
    refusal: Option<String>,
    input_audio: Option<InputAudio>,
    audio_url: Option<AudioUrl>,
    modality: Option<Modality>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PartType {
    Text,
    Refusal,
    InputAudio,
    AudioUrl,
}

/// A recording in a request.
#[derive(Debug, Deserialize)]
struct InputAudio {
    data: Bytes,
    format: Option<String>,
}

/// A recording as a `data:` URL.
#[derive(Debug, Deserialize)]
struct AudioUrl {
    url: Bytes,
}

/// The sound of an answer, with its data or without.
#[derive(Debug, Deserialize)]
struct Echo {
    data: Option<Bytes>,
    transcript: Option<String>,
}

/// A segment of an answer.
#[derive(Debug, Deserialize)]
struct Segment {
    modality: Modality,
    text: Option<String>,
    audio: Option<SegmentSound>,
}

#[derive(Debug, Deserialize)]
struct SegmentSound {
    data: Bytes,
    format: SoundFormat,
    sample_rate: u32,
}

/// Bytes in Base64.
#[derive(Debug)]
struct Bytes(Vec<u8>);

/// Something that is said in a message.
#[derive(Debug, PartialEq)]
pub struct Said<'a> {
    /// Its place in the message, as in `content[0].input_audio.data`.
    pub place: String,
    /// Words or a sound.
    pub what: Sound<'a>,
}

/// Words, or a sound in one of two forms.
#[derive(Debug, PartialEq)]
pub enum Sound<'a> {
    /// Words.
    Text(&'a str),
    /// A recording of sound, or under the model's other name for one, of speech.
    Recording(Modality, &'a [u8]),
    /// The same without a header: 16-bit little-endian samples of one channel, at a rate in hertz.
    Samples(Modality, &'a [u8], u32),
}

impl ChatMessage {
    /// Checks the message, which stands at `place` behind one of the role `before`.
    ///
    /// # Errors
    /// A part that is none, fields that are not supported, or no content.
    pub fn check(&self, place: &str, before: Option<Role>) -> Result<(), Refusal> {
        for (name, calls) in [("tool_calls", &self.tool_calls), ("function_call", &self.function_call)] {
            if calls.as_ref().is_some_and(|calls| !is_empty(calls)) {
                return Err(Refusal::unsupported(format!("{place}.{name}")));
            }
        }
        for (number, part) in self.content.iter().flatten().enumerate() {
            part.read()
                .map_err(|(field, what)| Refusal::invalid(&format!("{place}.content[{number}].{field}"), what))?;
        }
        if self.role != Role::Assistant {
            return self.check_content(place);
        }
        // some clients send the words and the sound of one answer as two messages
        let has_words = self.words().next().is_some() || before == Some(Role::Assistant);
        if self.lacks_its_sound() && !has_words {
            let what = "nothing is kept on the server, so that an id tells it nothing: send the sound's data, or words";
            return Err(Refusal::invalid(&format!("{place}.audio.data"), what));
        }
        Ok(())
    }

    /// Returns whether a sound belongs to the answer that is nowhere in the message.
    fn lacks_its_sound(&self) -> bool {
        let is_empty = |audio: &Echo| audio.data().is_none() && audio.words().is_none();
        self.audio.as_ref().is_some_and(is_empty) && self.own_segments().is_none()
    }

    fn check_content(&self, place: &str) -> Result<(), Refusal> {
        for (name, is_there) in [
            ("refusal", self.refusal.is_some()),
            ("audio", self.audio.is_some()),
            ("segments", self.segments.is_some()),
        ] {
            if is_there {
                return Err(Refusal::unsupported(format!("{place}.{name}")));
            }
        }
        match &self.content {
            None => Err(Refusal::invalid(&format!("{place}.content"), "missing; expected a text, or a list of parts")),
            Some(parts) if parts.is_empty() => {
                Err(Refusal::invalid(&format!("{place}.content"), "no parts; expected at least one"))
            }
            Some(_) => Ok(()),
        }
    }

    /// Returns what a checked message says, in order.
    pub fn said(&self) -> Vec<Said<'_>> {
        if self.role != Role::Assistant {
            return self.parts().collect();
        }
        let is_spoken = self.audio.as_ref().is_some_and(|audio| audio.words().is_some());
        if let (Some(segments), false) = (self.own_segments(), is_spoken) {
            return segments;
        }
        let mut said: Vec<_> = self.parts().filter(|said| said.what != Sound::Text("")).collect();
        if said.is_empty() {
            let refusal = self.refusal.as_deref().map(|text| Said { place: "refusal".into(), what: Sound::Text(text) });
            said.extend(refusal);
        }
        match &self.audio {
            // a sound that says the text is the text
            Some(audio) if is_spoken => {
                let words = audio.words().filter(|_| said.is_empty());
                said.extend(words.map(|text| Said { place: "audio.transcript".into(), what: Sound::Text(text) }));
            }
            Some(audio) => {
                let modality = self.sound_modality();
                let sound = audio.data().map(|data| Sound::Recording(modality, data));
                said.extend(sound.map(|what| Said { place: "audio.data".into(), what }));
            }
            None => {}
        }
        said
    }

    /// Returns what is not heard of an answer that came back, in a sentence.
    pub fn left_out(&self) -> Option<&'static str> {
        if self.role != Role::Assistant {
            return None;
        }
        if self.lacks_its_sound() {
            return Some(
                "only the id of its sound came back, and nothing is kept on the server: the model knows its words alone",
            );
        }
        self.said().is_empty().then_some("the answer says nothing and is left out")
    }

    fn parts(&self) -> impl Iterator<Item = Said<'_>> {
        let parts = self.content.iter().flatten().enumerate();
        parts.filter_map(|(number, part)| {
            let (field, what) = part.read().ok()?;
            Some(Said { place: format!("content[{number}].{field}"), what })
        })
    }

    fn words(&self) -> impl Iterator<Item = &str> {
        let texts = self.content.iter().flatten().filter_map(|part| part.text.as_deref().or(part.refusal.as_deref()));
        texts.chain(self.refusal.as_deref()).filter(|text| !text.is_empty())
    }

    /// Returns the segments of an answer of this server, if they are whole and nobody has changed the answer's text.
    fn own_segments(&self) -> Option<Vec<Said<'_>>> {
        let segments = self.segments.as_deref()?.iter().enumerate();
        let shown = segments.filter(|(_, segment)| segment.modality != Modality::Thinking);
        let said: Vec<_> = shown.map(|(number, segment)| segment.said(number)).collect::<Option<_>>()?;
        let texts: Vec<_> = said.iter().filter_map(|said| said.what.text()).collect();
        let is_unchanged = texts.join("\n") == self.words().collect::<Vec<_>>().join("\n");
        (is_unchanged && !said.is_empty()).then_some(said)
    }

    /// Returns the modality of the answer's sound: of its last segment that is one.
    fn sound_modality(&self) -> Modality {
        let mut last = self.segments.iter().flatten().rev().map(|segment| segment.modality);
        last.find(|modality| modality.is_sound()).unwrap_or(Modality::Audio)
    }
}

impl Echo {
    /// Returns the sound's file; an empty one is none.
    fn data(&self) -> Option<&[u8]> {
        self.data.as_ref().map(|data| &*data.0).filter(|data| !data.is_empty())
    }

    /// Returns the words that the sound says.
    fn words(&self) -> Option<&str> {
        self.transcript.as_deref().filter(|words| !words.trim().is_empty())
    }
}

impl Segment {
    fn said(&self, number: usize) -> Option<Said<'_>> {
        let (field, what) = match (&self.text, &self.audio) {
            (Some(text), _) => ("text", Sound::Text(text)),
            (None, Some(SegmentSound { data, format: SoundFormat::Pcm, sample_rate })) => {
                ("audio.data", Sound::Samples(self.modality, &data.0, *sample_rate))
            }
            (None, Some(sound)) => ("audio.data", Sound::Recording(self.modality, &sound.data.0)),
            (None, None) => return None,
        };
        Some(Said { place: format!("segments[{number}].{field}"), what })
    }
}

impl Sound<'_> {
    /// Returns the modality of a sound; none of words.
    pub fn modality(&self) -> Option<Modality> {
        match self {
            Self::Text(_) => None,
            Self::Recording(modality, _) | Self::Samples(modality, ..) => Some(*modality),
        }
    }

    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl Part {
    /// Returns the field that holds the part's content, and the content; or the field that is wrong, and why.
    fn read(&self) -> Result<(&'static str, Sound<'_>), (&'static str, &'static str)> {
        let kind = self.r#type;
        for (name, owner, is_there) in [
            ("text", PartType::Text, self.text.is_some()),
            ("refusal", PartType::Refusal, self.refusal.is_some()),
            ("input_audio", PartType::InputAudio, self.input_audio.is_some()),
            ("audio_url", PartType::AudioUrl, self.audio_url.is_some()),
        ] {
            match (owner == kind, is_there) {
                (false, true) => return Err((name, "the part is of another type: leave it out")),
                (true, false) => return Err((name, "missing: the part is of this type")),
                _ => {}
            }
        }
        if let Some(text) = self.text.as_deref().or(self.refusal.as_deref()) {
            let field = if kind == PartType::Text { "text" } else { "refusal" };
            let unmarked = self.modality.is_none_or(|modality| modality == Modality::Text);
            return if unmarked {
                Ok((field, Sound::Text(text)))
            } else {
                Err(("modality", "the part is words: leave it out"))
            };
        }
        let modality = self.modality.unwrap_or(Modality::Audio);
        if !modality.is_sound() {
            return Err(("modality", "expected \"audio\" or \"speech\""));
        }
        match (&self.input_audio, &self.audio_url) {
            (Some(audio), _) if audio.has_no_rate() => {
                Err(("input_audio.format", "samples without a header do not tell their rate: send a WAV file"))
            }
            (Some(audio), _) => Ok(("input_audio.data", Sound::Recording(modality, &audio.data.0))),
            (None, Some(audio)) => Ok(("audio_url.url", Sound::Recording(modality, &audio.url.0))),
            (None, None) => Err(("type", "the part holds nothing")),
        }
    }
}

impl InputAudio {
    /// Returns whether the data are said to be bare samples. All other names are hints: the bytes decide.
    fn has_no_rate(&self) -> bool {
        let name = self.format.as_deref().unwrap_or_default().to_ascii_lowercase();
        // a content type may have parameters, as in audio/pcm;rate=24000
        let name = name.split(';').next().unwrap_or_default().trim();
        let name = name.strip_prefix("audio/").unwrap_or(name);
        matches!(name, "pcm" | "pcm16" | "raw" | "l16" | "g711_ulaw" | "g711_alaw" | "pcmu" | "pcma")
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a file in Base64")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                base64::decode(text).map(Bytes).map_err(E::custom)
            }
        }
        from.deserialize_str(Text)
    }
}

/// The role of a message; "developer" is what newer clients call the system.
fn role<'de, D: Deserializer<'de>>(from: D) -> Result<Role, D::Error> {
    match &*String::deserialize(from)? {
        "developer" => Ok(Role::System),
        name => Role::from_name(name).map_err(D::Error::custom),
    }
}

fn content<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<Part>>, D::Error> {
    struct Content;
    impl<'de> Visitor<'de> for Content {
        type Value = Option<Vec<Part>>;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("a text, or a list of parts")
        }

        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            let text = Some(text.to_owned());
            let (refusal, input_audio, audio_url, modality) = (None, None, None, None);
            Ok(Some(vec![Part { r#type: PartType::Text, text, refusal, input_audio, audio_url, modality }]))
        }

        fn visit_seq<A: SeqAccess<'de>>(self, parts: A) -> Result<Self::Value, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(parts)).map(Some)
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
    }
    from.deserialize_any(Content)
}
