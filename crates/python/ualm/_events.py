"""Segments of a reply, and the events of a generation."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Union, cast

from . import _abi, _arrays, _audio, _library
from ._audio import Audio
from ._prompt import Modality

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SegmentEnd = Literal["eos", "eot", "limit", "context", "cancelled", "failed"]
Stage = Literal["question", "answer", "plan", "draft", "listen", "critique", "final", "description"]
StopReason = Literal["cancelled", "context", "failed", "not_ranked"]


@dataclass(frozen=True, eq=False)
class Segment:
    """A segment of a reply."""

    modality: Modality
    #: Reason for the end: "eos" (the model ended its turn), "eot" (another segment follows), "limit" (of steps), "context" (it is full),
    #: "cancelled", or "failed" (the call raises the error).
    end: SegmentEnd
    #: The text of a text segment; "" for sound.
    text: str
    #: The sound of a sound segment as the codec decodes it; None for text.
    audio: Audio | None
    #: Token ids, uint32 of the shape [positions, streams], the closing position included.
    frames: npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Usage:
    """The cost of a reply."""

    #: Positions of the prompt.
    prompt_frames: int
    #: Generated steps, closing ones included.
    steps: int
    #: Seconds spent on prompts and on the openings of segments.
    prefill_seconds: float
    #: Seconds spent on steps and on decoding sound.
    decode_seconds: float


@dataclass(frozen=True)
class Ranked:
    """A take with its rank."""

    #: Index of the take, from 0.
    take: int
    #: The model's caption of the take.
    caption: str
    #: covered x (1 + ordered) / 2, which takes are ranked by.
    total: float
    #: Share of the wanted words in the caption; a word wanted twice must occur twice.
    covered: float
    #: Share of the pairs of covered words that occur in the wanted order; 1 when there is no pair.
    ordered: float
    #: The geometric mean of the probabilities of the caption's tokens, which equal totals are ranked by; 0 without a caption.
    confidence: float


@dataclass(frozen=True, eq=False)
class _Event:
    """The origin of an event."""

    #: Index of the segment in its reply, from 0; in a chain the index of its stage.
    segment_index: int
    #: The segment's modality.
    modality: Modality
    #: Index of the take, from 0.
    take: int
    #: The stage of a chain; None elsewhere.
    stage: Stage | None


@dataclass(frozen=True, eq=False)
class SegmentStarted(_Event):
    """The beginning of a segment."""


@dataclass(frozen=True, eq=False)
class TextDelta(_Event):
    """More text of the segment."""

    text: str


@dataclass(frozen=True, eq=False)
class AudioProgress(_Event):
    """The growth of the sound segment, which is not decoded yet."""

    #: Seconds of the segment so far.
    seconds: float


@dataclass(frozen=True, eq=False)
class AudioChunk(_Event):
    """The next samples of the sound segment."""

    audio: Audio


@dataclass(frozen=True, eq=False)
class SegmentEnded(_Event):
    """The end of a segment."""

    segment: Segment
    #: The sound ready to play in takes and chains: enhanced if the package has an enhancer. Elsewhere the segment's sound.
    audio: Audio | None


@dataclass(frozen=True)
class Finished:
    """The end of the reply, the takes or the chain, complete or stopped."""

    usage: Usage


@dataclass(frozen=True)
class RankingStarted:
    """The beginning of the ranking: all takes are made, and the model listens to them next."""


@dataclass(frozen=True)
class TakeRanked:
    """The rank of a take to which the model has listened."""

    ranked: Ranked


@dataclass(frozen=True, eq=False)
class StageEnded:
    """The end of a stage of a chain, with the chosen take."""

    stage: Stage
    #: Index of the stage.
    segment_index: int
    #: Segment of the stage; None after a hearing.
    segment: Segment | None
    #: The sound ready to play, if there is one.
    audio: Audio | None
    #: Reason why the chain cannot continue, else None: "cancelled", "context", "failed" or "not_ranked" (the next event raises the error).
    stop: StopReason | None


@dataclass(frozen=True)
class Question:
    """A question of the model, the text of the last segment: the chain continues after `Chain.answer`."""


#: An event of a reply.
Event = Union[SegmentStarted, TextDelta, AudioProgress, AudioChunk, SegmentEnded, Finished]
#: An event of takes.
TakeEvent = Union[Event, RankingStarted, TakeRanked]
#: An event of a chain.
ChainEvent = Union[TakeEvent, StageEnded, Question]


def event_of(event: _abi.Event) -> Event | None:
    """Copies an event of a reply; None for a kind that this version does not know."""
    return _copy(_library.name_of(event.kind, _abi.EVENT_KINDS), event, 0, None)


def take_event_of(event: _abi.TakeEvent) -> ChainEvent | None:
    """Copies an event of takes or of a chain; None for a kind that this version does not know."""
    stage = _library.name_of(event.stage, _abi.STAGES) if event.stage else None
    kind = _library.name_of(event.kind, _abi.TAKE_EVENT_KINDS)
    if kind == "stage_ended":
        stop = _library.name_of(event.stop, _abi.STOP_REASONS) if event.stop else None
        segment = segment_of(event.segment)
        audio = _audio.copy(event.audio)
        return StageEnded(cast(Stage, stage), event.segment_index, segment, audio, cast("StopReason | None", stop))
    if kind == "ranked":
        return TakeRanked(ranked_of(event.ranked.contents))
    if kind in ("ranking_started", "question"):
        return RankingStarted() if kind == "ranking_started" else Question()
    return _copy(kind, event, event.take, cast("Stage | None", stage))


def _copy(kind: str, event: Any, take: int, stage: Stage | None) -> Event | None:
    """Copies an event that replies, takes and chains have."""
    if kind == "finished":
        return Finished(usage_of(event.usage.contents))
    where = (event.segment_index, _modality(event.modality), take, stage)
    if kind == "segment_started":
        return SegmentStarted(*where)
    if kind == "text_delta":
        return TextDelta(*where, _text(event))
    if kind == "audio_progress":
        return AudioProgress(*where, event.seconds)
    if kind == "audio_chunk":
        return AudioChunk(*where, cast(Audio, _audio.copy(event.audio)))
    if kind == "segment_ended":
        segment = cast(Segment, segment_of(event.segment))
        return SegmentEnded(*where, segment, _audio.copy(event.audio) or segment.audio)
    return None


def segment_of(pointer: Any) -> Segment | None:
    """Copies a segment; None for a null pointer."""
    if not pointer:
        return None
    segment = pointer.contents
    end = cast(SegmentEnd, _library.name_of(segment.end, _abi.SEGMENT_ENDS))
    frames = _arrays.copy_ids(segment.frames, segment.frame_count, segment.stream_count)
    return Segment(_modality(segment.modality), end, _text(segment), _audio.copy(segment.audio), frames)


def usage_of(usage: _abi.Usage) -> Usage:
    """Copies a usage."""
    return Usage(usage.prompt_frames, usage.steps, usage.prefill_seconds, usage.decode_seconds)


def ranked_of(ranked: _abi.Ranked) -> Ranked:
    """Copies a rank."""
    caption = ranked.caption.decode(errors="replace")
    return Ranked(ranked.take, caption, ranked.total, ranked.covered, ranked.ordered, ranked.confidence)


def take_ranking(handle: Any) -> tuple[Ranked, ...]:
    """Copies a ranking, the best first, and frees it."""
    ranking: list[Ranked] = []
    with handle as pointer:
        while ranked := _library.call("ranking_get", pointer, len(ranking)):
            ranking.append(ranked_of(ranked.contents))
    handle.close()
    return tuple(ranking)


def _modality(number: int) -> Modality:
    return cast(Modality, _library.name_of(number, _abi.MODALITIES))


def _text(holder: Any) -> str:
    return ctypes.string_at(holder.text, holder.text_len).decode(errors="replace") if holder.text else ""
