"""scripts/device_check.py: parsing of the program's output, plan, time limits and table."""

import context  # isort: skip
import argparse
import contextlib
import io
import json
import os
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(context.ROOT / "scripts"))

import device_check  # noqa: E402

TINY = device_check.Package("tiny-omni (fp32)", Path("tiny-omni-fp32"), "fp32", ("text", "audio", "speech"), True, ("cuda",), 4096)
QUANTIZED = device_check.Package("tiny-omni (int8)", Path("tiny-omni-int8"), "int8", ("text",), False, (), 4096)
REAL = device_check.Package("0.5b (int8)", Path("0.5b-int8"), "int8", ("text", "audio"), True, (), 2048)

COMPARED = [
    {"graphs": ["llm"], "providers": ["webgpu"], "difference": 8e-7, "bound": 1e-4, "run": "31 positions", "failure": None},
    {"graphs": ["embed"], "providers": ["webgpu"], "difference": 0.0, "bound": 1e-4, "run": "31 positions", "failure": None},
    {
        "graphs": ["codec_encoder"], "providers": ["webgpu"], "difference": 0.01, "codes": [8, 800], "bound": 0.02,
        "run": "2 s", "failure": None,
    },  # fmt: skip
]
WRONG = {"graphs": ["text_head"], "providers": ["webgpu"], "difference": 0.3, "bound": 1e-4, "run": "64 positions", "failure": None}
REPORT = {
    "providers": [{"asked": "webgpu", "state": "ready", "message": "ready", "version": "0.4.0"}],
    "graphs": [
        {"graph": "llm", "provider": "webgpu", "nodes": 25, "nodes_on_cpu": 0},
        {"graph": "embed", "provider": "cpu", "nodes": 2, "nodes_on_cpu": 2},
    ],
}


def checks(compared):
    return [
        {"name": "library", "ok": True, "found": "/cache/1.32.0-webgpu-0.4.0/libonnxruntime.so.1.32.0, 2 threads, ORT Build Info"},
        {"name": "providers", "ok": True, "found": "", "report": REPORT},
        {"name": "self-test", "ok": True, "found": "", "report": REPORT},
        {"name": "numbers", "ok": WRONG not in compared, "found": "differs", "comparison": {"compared": compared, "on_cpu": []}},
    ]


