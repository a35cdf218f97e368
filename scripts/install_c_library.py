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


def abi_version():
    """The version of the binary interface."""
    return find(r"UALM_ABI_VERSION: u32 = (\d+);", "crates/capi/src/version.rs")


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
    """Builds both libraries; returns their folder, and the flags of the system's libraries that the static one needs."""
    folder = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target").absolute() / "c-library" / profile
    folder.mkdir(parents=True, exist_ok=True)
    places = names(abi)
    rustc("cdylib", profile, folder / pathlib.Path(places["shared"]).name, link_arguments(abi))
    static = folder / pathlib.Path(places["static"]).name
    for line in rustc("staticlib", profile, static, ["--print=native-static-libs"]):
        if line.startswith("native-static-libs: "):
            return folder, line.split(": ", 1)[1].strip()
    raise Failure("rustc does not say which of the system's libraries the static library needs")


def rustc(crate_type, profile, file, arguments):
    """Builds one library as `file`, whose name a DLL carries within; returns what the compiler remarks."""
    command = [os.environ.get("CARGO", "cargo"), "rustc", "--locked", "--package=ualm-capi", "--lib", f"--profile={profile}"]
    command += [f"--crate-type={crate_type}", "--message-format=json", "--", f"--emit=link={file}", *arguments]
    remarks = []
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, encoding="utf-8") as cargo:
        for message in map(json.loads, cargo.stdout):
            if message["reason"] == "compiler-message":
                if message["message"]["level"] == "note":
                    remarks.append(message["message"]["message"])
                else:
                    print(message["message"]["rendered"], file=sys.stderr, end="")
    if cargo.returncode != 0 or not file.exists():
        raise Failure("cargo could not build the library; its own words are above")
    return remarks


def fill(template, target, values):
    """Writes a template with its @NAMES@ replaced."""
    text = (ROOT / "packaging" / template).read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")


def install(folder, static_libs, prefix, abi):
    """Lays everything out under `prefix`; the libraries are in `folder`."""
    places = names(abi)
    for place in filter(None, (places["shared"], places["import"], places["static"])):
        (prefix / place).parent.mkdir(parents=True, exist_ok=True)
        replace(folder / pathlib.Path(place).name, prefix / place)
    for link in places["links"]:
        (prefix / link).unlink(missing_ok=True)
        (prefix / link).symlink_to(pathlib.Path(places["shared"]).name)
    (prefix / "include").mkdir(parents=True, exist_ok=True)
    for header in ("ualm.h", "ualm.hpp"):
        replace(ROOT / "crates/capi/include" / header, prefix / "include" / header)
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
        abi = abi_version()
        folder, static_libs = build(arguments.profile, abi)
        prefix = arguments.prefix.absolute()
        if os.environ.get("DESTDIR"):
            prefix = pathlib.Path(os.environ["DESTDIR"], *prefix.parts[1:])
        install(folder, static_libs, prefix, abi)
        print(prefix)
    except (Failure, OSError) as error:
        sys.exit(f"install_c_library.py: {error}")


if __name__ == "__main__":
    main()
