#!/usr/bin/env python3
"""Fetches ONNX Runtime's library into the user's cache, where ualm looks for it, and prints its path.

The library, and for some flavours a plugin that offers another execution provider, are taken out of pip wheels of pinned versions,
whose SHA-256 pip checks. Nothing is installed into Python, and nothing is fetched when the library is there already. Needs Python 3.8
or later with pip; nothing else. Without --flavour ualm finds the CPU's library by itself; that of another flavour is named to it with
--library or ORT_DYLIB_PATH. What each needs of the machine: docs/providers.md. A package with terms of its own (Qualcomm's) is fetched
only where a person has accepted them.

The cache is $XDG_CACHE_HOME/ualm, ~/.cache/ualm, or on Windows %LOCALAPPDATA%\\ualm.
"""
import argparse
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile

VERSION = "1.32.0"

LIBRARY = re.compile(r"libonnxruntime\.so\.[0-9.]+|libonnxruntime\.[0-9.]+\.dylib|onnxruntime\.dll")
_PROVIDERS = LIBRARY.pattern + r"|(lib)?onnxruntime_providers_\w+\.(so|dll|dylib)|LICENSE|ThirdPartyNotices\.txt"
_PLUGIN = r"(?!.*\.py$|lib\w+_plugin\.so\.\d).+"  # all files but Python sources, and copies of the plugin under other names

# Packages: the version, the tag of the Pythons whose wheel is taken (any would do: the libraries do not depend on it), what is taken
# out of the wheel's folder, and for each system the platform tags that its wheel may carry and the wheel's SHA-256. Terms that bind whoever
# downloads the package: what they are, and the variable by which a person accepts them.
PACKAGES = {
    "onnxruntime": {
        "version": VERSION,
        "abi": "cp312",
        "folder": "onnxruntime",
        "wanted": re.compile(_PROVIDERS),
        "wheels": {
            ("linux", "x86_64"): (
                ["manylinux_2_28_x86_64", "manylinux_2_27_x86_64"],
                "99e1074c4b2197accd5073052a465361be17b89c093b8ffb6e6bd8f986c52df8",
            ),
            ("linux", "aarch64"): (
                ["manylinux_2_28_aarch64", "manylinux_2_27_aarch64"],
                "e36c187006e7a7c8b8d6d57f1a209dd63f52430dca6c282b177718ad6b841054",
            ),
            ("macos", "aarch64"): (
                ["macosx_14_0_arm64"],
                "d52510bbbcc880c13b826f7d75cdf33ac5cf0bb864d960000fc29ce73f0cb83e",
            ),
            ("windows", "x86_64"): (
                ["win_amd64"],
                "efe7456952c243a05a53d5b8732953625144642c2f3989094277f6217f0c0c40",
            ),
            ("windows", "aarch64"): (
                ["win_arm64"],
                "64d394c69d561af3efd4d4f49dcac8f11d0ce135a20701c16d53b74056cd4cf8",
            ),
        },
    },
    "onnxruntime-gpu": {
        "version": "1.31.1",
        "abi": "cp312",
        "folder": "onnxruntime",
        "wanted": re.compile(_PROVIDERS),
        "wheels": {
            ("linux", "x86_64"): (
                ["manylinux_2_28_x86_64", "manylinux_2_27_x86_64"],
                "05d548956197b9d01f59b625de740e0d6be3593f874e241a12dc0362650ecdf7",
            ),
            ("windows", "x86_64"): (
                ["win_amd64"],
                "2bb1e9373baba88f6415257f5b6a589d23e23c16004f7d89adf4344eada5749e",
            ),
        },
    },
    "onnxruntime-ep-openvino": {
        "version": "1.8.1",
        "abi": "none",
        "folder": "onnxruntime_ep_openvino",
        "wanted": re.compile(_PLUGIN),
        "wheels": {
            ("linux", "x86_64"): (
                ["manylinux_2_28_x86_64"],
                "3832643158c8c187fcab6db661cde2a8c06a2b3559d95d0f2411ac0e51c5e924",
            ),
            ("windows", "x86_64"): (
                ["win_amd64"],
                "1acd878be173b02bb8b953460f2f59b121e5f6e47ebc6aad490c0590cf6718fb",
            ),
        },
    },
    "onnxruntime-ep-webgpu": {
        "version": "0.4.0",
        "abi": "none",
        "folder": "onnxruntime_ep_webgpu",
        "wanted": re.compile(_PLUGIN),
        "wheels": {
            ("linux", "x86_64"): (
                ["manylinux_2_28_x86_64"],
                "5d8c961eda91a88961cad1fb7621f389f006b18497d6ea9ecf96f729f066cbfb",
            ),
            ("linux", "aarch64"): (
                ["manylinux_2_28_aarch64"],
                "17f660db53b1a509c63e721ac6784a2daa1c4e91a968523ee9986505ee5b0a55",
            ),
            ("macos", "aarch64"): (
                ["macosx_14_0_universal2"],
                "8d0a91d44b43d931c3068b9134aed9770f27803e353c2b58c93e1700bb68bcca",
            ),
            ("windows", "x86_64"): (
                ["win_amd64"],
                "7db646669d1a2390551da675115ea125e68cb3d4d2c3a2d6e463372bf8d6ea87",
            ),
        },
    },
    "onnxruntime-qnn": {
        "version": "2.7.0",
        "abi": "cp312",
        "folder": "onnxruntime_qnn",
        "wanted": re.compile(_PLUGIN),
        "terms": (
            "Qualcomm's AI Stack License (Qualcomm_LICENSE.pdf in the wheel of onnxruntime-qnn on pypi.org) binds whoever downloads it. It allows "
            "use for the development and the benchmarking of one's own software, forbids distribution of the libraries alone and reverse "
            "engineering, and has promises in it (no claims of intellectual property against Qualcomm for this software, indemnification, export "
            "control)",
            "UALM_ACCEPT_QUALCOMM_LICENSE",
        ),
        "wheels": {
            ("linux", "x86_64"): (
                ["manylinux_2_35_x86_64"],
                "6feb735e2910127febd9c24c1be0f541bcaf688a90028b7efe55d12aca214c13",
            ),
            ("linux", "aarch64"): (
                ["manylinux_2_34_aarch64"],
                "40f6f8ab76a877b36c875122caf46189f810e52a1e7c2f75e431dfb7714168b8",
            ),
            ("windows", "x86_64"): (
                ["win_amd64"],
                "83e0f18fc0233b911a78536da4d089eb66086a9d843f6046cf7a88daa4c1432c",
            ),
            ("windows", "aarch64"): (
                ["win_arm64"],
                "04dff4e75d4046a29fd8d90602c0cb3d130bb3c82c58e280c600c6c234a11c84",
            ),
        },
    },
}

