"""Runs the commands of the documents: code blocks that are marked `sh run`, in order, in an empty folder for each document.

`ualm` is the program that UALM names; the package is onnx/default. Where a document asks the server at 127.0.0.1:8080, one is started,
at a free port.
"""
import contextlib
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "server"))

from running import PROGRAM, Server  # noqa: E402

BLOCK = re.compile(r"^```sh run\n(.*?)^```", re.MULTILINE | re.DOTALL)
ADDRESS = "127.0.0.1:8080"


def environment(home):
    """Returns an environment in which nothing of the user counts, and `ualm` is the program under test."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("UALM") and not name.startswith("XDG_")}
    return own | {
        "HOME": str(home), "PATH": f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}", "UALM_MODEL": str(ROOT / "onnx" / "default"),
    }  # fmt: skip


@unittest.skipIf(os.name == "nt", "the commands are for a POSIX shell")
class Documents(unittest.TestCase):
    def test_all(self):
        documents = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
        blocks = {path.relative_to(ROOT): BLOCK.findall(path.read_text("utf-8")) for path in documents}
        self.assertGreater(sum(map(len, blocks.values())), 9)
        for name, commands in blocks.items():
            if commands:
                with self.subTest(document=str(name)):
                    self.run_document("\n".join(commands))

    def run_document(self, commands):
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
            work = pathlib.Path(folder, "work")
            home = pathlib.Path(folder, "home")
            work.mkdir()
            home.mkdir()
            env = environment(home)
            if ADDRESS in commands:
                commands = commands.replace(ADDRESS, stack.enter_context(Server()).address.removeprefix("http://"))
            done = subprocess.run(["bash", "-euxo", "pipefail", "-c", commands], cwd=work, env=env, stdin=subprocess.DEVNULL,
                                  capture_output=True, text=True, encoding="utf-8", timeout=600)
            self.assertEqual(done.returncode, 0, f"{commands}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")


if __name__ == "__main__":
    unittest.main()
