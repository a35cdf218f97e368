//! Help, completions, man pages, and the reference in `docs/cli.md`, which `make reference` generates from the help.

use std::fmt::Write;
use std::fs;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;
use ualm_testing::root;

fn ualm(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ualm"));
    command.args(arguments).env("COLUMNS", "100").env("UALM_MODEL", "a secret of this machine").stdin(Stdio::null());
    command.output().unwrap()
}

/// Runs a command that must succeed, and returns its standard output.
fn shown(arguments: &[&str]) -> String {
    let output = ualm(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Returns the commands that a help page lists.
fn commands(page: &str) -> Vec<String> {
    let Some((_, rest)) = page.split_once("\nCommands:\n") else { return Vec::new() };
    let lines = rest.lines().take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    names.map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
}

#[test]
fn the_greeting_shows_five_commands_that_exist() {
    let page = shown(&[]);
    let known = commands(&shown(&["--help"]));
    let named: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("  ualm ")).collect();
    assert_eq!(named.len(), 5, "{page}");
    for line in named {
        let name = line.split_whitespace().next().unwrap();
        assert!(known.iter().any(|known| known == name), "{name}");
    }
    assert!(page.lines().count() < 20 && page.lines().all(|line| line.chars().count() <= 110), "{page}");
}

#[test]
fn help_shows_common_options_and_all_options_on_request() {
    let short = shown(&["generate", "--help"]);
    let long = shown(&["generate", "--help", "--all"]);
    for option in ["--output", "--play", "--seed", "--takes", "--model", "--help"] {
        assert!(short.contains(option) && long.contains(option), "{option}");
    }
    for option in ["--limit-memory", "--library", "--load-timeout", "--top-k", "--float", "UALM_MODEL"] {
        assert!(!short.contains(option) && long.contains(option), "{option}");
    }
    assert!(short.contains("ualm generate --help --all"));
    assert!(!long.contains("a secret"), "values of variables are not shown");
    for same in [&["generate", "-h", "--all"][..], &["--all", "generate", "-h"], &["help", "generate", "--all"]] {
        assert_eq!(shown(same), long, "{same:?}");
    }
    assert_eq!(shown(&["help"]), shown(&["-h"]));
    assert_eq!(shown(&["help", "codec", "encode"]), shown(&["codec", "encode", "--help"]));
    let output = ualm(&["generate", "rain", "--all"]);
    assert_eq!(output.status.code(), Some(2), "--all is only for help");
}

#[test]
fn typos_give_suggestions() {
    for (arguments, guess) in [
        (&["genrate"][..], "'generate'"),
        (&["transcrbe", "x.wav"], "'transcribe'"),
        (&["generate", "x", "-o", "y.wav", "--sed", "3"], "'--seed'"),
        (&["bench", "--only", "step"], "'steps'"),
        (&["completions", "bsh"], "'bash'"),
    ] {
        let output = ualm(arguments);
        let words = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words}");
        assert!(words.contains("tip: a similar") && words.contains(guess), "{words}");
    }
}

#[test]
fn shells_complete_commands_options_and_files() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = shown(&["completions", shell]);
        for name in ["transcribe", "limit-memory", "spectrogram"] {
            assert!(script.contains(name), "{shell}: {name}");
        }
    }
    if cfg!(windows) || Command::new("bash").arg("--version").output().is_err() {
        return; // the bash of Windows runs in a machine of its own
    }
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("dog.wav"), "").unwrap();
    let script = folder.path().join("ualm.bash");
    fs::write(&script, shown(&["completions", "bash"])).unwrap();
    let completed = |words: &str| {
        let run = format!(
            "source '{}'; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _ualm ualm \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD - 1]}}\"; echo \"${{COMPREPLY[@]}}\"",
            script.display()
        );
        let output = Command::new("bash").args(["-c", &run]).current_dir(folder.path()).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(completed("ualm gen"), "generate");
    assert_eq!(completed("ualm ask --limit-m"), "--limit-memory");
    assert_eq!(completed("ualm ask --spectrogram do"), "dog.wav");
}

