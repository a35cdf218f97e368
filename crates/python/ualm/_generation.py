"""A reply while it is generated, event by event."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from ctypes import POINTER, byref
from dataclasses import dataclass

from . import _abi, _handle, _library
from ._audio import Audio
from ._errors import BusyError, InvalidError
from ._events import Event, Finished, Segment, SegmentEnded, Usage, event_of


@dataclass(frozen=True, eq=False)
class Reply:
    """A finished reply."""

    #: Its segments in order; none when it was stopped before the first one.
    segments: tuple[Segment, ...]
    usage: Usage

    @property
    def text(self) -> str:
        """The text of all text segments, concatenated."""
        return "".join(segment.text for segment in self.segments if segment.modality == "text")

    @property
    def audio(self) -> Audio | None:
        """The sound of the last sound segment; None when there is none."""
        return next((segment.audio for segment in reversed(self.segments) if segment.audio is not None), None)

    @property
    def cancelled(self) -> bool:
        """Whether it was stopped before its end."""
        return not self.segments or self.segments[-1].end == "cancelled"


class Generation(_handle.Owner, Iterator[Event]):
    """A reply that is being generated: an iterator over its events, which ends after `Finished`.

    The session is busy until then, or until the generation is closed (by `with`, or when nothing refers to it any more); a reply that
    was not finished counts as cancelled. One thread at a time takes events; `stop` may be called by any.
    """

    def __init__(self, handle: _handle.Handle) -> None:
        super().__init__(handle)
        self._puller = threading.Lock()
        _library.watch(self)

    def __iter__(self) -> Generation:
        return self

    def __next__(self) -> Event:
        if not self._puller.acquire(blocking=False):
            raise BusyError("another thread takes an event of this generation")
        try:
            # the event lives until the next one is taken or the generation is freed: it is copied before
            with self._handle as pointer:
                event = POINTER(_abi.Event)()
                while True:
                    _library.call("generation_next", pointer, byref(event))
                    if not event:
                        raise StopIteration
                    copied = event_of(event.contents)
                    if copied is not None:
                        return copied
        finally:
            self._puller.release()

    def stop(self) -> None:
        """Stops the reply after its current step; the events that remain, the end of its segment among them, still come."""
        if not self.closed:
            with contextlib.suppress(InvalidError), self._handle as pointer:  # another thread may close it meanwhile
                _library.call("generation_stop", pointer)

    def reply(self, on_event: Callable[[Event], object] | None = None) -> Reply:
        """Runs to the end, and returns the reply; segments that ended before are not in it. Closes the generation.

        `on_event` is called with every event. What it raises ends the reply, and is raised here.
        """
        segments, usage = [], Usage(0, 0, 0.0, 0.0)
        with self:
            for event in self:
                if isinstance(event, SegmentEnded):
                    segments.append(event.segment)
                elif isinstance(event, Finished):
                    usage = event.usage
                if on_event is not None:
                    on_event(event)
        return Reply(tuple(segments), usage)
