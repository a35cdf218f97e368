"""The release archive, the Debian package and the container, each in a root with only a C library and a shell.

`make test-dist` runs them where Linux lets this process make namespaces. With UALM_TEST_DEBIAN=bookworm the packages are installed in Debian's
smallest system, too, which mmdebstrap fetches (`make test-debian`).
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/tools"), str(ROOT / "scripts")]

import empty_root  # noqa: E402
from debian import ARCHITECTURES  # noqa: E402
from targets import this_target  # noqa: E402

DIST = ROOT / "target/dist"
# The archive and packages for this machine: others may be newer.
ARCHIVE = f"ualm-*-{this_target().name}.tar.gz"
PACKAGE = f"packages/debian/ualm_*_{ARCHITECTURES.get(this_target().processor, '')}.deb"
TOOLS = ("sleep", "tar", "gzip", "mkdir", "cp")  # for the container's steps, and for waiting
CONTAINERFILE = (ROOT / "packaging/container/Containerfile").read_text(encoding="utf-8")
SUITE = os.environ.get("UALM_TEST_DEBIAN")
# Starts a server, waits until it is healthy, stops it as a container is stopped, and prints its exit code.
SERVE = """
$0 serve & server=$!
tries=0
until $CHECK 2>/dev/null; do
  tries=$((tries + 1))
  if [ $tries = 600 ]; then echo never healthy; exit 1; fi
  sleep 0.2
done
echo healthy
kill -TERM $server
wait $server
echo ended $?
$CHECK 2>/dev/null || echo gone
"""


def newest(pattern):
    """Returns the newest file in target/dist that matches a pattern."""
    found = sorted(DIST.glob(pattern), key=lambda path: path.stat().st_mtime)
    if not found:
        raise unittest.SkipTest(f"there is no {pattern} in target/dist")
    return found[-1]


@unittest.skipUnless(empty_root.can_run(), "this process cannot make namespaces")
class RootTest(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="ualm root ")
        self.addCleanup(temporary.cleanup)
        self.root = pathlib.Path(temporary.name).resolve() / "root"

    def works(self, *command, **options):
        """Runs a command that must succeed in the root, without a network; returns its output."""
        options = {"offline": True, "read_only": True} | options
        done = subprocess.run(empty_root.command_in(self.root, command, **options), capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, f"{command}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def serves(self, program, **options):
        environment = {"CHECK": f"{program} serve --check"} | options.pop("environment", {})
        self.assertEqual(self.works("sh", "-c", SERVE, program, environment=environment, **options), "healthy\nended 0\ngone\n")

    def makes_a_sound(self, program, **options):
        """Makes a sound in /tmp and names it; the root is read-only."""
        made = f'{program} --quiet generate "a dog barking" --seed 1 -o /tmp/dog.wav && {program} ask /tmp/dog.wav'
        self.assertIn("dog", self.works("sh", "-c", made, **options))

    def test_the_archive_works_in_an_empty_root(self):
        empty_root.make(self.root, programs=("sleep",))
        with tarfile.open(newest(ARCHIVE)) as packed:
            packed.extractall(self.root / "opt")
        (top,) = (self.root / "opt").iterdir()
        program = f"/opt/{top.name}/bin/ualm"
        self.makes_a_sound(program)
        self.works(program, "doctor")
        self.serves(program)

    @unittest.skipUnless(shutil.which("dpkg-deb"), "there is no dpkg-deb")
    def test_the_debian_package_is_complete(self):
        empty_root.make(self.root, programs=("sleep",))
        package = newest(PACKAGE)
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as packed:
            with tarfile.open(fileobj=packed.stdout, mode="r|") as tree:
                tree.extractall(self.root)
        self.makes_a_sound("/usr/bin/ualm")
        self.serves("/usr/bin/ualm")

    @unittest.skipUnless(SUITE, "UALM_TEST_DEBIAN names no suite")
    def test_the_debian_packages_install_and_are_removed(self):
        """Installs with dpkg, which checks the dependencies; then builds a C program with the packages."""
        packages = [newest(PACKAGE), newest(PACKAGE.replace("ualm", "libualm-dev"))]
        empty_root.make_debian(self.root, SUITE, ["libstdc++6", "gcc", "libc6-dev", "pkg-config", "man-db"])
        for package in packages:
            shutil.copy(package, self.root / "root")
        names = [f"/root/{package.name}" for package in packages]
        self.works("dpkg", "--install", *names, read_only=False)
        self.makes_a_sound("ualm")
        self.serves("ualm")
        self.assertIn("ualm", self.works("man", "--where", "ualm"))
        built = "gcc /usr/share/ualm/examples/c/generate.c $(pkg-config --cflags --libs ualm) -o /tmp/generate && /tmp/generate /usr/share/ualm/default 'rain' /tmp/rain.wav"
        self.works("sh", "-c", built)
        self.works("dpkg", "--purge", "libualm-dev", "ualm", read_only=False)
        left = [path for path in self.root.rglob("*ualm*") if path.name not in (package.name for package in packages)]
        self.assertEqual([path for path in left if "dpkg" not in path.parts], [])

    def test_the_containers_steps_start_a_server(self):
        """Builds no container: its first stage's command runs in a root with its tools, and the copied files are put into an empty root."""
        first = self.root.with_name("first")
        empty_root.make(first, programs=TOOLS)
        (first / "unpacked").mkdir()
        shutil.copy(newest(ARCHIVE), first / "unpacked/archive.tar.gz")
        step = re.search(r"^RUN ((?:.*\\\n)*.*)$", CONTAINERFILE, re.MULTILINE)[1].replace("\\\n", " ")
        subprocess.run(empty_root.command_in(first, ["sh", "-ec", f"cd /unpacked; {step}"], offline=True), check=True)
        empty_root.make(self.root, programs=("sleep",))
        shutil.copytree(first / "opt/ualm", self.root / "opt/ualm", symlinks=True)
        environment = dict(pair.split("=", 1) for pair in re.findall(r"(\b[A-Z_]+=\S+)", re.search(r"^ENV ((?:.*\\\n)*.*)$", CONTAINERFILE, re.MULTILINE)[1]))
        user = int(re.search(r"^USER (\d+):", CONTAINERFILE, re.MULTILINE)[1]) if os.geteuid() == 0 else None
        (entry,) = json.loads(re.search(r"^ENTRYPOINT (\[.*\])$", CONTAINERFILE, re.MULTILINE)[1])
        self.assertEqual(json.loads(re.search(r"^CMD (\[.*\])$", CONTAINERFILE, re.MULTILINE)[1]), ["serve"])
        check = json.loads(re.search(r"^HEALTHCHECK .* CMD (\[.*\])$", CONTAINERFILE, re.MULTILINE)[1])
        refused = empty_root.command_in(self.root, [entry, "serve"], offline=True, read_only=True, user=user, environment=environment)
        done = subprocess.run(refused, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 2, "without keys, others are not served")
        self.assertIn("--api-keys", done.stderr)
        environment |= {"UALM_WITHOUT_KEYS": "1", "CHECK": " ".join(check)}
        self.serves(entry, user=user, environment=environment)


if __name__ == "__main__":
    unittest.main()
