"""Tests of the check of wording: the places where a sentence begins are found in each kind of file, and nothing else is reported."""
import pathlib
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from check_words import faults  # noqa: E402


def lines(name, text):
    """Returns the numbers of the lines that are reported in a file of this name."""
    return sorted(number for number, _ in faults(pathlib.Path(name), text))


class Openings(unittest.TestCase):
    def test_rust(self):
        text = "//! What it is.\n\n/// Returns a sum.\n/// Whether it is right is checked.\nfn f() {\n    g(); // how much\n    // Where\n}\n"
        self.assertEqual(lines("a.rs", text), [1, 6, 7])

    def test_rust_list_items_and_blocks(self):
        text = "/// A table.\n///\n/// - What is in it.\n/// - A row.\npub x: u8,\n/// Those of the row.\npub y: u8,\n"
        self.assertEqual(lines("a.rs", text), [3, 6])

    def test_rust_help_and_strings(self):
        text = '#[arg({} = "Where to write")]\nlet url = "https://what.example"; // an address\n'.format("help")
        self.assertEqual(lines("a.rs", text), [1])

    def test_python(self):
        text = '"""What it does."""\n# How it is done:\n# which is well.\nx = 1  # that of y\n\n\ndef f():\n    """Returns x."""\n    # The sum.\n'
        self.assertEqual(lines("a.py", text), [1, 2, 4])

    def test_python_help_and_strings(self):
        text = 'add("--to", {0}="where to write")\nadd("--of", {0}=f"who asks")\nx = "# What is this?"\n'.format("help")
        self.assertEqual(lines("a.py", text), [1, 2])

    def test_c(self):
        text = "/** What it is. */\n/*\n * Which one.\n * Where it is.\n */\nint x; // who\nint y; /* a number */\n"
        self.assertEqual(lines("a.h", text), [1, 3, 6])

    def test_makefile(self):
        text = "# What is needed: Rust.\n# Where: here.\nbuild: other ## what to build\ntest: ## run the tests\n\t@echo '# no' ## how\n"
        self.assertEqual(lines("Makefile", text), [1, 3, 5])

    def test_markdown(self):
        text = "# What it is\n\nWhat a paragraph says is not looked at.\n\n- **How** it works\n- A list\n\n```\n# What a comment in code says\n```\n1. Where\n"
        self.assertEqual(lines("a.md", text), [1, 5, 11])

    def test_words_that_only_begin_alike(self):
        self.assertEqual(lines("a.rs", "// Whatever comes first.\n\n// Wherever.\n\n// That is why.\n\n// How-to.\n"), [])


class Phrases(unittest.TestCase):
    def test_anywhere(self):
        text = "let a = \"a request that makes no {}\";\n/// Returns it. {}: none.\n/// # {}\n".format("sense", "Errors", "Errors")
        self.assertEqual(lines("a.rs", text), [1, 2])


if __name__ == "__main__":
    unittest.main()
