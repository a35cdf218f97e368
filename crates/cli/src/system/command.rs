//! Commands and path lists in environment variables.

use super::System;

/// The separator of paths in an environment variable.
pub const PATH_DELIMITER: char = match System::CURRENT {
    System::Windows => ';',
    System::Linux | System::MacOs => ':',
};

/// The default editor.
pub const DEFAULT_EDITOR: &str = match System::CURRENT {
    System::Windows => "notepad",
    System::Linux | System::MacOs => "vi",
};

/// Splits a command into a program and its arguments, as the system's shells do; `None` if quotes are left open.
pub fn split_command(command: &str) -> Option<Vec<String>> {
    split(System::CURRENT, command)
}

fn split(system: System, command: &str) -> Option<Vec<String>> {
    match system {
        System::Windows => split_on_windows(command),
        System::Linux | System::MacOs => shell_words::split(command).ok(),
    }
}

/// Splits at white space outside quotation marks; a backslash is part of a path.
fn split_on_windows(command: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut is_quoted = false;
    for letter in command.chars() {
        match letter {
            '"' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            letter if letter.is_whitespace() && !is_quoted => words.extend(word.take()),
            letter => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    (!is_quoted).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_split_as_each_system_does() {
        for (command, unix, windows) in [
            ("vi", Some(vec!["vi"]), Some(vec!["vi"])),
            ("code --wait", Some(vec!["code", "--wait"]), Some(vec!["code", "--wait"])),
            (r"C:\Windows\notepad.exe", Some(vec!["C:Windowsnotepad.exe"]), Some(vec![r"C:\Windows\notepad.exe"])),
            (
                r#""C:\Program Files\e.exe" -n  """#,
                Some(vec![r"C:\Program Files\e.exe", "-n", ""]),
                Some(vec![r"C:\Program Files\e.exe", "-n", ""]),
            ),
            ("'a b' c", Some(vec!["a b", "c"]), Some(vec!["'a", "b'", "c"])),
            ("\"a b", None, None),
            ("  ", Some(vec![]), Some(vec![])),
        ] {
            let expected = |words: Option<Vec<&str>>| words.map(|words| words.into_iter().map(str::to_owned).collect());
            assert_eq!(split(System::Linux, command), expected(unix.clone()), "{command}");
            assert_eq!(split(System::MacOs, command), expected(unix), "{command}");
            assert_eq!(split(System::Windows, command), expected(windows), "{command}");
        }
    }
}
