"""The linked crates, as Cargo resolves them: for their licences and the bill of materials."""
import json
import os
import pathlib
import re
import subprocess
from dataclasses import dataclass
from functools import cache

OWN = ("ualm", "ualm-capi", "ualm-cli")  # the packages of this workspace in a release
ROOT = pathlib.Path(__file__).resolve().parent.parent
LICENCE_FILE = re.compile(r"(LICEN[CS]E|COPYING|COPYRIGHT|NOTICE|UNLICENSE)[\w.-]*?(\.txt|\.md)?", re.IGNORECASE)


@dataclass(frozen=True)
class Crate:
    """A linked crate."""

    name: str
    version: str
    licence: str  # an SPDX expression; "" if the crate has only a file
    authors: str
    repository: str
    folder: pathlib.Path
    sha256: str  # of the crate's file; "" for this project
    needs: tuple  # the purls of the crates that it depends on

    @property
    def purl(self):
        return purl(self.name, self.version)

    def licence_files(self):
        """Returns the crate's licence files, and those of its bundled parts: a font, a C library."""
        found = (path for path in self.folder.rglob("*") if path.is_file() and is_licence(path))
        return sorted(path for path in found if path.suffix not in (".rs", ".c", ".h", ".html"))


def is_licence(path):
    """Returns whether a file is a licence, by its name or by its folder (https://reuse.software)."""
    return path.parent.name == "LICENSES" or LICENCE_FILE.fullmatch(path.name)


def purl(name, version):
    """Returns a package URL (https://github.com/package-url)."""
    return f"pkg:cargo/{name}@{version}"


def cargo(*arguments):
    """Runs Cargo and returns its output."""
    command = [os.environ.get("CARGO", "cargo"), *arguments]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, encoding="utf-8", check=True).stdout


def host():
    """Returns the triple of this machine."""
    version = subprocess.run([os.environ.get("RUSTC", "rustc"), "-vV"], stdout=subprocess.PIPE, text=True, check=True).stdout
    return re.search(r"^host: (\S+)$", version, re.MULTILINE)[1]


@cache
def linked(triple=None):
    """Returns this project as one crate, then the crates linked into a release for `triple` (or this machine), by name, without build tools."""
    metadata = json.loads(cargo("metadata", "--locked", "--format-version=1", f"--filter-platform={triple or host()}"))
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    own = [node for node in metadata["workspace_members"] if packages[node]["name"] in OWN]
    sums = checksums()
    released = without_tests(triple)

    def used(node):
        """Returns the crates that are linked into the same program as this one."""
        normal = (d["pkg"] for d in nodes[node]["deps"] if any(kind["kind"] is None for kind in d["dep_kinds"]))
        linked_in = (d for d in normal if (packages[d]["name"], packages[d]["version"]) in released)
        return [d for d in linked_in if not any("proc-macro" in target["kind"] for target in packages[d]["targets"])]

    found = set()
    waiting = list(own)
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += used(node)
    others = sorted(found.difference(own), key=lambda node: (packages[node]["name"], packages[node]["version"]))
    needs = {need for node in own for need in used(node)}.difference(own)
    project = crate(packages[metadata["resolve"]["root"]], [packages[need] for need in needs], sums)
    return [project, *(crate(packages[node], [packages[need] for need in used(node)], sums) for node in others)]


def without_tests(triple=None):
    """Returns the (name, version) of all crates in a build without tests. `cargo metadata` has also those of features that only
    development dependencies enable."""
    own = (f"--package={name}" for name in OWN)
    tree = cargo("tree", "--locked", "--edges=normal", "--prefix=none", "--format={p}", f"--target={triple or host()}", *own)
    return set(re.findall(r"^(\S+) v(\S+)", tree, re.MULTILINE))


def crate(package, needs, sums):
    """Returns a crate, from Cargo's metadata."""
    return Crate(
        name=package["name"],
        version=package["version"],
        licence=re.sub(r"\s*/\s*", " OR ", package["license"] or ""),  # an old notation of OR
        authors=", ".join(package["authors"]),
        repository=package["repository"] or "",
        folder=pathlib.Path(package["manifest_path"]).parent,
        sha256=sums.get((package["name"], package["version"]), ""),
        needs=tuple(sorted(purl(need["name"], need["version"]) for need in needs)),
    )


def checksums():
    """Returns the SHA-256 of every crate's file, from Cargo.lock."""
    locked = (ROOT / "Cargo.lock").read_text(encoding="utf-8")
    entry = r'^name = "(.+)"\nversion = "(.+)"\nsource = ".+"\nchecksum = "(.+)"$'
    return {(name, version): digest for name, version, digest in re.findall(entry, locked, re.MULTILINE)}
