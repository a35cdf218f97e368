//! The greeting of `ualm` without arguments, and the shell completions and man pages, made from the command line's
//! definition.

use std::fs::{self, create_dir_all};
use std::io;
use std::path::Path;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};
use ualm::{Error, ErrorKind, Result};

use crate::args::command;
use crate::output::print;

/// The greeting; `serve` may be left out of a build.
const GREETING: &str = "\
ualm runs audio language models: one model that listens, writes and makes sound.

  ualm generate \"a dog, then a siren\" -o scene.wav --play   sound from a description
  ualm ask scene.wav                                        an answer about a recording
  ualm speak \"seven three\" -o digits.wav --play             speech from text (the default model speaks digits)
  ualm transcribe digits.wav                                text from speech
";
const LAST: &str = if cfg!(feature = "server") {
    "  ualm serve                                                everything in your browser, and OpenAI's API\n"
} else {
    "  ualm chat                                                 a conversation in text and sound\n"
};
const MORE: &str = "\nualm --help lists the commands, ualm COMMAND --help lists the options of one.\n";

/// Prints the greeting.
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
    let mut command = command(true);
    command.build();
    write_pages(command, folder).map_err(failed)
}

/// Writes the pages of `command` and of its subcommands.
fn write_pages(command: Command, folder: &Path) -> io::Result<()> {
    command.get_subcommands().try_for_each(|below| write_pages(below.clone(), folder))?;
    let exit_codes = command.get_after_help().map(ToString::to_string);
    let has_commands = command.has_subcommands();
    let page = Man::new(command.subcommand_help_heading("COMMANDS"));
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;
    // in the order of --help
    if has_commands {
        page.render_subcommands_section(&mut text)?;
    }
    page.render_options_section(&mut text)?;
    if let Some(codes) = exit_codes {
        Roff::new().control("SH", ["EXIT STATUS"]).text([roman(codes)]).to_writer(&mut text)?;
    }
    page.render_version_section(&mut text)?;
    fs::write(folder.join(page.get_filename()), text)
}
