"""Checkpoints by their names on a hub: fetched files, resumed downloads, and errors."""

import context  # noqa: F401, isort: skip
import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path
from unittest import mock
from urllib.parse import urlsplit

from audex_checkpoint import FULL, SPEECH, XCODEC
from context import FIXTURES, ROOT, TemporaryFolderTest

sys.path.insert(0, str(ROOT / "tests" / "hub"))

from hub import Fault, Hub  # noqa: E402
from ualm_export import plan  # noqa: E402
from ualm_export.errors import ExportError  # noqa: E402
from ualm_export.hub import Cache, HubName, download  # noqa: E402
from ualm_export.hub import Hub as Client  # noqa: E402

NAME = "someone/audex-tiny"
X_CODEC_NAME = "hf-audio/xcodec-hubert-general-balanced"
SHARD = "model-00001-of-00002.safetensors"
UNWANTED = {
    "README.md": b"# card", "picture.png": b"\x89PNG" + bytes(99), "nv-whisper/model.safetensors": bytes(70000),
    "enhancement_VAE/model.safetensors": bytes(70000), "checkpoint_folder_full/pytorch_model.bin": bytes(70000),
    "inference_scripts_hf/run.py": b"raise SystemExit", "checkpoint_folder_full/tokenization.py": b"raise SystemExit",
}  # fmt: skip
PROGRAMS = [Path(os.environ.get("UALM", ROOT / "target/debug/ualm")), ROOT / "target/release/ualm"]
PROGRAM = next((path for path in PROGRAMS if path.is_file()), None)


def files_of(folder: Path, without: tuple[str, ...] = ()) -> dict[str, Path]:
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path for name, path in found.items() if not name.startswith(without)}


