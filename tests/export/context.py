"""Puts the exporter and the test tools on the path; every test module imports it first."""

import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "target" / "fixtures"
for folder in ("export", "tests/tools"):
    sys.path.insert(0, str(ROOT / folder))


class TemporaryFolderTest(unittest.TestCase):
    """Every test has an empty folder of its own."""

    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)
