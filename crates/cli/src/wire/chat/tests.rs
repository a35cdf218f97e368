use super::*;
use crate::wire::RefusalCode;
use ualm::Role;

fn chat(rest: &str) -> Result<ChatRequest, Refusal> {
    let body = format!(r#"{{"model": "m", "messages": [{{"role": "user", "content": "a dog"}}]{rest}}}"#);
    ChatRequest::from_json(body.as_bytes())
}

fn message(content: &str) -> Result<ChatRequest, Refusal> {
    let body = format!(r#"{{"model": "m", "messages": [{{"role": "user", "content": {content}}}]}}"#);
    ChatRequest::from_json(body.as_bytes())
}

/// Returns the contents of all messages, each with the message's index and the path.
fn contents(request: &ChatRequest) -> Vec<(usize, String, Sound<'_>)> {
    let messages = request.messages.iter().enumerate();
    messages
        .flat_map(|(index, message)| message.contents().into_iter().map(move |part| (index, part.path, part.content)))
        .collect()
}

fn refused(request: Result<ChatRequest, Refusal>) -> (RefusalCode, String) {
    let refusal = request.unwrap_err();
    assert!(!refusal.message.is_empty());
    (refusal.code, refusal.param.unwrap_or_default())
}

#[test]
fn a_plain_request_asks_for_text() {
    let request = chat("").unwrap();
    assert_eq!(request.modalities, [Modality::Text]);
    assert_eq!(request.messages[0].role, Role::User);
    assert_eq!(contents(&request), [(0, "content[0].text".into(), Sound::Text("a dog"))]);
    assert!(!request.wants_sound() && !request.stream && request.max_tokens().is_none());
}

#[test]
fn parts_are_texts_and_recordings() {
    let parts = r#"[{"type": "text", "text": "What is it?"},
        {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
        {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "mp3"}, "modality": "speech"}]"#;
    let request = message(parts).unwrap();
    let sounds: Vec<_> = contents(&request).into_iter().map(|(_, _, sound)| sound).collect();
    let recording = |modality| Sound::Recording(modality, b"RIFF");
    assert_eq!(sounds[1..], [recording(Modality::Audio), recording(Modality::Speech)]);
}

#[test]
fn errors_name_the_field_of_a_message() {
    for (content, param) in [
        ("[]", "messages[0].content"),
        ("7", "messages[0].content"),
        (r#"[{"type": "image_url"}]"#, "messages[0].content[0].type"),
        (r#"[{"type": "text"}]"#, "messages[0].content[0].text"),
        (r#"[{"type": "text", "text": "a", "modality": "speech"}]"#, "messages[0].content[0].modality"),
        (r#"[{"type": "input_audio"}]"#, "messages[0].content[0].input_audio"),
        (r#"[{"type": "audio_url", "text": "a"}]"#, "messages[0].content[0].text"),
        (
            r#"[{"type": "audio_url", "audio_url": {"url": "https://a.org/b.wav"}}]"#,
            "messages[0].content[0].audio_url.url",
        ),
        ("null", "messages[0].content"),
        (
            r#"[{"type": "input_audio", "input_audio": {"data": "%", "format": "wav"}}]"#,
            "messages[0].content[0].input_audio.data",
        ),
        (
            r#"[{"type": "input_audio", "input_audio": {"data": "", "format": "pcm16"}}]"#,
            "messages[0].content[0].input_audio.format",
        ),
        (
            r#"[{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}, "modality": "text"}]"#,
            "messages[0].content[0].modality",
        ),
        (
            r#"[{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}, "modality": "thinking"}]"#,
            "messages[0].content[0].modality",
        ),
    ] {
        assert_eq!(refused(message(content)), (RefusalCode::Invalid, param.to_owned()), "{content}");
    }
    let path = r#"[{"type": "input_audio", "input_audio": {"data": "", "format": "wav", "path": "/etc/passwd"}}]"#;
    let param = "messages[0].content[0].input_audio.path";
    assert_eq!(refused(message(path)), (RefusalCode::UnsupportedField, param.to_owned()));
}

#[test]
fn unsupported_fields_are_named() {
    for field in ["tools", "stop", "logprobs", "response_format", "frequency_penalty", "store", "anything"] {
        let request = chat(&format!(r#", "{field}": [{{"a": 1}}]"#));
        assert_eq!(refused(request), (RefusalCode::UnsupportedField, field.to_owned()));
    }
    let deep = chat(r#", "ualm": {"text": {"top_q": 1}}"#);
    assert_eq!(refused(deep), (RefusalCode::UnsupportedField, "ualm.text.top_q".to_owned()));
}

#[test]
fn contradicting_fields_are_refused() {
    for (rest, param) in [
        (r#""modalities": ["text", "audio"]"#, "audio"),
        (r#""modalities": ["speech"]"#, "modalities"),
        (r#""modalities": []"#, "modalities"),
        (r#""audio": {"format": "wav"}"#, "audio"),
        (r#""audio": {"format": "aac"}, "modalities": ["audio"]"#, "audio.format"),
        (r#""audio": {"format": "opus"}, "modalities": ["audio"], "ualm": {"sample_rate": 44100}"#, "ualm.sample_rate"),
        (r#""max_tokens": 1, "max_completion_tokens": 2"#, "max_tokens"),
        (r#""stream": true, "stream_options": {"include_obfuscation": true}"#, "stream_options.include_obfuscation"),
        (r#""n": 0"#, "n"),
        (r#""n": 1, "n": 2"#, "n"),
        (r#""n": 1.5"#, "n"),
        (r#""n": 65537"#, "n"),
        (r#""seed": 1e30"#, "seed"),
        (r#""max_tokens": "5""#, "max_tokens"),
        (r#""temperature": -1"#, "temperature"),
        (r#""top_p": 0"#, "top_p"),
        (r#""max_tokens": 0"#, "max_tokens"),
        (r#""max_completion_tokens": 0"#, "max_completion_tokens"),
        (r#""ualm": {"text": {"top_p": 2}}"#, "ualm.text.top_p"),
        (r#""ualm": {"audio": {"temperature": -1}}"#, "ualm.audio.temperature"),
        (r#""ualm": {"max_segments": 0}"#, "ualm.max_segments"),
        (r#""ualm": []"#, "ualm"),
        (r#""stream_options": [true]"#, "stream_options"),
        (r#""audio": {}, "modalities": ["audio"]"#, "audio.format"),
        (r#""audio": {"format": "wav", "voice": {}}, "modalities": ["audio"]"#, "audio.voice"),
        (r#""seed": -1"#, "seed"),
        (r#""ualm": {"reasoning": {}, "force": ["text"]}, "audio": {"format": "wav"}"#, "ualm.force"),
        (r#""ualm": {"reasoning": {"plan": " "}}, "audio": {"format": "wav"}"#, "ualm.reasoning.plan"),
        (r#""ualm": {"reasoning": {"mode": "guess"}}"#, "ualm.reasoning.mode"),
        (r#""ualm": {"from": {"record": {}, "segment": 0}}"#, "ualm.from.segment"),
        (r#""ualm": {"sample_rate": 1}"#, "ualm.sample_rate"),
    ] {
        assert_eq!(refused(chat(&format!(", {rest}"))), (RefusalCode::Invalid, param.to_owned()), "{rest}");
    }
    let none = ChatRequest::from_json(br#"{"model": "m", "messages": []}"#);
    assert_eq!(refused(none).1, "messages");
}

#[test]
fn plans_are_texts_or_objects() {
    let plan = |plan: &str| {
        let request = chat(&format!(r#", "audio": {{"format": "wav"}}, "ualm": {{"reasoning": {{"plan": {plan}}}}}"#));
        request.map(|request| request.ualm.reasoning.unwrap().plan)
    };
    assert_eq!(plan(r#"" a dog ""#).unwrap().as_deref(), Some("a dog"));
    assert_eq!(plan("null").unwrap(), None);
    let parts =
        r#"{"keywords": ["dog"], "layout": [{"start": 0, "end": 1.5, "what": "dog"}], "description": "A dog."}"#;
    let written = "Keywords: dog. Layout: 0.0-1.5 dog. Description: A dog.";
    assert_eq!(plan(parts).unwrap().as_deref(), Some(written));
    let refusal = plan(r#"{"keywords": [], "layout": [], "description": "", "colour": 1}"#).unwrap_err();
    assert_eq!(refusal.param.as_deref(), Some("ualm.reasoning.plan.colour"));
}

#[test]
fn records_are_objects_or_wav_files() {
    let from = |record: &str| {
        let body =
            format!(r#"{{"model": "m", "messages": [], "ualm": {{"from": {{"record": {record}, "segment": 1}}}}}}"#);
        ChatRequest::from_json(body.as_bytes()).unwrap().ualm.from.unwrap().record()
    };
    let record = r#"{"format": "ualm-record", "schema": 1, "producer": "p", "package": {"name": "n", "sha256": "s"},
        "streams": 2, "turns": []}"#;
    assert_eq!(from(record).unwrap().package.name, "n");
    for wrong in ["{}", "7", r#""UklGRg==""#, r#""%""#] {
        assert_eq!(from(wrong).unwrap_err().param.as_deref(), Some("ualm.from.record"), "{wrong}");
    }
}

#[test]
fn prompts_of_stages_are_checked() {
    let prompts = |prompts: &str| {
        let own = format!(r#", "audio": {{"format": "wav"}}, "ualm": {{"reasoning": {{"prompts": {prompts}}}}}"#);
        chat(&own).map(|request| request.ualm.reasoning.unwrap().prompts)
    };
    let wording = ualm::Wording::from_json(r#"{"plan": "{words}"}"#).unwrap();
    assert_eq!(prompts(r#"{"plan": "{words}"}"#).unwrap(), Some(wording));
    assert_eq!(prompts("null").unwrap(), None);
    for (bad, expected) in [(r#"{"answer": "x"}"#, "question, plan"), (r#"{"plan": "{wrods}"}"#, "{words}, {question}")]
    {
        let refusal = prompts(bad).unwrap_err();
        assert_eq!(refusal.param.as_deref(), Some("ualm.reasoning.prompts"));
        assert!(refusal.message.contains(expected), "{}", refusal.message);
    }
}

#[test]
fn null_means_absent() {
    let fields = [
        "modalities",
        "audio",
        "stream",
        "stream_options",
        "n",
        "seed",
        "temperature",
        "top_p",
        "max_completion_tokens",
        "max_tokens",
        "reasoning_effort",
        "ualm",
        "tools",
        "stop",
        "logprobs",
        "response_format",
        "store",
        "anything",
    ];
    for field in fields {
        chat(&format!(r#", "{field}": null"#)).unwrap();
    }
    let own = [
        "force",
        "max_segments",
        "reasoning",
        "from",
        "text",
        "thinking",
        "show_thinking",
        "audio",
        "best",
        "record",
        "take",
        "sample_rate",
    ];
    for field in own {
        chat(&format!(r#", "ualm": {{"{field}": null}}"#)).unwrap();
    }
    let settings = ["temperature", "top_k", "top_p", "guidance", "max_steps", "min_steps"];
    for field in settings {
        chat(&format!(r#", "ualm": {{"text": {{"{field}": null}}, "audio": {{"{field}": null}}}}"#)).unwrap();
    }
    for field in ["mode", "rounds", "listen", "plan", "prompts"] {
        chat(&format!(
            r#", "audio": {{"format": "wav", "voice": null}}, "ualm": {{"reasoning": {{"{field}": null}}}}"#
        ))
        .unwrap();
    }
    chat(r#", "stream_options": {"include_usage": null, "include_obfuscation": null}"#).unwrap();
    for field in ["text", "input_audio", "audio_url", "refusal", "modality", "annotations", "cache_control"] {
        let text = if field == "text" { "" } else { r#", "text": "a""# };
        let part = format!(r#"[{{"type": "text", "{field}": null{text}}}]"#);
        assert_eq!(message(&part).is_ok(), field != "text", "{field}");
    }
    for field in ["refusal", "audio", "segments", "tool_calls", "function_call", "annotations", "name", "record"] {
        let body = format!(r#"{{"model": "m", "messages": [{{"role": "user", "content": "a", "{field}": null}}]}}"#);
        ChatRequest::from_json(body.as_bytes()).unwrap();
    }
}

#[test]
fn neutral_values_are_accepted() {
    for rest in [
        r#""tools": [], "tool_choice": "auto", "parallel_tool_calls": true, "functions": [], "function_call": "none""#,
        r#""stop": [], "n": 1, "response_format": {"type": "text"}, "store": false, "user": "me", "metadata": {"a": "b"}"#,
        r#""stop": "", "frequency_penalty": 0, "presence_penalty": 0.0, "logit_bias": {}, "logprobs": false, "top_logprobs": 0"#,
        r#""service_tier": "auto", "reasoning_effort": "none", "verbosity": "medium", "extra_body": {}, "safety_identifier": "x""#,
        r#""n": 1.0, "seed": 7.0, "max_tokens": 150.0"#,
        r#""best_of": 1, "suffix": "", "echo": false, "tool_choice": "", "stop": [""], "response_format": {}"#,
        r#""response_format": "text", "reasoning_effort": "", "repeat_penalty": 1.0, "stream_options": {"include_usage": true}"#,
        r#""modalities": ["audio"], "audio": {"format": "WAV", "voice": ""}"#,
        r#""max_tokens": 5, "max_completion_tokens": 5, "stream_options": {"include_usage": false}"#,
    ] {
        chat(&format!(", {rest}")).unwrap();
    }
    assert_eq!(chat(r#", "reasoning_effort": """#).unwrap().thinking(), None);
    assert!(chat(r#", "ualm": {"force": []}"#).unwrap().ualm.force.is_none());
    assert_eq!(chat(r#", "reasoning_effort": "none""#).unwrap().thinking(), Some(false));
    for (rest, param) in [
        (r#""tools": [{"type": "function"}]"#, "tools"),
        (r#""tool_choice": "required""#, "tool_choice"),
        (r#""response_format": {"type": "json_object"}"#, "response_format"),
        (r#""reasoning_effort": "high""#, "reasoning_effort"),
        (r#""best_of": 2"#, "best_of"),
        (r#""top_k": 20"#, "top_k"),
        (r#""stop": ["a"]"#, "stop"),
        (r#""store": true"#, "store"),
        (r#""presence_penalty": 0.5"#, "presence_penalty"),
        (r#""service_tier": "flex""#, "service_tier"),
        (r#""logit_bias": {"50": 1}"#, "logit_bias"),
    ] {
        assert_eq!(refused(chat(&format!(", {rest}"))), (RefusalCode::UnsupportedField, param.to_owned()), "{rest}");
    }
}

/// Parses a chat in which `answer`, the fields of an assistant's message, is between two questions.
fn history(answer: &str) -> Result<ChatRequest, Refusal> {
    let asked = r#"{"role": "user", "content": "a dog"}"#;
    let body = format!(r#"{{"model": "m", "messages": [{asked}, {{"role": "assistant", {answer}}}, {asked}]}}"#);
    ChatRequest::from_json(body.as_bytes())
}

/// Returns the contents of the answer in `history`, with their paths.
fn echoed(answer: &str) -> Vec<(String, String)> {
    let request = history(answer).unwrap();
    let said = contents(&request).into_iter().filter(|(index, ..)| *index == 1);
    said.map(|(_, path, sound)| (path, format!("{sound:?}"))).collect()
}

#[test]
fn answers_can_be_sent_back() {
    let text = |path: &str, text: &str| (path.to_owned(), format!("{:?}", Sound::Text(text)));
    let riff = |path: &str, modality| (path.to_owned(), format!("{:?}", Sound::Recording(modality, b"RIFF")));
    let bare = r#""refusal": null, "annotations": [], "audio": null, "tool_calls": null, "function_call": null"#;
    assert_eq!(echoed(&format!(r#""content": "rain", {bare}"#)), [text("content[0].text", "rain")]);
    assert_eq!(
        echoed(r#""content": [{"type": "text", "text": "rain"}], "tool_calls": []"#),
        [text("content[0].text", "rain")]
    );
    assert_eq!(echoed(r#""content": null, "refusal": "no""#), [text("refusal", "no")]);
    assert_eq!(echoed(r#""content": [{"type": "refusal", "refusal": "no"}]"#), [text("content[0].refusal", "no")]);

    // a sound alone, with its data
    let sound = r#""audio": {"id": "audio-1", "data": "UklGRg==", "expires_at": 1, "transcript": ""}"#;
    assert_eq!(echoed(&format!(r#""content": null, {sound}"#)), [riff("audio.data", Modality::Audio)]);
    // a sound that says its words is its words
    let spoken = sound.replace(r#""transcript": """#, r#""transcript": "seven""#);
    assert_eq!(echoed(&format!(r#""content": "seven", {spoken}"#)), [text("content[0].text", "seven")]);
    assert_eq!(echoed(&format!(r#""content": null, {spoken}"#)), [text("audio.transcript", "seven")]);

    // the segments of a chain, as long as nobody has changed the answer
    let segments = r#""segments": [
        {"number": 1, "stage": "plan", "modality": "text", "end": "eot", "text": "A dog.", "plan": {"keywords": ["dog"]}},
        {"number": 2, "stage": "final", "modality": "speech", "end": "eos", "seed": 1, "seconds": 2.1,
         "audio": {"data": "UklGRg==", "format": "wav", "sample_rate": 16000}, "doubts": []}], "record": {"turns": []}"#;
    let chain = [text("segments[0].text", "A dog."), riff("segments[1].audio.data", Modality::Speech)];
    assert_eq!(echoed(&format!(r#""content": "A dog.", {sound}, {segments}"#)), chain);
    let changed = [text("content[0].text", "A cat."), riff("audio.data", Modality::Speech)];
    assert_eq!(echoed(&format!(r#""content": "A cat.", {sound}, {segments}"#)), changed);
    let streamed = segments.replace(r#""format": "wav""#, r#""format": "pcm16""#);
    let samples = Sound::Samples(Modality::Speech, b"RIFF", 16_000);
    assert_eq!(echoed(&format!(r#""content": "A dog.", {streamed}"#))[1].1, format!("{samples:?}"));
}

#[test]
fn omitted_contents_give_a_warning() {
    let omission = |answer: &str| history(answer).unwrap().messages[1].omission();
    assert!(omission(r#""content": "rain""#).is_none());
    for silent in [r#""content": null"#, r#""content": """#, r#""tool_calls": []"#] {
        assert!(omission(silent).unwrap().contains("is empty"), "{silent}");
        assert!(echoed(silent).is_empty());
    }
    let id = omission(r#""content": "rain", "audio": {"id": "audio-1"}"#).unwrap();
    assert!(id.contains("only the id"), "{id}");
    assert_eq!(omission(r#""content": "rain", "audio": {"id": "audio-1", "data": null, "transcript": ""}"#), Some(id));
    assert_eq!(omission(r#""content": "rain", "audio": {"id": "audio-1", "data": ""}"#), Some(id));
    assert!(omission(r#""content": "rain", "function_call": {}"#).is_none());
    let segments =
        r#""segments": [{"modality": "audio", "audio": {"data": "UklGRg==", "format": "wav", "sample_rate": 16000}}]"#;
    assert_eq!(omission(&format!(r#""content": null, "audio": {{"id": "audio-1"}}, {segments}"#)), None);
    for (answer, param) in [
        (r#""content": null, "audio": {"id": "audio-1"}"#, "messages[1].audio.data"),
        (r#""content": "", "audio": {"id": "audio-1"}"#, "messages[1].audio.data"),
        (r#""content": null, "tool_calls": [{"id": "1"}]"#, "messages[1].tool_calls"),
        (r#""content": null, "function_call": {"name": "f"}"#, "messages[1].function_call"),
        (r#""content": null, "audio": {"data": "%"}"#, "messages[1].audio.data"),
        (r#""content": "a", "anything": 1"#, "messages[1].anything"),
    ] {
        assert_eq!(refused(history(answer)).1, param, "{answer}");
    }
    let split = history(r#""content": "A dog."}, {"role": "assistant", "audio": {"id": "audio-1"}"#).unwrap();
    assert!(split.messages[1].omission().is_none() && split.messages[2].omission().unwrap().contains("only the id"));
    let tool = r#"{"model": "m", "messages": [{"role": "tool", "content": "a", "tool_call_id": "1"}]}"#;
    assert_eq!(refused(ChatRequest::from_json(tool.as_bytes())).1, "messages[0].role");
    let developer = r#"{"model": "m", "messages": [{"role": "developer", "content": "a"}]}"#;
    assert_eq!(ChatRequest::from_json(developer.as_bytes()).unwrap().messages[0].role, Role::System);
}

#[test]
fn recordings_have_many_forms() {
    for part in [
        r#"{"type": "input_audio", "input_audio": {"data": "UklGRg", "format": "audio/x-wav"}}"#,
        r#"{"type": "input_audio", "input_audio": {"data": "UklG\nRg==\n", "format": "mpga"}}"#,
        r#"{"type": "input_audio", "input_audio": {"data": "data:audio/webm;codecs=opus;base64,UklGRg==", "format": "webm"}}"#,
        r#"{"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": null}}"#,
        r#"{"type": "input_audio", "input_audio": {"data": "UklGRg=="}}"#,
        r#"{"type": "audio_url", "audio_url": {"url": "data:audio/wav;base64,UklGRg=="}}"#,
    ] {
        let request = message(&format!("[{part}]")).unwrap_or_else(|e| panic!("{part}: {e:?}"));
        assert_eq!(contents(&request)[0].2, Sound::Recording(Modality::Audio, b"RIFF"), "{part}");
    }
}
