"""Checks that every link between the documents of the repository leads to a file, and to a heading of it."""
import pathlib
import re
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(text):
    """Returns the anchors of a document: those of its headings as GitHub makes them, and named ones."""
    headings = re.findall(r"^#+ +(.+)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    slugs = [re.sub(r"[^\w\- ]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()).replace(" ", "-") for heading in headings]
    return {*slugs, *re.findall(r'<a name="([^"]+)"', text)}


class Links(unittest.TestCase):
    def test_all(self):
        names = subprocess.check_output(["git", "ls-files", "*.md"], cwd=ROOT, text=True).splitlines()
        texts = {name: (ROOT / name).read_text("utf-8") for name in names if (ROOT / name).is_file()}
        count = 0
        for name, text in texts.items():
            for link in LINK.findall(CODE.sub("", text)):
                file, _, anchor = link.partition("#")
                if re.match(r"\w+:", file) or "@" in file:
                    continue
                count += 1
                with self.subTest(document=name, link=link):
                    target = (ROOT / name).parent.joinpath(file).resolve() if file else ROOT / name
                    self.assertTrue(target.exists(), "leads nowhere")
                    if anchor:
                        self.assertIn(anchor, anchors(target.read_text("utf-8")))
        self.assertGreater(count, 150)


if __name__ == "__main__":
    unittest.main()
