//! What is made from the program's arguments: the page that greets a newcomer, shell completions, and man pages.

use std::fs::create_dir_all;
use std::path::Path;

use clap_complete::Shell;
use ualm::{Error, ErrorKind, Result};

use crate::args::command;
use crate::output::print;

/// The page of `ualm` alone; `serve` may be left out of a build.
const GREETING: &str = "\
ualm runs audio language models: one model that listens, writes and makes sound.

  ualm generate \"a dog, then a siren\" -o scene.wav --play   words to sound
  ualm ask scene.wav                                        what is heard in a recording?
  ualm speak \"seven three\" -o digits.wav --play             words to speech (the default model says digits)
  ualm transcribe digits.wav                                speech to words
";
const LAST: &str = if cfg!(feature = "server") {
    "  ualm serve                                                all of it in your browser, and by OpenAI's API\n"
} else {
    "  ualm chat                                                 a conversation over text and sound\n"
};
const MORE: &str = "\nualm --help lists all commands, ualm COMMAND --help the options of one.\n";

/// Prints the page that greets a newcomer.
pub fn greet() -> Result<()> {
    print(&[GREETING, LAST, MORE].concat())
}

/// `ualm completions`.
pub fn completions(shell: Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(true), "ualm", &mut script);
    print(&String::from_utf8_lossy(&script))
}

/// `ualm man`.
pub fn man(folder: &Path) -> Result<()> {
    let failed =
        |e| Error::new(ErrorKind::Io, format!("{}: the man pages cannot be written", folder.display())).with_source(e);
    create_dir_all(folder).map_err(failed)?;
    clap_mangen::generate_to(command(true), folder).map_err(failed)
}
