"""Behaviour on Windows alone, tested with wine on another system: `make test-cross TARGET=x86_64-pc-windows-gnu`.

Elsewhere these tests are skipped. wine differs from Windows: it accepts paths beyond 260 characters by default, and has no visible
console here. docs/platforms.md lists the untested behaviour.
"""
import json
import pathlib
import shutil
import signal
import subprocess
import time
import unittest

from emulated import BUILT, ENVIRONMENT, ROOT, TARGET, Emulated
from test_program import lines

LIBRARY = BUILT / "c"
PACKAGE = ROOT / "onnx/default"
TOOL = ROOT / "tests/cross/windows_tool.c"
SKIPPED = unittest.skipUnless(TARGET.is_windows, "it is about Windows alone")


def compiler(*arguments):
    subprocess.run([f"{TARGET.prefix}gcc", "-std=c99", "-O1", "-Wall", "-Werror", *arguments], check=True)


def windows_path(path):
    """Returns the path as Windows programs write it; wine maps the root of this system to drive Z."""
    return "Z:" + str(path).replace("/", "\\")


class Windows(Emulated):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = cls.there.parent
        cls.tool = cls.there / "tool.exe"
        compiler("-municode", TOOL, "-o", cls.tool)

    def run_here(self, *arguments, code=0, program=None, cwd=None, **options):
        """Runs the program and returns its output, errors included."""
        command = self.command(*arguments, program=program)
        done = subprocess.run(command, cwd=cwd or self.there, env=ENVIRONMENT, capture_output=True, check=False, **options)
        output = (done.stdout + done.stderr).decode()
        self.assertEqual(done.returncode, code, f"{arguments}\n{output}")
        return output

    def generate(self, output, *arguments, **options):
        short = ["--max-steps", "12", "--seed", "1"]
        return self.run_here("generate", "rain", "--model", "package", *short, "-o", output, *arguments, **options)


@SKIPPED
class Paths(Windows):
    def test_drive_letters_backslashes_and_long_paths(self):
        deep = self.there.joinpath(*["x" * 60] * 5)
        deep.mkdir(parents=True)
        (deep / "package").symlink_to(PACKAGE)
        for output in (".\\a.wav", windows_path(self.there / "b.wav"), windows_path(deep / "c.wav")):
            self.generate(output)
        self.assertGreater(len(str(deep)), 260)
        sounds = [(folder / name).read_bytes() for folder, name in ((self.there, "a.wav"), (self.there, "b.wav"), (deep, "c.wav"))]
        self.assertEqual(len(set(sounds)), 1)
        self.run_here("inspect", windows_path(deep / "package"), "--verify")
        self.run_here("ask", windows_path(deep / "c.wav"), "What sound is this?", "--model", windows_path(deep / "package"))
        # a verbatim path of Windows, the form of Rust's canonical paths
        self.run_here("ask", "\\\\?\\" + windows_path(deep / "c.wav"), "What?", "--model", "\\\\?\\" + windows_path(deep / "package"))

    def test_paths_of_requests_and_of_the_configuration(self):
        self.generate("heard.wav")
        question = {"type": "text", "text": "What sound is this?"}
        paths = ["heard.wav", ".\\heard.wav", windows_path(self.there / "heard.wav"), "./heard.wav"]
        ask = [{"id": f"r{n}", "messages": [{"role": "user", "content": [{"type": "audio", "path": path}, question]}]} for n, path in enumerate(paths)]
        text = "".join(json.dumps(request) + "\r\n" for request in ask)
        (self.there / "asked.jsonl").write_bytes(b"\xef\xbb\xbf" + text.encode())
        (self.there / "ualm.toml").write_bytes(b"model = 'package'\r\nthreads = 1\r\n")
        self.run_here("batch", "asked.jsonl", "--out", "asked", "--config", "ualm.toml")
        results = [json.loads(line) for line in (self.there / "asked/results.jsonl").read_text(encoding="utf-8").splitlines()]
        self.assertEqual(len({result["segments"][0]["text"] for result in results}), 1, results)
        self.assertEqual(len(results), len(paths))

    def test_reserved_and_equivalent_names_of_windows(self):
        message = {"role": "user", "content": [{"type": "text", "text": "a dog barks"}]}
        ids = ["con", "NUL", "com1.x", "Dog", "dog", "a.", "a:b", "..\\x"]
        made = [{"id": one, "messages": [message], "force": ["audio"], "audio": {"max_steps": 12}} for one in ids]
        (self.there / "named.jsonl").write_text("".join(json.dumps(request) + "\n" for request in made), encoding="utf-8")
        self.run_here("batch", "named.jsonl", "--out", "named", "--model", "package")
        results = [json.loads(line) for line in (self.there / "named/results.jsonl").read_text(encoding="utf-8").splitlines()]
        sounds = [result["segments"][0]["audio"] for result in results]
        self.assertEqual(len({sound.lower() for sound in sounds}), len(ids))
        for sound in sounds:
            self.assertEqual((self.there / "named" / sound).read_bytes()[:4], b"RIFF", sound)
        self.assertIn("for a device", self.generate("con.wav", code=1))
        self.generate("NUL")
        self.assertFalse((self.there / "NUL").exists())


