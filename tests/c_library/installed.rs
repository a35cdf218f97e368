//! The installed C library, and programs that are compiled against it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use ualm_testing::root;

/// Returns the folder of the installed debug build.
pub static PREFIX: LazyLock<PathBuf> = LazyLock::new(|| {
    let mut install = python();
    install.arg(root().join("scripts/install_c_library.py")).args(["--profile", "dev", "--prefix"]);
    let prefix = match *WATCH {
        Watch::Thread => {
            for_threads(&mut install);
            scratch("c library for threads")
        }
        _ => {
            install.env("CARGO", env!("CARGO"));
            scratch("c library")
        }
    };
    works(install.arg(&prefix).env_remove("DESTDIR"));
    prefix
});

/// Makes a nightly compiler build the library and the standard library with ThreadSanitizer.
fn for_threads(install: &mut Command) {
    install.env("CARGO", "cargo").env("RUSTUP_TOOLCHAIN", "nightly").env("RUSTFLAGS", "-Zsanitizer=thread");
    install.env("CARGO_UNSTABLE_BUILD_STD", "std,panic_unwind").env("CARGO_TARGET_DIR", scratch("thread-sanitizer"));
    install.env("CARGO_BUILD_TARGET", format!("{}-unknown-linux-gnu", std::env::consts::ARCH));
}

/// A tool that checks the test programs while they run.
#[derive(Clone, Copy)]
pub enum Watch {
    Nothing,
    Address,
    Thread,
    Valgrind,
}

/// The tool that UALM_WATCH names: `address` (the default, if the C compiler supports it), `thread` (`make
/// test-threads`, with a library built for it) or `valgrind`.
pub static WATCH: LazyLock<Watch> = LazyLock::new(|| match std::env::var("UALM_WATCH").as_deref() {
    Ok("thread") => Watch::Thread,
    Ok("valgrind") => Watch::Valgrind,
    Ok("address") => Watch::Address,
    Ok(other) => panic!("UALM_WATCH is {other:?}; expected address, thread or valgrind"),
    Err(_) if has_address_sanitizer() => Watch::Address,
    Err(_) => {
        eprintln!("note: the C compiler has no AddressSanitizer; the C tests run without it");
        Watch::Nothing
    }
});

fn has_address_sanitizer() -> bool {
    let source = scratch("empty.c");
    let program = scratch("empty");
    std::fs::write(&source, "int main(void) { return 0; }\n").unwrap();
    let compiled = Command::new("cc").arg("-fsanitize=address").arg(&source).arg("-o").arg(&program).output();
    compiled.is_ok_and(|o| o.status.success()) && Command::new(&program).output().is_ok_and(|o| o.status.success())
}

impl Watch {
    /// Returns the flags for the C compiler.
    pub fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Nothing | Self::Valgrind => &[],
            Self::Address => &["-fsanitize=address", "-fno-omit-frame-pointer"],
            Self::Thread => &["-fsanitize=thread", "-fno-omit-frame-pointer"],
        }
    }

    /// Returns the command that runs `program`.
    pub fn command(self, program: &Path) -> Command {
        let tools = root().join("tests/tools");
        match self {
            Self::Nothing | Self::Address => Command::new(program),
            Self::Thread => {
                let mut command = Command::new(program);
                let suppressions = tools.join("thread_sanitizer.supp");
                command.env("TSAN_OPTIONS", format!("suppressions='{}'", suppressions.display()));
                command
            }
            Self::Valgrind => {
                let mut command = Command::new("valgrind");
                command.args(["--quiet", "--error-exitcode=99", "--leak-check=full"]);
                command.args(["--errors-for-leak-kinds=definite", "--show-leak-kinds=definite"]);
                command.arg(format!("--suppressions={}", tools.join("valgrind.supp").display())).arg(program);
                command
            }
        }
    }
}

/// The kind of library to link.
#[derive(Clone, Copy, PartialEq)]
pub enum Link {
    Shared,
    Static,
}

/// Returns the program `ualm`, which `cargo test --workspace` builds beside this test.
pub fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join("ualm");
    assert!(program.exists(), "{} is missing: run `cargo build --package ualm-cli`", program.display());
    program
}

/// Returns a path for the output of a test.
pub fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// Returns the path of the shared library.
pub fn shared_library() -> PathBuf {
    PREFIX.join(if cfg!(target_os = "macos") { "lib/libualm.dylib" } else { "lib/libualm.so" })
}

/// Returns the Python of `make`.
pub fn python() -> Command {
    Command::new(std::env::var_os("PYTHON").unwrap_or("python3".into()))
}

/// Returns Python with the package of crates/python; `None` without its requirements (Python 3.11, numpy).
pub fn python_interface() -> Option<Command> {
    let able = ["-c", "import sys, numpy; sys.exit(sys.version_info < (3, 11))"];
    if !python().args(able).output().is_ok_and(|output| output.status.success()) {
        eprintln!("note: the Python interface was not tried: it needs Python 3.11 and numpy");
        return None;
    }
    let mut python = python();
    python.env("PYTHONPATH", root().join("crates/python")).env("UALM_C_LIBRARY", shared_library());
    python.env("PYTHONDONTWRITEBYTECODE", "1");
    Some(python)
}

/// Returns whether a program is installed.
pub fn is_installed(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Compiles `source` (C99, or C++17 with that ending); every warning is an error.
pub fn compile(source: &Path, name: &str, link: Link, arguments: &[&str]) -> PathBuf {
    let cpp = source.extension().is_some_and(|extension| extension == "cpp");
    let program = scratch(name);
    let mut command = Command::new(if cpp { "c++" } else { "cc" });
    command.arg(if cpp { "-std=c++17" } else { "-std=c99" }).args(["-Wall", "-Wextra", "-pedantic", "-Werror"]);
    command.args(arguments).arg("-I").arg(PREFIX.join("include")).arg(source).arg("-o").arg(&program);
    if matches!(*WATCH, Watch::Thread) {
        command.arg(root().join("tests/c/thread_sanitizer.c"));
    }
    match link {
        Link::Shared => command.arg(shared_library()).arg(format!("-Wl,-rpath,{}", PREFIX.join("lib").display())),
        Link::Static => command.arg(PREFIX.join("lib/libualm.a")).args(static_libraries()),
    };
    works(command.args(["-lm", "-lpthread"]));
    program
}

/// Returns the system libraries that the static library needs, from the pkg-config file.
fn static_libraries() -> Vec<String> {
    let file = std::fs::read_to_string(PREFIX.join("lib/pkgconfig/ualm.pc")).unwrap();
    let line = file.lines().find_map(|line| line.strip_prefix("Libs.private: ")).unwrap();
    line.split_whitespace().map(str::to_owned).collect()
}

/// Runs a command that must succeed, and returns its output.
pub fn works(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let printed = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?}: {:?}\n{printed}", output.status);
    output
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
