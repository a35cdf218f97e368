#!/usr/bin/env python3
"""Builds a release archive, for this machine or another system: target/dist/ualm-VERSION-SYSTEM-PROCESSOR.tar.gz (Windows: .zip), and
its SHA-256.

The archive's own README.md (packaging/README.md) describes its content and use. The archive is complete: it needs neither network, Rust
nor Python. The same sources and compiler give the same archive. Needs Python 3.10 or later with pip, and Rust; ONNX Runtime's library
is fetched.
"""
import argparse
import gzip
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile

import install_c_library
import licences
import sbom
from crates import ROOT, cargo, linked
from fetch_onnxruntime import VERSION as ONNX_RUNTIME
from fetch_onnxruntime import Failure
from install_c_library import version
from targets import check, target_of, this_target

DIST = ROOT / "target" / "dist"
# Folders of the shells' completions, under a prefix.
COMPLETIONS = {
    "bash": "share/bash-completion/completions/ualm", "zsh": "share/zsh/site-functions/_ualm",
    "fish": "share/fish/vendor_completions.d/ualm.fish", "powershell": "share/powershell/ualm.ps1",
}  # fmt: skip
# The time of every file in the archive: 1 January 1980, the first that a .zip can store.
EPOCH = 315532800


def settle(target):
    """Configures Cargo to build a release for one target, separate from the other builds of this machine, which have other flags."""
    os.environ.update(target.environment())
    if target.is_host:
        os.environ["CARGO_ENCODED_RUSTFLAGS"] = "\x1f".join(target.release_flags())
        os.environ["CARGO_TARGET_DIR"] = str(DIST / "build")


def lay_out(prefix, target):
    """Lays out the content of the archive."""
    abi = install_c_library.abi_version()
    install_c_library.install(*install_c_library.build("release", abi, target), prefix, abi, target)
    cargo("build", "--release", "--locked", "--package=ualm-cli", *target.cargo_arguments())
    copy(target.folder("release") / target.program, prefix / "bin" / target.program, 0o755)
    library = target.onnx_runtime()
    copy(library, prefix / ("bin" if target.is_windows else "lib") / library.name)
    shutil.copytree(ROOT / "onnx/default", prefix / "share/ualm/default")
    shutil.copytree(ROOT / "examples", prefix / "share/ualm/examples", ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
    settle(this_target())
    lay_out_shell_files(prefix)
    lay_out_notices(prefix, library.parent, target)
    write(prefix / "README.md", readme(prefix, target))
    sums = [f"{sha256(path)}  {path.relative_to(prefix).as_posix()}" for path in files(prefix) if not path.is_symlink()]
    write(prefix / "SHA256SUMS", "\n".join(sums) + "\n")


def lay_out_shell_files(prefix):
    """Writes man pages and completions. They are the same for all machines, so the release for this machine generates them."""
    program = ("run", "--release", "--locked", "--quiet", "--package=ualm-cli", "--")
    cargo(*program, "man", str(prefix / "share/man/man1"))
    for shell, path in COMPLETIONS.items():
        write(prefix / path, cargo(*program, "completions", shell))


def lay_out_notices(prefix, onnx_runtime, target):
    """Writes the licences of all parts, and the bill of materials."""
    notices = prefix / "share/doc/ualm"
    for name in ("LICENSE-MIT", "LICENSE-APACHE", "CHANGELOG.md"):
        copy(ROOT / name, notices / name)
    for name in ("LICENSE", "ThirdPartyNotices.txt"):
        copy(onnx_runtime / name, notices / "onnxruntime" / name)
    lay_out_notices_of_crates(notices, target)


def lay_out_notices_of_crates(notices, target):
    """Writes the licences of all linked crates, and the bill of materials."""
    write(notices / "crates.txt", licences.collect(linked(target.triple)[1:]))
    rust = pathlib.Path(subprocess.check_output([os.environ.get("RUSTC", "rustc"), "--print=sysroot"], text=True).strip())
    copy(rust / "share/doc/rust/COPYRIGHT-library.html", notices / "rust-standard-library.html")
    write(notices / "sbom.cdx.json", sbom.text(target.triple))


def readme(prefix, target):
    """Returns the archive's README, with the requirements of this build."""
    needs = f"{target.system} on {target.processor}"
    if target.system == "linux":
        built = [*(prefix / "bin").iterdir(), *(prefix / "lib").glob("*.so*")]
        needs += f", with glibc 2.{max(glibc_versions(built))} or later"
    values = {
        "VERSION": version(), "NEEDS": needs, "TARGET": target.triple, "ONNX_RUNTIME": ONNX_RUNTIME,
        "PROGRAM": f"bin/{target.program}",
    }  # fmt: skip
    text = (ROOT / "packaging/README.md").read_text(encoding="utf-8")
    return re.sub(r"@(\w+)@", lambda name: values[name[1]], text)


def glibc_versions(built):
    """Returns the versions of glibc whose symbols the files import, by the number after `2.`."""
    return {int(number) for path in built for number in re.findall(rb"\0GLIBC_2\.(\d+)(?=\0)", path.read_bytes())}


def copy(source, target, mode=0o644):
    """Copies a file and creates its folder."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)


def write(path, text):
    """Writes a text with the same line breaks on every system; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


def files(folder):
    """Returns all files under `folder`, in the order of their paths."""
    return sorted(path for path in folder.rglob("*") if not path.is_dir())


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def pack(prefix, target):
    """Writes the archive of `prefix` beside it; returns its path."""
    if target.is_windows:
        archive = prefix.with_name(prefix.name + ".zip")
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
            for path in files(prefix):
                entry = zipfile.ZipInfo(path.relative_to(prefix.parent).as_posix())
                entry.compress_type = zipfile.ZIP_DEFLATED
                packed.writestr(entry, path.read_bytes())
        return archive
    archive = prefix.with_name(prefix.name + ".tar.gz")
    with open(archive, "wb") as raw, gzip.GzipFile("", "wb", 6, raw, EPOCH) as zipped:
        with tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as packed:
            for path in files(prefix):
                packed.add(path, path.relative_to(prefix.parent).as_posix(), filter=plain)
    return archive


def plain(entry):
    """Returns an archive entry without the fields that differ between machines."""
    entry.mtime = EPOCH
    entry.uid = 0
    entry.gid = 0
    entry.uname = ""
    entry.gname = ""
    entry.mode = 0o755 if entry.mode & 0o100 else 0o644
    return entry


def main():
    parser = argparse.ArgumentParser(description="Build a release archive.")
    parser.add_argument("target", nargs="?", metavar="TRIPLE", help="rustc's name of the target: aarch64-unknown-linux-gnu (default: this machine)")
    arguments = parser.parse_args()
    try:
        target = target_of(arguments.target) if arguments.target else this_target()
        check(target.missing(), target)
        settle(target)
        prefix = DIST / "-".join(("ualm", version(), target.name))
        shutil.rmtree(prefix, ignore_errors=True)
        lay_out(prefix, target)
        archive = pack(prefix, target)
        write(archive.with_name(archive.name + ".sha256"), f"{sha256(archive)}  {archive.name}\n")
        print(archive)
    except (Failure, subprocess.CalledProcessError, OSError) as error:
        sys.exit(f"dist.py: {error}")


if __name__ == "__main__":
    main()
