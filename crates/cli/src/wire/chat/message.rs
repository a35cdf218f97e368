//! Messages of a chat: the user's, and the server's own answers that clients send back.

use std::fmt;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use ualm::{Modality, Role};

use crate::wire::unsupported::is_empty;
use crate::wire::{Refusal, SoundFormat, base64};

/// Paths of fields to ignore: fields of an answer that are redundant when it is sent back, and clients' own
/// annotations.
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

/// The sound of an answer that was sent back, with or without its data.
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

/// A content part of a message.
#[derive(Debug, PartialEq)]
pub struct ContentPart<'a> {
    /// The path in the message, as in `content[0].input_audio.data`.
    pub path: String,
    /// The content.
    pub content: Sound<'a>,
}

/// Text, or a sound in one of two forms.
#[derive(Debug, PartialEq)]
pub enum Sound<'a> {
    /// Text.
    Text(&'a str),
    /// A file with a recording; the modality is `Audio` or `Speech`.
    Recording(Modality, &'a [u8]),
    /// 16-bit little-endian mono samples without a header, with their rate in hertz.
    Samples(Modality, &'a [u8], u32),
}

impl ChatMessage {
    /// Checks the message at `path`; `before` is the role of the message before it.
    ///
    /// # Errors
    /// An invalid part, an unsupported field, or missing content.
    pub fn check(&self, path: &str, before: Option<Role>) -> Result<(), Refusal> {
        for (name, calls) in [("tool_calls", &self.tool_calls), ("function_call", &self.function_call)] {
            if calls.as_ref().is_some_and(|calls| !is_empty(calls)) {
                return Err(Refusal::unsupported(format!("{path}.{name}")));
            }
        }
        for (number, part) in self.content.iter().flatten().enumerate() {
            part.read()
                .map_err(|(field, what)| Refusal::invalid(&format!("{path}.content[{number}].{field}"), what))?;
        }
        if self.role != Role::Assistant {
            return self.check_content(path);
        }
        // some clients send the text and the sound of one answer as two messages
        let has_words = self.words().next().is_some() || before == Some(Role::Assistant);
        if self.lacks_its_sound() && !has_words {
            let what = "the server stores nothing and does not know the id: send the data of the sound, or text";
            return Err(Refusal::invalid(&format!("{path}.audio.data"), what));
        }
        Ok(())
    }

    /// Returns whether the answer's sound is missing from the message.
    fn lacks_its_sound(&self) -> bool {
        let is_empty = |audio: &Echo| audio.data().is_none() && audio.words().is_none();
        self.audio.as_ref().is_some_and(is_empty) && self.own_segments().is_none()
    }

    fn check_content(&self, path: &str) -> Result<(), Refusal> {
        for (name, is_present) in [
            ("refusal", self.refusal.is_some()),
            ("audio", self.audio.is_some()),
            ("segments", self.segments.is_some()),
        ] {
            if is_present {
                return Err(Refusal::unsupported(format!("{path}.{name}")));
            }
        }
        match &self.content {
            None => Err(Refusal::invalid(&format!("{path}.content"), "missing; expected a text, or a list of parts")),
            Some(parts) if parts.is_empty() => {
                Err(Refusal::invalid(&format!("{path}.content"), "the list is empty; expected at least one part"))
            }
            Some(_) => Ok(()),
        }
    }

    /// Returns the contents of a checked message, in order.
    pub fn contents(&self) -> Vec<ContentPart<'_>> {
        if self.role != Role::Assistant {
            return self.parts().collect();
        }
        let is_spoken = self.audio.as_ref().is_some_and(|audio| audio.words().is_some());
        if let (Some(segments), false) = (self.own_segments(), is_spoken) {
            return segments;
        }
        let mut contents: Vec<_> = self.parts().filter(|part| part.content != Sound::Text("")).collect();
        if contents.is_empty() {
            let refusal =
                self.refusal.as_deref().map(|text| ContentPart { path: "refusal".into(), content: Sound::Text(text) });
            contents.extend(refusal);
        }
        match &self.audio {
            // a sound that speaks the text adds nothing to it
            Some(audio) if is_spoken => {
                let words = audio.words().filter(|_| contents.is_empty());
                contents.extend(
                    words.map(|text| ContentPart { path: "audio.transcript".into(), content: Sound::Text(text) }),
                );
            }
            Some(audio) => {
                let modality = self.sound_modality();
                let sound = audio.data().map(|data| Sound::Recording(modality, data));
                contents.extend(sound.map(|content| ContentPart { path: "audio.data".into(), content }));
            }
            None => {}
        }
        contents
    }

    /// Returns a warning about the contents that are omitted from an answer that was sent back.
    pub fn omission(&self) -> Option<&'static str> {
        if self.role != Role::Assistant {
            return None;
        }
        if self.lacks_its_sound() {
            return Some(
                "only the id of the sound was sent back, and the server stores nothing: the model gets only the text",
            );
        }
        self.contents().is_empty().then_some("the answer is empty and is omitted")
    }

    fn parts(&self) -> impl Iterator<Item = ContentPart<'_>> {
        let parts = self.content.iter().flatten().enumerate();
        parts.filter_map(|(number, part)| {
            let (field, content) = part.read().ok()?;
            Some(ContentPart { path: format!("content[{number}].{field}"), content })
        })
    }

    fn words(&self) -> impl Iterator<Item = &str> {
        let texts = self.content.iter().flatten().filter_map(|part| part.text.as_deref().or(part.refusal.as_deref()));
        texts.chain(self.refusal.as_deref()).filter(|text| !text.is_empty())
    }

    /// Returns the segments of an answer of this server, if they are complete and the answer's text is unchanged.
    fn own_segments(&self) -> Option<Vec<ContentPart<'_>>> {
        let segments = self.segments.as_deref()?.iter().enumerate();
        let shown = segments.filter(|(_, segment)| segment.modality != Modality::Thinking);
        let contents: Vec<_> = shown.map(|(number, segment)| segment.content_part(number)).collect::<Option<_>>()?;
        let texts: Vec<_> = contents.iter().filter_map(|part| part.content.text()).collect();
        let is_unchanged = texts.join("\n") == self.words().collect::<Vec<_>>().join("\n");
        (is_unchanged && !contents.is_empty()).then_some(contents)
    }

    /// Returns the modality of the answer's sound, by its last sound segment.
    fn sound_modality(&self) -> Modality {
        let mut last = self.segments.iter().flatten().rev().map(|segment| segment.modality);
        last.find(|modality| modality.is_sound()).unwrap_or(Modality::Audio)
    }
}

