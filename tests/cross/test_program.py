"""The emulated program: self-test, names that are not ASCII, a killed batch, a server."""
import contextlib
import json
import re
import signal
import subprocess
import time
import unittest
import urllib.request

from emulated import ENVIRONMENT, NAME, TARGET, Emulated, say

# Maximum wait for an emulated program, in seconds.
TIMEOUT = 600


class Program(Emulated):
    def test_the_doctor_finds_everything_right_on_every_processor(self):
        for processor in TARGET.processors():
            checks = json.loads(self.run_there("doctor", "--model", "package", "--json", processor=processor))
            self.assertLessEqual({"library", "providers", "package", "self-test", "numbers"}, {check["name"] for check in checks})
            self.assertTrue(all(check["ok"] for check in checks), checks)
            seconds = sum(check["seconds"] for check in checks)
            (report,) = (check["report"] for check in checks if check["name"] == "self-test")
            say(f"doctor: {len(checks)} checks are right, in {seconds:.0f} s, on {processor_in(report)}")

    def test_names_and_texts_beyond_ascii(self):
        self.run_there("generate", "Größe – 音", "--model", "package", "--seed", "1", "-o", f"{NAME}.wav")
        self.assertTrue((self.there / f"{NAME}.wav").is_file())
        self.assertIn("ualm", self.run_there("inspect", "package"))
        self.assertTrue(self.run_there("ask", f"{NAME}.wav", "What sound is this?", "--model", "package").strip())
        self.assertIn("Größe – 音", self.run_there("take", f"{NAME}.wav", "--model", "package"))
        self.run_there("ask", "not there 🎵.wav", "What?", "--model", "package", code=1)

    def test_a_killed_batch_resumes(self):
        message = {"role": "user", "content": [{"type": "text", "text": "a dog barks"}]}
        requests = [{"id": f"ü-{n}", "messages": [message], "force": ["audio"], "audio": {"max_steps": 30}} for n in range(20)]
        (self.there / "requests.jsonl").write_text("".join(json.dumps(request) + "\r\n" for request in requests), encoding="utf-8")
        batch = ("batch", "requests.jsonl", "--model", "package", "--frames", "--out")
        results = self.there / "out/results.jsonl"
        kills = []
        for wanted in (3, 8, 14):
            with subprocess.Popen(self.command(*batch, "out"), cwd=self.there, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
                while child.poll() is None and lines(results) < wanted:
                    time.sleep(0.02)
                if child.poll() is None:
                    kills.append(lines(results))
                child.kill()
        self.run_there(*batch, "out")
        found = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
        self.assertEqual([result["id"] for result in found], [request["id"] for request in requests])
        self.assertFalse([result for result in found if "error" in result])
        self.assertEqual(len(list((self.there / "out").glob("*.wav"))), len(requests))
        self.assertTrue(kills, "the batch was never killed before its end")
        self.run_there(*batch, "whole")
        whole = [json.loads(line) for line in (self.there / "whole/results.jsonl").read_text(encoding="utf-8").splitlines()]
        self.assertEqual([result["segments"] for result in found], [result["segments"] for result in whole])
        say(f"batch: killed {len(kills)} times, after {kills} of {len(requests)} results; whole in the end, and equal to a run that was not killed")

    def test_the_server_answers_and_ends_the_reply_in_flight_when_it_is_stopped(self):
        with Server(self.command("serve", "--listen", "127.0.0.1:0", "--model", "package"), self.there) as server:
            asked = {"model": "ualm-small-world", "input": "seven", "ualm": {"seed": 1}}
            with server.post("/v1/audio/speech", asked) as answer:
                self.assertEqual(answer.read(4), b"RIFF")
            message = {"role": "user", "content": "Plan, then make: rain"}
            asked = {"model": "ualm-small-world", "stream": True, "messages": [message], "seed": 1}
            with server.post("/v1/chat/completions", asked) as answer:
                self.assertTrue(answer.readline().startswith(b"data: "))
                server.stop()
                self.assertTrue(answer.read().endswith(b"data: [DONE]\n\n"))
            self.assertEqual(server.process.wait(TIMEOUT), 0)


class Server:
    """`ualm serve` in the emulator, on a free port."""

    def __init__(self, command, folder):
        self.process = subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True, encoding="utf-8")
        begun = []
        for line in self.process.stderr:
            begun.append(line)
            if found := re.search(r"http://[\d.]+:\d+", line):
                self.address = found[0]
                return
        raise RuntimeError(f"the server did not begin: {''.join(begun)}")

    def post(self, path, body):
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(self.address + path, json.dumps(body).encode(), headers)
        return urllib.request.urlopen(request, timeout=TIMEOUT)

    def stop(self):
        """Sends SIGTERM, or SIGINT to wine, which converts it to Ctrl-C."""
        self.process.send_signal(signal.SIGINT if TARGET.is_windows else signal.SIGTERM)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()


def processor_in(report):
    """Returns the detected processor's name and features."""
    found = report["processor"]
    return f"{found['name'] or 'a processor without a name'} ({', '.join(found['features']) or 'no features known'})"


def lines(path):
    """Counts the complete lines of a file, which may not exist yet."""
    with contextlib.suppress(OSError):
        return path.read_bytes().count(b"\n")
    return 0


if __name__ == "__main__":
    unittest.main()
