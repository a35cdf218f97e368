"""Turns checkpoints of unified audio language models into model packages for the `ualm` runtime."""

import os

# before ONNX Runtime is imported, which starts its telemetry
for _name in ("ORT_DISABLE_TELEMETRY", "ORT_TELEMETRY_DISABLED"):
    os.environ[_name] = "1"

__version__ = "0.1.0"
