"""Compares generated parts of documents with the sources: docs/architecture.md, its picture, docs/c.md; imports form no circle."""
import graphlib
import pathlib
import re
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import architecture  # noqa: E402
import c_reference  # noqa: E402


class Page(unittest.TestCase):
    def test_tables_are_those_of_the_sources(self):
        text = architecture.PAGE.read_text("utf-8")
        self.assertEqual(architecture.page(text), text, "docs/architecture.md is not of these sources: run `make reference`")

    def test_functions_are_those_of_the_header(self):
        text = c_reference.PAGE.read_text("utf-8")
        self.assertEqual(c_reference.page(text), text, "docs/c.md is not of this header: run `make reference`")
        abi = c_reference.HEADER.with_name("ualm.abi").read_text("utf-8")
        declared = re.findall(r"^(?!typedef)[\w* ]*?\b(ualm_\w+)\(", abi, re.MULTILINE)
        self.assertEqual(sorted(name for name, _ in c_reference.functions()), sorted(declared))

    def test_picture_names_modules_and_graphs(self):
        picture = (ROOT / "docs" / "architecture.svg").read_text("utf-8")
        boxes = re.findall(r'<rect class="(box|graph)"[^>]*/><text class="name"[^>]*>([^<]+)</text>', picture)
        self.assertGreater(len(boxes), 10)
        contract = (ROOT / "onnx" / "README.md").read_text("utf-8").lower()
        for kind, names in boxes:
            for name in names.split(", "):
                known = name in architecture.modules() if kind == "box" else name.removesuffix("s") in contract
                self.assertTrue(known, f"{name!r} is no {'module of src/' if kind == 'box' else 'graph of onnx/README.md'}")

    def test_imports_form_no_circle(self):
        imports = {module: set() for module in architecture.modules()}
        for path in architecture.SOURCES.rglob("*.rs"):
            importer = path.relative_to(architecture.SOURCES).parts[0].removesuffix(".rs")
            if importer in imports and importer != "internal" and "tests" not in path.relative_to(architecture.SOURCES).parts:
                code = re.sub(r"//.*", "", path.read_text("utf-8").partition("#[cfg(test)]\nmod tests")[0])
                imports[importer] |= set(re.findall(r"\bcrate::(\w+)", code)) & imports.keys() - {importer}
        self.assertGreater(sum(map(len, imports.values())), 50)
        graphlib.TopologicalSorter(imports).prepare()  # raises CycleError


if __name__ == "__main__":
    unittest.main()
