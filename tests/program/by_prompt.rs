//! `reason` and `converse` with a model whose prompts select the modality.

use std::fs;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use ualm::Record;
use ualm::audio::{WavFormat, Waveform, write_wav};
use ualm_testing::{change_manifest, package, package_by_prompt, skip_without_fixtures};

/// A folder with a copy of the package.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        package_by_prompt(&folder.path().join("package"));
        Self(folder)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.0.path().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    fn files(&self, name: &str) -> Vec<String> {
        let entries = fs::read_dir(self.0.path().join(name)).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ualm"));
        command.args(arguments).env("UALM_MODEL", self.path("package")).stdin(Stdio::null());
        command.env_remove("EDITOR").env_remove("VISUAL").env_remove("UALM_SEED");
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn works(&self, arguments: &[&str]) -> (String, String) {
        let Output { status, stdout, stderr } = self.run(arguments);
        let printed = String::from_utf8_lossy(&stderr).into_owned();
        assert!(status.success(), "{arguments:?}: {printed}");
        (String::from_utf8_lossy(&stdout).into_owned(), printed)
    }

    fn fails(&self, arguments: &[&str], code: i32, expected: &str) {
        let output = self.run(arguments);
        let printed = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{printed}");
        assert!(printed.contains(expected) && !printed.contains("panicked"), "expected {expected:?} in: {printed}");
    }

    fn question(&self) -> String {
        let samples = (0..8000).map(|i| (i as f32 * 0.1).sin() * 0.3).collect();
        let path = self.path("question.wav");
        write_wav(&path, &Waveform::mono(samples, 16_000).unwrap(), WavFormat::Pcm16).unwrap();
        path
    }
}

#[test]
fn a_reflection_hears_its_draft_and_resumes_at_any_segment() {
    skip_without_fixtures!();
    let folder = Folder::new();
    let chain = folder.path("chain");
    let (said, printed) = folder.works(&["reason", "--reflect", "--listen", "rain", "-o", &chain, "--seed", "5"]);
    let files = ["01-plan.txt", "02-draft.wav", "03-description.txt", "04-critique.txt", "05-final.wav", "reply.json"];
    assert_eq!(folder.files("chain"), files);
    assert!(said.contains("\ndescription: "), "{said}");
    assert!(!printed.contains("was not trained"), "it was not trained to, and need not be: {printed}");
    assert!(printed.contains("plan: up to 12 steps\n"), "{printed}");
    assert!(printed.contains("draft: up to 12 steps, at most about "), "{printed}");
    let record = format!("{chain}/reply.json");
    assert_eq!(Record::read(&record).unwrap().turns.len(), 5);

    for number in 1..=5 {
        let again = format!("again{number}");
        let output = folder.path(&again);
        folder.works(&["reason", "--from", &record, "--segment", &number.to_string(), "-o", &output, "-q"]);
        assert_eq!(folder.files(&again), files);
        for name in files {
            assert_eq!(
                folder.read(&format!("{again}/{name}")),
                folder.read(&format!("chain/{name}")),
                "{number}: {name}"
            );
        }
    }
    folder.works(&["take", &format!("{chain}/05-final.wav"), "--again"]);
    folder.works(&["take", &format!("{chain}/02-draft.wav"), "--again"]);
}

