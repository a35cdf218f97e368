//! Text files from Windows: a byte order mark is skipped, and UTF-16 is refused by name.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;
use ualm_testing::{package, skip_without_fixtures};

fn ualm(arguments: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ualm"));
    command.args(arguments).env("UALM_MODEL", package("tiny-omni-fp32"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // a program that refuses its arguments does not read its input
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn works(arguments: &[&str], input: &[u8]) -> Output {
    let output = ualm(arguments, input);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Writes `text` after a byte order mark, and in UTF-16.
fn forms(folder: &Path, name: &str, text: &str) -> [PathBuf; 2] {
    let marked = folder.join(format!("marked-{name}"));
    let wide = folder.join(format!("wide-{name}"));
    fs::write(&marked, format!("\u{feff}{}", text.replace('\n', "\r\n"))).unwrap();
    fs::write(&wide, format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()).unwrap();
    [marked, wide]
}

/// Checks that `arguments`, with the file for `{}`, accept a byte order mark and refuse UTF-16 by name.
fn check(folder: &Path, name: &str, text: &str, arguments: &[&str]) -> Output {
    let [marked, wide] = forms(folder, name, text).map(|path| path.to_str().unwrap().to_owned());
    let with = |file: &str| arguments.iter().map(|argument| argument.replace("{}", file)).collect::<Vec<_>>();
    let borrowed = |arguments: &[String]| ualm(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), b"");
    let refused = borrowed(&with(&wide));
    let printed = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{name}: {printed}");
    assert!(printed.contains("UTF-16") && printed.contains("wide-"), "{name}: {printed}");
    let output = borrowed(&with(&marked));
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

#[test]
fn a_byte_order_mark_is_skipped_in_every_file() {
    skip_without_fixtures!();
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let request = |id: &str| {
        format!(
            r#"{{"id": "{id}", "messages": [{{"role": "user", "content": [{{"type": "text", "text": "rain"}}]}}],
            "force": ["audio"], "max_segments": 1, "audio": {{"max_steps": 12}}}}"#
        )
        .replace('\n', " ")
    };
    let requests = format!("{}\n{}\n", request("a"), request("b"));
    check(folder, "requests.jsonl", &requests, &["batch", "{}", "--out", &path("out")]);
    let results = fs::read_to_string(path("out/results.jsonl")).unwrap();
    assert!(results.lines().count() == 2 && !results.contains("error"), "{results}");

    let sound = path("a.wav");
    let generate = ["generate", "rain", "-o", &sound, "--seed", "1", "--max-steps", "12", "-q"];
    check(folder, "config.toml", "threads = 1\n", &[&generate[..], &["--config", "{}"]].concat());

    let chain = path("chain");
    let reason = ["reason", "rain", "-o", &chain, "--seed", "1", "--enrich", "--max-steps", "12", "-q"];
    check(folder, "plan.txt", "Rain, softly.\n", &[&reason[..], &["--plan", "{}"]].concat());
    let reply = fs::read_to_string(path("chain/reply.json")).unwrap();
    assert!(reply.contains("Rain, softly.") && !reply.contains('\u{feff}'), "{reply}");
    let on = path("on");
    let resume = ["reason", "--from", "{}", "--segment", "2", "-o", &on, "-q"];
    check(folder, "reply.json", &reply, &resume);
}

#[test]
fn a_byte_order_mark_is_skipped_on_standard_input() {
    skip_without_fixtures!();
    let generate = ["generate", "-", "-o", "-", "--seed", "1", "--max-steps", "12", "-q"];
    let plain = works(&generate, b"rain").stdout;
    assert!(plain.len() > 44);
    assert_eq!(works(&generate, b"\xef\xbb\xbfrain\r\n").stdout, plain);
    let refused = ualm(&generate, b"\xff\xfer\0a\0i\0n\0");
    let printed = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        refused.status.code() == Some(2) && printed.contains("standard input") && printed.contains("UTF-16"),
        "{printed}"
    );
}
