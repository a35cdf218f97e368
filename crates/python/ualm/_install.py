"""Install locations: the files of this package, and ONNX Runtime's library in the package `onnxruntime`.

The wheel's layout is that of a release archive: bin/ (the program; on Windows also the C library), lib/ (the C library),
share/ualm/default (the default package), which the program finds by itself.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from pathlib import Path

from ._abi import ABI_VERSION

PREFIX = Path(__file__).resolve().parent
_ONNX_RUNTIME = re.compile(r"libonnxruntime\.so(\.[0-9.]+)?|libonnxruntime\.[0-9.]+\.dylib|onnxruntime\.dll")


def program() -> Path:
    """Returns the program `ualm`."""
    return PREFIX / "bin" / ("ualm.exe" if os.name == "nt" else "ualm")


def default_package() -> Path:
    """Returns the folder of the default package."""
    return PREFIX / "share/ualm/default"


def c_library() -> Path:
    """Returns the C library: the file that the environment variable UALM_C_LIBRARY names, else the wheel's."""
    named = os.environ.get("UALM_C_LIBRARY")
    if named:
        return Path(named)
    if os.name == "nt":
        return PREFIX / "bin/ualm.dll"
    return PREFIX / "lib" / (f"libualm.{ABI_VERSION}.dylib" if sys.platform == "darwin" else f"libualm.so.{ABI_VERSION}")


def onnx_runtime() -> Path | None:
    """Returns ONNX Runtime's library in the package `onnxruntime` (or its variants with the same module name, such as onnxruntime-gpu).

    Returns None if ORT_DYLIB_PATH names another library, and if the package is missing. The package is not imported: that would load a
    second copy of the library, the one within its extension module.
    """
    if os.environ.get("ORT_DYLIB_PATH"):
        return None
    try:
        found = importlib.util.find_spec("onnxruntime")
    except ValueError:  # a module without a specification, as some tests insert
        return None
    for folder in (found and found.submodule_search_locations) or ():
        capi = Path(folder, "capi")
        files = sorted(capi.iterdir()) if capi.is_dir() else []
        for file in files:
            if _ONNX_RUNTIME.fullmatch(file.name):
                return file
    return None