class ReadingTest(unittest.TestCase):
    def test_doctor(self):
        summary = device_check.summary_of_doctor(checks(COMPARED))
        self.assertEqual(summary["numbers"]["difference"], 8e-7)
        self.assertEqual(summary["numbers"]["codes"], [8, 800])
        self.assertEqual(summary["numbers"]["wrong"], [])
        self.assertEqual(summary["graphs"], {"llm": "webgpu", "embed": "cpu"})
        self.assertTrue(summary["served"])
        self.assertIsNone(summary["threads"])
        self.assertEqual(summary["failed"], {})

    def test_values_beyond_their_bound_and_missing_numbers_are_failures(self):
        wrong = device_check.summary_of_doctor(checks([*COMPARED, WRONG]))
        self.assertEqual(wrong["numbers"]["wrong"], ["text_head: 64 positions"])
        self.assertEqual(wrong["failed"], {"numbers": "differs"})
        for difference in (None, float("nan")):
            lost = {**WRONG, "difference": difference, "failure": "no numbers"}
            self.assertEqual(device_check.worst_of([lost])["wrong"], ["text_head: no numbers"])

    def test_a_doctor_without_a_self_test(self):
        summary = device_check.summary_of_doctor(checks(COMPARED)[:2])
        self.assertEqual((summary["served"], summary["numbers"], len(summary["providers"])), (False, None, 1))

    def test_ids(self):
        def line(name, *frames, prompt=((1,),)):
            return json.dumps({"id": name, "segments": [{"frames": [[i] for i in frames]}], "prompt_frames": prompt})

        error = json.dumps({"id": "broken", "line": 4, "error": {"kind": "graph", "message": "no device"}})
        cpu = device_check.ids_of("\n".join([line("same", 1, 2), line("late", 1, 2, 3), line("broken", 1), line("other", 1)]))
        device = device_check.ids_of("\n".join([line("same", 1, 2), line("late", 1, 2, 9), error, line("other", 1, prompt=[[2]])]))
        found = device_check.compare_ids(["same", "late", "broken", "other", "lost"], device, cpu)
        self.assertEqual(found["equal"], ["same"])
        self.assertEqual(found["differing"]["late"], "2 of 3 frames are equal before the first that differs")
        self.assertEqual(found["differing"]["other"], "the prompts differ")
        self.assertEqual(found["errors"], {"broken": "device: no device", "lost": "device: no reply"})

    def test_versions_and_devices(self):
        for found, version in (
            ("/cache/1.31.1-cuda/libonnxruntime.so.1.31.1, 2 threads, git-branch=rel-1.0.0", "1.31.1"),
            ("/cache/onnxruntime/1.32.0/libonnxruntime.1.32.0.dylib", "1.32.0"),
            ("C:\\cache\\onnxruntime\\1.32.0\\onnxruntime.dll, 2 threads", "1.32.0"),
            ("/lib/libonnxruntime.so, 2 threads", None),
        ):
            self.assertEqual(device_check.version_in(found), version)
        fields = ("GPU0:", "deviceName         = Arc A770", "driverName         = Mesa", "driverInfo = 25.0.7")
        summary = "\n\t".join([*fields, "deviceName = llvmpipe"])
        self.assertEqual(device_check.vulkan_device(summary), ("Arc A770", "Mesa 25.0.7"))
        self.assertEqual(device_check.vulkan_device(""), (None, None))


class PlanTest(unittest.TestCase):
    def test_numbers_come_first_and_quantized_references_last(self):
        parts = device_check.plan(["cuda", "webgpu"], [TINY, QUANTIZED], [REAL])
        keys = [part.key for part in parts]
        self.assertEqual(len(keys), len(set(keys)))
        begins = ["cpu | tiny-omni (fp32) | ids", "cuda | tiny-omni (fp32) | doctor", "cuda | tiny-omni (fp32) | ids"]
        self.assertEqual(keys[:3], begins)
        self.assertIn("webgpu | 0.5b (int8) | doctor", keys)
        self.assertIn("cpu | 0.5b (int8) | steps 1024", keys)
        self.assertNotIn("cpu | 0.5b (int8) | steps 4096", keys)  # its context has 2048
        self.assertTrue(all("tiny-omni (int8)" in key for key in keys[-5:]))
        self.assertFalse(any("tiny" in part.package.label for part in parts if part.kind in device_check.BENCH))

    def test_a_reference_that_is_measured_is_checked_once(self):
        keys = [part.key for part in device_check.plan(["cuda"], [QUANTIZED], [QUANTIZED])]
        self.assertEqual(keys.count("cuda | tiny-omni (int8) | doctor"), 1)
        self.assertEqual(len(keys), len(set(keys)))

    def test_requests_are_greedy_and_use_what_the_package_has(self):
        requests = device_check.requests_for(TINY, Path("sound.wav"))
        names = [request["id"] for request in requests]
        self.assertEqual(names, ["text", "long-prompt", "recording", "audio", "audio-guided", "speech", "speech-guided"])
        self.assertTrue(all(request[request["force"][0]]["temperature"] == 0 for request in requests))
        self.assertEqual(len(device_check.requests_for(QUANTIZED, Path("sound.wav"))), 2)

    def test_only_float32_must_be_equal(self):
        self.assertTrue(TINY.is_exact_on("webgpu"))
        self.assertFalse(TINY.is_exact_on("cuda"))  # has a variant in float16
        self.assertFalse(QUANTIZED.is_exact_on("webgpu"))

    def test_limits(self):
        self.assertEqual(device_check.limit_of(1, 40, 400), 4 * 400 / 40)
        self.assertEqual(device_check.limit_of(1, 1000, 400), device_check.LEAST)
        self.assertEqual(device_check.limit_of(1, 1, 5), 5)

    def test_libraries(self):
        named = ["/all.so", "cuda=/cuda.so", "/with=sign/x.so"]
        self.assertEqual(device_check.library_of("cuda:use_tf32=0", named), Path("/cuda.so"))
        self.assertEqual(device_check.library_of("codec=cuda,cpu", named), Path("/cuda.so"))
        self.assertEqual(device_check.library_of("webgpu", named), Path("/all.so"))
        self.assertEqual(device_check.library_of("webgpu", named[2:]), Path("/with=sign/x.so"))