class HubTest(TemporaryFolderTest):
    def setUp(self):
        super().setUp()
        self.hub = Hub(lfs_from=16 << 10)
        self.addCleanup(self.hub.close)
        checkpoint = FIXTURES / "checkpoints" / "tiny-audex"
        self.files = files_of(checkpoint, (f"{XCODEC}/",))
        self.commit = self.hub.add(NAME, self.files | UNWANTED)
        self.hub.add(X_CODEC_NAME, files_of(checkpoint / XCODEC) | {"pytorch_model.bin": bytes(70000)})
        self.out = self.folder / "out"

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen:
        """Starts the exporter, with the hub's address and an empty cache of its own."""
        own = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
        own |= {"HF_ENDPOINT": self.hub.endpoint, "HF_HOME": str(self.folder / "home"), "PYTHONDONTWRITEBYTECODE": "1"} | environment
        command = [sys.executable, str(ROOT / "export" / "export.py"), *arguments]
        return subprocess.Popen(command, cwd=self.folder, env=own, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def ended(self, process: subprocess.Popen) -> str:
        """Returns the output of a process after its end, and checks that it does not contain the token."""
        said, _ = process.communicate(timeout=300)
        self.assertNotIn(self.hub.token[3:], said)
        self.assertNotIn("Traceback", said)
        return said

    def exported(self, *arguments: str, **environment: str) -> str:
        process = self.start(*(arguments or (NAME, "out")), **environment)
        said = self.ended(process)
        self.assertEqual(process.returncode, 0, said)
        self.assertEqual(self.leftovers(), [])
        return said

    def refused(self, *words: str, arguments: tuple[str, ...] = (NAME, "out"), **environment: str) -> str:
        """Checks that the export fails with a message that contains the words, and leaves no files beside the cache."""
        process = self.start(*arguments, **environment)
        said = self.ended(process)
        self.assertEqual(process.returncode, 1, said)
        for word in words:
            self.assertIn(word, said.splitlines()[-1])
        self.assertFalse(self.out.exists())
        self.assertEqual(self.leftovers(), [])
        return said

    def leftovers(self) -> list[Path]:
        """Lists files that are neither the package nor the cache nor the test's own."""
        return [path for path in self.folder.iterdir() if path.name.startswith(".")]

    def manifest(self) -> dict:
        return json.loads((self.out / "manifest.json").read_text(encoding="utf-8"))

    def asked_for(self) -> set[str]:
        """Returns the paths of the files whose content was requested."""
        sent = [request.path for request in self.hub.requests if request.method == "GET" and request.status in (200, 206)]
        return {path for path in {**self.files, **UNWANTED} if any(asked.endswith("/" + path) for asked in sent)}

    def snapshot(self) -> Path:
        return self.folder / "home" / "hub" / "models--someone--audex-tiny" / "snapshots" / self.commit


class NameTest(unittest.TestCase):
    def test_names_have_a_form(self):
        for text, expected in (
            ("nvidia/Nemotron-Labs-Audex-2B", HubName("nvidia", "Nemotron-Labs-Audex-2B")),
            ("a/b@v1.0", HubName("a", "b", "v1.0")),
            ("a/b@refs/pr/3", HubName("a", "b", "refs/pr/3")),
        ):
            self.assertEqual(HubName.parse(text), expected)
        for text in ("a", "a/b/c", "../b", "a/..", "/a/b", "a/b@", "a/b@../c", "a/b@/c", "a\\b", "https://a/b", "a/b c", "é/b", "-a/b", "a--b/c", ""):
            self.assertIsNone(HubName.parse(text), text)


class ExportTest(HubTest):
    def test_an_audex_checkpoint_is_exported_by_its_name(self):
        said = self.exported()
        self.assertIn(f"{NAME} at {self.commit[:12]}, from {self.hub.endpoint}/{NAME}", said)
        self.assertIn("licence: NVIDIA OneWay Noncommercial", said)
        wanted = self.asked_for()
        self.assertEqual(wanted & set(UNWANTED), set())
        self.assertLessEqual({"config.json", f"{FULL}/{SHARD}", f"{FULL}/tokenizer.json", f"{SPEECH}/model.safetensors"}, wanted)
        manifest = self.manifest()
        reference = json.loads((FIXTURES / "packages/tiny-audex-fp32/manifest.json").read_text(encoding="utf-8"))
        self.assertEqual(manifest["files"], reference["files"])
        self.assertEqual(manifest["name"], "audex-tiny")
        self.assertIn("Noncommercial", manifest["license"])
        self.assertRegex(manifest["origin"], rf"^{self.hub.endpoint}/{NAME}/tree/{self.commit}, {self.hub.endpoint}/{X_CODEC_NAME}/tree/[0-9a-f]{{40}}$")

    @unittest.skipUnless(PROGRAM, "the program is not built")
    def test_the_program_runs_what_was_exported_by_name(self):
        self.exported()
        shown = subprocess.run([PROGRAM, "inspect", self.out], capture_output=True, text=True, check=True).stdout
        self.assertIn(f"{self.hub.endpoint}/{NAME}", shown)
        command = [PROGRAM, "speak", "five", "-o", self.folder / "five.wav", "--model", self.out, "--seed", "1"]
        subprocess.run(command, capture_output=True, check=True)
        self.assertGreater((self.folder / "five.wav").stat().st_size, 1000)

    def test_a_fetched_checkpoint_works_offline(self):
        self.exported()
        self.hub.close()
        self.hub.requests.clear()
        self.exported(NAME, "out", "--force", HF_HUB_OFFLINE="1")
        self.assertEqual(self.hub.requests, [])
        self.assertIn(self.commit, self.manifest()["origin"])
        (self.snapshot() / FULL / "tokenizer.json").unlink()
        shutil.rmtree(self.out)
        self.refused("tokenizer.json", HF_HUB_OFFLINE="1")

    def test_offline_refuses_missing_and_damaged_files(self):
        self.refused("not in the cache", "HF_HUB_OFFLINE", HF_HUB_OFFLINE="1")
        self.exported()
        shutil.rmtree(self.out)
        (self.snapshot() / FULL / SHARD).resolve().write_bytes(b"x")
        self.refused(SHARD, HF_HUB_OFFLINE="1")

    def test_a_revision_selects_its_commit(self):
        old = self.hub.add(NAME, self.files, revision="v1")
        self.exported(f"{NAME}@v1", "out", "--no-xcodec")
        self.assertTrue(self.manifest()["origin"].endswith(old))
        self.assertNotIn("audio", self.manifest()["modalities"])
        self.assertEqual([request for request in self.hub.requests if X_CODEC_NAME in request.path], [])
        self.exported(f"{NAME}@{self.commit}", "out", "--no-xcodec", "--force", "--name", "mine", "--origin", "here")
        self.assertEqual((self.manifest()["name"], self.manifest()["origin"]), ("mine", "here"))

    def test_a_folder_of_that_name_wins(self):
        shutil.copytree(FIXTURES / "checkpoints" / "tiny-audex", self.folder / NAME)
        self.exported()
        self.assertEqual(self.hub.requests, [])
        self.assertNotIn("audio", self.manifest()["modalities"])

    def test_a_folder_takes_the_codec_from_the_hub(self):
        checkpoint = str(FIXTURES / "checkpoints" / "tiny-audex")
        self.exported(checkpoint, "out", "--xcodec", X_CODEC_NAME)
        self.assertIn("audio", self.manifest()["modalities"])
        self.assertEqual([path for path in self.hub.requests if "pytorch_model.bin" in path.path], [])

    def test_a_ualm_checkpoint_is_exported_by_its_name(self):
        files = files_of(FIXTURES / "checkpoints" / "tiny-omni")
        self.hub.add("someone/ualm-tiny", files | {"optimizer.bin": bytes(70000), "llm/model.safetensors": bytes(70000), "README.md": b"#"})
        self.exported("someone/ualm-tiny", "out")
        reference = json.loads((FIXTURES / "packages/tiny-omni-fp32/manifest.json").read_text(encoding="utf-8"))
        self.assertEqual(self.manifest()["files"], reference["files"])
        sent = " ".join(request.path for request in self.hub.requests)
        self.assertNotIn("optimizer.bin", sent)
        self.assertNotIn("llm/model.safetensors", sent)
        shutil.rmtree(self.out)
        self.refused("--xcodec", "does not apply", arguments=("someone/ualm-tiny", "out", "--xcodec", X_CODEC_NAME))

    def test_a_private_repository_takes_the_token_which_goes_to_the_hub_alone(self):
        self.hub.add(NAME, self.files, private=True, gated="manual")
        self.exported(HF_TOKEN=self.hub.token)
        self.assertEqual([request for request in self.hub.requests if request.server == "hub" and not request.authorization], [])
        self.assertEqual([request for request in self.hub.requests if request.server == "store" and request.authorization], [])
        self.assertEqual({urlsplit(request.path).path.split("/")[1] for request in self.hub.requests if request.server == "hub"} - {"api"}, {"someone", "hf-audio"})
        self.assertEqual([request.path for request in self.hub.requests if request.path.startswith("/api/") and "/api/models/" not in request.path], [])


class BreakTest(HubTest):
    def setUp(self):
        super().setUp()
        self.blobs = self.folder / "home/hub/models--someone--audex-tiny/blobs"
        self.part = self.blobs / f"{hashlib.sha256(self.files[f'{FULL}/{SHARD}'].read_bytes()).hexdigest()}.incomplete"

    def test_a_killed_exports_files_are_not_fetched_again(self):
        size = self.files[f"{FULL}/{SHARD}"].stat().st_size
        self.hub.faults.append(Fault(path=SHARD, server="store", rate=size / 4))
        process = self.start(NAME, "out")
        self.wait_for(lambda: self.part.exists() and self.part.stat().st_size > size / 8)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        partial = sum(path.stat().st_size for path in self.blobs.glob("*.incomplete"))
        self.assertGreater(partial, 0)
        self.assertFalse(self.snapshot().joinpath(FULL, SHARD).exists())
        self.hub.forget()
        said = self.exported()
        self.assertIn("in the cache already", said)
        sent = [one for one in self.hub.sent(SHARD) if one > 100_001]  # the request of the header, which has the number of weights, aside
        self.assertEqual(len(sent), 1)
        self.assertLess(sent[0], size - size // 8 + 1)
        self.assertEqual(list(self.blobs.glob("*.incomplete")), [])

    def test_a_stopped_export_keeps_only_its_fetched_files(self):
        size = self.files[f"{FULL}/{SHARD}"].stat().st_size
        self.hub.faults.append(Fault(path=SHARD, server="store", rate=size / 60))
        process = self.start(NAME, "out")
        self.wait_for(lambda: self.part.exists() and self.part.stat().st_size)
        process.send_signal(signal.SIGTERM)
        self.ended(process)
        self.assertEqual(process.returncode, 143)
        self.assertFalse(self.out.exists())
        self.assertEqual(self.leftovers(), [])

    def wait_for(self, condition):
        for _ in range(600):
            if condition():
                return
            time.sleep(0.05)
        self.fail("nothing was fetched in half a minute")

    def test_a_broken_connection_is_reopened(self):
        self.hub.faults.append(Fault(path=SHARD, server="store", breaks_after=150_000, times=2))
        self.exported()
        self.assertGreaterEqual(len(self.hub.sent(SHARD)), 2)

    def test_a_temporary_failure_is_retried(self):
        self.hub.faults += [
            Fault(path="/api/models/", status=503, times=1),
            Fault(path=f"resolve/{self.commit}/config.json", status=500, times=1),
            Fault(path=SHARD, server="store", status=429, headers={"Retry-After": "1"}, times=1),
        ]
        self.assertIn("note: ", self.exported())

    def test_a_server_without_ranges_sends_all_again(self):
        self.exported()
        sum_ = (self.snapshot() / FULL / SHARD).resolve().name
        blob = (self.snapshot() / FULL / SHARD).resolve()
        blob.rename(blob.with_name(f"{sum_}.incomplete"))
        content = blob.with_name(f"{sum_}.incomplete").read_bytes()
        blob.with_name(f"{sum_}.incomplete").write_bytes(content[: len(content) // 2])
        self.hub.faults.append(Fault(path=SHARD, server="store", ignores_range=True))
        self.exported(NAME, "out", "--force")
        self.assertEqual(blob.read_bytes(), content)

    def test_two_at_once_fetch_every_file_once(self):
        self.hub.faults.append(Fault(path=SHARD, server="store", rate=1e6))
        processes = [self.start(NAME, out, "--no-xcodec") for out in ("out", "other")]
        for process in processes:
            said = self.ended(process)
            self.assertEqual(process.returncode, 0, said)
        size = self.files[f"{FULL}/{SHARD}"].stat().st_size
        self.assertEqual(len([sent for sent in self.hub.sent(SHARD) if sent == size]), 1)

    def test_a_damaged_file_in_the_cache_is_fetched_anew(self):
        self.exported()
        blob = (self.snapshot() / FULL / SHARD).resolve()
        content = blob.read_bytes()
        blob.write_bytes(bytes(reversed(content)))
        self.exported(NAME, "out", "--force")
        self.assertEqual((self.snapshot() / FULL / SHARD).read_bytes(), content)


class RefusalTest(HubTest):
    def test_gated(self):
        self.hub.add(NAME, self.files, gated="manual")
        self.refused("gated", "accept its terms", f"{self.hub.endpoint}/{NAME}", "HF_TOKEN")
        self.hub.allowed = False
        self.refused("gated", "ask for it at", HF_TOKEN=self.hub.token)

    def test_a_wrong_name_and_a_wrong_revision(self):
        self.refused("no repository someone/nothing", "no folder", "HF_TOKEN", arguments=("someone/nothing", "out"))
        self.refused("no repository someone/nothing", "your token", arguments=("someone/nothing", "out"), HF_TOKEN=self.hub.token)
        self.refused("no revision 'v9'", arguments=(f"{NAME}@v9", "out"))
        self.refused("not a folder, and not the name", arguments=("no such/folder/here", "out"))

    def test_a_wrong_token(self):
        wrong = "hf_" + "w" * 34
        self.assertNotIn("w" * 34, self.refused("refuses your token", "HF_TOKEN", HF_TOKEN=wrong))
        self.assertNotIn("www", self.refused("characters", HF_TOKEN="hf_www\x01www"))

    def test_too_many_requests(self):
        self.hub.faults.append(Fault(path="/api/", status=429, headers={"Retry-After": "400"}))
        self.refused("429", "in 400 seconds", "HF_TOKEN")

    def test_a_hub_that_fails(self):
        self.hub.faults.append(Fault(path="/api/", status=502))
        self.refused("502", "try again later")

    def test_a_hub_that_is_not_there(self):
        self.refused("cannot be reached", "HF_ENDPOINT", "HF_HUB_OFFLINE=1", HF_ENDPOINT="http://127.0.0.1:9")
        said = self.refused("cannot be reached", HF_ENDPOINT="http://user:secretsecret@127.0.0.1:9")
        self.assertNotIn("secretsecret", said)

    def test_a_wrong_sum(self):
        self.hub.faults.append(Fault(path=f"resolve/{self.commit}/config.json", flips=True))
        self.refused("config.json", "does not have the sum", "Try again")
        blobs = self.folder / "home/hub/models--someone--audex-tiny/blobs"
        self.assertEqual(list(blobs.glob("*.incomplete")) + list(self.snapshot().glob("config.json")), [])
        self.hub.forget()
        self.exported()

    def test_a_file_without_end(self):
        self.hub.faults.append(Fault(path=f"resolve/{self.commit}/config.json", is_endless=True))
        self.refused("config.json", "does not have the sum")
        self.assertLess(sum(path.stat().st_size for path in (self.folder / "home").rglob("*") if path.is_file()), 16 << 20)

    def test_answers_of_other_servers(self):
        for content in (b"<html>", b"[]", b"{}", b'{"id": "a/b", "siblings": [1]}'):
            self.hub.faults[:] = [Fault(path="/api/", content=content)]
            self.refused("is HF_ENDPOINT the address of a hub?")
        self.hub.faults.clear()
        for endpoint in ("https://", "hub", "ftp://hub"):
            self.refused("is not the address of a hub; set HF_ENDPOINT", HF_ENDPOINT=endpoint)
        self.hub.faults[:] = [Fault(path="/api/", status=302, headers={"Location": "/api/x"})]
        self.refused("it redirects in a circle", HF_TOKEN=self.hub.token)
        self.hub.faults[:] = [Fault(path="/api/", status=307, headers={"Location": f"{self.hub.store}/x"})]
        self.refused("has no repository", "your token may not see it", HF_TOKEN=self.hub.token)
        self.assertEqual({request.authorization for request in self.hub.requests if request.server == "store"}, {None})

    def test_repositories_without_a_checkpoint(self):
        self.hub.add("someone/package", {"manifest.json": b"{}", "llm.onnx": b""})
        self.refused("is a package already", "ualm pull someone/package", arguments=("someone/package", "out"))
        self.hub.add("someone/else", {"config.json": b"{}"})
        self.refused("not a checkpoint of a known family", arguments=("someone/else", "out"))
        self.hub.add("someone/part", {name: path for name, path in self.files.items() if not name.startswith(SPEECH)})
        self.refused("no weights", SPEECH, arguments=("someone/part", "out"))
        self.hub.add("someone/split", {"train.yaml": b"{}", "mp_rank_00_model_states.pt": b"", "mp_rank_01_model_states.pt": b""})
        self.refused("several model-parallel ranks", arguments=("someone/split", "out"))

    def test_paths_outside_the_cache(self):
        for path in (f"{FULL}/../../../../../evil.safetensors", "/evil.safetensors", f"{FULL}\\..\\evil.safetensors", "c:evil.safetensors", "\x1b[2Jevil.safetensors"):
            self.hub.add(NAME, self.files | {path: b"evil"})
            self.refused("not a path in a repository")
        self.assertEqual(list(self.folder.rglob("*evil*")), [])

    def test_an_existing_target(self):
        self.out.mkdir()
        process = self.start(NAME, "out")
        self.assertIn("already exists", self.ended(process))
        self.assertEqual(self.hub.requests, [])


class SpaceTest(HubTest):
    def test_a_full_disk_is_reported_before_fetching(self):
        gigabyte = mock.Mock(free=10**9)
        with mock.patch.object(plan.shutil, "disk_usage", return_value=gigabyte):
            plan.check_space({self.folder / "a": 6 * 10**8, Path("/proc/none"): 9 * 10**8})
            with self.assertRaisesRegex(ExportError, "1.0 GB free, and 1.2 GB are needed.*HF_HUB_CACHE"):
                plan.check_space({self.folder / "a": 6 * 10**8, self.folder / "b": 6 * 10**8})

    def test_a_disk_that_fills_up_keeps_the_fetched_files(self):
        client = Client(api=download_api(self.hub.endpoint), cache=Cache(self.folder / "cache"), offline=False)
        repository = client.repository(HubName.parse(NAME))
        file = repository.files[f"{FULL}/{SHARD}"]

        def full(watched, piece):
            watched._file.write(piece[:1000])
            raise OSError(errno.ENOSPC, "No space left on device")

        with mock.patch.object(download._Watched, "write", full), self.assertRaisesRegex(ExportError, "is full: make room.*kept"):
            download.fetch(repository, [file])
        self.assertFalse((client.cache.snapshot(repository.name, repository.commit) / file.path).exists())
        self.assertGreater(client.cache.partial(repository.name, file.sum).stat().st_size, 0)

    def test_the_plan_is_printed(self):
        said = self.exported(NAME, "out", "--precision", "int8")
        self.assertRegex(said, r"fetches \d+\.\d MB of \d+ files")
        self.assertRegex(said, r"writes up to \d+\.\d MB into out, and .* calibration")
        self.assertRegex(said, r"takes some 1\.0 GB of memory \(1\.0 GB with --no-calibration\)")
        size = sum(path.stat().st_size for path in self.out.iterdir())
        self.assertLess(size, 10e6)


def download_api(endpoint: str):
    from huggingface_hub import HfApi

    return HfApi(endpoint=endpoint)


if __name__ == "__main__":
    unittest.main()