#[test]
fn every_command_has_a_man_page() {
    let folder = TempDir::new().unwrap();
    let pages = folder.path().join("share/man/man1");
    shown(&["man", pages.to_str().unwrap()]);
    let mut expected = vec!["ualm.1".to_owned()];
    for name in commands(&shown(&["--help", "--all"])) {
        expected.push(format!("ualm-{name}.1"));
        let below = commands(&shown(&[&name, "--help"]));
        expected.extend(below.iter().map(|below| format!("ualm-{name}-{below}.1")));
    }
    let mut found: Vec<_> =
        fs::read_dir(&pages).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
    let page = fs::read_to_string(pages.join("ualm-generate.1")).unwrap();
    assert!(page.contains("UALM_SEED") && page.contains("limit\\-memory"), "{page}");
    let first = fs::read_to_string(pages.join("ualm.1")).unwrap();
    let places =
        [".SH COMMANDS", "ualm\\-generate", "ualm\\-doctor", ".SH OPTIONS", "limit\\-memory", ".SH \"EXIT STATUS\""];
    let places = places.map(|part| first.rfind(part).unwrap_or_else(|| panic!("{part} is not in {first}")));
    assert!(places.is_sorted(), "the order is that of --help: {places:?}: {first}");
    let groff =
        Command::new("groff").args(["-K", "utf8", "-man", "-ww", "-z"]).arg(pages.join("ualm-serve.1")).output();
    if let Ok(groff) = groff {
        assert!(groff.status.success() && groff.stderr.is_empty(), "{}", String::from_utf8_lossy(&groff.stderr));
    }
    let output = ualm(&["man", root().join("Cargo.toml").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "a file is not a folder");
}

/// Returns the words of each `ualm` command in the code of a document.
fn documented(text: &str) -> Vec<Vec<String>> {
    let lines = text.lines().map(str::trim_start).filter_map(|line| line.strip_prefix("ualm "));
    let lines = lines.map(|line| line.split(" #").next().unwrap());
    let lines = lines.filter(|line| !line.contains("COMMAND") && !line.contains('…'));
    let words = lines.map(|line| shell_words::split(line).unwrap());
    words
        .map(|words| words.into_iter().take_while(|word| !["|", ">", ">>"].contains(&word.as_str())).collect())
        .collect()
}

/// Checks each command with `--help` at the end, which fails for unknown words before it.
#[test]
fn commands_in_the_documentation_are_valid() {
    let pages = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let pages = pages.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let mut tried = 0;
    for page in pages.chain(["README.md", "packaging/README.md", "onnx/README.md"].map(|name| root().join(name))) {
        let text = fs::read_to_string(&page).unwrap();
        let code = text.split("```").skip(1).step_by(2).filter(|code| !code.starts_with("text"));
        for words in code.flat_map(documented) {
            let words: Vec<_> = words.iter().map(String::as_str).chain(["--help"]).collect();
            let output = ualm(&words);
            assert!(
                output.status.success(),
                "{}: {words:?}: {}",
                page.display(),
                String::from_utf8_lossy(&output.stderr)
            );
            tried += 1;
        }
    }
    assert!(tried > 30, "{tried}");
}

/// Appends the section of a command, and of its subcommands.
fn section(reference: &mut String, words: &[&str]) {
    let asked = [words, &["--help", "--all"]].concat();
    let page = shown(&asked);
    let (own, _) = page.split_once("\nOptions of every command:\n").unwrap();
    write!(reference, "\n## `ualm {}`\n\n```text\n{}\n```\n", words.join(" "), own.trim_end()).unwrap();
    for below in commands(&page) {
        section(reference, &[words, &[below.as_str()]].concat());
    }
}

#[test]
fn the_reference_in_the_documentation_is_up_to_date() {
    const BEGIN: &str = "<!-- made by tests/program/help.rs: make reference -->\n";
    let path = root().join("docs/cli.md");
    let page = shown(&["--help", "--all"]);
    let (_, common) = page.split_once("\nOptions of every command:\n").unwrap();
    let (common, _) = common.rsplit_once("\n\n").unwrap();
    let mut reference = format!("\n## Options of every command\n\n```text\n{}\n```\n", common.trim_end());
    for command in commands(&page) {
        section(&mut reference, &[&command]);
    }
    let text = fs::read_to_string(&path).unwrap().replace("\r\n", "\n");
    let (before, _) = text.split_once(BEGIN).expect("the mark before the reference");
    let made = format!("{before}{BEGIN}{reference}");
    if std::env::var_os("UALM_WRITE_REFERENCE").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let is_same = fs::read_to_string(&path).unwrap().replace("\r\n", "\n") == made;
    assert!(is_same, "the reference in docs/cli.md is outdated: run `make reference`");
}
