"""Adds the program, the C library, the default package and the licences to the wheel, and sets its platform tag.

Their layout below the package's folder is that of a release archive below its prefix (`make dist`). The environment variable
UALM_WHEEL_PROFILE names Cargo's profile; by default the release is built, in the folder of `make dist`.
"""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import dist  # noqa: E402
import install_c_library  # noqa: E402
from crates import cargo, host  # noqa: E402
from targets import this_target  # noqa: E402

# The oldest glibc that Rust's standard library runs on, and that a tag of wheels can name.
OLDEST_GLIBC = 17
# The processors' names in the tags of Windows and macOS, where they differ from rustc's.
WINDOWS = {"x86_64": "amd64", "aarch64": "arm64"}
MACOS = {"aarch64": "arm64"}


class Hook(BuildHookInterface):  # type: ignore[type-arg]
    """hatchling's hook."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Adds the files. An editable install has only the sources, and loads the C library that UALM_C_LIBRARY names."""
        if version == "editable":
            return
        binaries = build()
        notices = ROOT / "target/wheel/notices"
        dist.lay_out_notices_of_crates(notices, this_target())
        files = {**binaries, ROOT / "onnx/default": "share/ualm/default", notices: "share/doc/ualm"}
        for name in ("LICENSE-MIT", "LICENSE-APACHE", "CHANGELOG.md"):
            files[ROOT / name] = f"share/doc/ualm/{name}"
        build_data["force_include"].update({str(source): f"ualm/{target}" for source, target in files.items()})
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform(list(binaries))}"


def build() -> dict[pathlib.Path, str]:
    """Builds the program and the C library; returns the files, each with its path in the wheel."""
    profile = os.environ.get("UALM_WHEEL_PROFILE", "release")
    target = this_target()
    if profile == "release":
        dist.settle(target)
    abi = install_c_library.abi_version()
    library = pathlib.Path(install_c_library.names(abi, target).shared)
    folder, _ = install_c_library.build(profile, abi, target)
    cargo("build", f"--profile={profile}", "--locked", "--package=ualm-cli")
    return {folder / library.name: library.as_posix(), target.folder(profile) / target.program: f"bin/{target.program}"}


def platform(binaries: list[pathlib.Path]) -> str:
    """Returns the wheel's platform tag: the oldest system on which the binaries run."""
    processor, _, *system = host().split("-")
    if "linux" in system and "gnu" in system:
        return f"manylinux_2_{max(OLDEST_GLIBC, *dist.glibc_versions(binaries))}_{processor}"
    if "darwin" in system:
        named = subprocess.check_output([os.environ.get("RUSTC", "rustc"), "--print=deployment-target"], text=True)
        return f"macosx_{'_'.join(re.findall(r'[0-9]+', named)[:2])}_{MACOS.get(processor, processor)}"
    if "windows" in system:
        return f"win_{WINDOWS[processor]}"
    raise install_c_library.Failure(f"no wheels are built for {host()}: install the program and the C library by `make dist`")
