"""No circle of imports in the project's Python packages, imports inside of functions included."""

import ast
import unittest
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (ROOT / "export" / "ualm_export", ROOT / "export" / "train", ROOT / "crates" / "python" / "ualm")


def modules(package: Path) -> dict[str, Path]:
    """Module name → file, for every module of a package."""
    found = {}
    for path in package.rglob("*.py"):
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(name: str, path: Path, known: dict[str, Path]) -> set[str]:
    """Returns the modules of the package that a module imports, except those for type checking alone."""
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    found = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    annotations = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or node in annotations:
            continue
        base = node.module or ""
        if node.level:
            parent = package.split(".")
            parent = parent[: len(parent) - node.level + 1]
            base = ".".join([*parent, base] if base else parent)
        for alias in node.names:
            whole = f"{base}.{alias.name}"
            found.add(whole if whole in known else base)
    return (found & known.keys()) - {name}


class Imports(unittest.TestCase):
    def test_there_are_no_circular_imports(self):
        for package in PACKAGES:
            known = modules(package)
            self.assertGreater(len(known), 5, package)
            graph = {name: imported(name, path, known) for name, path in known.items()}
            self.assertTrue(any(graph.values()), package)
            try:
                TopologicalSorter(graph).prepare()
            except CycleError as error:
                self.fail(f"a circle of imports in {package.name}: {' imports '.join(reversed(error.args[1]))}")

    def test_the_packages_of_the_recipe_import_only_those_above_them(self):
        package = ROOT / "export" / "train"
        order = ["audio", "sounds", "world", "data", "evaluation", "codec", "encoder", "language_model"]
        known = modules(package)
        for name, path in known.items():
            here = name.split(".")[1] if "." in name else ""
            if here in order:
                others = {other.split(".")[1] for other in imported(name, path, known) if "." in other} & set(order)
                self.assertLessEqual(others, set(order[: order.index(here) + 1]), name)


if __name__ == "__main__":
    unittest.main()
