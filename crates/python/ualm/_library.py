"""The C library, loaded once, and calls of it.

ctypes releases the GIL during every call. A call that runs while the interpreter ends would use a library and an interpreter that
are being torn down, so running calls are stopped and awaited at exit.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import os
import threading
import time
import weakref
from collections.abc import Iterator
from ctypes import byref, c_size_t, c_void_p
from typing import Any

from . import _abi, _install
from ._errors import BusyError, LibraryError, error_of


@functools.cache
def _functions() -> dict[str, Any]:
    """Returns the functions of the C library, which is loaded at the first call, after a check of its binary interface."""
    path = _install.c_library()
    try:
        library = ctypes.CDLL(str(path))
        version = library.ualm_abi_version
    except (OSError, AttributeError) as error:
        raise LibraryError(f"{path} cannot be loaded as ualm's C library: {error}. Install ualm's wheel again") from None
    version.restype = ctypes.c_uint32
    if version() != _abi.ABI_VERSION:
        raise LibraryError(
            f"{path} has version {version()} of the binary interface; expected {_abi.ABI_VERSION}: the library and the "
            "package `ualm` are of different releases. Install ualm's wheel again"
        )
    try:
        return {name: _declare(library, name, *types) for name, types in _abi.FUNCTIONS.items()}
    except AttributeError as error:
        raise LibraryError(f"{path} is older than this package: {error}. Install ualm's wheel again") from None


def _declare(library: ctypes.CDLL, name: str, result: Any, *arguments: Any) -> Any:
    """Declares a function once: threads share it, and changing its result type during a call would crash the process."""
    function = getattr(library, f"ualm_{name}")
    function.restype = result
    function.argtypes = arguments
    if result is _abi.Status:
        function.errcheck = _check
    return function


def _check(status: Any, function: Any, arguments: Any) -> None:
    """Raises the exception of a status, with the message of this thread's last failure."""
    if status.value:
        message = _functions()["last_error"]().decode(errors="replace")
        raise error_of(status.value, message)


class _Exit:
    """Stops and awaits the calls of other threads when the interpreter ends; the main thread makes none then."""

    def __init__(self) -> None:
        self.ends = False
        self._calls: set[object] = set()
        self._stoppable: weakref.WeakSet[Any] = weakref.WeakSet()
        self._lock = threading.Lock()

    def watch(self, stoppable: Any) -> None:
        """Registers an object with a method `stop`."""
        with self._lock:
            self._stoppable.add(stoppable)

    def call(self, function: Any, arguments: tuple[Any, ...]) -> Any:
        """Calls a function in a thread that is not the main one."""
        token = object()
        self._calls.add(token)
        try:
            if self.ends:
                raise BusyError("the interpreter is exiting: only the main thread can begin a call")
            return function(*arguments)
        finally:
            self._calls.discard(token)

    def wait(self) -> None:
        """Stops running calls, and returns when none is left."""
        self.ends = True
        with self._lock:
            stoppable_now = list(self._stoppable)
        for stoppable in stoppable_now:
            stoppable.stop()
        while self._calls:
            time.sleep(0.001)

    def after_fork(self) -> None:
        """Resets the state in a child process, which runs none of the parent's calls."""
        self._calls = set()
        self._stoppable = weakref.WeakSet()
        self._lock = threading.Lock()


_exit = _Exit()
atexit.register(_exit.wait)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_exit.after_fork)
_runtime_process: int | None = None
_runtime_runs = False


def ends() -> bool:
    """Returns whether the interpreter is exiting."""
    return _exit.ends


def watch(stoppable: Any) -> None:
    """Registers `stoppable`, whose `stop()` is called when the interpreter exits."""
    _exit.watch(stoppable)


def call(name: str, *arguments: Any) -> Any:
    """Calls the function ualm_`name`; raises the exception of a failed status."""
    function = _functions()[name]
    if threading.current_thread() is threading.main_thread():
        return function(*arguments)
    return _exit.call(function, arguments)