@SKIPPED
class Texts(Windows):
    def test_input_and_output_that_are_not_a_console(self):
        command = self.command("generate", "-", "--model", "package", "--max-steps", "12", "--seed", "1", "--quiet", "-o")
        sounds = []
        for text in ("rain", "\ufeffrain\r\n"):
            done = subprocess.run([*command, "-"], cwd=self.there, env=ENVIRONMENT, input=text.encode(), capture_output=True, check=False)
            self.assertEqual(done.returncode, 0, done.stderr.decode())
            sounds.append(done.stdout)
        self.assertEqual(sounds[0], sounds[1], "a mark and an end of a line are no words")
        self.assertEqual(sounds[0][:4], b"RIFF")
        chat = "\ufeff/seed\r\n/quit\r\n"
        self.assertIn("7", self.run_here("chat", "--model", "package", "--seed", "7", input=chat.encode()))

    def test_a_progress_line_is_not_written_into_a_file(self):
        output = self.generate("quiet.wav")
        self.assertNotIn("\x1b", output)


@SKIPPED
class Replacing(Windows):
    def test_a_file_that_is_open_elsewhere_is_refused_before_the_work(self):
        self.generate("held.wav")
        before = (self.there / "held.wav").read_bytes()
        with self.held("held.wav"):
            output = self.generate("held.wav", code=1)
            self.assertIn("another program has it open", output)
        self.assertEqual((self.there / "held.wav").read_bytes(), before)
        self.generate("held.wav")
        self.assertEqual(list(self.there.glob(".held*")), [])

    def held(self, name):
        """Runs another program that holds the file exclusively during the block."""
        command = self.command("hold", name, program=self.tool)
        return Held(subprocess.Popen(command, cwd=self.there, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE))


class Held:
    def __init__(self, process):
        self.process = process

    def __enter__(self):
        assert self.process.stdout.readline().strip() == b"held"

    def __exit__(self, *_):
        self.process.communicate(b"\n", timeout=60)


@SKIPPED
class OnnxRuntime(Windows):
    def test_only_the_dll_beside_the_program_is_loaded(self):
        elsewhere = self.folder / "elsewhere"
        elsewhere.mkdir(exist_ok=True)
        (elsewhere / "package").symlink_to(PACKAGE)
        shutil.copy2(self.tool, elsewhere / "onnxruntime.dll")  # a file in the current folder must not be loaded
        output = self.run_here("doctor", "--model", "package", cwd=elsewhere)
        self.assertIn(windows_path(self.there / "onnxruntime.dll"), output)

    def test_a_missing_old_or_foreign_dll_is_named(self):
        alone = self.folder / "alone"
        alone.mkdir(exist_ok=True)
        program = pathlib.Path(shutil.copy2(self.there / TARGET.program, alone))
        (alone / "package").symlink_to(PACKAGE)
        run = lambda *arguments: self.run_here(*arguments, "--model", "package", code=1, program=program, cwd=alone)  # noqa: E731
        system = TARGET.emulator.prefix / "drive_c/windows/system32/onnxruntime.dll"
        self.addCleanup(system.unlink, missing_ok=True)
        old = alone / "old.dll"
        compiler("-shared", "-DOLD", TOOL, "-o", old)
        shutil.copy2(old, system)
        output = run("generate", "rain", "-o", "a.wav")
        self.assertIn("was not found in", output)
        self.assertNotIn("system32", output.lower())
        output = run("generate", "rain", "-o", "a.wav", "--library", "old.dll")
        self.assertIn("version 1.17.1; expected 1.31 or later", output)
        other = alone / "other.dll"
        compiler("-shared", "-DOTHER", TOOL, "-o", other)
        self.assertIn("another library", run("generate", "rain", "-o", "a.wav", "--library", "other.dll"))
        # the library is beside the program, its dependency is missing
        needed = self.folder / "needed.dll"
        compiler("-shared", "-DOTHER", TOOL, "-o", needed)
        needing = self.folder / "needing"
        needing.mkdir(exist_ok=True)
        compiler("-shared", "-DNEEDING", TOOL, needed, "-o", needing / "onnxruntime.dll")
        needed.unlink()
        output = run("generate", "rain", "-o", "a.wav", "--library", windows_path(needing / "onnxruntime.dll"))
        self.assertIn("needs needed.dll", output)


