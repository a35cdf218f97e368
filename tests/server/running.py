"""A server with the default package, for the duration of a test."""
import os
import pathlib
import re
import signal
import subprocess
import threading

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PROGRAM = pathlib.Path(os.environ.get("UALM", ROOT / "target" / "debug" / "ualm"))


class Server:
    """`ualm serve` on a free port; `lines` has its standard error."""

    def __init__(self, *flags, package=ROOT / "onnx" / "default"):
        command = [self.program(), "serve", "--listen", "127.0.0.1:0", "--model", package, *flags]
        self.process = subprocess.Popen([str(part) for part in command], stderr=subprocess.PIPE, text=True)
        self.lines = []
        for line in self.process.stderr:
            self.lines.append(line)
            if found := re.match(r"listening on (http://\S+)", line):
                self.address = found[1]
                break
        else:
            raise RuntimeError("the server did not begin: " + "".join(self.lines))
        threading.Thread(target=lambda: self.lines.extend(self.process.stderr), daemon=True).start()

    @staticmethod
    def program():
        return PROGRAM

    def terminate(self, wait=60):
        """Sends SIGTERM and returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(wait)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stderr.close()
