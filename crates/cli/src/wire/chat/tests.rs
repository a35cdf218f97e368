use super::*;
use crate::wire::RefusalCode;

fn chat(rest: &str) -> Result<ChatRequest, Refusal> {
    let body = format!(r#"{{"model": "m", "messages": [{{"role": "user", "content": "a dog"}}]{rest}}}"#);
    ChatRequest::from_json(body.as_bytes())
}

fn message(content: &str) -> Result<ChatRequest, Refusal> {
    let body = format!(r#"{{"model": "m", "messages": [{{"role": "user", "content": {content}}}]}}"#);
    ChatRequest::from_json(body.as_bytes())
}

fn refused(request: Result<ChatRequest, Refusal>) -> (RefusalCode, String) {
    let refusal = request.unwrap_err();
    assert!(!refusal.message.is_empty());
    (refusal.code, refusal.param.unwrap_or_default())
}

#[test]
fn a_plain_request_makes_a_text() {
    let request = chat("").unwrap();
    assert_eq!(request.modalities, [Modality::Text]);
    assert_eq!(request.messages[0].role, Role::User);
    assert_eq!(request.messages[0].content[0].sound(), Some(Sound::Text("a dog")));
    assert!(!request.wants_sound() && !request.stream && request.max_tokens().is_none());
    let nulls = chat(r#", "n": null, "seed": null, "stream": null, "audio": null, "ualm": null"#).unwrap();
    assert!(nulls.seed.is_none() && nulls.n.is_none());
}

#[test]
fn parts_are_texts_and_recordings() {
    let parts = r#"[{"type": "text", "text": "What is it?"},
        {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
        {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "mp3"}, "modality": "speech"}]"#;
    let request = message(parts).unwrap();
    let sounds: Vec<_> = request.messages[0].content.iter().map(Part::sound).collect();
    let recording = |modality| Some(Sound::Recording(modality, b"RIFF"));
    assert_eq!(sounds[1..], [recording(Modality::Audio), recording(Modality::Speech)]);
}

#[test]
fn what_is_wrong_in_a_message_is_named() {
    for (content, param) in [
        ("[]", "messages[0].content"),
        ("7", "messages[0].content"),
        (r#"[{"type": "image_url"}]"#, "messages[0].content[0].type"),
        (r#"[{"type": "text"}]"#, "messages[0].content[0].text"),
        (r#"[{"type": "text", "text": "a", "modality": "speech"}]"#, "messages[0].content[0].modality"),
        (r#"[{"type": "input_audio"}]"#, "messages[0].content[0].input_audio"),
        (
            r#"[{"type": "input_audio", "input_audio": {"data": "%", "format": "wav"}}]"#,
            "messages[0].content[0].input_audio.data",
        ),
        (
            r#"[{"type": "input_audio", "input_audio": {"data": "", "format": "amr"}}]"#,
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
fn fields_that_are_not_supported_are_named() {
    for field in ["tools", "stop", "logprobs", "response_format", "frequency_penalty", "user", "anything"] {
        let request = chat(&format!(r#", "{field}": [{{"a": 1}}]"#));
        assert_eq!(refused(request), (RefusalCode::UnsupportedField, field.to_owned()));
    }
    let deep = chat(r#", "ualm": {"text": {"top_q": 1}}"#);
    assert_eq!(refused(deep), (RefusalCode::UnsupportedField, "ualm.text.top_q".to_owned()));
}

#[test]
fn fields_that_do_not_go_together_are_refused() {
    for (rest, param) in [
        (r#""modalities": ["text", "audio"]"#, "audio"),
        (r#""modalities": ["speech"]"#, "modalities"),
        (r#""modalities": []"#, "modalities"),
        (r#""audio": {"format": "wav"}"#, "audio"),
        (r#""audio": {"format": "mp3"}, "modalities": ["audio"]"#, "audio.format"),
        (r#""max_tokens": 1, "max_completion_tokens": 1"#, "max_tokens"),
        (r#""stream_options": {"include_usage": true}"#, "stream_options"),
        (r#""n": 0"#, "n"),
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
fn plans_are_texts_or_their_parts() {
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
fn records_come_back_as_objects_or_sounds() {
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
