"""Several takes of one prompt."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from . import _abi, _audio, _handle, _library
from ._audio import Audio
from ._errors import Cancelled
from ._events import Ranked, Segment, TakeEvent, Usage, segment_of, take_event_of, take_ranking, usage_of
from ._record import Record


@dataclass(frozen=True, eq=False)
class Take:
    """A take: a reply with its own seed."""

    segments: tuple[Segment, ...]
    #: The last sound, ready to play: enhanced if the package has an enhancer. None when there is none.
    audio: Audio | None
    #: Record of the take, with which it can be reproduced or continued.
    record: Record


@dataclass(frozen=True, eq=False)
class Takes:
    """Takes of one prompt, without those that had not begun when they were stopped."""

    takes: tuple[Take, ...]
    #: The ranking, the best first; empty if the takes were not ranked.
    ranking: tuple[Ranked, ...]
    #: Cost of all takes; the shared prompt counts once.
    usage: Usage

    @property
    def best(self) -> Take:
        """The best take; the first one if they were not ranked. Raises `Cancelled` if none was begun."""
        if not self.takes:
            raise Cancelled("cancelled before any take was begun")
        return self.takes[self.ranking[0].take if self.ranking else 0]


def make(run: Callable[[Any], _handle.Handle], on_event: Callable[[TakeEvent], object] | None) -> _handle.Handle:
    """Makes takes with `run(callback)` in a separate thread; `on_event` gets their events in the calling thread.

    ctypes loses an exception in a callback, and Ctrl-C may raise one anywhere in it. Here an exception of `on_event` or Ctrl-C stops
    the takes, and is raised after they have ended.
    """
    outcomes: SimpleQueue[TakeEvent | _handle.Handle | BaseException] = SimpleQueue()
    is_stopped = threading.Event()

    def forward(event: Any, _: Any) -> int:
        copied: Any = take_event_of(event.contents)
        if copied is not None:
            outcomes.put(copied)
        return int(is_stopped.is_set() or _library.ends())

    callback = _abi.TakeCallback(forward)

    def work() -> None:
        try:
            outcomes.put(run(callback))
        except BaseException as error:
            outcomes.put(error)

    worker = threading.Thread(target=work, name="ualm takes", daemon=True)
    worker.start()
    try:
        while True:
            event = outcomes.get()
            if isinstance(event, _handle.Handle):
                return event
            if isinstance(event, BaseException):
                raise event
            if on_event is not None:
                on_event(event)
    finally:
        is_stopped.set()
        worker.join()


def takes_of(handle: _handle.Handle) -> Takes:
    """Copies takes, and frees their handle."""
    with handle as pointer:
        count = _library.call("takes_count", pointer)
        takes = tuple(_take_of(pointer, at) for at in range(count))
        ranking = take_ranking(_handle.make("ranking", "takes_ranking", pointer))
        usage = usage_of(_library.call("takes_usage", pointer).contents)
    handle.close()
    return Takes(takes, ranking, usage)


def _take_of(pointer: Any, at: int) -> Take:
    segments: list[Segment] = []
    while segment := segment_of(_library.call("takes_segment", pointer, at, len(segments))):
        segments.append(segment)
    record = Record(_handle.make("record", "takes_record", pointer, at))
    audio = _audio.copy(_library.call("takes_audio", pointer, at), record)
    return Take(tuple(segments), audio, record)
