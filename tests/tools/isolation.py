"""Commands that run without this machine's environment and network."""

import os
import shutil
import subprocess

# Variables that every program needs: Windows starts none without SYSTEMROOT.
EMPTY = {"SYSTEMROOT": os.environ["SYSTEMROOT"]} if os.name == "nt" else {}


def offline():
    """Returns the words before a command that disable its network; none if that would need a password."""
    alone = ["unshare", "--map-root-user", "--net"]
    can = shutil.which("unshare") and subprocess.run([*alone, "true"], capture_output=True, check=False).returncode == 0
    return [shutil.which("unshare"), *alone[1:]] if can else []
