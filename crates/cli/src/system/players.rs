//! Programs of the system that play a WAV file and exit.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::System;

/// Players on Linux, each with its arguments before the file, in order of preference.
const ON_LINUX: [(&str, &[&str]); 6] = [
    ("pw-play", &[]),
    ("paplay", &[]),
    ("aplay", &["-q"]),
    ("play", &["-q"]),
    ("ffplay", &["-nodisp", "-autoexit", "-loglevel", "error"]),
    ("mpv", &["--no-video", "--really-quiet"]),
];

/// The player on Windows is a class of .NET, called by PowerShell. The path of the file is passed in an environment
/// variable, not as code.
const POWERSHELL: &str = r"System32\WindowsPowerShell\v1.0\powershell.exe";
const SCRIPT: &str = "(New-Object System.Media.SoundPlayer $env:UALM_SOUND).PlaySync()";

/// Returns the commands that may play `file`, in order of preference.
pub fn players(file: &Path) -> Vec<Command> {
    commands(System::CURRENT, file)
}

/// Returns the names of the players, for messages.
pub fn player_names() -> String {
    names(&players(Path::new("")))
}

fn commands(system: System, file: &Path) -> Vec<Command> {
    match system {
        System::Linux => ON_LINUX.iter().map(|(program, arguments)| command_for(program, arguments, file)).collect(),
        System::MacOs => vec![command_for("afplay", &[], file)],
        System::Windows => {
            let root = std::env::var_os("SystemRoot").map_or_else(|| PathBuf::from(r"C:\Windows"), PathBuf::from);
            let mut command = quiet(root.join(POWERSHELL));
            command.args(["-NoProfile", "-NonInteractive", "-Command", SCRIPT]).env("UALM_SOUND", file);
            vec![command]
        }
    }
}

fn command_for(program: &str, arguments: &[&str], file: &Path) -> Command {
    let mut command = quiet(program);
    command.args(arguments).arg(file);
    command
}

fn names(commands: &[Command]) -> String {
    let programs = commands.iter().map(|command| command.get_program().to_string_lossy());
    let names = programs.map(|program| program.rsplit(['/', '\\']).next().unwrap_or_default().to_owned());
    names.collect::<Vec<_>>().join(", ")
}

/// Returns a command without access to the terminal, in a process group of its own: a Ctrl-C does not reach the
/// command, which this program ends itself.
pub fn quiet(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    #[cfg(windows)]
    {
        const CREATE_NEW_PROCESS_GROUP: u32 = 0x200;
        std::os::windows::process::CommandExt::creation_flags(&mut command, CREATE_NEW_PROCESS_GROUP);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_system_has_its_players() {
        let file = Path::new("a'; b.wav");
        for (system, expected) in [
            (System::Linux, "pw-play, paplay, aplay, play, ffplay, mpv"),
            (System::MacOs, "afplay"),
            (System::Windows, "powershell.exe"),
        ] {
            let commands = commands(system, file);
            assert_eq!(names(&commands), expected);
            for command in commands {
                let is_argument = command.get_args().last() == Some(file.as_os_str());
                let is_variable =
                    command.get_envs().any(|pair| pair == ("UALM_SOUND".as_ref(), Some(file.as_os_str())));
                assert_eq!((is_argument, is_variable), (system != System::Windows, system == System::Windows));
            }
        }
    }
}
