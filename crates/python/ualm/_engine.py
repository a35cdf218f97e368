"""Many conversations at once on one model."""

from __future__ import annotations

from ctypes import byref, sizeof
from dataclasses import dataclass, fields
from typing import cast

from . import _abi, _handle, _library, _options
from ._options import Options
from ._session import Session


@dataclass(frozen=True)
class EngineStats:
    """A snapshot of an engine's load."""

    #: Slots in total.
    slots: int
    #: Free slots.
    free_slots: int
    #: Sessions.
    sessions: int
    #: Prompts that are running or queued.
    waiting_prompts: int
    #: Sessions in the last step.
    batch_sessions: int
    #: Sequences in the last step.
    batch_rows: int
    #: Steps since the engine started.
    steps: int
    #: Sum of the sequences of all steps.
    row_steps: int
    #: Positions of prompts since the engine started.
    prompt_positions: int


class Engine(_handle.Owner):
    """Many concurrent conversations on one model, whose steps run together, which costs far less than one after another.

    A reply is the same as without an engine. Each session is used by a thread of its own; the engine by any. `Model.engine` starts one.
    """

    def session(self, options: Options | None = None) -> Session:
        """Begins a conversation, which takes two slots if replies with `options` may be guided, else one.

        Raises `LimitError` when too few slots are free.
        """
        made = _options.generation(options)
        with self._handle as pointer:
            return Session(_handle.make("session", "engine_session_new", pointer, None if made is None else byref(made)))

    @property
    def context(self) -> int:
        """The number of positions that a conversation may hold."""
        with self._handle as pointer:
            return cast(int, _library.call("engine_context", pointer))

    @property
    def stats(self) -> EngineStats:
        """The current load."""
        made = _abi.EngineStats()
        with self._handle as pointer:
            _library.call("engine_read_stats", pointer, byref(made), sizeof(made))
        return EngineStats(**{field.name: getattr(made, field.name) for field in fields(EngineStats)})
