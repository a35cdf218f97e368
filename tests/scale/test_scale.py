"""examples/scale: Ray Data with several workers on this machine, Slurm's script with a scheduler of four lines, Kubernetes' files as
data, and the examples' assumptions about the program.

Run by `make test-scale`, in the environment of examples/scale/ray/requirements.txt.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import unittest

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SCALE = ROOT / "examples" / "scale"
PROGRAM = pathlib.Path(os.environ.get("UALM", ROOT / "target" / "debug" / "ualm"))
ENVIRONMENT = {**os.environ, "UALM_MODEL": str(ROOT / "target" / "fixtures" / "packages" / "tiny-omni-fp32"), "RAY_USAGE_STATS_ENABLED": "0"}


def request(number, steps=12):
    said = [{"role": "user", "content": [{"type": "text", "text": f"sound {number}"}]}]
    return {"id": f"r{number}", "messages": said, "force": ["audio"], "max_segments": 1, "audio": {"max_steps": steps}}


class ScaleTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.requests = self.folder / "requests.jsonl"
        self.out = self.folder / "results"
        self.write([request(number) for number in range(12)])

    def write(self, requests):
        self.requests.write_text("".join(json.dumps(line) + "\n" for line in requests))

    def run_program(self, *arguments, **environment):
        return subprocess.run([PROGRAM, *arguments], env={**ENVIRONMENT, **environment}, capture_output=True, text=True, check=False)

    def help_of(self, command):
        """Returns all options of a command, on one line."""
        return " ".join(self.run_program(command, "--help", "--all").stdout.split())

    def results(self):
        return [json.loads(line) for line in (self.out / "results.jsonl").read_text().splitlines()]

    def ray(self, *arguments):
        command = [sys.executable, SCALE / "ray" / "batch.py", self.requests, self.out, "--program", PROGRAM, *arguments]
        return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)

    def test_ray_answers_all_shards_as_one_run_does(self):
        done = self.ray("--shards", "4")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.count(": 0"), 4)
        alone = self.folder / "alone"
        self.assertEqual(self.run_program("batch", self.requests, "--out", alone).returncode, 0)
        self.assertEqual([line["id"] for line in self.results()], [f"r{number}" for number in range(12)])
        for sound in alone.glob("*.wav"):
            self.assertEqual(sound.read_bytes(), (self.out / sound.name).read_bytes(), sound.name)

    def test_ray_reports_failed_requests_and_refuses_wrong_commands(self):
        self.write([request(1), {**request(2), "force": ["smell"]}])
        done = self.ray("--shards", "2")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual(sum("error" in line for line in self.results()), 1)
        self.assertEqual(self.ray("--shards", "0").returncode, 2)
        self.assertEqual(self.ray("--threads", "0").returncode, 2)
        self.requests.unlink()
        self.assertNotEqual(self.ray("--shards", "2").returncode, 0)

    def slurm(self, task, count=2, **more):
        """Returns the environment of an array task, with a scheduler that records its calls."""
        bin_folder = self.folder / "bin"
        bin_folder.mkdir(exist_ok=True)
        scontrol = bin_folder / "scontrol"
        scontrol.write_text(f'#!/bin/sh\necho "$@" >> {self.folder}/scontrol\n')
        scontrol.chmod(scontrol.stat().st_mode | stat.S_IXUSR)
        task = {"SLURM_ARRAY_TASK_ID": str(task), "SLURM_ARRAY_TASK_COUNT": str(count), "SLURM_ARRAY_TASK_MIN": "1", "SLURM_JOB_ID": "77"}
        path = f"{bin_folder}:{os.environ['PATH']}"
        return {**ENVIRONMENT, **task, "UALM": str(PROGRAM), "SLURM_CPUS_PER_TASK": "1", "PATH": path, **more}

    def slurm_command(self):
        return ["bash", SCALE / "slurm" / "batch.sh", self.requests, self.out]

    def test_slurm_tasks_are_shards(self):
        for task in (1, 2):
            done = subprocess.run(self.slurm_command(), env=self.slurm(task), capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.run_program("batch", "merge", self.requests, "--out", self.out).returncode, 0)
        self.assertEqual(len(self.results()), 12)
        wrong = subprocess.run(self.slurm_command(), env=self.slurm(0, SLURM_ARRAY_TASK_MIN="0"), capture_output=True, check=False)
        self.assertEqual(wrong.returncode, 2)

    def test_a_slurm_task_whose_time_is_over_goes_on_later(self):
        self.write([request(number, steps=400) for number in range(40)])
        task = subprocess.Popen(self.slurm_command(), env=self.slurm(1, 1), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        shard = self.out / "results.1-of-1.jsonl"
        while not shard.exists() or shard.stat().st_size == 0:
            time.sleep(0.05)
        task.send_signal(signal.SIGTERM)
        task.communicate(timeout=60)
        self.assertEqual(task.returncode, 0)
        self.assertEqual((self.folder / "scontrol").read_text(), "requeue 77\n")
        answered = len(shard.read_text().splitlines())
        self.assertTrue(0 < answered < 40, answered)

    def test_kubernetes_files_say_what_the_program_knows(self):
        deployment, service, scaler = yaml.safe_load_all((SCALE / "kubernetes" / "serve.yaml").read_text())
        pod = deployment["spec"]["template"]["spec"]
        container = pod["containers"][0]
        for variable in container["env"]:
            self.assertIn(f"[env: {variable['name']}]", self.help_of("serve"))
        grace = next(int(variable["value"]) for variable in container["env"] if variable["name"] == "UALM_GRACE")
        self.assertGreater(pod["terminationGracePeriodSeconds"], grace + container["lifecycle"]["preStop"]["sleep"]["seconds"])
        port = container["ports"][0]["name"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            self.assertEqual(container[probe]["httpGet"], {"path": "/health", "port": port})
        self.assertEqual(service["spec"]["ports"][0]["targetPort"], port)
        self.assertEqual(scaler["spec"]["scaleTargetRef"]["name"], deployment["metadata"]["name"])
        self.assertIn("`/metrics` needs one too", (SCALE / "kubernetes" / "README.md").read_text(), "the scaler reads it, with keys")
        self.assertIn(scaler["spec"]["metrics"][0]["pods"]["metric"]["name"], (ROOT / "docs" / "server.md").read_text().replace("`queue_length`", "ualm_queue_length"))

        job = yaml.safe_load((SCALE / "kubernetes" / "batch.yaml").read_text())["spec"]
        command = job["template"]["spec"]["containers"][0]["args"][0]
        shards = int(re.search(r'1\)\)/(\d+)"$', command)[1])
        self.assertEqual((job["completionMode"], job["completions"]), ("Indexed", shards))
        claim = job["template"]["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"]
        self.assertIn(f"`{claim}`", (SCALE / "kubernetes" / "README.md").read_text())

    def test_the_examples_assumptions_about_the_program(self):
        self.assertEqual(self.run_program("batch", self.requests, "--out", self.out, "--shard", "5/4").returncode, 2)
        self.assertEqual(self.run_program("batch", self.folder / "none.jsonl", "--out", self.out).returncode, 1)
        everything = self.help_of("serve") + self.help_of("batch")
        for flag, variable in (("--listen", "UALM_LISTEN"), ("--model", "UALM_MODEL"), ("--threads", "UALM_THREADS")):
            self.assertRegex(everything, rf"{flag} (?:(?!\[env: ).)*\[env: {variable}\]")  # the text of an option may have brackets


if __name__ == "__main__":
    unittest.main()
