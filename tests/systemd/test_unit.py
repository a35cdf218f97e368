"""examples/systemd/ualm.service, checked by systemd's tools, and compared with the server's system calls."""
import functools
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
UNIT = ROOT / "examples/systemd/ualm.service"
PROGRAM = pathlib.Path(os.environ.get("UALM", ROOT / "target/debug/ualm"))
MOST_EXPOSED = 2.0
"""Maximum exposure, of 10, by `systemd-analyze security`."""

sys.path.insert(0, str(ROOT / "scripts"))
from fetch_onnxruntime import fetch, this_system  # noqa: E402


def needs(*programs):
    """Fails a test if programs are missing, instead of skipping it: these tests run only on request."""
    missing = [str(program) for program in programs if not shutil.which(program)]

    def checked(test):
        @functools.wraps(test)
        def run_test(self):
            self.assertEqual(missing, [], "these programs are missing")
            test(self)

        return run_test

    return checked


def run(*command):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)


class Unit(unittest.TestCase):
    @needs("systemd-analyze")
    def test_systemd_takes_it(self):
        with tempfile.TemporaryDirectory() as folder:
            unit = pathlib.Path(folder, UNIT.name)
            # any program replaces the one that is not installed
            unit.write_text(UNIT.read_text().replace("/opt/ualm/bin/ualm", sys.executable))
            found = run("systemd-analyze", "verify", unit)
            self.assertEqual((found.returncode, found.stderr.strip()), (0, ""))

    @needs("systemd-analyze")
    def test_little_is_exposed(self):
        report = run("systemd-analyze", "security", "--offline=true", UNIT).stdout
        self.assertLessEqual(float(re.search(r"exposure level for ualm.service: ([\d.]+)", report)[1]), MOST_EXPOSED, report)

    @needs("systemd-analyze", "strace", PROGRAM)
    def test_the_server_calls_nothing_that_the_filter_forbids(self):
        calls, trace = traced_calls()
        allowed = system_calls("@system-service")
        forbidden = set().union(*(system_calls(group) for group in ("@privileged", "@resources")))
        self.assertGreater(len(calls), 20, trace)
        # glibc registers threads with a system call that systemd's list before 2022 lacks
        self.assertEqual(calls - (allowed - forbidden) - {"rseq"}, set())
        executable = [line for line in trace.splitlines() if re.search(r"PROT_WRITE\|PROT_EXEC", line)]
        self.assertEqual(executable, [], "MemoryDenyWriteExecute forbids it")


def traced_calls():
    """Returns the names of a server's system calls during one request, and the whole trace."""
    with tempfile.TemporaryDirectory() as folder:
        trace = pathlib.Path(folder, "trace")
        serve = ["strace", "-f", "-qq", "-o", trace, PROGRAM, "serve", "--listen", "127.0.0.1:0", "--model", ROOT / "onnx/default"]
        environment = {"PATH": os.environ["PATH"], "ORT_DYLIB_PATH": str(fetch("cpu", this_system()))}
        with subprocess.Popen([str(part) for part in serve], env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True) as server:
            try:
                address = next(line.split()[-1] for line in server.stderr if line.startswith("listening on "))
                body = b'{"model": "ualm-small-world", "input": "rain", "ualm": {"modality": "audio", "seed": 1, "max_steps": 30}}'
                asked = urllib.request.Request(f"{address}/v1/audio/speech", body, {"content-type": "application/json"})
                with urllib.request.urlopen(asked, timeout=60) as answer:
                    answer.read()
            finally:
                os.killpg(server.pid, signal.SIGTERM)
                server.communicate(timeout=60)
        calls = trace.read_text()
    # the first call starts the program and belongs to systemd
    return set(re.findall(r"^\d+ +([a-z]\w*)\(", calls, re.MULTILINE)) - {"execve"}, calls


def system_calls(group):
    """Returns the names in one of systemd's groups, nested groups included."""
    names = [line.split()[0] for line in run("systemd-analyze", "syscall-filter", group).stdout.splitlines()[1:] if line.startswith("    ")]
    names = [name for name in names if not name.startswith("#")]
    return set().union(*(system_calls(name) if name.startswith("@") else {name} for name in names))


if __name__ == "__main__":
    unittest.main()
