#!/usr/bin/env python3
"""Builds the C library and installs it: shared and static library, headers, and files for pkg-config and CMake.

    PREFIX/include/ualm.h, ualm.hpp
    PREFIX/lib/libualm.so.ABI, libualm.so, libualm.a     (macOS: .dylib)
    PREFIX/bin/ualm.dll, PREFIX/lib/ualm.lib             (Windows; for MinGW libualm.dll.a as well)
    PREFIX/lib/pkgconfig/ualm.pc, PREFIX/lib/cmake/ualm/

The installed files do not name PREFIX, so the folder may be moved. $DESTDIR goes before PREFIX. ONNX Runtime's library is not
among them: scripts/fetch_onnxruntime.py fetches it. `cargo cinstall` (cargo-c) installs the same libraries. Needs Python 3.10
or later and Rust.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass

from crates import ROOT
from fetch_onnxruntime import Failure
from targets import this_target


def find(pattern, path):
    """Returns the group of `pattern` in a file of the project."""
    found = re.search(pattern, (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
    if not found:
        raise Failure(f"{path}: {pattern} was not found")
    return found[1]


def version():
    """Returns the version of the project."""
    return find(r'^version = "(.+)"', "Cargo.toml")


def abi_version():
    """Returns the version of the binary interface."""
    return find(r"UALM_ABI_VERSION: u32 = (\d+);", "crates/capi/src/version.rs")


@dataclass(frozen=True)
class Names:
    """The names of the libraries under PREFIX."""

    shared: str
    static: str
    links: tuple = ()
    """Links to the shared library."""
    imports: tuple = ()
    """Import libraries of a DLL: first for Microsoft's linker, then for MinGW's. Their linkers find them by `-lualm`."""


def names(abi, target):
    if target.triple.endswith("windows-gnu"):
        return Names("bin/ualm.dll", "lib/libualm.a", imports=("lib/ualm.lib", "lib/libualm.dll.a"))
    if target.is_windows:
        return Names("bin/ualm.dll", "lib/ualm_static.lib", imports=("lib/ualm.lib",))
    if target.system == "macos":
        return Names(f"lib/libualm.{abi}.dylib", "lib/libualm.a", ("lib/libualm.dylib",))
    return Names(f"lib/libualm.so.{abi}", "lib/libualm.a", ("lib/libualm.so",))


def link_arguments(abi, target):
    """Returns the flags that set the shared library's name, by which programs find it at start-up."""
    if target.is_windows:
        return []
    option = "-install_name" if target.system == "macos" else "-soname"
    return ["-C", f"link-arg=-Wl,{option},{soname(names(abi, target), target)}"]


def build(profile, abi, target):
    """Builds both libraries; returns their folder, and the flags of the system libraries that the static one needs."""
    base = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target").absolute()
    folder = base / "c-library" / ("" if target.is_host else target.triple) / profile
    folder.mkdir(parents=True, exist_ok=True)
    places = names(abi, target)
    rustc("cdylib", profile, target, folder / pathlib.Path(places.shared).name, link_arguments(abi, target))
    if target.triple.endswith("windows-gnu"):
        make_import_libraries(folder, target)
    elif target.is_windows:
        os.replace(folder / "ualm.dll.lib", folder / "ualm.lib")  # the name that Microsoft's linker gives
    static = folder / pathlib.Path(places.static).name
    for line in rustc("staticlib", profile, target, static, ["--print=native-static-libs"]):
        if line.startswith("native-static-libs: "):
            return folder, system_libraries(line.split(": ", 1)[1])
    raise Failure("rustc does not say which of the system's libraries the static library needs")


def system_libraries(flags):
    """Returns the flags that rustc prints, without the import libraries that a crate brings for its own linking: MinGW has the same ones."""
    return flags.strip().replace("-lwinapi_", "-l")


def make_import_libraries(folder, target):
    """Makes the import libraries of ualm.dll from the functions of the header: with binutils' dlltool for MinGW's linker, with LLVM's dlltool,
    which writes the short format, for Microsoft's. Without LLVM, binutils' serves for both.
    """
    functions = exported_functions()
    definition = folder / "ualm.def"
    definition.write_text("LIBRARY ualm.dll\nEXPORTS\n" + "".join(f"    {name}\n" for name in functions), encoding="utf-8")
    gnu = [f"{target.prefix}dlltool", "--temp-prefix", folder / "ualm-import"]
    llvm = [shutil.which("llvm-dlltool"), "-m", "i386:x86-64"]
    if not llvm[0]:
        print("note: llvm-dlltool is missing, so binutils makes ualm.lib", file=sys.stderr)
    for name, tool in (("libualm.dll.a", gnu), ("ualm.lib", llvm if llvm[0] else gnu)):
        if subprocess.run([*tool, "-d", definition, "-l", folder / name, "-D", "ualm.dll"], check=False).returncode != 0:
            raise Failure(f"{tool[0]} could not make {name}; its output is above")


