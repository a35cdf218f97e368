"""The files that `scripts/packages.py` writes from stand-in archives."""
import hashlib
import io
import json
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from install_c_library import abi_version, fill, find  # noqa: E402

VERSION = find(r'^version = "(.+)"', "Cargo.toml")
RELEASE = f"https://example.org/me/ualm/releases/download/v{VERSION}"
BUILT = b"\x7fELF\0GLIBC_2.9\0GLIBC_2.34\0GLIBCXX_3.4.21\0GLIBCXX_3.4.22\0"


def archive_for_linux(path):
    """Makes an archive in the layout of scripts/dist.py."""
    with tempfile.TemporaryDirectory() as folder:
        top = pathlib.Path(folder)
        values = {"VERSION": VERSION, "SHARED": f"lib/libualm.so.{abi_version()}", "STATIC": "lib/libualm.a", "IMPORT": "", "SONAME": "s", "STATIC_LIBS": "-lm",
                  "STATIC_LIBS_LIST": "-lm"}  # fmt: skip
        fill("ualm.pc.in", top / "lib/pkgconfig/ualm.pc", values)
        for name in ("ualm-config", "ualm-config-version"):
            fill(f"{name}.cmake.in", top / f"lib/cmake/ualm/{name}.cmake", values)
        notices = ("LICENSE-MIT", "LICENSE-APACHE", "CHANGELOG.md")
        for name, content in {
            "bin/ualm": BUILT, "lib/libonnxruntime.so.1": BUILT, f"lib/libualm.so.{abi_version()}": BUILT, "lib/libualm.a": b"!",
            "include/ualm.h": b"", "share/ualm/default/manifest.json": b"{}", "share/man/man1/ualm.1": b".TH",
            "share/zsh/site-functions/_ualm": b"#compdef", **{f"share/doc/ualm/{name}": (ROOT / name).read_bytes() for name in notices},
        }.items():  # fmt: skip
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_bytes(content)
        with tarfile.open(path, "w:gz") as packed:
            packed.add(top, path.name.removesuffix(".tar.gz"))