impl Echo {
    /// Returns the file of the sound, unless it is empty.
    fn data(&self) -> Option<&[u8]> {
        self.data.as_ref().map(|data| &*data.0).filter(|data| !data.is_empty())
    }

    /// Returns the transcript, unless it is empty.
    fn words(&self) -> Option<&str> {
        self.transcript.as_deref().filter(|words| !words.trim().is_empty())
    }
}

impl Segment {
    fn content_part(&self, number: usize) -> Option<ContentPart<'_>> {
        let (field, content) = match (&self.text, &self.audio) {
            (Some(text), _) => ("text", Sound::Text(text)),
            (None, Some(SegmentSound { data, format: SoundFormat::Pcm, sample_rate })) => {
                ("audio.data", Sound::Samples(self.modality, &data.0, *sample_rate))
            }
            (None, Some(sound)) => ("audio.data", Sound::Recording(self.modality, &sound.data.0)),
            (None, None) => return None,
        };
        Some(ContentPart { path: format!("segments[{number}].{field}"), content })
    }
}

impl Sound<'_> {
    /// Returns the modality of a sound; `None` for text.
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
    /// Returns the part's field and content, or the invalid field and the fault.
    fn read(&self) -> Result<(&'static str, Sound<'_>), (&'static str, &'static str)> {
        let kind = self.r#type;
        for (name, owner, is_present) in [
            ("text", PartType::Text, self.text.is_some()),
            ("refusal", PartType::Refusal, self.refusal.is_some()),
            ("input_audio", PartType::InputAudio, self.input_audio.is_some()),
            ("audio_url", PartType::AudioUrl, self.audio_url.is_some()),
        ] {
            match (owner == kind, is_present) {
                (false, true) => return Err((name, "the part has another type: leave it out")),
                (true, false) => return Err((name, "missing; the type of the part requires it")),
                _ => {}
            }
        }
        if let Some(text) = self.text.as_deref().or(self.refusal.as_deref()) {
            let field = if kind == PartType::Text { "text" } else { "refusal" };
            let unmarked = self.modality.is_none_or(|modality| modality == Modality::Text);
            return if unmarked {
                Ok((field, Sound::Text(text)))
            } else {
                Err(("modality", "the part is text: leave it out"))
            };
        }
        let modality = self.modality.unwrap_or(Modality::Audio);
        if !modality.is_sound() {
            return Err(("modality", "expected \"audio\" or \"speech\""));
        }
        match (&self.input_audio, &self.audio_url) {
            (Some(audio), _) if audio.has_no_rate() => {
                Err(("input_audio.format", "samples without a header have no rate: send a WAV file"))
            }
            (Some(audio), _) => Ok(("input_audio.data", Sound::Recording(modality, &audio.data.0))),
            (None, Some(audio)) => Ok(("audio_url.url", Sound::Recording(modality, &audio.url.0))),
            (None, None) => Err(("type", "the part has no content")),
        }
    }
}

impl InputAudio {
    /// Returns whether the format names raw samples. Other names are hints: the data decide.
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

/// Deserializes a role; "developer" is OpenAI's newer name for the system role.
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
            let refusal = None;
            let input_audio = None;
            let audio_url = None;
            let modality = None;
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
