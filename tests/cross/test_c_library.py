"""The C library for another system: an example is compiled with the cross compiler, linked to either library, and run in the emulator."""
import re
import shutil
import subprocess
import unittest

from emulated import BUILT, ROOT, TARGET, Emulated

LIBRARY = BUILT / "c"


class CLibrary(Emulated):
    def test_the_example_makes_a_sound_with_either_library(self):
        for shared in [*LIBRARY.glob("bin/*.dll"), *LIBRARY.glob("lib/libualm.so*")]:
            shutil.copy(shared, self.there)
        private = re.search("^Libs.private: (.*)$", (LIBRARY / "lib/pkgconfig/ualm.pc").read_text(), re.MULTILINE)[1].split()
        beside = [] if TARGET.is_windows else ["-Wl,-rpath,$ORIGIN"]
        made = {}
        for name, link in (("shared", ["-L", LIBRARY / "lib", "-lualm", *beside]), ("static", [LIBRARY / "lib/libualm.a", *private])):
            program = self.there / f"{name} ü{'.exe' if TARGET.is_windows else ''}"
            compiled = [f"{TARGET.prefix}gcc", "-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", "-I", LIBRARY / "include"]
            subprocess.run([*compiled, ROOT / "examples/c/generate.c", "-o", program, *link], check=True)
            self.run_there("package", "a dog barking", f"{name}.wav", "1", program=program)
            made[name] = (self.there / f"{name}.wav").read_bytes()
        self.assertEqual(made["shared"][:4], b"RIFF")
        self.assertEqual(made["shared"], made["static"])


if __name__ == "__main__":
    unittest.main()