# The content of one folder: the library, then perhaps a plugin for it.
FLAVOURS = {
    "cpu": ["onnxruntime"],
    "cuda": ["onnxruntime-gpu"],
    "openvino": ["onnxruntime", "onnxruntime-ep-openvino"],
    "webgpu": ["onnxruntime", "onnxruntime-ep-webgpu"],
    "qnn": ["onnxruntime", "onnxruntime-qnn"],
}


class Failure(Exception):
    """An error with a sentence for the user."""


def this_system():
    """Returns the system and its processor, with the names of PACKAGES."""
    systems = {"Linux": "linux", "Darwin": "macos", "Windows": "windows"}
    processors = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}
    machine = platform.machine()
    return systems.get(platform.system(), platform.system()), processors.get(machine.lower(), machine)


def cache_folder():
    """Returns this project's folder in the user's cache; src/system/folders.rs follows the same rule."""
    base = os.environ.get("XDG_CACHE_HOME")
    if not base:
        base = os.environ.get("LOCALAPPDATA") if os.name == "nt" else os.path.join(os.path.expanduser("~"), ".cache")
    if not base:
        raise Failure("there is no cache folder: set XDG_CACHE_HOME")
    return pathlib.Path(base) / "ualm"


def library_in(folder):
    """Returns the library in a folder, or `None`."""
    found = sorted(path for path in folder.iterdir() if LIBRARY.fullmatch(path.name)) if folder.is_dir() else []
    return found[0] if found else None


