//! `batch`: a file of requests, one JSON object a line, to a file of results and the sounds beside it (`docs/batch.md`).

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use ualm::audio::{DecodeOptions, WavFormat, decode_file, write_wav};
use ualm::{
    Cancel, Content, Error, ErrorKind, Frames, GenerationConfig, Message, Modality, Model, Reply, Result, Role,
    Seconds, Segment, SegmentEnd, Usage,
};

use crate::args::{Batch, Common};
use crate::interrupt::{cancel_on_signal, interrupted};
use crate::output::{complain, remark, to_json};
use crate::overrides::Overrides;
use crate::progress::Progress;
use crate::setup::load_model;

/// The file of results in the output folder.
const RESULTS: &str = "results.jsonl";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    id: String,
    messages: Vec<RequestMessage>,
    #[serde(default)]
    force: Vec<Modality>,
    #[serde(default)]
    text: Overrides,
    #[serde(default)]
    audio: Overrides,
    max_segments: Option<usize>,
    seed: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestMessage {
    role: String,
    content: Vec<Part>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
enum Part {
    Text { text: String },
    Audio { path: PathBuf },
    Speech { path: PathBuf },
}

/// A line of the results.
#[derive(Serialize)]
#[serde(untagged)]
enum Outcome {
    Answered {
        id: String,
        segments: Vec<ResultSegment>,
        #[serde(skip_serializing_if = "Option::is_none")]
        prompt_frames: Option<Frames>,
        usage: Usage,
        seconds: Seconds,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<String>,
    },
    Failed {
        id: Option<String>,
        line: usize,
        error: Failure,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        segments: Vec<ResultSegment>,
    },
}

#[derive(Serialize)]
struct Failure {
    kind: &'static str,
    message: String,
}

#[derive(Serialize)]
struct ResultSegment {
    modality: Modality,
    end: SegmentEnd,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frames: Option<Frames>,
}

/// `ualm batch`.
pub fn run(common: &Common, args: &Batch) -> Result<()> {
    let lines = read_lines(&args.requests)?;
    let mut results = begin_results(&args.out, common)?;
    let cancel = cancel_on_signal()?;
    let model = load_model(common)?;
    let base = args.requests.parent().unwrap_or(Path::new(""));
    let runner = Runner { model, base, args, cancel };
    let progress = Progress::items(common, lines.len() as u64, "requests");
    let (mut ids, mut failed) = (HashSet::new(), 0);
    for (number, line) in &lines {
        let outcome = runner.answer(*number, line, &mut ids);
        if runner.cancel.is_cancelled() {
            return Err(interrupted(&format!("finished requests are in {}", args.out.join(RESULTS).display())));
        }
        failed += usize::from(matches!(outcome, Outcome::Failed { .. }));
        write_line(&mut results, &outcome, &args.out)?;
        progress.item();
    }
    progress.clear();
    remark(common, &format!("{} requests, {failed} failed: {}", lines.len(), args.out.join(RESULTS).display()));
    match failed {
        0 => Ok(()),
        _ => Err(Error::new(
            ErrorKind::Io,
            format!("{failed} of {} requests failed; their results say why", lines.len()),
        )),
    }
}

/// The lines that hold something, with their numbers from 1.
fn read_lines(requests: &Path) -> Result<Vec<(usize, String)>> {
    let failed = |e| Error::new(ErrorKind::Io, format!("{}: cannot be read", requests.display())).with_source(e);
    let source: Box<dyn BufRead> = match requests.to_str() {
        Some("-") => Box::new(std::io::stdin().lock()),
        _ => Box::new(BufReader::new(File::open(requests).map_err(failed)?)),
    };
    let mut lines = Vec::new();
    for (index, line) in source.split(b'\n').enumerate() {
        let line = String::from_utf8_lossy(&line.map_err(failed)?).trim().to_owned();
        if !line.is_empty() {
            lines.push((index + 1, line));
        }
    }
    Ok(lines)
}

/// A new file of results; one that is there already is kept under another name.
fn begin_results(out: &Path, common: &Common) -> Result<File> {
    let path = out.join(RESULTS);
    let failed = |e| Error::new(ErrorKind::Io, format!("{}: cannot be written", path.display())).with_source(e);
    std::fs::create_dir_all(out).map_err(failed)?;
    if path.exists() {
        let kept = out.join("results.previous.jsonl");
        std::fs::rename(&path, &kept).map_err(failed)?;
        remark(common, &format!("the results that were there are now in {}", kept.display()));
    }
    File::create(&path).map_err(failed)
}

fn write_line(results: &mut File, outcome: &Outcome, out: &Path) -> Result<()> {
    let line = format!("{}\n", to_json(outcome)?);
    results.write_all(line.as_bytes()).map_err(|e| {
        Error::new(ErrorKind::Io, format!("{}: cannot be written", out.join(RESULTS).display())).with_source(e)
    })
}

struct Runner<'a> {
    model: Model,
    /// The requests' folder: their paths are relative to it.
    base: &'a Path,
    args: &'a Batch,
    cancel: Cancel,
}

