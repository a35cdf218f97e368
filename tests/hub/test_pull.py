"""`ualm pull`, `ualm models` and `--model OWNER/NAME` with a hub on loopback that simulates faults.

Run by `make test-hub`.
"""

import contextlib
import hashlib
import json
import os
import pty
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import huggingface_hub
from huggingface_hub.utils import disable_progress_bars

sys.path.insert(0, str(Path(__file__).resolve().parent))
from hub import Fault, Hub  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("UALM", ROOT / "target" / "debug" / "ualm"))
DEFAULT = ROOT / "onnx" / "default"
MANIFEST = json.loads((DEFAULT / "manifest.json").read_text(encoding="utf-8"))
NAME = "someone/model"
RESTRICTED = "NVIDIA OneWay Noncommercial License"
disable_progress_bars()
TOKEN = "hf_" + "secret" * 6
LARGE = 3 << 20


def package(seed=1, **fields):
    """Returns the files of a complete package that cannot run: a manifest, a large file and small ones."""
    files = {"llm.onnx.data": random.Random(seed).randbytes(LARGE), "tokenizer.json": b'{"seed": %d}' % seed, "other.onnx": b"the same in all"}
    sums = {name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()} for name, content in files.items()}
    manifest = {**MANIFEST, "files": sums, **fields}
    return {**files, "manifest.json": json.dumps(manifest).encode(), "README.md": b"# A model", ".gitattributes": b"*", "notes/raw.bin": b"no"}


class HubTest(unittest.TestCase):
    """A hub, an empty home, and the program."""

    def setUp(self):
        self.hub = Hub(token=TOKEN)
        self.addCleanup(self.hub.close)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.home = Path(folder.name).resolve()
        self.cache = self.home / "cache"

    def environment(self, **changes):
        kept = ("PATH", "ORT_DYLIB_PATH", "SystemRoot", "TMPDIR", "LLVM_PROFILE_FILE")
        base = {name: os.environ[name] for name in kept if name in os.environ}
        base |= {"HOME": str(self.home), "HF_HUB_CACHE": str(self.cache), "HF_ENDPOINT": self.hub.endpoint, "RUST_LOG": "trace"}
        return {name: value for name, value in {**base, **changes}.items() if value is not None}

    def start(self, *args, **environment):
        command = [str(part) for part in (PROGRAM, *args)]
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            command, env=self.environment(**environment), cwd=self.home, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True
        )
        self.addCleanup(process.__exit__, None, None, None)
        self.addCleanup(process.kill)
        return process

    def finish(self, process, code=0, timeout=120):
        out, err = process.communicate(timeout=timeout)
        self.assertEqual(process.returncode, code, out + err)
        self.assertNotIn(TOKEN, out + err)
        return out, err

    def ualm(self, *args, code=0, **environment):
        """Runs the program; returns its standard output and standard error."""
        return self.finish(self.start(*args, **environment), code)

    def refused(self, *args, code=1, **environment):
        """Runs the program, which must fail; returns its message."""
        return self.ualm(*args, code=code, **environment)[1]

    def repository(self, name=NAME):
        return self.cache / ("models--" + name.replace("/", "--"))

    def names(self, folder):
        """Returns all files in a folder of the model's cache."""
        root = self.repository() / folder
        return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir())

    def until(self, condition, seconds=30):
        end = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), end, "it did not happen")
            time.sleep(0.01)

    def part_size(self):
        """Returns the downloaded bytes of the large file. Other files may be renamed at the same time."""
        sizes = [0]
        for path in self.repository().glob("blobs/*.incomplete"):
            with contextlib.suppress(FileNotFoundError):
                sizes.append(path.stat().st_size)
        return max(sizes)