def download(name, system, folder):
    """Downloads the wheel of a package with pip, which checks its hash, and returns its path."""
    package = PACKAGES[name]
    wheels = package["wheels"]
    if system not in wheels:
        known = ", ".join(" ".join(other) for other in wheels)
        raise Failure(
            f"there is no pip wheel of {name} {package['version']} for {' '.join(system)} (only for {known}): "
            "build or install the library yourself and set ORT_DYLIB_PATH to its file"
        )
    tags, digest = wheels[system]
    requirements = folder / f"{name}.txt"
    requirements.write_text(f"{name}=={package['version']} --hash=sha256:{digest}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
    command += ["--only-binary=:all:", "--python-version=3.12", f"--abi={package['abi']}"]
    command += ["--implementation=cp"] if package["abi"] != "none" else []
    command += [f"--platform={tag}" for tag in tags] + ["--requirement", str(requirements), "--dest", str(folder / name)]
    done = subprocess.run(command, env={**os.environ, "PIP_REQUIRE_VIRTUALENV": "false"}, stdout=sys.stderr, check=False)
    if done.returncode != 0:
        raise Failure(f"pip could not download the wheel of {name}; its output is above")
    return next((folder / name).glob("*.whl"))


def extract(name, wheel, folder):
    """Extracts the wanted files of a package from its wheel; licences of plugins are renamed after the package."""
    package = PACKAGES[name]
    folders = (package["folder"], f"{package['folder']}.libs")  # the second has libraries that auditwheel added to the wheel
    found = False
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            parts = member.filename.split("/")
            is_licence = parts[-1].lower().startswith(("license", "thirdparty", "privacy", "qualcomm_license"))
            if parts[0] not in folders and not (is_licence and ".dist-info" in parts[0]):
                continue
            if not package["wanted"].fullmatch(parts[-1]):
                continue
            target = folder / (parts[-1] if name == "onnxruntime" or not is_licence else f"{name}.{parts[-1]}")
            with archive.open(member) as source, open(target, "wb") as copy:
                shutil.copyfileobj(source, copy)
            found = found or not is_licence
    if not found:
        raise Failure(f"{wheel.name} has no library; expected one in {' or '.join(folders)}")


def check_terms(name):
    """Checks that the user has accepted the terms of a package, if it has any."""
    terms, variable = PACKAGES[name].get("terms", (None, None))
    if terms and os.environ.get(variable) != "yes":
        raise Failure(f"{name} is not fetched before you accept its terms. {terms}. Read it, and if you accept it, set {variable}=yes")


def cached(flavour, system=None):
    """Returns the path of the library in the cache, or `None`."""
    return library_in(folder_of(flavour, system or this_system()))


def folder_of(flavour, system):
    """Returns the folder of a library in the cache; those of other systems are apart, where ualm does not look."""
    version = version_of(flavour)
    if system == this_system():
        return cache_folder() / "onnxruntime" / version
    return cache_folder() / "onnxruntime-foreign" / "-".join((*system, version))


def version_of(flavour):
    """Returns the folder's name in the cache: the library's version first."""
    names = FLAVOURS[flavour]
    version = PACKAGES[names[0]]["version"]
    return "-".join([version, *([] if flavour == "cpu" else [flavour]), *(PACKAGES[name]["version"] for name in names[1:])])


def fetch(flavour, system=None):
    """Returns the path of the library in the cache; fetches it if it is missing."""
    system = system or this_system()
    folder = folder_of(flavour, system)
    if library_in(folder):
        return library_in(folder)
    for name in FLAVOURS[flavour]:
        check_terms(name)
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False).returncode != 0:
        raise Failure(f"{sys.executable} has no pip: install it (on Debian and Ubuntu: apt install python3-pip)")
    print(f"Fetching ONNX Runtime {version_of(flavour)} ...", file=sys.stderr)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder.parent) as temporary:
        wheels = pathlib.Path(temporary, "wheels")
        content = pathlib.Path(temporary, "content")
        wheels.mkdir()
        content.mkdir()
        for name in FLAVOURS[flavour]:
            extract(name, download(name, system, wheels), content)
        if folder.exists() and not library_in(folder):
            shutil.rmtree(folder)
        try:
            content.rename(folder)
        except OSError:
            if not library_in(folder):  # another process may have been faster: its result is the same
                raise
    return library_in(folder)


def main():
    parser = argparse.ArgumentParser(description="Fetch ONNX Runtime's library into the cache and print its path.")
    parser.add_argument("--flavour", choices=sorted(FLAVOURS), default="cpu", help="build of the library (default: cpu)")
    parser.add_argument("--cached", action="store_true", help="fetch nothing: exit code 1 if the library is not in the cache")
    parser.add_argument("--system", metavar="SYSTEM-PROCESSOR", help="fetch for another machine, as windows-x86_64")
    arguments = parser.parse_args()
    try:
        system = tuple(arguments.system.split("-", 1)) if arguments.system else None
        if arguments.cached:
            found = cached(arguments.flavour, system)
            if not found:
                place = folder_of(arguments.flavour, system or this_system())
                raise Failure(f"the flavour {arguments.flavour} is not in the cache, in {place}; without --cached it is fetched")
            print(found)
            return
        print(fetch(arguments.flavour, system))
    except (Failure, OSError) as error:
        sys.exit(f"fetch_onnxruntime.py: {error}")


if __name__ == "__main__":
    main()
