"""A portable runtime for unified audio language models: one model that listens, writes, and makes sound.

    import ualm

    model = ualm.Model()                                  # the default package
    sound = model.generate("a dog barking", seed=1)       # text to sound
    sound.write("dog.wav")
    print(model.ask(sound, "What sound is this?"))        # sound to text

A `Model` is shared by threads; a `Session` is a conversation, whose replies come whole (`generate`) or event by event (`stream`). Every
call of the library releases the GIL. Sound is `Audio`: float32 arrays with their rate.
"""

from ._audio import Audio, WavFormat
from ._cancel import Cancel
from ._chain import Chain, ChainOptions, ReasoningMode
from ._engine import Engine, EngineStats
from ._errors import (
    AudioError, BusyError, Cancelled, Error, FileError, GraphError, InvalidError, LibraryError, LimitError, NumericError,
    PackageError, PanicError, ProviderError,
)  # fmt: skip
from ._events import (
    AudioChunk, AudioProgress, ChainEvent, Event, Finished, Question, Ranked, RankingStarted, Segment, SegmentEnd, SegmentEnded,
    SegmentStarted, Stage, StageEnded, StopReason, TakeEvent, TakeRanked, TextDelta, Usage,
)  # fmt: skip
from ._generation import Generation, Reply
from ._install import default_package, program
from ._library import version
from ._model import Model, Spoken, report
from ._options import Limits, Options, RuntimeOptions, SegmentOptions
from ._prompt import Heard, Message, Modality, PromptLike, Role
from ._record import Record
from ._session import Checkpoint, Mark, Session
from ._takes import Take, Takes

__all__ = [
    "Audio", "AudioChunk", "AudioError", "AudioProgress", "BusyError", "Cancel", "Cancelled", "Chain", "ChainEvent", "ChainOptions",
    "Checkpoint", "Engine", "EngineStats", "Error", "Event", "FileError", "Finished", "Generation", "GraphError", "Heard",
    "InvalidError", "LibraryError", "LimitError", "Limits", "Mark", "Message", "Modality", "Model", "NumericError", "Options",
    "PackageError", "PanicError", "PromptLike", "ProviderError", "Question", "Ranked", "RankingStarted", "ReasoningMode", "Record",
    "Reply", "Role", "RuntimeOptions", "Segment", "SegmentEnd", "SegmentEnded", "SegmentOptions", "SegmentStarted", "Session", "Spoken", "Stage",
    "StageEnded", "StopReason", "Take", "TakeEvent", "TakeRanked", "Takes", "TextDelta", "Usage", "WavFormat", "default_package",
    "program", "report", "version",
]  # fmt: skip