class Pull(HubTest):
    def test_a_package_is_downloaded_and_runs(self):
        sha = self.hub.add(NAME, DEFAULT)
        out, err = self.ualm("pull", NAME)
        folder = Path(out.strip())
        self.assertEqual(folder, self.repository() / "snapshots" / sha)
        self.assertEqual(sorted(path.name for path in folder.iterdir()), sorted(path.name for path in DEFAULT.iterdir()))
        for path in DEFAULT.iterdir():
            self.assertEqual((folder / path.name).read_bytes(), path.read_bytes(), path.name)
        self.assertRegex(err, r"downloading someone/model at [0-9a-f]{7}: 16 files, 31\.\d MB\n")
        self.assertEqual([name for name in self.names("blobs") if name.endswith(".incomplete")], [])
        self.hub.forget()
        heard, _ = self.ualm("generate", "a dog barking", "--seed", "1", "--max-steps", "40", "-o", "dog.wav", "--model", NAME)
        self.assertTrue((self.home / "dog.wav").stat().st_size > 1000, heard)
        self.assertIn("ualm-small-world", self.ualm("inspect", NAME)[0])
        self.assertIn("ualm-small-world", self.ualm("inspect", folder, "--verify")[0])
        self.assertEqual(self.hub.requests, [], "all is in the cache")

    def test_a_named_model_is_downloaded_first(self):
        sha = self.hub.add(NAME, DEFAULT)
        for source in ({"UALM_MODEL": NAME}, {"UALM_MODEL": f"{NAME}@{sha}"}):
            self.assertIn(sha, self.ualm("inspect", **source)[0])
        self.assertEqual(len(self.hub.sent("llm.onnx.data")), 1)
        config = self.home / "config.toml"
        config.write_text(f'model = "{NAME}"\n', encoding="utf-8")
        self.assertIn(sha, self.ualm("inspect", "--config", config)[0])

    def test_a_folder_of_the_same_name_takes_precedence(self):
        self.hub.add(NAME, package())
        shutil.copytree(DEFAULT, self.home / NAME)
        self.assertIn("ualm-small-world", self.ualm("inspect", "--model", NAME)[0])
        (self.home / "ualm").mkdir()
        shutil.copytree(DEFAULT, self.home / "ualm" / "other" / "name")
        config = self.home / "ualm" / "config.toml"
        config.write_text('model = "other/name"\n', encoding="utf-8")
        self.assertIn("ualm/other/name", self.ualm("inspect", XDG_CONFIG_HOME=str(self.home))[0])
        self.assertEqual(self.hub.requests, [])

    def test_only_files_of_the_package_are_downloaded(self):
        self.hub.add(NAME, package())
        self.ualm("pull", NAME)
        snapshot = self.names("snapshots")
        self.assertEqual({name.split("/", 1)[1] for name in snapshot}, {"llm.onnx.data", "tokenizer.json", "other.onnx", "manifest.json", "README.md"})

    def test_a_killed_pull_is_resumed(self):
        self.hub.add(NAME, package())
        self.hub.faults.append(Fault(path="llm.onnx.data", server="store", rate=1 << 20))
        process = self.start("pull", NAME)
        self.until(lambda: self.part_size() > LARGE // 4)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        self.assertEqual(self.names("snapshots"), [], "no package")
        self.hub.forget()
        there = self.part_size()
        self.assertGreater(there, LARGE // 4)
        _, err = self.ualm("pull", NAME)
        self.assertRegex(err, r"\d kB of it already downloaded")
        self.assertEqual([request.range for request in self.hub.requests if request.server == "store"], [f"bytes={there}-"])
        self.assertEqual(self.hub.sent("llm.onnx.data"), [LARGE - there])
        again = [request.path for request in self.hub.requests if "resolve" in request.path and "llm.onnx.data" not in request.path]
        self.assertEqual([path for path in again if "manifest.json" in path], [], "it was there")

    def test_an_interrupted_pull_says_how_to_resume(self):
        self.hub.add(NAME, package())
        self.hub.faults.append(Fault(path="llm.onnx.data", server="store", rate=1 << 20))
        process = self.start("pull", NAME)
        self.until(lambda: self.part_size() > 0)
        process.send_signal(signal.SIGINT)
        self.assertIn("run the same command again", self.finish(process, 130)[1])

    def test_two_concurrent_pulls_download_once(self):
        self.hub.add(NAME, package())
        self.hub.faults.append(Fault(path="llm.onnx.data", server="store", rate=2 << 20))
        first = self.start("pull", NAME)
        self.until(lambda: self.part_size() > 0)
        second = self.start("inspect", "--model", NAME)
        third = self.start("pull", NAME)
        self.finish(first)
        # the graphs are invalid, but all files exist
        self.assertIn("another ualm is downloading someone/model; waiting for it", self.finish(second, 1)[1])
        out, err = self.finish(third)
        self.assertIn("waiting for it", err)
        self.assertIn("already in the cache", err)
        self.assertEqual(self.hub.sent("llm.onnx.data"), [LARGE])
        self.assertEqual([request.method for request in self.hub.requests if "tokenizer.json" in request.path], ["GET"])

    def test_offline_afterwards(self):
        sha = self.hub.add(NAME, DEFAULT)
        self.ualm("pull", NAME)
        self.hub.forget()
        for name in (NAME, f"{NAME}@{sha}"):
            for environment in ({}, {"HF_HUB_OFFLINE": "1"}):
                self.ualm("inspect", "--model", name, **environment)
        _, err = self.ualm("pull", NAME, HF_HUB_OFFLINE="1")
        self.assertIn("offline: using the downloaded someone/model", err)
        self.ualm("pull", f"{NAME}@{sha}")
        self.assertEqual(self.hub.requests, [], "nothing was asked")
        said = self.refused("inspect", "--model", "someone/other", HF_HUB_OFFLINE="1")
        self.assertIn("someone/other is not in the cache", said)
        self.assertIn("HF_HUB_OFFLINE is set", said)
        self.hub.close()
        self.ualm("inspect", "--model", NAME)
        self.assertIn("refuses connections", self.refused("pull", NAME))

    def test_a_newer_revision(self):
        old = self.hub.add(NAME, package(1))
        self.ualm("pull", NAME)
        new = self.hub.add(NAME, {**package(2), "other.onnx": b"the same in all"})
        self.hub.forget()
        self.assertIn(old, self.ualm("pull", f"{NAME}@{old}")[0])
        self.assertEqual(self.hub.requests, [])
        self.assertIn(new, self.ualm("pull", NAME)[0])
        fetched = {re.search("resolve/[^/]+/(.*)", request.path)[1] for request in self.hub.requests if "resolve" in request.path}
        self.assertEqual(fetched, {"llm.onnx.data", "tokenizer.json", "manifest.json"}, "equal files are not downloaded again")
        self.assertEqual((self.repository() / "refs" / "main").read_text(encoding="utf-8"), new)
        self.hub.add(NAME, package(2), revision="v1.0")
        self.assertIn(new, self.ualm("pull", f"{NAME}@v1.0")[0])
        self.assertIn(new, self.ualm("pull", f"{NAME}@v1.0", HF_HUB_OFFLINE="1")[0])

    def test_a_renamed_model_is_found(self):
        self.hub.add(NAME, package(), private=True)
        self.hub.renamed["old/name"] = NAME
        self.ualm("pull", "old/name", HF_TOKEN=TOKEN)
        self.ualm("pull", "old/name", HF_HUB_OFFLINE="1")


class Layout(HubTest):
    """The cache is shared with `huggingface_hub`."""

    def test_huggingface_hub_finds_pulled_packages(self):
        sha = self.hub.add(NAME, package())
        self.ualm("pull", NAME)
        for revision in ("main", sha):
            found = huggingface_hub.hf_hub_download(
                NAME, "llm.onnx.data", revision=revision, cache_dir=self.cache, local_files_only=True
            )
            self.assertEqual(Path(found).stat().st_size, LARGE)
        scanned = huggingface_hub.scan_cache_dir(self.cache)
        self.assertEqual(scanned.warnings, [])
        (repository,) = scanned.repos
        self.assertEqual((repository.repo_id, repository.nb_files), (NAME, 5))
        (revision,) = repository.revisions
        self.assertEqual((revision.commit_hash, revision.refs), (sha, frozenset({"main"})))

    def test_packages_of_huggingface_hub_are_found(self):
        self.hub.add(NAME, DEFAULT)
        huggingface_hub.snapshot_download(NAME, cache_dir=self.cache, endpoint=self.hub.endpoint)
        self.hub.forget()
        self.ualm("generate", "rain", "--seed", "1", "--max-steps", "20", "-o", "rain.wav", "--model", NAME)
        self.assertEqual(self.hub.requests, [])
        self.ualm("pull", NAME)
        self.assertEqual(len(self.hub.requests), 1)


class Faults(HubTest):
    """Errors say what was expected, what was found and what to do; only downloaded bytes are kept."""

    def setUp(self):
        super().setUp()
        self.sha = self.hub.add(NAME, package())

    def assert_nothing_has_a_final_name(self):
        self.assertEqual(self.names("snapshots"), [])
        self.assertEqual(self.names("refs"), [])
        for path in self.repository().glob("blobs/*"):
            if path.suffix != ".incomplete":
                content = path.read_bytes()
                sums = hashlib.sha256(content), hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)
                self.assertIn(path.name, [found.hexdigest() for found in sums])

    def test_errors_say_what_to_do(self):
        self.hub.add("someone/gated", package(), gated="manual")
        self.hub.add("someone/private", package(), private=True)
        hub = self.hub.endpoint
        logged_in = {"HF_TOKEN": TOKEN}
        wrong = {"HF_TOKEN": "hf_wrong"}
        cases = [
            ("someone/gated", {}, [f"request access at {hub}/someone/gated", f"{hub}/settings/tokens", "HF_TOKEN"]),
            ("someone/gated", logged_in, ["the owner of the token of HF_TOKEN has no access", f"{hub}/someone/gated"]),
            ("someone/private", {}, ["there is no model someone/private", "if it is private", "HF_TOKEN"]),
            ("someone/missing", {}, ["there is no model someone/missing", f"{hub}/models?search=missing"]),
            ("someone/missing", logged_in, ["there is no model someone/missing", "the token of HF_TOKEN must belong to a user"]),
            (NAME, wrong, ["does not accept the token of HF_TOKEN", f"{hub}/settings/tokens"]),
            (f"{NAME}@v9", {}, ['no revision "v9"', f"{hub}/{NAME}/tree/main"]),
        ]
        self.hub.allowed = False
        for name, environment, expected in cases:
            said = self.refused("pull", name, **environment)
            for words in expected:
                self.assertIn(words, said)
            self.assertNotIn("hf_wrong", said)
            self.assertEqual([path for path in self.cache.rglob("blobs/*")], [])
        self.hub.allowed = True
        self.ualm("pull", "someone/gated", HF_TOKEN=TOKEN)
        self.ualm("pull", "someone/private", HF_TOKEN=TOKEN)

    def test_invalid_names_are_refused(self):
        for name in ("model", "a/b/c", "../a", "a/b@"):
            self.assertIn("expected OWNER/NAME", self.refused("pull", name, code=2))
        self.assertIn("no model package is here", self.refused("inspect", "--model", "no/such/folder"))
        said = self.refused("inspect", "--model", "no/folder")
        self.assertIn("there is no such folder, and looking it up on the hub failed", said)

    def test_a_busy_hub_is_retried(self):
        faults = [
            Fault(path="/api/", status=429, headers={"Retry-After": "2"}, times=1),
            Fault(path="tokenizer.json", status=500, times=2),
            Fault(path="llm.onnx.data", server="store", status=503, times=1),
            Fault(path="llm.onnx.data", server="store", status=403, times=1),  # a signature that is too old
        ]
        self.hub.faults.extend(faults)
        began = time.monotonic()
        _, err = self.ualm("pull", NAME)
        self.assertGreaterEqual(time.monotonic() - began, 2)
        self.assertRegex(err, r"too many requests \(429\); trying again in 2\.")
        self.assertRegex(err, r"tokenizer.json: 127.0.0.1 failed \(500[^;]*\); trying again in 0\.")
        self.assertIn("which stores the hub's large files, answered 403", err)

    def test_a_hub_that_stays_busy_is_given_up(self):
        fault = Fault(path="llm.onnx.data", status=503)
        self.hub.faults.append(fault)
        said = self.refused("pull", NAME)
        self.assertIn("llm.onnx.data: 5 attempts failed: 127.0.0.1 failed (503", said)
        self.assertEqual(len([request for request in self.hub.requests if "llm.onnx.data" in request.path]), 5)
        self.assert_nothing_has_a_final_name()
        self.hub.forget()
        self.hub.faults.append(Fault(path="/api/", status=429, headers={"Retry-After": "86400"}))
        self.assertIn("refuses requests for the next 86400 s", self.refused("pull", NAME))
        self.assertEqual(len(self.hub.requests), 1)

    def test_a_lost_connection_is_resumed(self):
        self.hub.faults.append(Fault(path="llm.onnx.data", server="store", breaks_after=LARGE // 7))
        _, err = self.ualm("pull", NAME)
        self.assertGreaterEqual(err.count("the connection was lost"), 6)
        self.assertLessEqual(sum(self.hub.sent("llm.onnx.data")), LARGE + 10 * (64 << 10), "only the rest is fetched")

    def test_a_connection_that_is_lost_at_once_is_given_up(self):
        self.hub.faults.append(Fault(path="llm.onnx.data", server="store", breaks_after=0))
        self.assertIn("llm.onnx.data: 5 attempts failed: the connection was lost", self.refused("pull", NAME))
        self.assert_nothing_has_a_final_name()

    def test_a_stalled_hub_times_out(self):
        self.hub.faults.append(Fault(path="/api/", stalls=20))
        said = self.refused("pull", NAME, HF_HUB_DOWNLOAD_TIMEOUT="1")
        self.assertIn("does not answer; HF_HUB_DOWNLOAD_TIMEOUT", said)
        self.hub.forget()
        self.hub.faults.append(Fault(path="llm.onnx.data", server="store", stalls=5, times=1))
        _, err = self.ualm("pull", NAME, HF_HUB_DOWNLOAD_TIMEOUT="1")
        self.assertIn("does not answer", err)

    def test_wrong_bytes_are_refused(self):
        for path in ("llm.onnx.data", "tokenizer.json", "manifest.json"):
            self.hub.forget()
            shutil.rmtree(self.cache, ignore_errors=True)
            self.hub.faults.append(Fault(path=path, flips=True))
            said = self.refused("pull", NAME)
            self.assertRegex(said, f"{path}: the downloaded file has the checksum [0-9a-f]+; expected [0-9a-f]+\\. It was discarded")
            self.assert_nothing_has_a_final_name()
            if path == "llm.onnx.data":
                self.assertEqual(self.part_size(), 0)
        self.hub.forget()
        self.ualm("pull", NAME)

    def test_a_damaged_part_is_downloaded_again(self):
        self.hub.add(NAME, package())
        sha256 = hashlib.sha256(package()["llm.onnx.data"]).hexdigest()
        for content in (b"\0" * (LARGE // 2), b"\0" * (LARGE + 5), b"\0" * LARGE):
            self.hub.forget()
            shutil.rmtree(self.cache, ignore_errors=True)
            blobs = self.repository() / "blobs"
            blobs.mkdir(parents=True)
            (blobs / f"{sha256}.incomplete").write_bytes(content)
            _, err = self.ualm("pull", NAME)
            self.assertEqual("is damaged; downloading the file again" in err, len(content) <= LARGE, err)
            self.assertEqual(self.hub.sent("llm.onnx.data")[-1], LARGE)

    def test_a_server_without_ranges(self):
        self.hub.faults.append(Fault(path="llm.onnx.data", server="store", breaks_after=LARGE // 2, times=1))
        self.hub.faults.append(Fault(path="llm.onnx.data", server="store", ignores_range=True))
        self.ualm("pull", NAME)
        self.assertEqual(self.hub.sent("llm.onnx.data")[-1], LARGE)

    def test_a_broken_package_is_refused_before_the_download(self):
        files = package()
        del files["tokenizer.json"]
        other = {**package(), "llm.onnx.data": b"x" * LARGE}
        short = {**package(), "llm.onnx.data": b"x" * (LARGE - 1)}
        sums = {"../escaped": {"size": 1, "sha256": "0" * 64}}
        newer = {**package(), "manifest.json": json.dumps({**MANIFEST, "schema": 99}).encode()}
        cases = [
            (files, "tokenizer.json is missing"),
            (other, "llm.onnx.data has the checksum "),
            (short, f"llm.onnx.data has {LARGE - 1} bytes; its manifest says {LARGE}"),
            (package(files=sums), "../escaped is missing"),
            (newer, "update ualm"),
            ({"data.csv": b"1"}, "is not a package"),
        ]
        for files, words in cases:
            self.hub.add("someone/broken", files)
            self.assertIn(words, self.refused("pull", "someone/broken"))
            self.assertEqual(self.hub.sent("llm.onnx.data"), [])

    def test_a_checkpoint_is_explained(self):
        self.hub.add("nvidia/Nemotron-Labs-Audex-2B", {"config.json": b"{}", "model.safetensors": b"weights"})
        said = self.refused("pull", "nvidia/Nemotron-Labs-Audex-2B")
        self.assertIn("is a checkpoint", said)
        self.assertIn("ualm-export nvidia/Nemotron-Labs-Audex-2B Nemotron-Labs-Audex-2B --precision int4", said)

    def test_no_hub_of_that_name(self):
        said = self.refused("pull", NAME, HF_ENDPOINT="http://hub.invalid")
        self.assertIn("hub.invalid cannot be found: is there a network connection?", said)
        self.assertIn("HF_ENDPOINT", said)
        said = self.refused("pull", NAME, HF_ENDPOINT="hub.invalid", code=2)
        self.assertIn("expected a URL, such as https://huggingface.co", said)

    def test_the_token_is_sent_only_to_the_hub(self):
        for environment in ({"HF_TOKEN": TOKEN}, {"HF_HOME": str(self.home), "HF_HUB_CACHE": None}):
            self.hub.forget()
            (self.home / "token").write_text(TOKEN + "\n", encoding="utf-8")
            self.ualm("pull", NAME, **environment)
            seen = {(request.server, request.authorization) for request in self.hub.requests}
            self.assertEqual(seen, {("hub", f"Bearer {TOKEN}"), ("store", None)})
            self.assertNotIn(TOKEN.encode(), b"".join(path.read_bytes() for path in self.cache.rglob("*") if path.is_file()))
        self.hub.forget()
        shutil.rmtree(self.cache)
        self.ualm("pull", NAME, HF_TOKEN=TOKEN, HF_HUB_DISABLE_IMPLICIT_TOKEN="1")
        self.assertEqual({request.authorization for request in self.hub.requests}, {None})

    @unittest.skipUnless(shutil.which("openssl"), "openssl is missing")
    def test_an_unknown_certificate(self):
        made = self.home / "made.pem"
        command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=hub".split()
        extensions = ("subjectAltName=IP:127.0.0.1", "basicConstraints=critical,CA:FALSE")
        options = [part for extension in extensions for part in ("-addext", extension)]
        subprocess.run([*command, *options, "-keyout", made, "-out", self.home / "known.pem"], check=True, capture_output=True)
        with made.open("a", encoding="utf-8") as file:
            file.write((self.home / "known.pem").read_text(encoding="utf-8"))
        with Hub(certificate=made) as hub:
            hub.add(NAME, package())
            said = self.refused("pull", NAME, HF_ENDPOINT=hub.endpoint)
            self.assertIn("no secure connection to 127.0.0.1 is possible", said)
            self.assertIn("SSL_CERT_FILE", said)
            self.assertEqual(hub.requests, [])
            self.ualm("pull", NAME, HF_ENDPOINT=hub.endpoint, SSL_CERT_FILE=str(self.home / "known.pem"))
        said = self.refused("pull", NAME, code=2, SSL_CERT_FILE=str(self.home / "missing.pem"))
        self.assertIn("has no readable certificates", said)

    def test_an_invalid_token_is_not_shown(self):
        said = self.refused("pull", NAME, code=2, HF_TOKEN=f"{TOKEN} and more")
        self.assertIn("the token of HF_TOKEN is invalid", said)


class Disk(HubTest):
    """Full disks: on a small file system, and with a limit on file sizes."""

    def setUp(self):
        super().setUp()
        self.hub.add(NAME, package())

    def on_small_disk(self, megabytes, script):
        """Runs `script` with the cache on a small file system, in a new namespace."""
        if not shutil.which("unshare"):
            self.skipTest("unshare is missing")
        self.cache.mkdir()
        mount = f"mount -t tmpfs -o size={megabytes}m none '{self.cache}' || exit 77\n"
        done = subprocess.run(
            ["unshare", "--map-root-user", "--mount", "sh", "-c", mount + script],
            env=self.environment(PULL=f"{PROGRAM} pull {NAME}", CACHE=str(self.cache)), cwd=self.home, capture_output=True, text=True, timeout=120,
        )
        if done.returncode == 77 or "unshare:" in done.stderr:
            self.skipTest("no file system can be mounted here")
        return done

    def test_space_is_checked_first(self):
        done = self.on_small_disk(2, "$PULL")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stderr, r"someone/model needs 3\.1 MB more, but the disk of .* has 2\.\d MB left: free some space")
        self.assertIn("HF_HUB_CACHE", done.stderr)
        self.assertEqual(self.hub.sent("llm.onnx.data"), [])

    def test_a_disk_that_fills_up(self):
        self.hub.faults.append(Fault(path="llm.onnx.data", server="store", rate=1 << 20, times=1))
        done = self.on_small_disk(
            5,
            """
            (sleep 1; cat /dev/zero > "$CACHE/filler" 2>/dev/null) &
            $PULL; echo "first: $?"; wait
            ls "$CACHE"/models--*/snapshots 2>/dev/null
            stat -c 'part: %s' "$CACHE"/models--*/blobs/*.incomplete
            rm "$CACHE/filler"
            $PULL; echo "second: $?"
            """,
        )
        self.assertIn("first: 1", done.stdout, done.stderr)
        self.assertIn("second: 0", done.stdout, done.stderr)
        self.assertIn("the disk is full; downloaded files are kept", done.stderr)
        part = int(re.search(r"part: (\d+)", done.stdout)[1])
        self.assertGreater(part, 0)
        self.assertEqual(self.hub.sent("llm.onnx.data")[1:], [LARGE - part])

    @unittest.skipIf(os.name == "nt", "limits of POSIX")
    def test_a_limit_on_file_sizes(self):
        process = subprocess.run(
            [PROGRAM, "pull", NAME], env=self.environment(), cwd=self.home, capture_output=True, text=True, restore_signals=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)),
        )
        self.assertEqual(process.returncode, 1, process.stderr)
        self.assertIn("the system does not allow such a large file here; downloaded files are kept", process.stderr)
        there = self.part_size()
        self.assertTrue(0 < there <= 1 << 20, there)
        self.hub.forget()
        self.ualm("pull", NAME)
        self.assertEqual(self.hub.sent("llm.onnx.data"), [LARGE - there])

    @unittest.skipIf(os.name == "nt" or os.geteuid() == 0, "permissions do not bind")
    def test_a_cache_that_cannot_be_written(self):
        self.cache.mkdir(mode=0o500)
        self.assertIn("name a writable folder with HF_HUB_CACHE", self.refused("pull", NAME))


class Licence(HubTest):
    def setUp(self):
        super().setUp()
        self.hub.add(NAME, package(license=RESTRICTED, origin="NVIDIA"))

    def test_a_licence_must_be_accepted_once(self):
        said = self.refused("pull", NAME, code=2)
        for words in (RESTRICTED, "origin: NVIDIA", f"{self.hub.endpoint}/{NAME}", "--accept-licence"):
            self.assertIn(words, said)
        self.assertEqual(self.hub.sent("llm.onnx.data"), [], "nothing large was fetched")
        self.assertIn(RESTRICTED, self.ualm("pull", NAME, "--accept-licence")[1])
        self.assertNotIn(RESTRICTED, self.ualm("pull", NAME)[1], "it is remembered")
        self.hub.add(NAME, package(2, license=RESTRICTED))
        self.assertIn("--accept-licence", self.refused("pull", NAME, code=2))
        self.ualm("pull", NAME, UALM_ACCEPT_LICENCE="1")

    def test_a_licence_is_shown_before_the_first_use(self):
        huggingface_hub.snapshot_download(NAME, cache_dir=self.cache, endpoint=self.hub.endpoint)
        self.assertIn("--accept-licence", self.refused("inspect", "--model", NAME, code=2))
        # the graphs are invalid, which is reported after the licence
        self.assertIn("not among the files", self.refused("inspect", "--model", NAME, "--accept-license"))
        self.assertNotIn(RESTRICTED, self.refused("inspect", "--model", NAME))

    def test_a_licence_that_is_not_stated_must_be_accepted(self):
        self.hub.add(NAME, package(license="not stated"))
        self.assertIn("does not state its licence", self.refused("pull", NAME, code=2))

    @unittest.skipIf(os.name == "nt", "a terminal of POSIX")
    def test_acceptance_is_asked_for_at_a_terminal(self):
        for answer, code in (("n", 2), ("", 2), ("y", 0)):
            ours, theirs = pty.openpty()
            process = subprocess.Popen(
                [PROGRAM, "pull", NAME], env=self.environment(TERM="dumb"), cwd=self.home, stdin=theirs, stdout=subprocess.DEVNULL, stderr=theirs
            )
            os.close(theirs)
            said = b""
            while b"[y/N]" not in said:
                said += os.read(ours, 1024)
            self.assertIn(RESTRICTED.encode(), said)
            os.write(ours, answer.encode() + b"\n")
            try:
                while os.read(ours, 1024):
                    pass
            except OSError:  # the other end is closed
                pass
            self.assertEqual(process.wait(60), code)
            os.close(ours)


class Models(HubTest):
    def listed(self):
        return [entry for entry in json.loads(self.ualm("models", "--json")[0]) if entry["name"]]

    def test_packages_are_listed(self):
        first = self.hub.add(NAME, package(1, family="audex"))
        self.ualm("pull", NAME)
        second = self.hub.add(NAME, package(2))
        self.ualm("pull", NAME)
        (self.cache / "models--other--program" / "snapshots" / ("1" * 40)).mkdir(parents=True)
        self.assertEqual({entry["revision"] for entry in self.listed()}, {first, second})
        (entry,) = (entry for entry in self.listed() if entry["branches"])
        self.assertEqual((entry["name"], entry["revision"], entry["branches"]), (NAME, second, ["main"]))
        self.assertEqual(entry["can"], ["generate", "ask", "speak", "transcribe", "converse", "reason", "chat", "codec"])
        self.assertGreater(entry["bytes"], LARGE)
        table, _ = self.ualm("models")
        self.assertRegex(table, r"(?m)^PACKAGE +REVISION +SIZE +FAMILY +PRECISION +COMMANDS$")
        self.assertRegex(table, rf"(?m)^{NAME} +{second[:7]} \(main\) +3\.1 MB .* generate ask speak")
        self.assertRegex(table, rf"(?m)^{NAME} +{first[:7]} +3\.1 MB +audex ")
        self.assertRegex(table, r"(?m)^ualm-small-world \(ships with ualm\) +- ")
        self.assertEqual(self.hub.sent("/api/", "hub")[2:], [], "listing asks nothing")

    def test_removal_keeps_files_of_other_revisions(self):
        first = self.hub.add(NAME, package(1))
        self.ualm("pull", NAME)
        second = self.hub.add(NAME, package(2))
        self.ualm("pull", NAME)
        self.assertEqual(len(self.names("blobs")), 8)
        self.assertIn("confirm with --yes", self.refused("models", "remove", NAME, code=2))
        removed = json.loads(self.ualm("models", "remove", f"{NAME}@{first}", "--yes", "--json")[0])
        self.assertEqual(removed["revisions"], [first])
        self.assertGreater(removed["bytes"], LARGE)
        self.assertEqual(len(self.names("blobs")), 5)
        (entry,) = self.listed()
        self.assertEqual(entry["revision"], second)
        for name in self.names("snapshots"):
            self.assertTrue((self.repository() / "snapshots" / name).read_bytes())
        self.ualm("models", "remove", NAME, "-y")
        self.assertFalse(self.repository().exists())
        self.assertEqual(self.listed(), [])
        self.assertIn("`ualm models` lists the packages", self.refused("models", "remove", NAME, "--yes", code=2))

    def test_partial_downloads_are_removed(self):
        self.hub.add(NAME, package())
        self.hub.faults.append(Fault(path="llm.onnx.data", server="store", breaks_after=LARGE // 2, times=1))
        self.hub.faults.append(Fault(path="llm.onnx.data", server="store", breaks_after=0))
        self.refused("pull", NAME)
        self.assertGreater(self.part_size(), 0)
        self.ualm("models", "remove", NAME, "--yes")
        self.assertFalse(self.repository().exists())

    def test_other_models_are_not_removed(self):
        self.hub.add("other/model", {"config.json": b"{}", "model.safetensors": b"x" * LARGE})
        huggingface_hub.snapshot_download("other/model", cache_dir=self.cache, endpoint=self.hub.endpoint)
        self.refused("models", "remove", "other/model", "--yes", code=2)
        self.assertEqual(len(list((self.repository("other/model") / "blobs").iterdir())), 2)

    def test_packages_in_use_are_not_removed(self):
        self.hub.add(NAME, DEFAULT)
        server = self.start("serve", "--listen", "127.0.0.1:0", "--model", NAME)
        for line in server.stderr:
            if line.startswith("listening on"):
                break
        self.assertIn("is in use by another program", self.refused("models", "remove", NAME, "--yes"))
        server.send_signal(signal.SIGTERM)
        self.finish(server)
        self.ualm("models", "remove", NAME, "--yes")
        self.hub.add(NAME, package())
        self.hub.faults.append(Fault(path="llm.onnx.data", server="store", rate=1 << 20))
        pull = self.start("pull", NAME)
        self.until(lambda: self.part_size() > 0)
        self.assertIn("is being downloaded by another program", self.refused("models", "remove", NAME, "--yes"))
        pull.kill()
        pull.communicate()


if __name__ == "__main__":
    unittest.main()
