"""Builds Debian packages from a release archive for Linux: ualm, and libualm-dev for C and C++.

ONNX Runtime's library is part of the package: with the program and the C library it is in /usr/lib/ualm, as in the archive, and links
point there. Files that do not depend on the processor are in /usr/share.
"""
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import tarfile

from crates import ROOT
from dist import EPOCH, copy, glibc_versions, write
from fetch_onnxruntime import Failure
from install_c_library import abi_version, version

TEMPLATES = ROOT / "packaging/debian"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
# The release of GCC that introduced a version of its C++ library, by the last number of GLIBCXX_3.4.N.
GCC_OF = {21: "5", 22: "6", 24: "7", 25: "8", 26: "9", 28: "10", 29: "11", 30: "12", 32: "13", 33: "14", 34: "15"}
HOME = "usr/lib/ualm"
COMPLETIONS = {
    "share/bash-completion/completions/ualm": "usr/share/bash-completion/completions/ualm",
    "share/zsh/site-functions/_ualm": "usr/share/zsh/vendor-completions/_ualm",
    "share/fish/vendor_completions.d/ualm.fish": "usr/share/fish/vendor_completions.d/ualm.fish",
}


def build(archive, processor, filled, work, out):
    """Builds the packages of an archive in the folder `out`; `filled` fills templates of this project, `work` is an empty folder."""
    if processor not in ARCHITECTURES:
        raise Failure(f"{archive.name} is for the processor {processor}; expected one of {', '.join(ARCHITECTURES)}")
    with tarfile.open(archive) as packed:
        packed.extraction_filter = getattr(tarfile, "data_filter", None)  # Debian 12 has a Python without filters
        packed.extractall(work / "archive")
    (top,) = (work / "archive").iterdir()
    places = Places(f"{processor}-linux-gnu", abi_version())
    values = {"ARCHITECTURE": ARCHITECTURES[processor], "MAINTAINER": maintainer(), "DEPENDS": dependencies(top)}
    made = []
    for name, lay_out, control in (("ualm", lay_out_program, "control"), ("libualm-dev", lay_out_library, "control-dev")):
        tree = work / name
        lay_out(top, tree, places)
        values["SIZE"] = str(sum(-(-path.stat().st_size // 1024) for path in files(tree)))
        write(tree / "DEBIAN/md5sums", "".join(f"{md5(path)}  {path.relative_to(tree).as_posix()}\n" for path in files(tree)))
        write(tree / "DEBIAN/control", filled(f"debian/{control}.in", **values))
        if name == "ualm":
            write(tree / "DEBIAN/triggers", "activate-noawait ldconfig\n")
        made.append(pack(tree, out))
    return made


def maintainer():
    """Returns the maintainer, from the variables of Debian's tools."""
    return f"{os.environ.get('DEBFULLNAME', 'The ualm authors')} <{os.environ.get('DEBEMAIL', 'packages@ualm.invalid')}>"


class Places:
    """The paths of the C library's files."""

    def __init__(self, triplet, abi):
        self.folder = f"usr/lib/{triplet}"
        self.triplet = triplet
        self.shared = f"libualm.so.{abi}"


def lay_out_program(top, tree, places):
    """Lays out the program and its libraries."""
    copy(top / "bin/ualm", tree / HOME / "bin/ualm", 0o755)
    for library in sorted((top / "lib").glob("*.so.*")):
        copy(library, tree / HOME / "lib" / library.name)
    link(tree / "usr/bin/ualm", "../lib/ualm/bin/ualm")
    link(tree / HOME / "share", "../../share")
    link(tree / places.folder / places.shared, f"../ualm/lib/{places.shared}")
    shutil.copytree(top / "share/ualm", tree / "usr/share/ualm")
    for page in sorted((top / "share/man").rglob("*.1")):
        zipped(tree / "usr" / page.relative_to(top).with_name(page.name + ".gz"), page.read_bytes())
    for source, target in COMPLETIONS.items():
        if (top / source).exists():
            copy(top / source, tree / target)
    copy(TEMPLATES / "overrides", tree / "usr/share/lintian/overrides/ualm")
    lay_out_notices(top / "share/doc/ualm", tree / "usr/share/doc/ualm")


def lay_out_notices(notices, target):
    """Lays out licences, bill of materials and changes."""
    shutil.copytree(notices, target)
    write(target / "copyright", copyright_text(notices))
    zipped(target / "NEWS.gz", (target / "CHANGELOG.md").read_bytes())
    entry = f"ualm ({version()}) unstable; urgency=medium\n\n  * NEWS.gz lists the changes.\n\n -- {maintainer()}  Tue, 01 Jan 1980 00:00:00 +0000\n"
    zipped(target / "changelog.gz", entry.encode())
    for name in ("CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE"):
        (target / name).unlink()


def copyright_text(notices):
    """Returns Debian's file about licences: those of the parts are in files beside it."""
    licence = (notices / "LICENSE-MIT").read_text(encoding="utf-8")
    own = re.search(r"^Copyright .*$", licence, re.MULTILINE)[0]
    words = "\n".join(f" {line}" if line else " ." for line in licence.split(own, 1)[1].strip().splitlines())
    return (
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"
        "Upstream-Name: ualm\n"
        "Comment: The licences of the crates that are linked in are in crates.txt, those of ONNX Runtime and what it holds in onnxruntime,\n"
        " that of Rust's standard library in rust-standard-library.html, that of the model's weights in\n"
        " /usr/share/ualm/default/README.md. sbom.cdx.json lists all parts.\n\n"
        f"Files: *\nCopyright: {own.removeprefix('Copyright ').replace('(c) ', '')}\nLicense: Expat or Apache-2.0\n\n"
        f"License: Expat\n{words}\n\n"
        "License: Apache-2.0\n On Debian systems the full text is in /usr/share/common-licenses/Apache-2.0.\n"
    )


def lay_out_library(top, tree, places):
    """Lays out the files for building with the C library."""
    for header in sorted((top / "include").iterdir()):
        copy(header, tree / "usr/include" / header.name)
    copy(top / "lib/libualm.a", tree / places.folder / "libualm.a")
    link(tree / places.folder / "libualm.so", places.shared)
    moved(top / "lib/pkgconfig/ualm.pc", tree / places.folder / "pkgconfig/ualm.pc", {
        "prefix=${pcfiledir}/../..\n": "prefix=/usr\n", "libdir=${prefix}/lib\n": f"libdir=${{prefix}}/lib/{places.triplet}\n",
    })  # fmt: skip
    folder = places.folder + "/cmake/ualm"
    moved(top / "lib/cmake/ualm/ualm-config.cmake", tree / folder / "ualm-config.cmake", {
        '"${CMAKE_CURRENT_LIST_DIR}/../../.."': '"${CMAKE_CURRENT_LIST_DIR}/../../../.."',
        "${_ualm_prefix}/lib/": f"${{_ualm_prefix}}/lib/{places.triplet}/",
    })  # fmt: skip
    moved(top / "lib/cmake/ualm/ualm-config-version.cmake", tree / folder / "ualm-config-version.cmake", {})
    link(tree / "usr/share/doc/libualm-dev", "ualm")


def moved(source, target, replacements):
    """Copies a text file and replaces the paths in it that differ here."""
    text = source.read_text(encoding="utf-8")
    for old, new in replacements.items():
        if old not in text:
            raise Failure(f"{source.name} has no {old.strip()}, which has to be replaced for Debian")
        text = text.replace(old, new)
    write(target, text)


def dependencies(top):
    """Returns the oldest system libraries that the program and its libraries run with, by the versions of the symbols that they import."""
    built = [top / "bin/ualm", *sorted((top / "lib").glob("*.so.*"))]
    newest = max(int(number) for path in built for number in re.findall(rb"\0GLIBCXX_3\.4\.(\d+)(?=\0)", path.read_bytes()))
    gcc = next((release for number, release in GCC_OF.items() if number >= newest), None)
    if gcc is None:
        raise Failure(f"GLIBCXX_3.4.{newest} is not among the versions of scripts/debian.py; add the release of GCC that introduced it to GCC_OF")
    return f"libc6 (>= 2.{max(glibc_versions(built))}), libgcc-s1 (>= 4.2), libstdc++6 (>= {gcc})"


def pack(tree, out):
    """Builds the package of a tree, reproducibly."""
    for folder, _, _ in os.walk(tree):
        os.chmod(folder, 0o755)
    for path in [tree, *tree.rglob("*")]:
        os.utime(path, (EPOCH, EPOCH), follow_symlinks=False)
    out.mkdir(parents=True, exist_ok=True)
    command = ["dpkg-deb", "--root-owner-group", "--threads-max=1", "-Zxz", "-z1", "--build", str(tree), str(out)]
    done = subprocess.run(command, env=os.environ | {"SOURCE_DATE_EPOCH": str(EPOCH)}, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failure(f"dpkg-deb could not build {tree.name}: {done.stderr.strip()}")
    return next(path for path in out.glob(f"{tree.name}_*.deb"))


def files(tree):
    """Returns the files of a package, without links and control files."""
    found = (path for path in tree.rglob("*") if path.is_file() and not path.is_symlink())
    return sorted(path for path in found if path.relative_to(tree).parts[0] != "DEBIAN")


def md5(path):
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def link(path, target):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def zipped(path, content):
    """Writes a compressed file, as Debian requires for manual pages."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content, 9, mtime=0))