@SKIPPED
class Console(Windows):
    """Ctrl-C, to which wine converts SIGINT; the program handles Ctrl-Break and the end of the console in the same way."""

    def interrupted(self, *arguments, until):
        """Runs the program and sends it Ctrl-C once `until(output)` is true; returns its exit code and output."""
        log = self.folder / "output"
        with log.open("w+b") as output:
            with subprocess.Popen(self.command(*arguments), cwd=self.there, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=output, stderr=output) as child:
                over = time.monotonic() + 300
                while not until(log.read_text(encoding="utf-8")) and child.poll() is None and time.monotonic() < over:
                    time.sleep(0.02)
                child.send_signal(signal.SIGINT)
                try:
                    code = child.wait(timeout=300)
                finally:
                    child.kill()
        return code, log.read_text(encoding="utf-8")

    def test_an_interrupted_batch_ends_with_a_complete_line_and_resumes(self):
        message = {"role": "user", "content": [{"type": "text", "text": "a dog barks"}]}
        made = [{"id": f"b{n}", "messages": [message], "force": ["audio"], "audio": {"max_steps": 30}} for n in range(40)]
        (self.there / "many.jsonl").write_text("".join(json.dumps(request) + "\r\n" for request in made), encoding="utf-8")
        results = self.there / "many/results.jsonl"
        code, output = self.interrupted("batch", "many.jsonl", "--out", "many", "--model", "package", until=lambda _: lines(results) > 2)
        self.assertEqual(code, 130, output)
        self.assertIn("run the same command again", output)
        written = results.read_bytes()
        self.assertTrue(written.endswith(b"\n") and 2 < lines(results) < 40)
        for line in written.splitlines():
            json.loads(line)
        self.assertEqual(list((self.there / "many").glob(".*.part")), [])
        self.run_here("batch", "many.jsonl", "--out", "many", "--model", "package")
        self.assertEqual(lines(results), 40)

    def test_an_interrupted_sound_is_complete_or_absent(self):
        long = ["--max-steps", "3000", "--min-steps", "3000", "-o", "cut.wav"]
        code, output = self.interrupted("generate", "rain", "--model", "package", *long, until=lambda output: "seed " in output)
        self.assertEqual(code, 130, output)
        self.assertEqual(list(self.there.glob(".cut*")), [])
        if (self.there / "cut.wav").exists():
            content = (self.there / "cut.wav").read_bytes()
            self.assertEqual((content[:4], int.from_bytes(content[4:8], "little")), (b"RIFF", len(content) - 8))

    def test_the_server_drains(self):
        code, output = self.interrupted("serve", "--listen", "127.0.0.1:0", "--model", "package", until=lambda output: "listening on" in output)
        self.assertEqual(code, 0, output)


