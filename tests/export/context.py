"""The import path of the exporter and the test tools, and base classes of tests. Every test module imports it first."""

import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "target" / "fixtures"
for folder in ("export", "tests/tools"):
    sys.path.insert(0, str(ROOT / folder))

from ualm_export.errors import ExportError  # noqa: E402


class TemporaryFolderTest(unittest.TestCase):
    """A test with an empty folder of its own."""

    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)


class ExporterTest(TemporaryFolderTest):
    """A test of the exporter. Subclasses write a checkpoint with `checkpoint` and export it with `export`."""

    def assert_refused(self, *words: str, checkpoint: Path | None = None, **options) -> str:
        """Checks that the export fails with a message that contains the words, and leaves no files; returns the message."""
        checkpoint = checkpoint or self.checkpoint()
        before = set(self.folder.iterdir())
        with self.assertRaises(ExportError) as raised:
            self.export(checkpoint, **options)
        for word in words:
            self.assertIn(word, str(raised.exception))
        self.assertEqual(set(self.folder.iterdir()), before)
        return str(raised.exception)
