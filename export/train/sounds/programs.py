"""Programs of the operating system."""

from __future__ import annotations

import subprocess

from ..errors import TrainingError


def run(command: list[str]) -> bytes:
    """Runs a program and returns its standard output. The Debian package of the program has its name."""
    try:
        return subprocess.run(command, capture_output=True, check=True).stdout
    except FileNotFoundError as error:
        raise TrainingError(f"{command[0]} is not installed: apt install {command[0]}") from error
    except subprocess.CalledProcessError as error:
        raise TrainingError(f"{' '.join(command)}: {error.stderr.decode(errors='replace').strip()}") from error
