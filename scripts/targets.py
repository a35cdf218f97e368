"""The systems that ualm is built for: their names, and what building for them from another system takes."""
import os
import pathlib
import shutil
import subprocess
from dataclasses import dataclass

from crates import ROOT, host
from emulators import Qemu, Wine
from fetch_onnxruntime import Failure, fetch, this_system

WORK = ROOT / "target" / "cross"


@dataclass(frozen=True)
class Target:
    """A system and its processor."""

    triple: str
    """Name that rustc gives it."""
    system: str
    """linux, macos or windows."""
    processor: str
    prefix: str = ""
    """Beginning of the names of the C compiler and its tools for it; empty where none runs on another system."""
    packages: tuple = ()
    """Debian's packages with the compiler."""
    emulator: Qemu | Wine | None = None
    """Program that runs its programs on another system."""

    @property
    def name(self):
        """Name in the names of archives."""
        return f"{self.system}-{self.processor}"

    @property
    def is_windows(self):
        return self.system == "windows"

    @property
    def is_host(self):
        return self.triple == host()

    @property
    def program(self):
        """Name of the program's file."""
        return "ualm.exe" if self.is_windows else "ualm"

    def onnx_runtime(self):
        """Returns the path of ONNX Runtime's library for it, which is fetched if need be."""
        return pathlib.Path(fetch("cpu", (self.system, self.processor)))

    def folder(self, profile):
        """Returns the folder into which Cargo builds for it."""
        base = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target").absolute()
        name = "debug" if profile == "dev" else profile
        return base / name if self.is_host else base / self.triple / name

    def cargo_arguments(self):
        return [] if self.is_host else ["--target", self.triple]

    def environment(self):
        """Returns the variables by which Cargo and crates with C code find the compiler, and build what a release holds."""
        if self.is_host or not self.prefix:
            return {}
        name = self.triple.replace("-", "_")
        tools = {"CC": "gcc", "CXX": "g++", "AR": "ar"}
        found = {f"{variable}_{name}": self.prefix + tool for variable, tool in tools.items()}
        found[f"CARGO_TARGET_{name.upper()}_LINKER"] = f"{self.prefix}gcc"
        return found | {"CARGO_ENCODED_RUSTFLAGS": "\x1f".join(self.release_flags())}

    def release_flags(self):
        """Returns rustc's flags for a release, which leave out what differs from one build to the next: folders of this machine, and times."""
        home = pathlib.Path(os.environ.get("CARGO_HOME") or pathlib.Path.home() / ".cargo")
        flags = [f"--remap-path-prefix={home}=/cargo", f"--remap-path-prefix={ROOT}=/ualm"]
        return flags + (["-Clink-arg=-Wl,--no-insert-timestamp"] if self.triple.endswith("windows-gnu") else [])

    def run_command(self, processor=None):
        """Returns the words that come before one of its programs on this machine."""
        return [] if self.is_host else self.emulator.command(processor)

    def run_environment(self):
        """Returns the variables with which its programs run on this machine."""
        return {} if self.is_host else self.emulator.environment()

    def prepare_to_run(self):
        """Makes what its programs need before they run on this machine."""
        if not self.is_host:
            self.emulator.prepare()

    def processors(self):
        """Returns the names of the processors that tests run on; `[None]` where the emulator is no other processor."""
        return list(self.emulator.processors) if self.emulator and not self.is_host and self.emulator.processors else [None]

    @property
    def is_emulated_processor(self):
        """Whether its programs run on another processor than this machine's."""
        return self.processors() != [None]

    def missing(self):
        """Returns what building for it lacks on this machine, and how to get it."""
        if self.is_host:
            return []
        found = []
        if self.triple not in installed_targets():
            found.append(f"Rust's standard library for it (rustup target add {self.triple})")
        if not self.prefix:
            found.append("a compiler and linker for it: build on that system itself")
        elif not shutil.which(f"{self.prefix}g++"):
            found.append(f"{self.prefix}g++ (on Debian and Ubuntu: apt install {' '.join(self.packages)})")
        return found

    def missing_emulator(self):
        """Returns what running its programs lacks on this machine, and how to get it."""
        if self.is_host:
            return []
        return self.emulator.missing() if self.emulator else ["an emulator, and there is none for it: run the tests on that system itself"]


TARGETS = [
    Target("x86_64-unknown-linux-gnu", "linux", "x86_64"),
    Target(
        "aarch64-unknown-linux-gnu", "linux", "aarch64", "aarch64-linux-gnu-", ("g++-aarch64-linux-gnu",),
        # with the instructions for dot products of bytes, and without
        Qemu("qemu-aarch64-static", "/usr/aarch64-linux-gnu", ("cortex-a76", "cortex-a72"), ("qemu-user-static",)),
    ),
    Target(
        "x86_64-pc-windows-gnu", "windows", "x86_64", "x86_64-w64-mingw32-", ("g++-mingw-w64-x86-64",),
        Wine("wine", WORK / "wine", "x86_64-w64-mingw32-gcc", ("wine", "wine64")),
    ),
    Target("x86_64-pc-windows-msvc", "windows", "x86_64"),
    Target("aarch64-pc-windows-msvc", "windows", "aarch64"),
    Target("aarch64-apple-darwin", "macos", "aarch64"),
]  # fmt: skip


def target_of(triple):
    """Returns the target of that name."""
    for target in TARGETS:
        if target.triple == triple:
            return target
    raise Failure(f"{triple} is not a target of this project; expected one of {', '.join(t.triple for t in TARGETS)}")


def this_target():
    """Returns the target that this machine is."""
    return next((target for target in TARGETS if target.is_host), Target(host(), *this_system()))


def installed_targets():
    """Returns the targets that rustc has a standard library for."""
    sysroot = subprocess.check_output([os.environ.get("RUSTC", "rustc"), "--print=sysroot"], text=True).strip()
    return {path.name for path in pathlib.Path(sysroot, "lib/rustlib").iterdir() if (path / "lib").is_dir()}


def check(missing, target):
    """Refuses to go on while something is missing."""
    if missing:
        listed = "".join(f"\n  {what}" for what in missing)
        raise Failure(f"{target.triple} needs what is not here:{listed}")
