"""A reply while it is generated, event by event."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import _abi
from ._audio import Audio
from ._events import Event, Finished, Segment, SegmentEnded, Usage, event_of
from ._stream import Stream


@dataclass(frozen=True, eq=False)
class Reply:
    """A finished reply."""

    #: Segments in order; empty if the reply was stopped before the first one.
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
        """True if the reply was stopped before its end."""
        return not self.segments or self.segments[-1].end == "cancelled"


class Generation(Stream[Event]):
    """A reply that is being generated: an iterator over its events, which ends after `Finished`.

    The session is busy until then, or until the generation is closed (by `with`, or when nothing refers to it any more); a reply that
    was not finished counts as cancelled. One thread at a time takes events; `stop` may be called by any.
    """

    _kind = "generation"
    _struct = _abi.Event

    def _copy(self, event: _abi.Event) -> Event | None:
        return event_of(event)

    def reply(self, on_event: Callable[[Event], object] | None = None) -> Reply:
        """Runs to the end, and returns the reply; segments that ended before are not in it. Closes the generation.

        `on_event` is called with every event. What it raises ends the reply, and is raised here.
        """
        segments = []
        usage = Usage(0, 0, 0.0, 0.0)
        with self:
            for event in self:
                if isinstance(event, SegmentEnded):
                    segments.append(event.segment)
                elif isinstance(event, Finished):
                    usage = event.usage
                if on_event is not None:
                    on_event(event)
        return Reply(tuple(segments), usage)
