"""Archives of scripts/dist.py, without building anything."""
import os
import pathlib
import sys
import tempfile
import unittest
from unittest import mock

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import dist  # noqa: E402
import targets  # noqa: E402
from targets import target_of  # noqa: E402


class Archives(unittest.TestCase):
    def archive(self, triple, umask):
        """Returns the bytes of an archive whose files were created with that umask."""
        self.addCleanup(os.umask, os.umask(umask))
        with tempfile.TemporaryDirectory() as folder:
            prefix = pathlib.Path(folder) / "ualm-1"
            dist.write(prefix / "share/README.md", "text\n")
            dist.copy(prefix / "share/README.md", prefix / "bin/ualm", 0o755)
            return dist.pack(prefix, target_of(triple)).read_bytes()

    def test_archives_do_not_depend_on_the_builder(self):
        for triple in ("x86_64-unknown-linux-gnu", "x86_64-pc-windows-gnu"):
            self.assertEqual(self.archive(triple, 0o022), self.archive(triple, 0o077), triple)


class Flags(unittest.TestCase):
    def test_a_release_for_another_system_does_not_affect_this_one(self):
        """This machine's program makes the man pages; its linker does not accept another system's flags."""
        with mock.patch.object(targets, "host", lambda: "x86_64-unknown-linux-gnu"), mock.patch.dict(os.environ):
            dist.settle(target_of("x86_64-pc-windows-gnu"))
            self.assertIn("--no-insert-timestamp", os.environ["CARGO_ENCODED_RUSTFLAGS"])
            dist.settle(targets.this_target())
            self.assertNotIn("--no-insert-timestamp", os.environ["CARGO_ENCODED_RUSTFLAGS"])


if __name__ == "__main__":
    unittest.main()
