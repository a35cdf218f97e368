"""Emulators that run programs for another system on this machine."""
import os
import pathlib
import re
import shutil
import subprocess
from dataclasses import dataclass

from crates import ROOT

OLDEST_QEMU = 10
"""7.2 crashes in ONNX Runtime's library."""
WINE_WITH_RANDOM_NUMBERS = 9
"""Earlier versions lack bcryptprimitives.dll, from which Rust's standard library takes random numbers."""


@dataclass(frozen=True)
class Qemu:
    """QEMU's user mode, for Linux programs of another processor (qemu-user)."""

    program: str
    root: str
    """Folder with the other system's C library."""
    processors: tuple
    """Names of the processors that tests run on (`-cpu`); the first is the default."""
    packages: tuple
    """Debian's packages with the emulator."""

    def command(self, processor=None):
        """Returns the words before a program's command."""
        return [self.program, "-cpu", processor or self.processors[0], "-L", self.root]

    def environment(self):
        """Returns the variables that the emulator reads."""
        return {}

    def missing(self):
        """Returns the missing parts on this machine, and how to get them."""
        if not shutil.which(self.program):
            return [f"{self.program} (on Debian and Ubuntu: apt install {' '.join(self.packages)})"]
        found = version(self.program)
        if found < OLDEST_QEMU:
            wanted = f"{self.program} of version {OLDEST_QEMU} or later, found {found}: earlier ones crash in ONNX Runtime"
            return [f"{wanted} (Debian 12: apt install -t bookworm-backports {' '.join(self.packages)})"]
        return []

    def prepare(self):
        """Prepares nothing: QEMU needs no set-up."""


@dataclass(frozen=True)
class Wine:
    """Wine, for Windows programs."""

    program: str
    prefix: pathlib.Path
    """wine's folder of settings and drives."""
    compiler: str
    """C compiler for Windows."""
    packages: tuple
    processors: tuple = ()

    def command(self, processor=None):
        """Returns the words before a program's command."""
        return [self.program]

    def environment(self):
        """Returns the variables that wine reads; Mono and Gecko, which it would offer to fetch, are disabled."""
        return {"WINEPREFIX": str(self.prefix), "WINEDEBUG": "-all", "WINEDLLOVERRIDES": "mscoree=;mshtml="}

    def missing(self):
        """Returns the missing parts on this machine, and how to get them."""
        missing = [] if shutil.which(self.program) else [f"{self.program} (on Debian and Ubuntu: apt install {' '.join(self.packages)})"]
        if not missing and self.lacks_random_numbers() and not shutil.which(self.compiler):
            missing.append(f"{self.compiler}, for a DLL that wine before version {WINE_WITH_RANDOM_NUMBERS} lacks")
        return missing

    def lacks_random_numbers(self):
        """Returns whether this version lacks bcryptprimitives.dll."""
        return version(self.program) < WINE_WITH_RANDOM_NUMBERS

    def prepare(self):
        """Creates wine's folder, with the DLL that earlier versions lack."""
        system = self.prefix / "drive_c/windows/system32"
        environment = os.environ | self.environment()
        if not (system / "kernel32.dll").exists():
            self.prefix.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run([self.program, "wineboot", "--init"], env=environment, stdout=subprocess.DEVNULL, check=True)
            subprocess.run(["wineserver", "--wait"], env=environment, check=True)
        library = system / "bcryptprimitives.dll"
        if self.lacks_random_numbers() and not library.exists():
            source = ROOT / "tests/cross/bcryptprimitives.c"
            subprocess.run([self.compiler, "-shared", "-O2", source, "-o", library, "-ladvapi32"], check=True)


def version(program):
    """Returns the first number of a program's version."""
    output = subprocess.run([program, "--version"], env=os.environ | {"WINEDEBUG": "-all"}, capture_output=True, text=True, check=True).stdout
    return int(re.search(r"\d+(?=\.\d)", output)[0])
