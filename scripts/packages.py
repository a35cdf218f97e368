#!/usr/bin/env python3
"""Writes, from the release archives in target/dist, the files with which package managers install them, into target/dist/packages:

    homebrew/ualm.rb      a formula, for the archives for macOS and Linux
    scoop/ualm.json       a manifest, for the archives for Windows
    winget/…              three manifests, for the archives for Windows
    debian/*.deb          packages for Debian and its derivatives, for each archive for Linux; needs dpkg-deb

The first three contain addresses and checksums of the archives. --release (or the variable RELEASE) is the address of the folder where
they are published; without it the addresses are file:// paths, and there are no manifests for winget, which rejects these. Archives of a
version other than Cargo.toml's are skipped. Needs Python 3.10 or later.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass

import debian
from crates import ROOT
from dist import DIST, sha256, write
from fetch_onnxruntime import Failure
from install_c_library import version

TEMPLATES = ROOT / "packaging"
ARCHIVE = re.compile(r"ualm-(?P<version>.+)-(?P<system>[a-z]+)-(?P<processor>[a-z0-9_]+)\.(tar\.gz|zip)")
# winget's name of the package: publisher and name.
IDENTIFIER = "Ualm.Ualm"
# Home page if the release has no address: the paper.
HOMEPAGE = "https://arxiv.org/abs/2510.12000"


@dataclass(frozen=True)
class Archive:
    """A release archive."""

    path: pathlib.Path
    system: str
    processor: str

    @property
    def sha256(self):
        return sha256(self.path)

    @property
    def folder(self):
        """The folder at the top of the archive."""
        return self.path.name.removesuffix(".zip").removesuffix(".tar.gz")


@dataclass(frozen=True)
class Release:
    """The archives of one version, and the address of their folder."""

    version: str
    base: str
    archives: list

    def of(self, system):
        return [archive for archive in self.archives if archive.system == system]

    def address(self, archive):
        return f"{self.base}/{archive.path.name}" if self.base else archive.path.as_uri()

    @property
    def homepage(self):
        """The project's page, if the address of a release shows it."""
        found = re.match(r"(https://[^/]+/[^/]+/[^/]+)/releases/", f"{self.base}/")
        return found[1] if found else HOMEPAGE

    def filled(self, template, **values):
        """Returns a template with its @NAMES@ replaced."""
        values |= {"VERSION": self.version, "HOMEPAGE": self.homepage, "IDENTIFIER": IDENTIFIER}
        text = (TEMPLATES / template).read_text(encoding="utf-8")
        return re.sub(r"@([A-Z]+)@", lambda name: values[name[1]], text)


def archives_in(folder, version):
    """Returns the archives of that version in a folder, by system and processor."""
    found = []
    for path in sorted(folder.glob("ualm-*")):
        name = ARCHIVE.fullmatch(path.name)
        if name and name["version"] == version:
            found.append(Archive(path.absolute(), name["system"], name["processor"]))
    return found


def homebrew(release, folder):
    """Writes the formula, if there is an archive for it."""
    processors = {"aarch64": "arm", "x86_64": "intel"}
    blocks = ""
    for system in ("macos", "linux"):
        inner = ""
        for archive in release.of(system):
            inner += f"    on_{processors[archive.processor]} do\n"
            inner += f'      url "{release.address(archive)}"\n      sha256 "{archive.sha256}"\n    end\n'
        blocks += f"  on_{system} do\n{inner}  end\n\n" if inner else ""
    return [write(folder / "ualm.rb", release.filled("homebrew/ualm.rb.in", ARCHIVES=blocks.rstrip("\n") + "\n"))] if blocks else []


def scoop(release, folder):
    """Writes the manifest, if there is an archive for Windows."""
    processors = {"aarch64": "arm64", "x86_64": "64bit"}
    entries = {
        processors[archive.processor]: {"url": release.address(archive), "hash": archive.sha256, "extract_dir": archive.folder}
        for archive in release.of("windows")
    }
    lines = json.dumps(entries, indent=4).splitlines()[1:-1]
    text = release.filled("scoop/ualm.json.in", ARCHIVES="\n".join(f"    {line}" for line in lines))
    return [write(folder / "ualm.json", text)] if entries else []


def winget(release, folder):
    """Writes the three manifests, if there is an archive for Windows and its address."""
    if not release.of("windows"):
        return []
    if not release.base.startswith("https://"):
        print("note: no manifests for winget, which requires web addresses: set RELEASE=https://…", file=sys.stderr)
        return []
    processors = {"aarch64": "arm64", "x86_64": "x64"}
    entries = ""
    for archive in release.of("windows"):
        processor = processors[archive.processor]
        entries += f"- Architecture: {processor}\n  InstallerUrl: {release.address(archive)}\n  InstallerSha256: {archive.sha256.upper()}\n"
        entries += f"  NestedInstallerFiles:\n  - RelativeFilePath: {archive.folder}\\bin\\ualm.exe\n    PortableCommandAlias: ualm\n"
        entries += f"  Dependencies:\n    PackageDependencies:\n    - PackageIdentifier: Microsoft.VCRedist.2015+.{processor}\n"
    place = folder / "manifests" / IDENTIFIER[0].lower() / IDENTIFIER.replace(".", "/") / release.version
    values = {"ARCHIVES": entries.rstrip("\n")}
    names = {"": "ualm.yaml.in", ".installer": "ualm.installer.yaml.in", ".locale.en-US": "ualm.locale.en-US.yaml.in"}
    return [write(place / f"{IDENTIFIER}{kind}.yaml", release.filled(f"winget/{name}", **values)) for kind, name in names.items()]


def debian_packages(release, folder):
    """Builds the Debian packages of each archive for Linux."""
    made = []
    if release.of("linux") and not shutil.which("dpkg-deb"):
        print("note: no packages for Debian: dpkg-deb is missing", file=sys.stderr)
        return made
    folder.mkdir(parents=True, exist_ok=True)
    for archive in release.of("linux"):
        with tempfile.TemporaryDirectory(prefix=".work-", dir=folder) as work:
            made += debian.build(archive.path, archive.processor, release.filled, pathlib.Path(work), folder)
    return made


def main():
    parser = argparse.ArgumentParser(description="Write the files with which package managers install the release archives.")
    parser.add_argument("--release", default=os.environ.get("RELEASE", ""), metavar="URL", help="address of the published archives")
    parser.add_argument("--archives", type=pathlib.Path, default=DIST, metavar="FOLDER", help="folder of the archives (default: target/dist)")
    parser.add_argument("--out", type=pathlib.Path, default=DIST / "packages", metavar="FOLDER", help="default: target/dist/packages")
    arguments = parser.parse_args()
    try:
        release = Release(version(), arguments.release.rstrip("/"), archives_in(arguments.archives, version()))
        if not release.archives:
            raise Failure(f"{arguments.archives} has no archive of version {version()}: make dist builds one")
        for name, make in (("homebrew", homebrew), ("scoop", scoop), ("winget", winget), ("debian", debian_packages)):
            shutil.rmtree(arguments.out / name, ignore_errors=True)
            for path in make(release, arguments.out / name):
                print(path)
    except (Failure, OSError) as error:
        sys.exit(f"packages.py: {error}")


if __name__ == "__main__":
    main()
