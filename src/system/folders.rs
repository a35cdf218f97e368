//! The folders of a user.

use std::ffi::OsString;
use std::path::PathBuf;

use super::System;

/// Returns this project's folder in the user's cache: `$XDG_CACHE_HOME/ualm`, `~/.cache/ualm`, or
/// `%LOCALAPPDATA%\ualm`.
pub fn cache_folder() -> Option<PathBuf> {
    folder(System::CURRENT, &CACHE, |name| std::env::var_os(name))
}

/// Returns this project's folder in the user's configuration: `$XDG_CONFIG_HOME/ualm`, `~/.config/ualm`, or
/// `%APPDATA%\ualm`.
pub fn config_folder() -> Option<PathBuf> {
    folder(System::CURRENT, &CONFIG, |name| std::env::var_os(name))
}

/// Returns this project's folder in the user's state, such as histories: `$XDG_STATE_HOME/ualm`, `~/.local/state/ualm`, or
/// `%LOCALAPPDATA%\ualm`.
pub fn state_folder() -> Option<PathBuf> {
    folder(System::CURRENT, &STATE, |name| std::env::var_os(name))
}

/// The location of a user's folder.
struct Location {
    /// The variable that names the folder on every system.
    variable: &'static str,
    /// The variable that names the folder on Windows.
    windows: &'static str,
    /// The name of the folder in the user's home on other systems.
    in_home: &'static str,
}

const CACHE: Location = Location { variable: "XDG_CACHE_HOME", windows: "LOCALAPPDATA", in_home: ".cache" };
const CONFIG: Location = Location { variable: "XDG_CONFIG_HOME", windows: "APPDATA", in_home: ".config" };
const STATE: Location = Location { variable: "XDG_STATE_HOME", windows: "LOCALAPPDATA", in_home: ".local/state" };

/// Returns this project's folder in `location`, if the environment names it; an empty variable names nothing.
fn folder(system: System, location: &Location, variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let usual = || match system {
        System::Windows => set(location.windows),
        System::Linux | System::MacOs => set("HOME").map(|home| home.join(location.in_home)),
    };
    set(location.variable).or_else(usual).map(|base| base.join("ualm"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_where_each_system_has_them() {
        let environment = |name: &str| {
            let value = match name {
                "HOME" => "/home/ada",
                "LOCALAPPDATA" => "local",
                "APPDATA" => "roaming",
                "XDG_CACHE_HOME" => "",
                _ => return None,
            };
            Some(OsString::from(value))
        };
        let in_home = ["/home/ada/.cache/ualm", "/home/ada/.config/ualm", "/home/ada/.local/state/ualm"];
        for (system, [cache, config, state]) in [
            (System::Linux, in_home),
            (System::MacOs, in_home),
            (System::Windows, ["local/ualm", "roaming/ualm", "local/ualm"]),
        ] {
            assert_eq!(folder(system, &CACHE, environment), Some(cache.into()));
            assert_eq!(folder(system, &CONFIG, environment), Some(config.into()));
            assert_eq!(folder(system, &STATE, environment), Some(state.into()));
            let named = |name: &str| (name == "XDG_CACHE_HOME").then(|| OsString::from("named"));
            assert_eq!(folder(system, &CACHE, named), Some("named/ualm".into()));
            assert_eq!(folder(system, &CONFIG, named), None);
        }
    }
}
