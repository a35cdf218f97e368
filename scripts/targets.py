"""The supported systems: their names, and the requirements for building for them on another system."""
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
    """rustc's name of the target."""
    system: str
    """linux, macos or windows."""
    processor: str
    prefix: str = ""
    """Prefix of the C compiler and its tools; empty if there is none for other systems."""
    packages: tuple = ()
    """Debian's packages with the compiler."""
    emulator: Qemu | Wine | None = None
    """Emulator of the target on another system."""

    @property
    def name(self):
        """The name in the names of archives."""
        return f"{self.system}-{self.processor}"

    @property
    def is_windows(self):
        return self.system == "windows"

    @property
    def is_host(self):
        return self.triple == host()

    @property
    def program(self):
        """The name of the program's file."""
        return "ualm.exe" if self.is_windows else "ualm"

    def onnx_runtime(self):
        """Returns the path of ONNX Runtime's library for the target; fetches it if it is missing."""
        return pathlib.Path(fetch("cpu", (self.system, self.processor)))

    def folder(self, profile):
        """Returns the folder of Cargo's build for the target."""
        base = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target").absolute()
        name = "debug" if profile == "dev" else profile
        return base / name if self.is_host else base / self.triple / name

    def cargo_arguments(self):
        return [] if self.is_host else ["--target", self.triple]

    def environment(self):
        """Returns the variables for Cargo and for crates with C code: the compiler, and the flags of a release."""
        if self.is_host or not self.prefix:
            return {}
        name = self.triple.replace("-", "_")
        tools = {"CC": "gcc", "CXX": "g++", "AR": "ar"}
        found = {f"{variable}_{name}": self.prefix + tool for variable, tool in tools.items()}
        found[f"CARGO_TARGET_{name.upper()}_LINKER"] = f"{self.prefix}gcc"
        return found | {"CARGO_ENCODED_RUSTFLAGS": "\x1f".join(self.release_flags())}

    def release_flags(self):
        """Returns rustc's flags for a reproducible release, without folders of this machine and times."""
        home = pathlib.Path(os.environ.get("CARGO_HOME") or pathlib.Path.home() / ".cargo")
        flags = [f"--remap-path-prefix={home}=/cargo", f"--remap-path-prefix={ROOT}=/ualm"]
        return flags + (["-Clink-arg=-Wl,--no-insert-timestamp"] if self.triple.endswith("windows-gnu") else [])

    def run_command(self, processor=None):
        """Returns the words before a program's command on this machine."""
        return [] if self.is_host else self.emulator.command(processor)

    def run_environment(self):
        """Returns the variables with which its programs run on this machine."""
        return {} if self.is_host else self.emulator.environment()

    def prepare_to_run(self):
        """Prepares this machine for running the target's programs."""
        if not self.is_host:
            self.emulator.prepare()

    def processors(self):
        """Returns the processors that tests run on; `[None]` without emulated processors."""
        return list(self.emulator.processors) if self.emulator and not self.is_host and self.emulator.processors else [None]

    @property
    def is_emulated_processor(self):
        """True if the target's programs run on an emulated processor."""
        return self.processors() != [None]

    def missing(self):
        """Returns the missing requirements for building on this machine, and how to get them."""
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
        """Returns the missing requirements for running the target's programs on this machine, and how to get them."""
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
    """Returns the target of this machine."""
    return next((target for target in TARGETS if target.is_host), Target(host(), *this_system()))


def installed_targets():
    """Returns the targets with an installed standard library of rustc."""
    sysroot = subprocess.check_output([os.environ.get("RUSTC", "rustc"), "--print=sysroot"], text=True).strip()
    return {path.name for path in pathlib.Path(sysroot, "lib/rustlib").iterdir() if (path / "lib").is_dir()}


def check(missing, target):
    """Raises an error if something is missing."""
    if missing:
        listed = "".join(f"\n  {what}" for what in missing)
        raise Failure(f"{target.triple}: requirements are missing:{listed}")
