"""Handles of the C library: owned, borrowed by calls, and freed once."""

from __future__ import annotations

import os
import threading
from ctypes import byref, c_void_p
from types import TracebackType
from typing import Any, TypeVar

from . import _library
from ._errors import BusyError, InvalidError

_Self = TypeVar("_Self", bound="Owner")


class Handle:
    """A handle of the C library. `with handle as pointer` borrows it: it is freed after it is closed and no call uses it."""

    def __init__(self, kind: str, pointer: c_void_p) -> None:
        self._kind = kind
        self._pointer = pointer
        self._users = 0
        self._is_open = True
        self._lock = threading.Lock()
        self._process = os.getpid()

    def __enter__(self) -> c_void_p:
        if self._process != os.getpid():
            raise BusyError(
                f"this {self._kind} belongs to the process that this one was forked from, without whose threads it does not work. Make it in the child"
            )
        with self._lock:
            if not self._is_open:
                raise InvalidError(f"this {self._kind} is closed")
            self._users += 1
        return self._pointer

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            pointer = self._release() if not self._is_open else None
        if pointer:
            _library.free(self._kind, pointer)

    @property
    def is_open(self) -> bool:
        """True until it is closed."""
        return self._is_open

    def close(self) -> None:
        """Frees the handle as soon as no call uses it; further calls do nothing."""
        if self._process != os.getpid():
            return  # freeing would wait for threads that this process does not have
        with self._lock:
            self._is_open = False
            pointer = self._release()
        if pointer:
            _library.free(self._kind, pointer)

    def _release(self) -> c_void_p | None:
        """Returns the pointer, for freeing, if no call uses it."""
        if self._users:
            return None
        pointer = self._pointer
        self._pointer = c_void_p()
        return pointer

    def __del__(self) -> None:
        if hasattr(self, "_process"):
            self._users = 0  # no call can use it; Ctrl-C may have come between a use and its end
            self.close()


def make(kind: str, name: str, *arguments: Any) -> Handle:
    """Returns the handle that the function ualm_`name` makes in its last argument."""
    pointer = c_void_p()
    try:
        _library.call(name, *arguments, byref(pointer))
    except BaseException:  # Ctrl-C may have come after the call
        if pointer:
            _library.free(kind, pointer)
        raise
    return Handle(kind, pointer)


class Owner:
    """An object with a handle: a context manager that closes the handle at the end. A closed object raises `InvalidError`."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    def close(self) -> None:
        """Frees the handle, at once or after the calls of other threads that use it."""
        self._handle.close()

    @property
    def closed(self) -> bool:
        """True after the object was closed."""
        return not self._handle.is_open

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @classmethod
    def borrow(cls, owner: object) -> Handle:
        """Returns the handle of an argument, after a check that it is one of this class."""
        if not isinstance(owner, cls):
            raise TypeError(f"an argument is a {type(owner).__name__}; expected ualm.{cls.__name__}")
        return owner._handle

    def __reduce__(self) -> Any:
        raise TypeError(f"a {type(self).__name__} belongs to its process: it cannot be copied or pickled")