def exported_functions():
    """Returns the functions that the header declares."""
    header = (ROOT / "crates/capi/include/ualm.h").read_text(encoding="utf-8")
    return sorted(set(re.findall(r"^\S.*?\b(ualm_\w+)\(", header, re.MULTILINE)))


def rustc(crate_type, profile, target, file, arguments):
    """Builds one library as `file`, a name that a DLL contains; returns the compiler's notes."""
    command = [os.environ.get("CARGO", "cargo"), "rustc", "--locked", "--package=ualm-capi", "--lib", f"--profile={profile}"]
    command += [*target.cargo_arguments(), f"--crate-type={crate_type}", "--message-format=json", "--", f"--emit=link={file}", *arguments]
    remarks = []
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, encoding="utf-8") as cargo:
        for message in map(json.loads, cargo.stdout):
            if message["reason"] == "compiler-message":
                if message["message"]["level"] == "note":
                    remarks.append(message["message"]["message"])
                else:
                    print(message["message"]["rendered"], file=sys.stderr, end="")
    if cargo.returncode != 0 or not file.exists():
        raise Failure("cargo could not build the library; its output is above")
    return remarks


def fill(template, target, values):
    """Writes a template with its @NAMES@ replaced."""
    text = (ROOT / "packaging" / template).read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")


def install(folder, static_libs, prefix, abi, target):
    """Installs everything under `prefix`; the libraries are in `folder`."""
    places = names(abi, target)
    for place in (places.shared, *places.imports, places.static):
        (prefix / place).parent.mkdir(parents=True, exist_ok=True)
        replace(folder / pathlib.Path(place).name, prefix / place)
    for link in places.links:
        (prefix / link).unlink(missing_ok=True)
        (prefix / link).symlink_to(pathlib.Path(places.shared).name)
    (prefix / "include").mkdir(parents=True, exist_ok=True)
    for header in ("ualm.h", "ualm.hpp"):
        replace(ROOT / "crates/capi/include" / header, prefix / "include" / header)
    values = {
        "VERSION": version(), "SHARED": places.shared, "STATIC": places.static, "IMPORT": next(iter(places.imports), ""),
        "MINGW_IMPORT": next(iter(places.imports[1:]), ""), "SONAME": soname(places, target), "STATIC_LIBS": static_libs,
        "STATIC_LIBS_LIST": ";".join(static_libs.split()),
    }  # fmt: skip
    fill("ualm.pc.in", prefix / "lib/pkgconfig/ualm.pc", values)
    for name in ("ualm-config", "ualm-config-version"):
        fill(f"{name}.cmake.in", prefix / f"lib/cmake/ualm/{name}.cmake", values)


def soname(places, target):
    """Returns the name by which programs find the shared library at start-up."""
    name = pathlib.Path(places.shared).name
    return f"@rpath/{name}" if target.system == "macos" else name


def replace(source, target):
    """Copies a file beside its target and renames it: a program that uses the old file continues."""
    aside = target.with_name(target.name + ".new")
    shutil.copyfile(source, aside)
    aside.chmod(0o755 if target.suffix not in (".h", ".hpp", ".a", ".lib") else 0o644)
    os.replace(aside, target)


def main():
    parser = argparse.ArgumentParser(description="Build the C library and install it.")
    parser.add_argument("--prefix", type=pathlib.Path, default=pathlib.Path("/usr/local"), help="target folder (default: /usr/local)")
    parser.add_argument("--profile", default="release", help="Cargo's profile (default: release)")
    arguments = parser.parse_args()
    try:
        abi = abi_version()
        target = this_target()
        folder, static_libs = build(arguments.profile, abi, target)
        prefix = arguments.prefix.absolute()
        if os.environ.get("DESTDIR"):
            prefix = pathlib.Path(os.environ["DESTDIR"], *prefix.parts[1:])
        install(folder, static_libs, prefix, abi, target)
        print(prefix)
    except (Failure, OSError) as error:
        sys.exit(f"install_c_library.py: {error}")


if __name__ == "__main__":
    main()