impl Runner<'_> {
    fn answer(&self, line: usize, text: &str, ids: &mut HashSet<String>) -> Outcome {
        let request = match serde_json::from_str::<Request>(text) {
            Ok(request) => request,
            Err(e) => {
                let error = Error::new(ErrorKind::Invalid, format!("line {line} is not a request: {e}"));
                return failure(id_of(text), line, &error, Vec::new());
            }
        };
        if !ids.insert(request.id.clone()) {
            let error = Error::new(ErrorKind::Invalid, format!("the id {:?} was used before", request.id));
            return failure(Some(request.id), line, &error, Vec::new());
        }
        let (prompt_frames, warnings, reply, error) = match self.reply(&request) {
            Ok(parts) => parts,
            Err(error) => return failure(Some(request.id), line, &error, Vec::new()),
        };
        match (self.save(&request.id, reply.segments), error) {
            (Ok(segments), None) => Outcome::Answered {
                id: request.id,
                segments,
                prompt_frames: self.args.frames.then_some(prompt_frames),
                usage: reply.usage,
                seconds: reply.seconds,
                warnings,
            },
            (Ok(segments), Some(error)) => failure(Some(request.id), line, &error, segments),
            (Err(error), _) => failure(Some(request.id), line, &error, Vec::new()),
        }
    }

    /// The reply, or as much of it as there is before the error that comes with it.
    fn reply(&self, request: &Request) -> Result<(Frames, Vec<String>, Reply, Option<Error>)> {
        let mut warnings = Vec::new();
        let messages = self.messages(request, &mut warnings)?;
        let mut session = self.model.session();
        let prompt = session.prompt(&messages)?;
        let frames = prompt.frames.clone();
        let (reply, error) = session.generate(prompt, &self.config(request), &self.cancel)?.into_partial_reply();
        Ok((frames, warnings, reply, error))
    }

    /// Each content part becomes one message.
    fn messages(&self, request: &Request, warnings: &mut Vec<String>) -> Result<Vec<Message>> {
        let max_seconds = Some(self.model.manifest().limits.input_seconds);
        let mut read = |path: &Path| {
            let decoded = decode_file(self.base.join(path), &DecodeOptions { sample_rate: None, max_seconds })?;
            warnings.extend(decoded.warnings.iter().map(|warning| format!("{}: {warning}", path.display())));
            Ok::<_, Error>(decoded.waveform)
        };
        let mut messages = Vec::new();
        for message in &request.messages {
            let role = Role::from_name(&message.role)?;
            for part in &message.content {
                let content = match part {
                    Part::Text { text } => Content::Text(text.clone()),
                    Part::Audio { path } => Content::Audio(read(path)?),
                    Part::Speech { path } => Content::Speech(read(path)?),
                };
                messages.push(Message { role, content });
            }
        }
        Ok(messages)
    }

    fn config(&self, request: &Request) -> GenerationConfig {
        let mut config = self.model.config();
        request.text.apply(&mut config.text);
        request.audio.apply(&mut config.audio);
        request.audio.apply(&mut config.speech);
        config.force.clone_from(&request.force);
        config.max_segments = request.max_segments.unwrap_or(config.max_segments);
        config.seed = request.seed.unwrap_or_else(|| seed_of(&request.id));
        config
    }

    /// Writes the sounds and describes the segments.
    fn save(&self, id: &str, segments: Vec<Segment>) -> Result<Vec<ResultSegment>> {
        let format = if self.args.float { WavFormat::Float32 } else { WavFormat::Pcm16 };
        let save = |(index, segment): (usize, Segment)| {
            let mut result = ResultSegment {
                modality: segment.modality,
                end: segment.end,
                text: (!segment.modality.is_sound()).then_some(segment.text),
                audio: None,
                seconds: None,
                frames: self.args.frames.then_some(segment.frames),
            };
            if let Some(sound) = &segment.audio {
                let name = format!("{}.{index}.wav", file_name(id));
                if write_wav(self.args.out.join(&name), sound, format)? > 0 {
                    complain(&format!("warning: {name}: samples beyond full scale were clipped; --float keeps them"));
                }
                result.seconds = Some(sound.seconds());
                result.audio = Some(name);
            }
            Ok(result)
        };
        segments.into_iter().enumerate().map(save).collect()
    }
}

fn failure(id: Option<String>, line: usize, error: &Error, segments: Vec<ResultSegment>) -> Outcome {
    Outcome::Failed { id, line, error: Failure { kind: error.kind().name(), message: error.to_string() }, segments }
}

/// The id of a line that is JSON, if no request.
fn id_of(line: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        id: String,
    }
    serde_json::from_str::<Named>(line).ok().map(|named| named.id)
}

/// The seed of a request without one: it depends on nothing but the id.
fn seed_of(id: &str) -> u64 {
    Sha256::digest(id.as_bytes()).iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte))
}

/// `id` as a file name: bytes other than letters, digits, `-`, `_` and inner dots become `%` and two digits.
fn file_name(id: &str) -> String {
    let plain =
        |index: usize, byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte) || (byte == b'.' && index > 0);
    id.bytes()
        .enumerate()
        .map(|(index, byte)| if plain(index, byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_become_file_names_that_stay_in_the_folder() {
        assert_eq!(file_name("a-1.b_C"), "a-1.b_C");
        assert_eq!(file_name("../x y"), "%2E.%2Fx%20y");
        assert_eq!(file_name("ä"), "%C3%A4");
    }

    #[test]
    fn unknown_fields_are_refused_by_name() {
        let line = r#"{"id": "a", "messages": [], "temprature": 1}"#;
        let error = serde_json::from_str::<Request>(line).err().map(|e| e.to_string());
        assert!(error.is_some_and(|e| e.contains("temprature")));
    }
}