@unittest.skipIf(os.name == "nt", "processes are ended otherwise there")
class RunningTest(unittest.TestCase):
    def test_a_command_that_works_and_one_that_fails(self):
        ran = device_check.run([sys.executable, "-c", "print(1)"], 20)
        self.assertEqual((ran.code, ran.out.strip(), ran.failure), (0, "1", None))
        self.assertGreater(ran.peak_mb, 1)
        ran = device_check.run([sys.executable, "-c", "raise SystemExit('no card')"], 20)
        self.assertEqual(ran.failure, "exit code 1: no card")
        ran = device_check.run([sys.executable, "-c", "import os; os.abort()"], 20)
        self.assertTrue(ran.failure.startswith("ended by signal 6"))
        self.assertEqual(device_check.run(["/nowhere/program"], 20).code, 127)

    def test_a_command_that_hangs_is_ended_with_its_children(self):
        begun = time.monotonic()
        hangs = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
        ran = device_check.run([sys.executable, "-c", hangs], 1)
        self.assertIn("time limit", ran.failure)
        self.assertLess(time.monotonic() - begun, 20)


def report(*parts, failures=None, not_reached=()):
    machine = {
        "date": "2026-01-02", "card": "Card X", "driver": "1.2", "card_memory_mib": "81559", "processor": "CPU Y", "cores": 2,
        "system": "Linux x86_64", "program": "ualm 0.1.0", "commit": "abc1234",
        "providers": {"webgpu": {"onnxruntime": "1.32.0", "plugin_version": "0.4.0", "device": "GPU (Maker)"}},
    }  # fmt: skip
    return {"machine": machine, "seconds": 12.3, "parts": list(parts), "failures": failures or {}, "not_reached": list(not_reached)}


def part(kind, provider="webgpu", **result):
    return {"kind": kind, "provider": provider, "package": "tiny (fp32)", **result}


