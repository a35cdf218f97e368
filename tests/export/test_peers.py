"""benches/peers: table, JSON, rounds in turn and failing peers, with stand-ins for the program and the peers."""

import context  # isort: skip
import argparse
import contextlib
import importlib.util
import io
import json
import os
import sys
import unittest
from unittest import mock

PEERS = context.ROOT / "benches" / "peers"
sys.path.insert(0, str(PEERS))

from contestants import Failed, Peer, starters_of  # noqa: E402
from peer import PREFILL, SLICED, STEP  # noqa: E402
from results import Results, as_json, number, table  # noqa: E402

# by its file: the exporter has a compare.py, too
specification = importlib.util.spec_from_file_location("compare_peers", PEERS / "compare.py")
compare = importlib.util.module_from_spec(specification)
specification.loader.exec_module(compare)

PEER = """
import sys
sys.path.insert(0, {folder!r})
from peer import answers, serve
answering = answers()
print("a library's greeting, which is no answer")
print("words of the peer", file=sys.stderr)
{body}
"""
SERVING = "serve(answering, 'Peer 1.0', {{name: lambda: {milliseconds} for name in {works!r}}})"

BENCH = """#!{python}
import json, pathlib, sys
folder = pathlib.Path(sys.argv[2])
with (folder / "calls").open("a") as calls:
    calls.write(" ".join(sys.argv[3:]) + "\\n")
figure = {{"name": {work!r}, "median": float((folder / "time").read_text())}}
report = {{"library": "ORT 1.32", "threads": 2, "processor": {{"name": "Fast", "features": ["AVX2"]}}}}
if "--no-limits" not in sys.argv:
    figure |= {{"limit": 4.0, "limit_by": "memory", "ratio": 2.5}}
    report["speed"] = {{"bytes_per_second": 1e10}}
print(json.dumps(report | {{"figures": [{{"name": "first load", "median": 9}}, figure]}}))
"""


class ResultsTest(unittest.TestCase):
    def test_a_table_has_medians_ranges_and_ratios_to_each_package(self):
        results = Results()
        for own, other, peer in ((10, 20, 30), (12, 20, 36), (11, 26, 33)):
            results.add("ualm int4", {STEP: own})
            results.add("ualm int8", {STEP: other})
            results.add("PyTorch fp32", {STEP: peer, STEP + SLICED: 22.0})
        results.add("ualm int4", {PREFILL: 800})
        lines = table(results, ["ualm int4", "ualm int8"]).splitlines()
        self.assertEqual(lines[0], "|  |  | median, ms | range | × ualm int4 | × ualm int8 |")
        self.assertEqual(lines[2], f"| {STEP} | ualm int4 | 11.0 | 10.0 – 12.0 | 1.00 | 0.55 |")
        self.assertEqual(lines[4], "|  | PyTorch fp32 | 33.0 | 30.0 – 36.0 | 3.00 | 1.65 |")
        self.assertEqual(lines[5], f"| {STEP}{SLICED} | PyTorch fp32 | 22.0 | 22.0 – 22.0 | 2.00 | 1.10 |")
        self.assertEqual(lines[6], f"| {PREFILL} | ualm int4 | 800 | 800 – 800 | 1.00 |  |")
        self.assertEqual(len({line.count("|") for line in lines}), 1)

    def test_numbers_have_three_digits(self):
        self.assertEqual([number(value) for value in (4321.2, 99.96, 5.123)], ["4321", "100.0", "5.12"])

    def test_json_has_every_round_and_every_failure(self):
        results = Results()
        results.add("ualm int4", {STEP: 10.0})
        results.add("ualm int4", {STEP: 14.0})
        found = as_json(results, ["ualm int4"], {"rounds": 2}, {"ualm int4": "1"}, {"ualm int4": {}}, ["PyTorch failed"])
        self.assertEqual(
            found["results"],
            [{
                "work": STEP, "contestant": "ualm int4", "median": 12.0, "least": 10.0, "most": 14.0, "rounds": [10.0, 14.0],
                "ratios": {"ualm int4": 1.0},
            }],
        )  # fmt: skip
        self.assertEqual((found["processor"], found["rounds"], found["failures"]), (None, 2, ["PyTorch failed"]))