class PackagesTest(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name).resolve()
        self.archives = self.folder / "archives"
        self.archives.mkdir()

    def archive(self, system, version=VERSION):
        path = self.archives / f"ualm-{version}-{system}{'.zip' if 'windows' in system else '.tar.gz'}"
        if "linux" in system:
            archive_for_linux(path)
        elif "windows" in system:
            with zipfile.ZipFile(path, "w") as packed:
                packed.writestr(f"{path.stem}/bin/ualm.exe", system)
        else:
            path.write_bytes(system.encode())
        return path

    def packages(self, *flags, out="out"):
        command = [sys.executable, ROOT / "scripts/packages.py", "--archives", self.archives, "--out", self.folder / out, *flags]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin"} if sys.platform != "win32" else None)
        self.assertEqual(done.returncode, 0, done.stderr)
        return self.folder / out, done.stderr

    def test_every_archive_is_listed_with_its_checksum(self):
        archives = [self.archive(system) for system in ("macos-aarch64", "windows-x86_64", "windows-aarch64", "linux-x86_64")]
        self.archive("macos-aarch64", "0.0.1")
        out, _ = self.packages("--release", RELEASE + "/")
        formula = (out / "homebrew/ualm.rb").read_text()
        manifest = json.loads((out / "scoop/ualm.json").read_text())
        installer = next(out.rglob("*.installer.yaml")).read_text()
        self.assertEqual(len(list((out / "winget").rglob(f"{VERSION}/*.yaml"))), 3)
        for path in archives:
            sum_ = hashlib.sha256(path.read_bytes()).hexdigest()
            address = f"{RELEASE}/{path.name}"
            if path.suffix == ".zip":
                self.assertIn({"url": address, "hash": sum_, "extract_dir": path.stem}, manifest["architecture"].values())
                self.assertIn(f"InstallerUrl: {address}\n  InstallerSha256: {sum_.upper()}\n", installer)
                self.assertIn(f"RelativeFilePath: {path.stem}\\bin\\ualm.exe\n", installer)
            else:
                self.assertIn(f'      url "{address}"\n      sha256 "{sum_}"\n', formula)
        for path in out.rglob("*"):
            if path.suffix in (".rb", ".json", ".yaml"):
                self.assertNotRegex(path.read_text(), r"@[A-Z]+@|0\.0\.1")
        self.assertIn("https://example.org/me/ualm\n", next(out.rglob("*.locale.en-US.yaml")).read_text())
        if shutil.which("ruby"):
            subprocess.run(["ruby", "-wc", out / "homebrew/ualm.rb"], capture_output=True, check=True)

    def test_without_an_address_archives_have_file_addresses(self):
        windows = self.archive("windows-x86_64")
        macos = self.archive("macos-aarch64")
        out, said = self.packages()
        self.assertIn(f'url "{macos.as_uri()}"', (out / "homebrew/ualm.rb").read_text())
        self.assertIn(windows.as_uri(), (out / "scoop/ualm.json").read_text())
        self.assertFalse((out / "winget").exists())
        self.assertIn("RELEASE=https://", said)

    def test_no_archive_is_an_error(self):
        self.archive("macos-aarch64", "0.0.1")
        command = [sys.executable, ROOT / "scripts/packages.py", "--archives", self.archives, "--out", self.folder / "out"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("make dist", done.stderr)

    @unittest.skipUnless(shutil.which("dpkg-deb"), "there is no dpkg-deb")
    def test_the_debian_packages_hold_the_archive_and_are_the_same_each_time(self):
        self.archive("linux-x86_64")
        self.archive("linux-aarch64")
        first, second = (self.packages(out=name)[0] / "debian" for name in ("first", "second"))
        names = sorted(path.name for path in first.iterdir())
        self.assertEqual(names, [f"{name}_{VERSION}_{arch}.deb" for name in ("libualm-dev", "ualm") for arch in ("amd64", "arm64")])
        for name in names:
            self.assertEqual((first / name).read_bytes(), (second / name).read_bytes(), name)
        fields = subprocess.check_output(["dpkg-deb", "--field", first / f"ualm_{VERSION}_arm64.deb"], text=True)
        self.assertIn("Architecture: arm64\n", fields)
        self.assertIn("Depends: libc6 (>= 2.34), libgcc-s1 (>= 4.2), libstdc++6 (>= 6)\n", fields)
        tree = self.tree(first / f"ualm_{VERSION}_amd64.deb")
        self.assertEqual(tree["./usr/bin/ualm"].linkname, "../lib/ualm/bin/ualm")
        self.assertEqual(tree["./usr/lib/ualm/share"].linkname, "../../share")
        self.assertEqual(tree["./usr/lib/ualm/bin/ualm"].mode, 0o755)
        self.assertLessEqual({"./usr/share/ualm/default/manifest.json", "./usr/share/man/man1/ualm.1.gz", "./usr/share/zsh/vendor-completions/_ualm"}, set(tree))
        self.assertEqual({(entry.uid, entry.gid, entry.uname) for entry in tree.values()}, {(0, 0, "root")})
        self.assertEqual({entry.mode for entry in tree.values() if entry.isdir()}, {0o755})
        library = self.tree(first / f"libualm-dev_{VERSION}_amd64.deb")
        self.assertIn("./usr/lib/x86_64-linux-gnu/pkgconfig/ualm.pc", library)
        self.assertIn("./usr/include/ualm.h", library)

    @staticmethod
    def tree(package):
        packed = subprocess.check_output(["dpkg-deb", "--fsys-tarfile", package])
        with tarfile.open(fileobj=io.BytesIO(packed)) as tree:
            return {entry.name: entry for entry in tree}


if __name__ == "__main__":
    unittest.main()