def free(kind: str, pointer: c_void_p) -> None:
    """Frees a handle."""
    _functions()[f"{kind}_free"](pointer)


@contextlib.contextmanager
def runtime_start() -> Iterator[None]:
    """Surrounds a call that starts ONNX Runtime, or uses the running one; its success is recorded for `runtime_runs`.

    Raises `BusyError` in a fork of a process that made such a call, even a failed one: threads do not survive fork(), and the call
    would wait for them forever.
    """
    global _runtime_process, _runtime_runs
    if _runtime_process not in (None, os.getpid()):
        raise BusyError(
            "ONNX Runtime was started in the process that this one was forked from, and its threads are not here: load models "
            'in the child alone, or start it by multiprocessing.get_context("spawn")'
        )
    _runtime_process = os.getpid()
    yield
    _runtime_runs = True


def runtime_runs() -> bool:
    """Returns whether ONNX Runtime was started in this process: one library serves all calls."""
    return _runtime_runs


def take_text(name: str, *arguments: Any) -> str:
    """Calls a function whose last argument is a `char **`, and returns the text."""
    text = c_void_p()
    call(name, *arguments, byref(text))
    return free_text(text)


def free_text(text: c_void_p) -> str:
    """Copies a text of the library, and frees it."""
    try:
        return ctypes.string_at(text.value or 0).decode(errors="replace")
    finally:
        _functions()["string_free"](text)


def matrix(name: str, pointer: c_void_p) -> tuple[int, int, int]:
    """Returns the address of a handle's numbers, and their rows and columns."""
    rows = c_size_t()
    columns = c_size_t()
    data = call(name, pointer, byref(rows), byref(columns))
    return ctypes.cast(data, c_void_p).value or 0, rows.value, columns.value


def version() -> str:
    """Returns the version of the C library, such as "0.1.0"."""
    return str(call("version").decode())


def text(words: str, name: str = "text") -> bytes:
    """Returns `words` for the C library, whose texts end at NUL: a text that contains NUL is refused, not cut."""
    if not isinstance(words, str):
        raise TypeError(f"{name} is a {type(words).__name__}; expected str")
    if "\0" in words:
        raise ValueError(f"{name} holds a NUL character (\\0), at {words.index(chr(0))}: take it out")
    return words.encode()


def path(file: str | os.PathLike[str], name: str = "path") -> bytes:
    """Returns a path for the C library: UTF-8 on Windows, any bytes elsewhere."""
    given = os.fspath(file)
    if os.name == "nt" and isinstance(given, str):
        named = given.encode()
    else:
        named = os.fsencode(given)
    if b"\0" in named:
        raise ValueError(f"{name} holds a NUL character (\\0): take it out")
    return named


def integer(value: int, bits: int, name: str) -> int:
    """Returns a number that fits an unsigned integer of `bits`: ctypes would truncate it silently."""
    value = value.__index__() if hasattr(value, "__index__") else value
    if not isinstance(value, int):
        raise TypeError(f"{name} is a {type(value).__name__}; expected an integer")
    if not 0 <= value < 1 << bits:
        raise ValueError(f"{name} is {value}; expected 0..={(1 << bits) - 1}")
    return value


SIZE_BITS = 8 * ctypes.sizeof(c_size_t)


def size(value: int, name: str) -> int:
    """Returns a number that fits a `size_t`."""
    return integer(value, SIZE_BITS, name)


def number_of(name: str | None, names: dict[int, str], what: str) -> int:
    """Returns the number of an enumerator by its name."""
    for number, known in names.items():
        if known == name:
            return number
    raise ValueError(f"{what} is {name!r}; expected one of {', '.join(names.values())}")


def name_of(number: int, names: dict[int, str]) -> str:
    """Returns the name of an enumerator; for one of a later library, its number."""
    return names.get(number, f"unknown {number}")

