//! Help in two lengths: `--help` shows the common options, `--help --all` shows every option.

use std::ffi::OsString;

use clap::{Arg, Command, CommandFactory, FromArgMatches};

use super::Args;

/// The maximum width of a page, in columns.
const WIDEST: usize = 110;

/// Parses `arguments`, the first of which is the program. Exits the process after printing help or a usage error.
pub fn parse(arguments: Vec<OsString>) -> Args {
    let (arguments, is_long) = normalize_help(arguments);
    let mut command = command(is_long);
    let matches = command.clone().get_matches_from(arguments);
    Args::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut command).exit())
}

/// Rewrites `ualm help COMMAND` to `ualm COMMAND --help`, and removes `--all` beside a help flag. Returns the arguments
/// and whether `--all` was removed.
fn normalize_help(mut arguments: Vec<OsString>) -> (Vec<OsString>, bool) {
    if arguments.get(1).is_some_and(|first| first == "help") {
        arguments.remove(1);
        arguments.push("--help".into());
    }
    let options = arguments.iter().position(|argument| argument == "--").unwrap_or(arguments.len());
    let has = |flags: &[&str]| arguments.iter().take(options).any(|argument| flags.iter().any(|flag| argument == flag));
    let is_long = has(&["--all"]) && has(&["--help", "-h"]);
    if is_long {
        arguments.retain(|argument| argument != "--all");
    }
    (arguments, is_long)
}

/// Returns the definition of the command line, whose help shows every option if `is_long`.
pub fn command(is_long: bool) -> Command {
    page(Args::command().max_term_width(WIDEST), is_long, "ualm")
}

/// Sets up the help of `command` and of its subcommands; `called` is the command as the user types it.
fn page(command: Command, is_long: bool, called: &str) -> Command {
    let command = command.mut_args(|argument| shown(argument, is_long)).mut_subcommands(|below| {
        let called = format!("{called} {}", below.get_name());
        // the man pages need the version; a flag would be on every help page
        page(below.version(env!("CARGO_PKG_VERSION")).disable_version_flag(true), is_long, &called)
    });
    let more = format!("More options: {called} --help --all");
    match (called, is_long) {
        ("ualm", true) => command.after_help("Exit codes: 0 done, 1 failed, 2 usage error, 130 interrupted."),
        ("ualm", false) => command.after_help("Help for a command: ualm COMMAND --help"),
        (_, true) => command.hide(false),
        (_, false) => command.after_help(more),
    }
}

/// Sets whether help shows an argument and its environment variable. The values of variables are never shown: some are
/// secrets.
fn shown(argument: Arg, is_long: bool) -> Arg {
    let argument = argument.hide_env_values(true).hide_env(!is_long);
    if is_long { argument.hide_short_help(false) } else { argument }
}
