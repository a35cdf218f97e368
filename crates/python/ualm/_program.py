"""The command `ualm`: the program of the wheel, with ONNX Runtime's library from its own wheel."""

from __future__ import annotations

import os
import subprocess
import sys

from . import _install


def main() -> int:
    """Replaces this process by the program; on Windows, which cannot do that, runs it as a child."""
    program = _install.program()
    if not program.is_file():
        print(f"error: {program} is missing: this is not an installed wheel of ualm", file=sys.stderr)
        return 1
    command = [str(program), *sys.argv[1:]]
    library = _install.onnx_runtime()
    environment = os.environ | ({"ORT_DYLIB_PATH": str(library)} if library else {})
    if os.name != "nt":
        sys.stdout.flush()
        os.execve(program, command, environment)
    return _run(command, environment)


def _run(command: list[str], environment: dict[str, str]) -> int:
    """Runs the program as a child, which also gets the console's Ctrl-C and Ctrl-Break; waits for its end."""
    with subprocess.Popen(command, env=environment) as child:
        while True:
            try:
                return child.wait()
            except KeyboardInterrupt:
                continue
