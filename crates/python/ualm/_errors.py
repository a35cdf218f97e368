"""The exceptions: one for each status of the C library."""

from __future__ import annotations

from ._abi import STATUSES


class Error(Exception):
    """A call that failed. `str(error)` says what was expected, what was found, and what to do."""

    #: The name of the status, such as "invalid".
    status: str = "invalid"

    @property
    def code(self) -> int:
        """The number of the status in the C library (`ualm_status`), which never changes."""
        return next((code for code, name in STATUSES.items() if name == self.status), 0)


class InvalidError(Error, ValueError):
    """An invalid request, option or argument."""

    status = "invalid"


class FileError(Error):
    """A file that does not exist, cannot be read or cannot be written."""

    status = "io"


class AudioError(Error):
    """Sound that cannot be read: not audio, damaged, empty, or with samples that are not finite."""

    status = "audio"


class LimitError(Error):
    """A limit that was exceeded, such as seconds of input or positions of context."""

    status = "limit"


class PackageError(Error):
    """A model package that is damaged, incomplete or violates its contract."""

    status = "package"


class LibraryError(Error):
    """A library, ONNX Runtime's or the C library, that is missing, too old or cannot be loaded."""

    status = "library"


class ProviderError(Error):
    """A requested execution provider that is not available."""

    status = "provider"


class GraphError(Error):
    """A graph that failed while running."""

    status = "graph"


class NumericError(Error):
    """Invalid numbers, such as logits that are not finite."""

    status = "numeric"


class Cancelled(Error):
    """A call that was cancelled before it had made anything."""

    status = "cancelled"


class BusyError(Error):
    """A session, generation or chain that is in use by an open generation or by another thread."""

    status = "busy"


class PanicError(Error):
    """A bug in the library. The objects of the call may only be closed afterwards; please report it."""

    status = "panic"


_CLASSES: dict[str, type[Error]] = {
    kind.status: kind
    for kind in (
        InvalidError, FileError, AudioError, LimitError, PackageError, LibraryError, ProviderError, GraphError,
        NumericError, Cancelled, BusyError, PanicError,
    )
}  # fmt: skip


def error_of(status: int, message: str) -> Error:
    """Returns the exception of a failed call; of a status that this version does not know, an `Error` that names it."""
    name = STATUSES.get(status)
    if name is None:
        return Error(f"status {status}: {message}")
    return _CLASSES[name](message)
