//! Advice on errors by the options and commands of this program, which the library does not know.

use ualm::ErrorKind;

/// Returns the advice for an error of `kind`, if this program has an option or a command that helps.
pub fn on(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::Library => {
            Some("--library names ONNX Runtime's library, --load-timeout sets the time limit on loading it")
        }
        ErrorKind::Provider => Some("--provider selects other providers; `ualm doctor` reports the state of each"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::args::Args;

    /// Every option and command that advice names exists.
    #[test]
    fn advice_names_options_and_commands_of_the_program() {
        let program = Args::command();
        for advice in ErrorKind::ALL.into_iter().filter_map(on) {
            for word in advice.split([' ', ',', ';', '`']) {
                if let Some(option) = word.strip_prefix("--") {
                    assert!(program.get_arguments().any(|known| known.get_long() == Some(option)), "--{option}");
                }
            }
            for command in advice.split("`ualm ").skip(1).filter_map(|rest| rest.split('`').next()) {
                assert!(program.find_subcommand(command).is_some(), "{command}");
            }
        }
        assert!(on(ErrorKind::Provider).is_some() && on(ErrorKind::Audio).is_none());
    }
}
