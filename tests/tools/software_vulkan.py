#!/usr/bin/env python3
"""Finds a Vulkan driver that computes on the CPU, and prints the settings for testing WebGPU with it.

    python3 tests/tools/software_vulkan.py

Prints two lines for a shell: VK_DRIVER_FILES, the driver's description, and UALM_TEST_DEVICE, the providers to test. An existing
VK_DRIVER_FILES takes precedence. Without a driver, or without Vulkan's loader, it prints a sentence and exits with code 1.
"""

import ctypes
import json
import os
import re
import shlex
import sys
from pathlib import Path

# Earlier versions lack features that WebGPU needs.
OLDEST_MESA = 25
MESA = ("/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d")
LOADER = "libvulkan.so.1"
SWIFTSHADER = "/usr/lib/chromium/vk_swiftshader_icd.json"
# Graphs that WebGPU computes wrongly there, because of their attention, run on the CPU. SwiftShader's sine and exponential have
# errors of 3e-3, which codecs show.
PROVIDERS = "webgpu,cpu"
WITHOUT_CODECS = "webgpu,cpu,codec=cpu"


def driver() -> tuple[Path, str] | None:
    """Returns the description of a driver, and the providers to test with it."""
    if named := os.environ.get("VK_DRIVER_FILES"):
        return Path(named), WITHOUT_CODECS if "swiftshader" in named else PROVIDERS
    for folder in MESA:
        for description in sorted(Path(folder).glob("lvp_icd*.json")):
            if mesa_version(library_of(description)) >= OLDEST_MESA:
                return description, PROVIDERS
    return (Path(SWIFTSHADER), WITHOUT_CODECS) if Path(SWIFTSHADER).is_file() else None


def library_of(description: Path) -> Path:
    """Returns the library that a driver's description names: a path, or a name for the loader."""
    named = Path(json.loads(description.read_text())["ICD"]["library_path"])
    if named.is_absolute() or named.parent != Path("."):
        return description.parent / named
    return next(Path("/usr/lib").glob(f"**/{named}"), named)


def mesa_version(library: Path) -> int:
    """Returns the first number of Mesa's version in the driver's library; 0 if it has none."""
    found = re.search(rb"Mesa (\d+)\.\d+", library.read_bytes()) if library.is_file() else None
    return int(found[1]) if found else 0


def has_loader() -> bool:
    """Returns whether a program finds Vulkan's loader, which WebGPU opens by name. Chromium has one of its own, in its folder."""
    try:
        ctypes.CDLL(LOADER)
    except OSError:
        return False
    return True


def main() -> int:
    found = driver()
    if found is None:
        print(
            f"there is no software driver for Vulkan: install mesa-vulkan-drivers {OLDEST_MESA} or later (Debian 13, Ubuntu 25.04, "
            "Debian 12 with backports) or Debian's chromium, or name a driver in VK_DRIVER_FILES",
            file=sys.stderr,
        )
        return 1
    if not has_loader():
        print(f"there is a software driver for Vulkan, but no {LOADER}: install Vulkan's loader (Debian's libvulkan1)", file=sys.stderr)
        return 1
    description, providers = found
    print(f"export VK_DRIVER_FILES={shlex.quote(str(description))} VK_ICD_FILENAMES={shlex.quote(str(description))}")
    print(f"export UALM_TEST_DEVICE={shlex.quote(providers)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
