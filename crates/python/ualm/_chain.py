"""Chains of reasoning: plan, draft, critique, final."""

from __future__ import annotations

import json
from collections.abc import Mapping
from ctypes import byref, sizeof
from dataclasses import dataclass
from typing import Literal, cast

from . import _abi, _audio, _handle, _library
from ._audio import Audio
from ._events import ChainEvent, Ranked, Segment, Stage, segment_of, take_event_of, take_ranking
from ._record import Record
from ._stream import Stream

ReasoningMode = Literal["usual", "enrich", "dialogue", "reflect"]


@dataclass
class ChainOptions:
    """Settings of a chain (docs/chains.md)."""

    #: Seed of every segment; take n (from 0) of the final sound has the seed plus n. None takes the record's when resuming, else 0.
    seed: int | None = None
    #: Rounds of reflection, 1..=32; 0 takes those of the resumed chain, or 1.
    rounds: int = 0
    #: Takes of the final sound.
    takes: int = 1
    #: "enrich" (a plan), "dialogue" (a question before it), "reflect" (critiques of drafts); "usual" takes the package's.
    mode: ReasoningMode = "usual"
    #: Reflection through the audio encoder: True hears the drafts, False reads their codes; None takes the package's setting.
    listen: bool | None = None
    #: Ranking of the takes of the final sound: True ends the chain with the best one, False with the first.
    best: bool = False
    #: Low latency: sound comes in short chunks first, at some cost in speed.
    stream_audio: bool = False
    #: The wording of a chain by prompt: texts by the names of their stages; None takes the package's.
    wording: Mapping[str, str] | None = None


def options_of(options: ChainOptions | None) -> _abi.ChainOptions:
    """Returns the C struct."""
    options = ChainOptions() if options is None else options
    made = _abi.ChainOptions()
    _library.call("chain_options_init", byref(made), sizeof(made))
    made.seed = _library.integer(options.seed or 0, 64, "seed")
    made.reseed = int(options.seed is not None)
    made.rounds = _library.size(options.rounds, "rounds")
    made.takes = _library.size(options.takes, "takes")
    made.mode = _library.number_of(options.mode, _abi.REASONING_MODES, "mode")
    made.listen = -1 if options.listen is None else int(options.listen)
    made.best = int(options.best)
    made.stream_audio = int(options.stream_audio)
    made.wording = None if options.wording is None else json.dumps(dict(options.wording)).encode()
    return made


class Chain(Stream[ChainEvent]):
    """A running chain of reasoning: an iterator over its events, which ends after `Finished`.

    One thread at a time takes events; `stop` may be called by any. `Model.chain` begins one.
    """

    _kind = "chain"
    _struct = _abi.TakeEvent

    def _copy(self, event: _abi.TakeEvent) -> ChainEvent | None:
        return take_event_of(event)

    def answer(self, words: str) -> None:
        """Answers the model's question, after the event `Question`, which comes again until it is answered."""
        with self._handle as pointer:
            _library.call("chain_answer", pointer, _library.text(words, "words"))

    def set_plan(self, plan: str) -> None:
        """Sets the plan, in place of one that the model writes or has just written."""
        with self._handle as pointer:
            _library.call("chain_set_plan", pointer, _library.text(plan, "plan"))

    @property
    def trained(self) -> bool:
        """True if the package was trained to reason in the chain's mode; else the stages are forced in order."""
        with self._handle as pointer:
            return bool(_library.call("chain_is_trained", pointer))

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages in order."""
        with self._handle as pointer:
            count = _library.call("chain_stage_count", pointer)
            numbers = [_library.call("chain_stage", pointer, at) for at in range(count)]
        return tuple(cast(Stage, _library.name_of(number, _abi.STAGES)) for number in numbers)

    def segment(self, index: int) -> Segment | None:
        """Returns the segment that the stage at `index` ended with; None before its end, and for a stage without one."""
        with self._handle as pointer:
            return segment_of(_library.call("chain_segment", pointer, _library.size(index, "index")))

    def audio(self, index: int) -> Audio | None:
        """Returns the sound of the stage at `index`, ready to play; None where there is none."""
        with self._handle as pointer:
            return _audio.copy(_library.call("chain_audio", pointer, _library.size(index, "index")))

    def record(self) -> Record:
        """Returns the record of the chain so far, from which it can be resumed."""
        with self._handle as pointer:
            return Record(_handle.make("record", "chain_record", pointer))

    @property
    def ranking(self) -> tuple[Ranked, ...]:
        """The ranking of the takes of the final sound, the best first; empty before they are ranked."""
        with self._handle as pointer:
            return take_ranking(_handle.make("ranking", "chain_ranking", pointer))
