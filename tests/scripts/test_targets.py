"""The scripts' reports about the supported systems. Nothing is built or run, and the results are the same on every machine."""
import contextlib
import os
import pathlib
import subprocess
import sys
import unittest
from unittest import mock

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import emulators  # noqa: E402
import targets  # noqa: E402
from fetch_onnxruntime import PACKAGES, Failure  # noqa: E402
from targets import TARGETS, Target, check, target_of  # noqa: E402

ARM = "aarch64-unknown-linux-gnu"
WINDOWS = "x86_64-pc-windows-gnu"


@contextlib.contextmanager
def machine(programs=(), installed=(), is_host="x86_64-unknown-linux-gnu", version="10.0"):
    """Simulates a machine with some programs on its path, some Rust targets, and emulators of a version."""
    with (
        mock.patch("shutil.which", lambda name: f"/usr/bin/{name}" if name in programs else None),
        mock.patch.object(targets, "installed_targets", lambda: set(installed)),
        mock.patch.object(targets, "host", lambda: is_host),
        mock.patch.object(emulators, "version", lambda program: int(version.split(".")[0])),
    ):
        yield


class Targets(unittest.TestCase):
    def test_a_target_is_found_by_its_name_and_others_are_listed(self):
        self.assertEqual(target_of(ARM).name, "linux-aarch64")
        self.assertEqual(target_of(WINDOWS).program, "ualm.exe")
        with self.assertRaisesRegex(Failure, "riscv64gc-unknown-linux-gnu is not a target .* expected one of .*aarch64-unknown-linux-gnu"):
            target_of("riscv64gc-unknown-linux-gnu")

    def test_every_target_has_a_library_of_onnx_runtime(self):
        for target in TARGETS:
            self.assertIn((target.system, target.processor), PACKAGES["onnxruntime"]["wheels"], target.triple)

    def test_all_missing_requirements_are_named_with_their_install_commands(self):
        with machine():
            arm = "\n".join(target_of(ARM).missing() + target_of(ARM).missing_emulator())
            windows = "\n".join(target_of(WINDOWS).missing() + target_of(WINDOWS).missing_emulator())
        for words in (f"rustup target add {ARM}", "apt install g++-aarch64-linux-gnu", "apt install qemu-user-static"):
            self.assertIn(words, arm)
        for words in (f"rustup target add {WINDOWS}", "apt install g++-mingw-w64-x86-64", "apt install wine wine64"):
            self.assertIn(words, windows)
        with self.assertRaisesRegex(Failure, f"{ARM}: requirements are missing:\n  Rust's .*\n  aarch64-linux-gnu-g\\+\\+ "), machine():
            check(target_of(ARM).missing(), target_of(ARM))

    def test_a_complete_machine_has_no_missing_requirements(self):
        with machine({"aarch64-linux-gnu-g++", "qemu-aarch64-static"}, {ARM}):
            self.assertEqual(target_of(ARM).missing() + target_of(ARM).missing_emulator(), [])
            check([], target_of(ARM))

    def test_an_emulator_that_is_too_old_is_refused(self):
        with machine({"qemu-aarch64-static"}, version="7.2"):
            (missing,) = target_of(ARM).missing_emulator()
        self.assertRegex(missing, "qemu-aarch64-static of version 10 or later, found 7: .*backports")

    def test_an_earlier_wine_needs_the_compiler_for_its_missing_dll(self):
        with machine({"wine"}, version="8.0"):
            (missing,) = target_of(WINDOWS).missing_emulator()
            self.assertIn("x86_64-w64-mingw32-gcc", missing)
        with machine({"wine"}, version="9.0"):
            self.assertEqual(target_of(WINDOWS).missing_emulator(), [])

    def test_targets_without_a_cross_compiler_or_an_emulator_refer_to_their_own_systems(self):
        with machine(installed={"aarch64-apple-darwin"}):
            target = target_of("aarch64-apple-darwin")
            self.assertEqual(target.missing(), ["a compiler and linker for it: build on that system itself"])
            self.assertEqual(target.missing_emulator(), ["an emulator, and there is none for it: run the tests on that system itself"])

    def test_the_machines_own_target_has_no_requirements_and_runs_directly(self):
        with machine(is_host=ARM):
            target = target_of(ARM)
            self.assertEqual(target.missing() + target.missing_emulator() + target.cargo_arguments() + target.run_command(), [])
            self.assertEqual((target.environment(), target.run_environment(), target.processors()), ({}, {}, [None]))
            self.assertEqual(targets.this_target(), target)
        with machine(is_host="x86_64-unknown-linux-musl"):
            self.assertEqual(targets.this_target(), Target("x86_64-unknown-linux-musl", *targets.this_system()))

    def test_programs_run_on_each_processor_and_cargo_gets_the_compiler(self):
        with machine(), mock.patch.dict(os.environ, {"CARGO_TARGET_DIR": "/built"}):
            target = target_of(ARM)
            self.assertEqual(target.processors(), ["cortex-a76", "cortex-a72"])
            command = ["qemu-aarch64-static", "-cpu", "cortex-a72", "-L", "/usr/aarch64-linux-gnu"]
            self.assertEqual(target.run_command("cortex-a72"), command)
            self.assertIn("cortex-a76", target.run_command())
            variables = target.environment()
            self.assertEqual(variables["CC_aarch64_unknown_linux_gnu"], "aarch64-linux-gnu-gcc")
            self.assertEqual(variables["CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER"], "aarch64-linux-gnu-gcc")
            self.assertEqual(target.folder("release"), pathlib.Path("/built").absolute() / ARM / "release")
            self.assertEqual(target.folder("dev").name, "debug")

    def test_versions_are_parsed_from_the_emulators_output(self):
        printed = {"qemu": "qemu-aarch64 version 10.0.2 (Debian 1:10.0.2+ds-2)\nCopyright (c) 2003-2025\n", "wine": "wine-8.0 (Debian 8.0~repack-4)\n"}
        for name, expected in (("qemu", 10), ("wine", 8)):
            with mock.patch("subprocess.run", return_value=subprocess.CompletedProcess([], 0, printed[name])):
                self.assertEqual(emulators.version(name), expected)


class Commands(unittest.TestCase):
    def test_scripts_report_errors_in_a_sentence(self):
        for script in ("cross.py", "dist.py"):
            done = subprocess.run([sys.executable, ROOT / "scripts" / script, "pdp11-dec-unix"], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, rf"^{script}: pdp11-dec-unix is not a target of this project; expected one of .*\n$")


if __name__ == "__main__":
    unittest.main()
