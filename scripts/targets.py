"""The systems that ualm is built for: their names, what building for them from another system takes, and how their programs run on it."""
import os
import pathlib
import re
import shutil
import subprocess
from dataclasses import dataclass

from crates import ROOT, host
from fetch_onnxruntime import Failure, fetch, this_system

WORK = ROOT / "target" / "cross"
OLDEST_QEMU = 10  # 7.2 crashes in ONNX Runtime's library


@dataclass(frozen=True)
class Target:
    """A system and its processor."""

    triple: str
    """As rustc names it."""
    system: str
    """linux, macos or windows."""
    processor: str
    prefix: str = ""
    """Before the names of the C compiler and its tools that build for it on another system."""
    emulator: tuple = ()
    """The command that runs its programs on another system."""
    packages: tuple = ()
    """Debian's packages with the compiler and the emulator."""

    @property
    def name(self):
        """As archives are named."""
        return f"{self.system}-{self.processor}"

    @property
    def is_windows(self):
        return self.system == "windows"

    @property
    def is_host(self):
        return self.triple == host()

    @property
    def program(self):
        """The program's file."""
        return "ualm.exe" if self.is_windows else "ualm"

    def onnx_runtime(self):
        """ONNX Runtime's library for it, fetched if need be."""
        return pathlib.Path(fetch("cpu", (self.system, self.processor)))

    def folder(self, profile):
        """Where Cargo puts what it builds for it."""
        base = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target").absolute()
        name = "debug" if profile == "dev" else profile
        return base / name if self.is_host else base / self.triple / name

    def cargo_arguments(self):
        return [] if self.is_host else ["--target", self.triple]

    def environment(self):
        """What Cargo and the crates with C code need to know."""
        if self.is_host or not self.prefix:
            return {}
        name = self.triple.replace("-", "_")
        tools = {"CC": "gcc", "CXX": "g++", "AR": "ar"}
        found = {f"{variable}_{name}": self.prefix + tool for variable, tool in tools.items()}
        return found | {f"CARGO_TARGET_{name.upper()}_LINKER": f"{self.prefix}gcc"}

    def run_environment(self):
        """What the emulator is told: wine keeps its settings aside, and is silent."""
        return {"WINEPREFIX": str(WORK / "wine"), "WINEDEBUG": "-all"} if "wine" in self.emulator else {}

    def missing(self):
        """What building for it lacks on this machine, and how to get it."""
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
        """What running its programs lacks on this machine."""
        if self.is_host:
            return []
        if not self.emulator:
            return ["an emulator: there is none for it"]
        program = self.emulator[0]
        if not shutil.which(program):
            return [f"{program} (on Debian and Ubuntu: apt install {' '.join(self.packages)})"]
        if "qemu" in program and qemu_version(program) < OLDEST_QEMU:
            return [f"{program} of version {OLDEST_QEMU} or later; this one is {qemu_version(program)} (Debian 12 has 10 in its backports)"]
        return []


TARGETS = [
    Target("x86_64-unknown-linux-gnu", "linux", "x86_64"),
    Target(
        "aarch64-unknown-linux-gnu", "linux", "aarch64", "aarch64-linux-gnu-",
        ("qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu"),
        ("g++-aarch64-linux-gnu", "qemu-user-static"),
    ),
    Target("x86_64-pc-windows-gnu", "windows", "x86_64", "x86_64-w64-mingw32-", ("wine",), ("g++-mingw-w64-x86-64", "wine64")),
    Target("x86_64-pc-windows-msvc", "windows", "x86_64"),
    Target("aarch64-pc-windows-msvc", "windows", "aarch64"),
    Target("aarch64-apple-darwin", "macos", "aarch64"),
]  # fmt: skip


def target_of(triple):
    """The target of that name."""
    for target in TARGETS:
        if target.triple == triple:
            return target
    raise Failure(f"{triple} is not a target of this project; expected one of {', '.join(t.triple for t in TARGETS)}")


def this_target():
    """The target that this machine is."""
    return next((target for target in TARGETS if target.is_host), Target(host(), *this_system()))


def installed_targets():
    """The targets that rustc has a standard library for."""
    sysroot = subprocess.check_output([os.environ.get("RUSTC", "rustc"), "--print=sysroot"], text=True).strip()
    return {path.name for path in pathlib.Path(sysroot, "lib/rustlib").iterdir() if (path / "lib").is_dir()}


def qemu_version(program):
    """The first number of an emulator's version."""
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return int(re.search(r"version (\d+)", told)[1])


def check(missing, target):
    """Refuses to go on without what is missing."""
    if missing:
        listed = "".join(f"\n  {what}" for what in missing)
        raise Failure(f"{target.triple} needs what is not here:{listed}")
