"""The command `ualm-export`: the exporter, which needs the packages of the extra `ualm[export]`."""

from __future__ import annotations

import sys


def main() -> int:
    """Runs the exporter."""
    try:
        from ualm_export.__main__ import main as export  # type: ignore[import-not-found]
    except ModuleNotFoundError as error:
        print(f"error: the exporter needs {error.name}: pip install 'ualm[export]'", file=sys.stderr)
        return 1
    return int(export())
