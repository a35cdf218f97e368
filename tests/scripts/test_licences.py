"""Licence texts in a release: of crates with and without their own files."""
import pathlib
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from crates import Crate, linked  # noqa: E402
from licences import Failure, collect  # noqa: E402
from targets import TARGETS  # noqa: E402


class Licences(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)

    def crate(self, licence, authors="A. Person <a@example.org>, B. Other"):
        return Crate("mill", "1.2.3", licence, authors, "https://example.org/mill", self.folder, "", ())

    def test_a_crate_s_own_text_is_taken(self):
        (self.folder / "LICENSE-MIT").write_text("Copyright (c) Own")
        text = collect([self.crate("MIT")])
        self.assertIn("Copyright (c) Own", text)
        self.assertNotIn("A. Person", text)

    def test_a_crate_without_a_file_gets_the_text_of_its_licence(self):
        for licence, words in (
            ("Zlib OR Apache-2.0 OR MIT", "Apache License"), ("BSL-1.0", "Boost Software License - Version 1.0"),
            ("MIT", "Copyright (c) A. Person, B. Other\n"),
        ):  # fmt: skip
            text = collect([self.crate(licence)])
            self.assertIn(f"mill 1.2.3  {licence}  https://example.org/mill", text)
            self.assertIn(words, text)
            self.assertNotIn("@", text)

    def test_a_missing_text_without_a_standard_one_names_the_crate(self):
        for licence, authors in (("MPL-2.0", "A. Person"), ("MIT AND Zlib", "A. Person"), ("MIT", "")):
            with self.assertRaisesRegex(Failure, "^mill 1.2.3 .* comes without its licence's text"):
                collect([self.crate(licence, authors)])

    def test_a_release_for_every_system_has_the_licences_of_all_its_crates(self):
        for target in TARGETS:
            crates = linked(target.triple)[1:]
            self.assertGreater(len(crates), 100, target.triple)
            self.assertIn("Apache License", collect(crates))


if __name__ == "__main__":
    unittest.main()
