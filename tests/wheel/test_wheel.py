"""The wheel (`make wheel`), installed into an empty environment and used there, in an empty folder: `make test-wheel`."""
import email
import hashlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import unittest
import wave
import zipfile

import openai

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/tools"))

from isolation import EMPTY, offline  # noqa: E402

WINDOWS = os.name == "nt"
CHECKPOINT = ROOT / "target/fixtures/checkpoints/tiny-omni"


def wheel():
    """Returns the newest wheel."""
    return max((ROOT / "target/wheels").glob("ualm-*.whl"), key=lambda path: path.stat().st_mtime)


def make_environment(folder, *packages):
    """Makes an environment with only `packages`; returns the folder of its commands."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    commands = folder / ("Scripts" if WINDOWS else "bin")
    pip = [sys.executable, "-m", "pip", "--python", commands / "python"]
    installer = subprocess.run([*pip, "--version"], capture_output=True, check=False)
    if installer.returncode != 0:  # the tests' environment has no pip, but the Python that made it has
        pip = [os.environ.get("PYTHON", "python3"), "-m", "pip", "--python", commands / "python"]
    install = ["install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"]
    subprocess.run([*pip, *install, *packages], check=True)
    return commands


class Wheel(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="ualm wheel é ")
        cls.addClassCleanup(cls.temporary.cleanup)
        cls.folder = pathlib.Path(cls.temporary.name).resolve()
        cls.elsewhere = cls.folder / "elsewhere"
        cls.elsewhere.mkdir()
        cls.wheel = wheel()
        cls.commands = make_environment(cls.folder / "environment", cls.wheel)
        cls.python = cls.commands / "python"
        cls.program = cls.commands / ("ualm.exe" if WINDOWS else "ualm")
        cls.offline = offline()

    def run_there(self, *command, environment=None):
        """Runs a command in another folder, with an empty environment, without a network."""
        command = [*self.offline, *map(str, command)]
        return subprocess.run(command, cwd=self.elsewhere, env=EMPTY | (environment or {}), capture_output=True, check=False)

    def works(self, *command, environment=None):
        """Runs a command that must succeed; returns its output."""
        done = self.run_there(*command, environment=environment)
        self.assertEqual(done.returncode, 0, f"{command}\n{done.stderr.decode(errors='replace')}")
        return done.stdout.decode()

    def test_the_command_makes_a_sound_and_names_it(self):
        self.works(self.program, "generate", "a dog barking", "--seed", "1", "-o", "dog.wav")
        with wave.open(str(self.elsewhere / "dog.wav")) as sound:
            self.assertGreater(sound.getnframes(), sound.getframerate() // 4)
        self.assertIn("dog", self.works(self.program, "ask", "dog.wav", "What sound is this?"))
        self.assertIn("onnxruntime", self.works(self.program, "doctor"))

    def test_the_module_is_the_command(self):
        version = self.works(self.python, "-m", "ualm", "--version")
        self.assertEqual(version, self.works(self.program, "--version"))
        self.assertRegex(version, r"^ualm \d+\.\d+\.\d+")
        self.assertEqual(self.run_there(self.python, "-m", "ualm", "generate").returncode, 2)

    @unittest.skipIf(WINDOWS, "a process is not replaced there")
    def test_the_command_starts_without_numpy(self):
        program = "import sys; sys.argv = ['ualm', '--version']; from ualm._program import main; main()"
        done = self.run_there(self.python, "-X", "importtime", "-c", program)
        self.assertIn(b"ualm._program", done.stderr)
        self.assertNotIn(b"numpy", done.stderr)

    def test_the_five_lines_of_the_readme_work(self):
        readme = (ROOT / "crates/python/README.md").read_text(encoding="utf-8")
        lines = re.search("```python\n(.*?)```", readme, re.DOTALL)[1]
        self.assertIn(lines, (ROOT / "examples/python/generate.py").read_text(encoding="utf-8"))
        (self.elsewhere / "dog.wav").unlink(missing_ok=True)
        self.assertIn("dog", self.works(self.python, "-c", lines))
        self.assertTrue((self.elsewhere / "dog.wav").is_file())

    def test_onnx_runtime_is_that_of_its_own_wheel(self):
        program = "import json, ualm; print(json.dumps([ualm.report(), ualm.version()]))"
        report, version = json.loads(self.works(self.python, "-c", program))
        self.assertIn(self.folder / "environment", pathlib.Path(report["library"]).parents)
        self.assertIn("onnxruntime", report["library"])
        metadata = self.works(self.python, "-c", "from importlib.metadata import version; print(version('ualm'))")
        self.assertEqual(metadata.strip(), version)

    def test_onnx_runtime_s_own_interface_may_be_used_beside_it(self):
        program = "import {}, {}; m = ualm.Model(); print(m.generate('rain').seconds > 0, onnxruntime.get_device())"
        for order in (("onnxruntime", "ualm"), ("ualm", "onnxruntime")):
            self.assertEqual(self.works(self.python, "-c", program.format(*order)), "True CPU\n")

    def test_a_named_library_takes_precedence(self):
        for command in ([self.program, "inspect", "--json"], [self.python, "-c", "import ualm; ualm.Model()"]):
            done = self.run_there(*command, environment={"ORT_DYLIB_PATH": "no-such-library"})
            if "inspect" not in command:
                self.assertIn(b"no-such-library", done.stderr)

    @unittest.skipIf(WINDOWS, "Ctrl-C is sent otherwise there")
    def test_signals_reach_the_program(self):
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 130)):
            with self.serve() as (process, _):
                process.send_signal(number)
                self.assertIn(process.wait(60), (0, code))

    def serve(self):
        """Starts `ualm serve` on a free port."""
        return Serving([str(self.program), "serve", "--listen", "127.0.0.1:0"], self.elsewhere)

    def test_the_client_of_openai_is_served(self):
        with self.serve() as (_, address), openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
            model = next(iter(client.models.list())).id
            more = {"ualm": {"modality": "audio", "seed": 7}}
            sound = client.audio.speech.create(model=model, voice="default", input="a dog barking", extra_body=more).content
            self.assertEqual(sound[:4], b"RIFF")
            digits = client.audio.speech.create(model=model, voice="default", input="seven three").content
            heard = client.audio.transcriptions.create(model=model, file=("digits.wav", digits)).text
            self.assertEqual(heard, "seven three")

    def test_the_exporter_names_its_missing_extra(self):
        done = self.run_there(self.commands / "ualm-export", "--help")
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"pip install 'ualm[export]'", done.stderr)

    @unittest.skipUnless(CHECKPOINT.is_dir(), "the fixtures are missing: make fixtures")
    def test_the_extra_exports_a_checkpoint(self):
        commands = make_environment(self.folder / "exporter", f"ualm[export] @ {self.wheel.as_uri()}")
        self.works(commands / "ualm-export", CHECKPOINT, "package", "--precision", "int8")
        self.works(self.program, "generate", "rain", "-o", "rain.wav", "--model", "package", "--seed", "1")
        self.assertTrue((self.elsewhere / "rain.wav").is_file())

    def test_the_types_are_installed(self):
        with zipfile.ZipFile(self.wheel) as archive:
            self.assertIn("ualm/py.typed", archive.namelist())

    def test_the_wheels_metadata_is_complete(self):
        with zipfile.ZipFile(self.wheel) as archive:
            names = archive.namelist()
            (metadata,) = (archive.read(name) for name in names if name.endswith(".dist-info/METADATA"))
            (tags,) = (archive.read(name) for name in names if name.endswith(".dist-info/WHEEL"))
        fields = email.message_from_bytes(metadata)
        self.assertEqual(fields["Requires-Python"], ">=3.11")
        self.assertIn("onnxruntime<2,>=1.31", fields.get_all("Requires-Dist"))
        self.assertIn("CC-BY-SA-4.0", fields["License-Expression"])
        self.assertIn("Root-Is-Purelib: false", tags.decode())
        for paper in ("LICENSE-MIT", "LICENSE-APACHE", "crates.txt", "rust-standard-library.html", "sbom.cdx.json", "CHANGELOG.md"):
            self.assertIn(f"ualm/share/doc/ualm/{paper}", names)
        self.assertFalse([name for name in names if "__pycache__" in name or name.endswith(".pyc")])
        self.assertFalse([name for name in names if "onnxruntime" in name.lower()], "ONNX Runtime comes from its own wheel")

    @unittest.skipUnless(sys.platform == "linux", "auditwheel is for Linux")
    def test_the_tag_is_no_older_than_the_binaries_requirements(self):
        command = [sys.executable, "-m", "auditwheel", "show", str(self.wheel)]
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        needed = re.search(r'platform tag:\s+"manylinux_2_(\d+)_', shown)
        self.assertIsNotNone(needed, shown)
        self.assertEqual(int(re.search(r"manylinux_2_(\d+)_", self.wheel.name)[1]), max(17, int(needed[1])), shown)

    def test_no_file_names_the_machine_that_built_it(self):
        if os.environ.get("UALM_WHEEL_PROFILE", "release") != "release":
            self.skipTest("only release builds omit them")
        names = [str(ROOT).encode(), str(pathlib.Path.home() / ".cargo").encode()]
        with zipfile.ZipFile(self.wheel) as archive:
            for name in archive.namelist():
                self.assertFalse([found for found in names if found in archive.read(name)], name)

    def test_the_package_equals_that_of_the_sources(self):
        with zipfile.ZipFile(self.wheel) as archive:
            for path in (ROOT / "onnx/default").iterdir():
                content = archive.read(f"ualm/share/ualm/default/{path.name}")
                self.assertEqual(hashlib.sha256(content).digest(), hashlib.sha256(path.read_bytes()).digest(), path.name)


class Serving:
    """A running server, as a context manager."""

    def __init__(self, command, folder):
        self.process = subprocess.Popen(command, cwd=folder, env=EMPTY, stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        for line in self.process.stderr:
            if found := re.match(r"listening on (http://\S+)", line):
                return self.process, found[1]
        raise RuntimeError("the server did not begin")

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stderr.close()


if __name__ == "__main__":
    unittest.main()
