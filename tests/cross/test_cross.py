"""The program and the C library of another system (`make cross`), run by an emulator: `make test-cross TARGET=TRIPLE`.

UALM_CROSS_TARGET names the system; UALM_NATIVE is the program of this one, to which answers are compared.
"""
import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from targets import WORK, target_of  # noqa: E402

TARGET = target_of(os.environ["UALM_CROSS_TARGET"])
NATIVE = pathlib.Path(os.environ["UALM_NATIVE"])
PACKAGE = ROOT / "onnx/default"
NAME = "Grüße 🎵"
PROMPTS = ["a dog barking", "rain", "a rooster crows twice", "church bells", "a baby crying"]
SEEDS = 4


class Cross(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="ualm cross ", ignore_cleanup_errors=True)
        cls.addClassCleanup(cls.temporary.cleanup)
        cls.folder = pathlib.Path(cls.temporary.name).resolve()
        cls.there = cls.folder / NAME
        cls.there.mkdir()
        for path in (WORK / TARGET.triple).iterdir():
            if path.is_file():
                shutil.copy2(path, cls.there)
        if TARGET.is_windows:
            make_random_numbers(cls.there)
        cls.program = cls.there / TARGET.program
        (cls.there / "package").symlink_to(PACKAGE)

    def command(self, *arguments):
        return [*TARGET.emulator, str(self.program), *map(str, arguments)]

    def run_here(self, *arguments, code=0):
        """What the program prints, run by the emulator, in the folder of that name."""
        done = subprocess.run(self.command(*arguments), cwd=self.there, env=ENVIRONMENT, capture_output=True, check=False)
        self.assertEqual(done.returncode, code, f"{arguments}\n{done.stdout.decode()}\n{done.stderr.decode()}")
        return done.stdout.decode().replace("\r\n", "\n")

    def run_natively(self, *arguments):
        """What this machine's own program prints."""
        done = subprocess.run([NATIVE, *map(str, arguments)], cwd=self.there, capture_output=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return done.stdout.decode()

    def test_the_doctor_is_content(self):
        told = self.run_here("doctor", "--model", "package")
        print(told, file=sys.stderr)

    def test_greedy_replies_are_this_machine_s_and_drawn_ones_are_counted(self):
        same = drawn = 0
        for prompt in PROMPTS:
            greedy = ["generate", prompt, "--model", "package", "--temperature", "0", "--seed", "1", "--no-take", "-o"]
            self.run_here(*greedy, "greedy.wav")
            self.run_natively(*greedy, "native.wav")
            self.assertEqual(sound(self.there / "greedy.wav"), sound(self.there / "native.wav"), prompt)
            ask = ["ask", "native.wav", "What sound is this?", "--model", "package", "--temperature", "0"]
            self.assertEqual(self.run_here(*ask), self.run_natively(*ask), prompt)
            for seed in range(SEEDS):
                made = ["generate", prompt, "--model", "package", "--seed", seed, "--no-take", "-o"]
                self.run_here(*made, "drawn.wav")
                self.run_natively(*made, "native.wav")
                same += sound(self.there / "drawn.wav") == sound(self.there / "native.wav")
                drawn += 1
        print(f"{same} of {drawn} drawn sounds are the same bytes as this machine's", file=sys.stderr)

    def test_names_and_texts_beyond_ascii(self):
        self.run_here("generate", "Größe – 音", "--model", "package", "--seed", "1", "-o", f"{NAME}.wav")
        self.assertTrue((self.there / f"{NAME}.wav").is_file())
        self.assertIn("ualm", self.run_here("inspect", "package"))
        self.run_here("ask", f"{NAME}.wav", "What sound is this?", "--model", "package")
        self.run_here("ask", "not there 🎵.wav", "What?", "--model", "package", code=1)

    def test_a_batch_that_is_killed_goes_on_to_the_end(self):
        message = {"role": "user", "content": [{"type": "text", "text": "a dog barks"}]}
        requests = [{"id": f"ü-{n}", "messages": [message], "force": ["audio"], "audio": {"max_steps": 30}} for n in range(20)]
        (self.there / "requests.jsonl").write_text("".join(json.dumps(request) + "\r\n" for request in requests), encoding="utf-8")
        batch = self.command("batch", "requests.jsonl", "--out", "out", "--model", "package")
        results = self.there / "out/results.jsonl"
        kills = 0
        for wanted in (3, 8, 14):
            with subprocess.Popen(batch, cwd=self.there, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
                while child.poll() is None and lines(results) < wanted:
                    time.sleep(0.02)
                kills += child.poll() is None
                child.kill()
        self.run_here("batch", "requests.jsonl", "--out", "out", "--model", "package")
        found = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
        self.assertEqual([result["id"] for result in found], [request["id"] for request in requests])
        self.assertFalse([result for result in found if "error" in result])
        self.assertEqual(len(list((self.there / "out").glob("*.wav"))), len(requests))
        self.assertGreater(kills, 0, "the batch was never killed before its end")

    def test_the_server_serves_a_client(self):
        serve = self.command("serve", "--port", "0", "--model", "package")
        with subprocess.Popen(serve, cwd=self.there, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True, encoding="utf-8") as server:
            try:
                address = next(filter(None, (re.search(r"http://[\d.]+:\d+", line) for line in server.stderr)))[0]
                asked = json.dumps({"model": "ualm-small-world", "input": "seven three", "seed": 1}).encode()
                headers = {"content-type": "application/json"}
                request = urllib.request.Request(f"{address}/v1/audio/speech", asked, headers)
                with urllib.request.urlopen(request, timeout=300) as answer:
                    self.assertEqual(answer.read(4), b"RIFF")
            finally:
                server.kill()

    def test_the_c_library_makes_a_sound(self):
        library = WORK / TARGET.triple / "c"
        program = self.there / ("example.exe" if TARGET.is_windows else "example")
        compiled = [f"{TARGET.prefix}gcc", "-std=c99", "-Wall", "-Werror", "-I", library / "include", ROOT / "examples/c/generate.c"]
        compiled += ["-o", program, "-L", library / "lib", "-lualm"]
        subprocess.run([*compiled, *([] if TARGET.is_windows else ["-Wl,-rpath,$ORIGIN"])], check=True)
        for shared in [*library.glob("bin/*.dll"), *library.glob("lib/libualm.so*")]:
            shutil.copy(shared, self.there)
        made = subprocess.run(
            [*TARGET.emulator, program, "package", "a dog barking", "c.wav", "1"],
            cwd=self.there, env=ENVIRONMENT, capture_output=True, text=True, encoding="utf-8", check=False,
        )  # fmt: skip
        self.assertEqual(made.returncode, 0, made.stderr)
        self.assertEqual((self.there / "c.wav").read_bytes()[:4], b"RIFF")


def environment():
    """This machine's environment without what leads to its own library."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("UALM_", "ORT_"))}
    return kept | TARGET.run_environment()


ENVIRONMENT = environment()


def make_random_numbers(folder):
    """Gives wine before version 9 the DLL that it lacks."""
    version = subprocess.run([*TARGET.emulator, "--version"], capture_output=True, text=True, check=True).stdout
    if int(re.search(r"\d+", version)[0]) < 9:
        source = ROOT / "tests/cross/bcryptprimitives.c"
        made = [f"{TARGET.prefix}gcc", "-shared", "-O2", source, "-o", folder / "bcryptprimitives.dll", "-ladvapi32"]
        subprocess.run(made, check=True)


def sound(path):
    return path.read_bytes()


def lines(path):
    """Whole lines of a file that may not be there yet."""
    with contextlib.suppress(OSError):
        return path.read_bytes().count(b"\n")
    return 0


if __name__ == "__main__":
    unittest.main()