@SKIPPED
class CLibrary(Windows):
    def functions(self):
        import install_c_library

        return set(install_c_library.exported_functions())

    def test_the_dll_exports_what_the_header_declares(self):
        output = subprocess.check_output([f"{TARGET.prefix}objdump", "-p", LIBRARY / "bin/ualm.dll"], text=True)
        exported = {line.split()[-1] for line in output.split("[Ordinal/Name Pointer] Table")[1].splitlines() if " ualm_" in line}
        self.assertEqual(exported, self.functions())

    def test_import_libraries_name_the_dll_and_every_function(self):
        for name in ("libualm.dll.a", "ualm.lib"):
            output = subprocess.run([f"{TARGET.prefix}nm", LIBRARY / "lib" / name], capture_output=True, text=True, check=False).stdout
            found = {line.split()[-1] for line in output.splitlines() if " T ualm_" in line}
            self.assertEqual(found, self.functions(), name)
            self.assertIn(b"ualm.dll\0", (LIBRARY / "lib" / name).read_bytes())

    def lay_out(self, folder):
        folder.mkdir()
        for path in [LIBRARY / "bin/ualm.dll", *self.there.glob("*.dll")]:
            shutil.copy2(path, folder)
        (folder / "package").symlink_to(PACKAGE)

    def test_cmake_with_mingw(self):
        missing = [program for program in ("cmake", "ninja") if not shutil.which(program)]
        if missing:
            self.skipTest(f"needs {' and '.join(missing)}")
        build = self.folder / "build"
        toolchain = self.folder / "mingw.cmake"
        toolchain.write_text(
            "set(CMAKE_SYSTEM_NAME Windows)\nset(CMAKE_SYSTEM_PROCESSOR AMD64)\n"
            f"set(CMAKE_C_COMPILER {TARGET.prefix}gcc)\nset(CMAKE_CXX_COMPILER {TARGET.prefix}g++)\nset(CMAKE_EXE_LINKER_FLAGS -static)\n"
        )
        for static in ("OFF", "ON"):
            shutil.rmtree(build, ignore_errors=True)
            configure = ["cmake", "-S", ROOT / "examples", "-B", build, "-G", "Ninja", f"-DCMAKE_TOOLCHAIN_FILE={toolchain}", f"-DUALM_STATIC={static}"]
            subprocess.run([*configure, f"-DCMAKE_PREFIX_PATH={LIBRARY}", f"-Dualm_DIR={LIBRARY}/lib/cmake/ualm"], check=True, stdout=subprocess.DEVNULL)
            subprocess.run(["cmake", "--build", build], check=True, stdout=subprocess.DEVNULL)
            there = self.folder / f"cmake {static}"
            self.lay_out(there)
            if static == "ON":
                (there / "ualm.dll").unlink()
            shutil.copy2(build / "generate.exe", there)
            self.run_here("package", "rain", "a.wav", "1", program=there / "generate.exe", cwd=there)
            self.assertEqual((there / "a.wav").read_bytes()[:4], b"RIFF")

    def test_microsoft_s_linker_takes_the_import_library(self):
        """Uses LLVM's linker in Microsoft's mode, with clang for Microsoft's system: neither needs the SDK here."""
        missing = [program for program in ("clang", "lld-link") if not shutil.which(program)]
        if missing:
            self.skipTest(f"needs {' and '.join(missing)}")
        there = self.folder / "msvc"
        self.lay_out(there)
        source = there / "version.c"
        source.write_text("#include <ualm.h>\nint start(void) { return ualm_abi_version() == UALM_ABI_VERSION ? 42 : 1; }\n")
        compiled = ["clang", "--target=x86_64-pc-windows-msvc", "-ffreestanding", "-I", LIBRARY / "include", "-c", source, "-o", there / "version.obj"]
        subprocess.run(compiled, check=True)
        linked = ["lld-link", "/entry:start", "/subsystem:console", "/nodefaultlib", f"/out:{there}/version.exe", there / "version.obj"]
        subprocess.run([*linked, LIBRARY / "lib/ualm.lib"], check=True)
        self.run_here(program=there / "version.exe", cwd=there, code=42)

    def test_onnx_runtime_is_found_beside_the_dll_and_not_beside_its_host(self):
        beside = self.folder / "beside"
        host = self.folder / "host"
        self.lay_out(beside)
        host.mkdir()
        compiler("-shared", "-DOLD", TOOL, "-o", host / "onnxruntime.dll")  # the host's own library, for its other parts
        shutil.copy2(self.tool, host)
        output = self.run_here("load", windows_path(beside / "ualm.dll"), windows_path(PACKAGE), program=host / "tool.exe", cwd=host)
        self.assertIn("loaded", output)


if __name__ == "__main__":
    unittest.main()
