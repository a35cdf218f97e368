"""Records: conversations as data, which can be reproduced or continued."""

from __future__ import annotations

import os
from ctypes import byref, sizeof
from typing import cast

from . import _abi, _audio, _handle, _library, _options
from ._audio import Audio, WavFormat
from ._options import Options


class Record(_handle.Owner):
    """A conversation as data: prompts, settings, seeds and tokens, and the identity of the package (docs/reply.md)."""

    @classmethod
    def read_wav(cls, file: str | os.PathLike[str]) -> Record:
        """Reads the record of a WAV file from `ualm` or `Audio.write`; raises `AudioError` if there is none."""
        return cls(_handle.make("record", "record_read_wav", _library.path(file, "file")))

    @classmethod
    def from_json(cls, text: str) -> Record:
        """Reads a record from JSON, as `to_json` returns it."""
        return cls(_handle.make("record", "record_from_json", _library.text(text, "text")))

    def to_json(self) -> str:
        """Returns the record as one line of JSON."""
        with self._handle as pointer:
            return _library.take_text("record_to_json", pointer)

    def write_wav(self, file: str | os.PathLike[str], audio: Audio, format: WavFormat = "pcm16") -> None:
        """Writes a WAV file with the record in it; `audio` is that of its last segment. The write is atomic."""
        number = _library.number_of(format, _abi.WAV_FORMATS, "format")
        with self._handle as pointer:
            _library.call("record_write_wav", pointer, _library.path(file, "file"), _audio.borrow(audio), number)

    @property
    def turns(self) -> int:
        """The number of turns: prompts with their replies."""
        with self._handle as pointer:
            return cast(int, _library.call("record_turn_count", pointer))

    def segments(self, turn: int) -> int:
        """Returns the number of segments in the reply of `turn` (from 0); 0 when there is no such turn."""
        with self._handle as pointer:
            return cast(int, _library.call("record_segment_count", pointer, _library.size(turn, "turn")))

    def options(self, turn: int, segment: int) -> Options:
        """Returns the settings and the seed of a segment (both from 0); for the one after the last, those of its turn."""
        made = _abi.GenerationOptions()
        at = (_library.size(turn, "turn"), _library.size(segment, "segment"))
        with self._handle as pointer:
            _library.call("record_options", pointer, *at, byref(made), sizeof(made))
            return _options.options_of(made)  # `force` points into the record
