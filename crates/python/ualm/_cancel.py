"""Cancellation."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from ctypes import c_void_p

from . import _handle, _library


class Cancel(_handle.Owner):
    """A cancellation token: stops every call that it was passed to, from any thread. It cannot be reset."""

    def __init__(self) -> None:
        super().__init__(_handle.make("cancel", "cancel_new"))

    def cancel(self) -> None:
        """Stops the calls that have the token after their current step; they keep what they have made."""
        with self._handle as pointer:
            _library.call("cancel_throw", pointer)

    stop = cancel

    @property
    def cancelled(self) -> bool:
        """True once the token is cancelled."""
        with self._handle as pointer:
            return bool(_library.call("cancel_is_thrown", pointer))


def borrow(cancel: Cancel | None) -> AbstractContextManager[c_void_p | None]:
    """Borrows a token for a call; None is none."""
    return nullcontext() if cancel is None else Cancel.borrow(cancel)
