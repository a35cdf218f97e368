"""Malicious hubs and packages, and processes that are killed or run concurrently: nothing is lost, and faults are reported."""

import fcntl
import json
import os
import pty
import random
import shutil
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import test_pull  # noqa: E402
from hub import Fault, File  # noqa: E402
from test_pull import DEFAULT, NAME, PROGRAM, TOKEN, package  # noqa: E402

COMMIT = "0123456789abcdef" * 2 + "01234567"


class Hostile(test_pull.HubTest):
    """Invalid responses of the hub are refused."""

    def lists(self, *siblings, sha=COMMIT):
        self.hub.forget()
        self.hub.faults.append(Fault(path="/api/", content=json.dumps({"sha": sha, "siblings": siblings}).encode()))

    def test_invalid_listings_are_refused(self):
        name = {"rfilename": "manifest.json"}
        cases = [
            ([{**name, "blobId": "../../x", "size": 1}], COMMIT, "is not a checksum"),
            ([{**name, "blobId": "A" * 40, "size": 1}], COMMIT, "is not a checksum"),
            ([{**name, "blobId": "1" * 40, "size": -1}], COMMIT, "cannot be read"),
            ([{**name, "blobId": "1" * 40, "size": 1 << 63}], COMMIT, "the manifest has 9223372036854775808 bytes"),
            ([], "../../x", "is not a commit id"),
            ([], COMMIT.upper(), "is not a commit id"),
        ]
        for siblings, sha, words in cases:
            self.lists(*siblings, sha=sha)
            self.assertIn(words, self.refused("pull", NAME))
        self.assertEqual([path for path in self.home.rglob("*") if path.is_file() and path.suffix != ".lock"], [])

    def test_huge_sizes_are_refused(self):
        size = (1 << 63) + 5
        sums = ("2" * 64, "3" * 64)
        files = dict(zip(("a.onnx", "b.onnx"), ({"size": size, "sha256": sum_} for sum_ in sums)))
        manifest = package(files=files)["manifest.json"]
        sha = self.hub.add(NAME, {"manifest.json": manifest})
        large = [{"rfilename": name, "lfs": {"sha256": file["sha256"], "size": size}} for name, file in files.items()]
        self.lists({"rfilename": "manifest.json", "size": len(manifest), "blobId": File(manifest, 1 << 20).blob_id}, *large, sha=sha)
        self.assertIn("needs 18446744073.71 GB more", self.refused("pull", NAME))

    def test_unsafe_names_are_skipped(self):
        self.hub.add(NAME, {**package(), "../escaped": b"x", "README\0": b"x", "README\x1b[2J": b"x", "samples/12:30?.wav": b"x"})
        self.ualm("pull", NAME)
        self.assertEqual(len(self.names("snapshots")), 5)
        self.assertFalse(list(self.home.rglob("escaped")))
        self.hub.add(NAME, package(files={"../escaped": {"size": 1, "sha256": "0" * 64}}))
        self.assertIn("../escaped is missing", self.refused("pull", NAME))

    def test_an_endless_description_is_refused(self):
        self.hub.faults.append(Fault(path="/api/", is_endless=True))
        self.assertIn("the response of 127.0.0.1 is too large", self.refused("pull", NAME))
        self.assertEqual(len(self.hub.requests), 1)

    def test_an_endless_file_is_cut_at_its_size(self):
        self.hub.add(NAME, package())
        self.hub.faults.append(Fault(path="llm.onnx.data", server="store", is_endless=True))
        self.assertIn("It was discarded", self.refused("pull", NAME))
        self.assertEqual(self.part_size(), 0)

    def test_wrong_ranges_and_lengths_are_refused(self):
        self.hub.add(NAME, package())
        self.hub.faults.append(Fault(path="llm.onnx.data", content=b"x", status=206, headers={"Content-Range": "bytes 7-7/9"}))
        self.assertIn("expected bytes from", self.refused("pull", NAME))
        self.hub.faults[:] = [Fault(path="llm.onnx.data", content=b"", status=206, times=1), Fault(path="/api/", status=302, headers={"Location": "/api/x"})]
        self.assertIn("too many redirects", self.refused("pull", NAME, HF_TOKEN=TOKEN))
        self.hub.faults[:] = [Fault(path="/api/", status=302, headers={"Location": f"{self.hub.store}/x"}, times=1)]
        self.ualm("pull", NAME, HF_TOKEN=TOKEN)
        self.assertEqual({request.authorization for request in self.hub.requests if request.server == "store"}, {None})

    def test_control_characters_of_a_package_are_not_printed(self):
        escape = "\x1b]0;mine\x07"
        self.hub.add("bad/name", package(files={f"a{escape}.onnx": {"size": 5, "sha256": "2" * 64}}))
        self.hub.add("bad/licence", package(license=escape, origin=escape))
        self.hub.add("bad/fields", package(family=f"fam\n{escape}", precision=escape))
        self.hub.faults.append(Fault(path="/v1", status=418, message=escape))
        said = [*self.ualm("pull", "bad/name", code=1), *self.ualm("pull", "bad/licence", code=2), *self.ualm("pull", "bad/fields"), *self.ualm("models")]
        self.assertNotIn("\x1b", "".join(said))
        self.assertIn("fam ]0;mine", said[-2])

    def test_a_restriction_in_another_script_counts(self):
        self.hub.add(NAME, package(license="MIT 非商用"))
        self.assertIn("MIT 非商用", self.refused("pull", NAME, code=2))

    def test_unusual_urls_and_tokens(self):
        self.hub.add(NAME, package())
        login = self.hub.endpoint.replace("://", f"://me:{TOKEN}@")
        self.assertIn(f"a token from {self.hub.endpoint}/settings/tokens", self.refused("pull", NAME, HF_ENDPOINT=login))
        for endpoint in ("https://", "http://a b", f"{login}/?query"):
            self.assertIn("expected a URL", self.refused("pull", NAME, HF_ENDPOINT=endpoint, code=2))
        self.hub.forget()
        self.ualm("pull", NAME, HF_TOKEN=" \n", HF_ENDPOINT=self.hub.endpoint + "//")
        self.assertEqual({request.authorization for request in self.hub.requests}, {None})
        self.ualm("pull", NAME, HF_TOKEN=f"{TOKEN}\nX-Other: 1", code=2)
        self.ualm("inspect", DEFAULT, HOME="", HF_HUB_CACHE=None)


