"""Events that arrive while the library works."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from ctypes import POINTER, byref
from typing import Any, ClassVar, Self, TypeVar

from . import _handle, _library
from ._errors import BusyError, InvalidError

_Event = TypeVar("_Event")


class Stream(_handle.Owner, Iterator[_Event]):
    """An iterator over events. One thread at a time takes them; `stop` may be called by any."""

    #: Prefix of the functions' names, and the struct of the events.
    _kind: ClassVar[str]
    _struct: ClassVar[Any]

    def __init__(self, handle: _handle.Handle) -> None:
        super().__init__(handle)
        self._puller = threading.Lock()
        _library.watch(self)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> _Event:
        if not self._puller.acquire(blocking=False):
            raise BusyError(f"another thread takes an event of this {self._kind}")
        try:
            # the event is valid until the next one is taken or the handle is freed, so it is copied
            with self._handle as pointer:
                event = POINTER(self._struct)()
                while True:
                    _library.call(f"{self._kind}_next", pointer, byref(event))
                    if not event:
                        raise StopIteration
                    copied = self._copy(event.contents)
                    if copied is not None:
                        return copied
        finally:
            self._puller.release()

    def _copy(self, event: Any) -> _Event | None:
        """Copies an event; None for a kind that this version does not know."""
        raise NotImplementedError

    def stop(self) -> None:
        """Stops after the current step; the remaining events, including the segment's end, still follow."""
        if not self.closed:
            with contextlib.suppress(InvalidError), self._handle as pointer:  # another thread may close it meanwhile
                _library.call(f"{self._kind}_stop", pointer)
