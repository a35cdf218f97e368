"""The release archive (`make dist`), unpacked into an empty folder and used there with an empty environment: `make test-dist`.

UALM_DIST_TARGET names the archive's system if it differs from this machine's: its programs then run in an emulator.
"""
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest
import wave
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests/tools")]

from isolation import EMPTY, offline  # noqa: E402
from targets import check, target_of, this_target  # noqa: E402

TARGET = target_of(os.environ["UALM_DIST_TARGET"]) if os.environ.get("UALM_DIST_TARGET") else this_target()
# The variables of programs of the archive, with those of the emulator.
ENVIRONMENT = EMPTY | TARGET.run_environment()
COMPILER = "cc" if TARGET.is_host else f"{TARGET.prefix}gcc"
# The processors' numbers in programs and libraries, by format.
MACHINES = {"x86_64": {"ELF": 62, "PE": 0x8664}, "aarch64": {"ELF": 183, "PE": 0xAA64}}


def archive():
    """Returns the path of the newest archive for the target."""
    built = [path for pattern in ("*.tar.gz", "*.zip") for path in (ROOT / "target/dist").glob(f"*-{TARGET.name}{pattern[1:]}")]
    return max(built, key=lambda path: path.stat().st_mtime)


def machine(content):
    """Returns the format of a program or library and the number of its processor, or None for any other file."""
    if content[:4] == b"\x7fELF":
        return "ELF", int.from_bytes(content[18:20], "little")
    at = int.from_bytes(content[60:64], "little")
    return ("PE", int.from_bytes(content[at + 4 : at + 6], "little")) if content[:2] == b"MZ" and content[at : at + 4] == b"PE\0\0" else None