#[test]
fn the_wording_and_the_plan_can_be_supplied() {
    skip_without_fixtures!();
    let folder = Folder::new();
    let chain = folder.path("chain");
    let prompts = folder.path("prompts.json");
    fs::write(&prompts, r#"{"plan": "Say {words}."}"#).unwrap();
    let arguments = ["reason", "rain", "-o", &chain, "--seed", "5", "--prompts", &prompts, "--json", "-q"];
    let (said, _) = folder.works(&arguments);
    let summary: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(summary["segments"][0]["cost"]["steps"], 12, "{summary}");
    assert!(summary["segments"][1]["cost"]["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{summary}");
    let record = Record::read(format!("{chain}/reply.json")).unwrap();
    assert_eq!(record.turns[0].messages[0].text.as_deref(), Some("Say rain."));

    let plan = folder.path("plan.txt");
    fs::write(&plan, "Keywords: rain. Layout: 0-0.1 rain. Description: It rains.").unwrap();
    let planned = folder.path("planned");
    let (_, printed) = folder.works(&["reason", "rain", "-o", &planned, "--seed", "5", "--plan", &plan]);
    assert!(printed.contains("final: up to 12 steps, at most"), "{printed}");
    let record = Record::read(format!("{planned}/reply.json")).unwrap();
    assert_eq!(record.turns[1].messages[0].text.as_deref(), Some("It rains."));

    fs::write(&prompts, r#"{"plan": "{wrods}"}"#).unwrap();
    folder.fails(&["reason", "rain", "-o", &folder.path("no"), "--prompts", &prompts], 2, "expected one of {words}");
    fs::write(&prompts, r#"{"plan": "{words}"}"#).unwrap();
    let other = package("tiny-omni-fp32");
    let other = ["reason", "rain", "-o", &folder.path("no"), "--prompts", &prompts, "--model", other.to_str().unwrap()];
    folder.fails(&other, 2, "--prompts is for models that reason by prompt");
}

#[test]
fn an_empty_stage_is_an_error_that_says_how_to_resume() {
    skip_without_fixtures!();
    let folder = Folder::new();
    change_manifest(&folder.0.path().join("package"), |manifest| {
        // with random weights some texts are empty
        manifest["modalities"]["text"]["generation"]["min_steps"] = serde_json::json!(0);
    });
    let chain = folder.path("chain");
    let plan = folder.path("plan.txt");
    let prompts = folder.path("prompts.json");
    fs::write(&prompts, r#"{"plan": "{words}"}"#).unwrap();
    let nothing = "the plan has no text: nothing of it is kept";
    let begun = ["reason", "rain", "-o", &chain, "--seed", "5", "--prompts", &prompts];
    folder.fails(&begun, 1, &format!("segment 1: {nothing}"));
    fs::write(&plan, "Rain.").unwrap();
    folder.works(&[&begun[..], &["--plan", &plan]].concat());
    let record = format!("{chain}/reply.json");
    let hint = format!("resume with --from {record} --segment 1): {nothing}");
    folder.fails(&["reason", "--from", &record, "--segment", "1"], 1, &hint);
    assert_eq!(
        folder.files("chain"),
        ["01-plan.txt", "02-final.wav", "reply.json"],
        "the earlier files are still there"
    );
}

#[test]
fn a_spoken_question_gets_a_spoken_answer() {
    skip_without_fixtures!();
    let folder = Folder::new();
    let question = folder.question();
    let answer = folder.path("answer.wav");
    let (said, _) = folder.works(&["converse", &question, "-o", &answer, "--seed", "5"]);
    assert!(said.starts_with("question: ") && said.contains("\nanswer: ") && said.ends_with('\n'), "{said}");
    assert_eq!(Record::read_wav(&answer).unwrap().turns.len(), 3);
    let (_, printed) = folder.works(&["take", &answer, "--again"]);
    assert!(printed.contains("the same"), "{printed}");

    let second = folder.path("second.wav");
    let (said, _) = folder.works(&["converse", &question, "-o", &second, "--seed", "5", "--json", "-q", "--no-take"]);
    let described: Value = serde_json::from_str(&said).unwrap();
    assert!(!described["question"].as_str().unwrap().is_empty() && described["seed"] == 5, "{described}");
    assert!(Record::read_wav(&second).is_err());

    let streamed = folder.run(&["converse", &question, "-o", "-", "--raw", "--seed", "5"]);
    let printed = String::from_utf8_lossy(&streamed.stderr);
    assert!(printed.contains("question: ") && printed.contains("answer: "), "{printed}");
    let whole = folder.read("second.wav");
    assert_eq!(streamed.stdout.len(), whole.len() - 44, "only the samples");

    folder.fails(&["converse", &question, "-o", &answer, "--raw"], 2, "--raw is only for standard output");
    folder.fails(&["converse", &folder.path("none.wav"), "-o", &answer], 1, "there is no such file");
    folder.fails(&["reason", "--from", &folder.path("none.json"), "--segment", "1"], 1, "there is no such file");
    folder.fails(&["batch", &folder.path("none.jsonl"), "--out", &folder.path("out")], 1, "there is no such file");
    let other = package("tiny-omni-fp32");
    let other = ["converse", &question, "-o", &answer, "--model", other.to_str().unwrap()];
    folder.fails(&other, 1, "no speech was understood in the recording");
}