class Moments(test_pull.HubTest):
    """Processes that run concurrently, or are killed."""

    def test_two_pulls_killed_at_random(self):
        sha = self.hub.add(NAME, package())
        self.hub.faults.append(Fault(path="llm.onnx.data", server="store", rate=8 << 20))
        chance = random.Random(1)
        for _ in range(20):
            processes = [self.start("pull", NAME) for _ in range(2)]
            for process in processes:
                time.sleep(chance.uniform(0, 0.15))
                process.send_signal(signal.SIGKILL)
            for process in processes:
                process.communicate()
            if chance.random() < 0.2:
                shutil.rmtree(self.repository() / "snapshots", ignore_errors=True)
        self.hub.forget()
        folder = Path(self.ualm("pull", NAME)[0].strip())
        self.assertEqual(folder.name, sha)
        for name, content in package().items():
            if (folder / name).exists():
                self.assertEqual((folder / name).read_bytes(), content, name)
        self.assertEqual([name for name in self.names("blobs") if "incomplete" in name], [])

    def test_a_pull_that_waited_for_a_removal(self):
        self.hub.add(NAME, package())
        self.ualm("pull", NAME)
        ours, theirs = pty.openpty()
        command = [PROGRAM, "models", "remove", NAME]
        removal = subprocess.Popen(command, env=self.environment(TERM="dumb"), cwd=self.home, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        said = b""
        while b"[y/N]" not in said:
            said += os.read(ours, 1024)
        pull = self.start("pull", NAME)
        stopped = self.start("pull", NAME)
        for process in (pull, stopped):
            self.assertIn("waiting for it", process.stderr.readline())
        stopped.send_signal(signal.SIGINT)
        self.assertIn("run the same command again", self.finish(stopped, 130)[1])
        os.write(ours, b"y\n")
        self.assertEqual(removal.wait(60), 0)
        os.close(ours)
        self.finish(pull)
        self.assertEqual(len(self.names("snapshots")), 5)

    def test_downloads_of_another_program_are_not_removed(self):
        self.hub.add(NAME, package())
        self.ualm("pull", NAME)
        part = self.repository() / "blobs" / f"{'1' * 64}.0a1b2c3d.incomplete"
        part.write_bytes(b"x")
        lock = self.cache / ".locks" / self.repository().name / f"{'1' * 64}.lock"
        with lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            self.assertIn("is being downloaded by another program", self.refused("models", "remove", NAME, "--yes"))
            self.assertTrue(part.exists())
            self.assertEqual(len(self.names("snapshots")), 5)
        self.ualm("models", "remove", NAME, "--yes")
        self.assertFalse(self.repository().exists())

    def test_a_damaged_manifest_is_downloaded_again(self):
        self.hub.add(NAME, package())
        manifest = Path(self.ualm("pull", NAME)[0].strip()) / "manifest.json"
        manifest.resolve().write_bytes(b"\0" * manifest.stat().st_size)
        self.ualm("pull", NAME)
        self.assertEqual(manifest.read_bytes(), package()["manifest.json"])

    def test_a_link_that_leaves_the_cache_is_refused(self):
        self.hub.add(NAME, DEFAULT)
        folder = Path(self.ualm("pull", NAME)[0].strip())
        blob = (folder / "tokenizer.json").resolve()
        outside = self.home / "outside"
        blob.rename(outside)
        blob.symlink_to(outside)
        self.assertIn("a link that leaves the package's folder", self.refused("inspect", "--model", NAME))

    def test_a_read_only_cache(self):
        self.hub.add(NAME, DEFAULT)
        self.ualm("pull", NAME)
        script = f"mount --bind '{self.cache}' '{self.cache}' && mount -o remount,bind,ro '{self.cache}' || exit 77\n{PROGRAM} inspect --model {NAME} && {PROGRAM} models && exec {PROGRAM} pull {NAME}"
        command = ["unshare", "--map-root-user", "--mount", "sh", "-c", script]
        done = subprocess.run(command, env=self.environment(), cwd=self.home, capture_output=True, text=True, timeout=120)
        if done.returncode == 77 or "unshare:" in done.stderr:
            self.skipTest("no file system can be mounted here")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(NAME, done.stdout)
        self.assertIn("name a writable folder with HF_HUB_CACHE", done.stderr)


if __name__ == "__main__":
    unittest.main()
