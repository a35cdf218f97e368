"""Runs the Python of the documents: code blocks that are marked `python run`, those of a document in order in one program."""
import os
import re
import tempfile
import unittest

import here

BLOCK = re.compile(r"^```python run\n(.*?)^```", re.MULTILINE | re.DOTALL)


class Documents(unittest.TestCase):
    def test_all(self):
        documents = [here.ROOT / "README.md", *sorted((here.ROOT / "docs").glob("*.md"))]
        programs = {path.relative_to(here.ROOT): "\n".join(BLOCK.findall(path.read_text("utf-8"))) for path in documents}
        programs = {name: program for name, program in programs.items() if program}
        self.assertGreater(len(programs), 1)
        for name, program in programs.items():
            with self.subTest(document=str(name)), tempfile.TemporaryDirectory() as folder:
                self.assertTrue(here.printed(program, cwd=folder, timeout=300, env=os.environ | {"UALM_MODEL": str(here.DEFAULT)}))


if __name__ == "__main__":
    unittest.main()
