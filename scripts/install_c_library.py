#!/usr/bin/env python3
"""Builds the C library and installs it: shared and static library, headers, and files for pkg-config and CMake.

    PREFIX/include/ualm.h, ualm.hpp
    PREFIX/lib/libualm.so.ABI, libualm.so, libualm.a     (macOS: .dylib; Windows: bin/ualm.dll, lib/ualm.dll.lib, lib/ualm.lib)
    PREFIX/lib/pkgconfig/ualm.pc, PREFIX/lib/cmake/ualm/

The installed files do not name PREFIX, so the folder may be moved. $DESTDIR goes before PREFIX. ONNX Runtime's library is not
among them: scripts/fetch_onnxruntime.py fetches it. `cargo cinstall` (cargo-c) installs the same libraries. Needs Python 3.8 or
later and Rust.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


class Failure(Exception):
    """A failure with a sentence for a person."""


def find(pattern, path):
    """The group of `pattern` in a file of the project."""
    found = re.search(pattern, (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
    if not found:
        raise Failure(f"{path}: {pattern} was not found")
    return found[1]


def names(abi):
    """Where the libraries lie under PREFIX: shared, its links, for linking to it on Windows, static."""
    if sys.platform == "win32":
        return {"shared": "bin/ualm.dll", "links": [], "import": "lib/ualm.dll.lib", "static": "lib/ualm.lib"}
    if sys.platform == "darwin":
        return {"shared": f"lib/libualm.{abi}.dylib", "links": ["lib/libualm.dylib"], "import": "", "static": "lib/libualm.a"}
    return {"shared": f"lib/libualm.so.{abi}", "links": ["lib/libualm.so"], "import": "", "static": "lib/libualm.a"}


def link_arguments(abi):
    """What gives the shared library its name, by which programs look for it when they start."""
    if sys.platform == "win32":
        return []
    if sys.platform == "darwin":
        return ["-C", f"link-arg=-Wl,-install_name,@rpath/libualm.{abi}.dylib"]
    return ["-C", f"link-arg=-Wl,-soname,libualm.so.{abi}"]


def build(profile, abi):
    """Builds both libraries, without what only the program needs; returns their files, and the flags of the system's libraries that
    the static one needs."""
    command = [os.environ.get("CARGO", "cargo"), "rustc", "--locked", "--lib", f"--profile={profile}"]
    command += ["--no-default-features", "--features=capi"]
    command += ["--crate-type=cdylib,staticlib", "--message-format=json", "--", "--print=native-static-libs", *link_arguments(abi)]
    files, static_libs = [], ""
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, encoding="utf-8") as cargo:
        for message in map(json.loads, cargo.stdout):
            if message["reason"] == "compiler-artifact" and message["target"]["name"] == "ualm":
                files = [pathlib.Path(file) for file in message["filenames"]]
            elif message["reason"] == "compiler-message":
                text = message["message"]["message"]
                if text.startswith("native-static-libs: "):
                    static_libs = text.split(": ", 1)[1].strip()
                elif message["message"]["level"] != "note":
                    print(message["message"]["rendered"], file=sys.stderr, end="")
    if cargo.returncode != 0 or not files:
        raise Failure("cargo could not build the library; its own words are above")
    return files, static_libs


def fill(template, target, values):
    """Writes a template with its @NAMES@ replaced."""
    text = (ROOT / "packaging" / template).read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")


def install(files, static_libs, prefix, abi):
    """Lays everything out under `prefix`."""
    places = names(abi)
    suffixes = {"shared": (".so", ".dylib", ".dll"), "static": (".a", ".lib"), "import": (".dll.lib",)}
    for kind, place in places.items():
        if kind == "links" or not place:
            continue
        found = [file for file in files if file.name.endswith(suffixes[kind])]
        if kind == "static":
            found = [file for file in found if not file.name.endswith(".dll.lib")]
        (prefix / place).parent.mkdir(parents=True, exist_ok=True)
        replace(found[0], prefix / place)
    for link in places["links"]:
        (prefix / link).unlink(missing_ok=True)
        (prefix / link).symlink_to(pathlib.Path(places["shared"]).name)
    (prefix / "include").mkdir(parents=True, exist_ok=True)
    for header in ("ualm.h", "ualm.hpp"):
        replace(ROOT / "include" / header, prefix / "include" / header)
    version = find(r'^version = "(.+)"', "Cargo.toml")
    values = {
        "VERSION": version, "SHARED": places["shared"], "STATIC": places["static"], "IMPORT": places["import"],
        "SONAME": pathlib.Path(places["shared"]).name, "STATIC_LIBS": static_libs, "STATIC_LIBS_LIST": ";".join(static_libs.split()),
    }  # fmt: skip
    fill("ualm.pc.in", prefix / "lib/pkgconfig/ualm.pc", values)
    for name in ("ualm-config", "ualm-config-version"):
        fill(f"{name}.cmake.in", prefix / f"lib/cmake/ualm/{name}.cmake", values)


def replace(source, target):
    """Copies a file aside and renames it: a program that runs on the old one goes on running."""
    aside = target.with_name(target.name + ".new")
    shutil.copyfile(source, aside)
    aside.chmod(0o755 if target.suffix not in (".h", ".hpp", ".a", ".lib") else 0o644)
    os.replace(aside, target)


def main():
    parser = argparse.ArgumentParser(description="Build the C library and install it.")
    parser.add_argument("--prefix", type=pathlib.Path, default=pathlib.Path("/usr/local"), help="where to (default: /usr/local)")
    parser.add_argument("--profile", default="release", help="Cargo's profile (default: release)")
    arguments = parser.parse_args()
    try:
        abi = find(r"UALM_ABI_VERSION: u32 = (\d+);", "src/capi/version.rs")
        files, static_libs = build(arguments.profile, abi)
        prefix = arguments.prefix.absolute()
        if os.environ.get("DESTDIR"):
            prefix = pathlib.Path(os.environ["DESTDIR"], *prefix.parts[1:])
        install(files, static_libs, prefix, abi)
        print(prefix)
    except (Failure, OSError) as error:
        sys.exit(f"install_c_library.py: {error}")


if __name__ == "__main__":
    main()