class ProcessTest(context.TemporaryFolderTest):
    def setUp(self):
        super().setUp()
        self.arguments = argparse.Namespace(work=self.folder)

    def peer(self, body):
        return [sys.executable, "-c", PEER.format(folder=str(PEERS), body=body)]

    def serving(self, milliseconds, works):
        return self.peer(SERVING.format(milliseconds=milliseconds, works=works))

    def start(self, command, works=(STEP,)):
        peer = Peer(self.arguments, "A peer", "steps", command, works)
        self.addCleanup(peer.close)
        return peer

    def log(self):
        return (self.folder / "logs" / "a-peer-steps.log").read_text()

    def test_a_peer_answers_and_its_output_is_in_its_log(self):
        peer = self.start(self.serving(7.5, [STEP, STEP + SLICED]), [STEP, STEP + SLICED])
        self.assertEqual((peer.version, peer.measure("steps")), ("Peer 1.0", {STEP: 7.5, STEP + SLICED: 7.5}))
        self.assertIn("greeting", self.log())
        self.assertIn("words of the peer", self.log())

    def test_a_peer_that_does_not_start_is_named_with_its_log(self):
        with self.assertRaisesRegex(Failed, "A peer failed; its output is in .*a-peer-steps.log"):
            self.start(self.peer("sys.exit('no such model')"))
        self.assertIn("no such model", self.log())

    def test_a_peer_that_ends_at_work_is_named_with_its_log(self):
        peer = self.start(self.peer("serve(answering, 'Peer 1.0', {})"))
        for _ in range(2):
            with self.assertRaisesRegex(Failed, "A peer failed"):
                peer.measure("steps")
        self.assertIn("KeyError", self.log())


@unittest.skipIf(os.name == "nt", "the stand-in for the program is a script")
class ComparisonTest(ProcessTest):
    def package(self, name, precision, milliseconds):
        folder = self.folder / name
        folder.mkdir()
        (folder / "manifest.json").write_text(json.dumps({"precision": precision}))
        (folder / "time").write_text(str(milliseconds))
        return folder

    def run_main(self, starters, *options, packages=(("int4", "int4", 10.0), ("int8", "int8", 20.0))):
        """Runs compare.py and returns its exit code, its two outputs and its JSON."""
        program = self.folder / "program"
        results = self.folder / "results.json"
        program.write_text(BENCH.format(python=sys.executable, work=STEP))
        program.chmod(0o755)
        folders = [str(self.package(*package)) for package in packages]
        command = ["compare.py", *folders, "--parts", "steps", "--program", str(program), "--work", str(self.folder)]
        command += ["--json", str(results), *options]
        code = None
        out = io.StringIO()
        errors = io.StringIO()
        with (
            mock.patch.object(sys, "argv", command),
            mock.patch.object(compare, "starters_of", starters),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(errors),
        ):
            try:
                compare.main()
            except SystemExit as ended:
                code = ended.code
        return code, out.getvalue(), errors.getvalue(), json.loads(results.read_text()) if results.exists() else None

    def starters(self, **commands):
        """Returns the starters of peers by their names, for compare.py."""
        start = lambda arguments, name, command: lambda: Peer(arguments, name, "steps", command, [STEP])  # noqa: E731
        return lambda arguments, part: {name: start(arguments, name, command) for name, command in commands.items()}

    def test_packages_and_peers_are_measured_in_turn(self):
        code, out, errors, found = self.run_main(self.starters(Fast=self.serving(30.0, [STEP])), "--rounds", "2")
        self.assertEqual((code, errors), (None, ""))
        self.assertIn("|  | Fast | 30.0 | 30.0 – 30.0 | 3.00 | 1.50 |", out)
        self.assertEqual(found["versions"], {"ualm int4": "ORT 1.32", "ualm int8": "ORT 1.32", "Fast": "Peer 1.0"})
        self.assertEqual((found["processor"]["features"], found["speed"]), (["AVX2"], {"bytes_per_second": 1e10}))
        own, _, peer = found["results"]
        self.assertEqual((own["rounds"], own["limit"], own["limit_by"]), ([10.0, 10.0], 4.0, "memory"))
        self.assertEqual(peer["ratios"], {"ualm int4": 3.0, "ualm int8": 1.5})
        calls = (self.folder / "int4" / "calls").read_text().splitlines()
        self.assertEqual(["--no-limits" in call for call in calls], [False, True])

    def test_a_failing_peer_is_named_with_its_log_and_the_others_continue(self):
        starters = self.starters(
            Broken=self.peer("sys.exit('no such model')"),
            Mute=self.peer("serve(answering, 'Peer 1.0', {})"),
            Fast=self.serving(30.0, [STEP]),
        )
        code, out, errors, found = self.run_main(starters)
        for text in (code, errors, "; ".join(found["failures"])):
            for name in ("Broken", "Mute"):
                self.assertIn(f"{name} failed; its output is in {self.folder}/logs/{name.lower()}-steps.log", text)
        self.assertIn("Fast", out)
        self.assertNotIn("Broken", out)

    def test_peers_are_left_out_and_one_precision_twice_is_refused(self):
        named = []

        def starters(arguments, part):
            named.extend(starters_of(arguments, part))
            return {}

        code, _, _, _ = self.run_main(starters, "--without", "genai", "llama.cpp", "--torch", "bfloat16")
        self.assertEqual((code, named), (None, ["PyTorch bfloat16"]))
        code, _, errors, _ = self.run_main(starters, packages=(("one", "fp32", 1), ("two", "fp32", 1)))
        self.assertEqual(code, 2)
        self.assertIn("two packages of one precision", errors)


if __name__ == "__main__":
    unittest.main()