def unpack(path, folder):
    """Unpacks an archive; returns its top folder."""
    with zipfile.ZipFile(path) if path.suffix == ".zip" else tarfile.open(path) as packed:
        packed.extractall(folder)
    (top,) = folder.iterdir()
    return top


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Archive(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        check(TARGET.missing_emulator(), TARGET)
        TARGET.prepare_to_run()
        cls.temporary = tempfile.TemporaryDirectory(prefix="ualm dist é ", ignore_cleanup_errors=True)
        cls.addClassCleanup(cls.temporary.cleanup)
        folder = pathlib.Path(cls.temporary.name).resolve()
        (folder / "unpacked").mkdir()
        (folder / "elsewhere").mkdir()
        cls.archive = archive()
        cls.top = unpack(cls.archive, folder / "unpacked")
        cls.elsewhere = folder / "elsewhere"
        cls.program = cls.top / "bin" / TARGET.program
        cls.offline = offline()
        cls.emulator = [shutil.which(TARGET.run_command()[0]), *TARGET.run_command()[1:]] if TARGET.run_command() else []

    def works(self, *command, environment=None):
        """Runs a command that must succeed, in another folder, with an empty environment and without a network; returns its output."""
        command = [*self.offline, *self.emulator, *map(str, command)]
        done = subprocess.run(command, cwd=self.elsewhere, env=ENVIRONMENT | (environment or {}), capture_output=True, check=False)
        self.assertEqual(done.returncode, 0, f"{command}\n{done.stderr.decode(errors='replace')}")
        return done.stdout.decode()

    def test_the_checksums_match_the_files(self):
        beside = self.archive.with_name(self.archive.name + ".sha256").read_text()
        self.assertEqual(beside, f"{sha256(self.archive)}  {self.archive.name}\n")
        listed = dict(reversed(line.split("  ", 1)) for line in (self.top / "SHA256SUMS").read_text().splitlines())
        there = {path.relative_to(self.top).as_posix(): path for path in self.top.rglob("*") if path.is_file() and not path.is_symlink()}
        del there["SHA256SUMS"]
        self.assertEqual(listed, {name: sha256(path) for name, path in there.items()})

    def test_the_program_makes_a_sound_and_names_it(self):
        self.works(self.program, "generate", "a dog barking", "--seed", "1", "-o", "dog.wav")
        with wave.open(str(self.elsewhere / "dog.wav")) as sound:
            self.assertGreater(sound.getnframes(), sound.getframerate() // 4)
        self.assertIn("dog", self.works(self.program, "ask", "dog.wav", "What sound is this?"))
        self.works(self.program, "doctor")

    def test_programs_and_libraries_are_for_the_processor(self):
        found = {path.name: machine(path.read_bytes()) for path in self.top.rglob("*") if path.is_file() and not path.is_symlink()}
        found = {name: of for name, of in found.items() if of}
        if TARGET.system == "macos":
            self.skipTest("neither ELF nor PE")
        self.assertGreaterEqual(len(found), 3, found)
        self.assertEqual({name: number for name, (_, number) in found.items()},
                         {name: MACHINES[TARGET.processor][kind] for name, (kind, _) in found.items()})  # fmt: skip

    def test_shells_find_man_pages_and_completions(self):
        page = (self.top / "share/man/man1/ualm-generate.1").read_text(encoding="utf-8")
        self.assertTrue(page.startswith(".ie") and "UALM_SEED" in page, page[:200])
        for path in ("bash-completion/completions/ualm", "zsh/site-functions/_ualm", "fish/vendor_completions.d/ualm.fish", "powershell/ualm.ps1"):
            self.assertIn("transcribe", (self.top / "share" / path).read_text(encoding="utf-8"))

    @unittest.skipIf(TARGET.is_windows, "links need rights there")
    def test_the_program_works_through_a_link(self):
        (self.elsewhere / "linked").symlink_to(self.program)
        self.assertIn("ualm", self.works(self.elsewhere / "linked", "inspect"))

    @unittest.skipIf(os.name == "nt" or not shutil.which(COMPILER), f"there is no C compiler called {COMPILER}")
    def test_the_header_s_example_is_built_and_run_with_either_library(self):
        comment = (self.top / "include/ualm.h").read_text().split("* AN EXAMPLE\n", 1)[1].split("*/", 1)[0]
        source = self.elsewhere / "example.c"
        source.write_text("".join(re.sub(r"^ \*( {5})?", "", line) + "\n" for line in comment.splitlines()))
        library = next(path for folder in ("lib", "bin") for path in (self.top / folder).glob("*onnxruntime*"))
        shared = ["-L", self.top / "lib", "-lualm", *([] if TARGET.is_windows else [f"-Wl,-rpath,{self.top / 'lib'}"])]
        path = {"WINEPATH": f"Z:{self.top / 'bin'}".replace("/", "\\")} if TARGET.is_windows else None
        flags = re.search("^Libs.private: (.*)$", (self.top / "lib/pkgconfig/ualm.pc").read_text(), re.MULTILINE)[1].split()
        answers = []
        for name, link, environment in (
            ("shared", shared, path),  # ONNX Runtime is beside the library, not beside this program
            ("static", [self.top / "lib/libualm.a", *flags], {"ORT_DYLIB_PATH": str(library)}),
        ):
            program = self.elsewhere / (f"{name}.exe" if TARGET.is_windows else name)
            arguments = [COMPILER, "-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", "-I", self.top / "include"]
            subprocess.run([*arguments, source, "-o", program, *link], check=True)
            package = self.top / "share/ualm/default"
            out = self.elsewhere / f"{name}.wav"
            answers.append((self.works(program, package, out, environment=environment), sha256(out)))
        self.assertEqual(answers[0], answers[1])
        self.assertIn("dog", answers[0][0])

    @unittest.skipUnless(shutil.which("pkg-config"), "there is no pkg-config")
    def test_pkg_config_finds_the_unpacked_library(self):
        asked = ["pkg-config", "--variable=libdir", "ualm"]
        environment = os.environ | {"PKG_CONFIG_PATH": str(self.top / "lib/pkgconfig")}
        found = subprocess.run(asked, env=environment, capture_output=True, check=True, text=True).stdout.strip()
        self.assertEqual(pathlib.Path(found.replace("\\", "")).resolve(), self.top / "lib")

    def test_every_crate_is_listed_with_its_licence(self):
        bill = json.loads((self.top / "share/doc/ualm/sbom.cdx.json").read_text(encoding="utf-8"))
        licences = (self.top / "share/doc/ualm/crates.txt").read_text(encoding="utf-8")
        crates = [component for component in bill["components"] if component.get("purl", "").startswith("pkg:cargo/")]
        self.assertGreater(len(crates), 100)
        for crate in crates:
            self.assertIn(f"\n{crate['name']} {crate['version']}  ", licences)
            self.assertRegex(crate["hashes"][0]["content"], "^[0-9a-f]{64}$")
        known = {component["bom-ref"] for component in bill["components"]}
        for entry in bill["dependencies"]:
            self.assertLessEqual(set(entry.get("dependsOn", [])), known)

    def test_no_file_names_the_machine_that_built_it(self):
        names = [str(ROOT).encode(), str(pathlib.Path.home() / ".cargo").encode()]
        for path in self.top.rglob("*"):
            content = path.read_bytes() if path.is_file() else b""
            self.assertFalse([name for name in names if name in content], path)


if __name__ == "__main__":
    unittest.main()