class TableTest(unittest.TestCase):
    def doctor(self, compared):
        return part("doctor", summary=device_check.summary_of_doctor(checks(compared)))

    def ids(self, differing, exact):
        return part("ids", asked=["a", "b"], exact=exact, ids={"equal": ["a"], "differing": differing, "errors": {}})

    def test_machine_numbers_times_and_memory(self):
        figure = {"name": "text step, context 128", "unit": "ms"}
        table = device_check.table(report(
            self.doctor(COMPARED), self.ids({}, True),
            part("steps 128", figures=[{**figure, "median": 2.0}], peak_mb=201.4, card_mb=310.2),
            part("steps 128", "cpu", figures=[{**figure, "median": 9.0}], peak_mb=59.0),
        ))  # fmt: skip
        for line in (
            "### Card X, 2026-01-02",
            "Card X, driver 1.2; 2 cores of CPU Y, Linux x86_64; ualm 0.1.0, commit abc1234.",
            "`webgpu`: ONNX Runtime 1.32.0, plugin 0.4.0, on GPU (Maker).",
            "| tiny (fp32) | webgpu, but embed on the CPU | 8.0e-07 (0.0001), 8 of 800 codes | – | 1 of 2 |",
            "| tiny (fp32) | text step, context 128, ms | 2 | 9 | 4.5 × |",
            "| tiny (fp32) | steps 128 | 201 + 310 | 59 |",
        ):
            self.assertIn(line, table.splitlines())
        self.assertNotIn("Failed", table)
        rows = [line for line in table.splitlines() if line.startswith("|")]
        for row, below in zip(rows, rows[1:]):
            if below.startswith("|---"):
                self.assertEqual(row.count("|"), below.count("|"))

    def test_wrong_numbers_and_ids_are_told(self):
        self.assertIn("**wrong**: 3.0e-01 (0.0001)", device_check.table(report(self.doctor([*COMPARED, WRONG]))))
        self.assertIn("| **wrong**: 1 of 2 |", device_check.table(report(self.ids({"b": "3 of 4"}, True))))
        self.assertIn("| 1 of 2 (not float32) |", device_check.table(report(self.ids({"b": "3 of 4"}, False))))

    def test_failures_and_unreached_parts_are_listed(self):
        failed = part("doctor", failure="no")
        table = device_check.table(report(failed, failures={"webgpu | x | doctor": "no"}, not_reached=["webgpu | y"]))
        self.assertIn("| tiny (fp32) | webgpu | failed | failed | – |", table)
        self.assertIn("Failed:\n\n- webgpu | x | doctor: no\n", table)
        self.assertIn("Not reached:\n\n- webgpu | y\n", table)
        self.assertNotIn("median", table)


@unittest.skipIf(os.name == "nt", "the program is a shell's")
class WholeTest(context.TemporaryFolderTest):
    """Runs the script with a program that fails in every part."""

    def test_failures_are_recorded_and_the_other_parts_run(self):
        program = self.folder / "program"
        program.write_text("#!/bin/sh\necho no device >&2\nexit 3\n")
        program.chmod(0o755)
        arguments = device_check.parser().parse_args(["cuda", "--program", str(program), "--library", "x.so", "--seconds", "60"])
        arguments = argparse.Namespace(**{**vars(arguments), "fixtures": self.folder, "out": self.folder / "out"})
        check = device_check.Check(arguments, self.folder)
        with contextlib.redirect_stderr(io.StringIO()):
            check.run()
        report = json.loads((self.folder / "out.json").read_text())
        self.assertEqual(report["failures"]["cuda"], "no number was compared")
        self.assertEqual(len(report["failures"]), len(report["parts"]) + 1)
        self.assertGreater(len(report["parts"]), 10)
        self.assertTrue(all("no device" in part["failure"] for part in report["parts"]))
        self.assertIn("tiny-omni-fp32: not there", report["not_reached"])
        self.assertIn("Failed:", (self.folder / "out.md").read_text())


    def test_a_provider_that_is_not_ready_is_skipped(self):
        program = self.folder / "program"
        found = [{"name": "providers", "ok": False, "found": "no device", "report": {"providers": [{"state": "no_device"}]}}]
        (self.folder / "found.json").write_text(json.dumps(found))
        program.write_text(f"#!/bin/sh\n[ $1 = doctor ] && cat {self.folder}/found.json\nexit 1\n")
        program.chmod(0o755)
        arguments = device_check.parser().parse_args(["cuda", "--program", str(program), "--library", "x.so"])
        arguments = argparse.Namespace(**{**vars(arguments), "fixtures": self.folder, "out": self.folder / "out"})
        check = device_check.Check(arguments, self.folder)
        with contextlib.redirect_stderr(io.StringIO()):
            check.run()
        report = json.loads((self.folder / "out.json").read_text())
        self.assertEqual([part["kind"] for part in report["parts"] if part["provider"] == "cuda"], ["doctor"])
        self.assertEqual(report["parts"][1]["failure"], "providers: no device")
        self.assertIn("cuda: 6 more parts, because it is not ready", report["not_reached"])


if __name__ == "__main__":
    unittest.main()
